//! The stored state of an alert, a case or an entity, and the one way it changes: [`apply`] compares a snapshot with
//! what is stored and answers the new state and the transitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Event, Subject};
use crate::id::{Digest, Seq};
use crate::json;
use crate::limits;
use crate::record::{FieldType, Kind, Record};
use crate::time::Time;
use crate::transition::{Change, Transition, score};
use crate::triage::Rules;

/// Largest value of a changed field that is repeated in the transition that changed it, in bytes of text: more than any
/// condition compares, little enough that a long list of detections does not stand in the history with each change.
const PREVIOUS_BYTES_MAX: usize = 4096;
/// Most detections whose ids are named as what was there before.
const PREVIOUS_DETECTIONS_MAX: usize = 50;

/// An object as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its fields, `id` among them; absent fields are absent, never `null`. Shared, so that conditions read it as it is.
    pub record: Arc<Record>,
    /// What Sortie knows about it beyond its fields.
    pub meta: Meta,
}

/// What Sortie knows about an object beyond its fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// How many changes it has seen.
    pub version: u64,
    /// The entry that created it.
    pub created: Seq,
    /// The entry that changed it last: listings show an object at this one.
    pub last: Seq,
    /// When it was created here.
    pub created_at: Time,
    /// When it was changed last here.
    pub updated_at: Time,
    /// The source whose snapshot came last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The sender's time of the newest snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
    /// For each field that was changed in Sortie: what the source said before (`null` when nothing). While it repeats
    /// that, our change stands.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub ours: Record,
    /// The fields that Sortie worked out because nobody had said them: they follow what they were worked out from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<String>,
    /// The newest entries of its history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Seq>,
    /// The first entries of the full blocks of its history that were moved out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Seq>,
    /// Files that people put to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A file that somebody put to an alert or a case; its content lies apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id, 16 hexadecimal digits.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// What kind of content its sender called it.
    pub media_type: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The SHA-256 digest of its content.
    pub sha256: Digest,
    /// Who put it there.
    pub by: String,
    /// When.
    pub at: Time,
}

impl Attachment {
    /// The number under which its content lies.
    pub fn file(&self) -> u64 {
        u64::from_str_radix(&self.id, 16).unwrap_or_default()
    }
}

impl Object {
    /// Appends it as JSON, as its `Serialize` would write it. `fields` is the text of its fields, where somebody has
    /// written them already.
    ///
    /// # Errors
    /// [`serde_json::Error`] when it cannot be written; never in practice.
    pub fn write(&self, fields: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        out.extend_from_slice(b"{\"record\":");
        let start = out.len();
        match fields {
            Some(text) => out.extend_from_slice(text),
            None => json::write_fields(&self.record, out),
        }
        debug_assert!(
            fields.is_none() || json::text_of(&self.record) == out[start..],
            "the text is that of the fields"
        );
        out.extend_from_slice(b",\"meta\":");
        serde_json::to_writer(&mut *out, &self.meta)?;
        out.push(b'}');
        Ok(())
    }

    /// A field as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.record.get(name).and_then(Value::as_str)
    }

    /// Notes that an entry of the history is about this object. Returns a full block of older entries to be stored
    /// under [`Meta::blocks`]' last element, when the tail was full.
    pub fn note_entry(&mut self, seq: Seq) -> Option<Vec<Seq>> {
        if self.meta.entries.last() == Some(&seq) {
            return None;
        }
        let full = self.meta.entries.len() >= limits::OBJECT_TAIL_ENTRIES_MAX;
        let block = full.then(|| std::mem::take(&mut self.meta.entries));
        if let Some(first) = block.as_ref().and_then(|block| block.first()) {
            self.meta.blocks.push(*first);
        }
        self.meta.entries.push(seq);
        block
    }
}

/// What a change of an object has touched so far.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// The changed fields as they were before (`null` when absent).
    pub(crate) previous: Record,
    /// What was noticed.
    pub(crate) notes: Vec<String>,
    /// Whether the object is new, so that everything in it was touched.
    pub(crate) all: bool,
}

impl Touched {
    /// Whether a field was touched.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all || self.previous.contains_key(name)
    }
}

