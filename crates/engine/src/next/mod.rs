//! What a run does next: pure.
//!
//! [`next`] looks at the folded state and the playbook's text and answers what can be done now, of which several things
//! may be done at once, and when there will be more. It is asked again after every recorded fact, live and after a crash
//! alike, so that there is no position to lose: what has been recorded is the position. Lists of steps nest; the join of a
//! list is its end.

mod frame;
#[cfg(test)]
mod tests;
mod walk;

use model::Time;
use model::run::{RunState, RunStatus, StepError, StepStatus};
use playbook::{Playbook, Step};
use serde_json::Value;

pub use frame::{Around, Frame};
use walk::{Stand, Walk};

/// The code of a step that was left out because its `if` said no.
pub const CONDITION: &str = "condition";

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Leave the queue.
    Start,
    /// These things can be done now, in any order or at once.
    Work {
        /// What can be done; empty when the run rests, or waits for steps that are at work.
        todo: Vec<Todo<'a>>,
        /// When there will be more, if nothing happens before.
        at: Option<Time>,
    },
    /// The run is over.
    End {
        /// How.
        status: RunStatus,
        /// Why, where the status alone does not say.
        reason: Option<String>,
    },
}

/// One thing that can be done now.
#[derive(Debug)]
pub struct Todo<'a> {
    /// The step.
    pub step: &'a Step,
    /// Its path in the run.
    pub path: String,
    /// The list that it is in; at the end of a round, the list of that round.
    pub frame: Frame<'a>,
    /// What is to be done.
    pub what: What,
}

/// What is to be done with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Begin it, go on with it, or try it again; a wait whose time has come ends.
    Do,
    /// A round of a loop is over.
    EndRound {
        /// Which one, from 0.
        index: u32,
        /// How.
        status: StepStatus,
        /// The step in it that failed.
        culprit: Option<String>,
    },
    /// All that was to be done in a block is done.
    End {
        /// The step in it that failed.
        culprit: Option<String>,
        /// Whether a failure was handled in it.
        warned: bool,
    },
}

/// The failure that `on_failure` and the end of the run speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The path of the step.
    pub path: String,
    /// What went wrong.
    pub error: Option<StepError>,
}

/// Says what comes next. What is over is over: a run whose steps are all done has not timed out, and a step whose outcome
/// is unknown needs a person whatever the time. `busy` says which steps are at work at this moment.
pub fn next<'a>(state: &RunState, playbook: &'a Playbook, now: Time, busy: &dyn Fn(&str) -> bool) -> Next<'a> {
    if state.status.is_final() {
        return Next::End { status: state.status, reason: state.reason.clone() };
    }
    if let Some(by) = &state.cancel {
        return Next::End { status: RunStatus::Cancelled, reason: Some(format!("cancelled by {by}")) };
    }
    if state.started_at.is_none() {
        return Next::Start;
    }
    let mut walk = Walk { state, now, busy, todo: Vec::new(), at: None };
    let stand = walk.list(&Frame::top(&playbook.steps, ""));
    let overdue = deadline(state, playbook).is_some_and(|deadline| now >= deadline);
    match stand {
        Stand::Attention(reason) => attention(reason),
        Stand::Open if overdue => timed_out(playbook),
        Stand::Failed(path) if overdue && has_status(state, &path, StepStatus::TimedOut) => timed_out(playbook),
        Stand::Open => walk.work(),
        Stand::Failed(path) => failed(walk, playbook, path, overdue),
        stand => finally(walk, playbook, stand, overdue),
    }
}

/// What could be done at this time if the run had no deadline.
pub(crate) fn undated<'a>(state: &RunState, playbook: &'a Playbook, now: Time) -> Next<'a> {
    let mut todo = Vec::new();
    for frame in frames(playbook) {
        let mut walk = Walk { state, now, busy: &|_| false, todo: Vec::new(), at: None };
        walk.list(&frame);
        // What has not begun in a later list is not open yet; what waits there has begun.
        todo.append(&mut walk.todo);
    }
    Next::Work { todo, at: None }
}

/// The lists of a playbook; each may read the steps of those before it.
fn frames(playbook: &Playbook) -> [Frame<'_>; 3] {
    let steps = Frame::top(&playbook.steps, "");
    let on_failure = steps.inside(&playbook.on_failure, "on_failure/".to_owned(), Around::Nothing);
    let finally = on_failure.inside(&playbook.finally, "finally/".to_owned(), Around::Nothing);
    [steps, on_failure, finally]
}

