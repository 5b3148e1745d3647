//! The facts that the history of a run records.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rounds::RoundEnd;
use super::status::{RunStatus, StepStatus};
use crate::event::ChainLink;
use crate::id::{Digest, EventId, ObjectKey, RunId};
use crate::input::Input;
use crate::record::Record;
use crate::time::Time;

/// Why a step failed, in a form that survives a restart and leads an auditor to the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// The kind of error, such as `http_status`, `timeout`, `blocked_address`, `no_case`, `template`.
    pub code: String,
    /// The error, for people; never a secret.
    pub message: String,
    /// The line of the playbook, from 1, and the column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<(u32, u32)>,
}

/// How one try of an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// It did what it should.
    Succeeded,
    /// It failed and is tried again.
    Retry {
        /// Not before this time.
        at: Time,
    },
    /// No try was made: all that leaves is paused. It is made when the pause ends.
    Held,
    /// It failed for good.
    Failed,
    /// It was not sent, and that is right so (see the reason: `deduplicated`, `below_severity`, `disabled`, `kind`, `tenant`).
    Suppressed {
        /// Why not.
        reason: String,
    },
}

/// One try of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1, for this step and destination.
    pub n: u32,
    /// The destination, where the action sends to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// When it started.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Time,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: AttemptOutcome,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The captured beginning of the answer, its whole length and digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// What the secrets left that were placed in the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<Redacted>,
}

/// What a value leaves that was sent and is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redacted {
    /// The name of the secret.
    pub secret: String,
    /// `sha256(salt ‖ value)`; the salt is kept apart.
    pub commitment: Digest,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The beginning of the body, as text, with secrets taken out.
    pub body: String,
    /// How long the body was as far as it was read, in bytes.
    pub bytes: u64,
    /// Whether it was longer than what is kept.
    pub truncated: bool,
}

/// One fact of a run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The run left the queue.
    Started {
        /// When.
        at: Time,
    },
    /// A step is about to act; recorded first where a repeat would hurt.
    StepStarted {
        /// Which step.
        path: String,
        /// The action's id.
        action: String,
        /// When.
        at: Time,
        /// The rendered parameters, secrets as references; nothing when they are not rendered yet, or known already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Input>,
        /// Whether the action must not be repeated.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        once: bool,
    },
    /// A try ended.
    Attempted {
        /// Which step.
        path: String,
        /// The try.
        attempt: Attempt,
    },
    /// A step ended.
    StepEnded {
        /// Which step.
        path: String,
        /// The action's id, or the kind of block.
        action: String,
        /// How.
        status: StepStatus,
        /// When.
        at: Time,
        /// What it answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<StepError>,
        /// Whether a failure was taken by `on_error`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        handled: bool,
        /// Of a block that failed: the path of the step in it that did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        culprit: Option<String>,
    },
    /// A step waits from now on.
    Waiting {
        /// Which step.
        path: String,
        /// Since when.
        at: Time,
        /// For what, and how long.
        wait: Wait,
    },
    /// One round of a loop ended: an item of `for_each`, or a turn of `repeat`.
    RoundEnded {
        /// Which loop.
        path: String,
        /// Which round, from 0.
        index: u32,
        /// How.
        #[serde(flatten)]
        end: RoundEnd,
    },
    /// The run ran out of its time: what was open of its steps has ended, and nothing of them begins any more. What the
    /// playbook does about a failure, and in any case, comes after this.
    Overdue {
        /// When.
        at: Time,
        /// What was over.
        reason: String,
        /// The first step that was cut off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
    },
    /// A person asked to stop the run; nothing starts after this.
    CancelRequested {
        /// Who.
        by: String,
        /// When.
        at: Time,
    },
    /// A failed delivery was sent again by a person. Changes the delivery, never the run's status.
    Redelivered {
        /// Which step.
        path: String,
        /// Who.
        by: String,
        /// The try.
        attempt: Attempt,
    },
    /// The run ended.
    Ended {
        /// How.
        status: RunStatus,
        /// When.
        at: Time,
        /// Why, where the status alone does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What it gives to a caller: its `outputs`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
    },
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// For what.
    #[serde(flatten)]
    pub on: WaitOn,
    /// Until when at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// What ends a wait before its time is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum WaitOn {
    /// Nothing: the time itself is waited for.
    Time,
    /// An event of one of these types, or prefixes such as `holm.*`.
    Event {
        /// The types.
        types: Vec<String>,
    },
    /// A person.
    Approval(Box<Ask>),
    /// The end of another run.
    Run {
        /// Which run.
        run: RunId,
    },
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The question.
    pub ask: String,
    /// The role that may answer.
    pub by: String,
    /// Who must not answer, since the run is his doing; nothing when no person is behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// The fields of the answer: by name an object with `type` and `required`.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub fields: Record,
}

/// The limit on runs at work at once that a run is under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The runs that count together: playbook, tenant and key.
    pub group: String,
    /// How many of them may be open at once for this one to go on. Those that are older count.
    pub max: u32,
    /// Whether the oldest are cancelled to make room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evicts: bool,
}

/// What is known when a run is started; part of the entry that starts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStart {
    /// Which run.
    pub id: RunId,
    /// The playbook's id.
    pub playbook: String,
    /// The digest of the playbook's text, to which the run is pinned.
    pub digest: Digest,
    /// The trigger that fitted, with the fields of [`crate::record::TRIGGER`].
    pub trigger: Record,
    /// Whose it is.
    pub tenant: String,
    /// The event that started it.
    pub event: EventId,
    /// The alert it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The case it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The entity it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The runs behind it, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ChainLink>,
    /// Values given by hand.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub inputs: Record,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// The person that it is the doing of: the token that started it, or that caused its event; nothing when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// The run that called this one, and the step that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// What is taken over from that run when it is repeated from its failed step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<Fact>,
    /// The limit that it is under, by its playbook's `concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Whether it only works out what it would do (`mode: observe`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
}

/// Who called a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The run.
    pub run: RunId,
    /// The path of its step.
    pub path: String,
    /// How many calls lie between this run and one that nobody called; 1 for a run that such a one calls.
    pub depth: u32,
}

impl RunStart {
    /// The object of this kind that the run is about.
    pub fn object(&self, kind: crate::record::Kind) -> Option<ObjectKey> {
        use crate::record::Kind;
        let id = match kind {
            Kind::Alert => &self.alert,
            Kind::Case => &self.case,
            Kind::Entity => &self.entity,
        };
        id.as_ref().map(|id| ObjectKey { tenant: self.tenant.clone(), kind, id: id.clone() })
    }
}
