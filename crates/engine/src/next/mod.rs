//! What a run does next: pure.
//!
//! [`next`] looks at the folded state and the playbook's text and answers what can be done now, of which several things
//! may be done at once, and when there will be more. It is asked again after every recorded fact, live and after a crash
//! alike, so that there is no position to lose: what has been recorded is the position. Lists of steps nest; the join of a
//! list is its end.

mod frame;
#[cfg(test)]
mod tests;
mod time;
mod walk;

use model::Time;
use model::run::{Overdue, RunState, RunStatus, StepError, StepStatus};
use playbook::{Playbook, Step};
use serde_json::Value;

pub use frame::{Around, Frame};
pub use time::{active_left, deadlines};
use walk::{Stand, Walk};

/// The code of a step that was left out because its `if` said no.
pub const CONDITION: &str = "condition";
/// The code of a wait for an event that did not come in time.
pub const WAIT_TIMEOUT: &str = "wait_timeout";

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
    /// The time of the run is over: what is open of its steps ends ([`RunState::cut_off`]), and what comes after that is
    /// asked again.
    CutOff {
        /// What is over.
        reason: String,
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
    /// The path of the step; nothing when the time of the run was over between two steps.
    pub path: Option<String>,
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
    if let Some(overdue) = &state.overdue {
        return after_cut(walk, playbook, overdue);
    }
    let stand = walk.list(&Frame::top(&playbook.steps, ""));
    let over = time::over(state, playbook, now);
    match (stand, over) {
        (Stand::Attention(reason), _) => attention(reason),
        (Stand::Open, Some(reason)) => Next::CutOff { reason },
        (Stand::Failed(path), Some(reason)) if time::cut(state, playbook, &path) => Next::CutOff { reason },
        (Stand::Open, None) => walk.work(),
        (Stand::Failed(path), _) => failed(walk, playbook, path),
        (stand, _) => finally(walk, playbook, stand),
    }
}

/// The lists of a playbook; each may read the steps of those before it.
fn frames(playbook: &Playbook) -> [Frame<'_>; 3] {
    let steps = Frame::top(&playbook.steps, "");
    let on_failure = steps.inside(&playbook.on_failure, "on_failure/".to_owned(), Around::Nothing);
    let finally = on_failure.inside(&playbook.finally, "finally/".to_owned(), Around::Nothing);
    [steps, on_failure, finally]
}

/// The list that a step of a run stands in, by its path.
pub(crate) fn frame_of<'a>(state: &RunState, playbook: &'a Playbook, path: &str) -> Option<Frame<'a>> {
    let failed_in = |list: &Frame<'a>| {
        let mut walk = Walk { state, now: Time::EPOCH, busy: &|_| false, todo: Vec::new(), at: None };
        match walk.list(list) {
            Stand::Failed(culprit) => Some(culprit),
            _ => None,
        }
    };
    let lists = playbook.lists().into_iter().zip(frames(playbook));
    lists.into_iter().find_map(|((prefix, _), frame)| frame.descend(path.strip_prefix(prefix)?, state, &failed_in))
}

/// What comes after a failure that nothing handled.
fn failed<'a>(mut walk: Walk<'a, '_>, playbook: &'a Playbook, path: String) -> Next<'a> {
    walk.forget();
    let late = time::late(walk.state, playbook, walk.now);
    match walk.list(&frames(playbook)[1]) {
        Stand::Attention(reason) => attention(reason),
        Stand::Open if !late => walk.work(),
        _ => finally(walk, playbook, Stand::Failed(path)),
    }
}

/// What is done in any case, and the end.
fn finally<'a>(mut walk: Walk<'a, '_>, playbook: &'a Playbook, stand: Stand) -> Next<'a> {
    walk.forget();
    let late = time::late(walk.state, playbook, walk.now);
    let last = walk.list(&frames(playbook)[2]);
    match (stand, last) {
        (_, Stand::Attention(reason)) => attention(reason),
        (_, Stand::Open) if !late => walk.work(),
        (Stand::Done { .. }, Stand::Failed(path)) => end(walk.state, Stand::Failed(path)),
        (Stand::Stopped(stop), Stand::Failed(path)) if stopped(walk.state, &stop).0 != RunStatus::Failed => {
            end(walk.state, Stand::Failed(path))
        }
        (Stand::Done { .. }, Stand::Done { warned: true }) => end(walk.state, Stand::Done { warned: true }),
        (stand, _) => end(walk.state, stand),
    }
}

/// What comes when the time of a run is over: what its blocks do in any case, what it does about a failure, and what it
/// does in any case itself, for as long as there is time for that. It has timed out, whatever comes of them.
fn after_cut<'a>(mut walk: Walk<'a, '_>, playbook: &'a Playbook, overdue: &Overdue) -> Next<'a> {
    let ended = |reason| Next::End { status: RunStatus::TimedOut, reason: Some(reason) };
    if time::late(walk.state, playbook, walk.now) {
        let most = model::period::format(time::CLEANUP);
        return ended(format!("{}; what comes after a failure was not done within {most}", overdue.reason));
    }
    for (n, frame) in frames(playbook).iter().enumerate() {
        match if n == 0 { walk.left_over(frame) } else { walk.list(frame) } {
            Stand::Attention(reason) => return attention(reason),
            Stand::Open => return walk.work(),
            _ => {}
        }
    }
    ended(overdue.reason.clone())
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

/// The failure that makes the run fail, if there is one.
pub fn failure(state: &RunState, playbook: &Playbook, now: Time) -> Option<Failure> {
    if let Some(overdue) = &state.overdue {
        let error = StepError { code: "timeout".to_owned(), message: overdue.reason.clone(), at: None };
        return Some(Failure { path: overdue.step.clone(), error: Some(error) });
    }
    let mut walk = Walk { state, now, busy: &|_| false, todo: Vec::new(), at: None };
    match walk.list(&Frame::top(&playbook.steps, "")) {
        Stand::Failed(path) => {
            let error = state.steps.get(&path).and_then(|step| step.error.clone());
            Some(Failure { path: Some(path), error })
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
