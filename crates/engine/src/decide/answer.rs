//! What is shown of decisions: those that did not match by their triggers' own arguments are recomputed, and an answer
//! holds a bounded number.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Decision, Event, EventId, Object, Transition, Verdict, limits};
use playbook::Playbook;

use super::hearing::{place, rank};
use super::{Decided, Position};
use crate::set::Set;
use crate::trigger;
use crate::writer::Accepted;

/// The decision of a playbook whose triggers' own arguments did not fit; recomputed whenever it is shown.
pub fn not_triggered(
    playbook: &Playbook,
    event: &Event,
    transitions: &[Transition],
    object: Option<&Object>,
) -> Decision {
    let (reason, span) = trigger::why_not(playbook, event, transitions, object);
    Decision {
        playbook: Arc::clone(&playbook.id),
        verdict: Verdict::NotMatched,
        run_id: None,
        reason: reason.into(),
        at: Some(place(playbook, span)),
        trigger: None,
    }
}

/// Adds the decisions of playbooks that did not match by their triggers' own arguments, as far as an answer shows them.
pub fn fill(
    decisions: &mut Vec<Decision>,
    listening: &[u32],
    set: &Set,
    event: &Event,
    transitions: &[Transition],
    object: Option<&Object>,
) {
    shorten(decisions);
    if decisions.len() >= listening.len() {
        return;
    }
    let room = limits::ANSWER_DECISIONS_MAX - decisions.len();
    let known: HashSet<Arc<str>> = decisions.iter().map(|decision| Arc::clone(&decision.playbook)).collect();
    let others = listening.iter().filter_map(|place| set.get(*place)).filter(|p| !known.contains(&p.id));
    for playbook in others.take(room) {
        decisions.push(not_triggered(playbook, event, transitions, object));
    }
    decisions.sort_by_key(|decision| set.place(&decision.playbook));
}

/// Leaves as many decisions as an answer shows, in their order: rather those that say more.
pub(crate) fn shorten(decisions: &mut Vec<Decision>) {
    if decisions.len() <= limits::ANSWER_DECISIONS_MAX {
        return;
    }
    let mut kept: Vec<usize> = (0..decisions.len()).collect();
    kept.sort_by_key(|place| std::cmp::Reverse(rank(decisions[*place].verdict)));
    kept.truncate(limits::ANSWER_DECISIONS_MAX);
    let kept: HashSet<usize> = kept.into_iter().collect();
    let mut place = 0;
    decisions.retain(|_| {
        place += 1;
        kept.contains(&(place - 1))
    });
}

/// What the answer to an event says, of a decision that is not kept.
pub fn answer(decided: Decided, event: &Event, set: &Set, at: Position) -> Accepted {
    let decisions_total = decided.listening.len().max(decided.decisions.len());
    let mut decisions = decided.decisions;
    let object = decided.object.as_ref().map(|(_, object)| object);
    fill(&mut decisions, &decided.listening, set, event, &decided.transitions, object);
    Accepted {
        event_id: EventId { seq: at.seq, tag: at.tag },
        duplicate: false,
        decisions,
        decisions_total,
        transitions: decided.transitions,
        warnings: decided.warnings,
        alert: None,
    }
}
