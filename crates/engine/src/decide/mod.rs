//! What follows from an event: pure.
//!
//! [`decide`] takes the state, one event, the loaded playbooks and the time, and returns everything that follows:
//! transitions, the new state, decisions, runs, windows. It does no I/O and reads no clock. The live engine, `explain`,
//! tests and dry runs all call this one function.
//!
//! All conditions of an event see the state right after that event, never each other's effects. There is at most one
//! decision and one run per event and playbook: the first trigger in the file that fits is recorded, and
//! matched > failed > not matched.
//!
//! `hearing` is the walk through the playbooks, `about` what the event is about, `answer` what is shown of it.

mod about;
mod answer;
mod bounds;
mod count;
mod hearing;
mod look;
mod view;

use std::sync::Arc;
use std::time::Duration;

use model::run::RunStart;
use model::{Change, Decision, Event, Kind, Object, ObjectKey, Seq, Time, Transition, Verdict, object};
use playbook::{Evaluator, Playbook};
use serde_json::Value;
use store::{Tally, Window};

use self::hearing::Hearing;
use crate::set::Set;
use crate::timer;
use crate::triage::{self, Triage};
use crate::trigger::Fit;

pub use self::about::event_record;
pub(crate) use self::answer::shorten;
pub use self::answer::{answer, fill, not_triggered};
pub use self::bounds::{FUSE_BLOWN, fuse_blown};
pub use self::look::{Asked, Look, look};
pub(crate) use self::view::Stored;
pub use self::view::{Nothing, View};

/// Where and when the decision will be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The entry.
    pub seq: Seq,
    /// The entry's tag.
    pub tag: u32,
    /// The time.
    pub now: Time,
}

/// What decisions are made with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The loaded playbooks.
    pub set: &'a Set,
    /// What answers conditions.
    pub evaluator: &'a Evaluator,
    /// The stage in which a case is closed.
    pub closed_stage: &'a str,
    /// What the team has said about its alerts and cases.
    pub triage: &'a Triage,
    /// How long the conditions of this event have taken so far.
    pub spent: &'a dyn Fn() -> Duration,
}

/// An event of our own that follows from a decision: an alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// Its type, such as [`FUSE_BLOWN`].
    pub kind: &'static str,
    /// Whose it is.
    pub tenant: String,
    /// What there is to say.
    pub data: Value,
}

/// Everything that follows from an event.
#[derive(Debug, Default)]
pub struct Decided {
    /// The object that the event is about, as it stands afterwards, if it was touched.
    pub object: Option<(ObjectKey, Object)>,
    /// What changed.
    pub transitions: Vec<Transition>,
    /// The decisions that got as far as a look at the playbook, in order.
    pub decisions: Vec<Decision>,
    /// All playbooks that listen to this kind of event, in order; those without a decision did not match by their
    /// triggers' own arguments.
    pub listening: Arc<[u32]>,
    /// The runs that are started.
    pub runs: Vec<RunStart>,
    /// The windows that begin.
    pub windows: Vec<Window>,
    /// The tallies as they stand afterwards.
    pub tallies: Vec<Tally>,
    /// The alarms that are raised.
    pub raised: Vec<Raised>,
    /// Small named values that change.
    pub marks: Vec<store::Mark>,
    /// The playbooks whose conditions went over their budget.
    pub over_budget: Vec<Arc<str>>,
    /// What was noticed.
    pub warnings: Vec<String>,
}

impl Decided {
    /// One playbook was left out on purpose, and nothing else follows.
    pub fn skipped(playbook: &Playbook, reason: &str) -> Decided {
        let decision = Decision {
            playbook: Arc::clone(&playbook.id),
            verdict: Verdict::Skipped,
            run_id: None,
            reason: reason.into(),
            at: None,
            trigger: None,
        };
        Decided { decisions: vec![decision], ..Decided::default() }
    }
}

/// Says what follows from an event.
///
/// # Errors
/// [`store::Error`] when the state cannot be read; nothing is decided then.
pub fn decide(event: &Event, at: Position, view: &dyn View, means: Means<'_>) -> Result<Decided, store::Error> {
    let key = event.object();
    let stored = match &key {
        Some(key) => view.object(key)?,
        None => None,
    };
    let mut applied = object::apply(stored.as_deref(), event, at.seq, means.closed_stage, &means.triage.rules);
    let mut marks = give_away(event, at, &mut applied, view, means)?;
    let touched = match (&key, applied.object, &stored) {
        (Some(key), Some(object), _) => Some((key.clone(), object)),
        (Some(key), None, Some(stored)) => Some((key.clone(), (**stored).clone())),
        _ => None,
    };
    if let Some((key, object)) = &touched {
        marks.extend(timer::of_case(means.set, key, (stored.as_deref(), Some(object)), at.now));
    }
    marks.extend(timer::of_source(means.set, event, at.now));
    let heard = means.set.hear(&event.kind, &event.tenant, key.as_ref(), &applied.transitions);
    let object = touched.as_ref().map(|(_, object)| object);
    let mut hearing = Hearing::new((event, at), view, means, (&applied.transitions, object));
    for place in &heard.candidates {
        if let Some(playbook) = means.set.get(*place) {
            hearing.judge(playbook)?;
        }
    }
    let out = hearing.out;
    let mut warnings = event.warnings.clone();
    warnings.extend(applied.warnings);
    let listening = heard.listening;
    Ok(Decided { transitions: applied.transitions, object: touched, listening, warnings, marks, ..out })
}

/// Gives a case that has just been created to somebody, when there are rules for that.
fn give_away(
    event: &Event,
    at: Position,
    applied: &mut object::Applied,
    view: &dyn View,
    means: Means<'_>,
) -> Result<Vec<store::Mark>, store::Error> {
    let created = applied.transitions.iter().any(|t| t.object.kind == Kind::Case && t.change == Change::Created);
    let Some(case) = applied.object.as_mut().filter(|_| created && !means.triage.assignment.is_empty()) else {
        return Ok(Vec::new());
    };
    let asked = triage::Asked {
        rules: &means.triage.assignment,
        team: &means.triage.rules,
        evaluator: means.evaluator,
        scope: about::about(event, Some(case), view, at.now)?.scope,
        tenant: &event.tenant,
    };
    Ok(triage::assign(case, &asked, view, &mut applied.warnings)?.into_iter().collect())
}

/// Says what follows for one playbook whose trigger is known to fit: a schedule's instant, a timer that is due.
///
/// # Errors
/// [`store::Error`] when the state cannot be read; nothing is decided then.
pub fn decide_one(
    event: &Event,
    at: Position,
    (playbook, fit): (&Arc<Playbook>, &Fit),
    view: &dyn View,
    means: Means<'_>,
) -> Result<Decided, store::Error> {
    let key = event.object();
    let stored = match &key {
        Some(key) => view.object(key)?,
        None => None,
    };
    let mut hearing = Hearing::new((event, at), view, means, (&[], stored.as_deref()));
    hearing.judge_fits(playbook, vec![fit.clone()])?;
    let object = key.zip(stored.as_deref().cloned());
    Ok(Decided { object, ..hearing.out })
}
