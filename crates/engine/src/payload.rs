//! "All threat details": the message about an alert, a case or an entity, from stored state.
//!
//! The keys are those of Exabeam Threat Center's webhook, exactly; `docs/threat-details.schema.json` is their schema.
//! Invariants: keys that do not apply are left out, lists that are empty are sent empty, closing keys are sent of closed
//! cases only.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use model::record::Kind;
use model::{Object, Record, Time};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use crate::outbound::destination::TimeFormat;

/// Most names that one list of a summary shows.
const SUMMARY_NAMES_MAX: usize = 20;
/// The lists that every message has.
const LISTS: [&str; 5] = ["tags", "mitres", "use_cases", "users", "endpoints"];
/// The message about an object. `closed` is the stage in which cases are closed.
pub fn threat_details(kind: Kind, object: &Object, closed: &str, format: TimeFormat) -> Value {
    json!(ThreatDetails::of(kind, object, closed, format))
}

/// The message, put together and not yet written. It borrows what it says, so that a text is copied once, into the bytes
/// that are sent.
pub struct ThreatDetails<'a>(Parts<'a>);

/// By name, so that the keys are written in order.
type Parts<'a> = BTreeMap<&'static str, Part<'a>>;

enum Part<'a> {
    Borrowed(&'a Value),
    Own(Value),
    Texts(Option<&'a Value>),
    Detections(&'a [Value], TimeFormat),
}

impl<'a> ThreatDetails<'a> {
    /// As [`threat_details`].
    pub fn of(kind: Kind, object: &'a Object, closed: &str, format: TimeFormat) -> ThreatDetails<'a> {
        let record = &*object.record;
        let mut out = Parts::new();
        let updated = match record.get("last_update_time") {
            Some(updated) => time(updated, format),
            None => Part::Own(time(&json!(object.meta.updated_at), format).into_value()),
        };
        out.insert("last_update_time", updated);
        out.insert("threat_summary", Part::Own(Value::String(summary(record))));
        for name in LISTS {
            out.insert(name, Part::Texts(record.get(name)));
        }
        let detections = record.get("detections").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        out.insert("detections", Part::Detections(detections, format));
        match kind {
            Kind::Alert => {
                take(&mut out, record, &[("id", "alert_id"), ("name", "alert_name"), ("priority", "priority")]);
                take_times(&mut out, record, format, &[("created_time", "alert_created_time")]);
            }
            Kind::Case => case(&mut out, record, closed, format),
            Kind::Entity => entity(&mut out, record),
        }
        ThreatDetails(out)
    }
}

impl Serialize for ThreatDetails<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl Part<'_> {
    fn into_value(self) -> Value {
        match self {
            Part::Borrowed(value) => value.clone(),
            Part::Own(value) => value,
            Part::Texts(value) => texts(value).cloned().collect(),
            part @ Part::Detections(..) => json!(part),
        }
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Part::Borrowed(value) => value.serialize(serializer),
            Part::Own(value) => value.serialize(serializer),
            Part::Texts(value) => serializer.collect_seq(texts(*value)),
            Part::Detections(all, format) => {
                serializer.collect_seq(all.iter().map(|given| Detection { given, format: *format }))
            }
        }
    }
}

fn case<'a>(out: &mut Parts<'a>, record: &'a Record, closed: &str, format: TimeFormat) {
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
fn entity<'a>(out: &mut Parts<'a>, record: &'a Record) {
    let plain =
        [("id", "entity_id"), ("kind", "entity_kind"), ("name", "entity_name"), ("scores", "scores"), ("link", "link")];
    take(out, record, &plain);
    let Some(name) = record.get("name").or_else(|| record.get("id")) else { return };
    let only = Part::Own(Value::Array(vec![name.clone()]));
    match record.get("kind").and_then(Value::as_str) {
        Some("host") => out.insert("endpoints", only),
        Some("account" | "user") => out.insert("users", only),
        _ => None,
    };
}

/// Takes fields over under other names.
fn take<'a>(out: &mut Parts<'a>, record: &'a Record, names: &[(&str, &'static str)]) {
    for (from, to) in names {
        if let Some(value) = record.get(*from).filter(|value| !value.is_null()) {
            out.insert(to, Part::Borrowed(value));
        }
    }
}

fn take_times<'a>(out: &mut Parts<'a>, record: &'a Record, format: TimeFormat, names: &[(&str, &'static str)]) {
    for (from, to) in names {
        if let Some(value) = record.get(*from).filter(|value| value.is_string()) {
            out.insert(to, time(value, format));
        }
    }
}