impl Object {
    /// Whether a field was worked out here, because nobody had said it.
    pub(crate) fn is_derived(&self, name: &str) -> bool {
        self.meta.derived.iter().any(|field| field == name)
    }

    /// Somebody has said it.
    pub(crate) fn no_longer_derived(&mut self, name: &str) {
        self.meta.derived.retain(|field| field != name);
    }

    /// Sets a field to what was worked out for it.
    pub(crate) fn derive(&mut self, name: &str, value: Value, touched: &mut Touched) {
        if !self.is_derived(name) {
            self.meta.derived.push(name.to_owned());
        }
        self.put(name, value, touched);
    }

    /// Sets a field to something else than its source said, so that the same said again does not undo it.
    pub(crate) fn put_ours(&mut self, name: &str, value: Value, touched: &mut Touched) {
        let said = self.record.get(name).cloned().unwrap_or(Value::Null);
        if said != value && !self.meta.source.is_empty() && !self.meta.ours.contains_key(name) {
            self.meta.ours.insert(name.to_owned(), said);
        }
        self.put(name, value, touched);
    }

    /// The same, where nobody keeps account of what was touched: for an object that has just been created.
    pub fn set_here(&mut self, name: &str, value: Value) {
        self.put_ours(name, value, &mut Touched::default());
    }

    fn put(&mut self, name: &str, value: Value, touched: &mut Touched) {
        let before = self.record.get(name).cloned().unwrap_or(Value::Null);
        if before == value {
            return;
        }
        let record = Arc::make_mut(&mut self.record);
        if value.is_null() {
            record.remove(name);
        } else {
            record.insert(name.to_owned(), value);
        }
        touched.previous.entry(name.to_owned()).or_insert(before);
    }
}

/// The outcome of [`apply`].
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The new state; nothing when nothing changed.
    pub object: Option<Object>,
    /// What changed, in the order: created or updated, stage, priority, scores.
    pub transitions: Vec<Transition>,
    /// What was noticed.
    pub warnings: Vec<String>,
}

/// Compares a snapshot with what is stored. `seq` is the entry that will record it.
///
/// Absent fields keep, `null` clears, lists replace, detections merge by id, scores and `extra` merge by key. A snapshot
/// older than the stored one changes nothing. A field that only repeats what the same source said before does not revert
/// a change made in Sortie since. What the team's `rules` say comes on top, as part of the same change.
pub fn apply(stored: Option<&Object>, event: &Event, seq: Seq, closed_stage: &str, rules: &Rules) -> Applied {
    let (Some(subject), Some(key)) = (&event.subject, event.object()) else {
        return Applied { object: None, transitions: Vec::new(), warnings: Vec::new() };
    };
    let mut warnings = Vec::new();
    let from_outside = event.source != OURS;
    let as_of = from_outside.then(|| snapshot_time(event, &subject.fields)).flatten();
    if let (Some(object), Some(new)) = (stored, as_of)
        && object.meta.as_of.is_some_and(|old| new < old)
    {
        warnings.push(format!("the snapshot of {new} is older than what is stored and changes nothing"));
        return Applied { object: None, transitions: Vec::new(), warnings };
    }
    let mut object = stored.cloned().unwrap_or_else(|| fresh(&subject.id, subject.kind, seq, event.received));
    let mut touched =
        Touched { previous: merge(&mut object, event, from_outside), notes: Vec::new(), all: stored.is_none() };
    rules.shape(&mut object, event, &mut touched);
    let Touched { mut previous, notes, .. } = touched;
    if !notes.is_empty() {
        // What the rules took back did not change.
        previous.retain(|name, before| object.record.get(name).unwrap_or(&Value::Null) != before);
        warnings.extend(notes);
    }
    let mut changes = Vec::new();
    let creates = stored.is_none() && (event.first_sight_creates || event.kind.ends_with(".created"));
    if creates {
        changes.push(Change::Created);
    } else if !previous.is_empty() || stored.is_none() {
        let changed: Vec<String> = if stored.is_none() {
            object.record.keys().filter(|name| *name != "id" && *name != "kind").cloned().collect()
        } else {
            previous.keys().cloned().collect()
        };
        let shown = previous.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), shown(v))).collect();
        changes.push(Change::Updated { changed, previous: shown });
    }
    stage_change(stored, event, &mut object, closed_stage, &mut changes, &mut warnings);
    priority_change(stored, &previous, &object, &mut changes);
    score_changes(stored, subject.kind, &object, &mut changes);
    if changes.is_empty() {
        let learned = stored.is_some_and(|old| old.meta != object.meta);
        return Applied { object: learned.then_some(object), transitions: Vec::new(), warnings };
    }
    object.meta.version += 1;
    object.meta.last = seq;
    object.meta.updated_at = event.received;
    let transitions = changes.into_iter().map(|change| Transition { object: key.clone(), change }).collect();
    Applied { object: Some(object), transitions, warnings }
}

