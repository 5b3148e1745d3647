//! One normalised input, and who or what is behind it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{Digest, ObjectKey, RunId};
use crate::limits;
use crate::record::{Kind, Record};
use crate::time::Time;

/// Who or what did something. Written as `source:exabeam`, `token:ci`, `user:alice`,
/// `run:ID`, `system`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A product that posts events.
    Source(String),
    /// A person or program that holds this token.
    Token(String),
    /// A person who has signed in under this name.
    User(String),
    /// A playbook's run ("Automation" for people).
    Run {
        /// The playbook's id.
        playbook: String,
        /// The run.
        run: RunId,
    },
    /// Sortie itself: schedules, retention, start and stop.
    System,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Source(name) => write!(f, "source:{name}"),
            Actor::Token(name) => write!(f, "token:{name}"),
            Actor::User(name) => write!(f, "user:{name}"),
            Actor::Run { playbook, run } => write!(f, "automation:{playbook} ({run})"),
            Actor::System => f.write_str("system"),
        }
    }
}

/// One run in the chain of runs behind an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// The playbook's id.
    pub playbook: String,
    /// The run that caused the event.
    pub run: RunId,
    /// The person behind that run, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
}

/// What makes a repeat of an event recognisable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayKey {
    /// `Idempotency-Key`, `webhook-id`, or the event's own id.
    pub key: String,
    /// How long it is remembered, in seconds.
    pub seconds: u64,
    /// A second key, out of what the sender's signature covers, and how long it is remembered: a header that is not signed
    /// can be exchanged by whoever sends a message again.
    pub signed: Option<Box<(String, u64)>>,
    /// The digest of the body: the same key with another body is an error of the sender.
    pub body: Digest,
}

impl ReplayKey {
    /// One that is remembered as long as usual.
    pub fn new(key: String, body: Digest) -> ReplayKey {
        ReplayKey { key, seconds: limits::REPLAY_WINDOW_SECONDS, signed: None, body }
    }

    /// Every key with its time in seconds.
    pub fn all(&self) -> impl Iterator<Item = (&str, u64)> {
        let signed = self.signed.as_deref().map(|(key, seconds)| (key.as_str(), *seconds));
        std::iter::once((self.key.as_str(), self.seconds)).chain(signed)
    }
}

/// A snapshot of one object, or a change to it, that an event carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// What it is about.
    pub kind: Kind,
    /// The object's id.
    pub id: String,
    /// The given fields, normalised: absent keeps, `null` clears. Shared: the first snapshot of an object is its state.
    pub fields: Arc<Record>,
}

/// One normalised input.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The product that sent it; `sortie` for what people and runs change.
    pub source: String,
    /// What happened, such as `alert.created`.
    pub kind: String,
    /// The id that the sender gave it.
    pub own_id: Option<String>,
    /// When it happened, by its sender; the time of arrival when the sender does not say.
    pub time: Time,
    /// When it arrived, by the store's clock.
    pub received: Time,
    /// Whose it is.
    pub tenant: String,
    /// Who is behind it.
    pub actor: Actor,
    /// The object that it is about, if any.
    pub subject: Option<Subject>,
    /// The stage before, as the sender says; the stored one wins.
    pub from: Option<String>,
    /// What a plain event carries; `null` when nothing.
    pub data: Value,
    /// What makes a repeat recognisable.
    pub replay: Option<ReplayKey>,
    /// The runs behind it, the oldest first; empty for what comes from outside.
    pub chain: Vec<ChainLink>,
    /// What was noticed while reading it.
    pub warnings: Vec<String>,
    /// Whether the first sight of an object is `created` whatever the type says (the sender cannot tell).
    pub first_sight_creates: bool,
}

impl Event {
    /// The key of the object that it is about.
    pub fn object(&self) -> Option<ObjectKey> {
        self.subject.as_ref().map(|subject| ObjectKey {
            tenant: self.tenant.clone(),
            kind: subject.kind,
            id: subject.id.clone(),
        })
    }
}
