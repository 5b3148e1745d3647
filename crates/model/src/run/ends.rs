//! The facts that end a run before its steps have ended.
//!
//! Invariant: after them no step is left that looks as if it were at work.

use super::fact::{Fact, StepError};
use super::state::{BLOCKS, RunState, STOP, StepState};
use super::status::{RunStatus, StepStatus};
use crate::time::Time;

impl RunState {
    /// The facts that end the run now: what is still open of its steps ends with it, so that nothing is left that looks
    /// as if it were at work.
    pub fn ending(&self, status: RunStatus, at: Time, reason: Option<String>) -> Vec<Fact> {
        let mut facts = self.end_open(status, at, |_| true);
        facts.push(Fact::Ended { status, at, reason, output: None });
        facts
    }

    /// The facts that cut the run off: what is open of its steps ends with `timed_out`, and what the playbook does about
    /// that comes after. Blocks stay open until the run ends, so that what they do in any case has its place. Where the
    /// outcome of a step is not known that must not be repeated, the run ends: a person must look.
    pub fn cut_off(&self, at: Time, reason: String) -> Vec<Fact> {
        if self.steps.values().any(StepState::outcome_unknown) {
            return self.ending(RunStatus::NeedsAttention, at, Some(reason));
        }
        let mut facts = self.end_open(RunStatus::TimedOut, at, |step| !BLOCKS.contains(&step.action.as_str()));
        let step = facts.iter().find_map(|fact| match fact {
            Fact::StepEnded { path, .. } => Some(path.clone()),
            _ => None,
        });
        facts.push(Fact::Overdue { at, reason, step });
        facts
    }

    /// The facts that end those open steps that `which` wants.
    fn end_open(&self, status: RunStatus, at: Time, which: impl Fn(&StepState) -> bool) -> Vec<Fact> {
        let open = self.order.iter().filter_map(|path| Some((path, self.steps.get(path)?)));
        // What a `stop` cuts off has not failed by itself.
        let stopped = self.steps.values().any(|step| step.action == STOP && step.status == StepStatus::Succeeded);
        open.filter(|(_, step)| !step.status.is_final() && which(step))
            .map(|(path, step)| {
                let (status, code, message) = match status {
                    _ if step.outcome_unknown() => (
                        StepStatus::NeedsAttention,
                        "unknown_outcome",
                        "it was begun, and whether it happened is not known",
                    ),
                    RunStatus::TimedOut => (StepStatus::TimedOut, "timeout", "the run took longer than its timeout"),
                    RunStatus::Cancelled => (StepStatus::Cancelled, "cancelled", "the run was cancelled"),
                    _ if stopped => (StepStatus::Cancelled, "run_ended", "the run was stopped before it ended"),
                    _ => (StepStatus::Failed, "run_ended", "the run ended before it did"),
                };
                let error = Some(StepError { code: code.to_owned(), message: message.to_owned(), at: None });
                let (path, action) = (path.clone(), step.action.clone());
                Fact::StepEnded { path, action, status, at, output: None, error, handled: false, culprit: None }
            })
            .collect()
    }
}
