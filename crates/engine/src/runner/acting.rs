//! An action at work: everything it needs, so that several can be at work at once.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use model::Time;
use model::run::{Attempt, AttemptOutcome, RunStart, StepError, StepState};
use playbook::{Retry, Scope, Template};
use serde_json::Value;

use crate::action::{Action, Call, Context, Outcome, StepResult};

/// How much longer than its own timeout a try may take before it is cut off from outside.
pub(super) const OVERTIME: Duration = Duration::from_secs(5);

/// An action that is about to be done.
pub(super) struct Acting {
    pub(super) action: &'static dyn Action,
    pub(super) path: String,
    pub(super) start: Arc<RunStart>,
    pub(super) with: Arc<BTreeMap<String, Template>>,
    pub(super) scope: Scope,
    pub(super) known: Option<StepState>,
    pub(super) retry: Option<Retry>,
    pub(super) timeout: Option<Duration>,
    pub(super) secrets: Arc<[String]>,
    pub(super) context: Arc<Context>,
    pub(super) random: u64,
    pub(super) now: Time,
    /// When it is cut off from outside.
    pub(super) limit: Duration,
    /// Whether it must not be repeated.
    pub(super) once: bool,
}

/// An action that was done, or cut off.
pub(super) struct Acted {
    pub(super) path: String,
    pub(super) began: Time,
    pub(super) outcome: Outcome,
}

impl Acting {
    /// Does it.
    pub(super) async fn act(self) -> Acted {
        let call = Call {
            start: &self.start,
            path: &self.path,
            with: &self.with,
            scope: &self.scope,
            state: self.known.as_ref(),
            retry: self.retry.as_ref(),
            timeout: self.timeout,
            secrets: &self.secrets,
            now: self.now,
            random: self.random,
            ctx: &self.context,
        };
        let acting = AssertUnwindSafe(self.action.run(call)).catch_unwind();
        let outcome = match tokio::time::timeout(self.limit, acting).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => broken_off("panic", "the action panicked; see the server's log".to_owned(), self.once),
            Err(_) => {
                let message = format!("it did not end within {}", model::period::format(self.limit));
                broken_off("timeout", message, self.once)
            }
        };
        Acted { path: self.path, began: self.now, outcome }
    }
}

/// An action that ignored its own deadline, or panicked.
fn broken_off(code: &str, message: String, once: bool) -> Outcome {
    let error = StepError { code: code.to_owned(), message, at: None };
    let result = match code {
        _ if once => StepResult::Unknown(error),
        "timeout" => StepResult::TimedOut(error),
        _ => StepResult::Failed(error),
    };
    Outcome::plain(Value::Null, result)
}

/// The one try of an action that has no destinations, after `known` earlier ones.
pub(super) fn plain_attempt(known: usize, (began, ended): (Time, Time), result: &StepResult) -> Attempt {
    let (outcome, error) = match result {
        StepResult::Done { .. } => (AttemptOutcome::Succeeded, None),
        StepResult::Skipped { reason, .. } => (AttemptOutcome::Suppressed { reason: reason.clone() }, None),
        StepResult::Retry { at } | StepResult::Busy { at } => (AttemptOutcome::Retry { at: *at }, None),
        StepResult::Failed(error) | StepResult::TimedOut(error) | StepResult::Unknown(error) => {
            (AttemptOutcome::Failed, Some(error.clone()))
        }
    };
    Attempt {
        n: u32::try_from(known).unwrap_or(u32::MAX).saturating_add(1),
        destination: None,
        started_at: began,
        ended_at: ended,
        outcome,
        http_status: None,
        answer: None,
        error,
        redacted: Vec::new(),
    }
}
