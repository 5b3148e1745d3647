//! What a run does next: pure.
//!
//! [`next`] looks at the folded state and the playbook's text and answers one thing. It is asked again after every
//! recorded fact, live and after a crash alike, so that there is no position to lose: what has been recorded is the
//! position. Nested lists of steps are walked the same way; the join of a list is its end.

use model::Time;
use model::run::{AttemptOutcome, RunState, RunStatus, StepError, StepState, StepStatus};
use playbook::{OnError, Playbook, Step};

/// The code of a step that was left out because its `if` said no.
pub const CONDITION: &str = "condition";

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Leave the queue.
    Start,
    /// Do this step: for the first time, or again.
    Step(&'a Step),
    /// Nothing before this time.
    At(Time),
    /// The run is over.
    End {
        /// How.
        status: RunStatus,
        /// Why, where the status alone does not say.
        reason: Option<String>,
    },
}

/// The failure that `on_failure` and the end of the run speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The path of the step.
    pub path: &'a str,
    /// What went wrong.
    pub error: Option<&'a StepError>,
}

/// How a list of steps stands.
enum Walk<'a> {
    /// All done; whether a failure was handled on the way.
    Done { warned: bool },
    /// Not yet.
    Next(Next<'a>),
    /// A step failed and nothing handles it.
    Failed(&'a Step),
}

/// Says what comes next. What is over is over: a run whose steps are all done has not timed out, and a step whose outcome
/// is unknown needs a person whatever the time.
pub fn next<'a>(state: &RunState, playbook: &'a Playbook, now: Time) -> Next<'a> {
    if state.status.is_final() {
        return Next::End { status: state.status, reason: state.reason.clone() };
    }
    if let Some(by) = &state.cancel {
        return Next::End { status: RunStatus::Cancelled, reason: Some(format!("cancelled by {by}")) };
    }
    let Some(started) = state.started_at else { return Next::Start };
    let overdue = playbook.timeout.filter(|timeout| now >= started.plus(*timeout));
    let timed_out = |timeout| {
        let reason = format!("it took longer than {}", model::period::format(timeout));
        Next::End { status: RunStatus::TimedOut, reason: Some(reason) }
    };
    match (walk(&playbook.steps, state, now), overdue) {
        (Walk::Done { warned: false }, _) => Next::End { status: RunStatus::Succeeded, reason: None },
        (Walk::Done { warned: true }, _) => Next::End { status: RunStatus::SucceededWithWarnings, reason: None },
        (Walk::Next(end @ Next::End { .. }), _) => end,
        (Walk::Next(_), Some(timeout)) => timed_out(timeout),
        (Walk::Failed(step), Some(timeout)) if has_status(state, step, StepStatus::TimedOut) => timed_out(timeout),
        (Walk::Next(next), None) => next,
        (Walk::Failed(step), overdue) => match walk(&playbook.on_failure, state, now) {
            Walk::Next(end @ Next::End { .. }) => end,
            Walk::Next(next) if overdue.is_none() => next,
            _ => Next::End { status: RunStatus::Failed, reason: Some(why(state, step)) },
        },
    }
}

fn has_status(state: &RunState, step: &Step, status: StepStatus) -> bool {
    state.steps.get(&step.path).is_some_and(|step| step.status == status)
}

/// When a run must be looked at again even if nothing happens: its deadline.
pub fn deadline(state: &RunState, playbook: &Playbook) -> Option<Time> {
    Some(state.started_at?.plus(playbook.timeout?))
}

/// The failure that makes the run fail, if there is one.
pub fn failure<'a>(state: &'a RunState, playbook: &'a Playbook, now: Time) -> Option<Failure<'a>> {
    match walk(&playbook.steps, state, now) {
        Walk::Failed(step) => {
            let error = state.steps.get(&step.path).and_then(|step| step.error.as_ref());
            Some(Failure { path: &step.path, error })
        }
        Walk::Done { .. } | Walk::Next(_) => None,
    }
}

fn why(state: &RunState, step: &Step) -> String {
    let error = state.steps.get(&step.path).and_then(|step| step.error.as_ref());
    error.map_or_else(
        || format!("step `{}` failed", step.path),
        |error| format!("step `{}` failed: {} ({})", step.path, error.message, error.code),
    )
}

fn walk<'a>(steps: &'a [Step], state: &RunState, now: Time) -> Walk<'a> {
    let mut warned = false;
    for step in steps {
        let Some(at) = state.steps.get(&step.path) else { return Walk::Next(Next::Step(step)) };
        match at.status {
            StepStatus::Running if at.outcome_unknown() => return Walk::Next(unknown_outcome(step)),
            StepStatus::Running => return Walk::Next(Next::Step(step)),
            StepStatus::Retrying => return Walk::Next(retry(step, at, now)),
            StepStatus::Succeeded | StepStatus::Skipped => {}
            StepStatus::NeedsAttention => return Walk::Next(needs_attention(step, at)),
            StepStatus::Failed | StepStatus::TimedOut | StepStatus::Cancelled => match &step.on_error {
                OnError::Fail => return Walk::Failed(step),
                OnError::Continue => warned = true,
                OnError::Steps(fallback) => match walk(fallback, state, now) {
                    Walk::Done { .. } => warned = true,
                    other => return other,
                },
            },
        }
    }
    Walk::Done { warned }
}

/// The earliest time at which a try is due, or the step itself when that time has come.
fn retry<'a>(step: &'a Step, at: &StepState, now: Time) -> Next<'a> {
    let mut latest: Vec<(&Option<String>, &AttemptOutcome)> = Vec::new();
    for attempt in &at.attempts {
        match latest.iter_mut().find(|(destination, _)| **destination == attempt.destination) {
            Some(known) => known.1 = &attempt.outcome,
            None => latest.push((&attempt.destination, &attempt.outcome)),
        }
    }
    let due = latest.iter().filter_map(|(_, outcome)| match outcome {
        AttemptOutcome::Retry { at } => Some(*at),
        _ => None,
    });
    match due.min() {
        Some(due) if due > now => Next::At(due),
        _ => Next::Step(step),
    }
}

/// A step that must not be repeated was begun and its outcome was never recorded: the server died in between.
fn unknown_outcome<'a>(step: &Step) -> Next<'a> {
    let reason = format!("step `{}` was begun and its outcome is unknown; it must not be repeated unseen", step.path);
    Next::End { status: RunStatus::NeedsAttention, reason: Some(reason) }
}

fn needs_attention<'a>(step: &Step, at: &StepState) -> Next<'a> {
    let what = at.error.as_ref().map_or("its outcome is unknown", |error| error.message.as_str());
    Next::End { status: RunStatus::NeedsAttention, reason: Some(format!("step `{}`: {what}", step.path)) }
}
