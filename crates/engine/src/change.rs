//! Changes that people and steps make to alerts and cases: each is an event of our own.
//!
//! The writer makes the event out of the wish and the state of that moment, so that two changes at once never overwrite
//! each other.

use std::sync::Arc;

use model::event::Actor;
use model::object::OURS;
use model::record::{self, Record, Strictness, Vocabulary};
use model::triage::Rules;
use model::{ChainLink, Event, Kind, Object, ObjectKey, Subject, Time};
use serde_json::Value;

use crate::refusal::Refusal;

/// What somebody wants to change.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalChange {
    /// Which object.
    pub object: ObjectKey,
    /// The event's type, such as `case.updated`, `case.commented`, `case.created`.
    pub kind: String,
    /// The fields that are set; `null` clears.
    pub fields: Record,
    /// Texts that are added to lists, each once.
    pub add: Vec<(&'static str, Vec<String>)>,
    /// Texts that are taken out of lists.
    pub remove: Vec<(&'static str, Vec<String>)>,
    /// What goes with it: a comment's text, a reason.
    pub data: Value,
    /// The id that makes it recognisable: the step's idempotency key.
    pub own_id: Option<String>,
    /// What must hold for the object.
    pub if_object: If,
}

/// What must hold for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum If {
    /// The object exists; otherwise the change is refused.
    Exists,
    /// The object does not exist; otherwise nothing is changed, and that is fine.
    Missing,
    /// The case is not closed; otherwise the change is refused.
    Open,
}

impl LocalChange {
    /// A change of an object that exists, with nothing in it yet.
    pub fn of(object: ObjectKey, kind: impl Into<String>) -> LocalChange {
        LocalChange {
            object,
            kind: kind.into(),
            fields: Record::new(),
            add: Vec::new(),
            remove: Vec::new(),
            data: Value::Null,
            own_id: None,
            if_object: If::Exists,
        }
    }
}

/// Makes the event out of the wish and the state.
///
/// # Errors
/// [`Refusal`] when the object is missing, closed, or a value cannot be right.
pub(crate) fn event(
    change: &LocalChange,
    stored: Option<&Object>,
    actor: &Actor,
    own_id: Option<String>,
    chain: &[ChainLink],
    now: Time,
    (words, rules): (&Vocabulary, &Rules),
) -> Result<Event, Refusal> {
    let mut fields = change.fields.clone();
    if fields.get("id").is_some_and(|id| id.as_str() != Some(&change.object.id)) {
        let message = format!("`{}.id`: an id never changes", change.object.kind);
        return Err(Refusal::Invalid { code: "invalid_value", message });
    }
    match (change.if_object, stored) {
        (If::Exists | If::Open, None) => {
            return Err(Refusal::NotFound { what: format!("{} `{}`", change.object.kind, change.object.id) });
        }
        (If::Open, Some(object)) if object.text("stage") == Some(words.closed()) => {
            return Err(Refusal::Conflict(format!("case `{}` is already closed", change.object.id)));
        }
        (If::Missing, Some(_)) => fields.clear(),
        _ => {}
    }
    for (name, texts) in &change.add {
        let mut list = current(stored, name);
        list.extend(texts.iter().filter(|text| !list.contains(text)).cloned().collect::<Vec<_>>());
        fields.insert((*name).to_owned(), Value::from(list));
    }
    for (name, texts) in &change.remove {
        let mut list = current(stored, name);
        list.retain(|text| !texts.contains(text));
        fields.insert((*name).to_owned(), Value::from(list));
    }
    let (problems, _) = record::normalise(change.object.kind, &mut fields, words, Strictness::Strict);
    if let Some(problem) = problems.first() {
        return Err(Refusal::Invalid {
            code: "invalid_value",
            message: format!("`{}`: {}", problem.path, problem.message),
        });
    }
    named(&mut fields, words, rules)?;
    Ok(Event {
        source: OURS.to_owned(),
        kind: change.kind.clone(),
        own_id,
        time: now,
        received: now,
        tenant: change.object.tenant.clone(),
        actor: actor.clone(),
        subject: Some(Subject { kind: change.object.kind, id: change.object.id.clone(), fields: Arc::new(fields) }),
        from: None,
        data: change.data.clone(),
        replay: None,
        chain: chain.to_vec(),
        warnings: Vec::new(),
        first_sight_creates: change.kind == format!("{}.created", Kind::Case),
    })
}

/// An event of our own that carries data and is about no object.
pub(crate) fn own_event(kind: &str, tenant: String, data: Value, (now, chain): (Time, &[ChainLink])) -> Event {
    Event {
        source: OURS.to_owned(),
        kind: kind.to_owned(),
        own_id: None,
        time: now,
        received: now,
        tenant,
        actor: Actor::System,
        subject: None,
        from: None,
        data,
        replay: None,
        chain: chain.to_vec(),
        warnings: Vec::new(),
        first_sight_creates: false,
    }
}

/// Names that people choose from a list must stand on it: here nobody but a person or a playbook asks.
fn named(fields: &mut Record, words: &Vocabulary, rules: &Rules) -> Result<(), Refusal> {
    let refused = |field: &str, text: &str, allowed: &[&str]| {
        let message = format!("`case.{field}`: `{text}` is not one; use one of {}", allowed.join(", "));
        Err(Refusal::Invalid { code: "invalid_value", message })
    };
    if let Some(queue) = fields.get("queue").and_then(Value::as_str)
        && !rules.knows_queue(queue)
    {
        return refused("queue", queue, &rules.queues.keys().map(String::as_str).collect::<Vec<_>>());
    }
    if let Some(reason) = fields.get("closed_reason").and_then(Value::as_str)
        && words.close_reason(reason).is_none()
    {
        return refused("closed_reason", reason, &words.close_reasons.iter().map(String::as_str).collect::<Vec<_>>());
    }
    Ok(())
}

/// A list as it stands.
fn current(stored: Option<&Object>, name: &str) -> Vec<String> {
    let list = stored.and_then(|object| object.record.get(name)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
