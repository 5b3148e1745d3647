//! What can be asked without a running engine: what there is to check playbooks against, and what would follow from an
//! event where nothing is known yet.

use std::collections::BTreeSet;
use std::time::Duration;

use model::record::Vocabulary;
use model::{Seq, Time};
use playbook::{Catalog, Evaluator};

use crate::action;
use crate::decide::{self, Means, Nothing, Position};
use crate::outbound::Destinations;
use crate::refusal::Refusal;
use crate::set::Set;
use crate::source::Incoming;
use crate::triage::Triage;
use crate::writer::Accepted;

/// The catalog of this version's actions, with what a team has configured.
pub fn catalog(
    destinations: Option<&Destinations>,
    words: Vocabulary,
    queues: Option<BTreeSet<String>>,
    tenants: Option<BTreeSet<String>>,
) -> Catalog {
    Catalog {
        actions: action::actions().iter().map(|action| action.spec()).collect(),
        destinations: destinations.map(|all| all.map.keys().cloned().collect()),
        event_sets: destinations.map(|all| all.event_sets.clone()).unwrap_or_default(),
        words,
        queues,
        tenants,
    }
}

/// What would follow from an event where nothing is known yet: `explain --event` without a store.
///
/// # Errors
/// Never in practice: a state that knows nothing can always be read.
pub fn explain(
    incoming: &Incoming,
    set: &Set,
    evaluator: &Evaluator,
    words: &Vocabulary,
    now: Time,
) -> Result<Accepted, Refusal> {
    let spent = || Duration::ZERO;
    let means = Means { set, evaluator, closed_stage: words.closed(), triage: Triage::none(), spent: &spent };
    let at = Position { seq: Seq(1), tag: 0, now };
    let decided = decide::decide(&incoming.event, at, &Nothing, means).map_err(|error| Refusal::from(&error))?;
    Ok(decide::answer(decided, &incoming.event, set, at))
}