/// A value as it is repeated in a transition: a long one is shortened, detections to their ids.
fn shown(before: &Value) -> Value {
    if !longer_than(before, &mut { PREVIOUS_BYTES_MAX }) {
        return before.clone();
    }
    match before {
        Value::Array(items) if items.iter().all(Value::is_object) => items
            .iter()
            .take(PREVIOUS_DETECTIONS_MAX)
            .map(|item| serde_json::json!({ "id": item.get("id").cloned().unwrap_or(Value::Null) }))
            .collect(),
        _ => Value::String("(too long to be repeated here)".to_owned()),
    }
}

/// Whether a value is longer than what is left, as text; stops where it is.
fn longer_than(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.len(),
        Value::Object(fields) => 2 + fields.keys().map(|key| key.len() + 4).sum::<usize>(),
        _ => 8,
    };
    match left.checked_sub(own) {
        None => return true,
        Some(rest) => *left = rest,
    }
    match value {
        Value::Array(items) => items.iter().any(|item| longer_than(item, left)),
        Value::Object(fields) => fields.values().any(|field| longer_than(field, left)),
        _ => false,
    }
}

/// The `source` of events that people and runs cause here.
pub const OURS: &str = "sortie";

fn fresh(id: &str, kind: Kind, seq: Seq, now: Time) -> Object {
    let mut record = Record::new();
    if kind != Kind::Entity {
        record.insert("id".to_owned(), Value::String(id.to_owned()));
    }
    let meta = Meta { created: seq, last: seq, created_at: now, updated_at: now, ..Meta::default() };
    Object { record: Arc::new(record), meta }
}

/// `last_update_time`, or for a reading of scores the event's own time.
fn snapshot_time(event: &Event, fields: &Record) -> Option<Time> {
    let stated = fields.get("last_update_time").and_then(Value::as_str).and_then(|text| Time::parse(text).ok());
    match event.subject.as_ref().map(|subject| subject.kind) {
        Some(Kind::Entity) => stated.or(Some(event.time)),
        _ => stated,
    }
}

/// Takes the given fields over; returns the changed ones with their values before (`null` when absent).
fn merge(object: &mut Object, event: &Event, from_outside: bool) -> Record {
    let mut previous = Record::new();
    let Some(subject) = &event.subject else { return previous };
    if let Some(record) = first_snapshot(object, subject) {
        object.record = record;
        note_source(object, event, subject, from_outside);
        return previous;
    }
    for (name, given) in subject.fields.iter() {
        let before = object.record.get(name).cloned().unwrap_or(Value::Null);
        if from_outside {
            match object.meta.ours.get(name) {
                Some(said) if said == given => continue,
                Some(_) => {
                    object.meta.ours.remove(name);
                }
                None => {}
            }
        }
        let after = merged(subject.kind, name, &before, given);
        if after == before {
            continue;
        }
        if !from_outside && !object.meta.source.is_empty() && !object.meta.ours.contains_key(name) {
            object.meta.ours.insert(name.clone(), before.clone());
        }
        let record = Arc::make_mut(&mut object.record);
        if after.is_null() {
            record.remove(name);
        } else {
            record.insert(name.clone(), after);
        }
        previous.insert(name.clone(), before);
    }
    note_source(object, event, subject, from_outside);
    previous
}

/// The fields themselves, when the object knows nothing yet and merging would come to the same: then nothing is copied.
fn first_snapshot(object: &Object, subject: &Subject) -> Option<Arc<Record>> {
    let fields = &subject.fields;
    let new = object.meta.version == 0 && object.meta.ours.is_empty() && object.record.keys().all(|name| name == "id");
    let whole = fields.values().all(|value| !value.is_null());
    let has_id = fields.contains_key("id") || !object.record.contains_key("id");
    (new && whole && has_id).then(|| Arc::clone(fields))
}

