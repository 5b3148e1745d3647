//! "All threat details": the message about an alert, a case or an entity, from stored state.
//!
//! The keys are those of Exabeam Threat Center's webhook, exactly; `docs/threat-details.schema.json` is their schema.
//! Invariants: keys that do not apply are left out, lists that are empty are sent empty, closing keys are sent of closed
//! cases only.

use std::collections::BTreeSet;

use model::record::Kind;
use model::{Object, Record, Time};
use serde_json::{Value, json};

use crate::outbound::destination::TimeFormat;

/// Most names that one list of a summary shows.
const SUMMARY_NAMES_MAX: usize = 20;
/// The lists that every message has.
const LISTS: [&str; 5] = ["tags", "mitres", "use_cases", "users", "endpoints"];
/// The lists of a detection.
const DETECTION_LISTS: [&str; 7] = ["rules", "src_users", "dest_users", "src_ips", "dest_ips", "src_hosts", "dest_hosts"];

/// The message about an object. `closed` is the stage in which cases are closed.
pub fn threat_details(kind: Kind, object: &Object, closed: &str, format: TimeFormat) -> Value {
    let record = &*object.record;
    let mut out = Record::new();
    let updated = record.get("last_update_time").cloned().unwrap_or_else(|| json!(object.meta.updated_at));
    out.insert("last_update_time".to_owned(), time(&updated, format));
    out.insert("threat_summary".to_owned(), Value::String(summary(record)));
    for name in LISTS {
        out.insert(name.to_owned(), Value::Array(texts(record.get(name))));
    }
    let detections = record.get("detections").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    out.insert("detections".to_owned(), detections.iter().map(|one| detection(one, format)).collect());
    match kind {
        Kind::Alert => {
            take(&mut out, record, &[("id", "alert_id"), ("name", "alert_name"), ("priority", "priority")]);
            take_times(&mut out, record, format, &[("created_time", "alert_created_time")]);
        }
        Kind::Case => case(&mut out, record, closed, format),
        Kind::Entity => entity(&mut out, record),
    }
    Value::Object(out)
}

fn case(out: &mut Record, record: &Record, closed: &str, format: TimeFormat) {
    let plain = [
        ("id", "case_id"),
        ("number", "case_number"),
        ("name", "alert_name"),
        ("priority", "priority"),
        ("stage", "stage"),
        ("queue", "queue"),
        ("assignee", "assignee"),
    ];
    take(out, record, &plain);
    let times = [("alert_created_time", "alert_created_time"), ("created_time", "case_created_time")];
    take_times(out, record, format, &times);
    if record.get("stage").and_then(Value::as_str) == Some(closed) {
        let reasons = [
            ("closed_reason", "case_closed_reason"),
            ("close_supporting_reason", "case_close_supporting_reason"),
        ];
        take(out, record, &reasons);
        take_times(out, record, format, &[("closed_time", "case_closed_time")]);
    }
}

/// Entities have no message in the vendor's documentation: its keys are ours.
fn entity(out: &mut Record, record: &Record) {
    let plain = [("id", "entity_id"), ("kind", "entity_kind"), ("name", "entity_name"), ("scores", "scores"), ("link", "link")];
    take(out, record, &plain);
    let Some(name) = record.get("name").or_else(|| record.get("id")).cloned() else { return };
    match record.get("kind").and_then(Value::as_str) {
        Some("host") => out.insert("endpoints".to_owned(), Value::Array(vec![name])),
        Some("account" | "user") => out.insert("users".to_owned(), Value::Array(vec![name])),
        _ => None,
    };
}

/// Takes fields over under other names.
fn take(out: &mut Record, record: &Record, names: &[(&str, &str)]) {
    for (from, to) in names {
        if let Some(value) = record.get(*from).filter(|value| !value.is_null()) {
            out.insert((*to).to_owned(), value.clone());
        }
    }
}

fn take_times(out: &mut Record, record: &Record, format: TimeFormat, names: &[(&str, &str)]) {
    for (from, to) in names {
        if let Some(value) = record.get(*from).filter(|value| !value.is_null()) {
            out.insert((*to).to_owned(), time(value, format));
        }
    }
}

/// A time as the destination wants it.
fn time(value: &Value, format: TimeFormat) -> Value {
    match (format, value.as_str().map(Time::parse)) {
        (TimeFormat::EpochMicros, Some(Ok(time))) => json!(time.micros()),
        _ => value.clone(),
    }
}

/// A list of texts; one text alone is a list of one.
fn texts(value: Option<&Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items.iter().filter(|item| item.is_string()).cloned().collect(),
        Some(Value::String(text)) => vec![Value::String(text.clone())],
        _ => Vec::new(),
    }
}

fn detection(given: &Value, format: TimeFormat) -> Value {
    let empty = Record::new();
    let record = given.as_object().unwrap_or(&empty);
    let mut out = Record::new();
    take(&mut out, record, &[("id", "detection_id"), ("type", "type"), ("use_case", "use_case"), ("description", "description")]);
    take_times(&mut out, record, format, &[("approx_log_time", "approx_log_time")]);
    for name in DETECTION_LISTS {
        out.insert(name.to_owned(), Value::Array(texts(record.get(name))));
    }
    Value::Object(out)
}

/// The summary: the sender's own, or what is known put into one text.
fn summary(record: &Record) -> String {
    if let Some(own) = record.get("threat_summary").and_then(Value::as_str).filter(|own| !own.is_empty()) {
        return own.to_owned();
    }
    let detections = record.get("detections").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut rules = texts(record.get("rules"));
    rules.extend(detections.iter().flat_map(|one| texts(one.get("rules"))));
    let (tactics, techniques): (Vec<_>, Vec<_>) =
        texts(record.get("mitres")).into_iter().partition(|id| id.as_str().is_some_and(|id| id.starts_with("TA")));
    let mut parts = vec![
        match detections.len() {
            1 => "1 related detection".to_owned(),
            n => format!("{n} related detections"),
        },
        format!("triggered rules: {}", names(rules)),
        format!("ATT&CK tactics: {}", names(tactics)),
        format!("ATT&CK techniques: {}", names(techniques)),
        format!("users: {}", names(texts(record.get("users")))),
        format!("endpoints: {}", names(texts(record.get("endpoints")))),
    ];
    if let Some(score) = record.get("risk_score").filter(|score| score.is_number()) {
        parts.push(format!("risk score: {score}"));
    }
    if let Some(scores) = record.get("scores").and_then(Value::as_object) {
        parts.extend(scores.iter().map(|(name, score)| format!("{name} score: {score}")));
    }
    if let Some(by) = record.get("grouped_by").and_then(Value::as_object) {
        let word = |name: &str| by.get(name).map(plain).unwrap_or_default();
        parts.push(format!("grouped by {}: {}", word("key"), word("value")));
    }
    parts.join("; ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Names once each, in their order, a bounded number of them.
fn names(all: Vec<Value>) -> String {
    let mut seen = BTreeSet::new();
    let unique: Vec<String> = all.iter().map(plain).filter(|name| seen.insert(name.clone())).collect();
    match unique.len() {
        0 => "none".to_owned(),
        n if n > SUMMARY_NAMES_MAX => {
            format!("{} and {} more", unique[..SUMMARY_NAMES_MAX].join(", "), n - SUMMARY_NAMES_MAX)
        }
        _ => unique.join(", "),
    }
}
