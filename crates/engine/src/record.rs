//! The payloads of history entries: what is written, and how it is read back.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::event::Actor;
use model::json;
use model::object::OURS;
use model::run::{Fact, RunStart};
use model::{ChainLink, Decision, Digest, Event, Kind, RunId, Subject, Time, Transition};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decide::Decided;
use crate::source::Raw;

/// What a payload takes beside the fields and the body, about, in bytes: room for it is made at once.
const ROOM_BYTES: usize = 2048;

/// A payload that cannot be read: the store is damaged or from another version.
#[derive(Debug, thiserror::Error)]
#[error("an entry of the history cannot be read: {0}")]
pub struct RecordError(#[from] serde_json::Error);

/// The payload of `event.accepted`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accepted {
    /// The product that sent it.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id that the sender gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it happened.
    pub time: Time,
    /// When it arrived.
    pub received: Time,
    /// Whose it is.
    pub tenant: String,
    /// Who is behind it.
    pub actor: Actor,
    /// The object that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<About>,
    /// The stage before, as the sender said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What a plain event carries.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// The body as it was sent, when it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Box<RawValue>>,
    /// The body as it was sent, when it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// What changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Transition>,
    /// The decisions that got as far as a look at the playbook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// How many playbooks listen to this kind of event.
    pub decisions_total: usize,
    /// The digest of the set that was loaded.
    pub set: Digest,
    /// The runs that it started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunStart>,
    /// The runs behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ChainLink>,
    /// What was noticed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The object that a recorded event is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// The fields that were given.
    pub fields: model::Record,
}

/// What is written of an accepted event, but for its subject and its body; the borrowed twin of [`Accepted`], so that
/// nothing is copied on the way.
#[derive(Serialize)]
struct AcceptedOut<'a> {
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    time: Time,
    received: Time,
    tenant: &'a str,
    actor: &'a Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    transitions: &'a [Transition],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    decisions: &'a [Decision],
    decisions_total: usize,
    set: Digest,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    runs: &'a [RunStart],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    chain: &'a [ChainLink],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

/// Writes the payload of `event.accepted`; answers where in it the fields of the subject stand as well.
///
/// # Errors
/// [`RecordError`] when something in it cannot be written as JSON.
pub fn accepted(
    event: &Event,
    raw: &Raw,
    decided: &Decided,
    set: Digest,
) -> Result<(Vec<u8>, Range<usize>), RecordError> {
    let (json, base64) = match raw {
        Raw::Json(bytes) => (Some(bytes), None),
        Raw::Bytes(bytes) if bytes.is_empty() => (None, None),
        Raw::Bytes(bytes) => (None, Some(BASE64.encode(bytes))),
    };
    let out = AcceptedOut {
        source: &event.source,
        kind: &event.kind,
        id: event.own_id.as_deref(),
        time: event.time,
        received: event.received,
        tenant: &event.tenant,
        actor: &event.actor,
        from: event.from.as_deref(),
        data: &event.data,
        raw_base64: base64,
        transitions: &decided.transitions,
        decisions: &decided.decisions,
        decisions_total: decided.listening.len().max(decided.decisions.len()),
        set,
        runs: &decided.runs,
        chain: &event.chain,
        warnings: &decided.warnings,
    };
    let mut payload = Vec::with_capacity(ROOM_BYTES + 2 * raw.bytes().len());
    serde_json::to_writer(&mut payload, &out)?;
    // The two large parts are put in before the last bracket: the fields by the faster writer, and the body as it is,
    // which was read as JSON before it came here ([`Raw::Json`]).
    payload.pop();
    let mut fields = 0..0;
    if let Some(subject) = &event.subject {
        payload.extend_from_slice(b",\"subject\":{\"kind\":");
        json::write_text(subject.kind.name(), &mut payload);
        payload.extend_from_slice(b",\"id\":");
        json::write_text(&subject.id, &mut payload);
        payload.extend_from_slice(b",\"fields\":");
        fields.start = payload.len();
        json::write_fields(&subject.fields, &mut payload);
        fields.end = payload.len();
        payload.push(b'}');
    }
    if let Some(body) = json {
        payload.extend_from_slice(b",\"raw\":");
        payload.extend_from_slice(body);
    }
    payload.push(b'}');
    Ok((payload, fields))
}

/// Reads the payload of `event.accepted`.
///
/// # Errors
/// [`RecordError`] when it is not one.
pub fn read_accepted(payload: &[u8]) -> Result<Accepted, RecordError> {
    Ok(serde_json::from_slice(payload)?)
}

impl Accepted {
    /// Whether it followed by itself from other events or from time that passed (instants of schedules, timers, alarms, alerts
    /// of grouped detections), and so follows again when those are replayed.
    pub fn follows_by_itself(&self) -> bool {
        self.source == OURS
            && match self.actor {
                Actor::Token(_) | Actor::User(_) => false,
                Actor::Run { .. } => self.subject.is_none(),
                Actor::Source(_) | Actor::System => true,
            }
    }

    /// The event that was accepted, as runs that it started see it.
    pub fn event(&self) -> Arc<Event> {
        Arc::new(Event {
            source: self.source.clone(),
            kind: self.kind.clone(),
            own_id: self.id.clone(),
            time: self.time,
            received: self.received,
            tenant: self.tenant.clone(),
            actor: self.actor.clone(),
            subject: self.subject.as_ref().map(|about| Subject {
                kind: about.kind,
                id: about.id.clone(),
                fields: Arc::new(about.fields.clone()),
            }),
            from: self.from.clone(),
            data: self.data.clone(),
            replay: None,
            chain: self.chain.clone(),
            warnings: self.warnings.clone(),
            first_sight_creates: false,
        })
    }
}

/// The payload of `run.progressed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progressed {
    /// Which run.
    pub run: RunId,
    /// What happened, in order.
    pub facts: Vec<Fact>,
}

/// What is written of it; borrowed, so that nothing is copied on the way.
#[derive(Serialize)]
struct ProgressedOut<'a> {
    run: RunId,
    facts: &'a [Fact],
}

/// Writes the payload of `run.progressed`.
///
/// # Errors
/// [`RecordError`] when something in it cannot be written as JSON.
pub fn progressed(run: RunId, facts: &[Fact]) -> Result<Vec<u8>, RecordError> {
    let mut payload = Vec::with_capacity(2 * ROOM_BYTES);
    serde_json::to_writer(&mut payload, &ProgressedOut { run, facts })?;
    Ok(payload)
}

/// Reads the payload of `run.progressed`.
///
/// # Errors
/// [`RecordError`] when it is not one.
pub fn read_progressed(payload: &[u8]) -> Result<Progressed, RecordError> {
    Ok(serde_json::from_slice(payload)?)
}
