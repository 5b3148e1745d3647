//! What a run decides by itself: everything but acting. Pure.
//!
//! [`decide`] takes one thing that [`crate::next`] says can be done and answers with the facts that follow from it, or says
//! that it needs somebody: an action to be done, a playbook to be called. The runner and rehearsals share it.

mod begin;
mod end;
mod scope;

use model::Time;
use model::run::{Fact, RunState, StepError, StepStatus};
use playbook::{Answer, Budget, Evaluator, OnError, Playbook, Scope, ScriptError, Step};
use serde_json::Value;

use crate::next::{self, Todo, What};

pub(crate) use begin::denied;
pub use end::outputs;
pub use scope::{Look, Seen, Sight, scope};

/// What decisions are made with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The run.
    pub state: &'a RunState,
    /// Its playbook.
    pub playbook: &'a Playbook,
    /// What answers conditions.
    pub evaluator: &'a Evaluator,
    /// What names mean where the step stands.
    pub scope: &'a Scope,
    /// What time it is.
    pub now: Time,
}

/// What follows.
#[derive(Debug)]
pub enum Follows {
    /// These facts.
    Facts(Vec<Fact>),
    /// The step's action must be done.
    Act,
    /// A playbook must be called with these inputs.
    Call {
        /// Its id.
        playbook: String,
        /// What it is given, not yet compared with what it declares.
        inputs: model::Record,
    },
}

/// Says what follows from something that can be done now.
pub fn decide(todo: &Todo<'_>, means: &Means<'_>) -> Follows {
    match &todo.what {
        What::Do => begin::begin(todo, means),
        What::EndRound { index, status, culprit } => {
            Follows::Facts(vec![end::round(todo, *index, *status, culprit.as_deref(), means)])
        }
        What::End { culprit, warned } => Follows::Facts(vec![end::block(todo, culprit.as_deref(), *warned, means)]),
    }
}

/// How a step ended.
pub(crate) struct Ended {
    pub(crate) status: StepStatus,
    pub(crate) output: Value,
    pub(crate) error: Option<StepError>,
    pub(crate) culprit: Option<String>,
    /// Whether a failure in it was handled.
    pub(crate) handled: bool,
}

impl Ended {
    /// It did what it should.
    pub(crate) fn well(output: Value) -> Ended {
        Ended { status: StepStatus::Succeeded, output, error: None, culprit: None, handled: false }
    }

    /// It did not.
    pub(crate) fn badly(status: StepStatus, error: StepError) -> Ended {
        Ended { status, output: Value::Null, error: Some(error), culprit: None, handled: false }
    }

    /// The fact. An output over the limit makes the step fail: it could not be kept.
    pub(crate) fn fact(self, step: &Step, path: &str, at: Time) -> Fact {
        let ended = self.bounded();
        let handled = ended.handled || ended.status.is_failure() && !matches!(step.on_error, OnError::Fail);
        let error = ended.error.map(|error| StepError { at: error.at.or_else(|| place(step)), ..error });
        Fact::StepEnded {
            path: path.to_owned(),
            action: step.body.kind().to_owned(),
            status: ended.status,
            at,
            output: (!ended.output.is_null()).then_some(ended.output),
            error,
            handled,
            culprit: ended.culprit,
        }
    }

    fn bounded(self) -> Ended {
        let max = model::limits::STEP_OUTPUT_BYTES_MAX;
        let bytes = if self.output.is_null() { 0 } else { self.output.to_string().len() };
        if bytes <= max {
            return self;
        }
        let message = format!("its output of {bytes} bytes is larger than the limit of {max} bytes");
        Ended { culprit: None, ..Ended::badly(StepStatus::Failed, error("output_too_large", message)) }
    }
}

/// Where a step stands.
pub(crate) fn place(step: &Step) -> Option<(u32, u32)> {
    Some((step.span.line, step.span.column))
}

/// An error without a place of its own.
pub(crate) fn error(code: &str, message: impl Into<String>) -> StepError {
    StepError { code: code.to_owned(), message: message.into(), at: None }
}

fn of_script(error: ScriptError) -> StepError {
    StepError { code: error.code.to_owned(), message: error.message, at: Some((error.at.line, error.at.column)) }
}

/// Asks the step's `if`; answers the fact that ends it when it is not done.
fn asked(todo: &Todo<'_>, means: &Means<'_>) -> Option<Fact> {
    if means.state.steps.contains_key(&todo.path) {
        return None;
    }
    let ended = match todo.step.condition.as_ref()?.answer(means.evaluator, means.scope, Budget::STEP) {
        Answer::Yes => return None,
        Answer::No { reason, .. } => Ended::badly(StepStatus::Skipped, error(next::CONDITION, reason)),
        Answer::Failed { code, message, at } => {
            let error = StepError { code: code.to_owned(), message, at: Some((at.line, at.column)) };
            Ended::badly(StepStatus::Failed, error)
        }
    };
    Some(ended.fact(todo.step, &todo.path, means.now))
}
