//! `exabeam`: Exabeam Threat Center's "Send all threat details via webhook", one key-value message for a case or an
//! alert. Sortie sends the same message, so that two Sorties understand each other.
//!
//! The vendor documents the keys and not the formats of their values: lists may be lists or text with commas, times RFC
//! 3339, epoch microseconds, or without a zone; empty text means nothing.

use std::sync::Arc;

use model::record::{self, FieldType, Record, Strictness};
use model::{Kind, Subject, Time};
use serde_json::{Map, Number, Value};

use super::{Draft, Drafts, Help, Shape, Unfit, id};

/// The message's keys, and the fields of a case that they become. Others are fields of that name, or extras.
const CASE_KEYS: [(&str, &str); 8] = [
    ("case_id", "id"),
    ("case_number", "number"),
    ("alert_name", "name"),
    ("case_closed_reason", "closed_reason"),
    ("case_close_supporting_reason", "close_supporting_reason"),
    ("case_created_time", "created_time"),
    ("case_closed_time", "closed_time"),
    ("alert_created_time", "alert_created_time"),
];

/// The same for an alert.
const ALERT_KEYS: [(&str, &str); 3] =
    [("alert_id", "id"), ("alert_name", "name"), ("alert_created_time", "created_time")];

/// The keys of a detection that the vendor names in words only, and ours.
const DETECTION_KEYS: [(&str, &str); 10] = [
    ("detection_id", "id"),
    ("detection_type", "type"),
    ("detection_description", "description"),
    ("triggered_rules", "rules"),
    ("source_users", "src_users"),
    ("destination_users", "dest_users"),
    ("source_ips", "src_ips"),
    ("destination_ips", "dest_ips"),
    ("source_hosts", "src_hosts"),
    ("destination_hosts", "dest_hosts"),
];

/// The keys of a detection that hold lists.
const DETECTION_LISTS: [&str; 7] =
    ["rules", "src_users", "dest_users", "src_ips", "dest_ips", "src_hosts", "dest_hosts"];

/// The highest score that a summary may tell; a larger number is something else.
const SCORE_MAX: f64 = 1_000_000.0;

/// What names an item of a list of objects, the first that is there; of a MITRE item both keys count.
const ITEM_NAMES: [&str; 4] = ["name", "value", "id", "key"];
const MITRE_KEYS: [&str; 4] = ["tactic_key", "tacticKey", "technique_key", "techniqueKey"];

/// Exabeam Threat Center's message.
#[derive(Debug)]
pub(super) struct Exabeam;

impl Shape for Exabeam {
    fn name(&self) -> &str {
        "exabeam"
    }

    fn prefixes_ids(&self) -> bool {
        false
    }

    fn first_sight_creates(&self) -> bool {
        true
    }

    fn normalise(&self, body: Map<String, Value>, help: &Help<'_>) -> Result<Drafts, Unfit> {
        let given = |key: &str| body.get(key).filter(|value| !is_nothing(value));
        let (kind, key, value) = match (given("case_id"), given("alert_id")) {
            (Some(value), _) => (Kind::Case, "case_id", value),
            (None, Some(value)) => (Kind::Alert, "alert_id", value),
            (None, None) => return Err(Unfit::Unreadable("neither `case_id` nor `alert_id` is given".to_owned())),
        };
        let own = id::text(value).map_err(|message| Unfit::Unreadable(format!("`{key}`: {message}")))?;
        let mut warnings = Vec::new();
        let mut fields = fields(kind, body, &mut warnings);
        fields.insert("id".to_owned(), Value::String(own.clone()));
        let how = Strictness::Lenient { zone: help.zone };
        let (_, noticed) = record::normalise(kind, &mut fields, help.words, how);
        warnings.extend(noticed);
        let time = fields.get("last_update_time").and_then(Value::as_str).and_then(|text| Time::parse(text).ok());
        let subject = Some(Subject { kind, id: own, fields: Arc::new(fields) });
        Ok(Drafts::One(Draft { kind: format!("{kind}.updated"), time, subject, warnings, ..Draft::default() }))
    }
}

/// The score that a summary tells: `… risk score: 92 …`. A part of the text that begins so counts more than one that merely
/// holds it, since names of users and rules stand in it, too.
fn told_score(summary: &str) -> Option<Number> {
    let text: String = summary.to_lowercase().replace(['_', '\u{a0}'], " ");
    let after = |part: &str| -> Option<Number> {
        let rest = part.trim_start_matches(|c: char| c.is_whitespace() || ":=".contains(c));
        let rest = ["is ", "of "].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest).trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let told: Number = rest.get(..end)?.trim_end_matches('.').parse().ok()?;
        told.as_f64().is_some_and(|score| score <= SCORE_MAX).then_some(told)
    };
    let parts = || text.split(['\n', '\r', ';', '|', ',', '•']).map(|part| part.trim_start_matches(['-', '*', ' ']));
    let begins = ["risk score", "total risk score", "total score", "score"];
    let told = parts().find_map(|part| begins.iter().find_map(|begin| after(part.strip_prefix(begin)?)));
    told.or_else(|| text.match_indices("risk score").find_map(|(at, word)| after(text.get(at + word.len()..)?)))
}