/// A time as the destination wants it.
fn time(value: &Value, format: TimeFormat) -> Part<'_> {
    match (format, value.as_str().map(Time::parse)) {
        (TimeFormat::EpochMicros, Some(Ok(time))) => Part::Own(json!(time.micros())),
        _ => Part::Borrowed(value),
    }
}

/// A list of texts; one text alone is a list of one.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let items = match value {
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    items.iter().filter(|item| item.is_string())
}

/// A detection as it is sent. It is kept as it came, so that a value of it may be of any type.
struct Detection<'a> {
    given: &'a Value,
    format: TimeFormat,
}

/// How a value of a detection is sent.
enum Sent {
    /// As text, when it is a text or a number.
    Text,
    /// As a time, when it is a text.
    Time,
    /// As a list of texts, always.
    Texts,
}

/// The keys of a detection in order: what they are called when sent, when kept, and how they are sent.
const DETECTION: [(&str, &str, Sent); 12] = [
    ("approx_log_time", "approx_log_time", Sent::Time),
    ("description", "description", Sent::Text),
    ("dest_hosts", "dest_hosts", Sent::Texts),
    ("dest_ips", "dest_ips", Sent::Texts),
    ("dest_users", "dest_users", Sent::Texts),
    ("detection_id", "id", Sent::Text),
    ("rules", "rules", Sent::Texts),
    ("src_hosts", "src_hosts", Sent::Texts),
    ("src_ips", "src_ips", Sent::Texts),
    ("src_users", "src_users", Sent::Texts),
    ("type", "type", Sent::Text),
    ("use_case", "use_case", Sent::Text),
];

impl Serialize for Detection<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        for (to, from, how) in &DETECTION {
            let given = self.given.get(*from);
            match (how, given) {
                (Sent::Texts, given) => out.serialize_entry(to, &Part::Texts(given))?,
                (Sent::Text, Some(Value::String(text))) => out.serialize_entry(to, text)?,
                (Sent::Text, Some(Value::Number(number))) => out.serialize_entry(to, &number.to_string())?,
                (Sent::Time, Some(value @ Value::String(_))) => out.serialize_entry(to, &time(value, self.format))?,
                (Sent::Text | Sent::Time, _) => {}
            }
        }
        out.end()
    }
}

/// The summary: the sender's own, or what is known put into one text.
fn summary(record: &Record) -> String {
    if let Some(own) = record.get("threat_summary").and_then(Value::as_str).filter(|own| !own.is_empty()) {
        return own.to_owned();
    }
    let detections = record.get("detections").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rules = texts(record.get("rules")).chain(detections.iter().flat_map(|one| texts(one.get("rules"))));
    let is_tactic = |id: &&Value| id.as_str().is_some_and(|id| id.starts_with("TA"));
    let mut text = match detections.len() {
        1 => "1 related detection".to_owned(),
        n => format!("{n} related detections"),
    };
    list(&mut text, "triggered rules", rules);
    list(&mut text, "ATT&CK tactics", texts(record.get("mitres")).filter(is_tactic));
    list(&mut text, "ATT&CK techniques", texts(record.get("mitres")).filter(|id| !is_tactic(id)));
    list(&mut text, "users", texts(record.get("users")));
    list(&mut text, "endpoints", texts(record.get("endpoints")));
    // Writing into a text cannot fail.
    if let Some(score) = record.get("risk_score").filter(|score| score.is_number()) {
        let _ = write!(text, "; risk score: {score}");
    }
    if let Some(scores) = record.get("scores").and_then(Value::as_object) {
        for (name, score) in scores {
            let _ = write!(text, "; {name} score: {score}");
        }
    }
    if let Some(by) = record.get("grouped_by").and_then(Value::as_object) {
        let word = |name: &str| by.get(name).map(plain).unwrap_or_default();
        let _ = write!(text, "; grouped by {}: {}", word("key"), word("value"));
    }
    text
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Adds names to a summary, once each, in their order, a bounded number of them.
fn list<'a>(text: &mut String, what: &str, names: impl Iterator<Item = &'a Value>) {
    let mut seen: HashSet<&str> = HashSet::new();
    let _ = write!(text, "; {what}: ");
    for name in names.filter_map(Value::as_str) {
        if !seen.insert(name) || seen.len() > SUMMARY_NAMES_MAX {
            continue;
        }
        if seen.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    match seen.len() {
        0 => text.push_str("none"),
        n if n > SUMMARY_NAMES_MAX => {
            let _ = write!(text, " and {} more", n - SUMMARY_NAMES_MAX);
        }
        _ => {}
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
