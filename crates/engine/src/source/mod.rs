//! What the products send, made into events of one shape.
//!
//! The walk: [`read`] splits the body (one object, an array, NDJSON) → each element is read as strict JSON → the source's
//! [`Shape`] maps it into a [`Draft`] → tenant, repeat key and bounds are the same for all sources.
//!
//! Invariants: nothing here does I/O or reads a clock. What an element holds as bytes is kept as it was sent. Whatever is
//! sent, the answer is a typed error or an event, never a panic. A new source is one file of data and one line in `file/shipped.rs`.

mod body;
mod error;
mod exabeam;
pub mod file;
mod generic;
mod id;
mod json;
mod repair;

#[cfg(test)]
mod tests;
mod whose;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use model::record::{Problem, Vocabulary};
use model::{Event, Kind, Subject, Time, limits};
use serde_json::{Map, Value};

pub use body::{Pieces, read, split};
pub use error::{BodyError, InputError, Position};
pub use id::prefixed;

/// The shapes that are mapped in code, because all that is fast goes through them.
static NATIVE: [&dyn Shape; 2] = [&generic::Generic, &exabeam::Exabeam];

/// The shape of this name that is mapped in code.
pub fn native(name: &str) -> Option<&'static dyn Shape> {
    NATIVE.into_iter().find(|shape| shape.name() == name)
}

/// The shape of a shipped source.
pub fn shape(name: &str, evaluator: &playbook::Evaluator) -> Option<Arc<dyn Shape>> {
    let file = file::shipped(name, evaluator)?;
    Some(Arc::new(file::Mapped::new(file, evaluator.clone())))
}

/// A configured source. Who may send is checked before a body gets here.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name in `/v1/in/NAME`, and the `source` of its events.
    pub name: String,
    /// The IANA time zone of times without an offset (not `generic`: there they are refused).
    pub timezone: String,
    /// How its bodies are mapped.
    pub shape: Arc<dyn Shape>,
    /// The tenants by the names that the sender uses for them, such as a company's; nothing when they have the same names.
    /// A name without a tenant is switched off: its events are refused.
    pub tenants: Option<BTreeMap<String, Option<String>>>,
}

/// What is known about a request beside its body.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The configured stages and close reasons.
    pub words: &'a Vocabulary,
    /// The configured tenants; nothing when there are none, and everything is tenant `default`.
    pub tenants: Option<&'a BTreeSet<String>>,
    /// The tenant that the source, or the token of the request, is bound to.
    pub tenant: Option<&'a str>,
    /// The time of arrival.
    pub now: Time,
    /// `Idempotency-Key`, else `webhook-id`.
    pub header_key: Option<&'a str>,
    /// What is signed and tells a message that is sent again, where the sender signs.
    pub signed_key: Option<SignedKey<'a>>,
    /// `Content-Type`; a request without one is read as JSON.
    pub content_type: Option<&'a str>,
    /// The headers of the request, for sources whose files name some.
    pub headers: Option<&'a http::HeaderMap>,
    /// How much is read.
    pub limits: Limits,
}

/// What tells a signed message that is sent again, whatever its other headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedKey<'a> {
    /// A signed id, or the signature itself.
    pub text: &'a str,
    /// How long it is remembered, in seconds: a signature over the body alone comes again when its sender has reason to
    /// say the same again later.
    pub seconds: u64,
}

/// How much of a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of one event, in bytes.
    pub event_bytes: usize,
    /// Largest body of an array or NDJSON batch, in bytes.
    pub batch_bytes: usize,
    /// Most events in a batch.
    pub batch_events: usize,
    /// Deepest nesting of JSON, in levels.
    pub depth: usize,
    /// Most values in one event.
    pub event_values: usize,
    /// Most values in all events of a batch together.
    pub batch_values: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            event_bytes: limits::EVENT_BODY_BYTES_MAX,
            batch_bytes: limits::BATCH_BODY_BYTES_MAX,
            batch_events: limits::BATCH_EVENTS_MAX,
            depth: limits::JSON_DEPTH_MAX,
            event_values: limits::EVENT_VALUES_MAX,
            batch_values: limits::BATCH_VALUES_MAX,
        }
    }
}

