//! Detections that arrive on their own become alerts: those with one value of an attribute, within a window, in one.
//!
//! The window is a window of the store, kept for rule and value; the alert's id follows from rule, value and the end of
//! the window. So no other state is needed: after a restart the next detection finds the same window and the same alert.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::event::Event;
use model::record::{PRIORITIES, Record, priority, priority_rank};
use model::triage::texts;
use model::{Digest, Kind, Object, ObjectKey, Subject, Time};
use playbook::{Answer, Budget, Evaluator, Root, Scope};
use serde_json::{Value, json};
use store::Window;

use super::{Grouping, Triage};
use crate::decide::{self, View};

/// The type of an event that carries one detection.
pub const DETECTION_CREATED: &str = "detection.created";
/// The window in which an alert takes detections.
const WINDOW_PREFIX: &str = "group/";
/// Detections that one alert takes; the next one begins another alert. An alert is one value of the store.
const DETECTIONS_MAX: usize = 500;
/// Texts that each list of a grouped alert takes over.
const LIST_MAX: usize = 200;

/// The attributes by which detections can be grouped.
pub const ATTRIBUTES: [&str; 12] = [
    "src_ips",
    "dest_ips",
    "users",
    "src_users",
    "dest_users",
    "endpoints",
    "src_hosts",
    "dest_hosts",
    "use_case",
    "type",
    "rules",
    "severity",
];

/// What a detection turned into.
pub(crate) struct Grouped {
    /// The event about the alert.
    pub(crate) event: Event,
    /// The alert.
    pub(crate) alert: ObjectKey,
    /// The window that begins with it, when it is the alert's first detection.
    pub(crate) window: Option<Window>,
}

/// Finds the alert that the detection of an event belongs to. Nothing when no rule wants it. `id` is that of the event,
/// for a detection without one.
pub(crate) fn group(
    triage: &Triage,
    event: &Event,
    id: &str,
    view: &dyn View,
    evaluator: &Evaluator,
    now: Time,
    notes: &mut Vec<String>,
) -> Result<Option<Grouped>, store::Error> {
    let Some(Value::Object(detection)) = event.data.get("detection") else { return Ok(None) };
    let detection = Arc::new(detection.clone());
    for rule in &triage.grouping {
        let values = values(&detection, &rule.by);
        let elsewhere = rule.tenant.as_ref().is_some_and(|own| *own != event.tenant);
        if elsewhere || values.is_empty() || !wants(rule, event, &detection, evaluator, now, notes) {
            continue;
        }
        let place = place(rule, &event.tenant, values, view, now)?;
        let alert = place.alert();
        let stored = view.object(&alert)?;
        let event = alert_event(triage, event, &place, stored.as_deref(), with_id(&detection, event, id));
        return Ok(Some(Grouped { event, alert, window: place.begins }));
    }
    Ok(None)
}

fn wants(
    rule: &Grouping,
    event: &Event,
    detection: &Arc<Record>,
    evaluator: &Evaluator,
    now: Time,
    notes: &mut Vec<String>,
) -> bool {
    let Some(when) = &rule.when else { return true };
    let scope = Scope::new(now)
        .known(Root::Event, Some(Arc::new(decide::event_record(event))))
        .known(Root::Detection, Some(Arc::clone(detection)));
    match when.answer(evaluator, &scope, Budget::WHEN) {
        Answer::Yes => true,
        Answer::No { .. } => false,
        Answer::Failed { code, message, .. } => {
            notes.push(format!("the grouping rule `{}` could not be answered: {message} ({code})", rule.name));
            false
        }
    }
}

/// The values of an attribute, each once.
fn values(detection: &Record, by: &str) -> Vec<String> {
    let fields: &[&str] = match by {
        "users" => &["users", "src_users", "dest_users"],
        "endpoints" => &["endpoints", "src_hosts", "dest_hosts"],
        _ => &[by],
    };
    let mut found: Vec<String> = Vec::new();
    for field in fields {
        let value = detection.get(*field);
        for text in texts(value).chain(value.and_then(Value::as_str)).filter(|text| !text.is_empty()) {
            if !found.iter().any(|known| known == text) {
                found.push(text.to_owned());
            }
        }
    }
    found
}

/// Where a detection belongs.
struct Place<'a> {
    rule: &'a Grouping,
    tenant: String,
    value: String,
    until: Time,
    begins: Option<Window>,
}

impl Place<'_> {
    fn alert(&self) -> ObjectKey {
        let text = format!("{}\0{}\0{}\0{}", self.tenant, self.rule.name, self.value, self.until.micros());
        let digest = Digest::of(text.as_bytes()).to_string();
        ObjectKey { tenant: self.tenant.clone(), kind: Kind::Alert, id: format!("group-{}", &digest[..16]) }
    }
}