/// What comes after a failure that nothing handled.
fn failed<'a>(mut walk: Walk<'a, '_>, playbook: &'a Playbook, path: String, overdue: bool) -> Next<'a> {
    walk.forget();
    match walk.list(&frames(playbook)[1]) {
        Stand::Attention(reason) => attention(reason),
        Stand::Open if !overdue => walk.work(),
        _ => finally(walk, playbook, Stand::Failed(path), overdue),
    }
}

/// What is done in any case, and the end.
fn finally<'a>(mut walk: Walk<'a, '_>, playbook: &'a Playbook, stand: Stand, overdue: bool) -> Next<'a> {
    walk.forget();
    let last = walk.list(&frames(playbook)[2]);
    match (stand, last) {
        (_, Stand::Attention(reason)) => attention(reason),
        (_, Stand::Open) if !overdue => walk.work(),
        (Stand::Done { .. }, Stand::Failed(path)) => end(walk.state, Stand::Failed(path)),
        (Stand::Done { .. }, Stand::Done { warned: true }) => end(walk.state, Stand::Done { warned: true }),
        (stand, _) => end(walk.state, stand),
    }
}

impl<'a> Walk<'a, '_> {
    fn work(self) -> Next<'a> {
        Next::Work { todo: self.todo, at: self.at }
    }

    /// What was open no longer counts.
    fn forget(&mut self) {
        self.todo.clear();
        self.at = None;
    }
}

/// How a run ends whose steps stand so.
fn end<'a>(state: &RunState, stand: Stand) -> Next<'a> {
    let (status, reason) = match stand {
        Stand::Done { warned: false } => (RunStatus::Succeeded, None),
        Stand::Done { warned: true } | Stand::Open => (RunStatus::SucceededWithWarnings, None),
        Stand::Failed(path) => (RunStatus::Failed, Some(why(state, &path))),
        Stand::Attention(reason) => return attention(reason),
        Stand::Stopped(path) => stopped(state, &path),
    };
    Next::End { status, reason }
}

/// A run that a `stop` ends. Never green when something failed before.
fn stopped(state: &RunState, path: &str) -> (RunStatus, Option<String>) {
    let output = state.steps.get(path).and_then(|step| step.output.as_ref());
    let text = |key: &str| output.and_then(|output| output.get(key)).and_then(Value::as_str);
    let reason = text("reason").map(str::to_owned);
    let status = match text("outcome").and_then(RunStatus::from_name) {
        Some(RunStatus::Failed) => RunStatus::Failed,
        _ if state.steps.values().any(warns) => RunStatus::SucceededWithWarnings,
        _ => RunStatus::Succeeded,
    };
    (status, reason)
}

/// Whether something in a step failed, or a round of it.
fn warns(step: &model::run::StepState) -> bool {
    let failed = |status: StepStatus| status.is_failure() || status == StepStatus::SucceededWithWarnings;
    let rounds = step.rounds.as_ref().map_or(&[][..], |rounds| rounds.ends());
    failed(step.status) || rounds.iter().flatten().any(|end| failed(end.status))
}

fn attention<'a>(reason: String) -> Next<'a> {
    Next::End { status: RunStatus::NeedsAttention, reason: Some(reason) }
}

fn timed_out<'a>(playbook: &Playbook) -> Next<'a> {
    let most = playbook.timeout.unwrap_or(RUN_MAX).min(RUN_MAX);
    let reason = format!("it took longer than {}", model::period::format(most));
    Next::End { status: RunStatus::TimedOut, reason: Some(reason) }
}

fn has_status(state: &RunState, path: &str, status: StepStatus) -> bool {
    state.steps.get(path).is_some_and(|step| step.status == status)
}

/// The longest time that a run may take, with its waits.
const RUN_MAX: std::time::Duration = std::time::Duration::from_secs(model::limits::RUN_WAIT_SECONDS_MAX);

/// When a run must be looked at again even if nothing happens.
pub fn deadline(state: &RunState, playbook: &Playbook) -> Option<Time> {
    Some(state.started_at?.plus(playbook.timeout.unwrap_or(RUN_MAX).min(RUN_MAX)))
}

/// The failure that makes the run fail, if there is one.
pub fn failure(state: &RunState, playbook: &Playbook, now: Time) -> Option<Failure> {
    let mut walk = Walk { state, now, busy: &|_| false, todo: Vec::new(), at: None };
    match walk.list(&Frame::top(&playbook.steps, "")) {
        Stand::Failed(path) => {
            let error = state.steps.get(&path).and_then(|step| step.error.clone());
            Some(Failure { path, error })
        }
        _ => None,
    }
}

fn why(state: &RunState, path: &str) -> String {
    let error = state.steps.get(path).and_then(|step| step.error.as_ref());
    error.map_or_else(
        || format!("step `{path}` failed"),
        |error| format!("step `{path}` failed: {} ({})", error.message, error.code),
    )
}