fn note_source(object: &mut Object, event: &Event, subject: &Subject, from_outside: bool) {
    if from_outside {
        event.source.clone_into(&mut object.meta.source);
        object.meta.as_of = snapshot_time(event, &subject.fields).or(object.meta.as_of);
    }
}

/// What a field becomes.
fn merged(kind: Kind, name: &str, before: &Value, given: &Value) -> Value {
    match (kind.field(name).map(|field| field.ty), before, given) {
        (Some(FieldType::Detections), Value::Array(old), Value::Array(new)) => merge_detections(old, new),
        (Some(FieldType::Free | FieldType::Scores), Value::Object(old), Value::Object(new)) => {
            let mut all = old.clone();
            for (key, value) in new {
                if value.is_null() {
                    all.remove(key);
                } else {
                    all.insert(key.clone(), value.clone());
                }
            }
            Value::Object(all)
        }
        (_, _, given) => given.clone(),
    }
}

/// Detections with an id that is known replace it where it stands; others are appended.
fn merge_detections(old: &[Value], new: &[Value]) -> Value {
    let mut all = old.to_vec();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let id = |d: &Value| d.get("id").and_then(Value::as_str).map(str::to_owned);
    for (i, detection) in all.iter().enumerate() {
        if let Some(id) = id(detection) {
            places.insert(id, i);
        }
    }
    for detection in new {
        match id(detection).and_then(|id| places.get(&id).copied()) {
            Some(place) => all[place] = detection.clone(),
            None => {
                if let Some(id) = id(detection) {
                    places.insert(id, all.len());
                }
                all.push(detection.clone());
            }
        }
    }
    Value::Array(all)
}

/// A stage change needs a stage before: the stored one, else the one that the event names. Keeps `closed_time` true.
fn stage_change(
    stored: Option<&Object>,
    event: &Event,
    object: &mut Object,
    closed_stage: &str,
    changes: &mut Vec<Change>,
    warnings: &mut Vec<String>,
) {
    if event.subject.as_ref().map(|subject| subject.kind) != Some(Kind::Case) {
        return;
    }
    let Some(to) = object.text("stage").map(str::to_owned) else { return };
    let known = stored.and_then(|old| old.text("stage"));
    if let (Some(known), Some(said)) = (known, event.from.as_deref())
        && known != said
    {
        warnings.push(format!("the event says that the stage was `{said}`; stored is `{known}`"));
    }
    let from = known.map(str::to_owned).or_else(|| event.from.clone());
    let Some(from) = from.filter(|from| *from != to) else { return };
    if to == closed_stage {
        let time = Value::String(event.time.to_string());
        let stated = event.subject.as_ref().is_some_and(|subject| subject.fields.contains_key("closed_time"));
        if !stated {
            Arc::make_mut(&mut object.record).insert("closed_time".to_owned(), time);
        }
    } else if from == closed_stage {
        for name in ["closed_time", "closed_reason", "close_supporting_reason"] {
            Arc::make_mut(&mut object.record).remove(name);
        }
    }
    changes.push(Change::StageChanged { from, to });
}

fn priority_change(stored: Option<&Object>, previous: &Record, object: &Object, changes: &mut Vec<Change>) {
    if stored.is_some() && previous.contains_key("priority") {
        let from = previous.get("priority").and_then(Value::as_str).map(str::to_owned);
        changes.push(Change::PriorityChanged { from, to: object.text("priority").map(str::to_owned) });
    }
}

