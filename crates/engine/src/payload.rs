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
const DETECTION_LISTS: [&str; 7] =
    ["rules", "src_users", "dest_users", "src_ips", "dest_ips", "src_hosts", "dest_hosts"];

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
        let reasons =
            [("closed_reason", "case_closed_reason"), ("close_supporting_reason", "case_close_supporting_reason")];
        take(out, record, &reasons);
        take_times(out, record, format, &[("closed_time", "case_closed_time")]);
    }
}

/// Entities have no message in the vendor's documentation: its keys are ours.
fn entity(out: &mut Record, record: &Record) {
    let plain =
        [("id", "entity_id"), ("kind", "entity_kind"), ("name", "entity_name"), ("scores", "scores"), ("link", "link")];
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

/// Takes texts over; detections are kept as they came, so a value may be of any type.
fn take_texts(out: &mut Record, record: &Record, names: &[(&str, &str)]) {
    for (from, to) in names {
        match record.get(*from) {
            Some(Value::String(text)) => out.insert((*to).to_owned(), Value::String(text.clone())),
            Some(Value::Number(number)) => out.insert((*to).to_owned(), Value::String(number.to_string())),
            _ => None,
        };
    }
}

fn take_times(out: &mut Record, record: &Record, format: TimeFormat, names: &[(&str, &str)]) {
    for (from, to) in names {
        if let Some(value) = record.get(*from).filter(|value| value.is_string()) {
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
    let plain = [("id", "detection_id"), ("type", "type"), ("use_case", "use_case"), ("description", "description")];
    take_texts(&mut out, record, &plain);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn object(fields: Value) -> Object {
        let Value::Object(record) = fields else { panic!("an object") };
        let meta = model::object::Meta { updated_at: Time::from_millis(5), ..Default::default() };
        Object { record: Arc::new(record), meta }
    }

    fn alert() -> Value {
        json!({
            "id": "A-1", "name": "Impossible travel", "risk_score": 92, "priority": "critical", "tags": ["vip"],
            "mitres": ["T1078", "TA0001"], "use_cases": ["Compromised Credentials"], "users": ["alice"], "endpoints": ["ws-17"],
            "created_time": "2026-11-22T07:59:58.000Z", "last_update_time": "2026-11-22T08:01:00.000Z",
            "grouped_by": {"key": "User", "value": "alice"}, "description": "kept to ourselves", "extra": {"k": 1},
            "detections": [{"id": "D-1", "type": "analytics", "use_case": "Compromised Credentials", "rules": ["Geo velocity"],
                "approx_log_time": "2026-11-22T07:58:00.000Z", "description": "two countries", "src_users": ["alice"],
                "dest_users": [], "src_ips": ["203.0.113.9"], "dest_ips": [], "src_hosts": ["ws-17"], "dest_hosts": [], "odd": 1}],
        })
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn send(kind: Kind, fields: Value) -> Value {
        threat_details(kind, &object(fields), "Closed", TimeFormat::Rfc3339)
    }

    #[test]
    fn an_alert_has_exactly_the_keys_of_an_alert() {
        let out = send(Kind::Alert, alert());
        assert_eq!(
            keys(&out),
            [
                "alert_created_time",
                "alert_id",
                "alert_name",
                "detections",
                "endpoints",
                "last_update_time",
                "mitres",
                "priority",
                "tags",
                "threat_summary",
                "use_cases",
                "users"
            ]
        );
        assert_eq!(
            keys(&out["detections"][0]),
            [
                "approx_log_time",
                "description",
                "dest_hosts",
                "dest_ips",
                "dest_users",
                "detection_id",
                "rules",
                "src_hosts",
                "src_ips",
                "src_users",
                "type",
                "use_case"
            ]
        );
        assert_eq!(
            out["threat_summary"],
            "1 related detection; triggered rules: Geo velocity; ATT&CK tactics: TA0001; ATT&CK techniques: T1078; \
             users: alice; endpoints: ws-17; risk score: 92; grouped by User: alice"
        );
    }

    #[test]
    fn a_case_has_closing_keys_only_while_it_is_closed() {
        let mut case = alert();
        for (name, value) in [
            ("id", "C-1"),
            ("number", "4711"),
            ("stage", "Closed"),
            ("queue", "Tier 1"),
            ("assignee", "bob"),
            ("closed_reason", "Low Risk"),
            ("close_supporting_reason", "scanner"),
            ("closed_time", "2026-11-22T09:00:00.000Z"),
            ("alert_created_time", "2026-11-22T07:00:00.000Z"),
        ] {
            case[name] = json!(value);
        }
        let closed = send(Kind::Case, case.clone());
        assert_eq!(
            keys(&closed),
            [
                "alert_created_time",
                "alert_name",
                "assignee",
                "case_close_supporting_reason",
                "case_closed_reason",
                "case_closed_time",
                "case_created_time",
                "case_id",
                "case_number",
                "detections",
                "endpoints",
                "last_update_time",
                "mitres",
                "priority",
                "queue",
                "stage",
                "tags",
                "threat_summary",
                "use_cases",
                "users"
            ]
        );
        assert_eq!(closed["alert_created_time"], "2026-11-22T07:00:00.000Z");
        case["stage"] = json!("Investigation");
        let open = send(Kind::Case, case);
        assert!(!keys(&open).iter().any(|key| key.contains("close")));
    }

    #[test]
    fn what_is_not_known_is_left_out_and_lists_are_sent_empty() {
        let out = send(Kind::Alert, json!({"id": "A-1"}));
        assert_eq!(
            out,
            json!({"alert_id": "A-1", "last_update_time": "1970-01-01T00:00:00.005Z", "tags": [], "mitres": [], "use_cases": [],
                   "users": [], "endpoints": [], "detections": [],
                   "threat_summary": "0 related detections; triggered rules: none; ATT&CK tactics: none; ATT&CK techniques: none; \
                                      users: none; endpoints: none"})
        );
    }

    #[test]
    fn the_senders_own_summary_wins() {
        let out = send(Kind::Alert, json!({"id": "A-1", "threat_summary": "their words"}));
        assert_eq!(out["threat_summary"], "their words");
    }

    #[test]
    fn times_become_microseconds_where_the_destination_wants_them() {
        let mut fields = alert();
        fields["created_time"] = json!("2025-04-04T01:09:48.934673Z");
        let out = threat_details(Kind::Alert, &object(fields), "Closed", TimeFormat::EpochMicros);
        assert_eq!(out["alert_created_time"], json!(1_743_728_988_934_673_i64));
        assert!(out["last_update_time"].is_i64() && out["detections"][0]["approx_log_time"].is_i64());
    }

    #[test]
    fn hostile_text_stays_text() {
        let name = "a\"b\u{0}\n\u{202e}${{ x }} ${secret:KEY}";
        let out = send(Kind::Alert, json!({"id": "A-1", "name": name}));
        let back: Value = serde_json::from_str(&out.to_string()).unwrap();
        assert_eq!(back["alert_name"], name);
    }

    #[test]
    fn every_message_fits_the_published_schema() {
        let text = include_str!("../../../docs/threat-details.schema.json");
        let schema: Value = serde_json::from_str(text).unwrap();
        let mut case = alert();
        case["stage"] = json!("Closed");
        case["closed_time"] = json!("2026-11-22T09:00:00.000Z");
        let odd = json!({"id": "A", "detections": ["text", {"id": 7, "rules": "one", "type": {}, "approx_log_time": 5}], "mitres": []});
        let host = json!({"id": "h", "kind": "host", "name": "ws-17", "scores": {"urgency": 83}, "link": "https://v.example/h"});
        for (kind, fields) in [(Kind::Alert, alert()), (Kind::Case, case), (Kind::Alert, odd), (Kind::Entity, host)] {
            for format in [TimeFormat::Rfc3339, TimeFormat::EpochMicros] {
                let out = threat_details(kind, &object(fields.clone()), "Closed", format);
                assert_eq!(misfit(&schema, &schema, &out, "$"), None, "{out}");
                let ids = ["alert_id", "case_id", "entity_id"].iter().filter(|id| out.get(**id).is_some()).count();
                assert_eq!(ids, 1, "oneOf");
            }
        }
        assert!(misfit(&schema, &schema, &json!({"alert_id": 5}), "$").is_some(), "the check can fail");
    }

    /// What does not fit, for the words of JSON Schema that ours uses.
    fn misfit(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target = root.pointer(name.strip_prefix('#').unwrap()).unwrap();
            return misfit(root, target, value, at);
        }
        let is = |ty: &str| match ty {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("unknown type {other}"),
        };
        let fits = match &schema["type"] {
            Value::String(ty) => is(ty),
            Value::Array(all) => all.iter().any(|ty| is(ty.as_str().unwrap())),
            other => panic!("no type at {at}: {other}"),
        };
        if !fits {
            return Some(format!("{at} is of the wrong type"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                return Some(format!("{at} lacks {name}"));
            }
        }
        for (name, inner) in value.as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            let found = match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(property), _) => misfit(root, property, inner, &at),
                (None, Value::Object(_)) => misfit(root, &schema["additionalProperties"], inner, &at),
                (None, _) => Some(format!("{at} is not in the schema")),
            };
            if found.is_some() {
                return found;
            }
        }
        let items = value.as_array().into_iter().flatten().enumerate();
        items.filter_map(|(i, item)| misfit(root, &schema["items"], item, &format!("{at}[{i}]"))).next()
    }
}
