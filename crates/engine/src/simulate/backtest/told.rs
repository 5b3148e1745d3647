//! What is told of a back-test: for each event what was decided, what its runs would have sent, and how they ended.

use model::run::{Attempt, AttemptOutcome, RunStatus};
use model::{Decision, Time};
use serde::Serialize;

/// Something that would have been sent to a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WouldSend {
    /// Where to.
    pub destination: String,
    /// `held_back` when the destination's window was silent.
    pub dedupe: Option<&'static str>,
    /// The playbook.
    pub playbook: String,
    /// Why the destination does not want it, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<String>,
    /// What would have gone wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The playbook only observes: this is what it would send if it acted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
}

/// A service that would have been asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WouldRequest {
    /// The method.
    pub method: String,
    /// Where to.
    pub url: String,
    /// The playbook.
    pub playbook: String,
    /// The path of the step.
    pub step: String,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The playbook.
    pub playbook: String,
    /// How.
    pub status: RunStatus,
}

/// What would have followed from one event, or from time that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The event: its own id, or one made of what happened.
    pub event_id: String,
    /// When it was.
    pub time: Time,
    /// Its type.
    pub kind: String,
    /// The decisions, one for each playbook that listens.
    pub decisions: Vec<Decision>,
    /// What would have been sent.
    pub would_send: Vec<WouldSend>,
    /// Which services would have been asked.
    pub would_request: Vec<WouldRequest>,
    /// The runs that ended.
    pub ended: Vec<Ended>,
    /// Whether this is what runs of an earlier event did after a wait.
    pub later: bool,
    /// The event whose run caused this one.
    pub caused_by: Option<String>,
    /// Whether the same event came before.
    pub duplicate: bool,
    /// Why the event would have been refused.
    pub refused: Option<&'static str>,
    /// Whether it is one of the events that were given in.
    pub(super) given: bool,
}

impl Told {
    pub(super) fn new(event_id: impl Into<String>, time: Time, kind: impl Into<String>) -> Told {
        Told {
            event_id: event_id.into(),
            time,
            kind: kind.into(),
            decisions: Vec::new(),
            would_send: Vec::new(),
            would_request: Vec::new(),
            ended: Vec::new(),
            later: false,
            caused_by: None,
            duplicate: false,
            refused: None,
            given: false,
        }
    }

    /// Whether nothing followed.
    pub(super) fn is_quiet(&self) -> bool {
        self.decisions.is_empty() && self.would_send.is_empty() && self.would_request.is_empty()
    }
}

/// A delivery as it is told; nothing for a try that is made again, and for what is no delivery.
pub(super) fn would_send(attempt: &Attempt, playbook: &str, observed: bool) -> Option<WouldSend> {
    let destination = attempt.destination.clone()?;
    let mut would =
        WouldSend { destination, dedupe: None, playbook: playbook.to_owned(), suppressed: None, error: None, observed };
    match &attempt.outcome {
        AttemptOutcome::Succeeded => {}
        AttemptOutcome::Suppressed { reason } if reason == "deduplicated" => would.dedupe = Some("held_back"),
        AttemptOutcome::Suppressed { reason } => would.suppressed = Some(reason.clone()),
        AttemptOutcome::Failed => {
            would.error = Some(attempt.error.as_ref().map_or_else(|| "failed".to_owned(), |error| error.code.clone()));
        }
        AttemptOutcome::Retry { .. } | AttemptOutcome::Held => return None,
    }
    Some(would)
}