/// What a body holds.
#[derive(Debug)]
pub struct Reading {
    /// Whether it was an array or NDJSON, so that the answer is an array.
    pub batch: bool,
    /// Its events in their order; one of a single body, at least one of a batch. A refused one leaves the others standing.
    pub elements: Vec<Result<Incoming, InputError>>,
}

/// One event and what it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The event, shared: runs that it starts read it while its sender is answered.
    pub event: Arc<Event>,
    /// What was sent.
    pub raw: Raw,
}

/// What was sent for one event, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Valid JSON in UTF-8, within the limits, without the white space around it.
    Json(Bytes),
    /// Anything else; the whole body, when it was not a batch.
    Bytes(Bytes),
}

impl Raw {
    /// The bytes, whatever they are.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Raw::Json(bytes) | Raw::Bytes(bytes) => bytes,
        }
    }
}

/// How a source's bodies are mapped into events.
pub trait Shape: Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Whether ids get the source's name in front, because those of two sources could collide.
    fn prefixes_ids(&self) -> bool {
        true
    }

    /// Whether it is a vendor's shape: a body that cannot be read is kept as an event `<source>.unreadable`, odd values
    /// are warnings. The other way round the sender is told with a 400.
    fn lenient(&self) -> bool {
        true
    }

    /// Whether the sender cannot tell `created` from `updated`, so that the first sight of an object is `created`.
    fn first_sight_creates(&self) -> bool {
        false
    }

    /// Whether its product sends bodies as this media type, beside JSON.
    fn accepts(&self, _media_type: &str) -> bool {
        false
    }

    /// Its file, when it has one.
    fn file(&self) -> Option<&file::SourceFile> {
        None
    }

    /// Maps one body.
    ///
    /// # Errors
    /// [`Unfit`] when it is not an event of this source.
    fn normalise(&self, body: Map<String, Value>, help: &Help<'_>) -> Result<Drafts, Unfit>;
}

/// What a body holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Drafts {
    /// One event.
    One(Draft),
    /// Several, each for itself; at least one.
    Many(Vec<Result<Draft, Unfit>>),
}

/// What a mapping may look things up in.
#[derive(Debug, Clone, Copy)]
pub struct Help<'a> {
    /// The configured stages and close reasons.
    pub words: &'a Vocabulary,
    /// The IANA time zone of times without an offset.
    pub zone: &'a str,
    /// The time of arrival.
    pub now: Time,
    /// The headers of the request.
    pub headers: Option<&'a http::HeaderMap>,
    /// Most events that one body may hold.
    pub events_max: usize,
}

/// What a mapping finds in a body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// The event's type.
    pub kind: String,
    /// The id that the sender gave it.
    pub own_id: Option<String>,
    /// When it happened.
    pub time: Option<Time>,
    /// The tenant that the sender names.
    pub tenant: Option<String>,
    /// The object that it is about.
    pub subject: Option<Subject>,
    /// The stage before.
    pub from: Option<String>,
    /// What a plain event carries; `null` when nothing.
    pub data: Value,
    /// What was noticed.
    pub warnings: Vec<String>,
}

/// Why a body is not an event of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Fields are missing or wrong; at least one.
    Invalid(Vec<Problem>),
    /// It is not the message that is expected, and why.
    Unreadable(String),
    /// It is sound, and nothing in the source's file fits it.
    Unmapped(String),
}

/// The longest event type, in characters.
const TYPE_CHARS_MAX: usize = 128;

/// Whether a text can be the type of an event.
pub(crate) fn is_type(text: &str) -> bool {
    (1..=TYPE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
}

/// The event types that carry state, and the kind of object that each is about. Any other is a plain event.
pub const STATE_TYPES: [(&str, Kind); 6] = [
    ("alert.created", Kind::Alert),
    ("alert.updated", Kind::Alert),
    ("case.created", Kind::Case),
    ("case.updated", Kind::Case),
    ("case.stage_changed", Kind::Case),
    ("entity.score", Kind::Entity),
];

/// The kind of object that an event of this type carries a snapshot of; nothing for a plain event.
pub fn carries(event_type: &str) -> Option<Kind> {
    STATE_TYPES.iter().find(|(name, _)| *name == event_type).map(|(_, kind)| *kind)
}