fn score_changes(stored: Option<&Object>, kind: Kind, object: &Object, changes: &mut Vec<Change>) {
    let mut compare = |name: &str, before: Option<f64>, after: Option<f64>| {
        if let Some(to) = after.filter(|to| before != Some(*to)) {
            changes.push(Change::ScoreMoved { score: name.to_owned(), from: before, to });
        }
    };
    if kind != Kind::Entity {
        let before = stored.and_then(|old| score(old.record.get("risk_score")));
        return compare("risk", before, score(object.record.get("risk_score")));
    }
    let old = stored.and_then(|old| old.record.get("scores"));
    if let Some(Value::Object(scores)) = object.record.get("scores") {
        for (name, value) in scores {
            compare(name, score(old.and_then(|old| old.get(name))), score(Some(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Actor;
    use serde_json::json;

    fn event(source: &str, kind: &str, fields: Value) -> Event {
        let Value::Object(fields) = fields else { panic!("an object") };
        let subject = Subject {
            kind: if kind.starts_with("alert") {
                Kind::Alert
            } else if kind.starts_with("case") {
                Kind::Case
            } else {
                Kind::Entity
            },
            id: fields.get("id").and_then(Value::as_str).unwrap_or("x").to_owned(),
            fields: Arc::new(fields),
        };
        Event {
            source: source.to_owned(),
            kind: kind.to_owned(),
            own_id: None,
            time: Time::from_millis(1000),
            received: Time::from_millis(2000),
            tenant: "default".to_owned(),
            actor: Actor::Source(source.to_owned()),
            subject: Some(subject),
            from: None,
            data: Value::Null,
            replay: None,
            chain: Vec::new(),
            warnings: Vec::new(),
            first_sight_creates: false,
        }
    }

    fn after(stored: Option<&Object>, event: &Event) -> (Object, Vec<Change>) {
        let applied = apply(stored, event, Seq(9), "Closed", &Rules::default());
        let object = applied.object.or_else(|| stored.cloned()).unwrap();
        (object, applied.transitions.into_iter().map(|t| t.change).collect())
    }

    #[test]
    fn the_first_snapshot_is_the_state_itself_and_what_it_clears_is_not_in_it() {
        let first = event("generic", "alert.created", json!({"id": "A", "name": "n", "extra": {"k": null}}));
        let (alert, _) = after(None, &first);
        assert!(Arc::ptr_eq(&alert.record, &first.subject.as_ref().unwrap().fields), "not a copy");
        assert_eq!((alert.meta.source.as_str(), alert.meta.version), ("generic", 1));
        let (alert, _) =
            after(None, &event("generic", "alert.created", json!({"id": "A", "name": null, "queue": "q"})));
        assert_eq!(*alert.record, json!({"id": "A", "queue": "q"}).as_object().unwrap().clone());
        let (entity, _) = after(None, &event("generic", "entity.score", json!({"name": "ws", "scores": {"risk": 7}})));
        assert_eq!(*entity.record, json!({"name": "ws", "scores": {"risk": 7}}).as_object().unwrap().clone());
    }

    #[test]
    fn an_object_is_written_as_its_serialisation_says() {
        let (object, _) = after(None, &event("generic", "case.created", json!({"id": "C", "name": "\"x\"\n"})));
        let mut out = Vec::new();
        object.write(None, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&object).unwrap());
        let (fields, mut again) = (json::text_of(&object.record), Vec::new());
        object.write(Some(&fields), &mut again).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), serde_json::to_string(&object).unwrap());
    }

    #[test]
    fn a_new_case_is_created_and_has_no_stage_change() {
        let (_, changes) =
            after(None, &event("generic", "case.created", json!({"id": "C", "stage": "New", "risk_score": 40})));
        assert_eq!(changes, [Change::Created, Change::ScoreMoved { score: "risk".into(), from: None, to: 40.0 }]);
    }

    #[test]
    fn an_update_whose_stage_differs_is_a_stage_change() {
        let (case, _) = after(None, &event("generic", "case.created", json!({"id": "C", "stage": "New"})));
        let (case, changes) =
            after(Some(&case), &event("generic", "case.updated", json!({"id": "C", "stage": "Closed"})));
        assert!(changes.contains(&Change::StageChanged { from: "New".into(), to: "Closed".into() }));
        assert_eq!(case.text("closed_time"), Some("1970-01-01T00:00:01.000Z"));
        let (case, _) = after(Some(&case), &event("generic", "case.updated", json!({"id": "C", "stage": "New"})));
        assert_eq!(case.text("closed_time"), None);
    }

    #[test]
    fn an_unknown_case_takes_the_stage_before_from_the_event() {
        let mut first = event("generic", "case.stage_changed", json!({"id": "C", "stage": "Investigation"}));
        first.from = Some("New".into());
        let (_, changes) = after(None, &first);
        assert!(matches!(changes[0], Change::Updated { .. }));
        assert_eq!(changes[1], Change::StageChanged { from: "New".into(), to: "Investigation".into() });
    }

    #[test]
    fn a_source_that_repeats_itself_does_not_revert_our_change() {
        let (case, _) = after(None, &event("exabeam", "case.created", json!({"id": "C", "stage": "New"})));
        let (case, _) = after(Some(&case), &event(OURS, "case.updated", json!({"id": "C", "stage": "Investigation"})));
        let (case, changes) = after(Some(&case), &event("exabeam", "case.updated", json!({"id": "C", "stage": "New"})));
        assert_eq!((case.text("stage"), changes.len()), (Some("Investigation"), 0));
        let (case, _) =
            after(Some(&case), &event("exabeam", "case.updated", json!({"id": "C", "stage": "Investigation"})));
        let (case, changes) = after(Some(&case), &event("exabeam", "case.updated", json!({"id": "C", "stage": "New"})));
        assert_eq!(case.text("stage"), Some("New"));
        assert!(changes.contains(&Change::StageChanged { from: "Investigation".into(), to: "New".into() }));
    }

    #[test]
    fn an_older_snapshot_changes_nothing() {
        let newer = json!({"id": "A", "priority": "high", "last_update_time": "2026-01-02T00:00:00.000Z"});
        let older = json!({"id": "A", "priority": "low", "last_update_time": "2026-01-01T00:00:00.000Z"});
        let (alert, _) = after(None, &event("generic", "alert.created", newer));
        let applied =
            apply(Some(&alert), &event("generic", "alert.updated", older), Seq(10), "Closed", &Rules::default());
        assert!(applied.object.is_none() && applied.transitions.is_empty());
        assert_eq!(applied.warnings.len(), 1);
    }

    #[test]
    fn detections_merge_by_id_and_lists_replace_and_null_clears() {
        let first = json!({"id": "A", "tags": ["a"], "name": "x", "detections": [{"id": "1", "d": 1}, {"id": "2"}]});
        let (alert, _) = after(None, &event("generic", "alert.created", first));
        let second = json!({"id": "A", "tags": ["b"], "name": null, "detections": [{"id": "3"}, {"id": "1", "d": 2}]});
        let (alert, _) = after(Some(&alert), &event("generic", "alert.updated", second));
        assert_eq!(
            Value::Object((*alert.record).clone()),
            json!({"id": "A", "tags": ["b"], "detections": [{"id": "1", "d": 2}, {"id": "2"}, {"id": "3"}]})
        );
    }

    #[test]
    fn a_snapshot_without_news_has_no_transitions() {
        let same = || event("generic", "alert.updated", json!({"id": "A", "risk_score": 5}));
        let (alert, _) = after(None, &same());
        let (_, changes) = after(Some(&alert), &same());
        assert!(changes.is_empty());
    }

    #[test]
    fn scores_of_entities_move_by_name() {
        let (host, _) = after(
            None,
            &event("vectra", "entity.score", json!({"id": "h", "kind": "host", "scores": {"urgency": 40}})),
        );
        let (_, changes) = after(
            Some(&host),
            &event(
                "vectra",
                "entity.score",
                json!({"id": "h", "kind": "host", "scores": {"urgency": 83, "threat": 1}}),
            ),
        );
        assert!(changes.contains(&Change::ScoreMoved { score: "urgency".into(), from: Some(40.0), to: 83.0 }));
        assert!(changes.contains(&Change::ScoreMoved { score: "threat".into(), from: None, to: 1.0 }));
    }

    #[test]
    fn a_full_tail_of_entries_moves_to_a_block() {
        let mut object = fresh("A", Kind::Alert, Seq(1), Time::EPOCH);
        for n in 1..=limits::OBJECT_TAIL_ENTRIES_MAX as u64 {
            assert!(object.note_entry(Seq(n)).is_none());
        }
        let block = object.note_entry(Seq(1000)).unwrap();
        assert_eq!((block.len(), object.meta.entries.as_slice()), (limits::OBJECT_TAIL_ENTRIES_MAX, &[Seq(1000)][..]));
        assert_eq!(object.meta.blocks, [Seq(1)]);
    }
}