/// The window that is open for one of the values, else a new one for the first of them.
fn place<'a>(
    rule: &'a Grouping,
    tenant: &str,
    values: Vec<String>,
    view: &dyn View,
    now: Time,
) -> Result<Place<'a>, store::Error> {
    let key = |value: &str| format!("{WINDOW_PREFIX}{tenant}/{}/{value}", rule.name);
    let mut full = None;
    for value in &values {
        let Some(until) = view.window(&key(value), now)? else { continue };
        let place = Place { rule, tenant: tenant.to_owned(), value: value.clone(), until, begins: None };
        let held = view
            .object(&place.alert())?
            .and_then(|alert| alert.record.get("detections").and_then(Value::as_array).map(Vec::len));
        if held.unwrap_or(0) < DETECTIONS_MAX {
            return Ok(place);
        }
        full = full.max(Some(until));
    }
    // The end of a window is part of the alert's id: that of a full one must not come again.
    let mut until = now.plus(rule.window);
    if let Some(full) = full.filter(|full| until <= *full) {
        until = Time::from_millis(full.millis() + 1);
    }
    let value = values.into_iter().next().unwrap_or_default();
    let begins = Some(Window { key: key(&value), until: Some(until) });
    Ok(Place { rule, tenant: tenant.to_owned(), value, until, begins })
}

/// A detection without an id takes that of its event, so that two of them stay two.
fn with_id(detection: &Record, event: &Event, id: &str) -> Record {
    let mut detection = detection.clone();
    if detection.get("id").and_then(Value::as_str).is_none_or(str::is_empty) {
        let own = event.own_id.clone().unwrap_or_else(|| id.to_owned());
        detection.insert("id".to_owned(), Value::from(own));
    }
    detection
}

/// The event that puts a detection into its alert.
fn alert_event(triage: &Triage, event: &Event, place: &Place<'_>, stored: Option<&Object>, detection: Record) -> Event {
    let mut fields = Record::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("id", Value::from(place.alert().id));
    if stored.is_none() {
        put("name", Value::from(format!("{}: {}", place.rule.name, place.value)));
        put("grouped_by", json!({ "key": place.rule.by, "value": place.value }));
        put("created_time", Value::from(event.received.to_string()));
    }
    for (list, sources) in LISTS {
        let mut all: Vec<&str> = texts(stored.and_then(|stored| stored.record.get(list))).collect();
        let mut known: BTreeSet<&str> = all.iter().copied().collect();
        for source in sources {
            let value = detection.get(*source);
            for text in texts(value).chain(value.and_then(Value::as_str)) {
                if all.len() < LIST_MAX && known.insert(text) {
                    all.push(text);
                }
            }
        }
        if !all.is_empty() {
            put(list, Value::from(all.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        }
    }
    if triage.rules.bands.is_empty()
        && let Some(name) = severest(stored, &detection)
    {
        put("priority", Value::from(name));
    }
    let source = json!({ "grouping": place.rule.name, "detection": detection.get("id") });
    put("detections", Value::from(vec![Value::Object(detection)]));
    let subject = Subject { kind: Kind::Alert, id: place.alert().id, fields: Arc::new(fields) };
    Event {
        kind: "alert.updated".to_owned(),
        own_id: None,
        subject: Some(subject),
        from: None,
        data: source,
        replay: None,
        warnings: Vec::new(),
        first_sight_creates: true,
        ..event.clone()
    }
}

/// The lists of an alert that grow with its detections, and what they take from each.
const LISTS: [(&str, &[&str]); 7] = [
    ("users", &["users", "src_users", "dest_users"]),
    ("endpoints", &["endpoints", "src_hosts", "dest_hosts"]),
    ("src_ips", &["src_ips"]),
    ("dest_ips", &["dest_ips"]),
    ("rules", &["rules"]),
    ("use_cases", &["use_cases", "use_case"]),
    ("mitres", &["mitres"]),
];

/// Without bands, an alert is as urgent as its severest detection.
fn severest(stored: Option<&Object>, detection: &Record) -> Option<&'static str> {
    let rank = |detection: Option<&Value>| detection.and_then(Value::as_str).and_then(priority).and_then(priority_rank);
    let before = stored.and_then(|stored| stored.record.get("detections")).and_then(Value::as_array);
    let ranks = before.into_iter().flatten().map(|d| rank(d.get("severity")));
    ranks.chain([rank(detection.get("severity"))]).flatten().max().and_then(|rank| PRIORITIES.get(rank).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Value) -> Record {
        let Value::Object(record) = value else { panic!("an object") };
        record
    }

    #[test]
    fn values_are_found_in_lists_and_texts_each_once() {
        let detection = record(json!({"src_users": ["a", "b"], "dest_users": ["b", "c"], "type": "analytics"}));
        assert_eq!(values(&detection, "users"), ["a", "b", "c"]);
        assert_eq!(values(&detection, "type"), ["analytics"]);
        assert!(values(&detection, "src_ips").is_empty());
    }

    #[test]
    fn an_alert_is_as_urgent_as_its_severest_detection() {
        assert_eq!(severest(None, &record(json!({"severity": "High"}))), Some("high"));
        assert_eq!(severest(None, &record(json!({"severity": "odd"}))), None);
    }
}