/// The message's keys as fields; what is no field is an extra.
fn fields(kind: Kind, body: Map<String, Value>, warnings: &mut Vec<String>) -> Record {
    let keys: &[(&str, &str)] = if kind == Kind::Case { &CASE_KEYS } else { &ALERT_KEYS };
    let mut fields = Record::new();
    let mut extra = Map::new();
    for (key, value) in body {
        let name = keys.iter().find(|(theirs, _)| *theirs == key).map_or(key.as_str(), |(_, ours)| ours);
        match kind.field(name) {
            // The id of the other kind, and an alert's workflow keys, may come empty: that says nothing.
            _ if is_nothing(&value) && matches!(key.as_str(), "case_id" | "alert_id") => {}
            None if is_nothing(&value) => {}
            Some(field) if key == "id" || fields.contains_key(field.name) => {
                warnings.push(format!("`{key}` is kept in the raw body only: another key means the same"));
            }
            Some(field) => {
                fields.insert(field.name.to_owned(), plain(field.ty, value));
            }
            None => {
                warnings.push(format!("unknown key `{key}` is kept as `{kind}.extra.{key}`"));
                extra.insert(key, value);
            }
        }
    }
    add_extra(&mut fields, extra);
    if !fields.contains_key("risk_score")
        && let Some(score) = fields.get("threat_summary").and_then(Value::as_str).and_then(told_score)
    {
        fields.insert("risk_score".to_owned(), Value::Number(score));
    }
    fields
}

fn add_extra(fields: &mut Record, extra: Map<String, Value>) {
    if extra.is_empty() {
        return;
    }
    match fields.get_mut("extra") {
        Some(Value::Object(given)) => given.extend(extra),
        _ => {
            fields.insert("extra".to_owned(), Value::Object(extra));
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A value in the form that the field has.
fn plain(ty: FieldType, value: Value) -> Value {
    match ty {
        FieldType::TextList => list(value),
        FieldType::Detections => detections(value),
        _ if is_nothing(&value) => Value::Null,
        FieldType::Time => time(value),
        FieldType::Number => match value.as_str().and_then(|text| text.trim().parse().ok()) {
            Some(number) => Value::Number(number),
            None => value,
        },
        _ => value,
    }
}

/// Epoch microseconds may come as text.
fn time(value: Value) -> Value {
    match value.as_str().and_then(|text| text.trim().parse::<i64>().ok()) {
        Some(micros) => micros.into(),
        None => value,
    }
}

fn list(value: Value) -> Value {
    match value {
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
        }
        Value::Array(items) => items.into_iter().flat_map(items_of).collect(),
        other => other,
    }
}

/// The texts that an item of a list stands for.
fn items_of(item: Value) -> Vec<Value> {
    let item = match item {
        Value::Object(item) => item,
        item if is_nothing(&item) => return Vec::new(),
        item => return vec![item],
    };
    let text = |key: &&str| item.get(*key).filter(|value| !is_nothing(value)).cloned();
    let mitre: Vec<Value> = MITRE_KEYS.iter().filter_map(text).collect();
    if !mitre.is_empty() {
        return mitre;
    }
    ITEM_NAMES.iter().find_map(text).map_or_else(|| vec![Value::Object(item.clone())], |name| vec![name])
}

fn detections(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(detection).collect(),
        Value::Object(_) => Value::Array(vec![detection(value)]),
        Value::Null => Value::Null,
        Value::String(text) if text.trim().is_empty() => Value::Array(Vec::new()),
        other => other,
    }
}

fn detection(value: Value) -> Value {
    let Value::Object(given) = value else { return value };
    let mut fields = Map::new();
    for (key, value) in given {
        let known = DETECTION_KEYS.iter().find(|(theirs, _)| *theirs == key);
        let name = known.map_or(key.as_str(), |(_, ours)| ours);
        let value = match name {
            "approx_log_time" if is_nothing(&value) => Value::Null,
            "approx_log_time" => time(value),
            name if DETECTION_LISTS.contains(&name) => list(value),
            _ => value,
        };
        fields.insert(name.to_owned(), value);
    }
    Value::Object(fields)
}
