//! Answers of the API as text for people: rows of tables, records with their parts.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::console::{Console, Tone, one_line};
use super::records::Column;

/// Deepest nesting that is spelled out; deeper parts are shown as JSON.
const DEPTH_MAX: usize = 4;

/// The columns of a run's steps.
const STEPS: &[Column] = &[
    ("STEP", &["path"]),
    ("ACTION", &["action"]),
    ("STATUS", &["status"]),
    ("STARTED", &["started_at"]),
    ("ENDED", &["ended_at"]),
];
/// The columns of a run's deliveries.
const SENT: &[Column] = &[
    ("DELIVERY", &["delivery_id"]),
    ("DESTINATION", &["destination"]),
    ("STATUS", &["status"]),
    ("HTTP", &["http_status"]),
    ("TRIES", &["attempts"]),
    ("NEXT", &["next_at"]),
    ("WHY", &["reason"]),
];

/// The rows of a listing, the headings first.
pub(super) fn rows(items: &[Value], columns: &[Column]) -> Vec<Vec<String>> {
    let mut rows = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<_>>()];
    for item in items {
        let cell = |(_, keys): &Column| {
            let found = keys.iter().map(|key| &item[*key]).find(|value| !value.is_null());
            found.map_or_else(|| "-".to_owned(), scalar)
        };
        rows.push(columns.iter().map(cell).collect());
    }
    rows
}

/// One record: its plain fields lined up, then its parts.
pub(super) fn record(console: &Console, value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) => fields_of(console, fields, 0, &mut out),
        other => out.push_str(&scalar(other)),
    }
    while out.ends_with('\n') {
        out.pop();
    }
    out
}

fn fields_of(console: &Console, fields: &Map<String, Value>, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let plain = |value: &Value| !is_part(value, depth);
    let shown = || fields.iter().filter(|(_, value)| !is_empty(value));
    let width = shown().filter(|(_, v)| plain(v)).map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    for (key, value) in shown().filter(|(_, value)| plain(value)) {
        let text = scalar(value);
        let text = console.paint(Tone::of(&text), &text);
        let gap = " ".repeat(width - key.chars().count() + 2);
        let _ = writeln!(out, "{pad}{}{gap}{text}", console.paint(Tone::Dim, &one_line(key)));
    }
    for (key, value) in shown().filter(|(_, value)| !plain(value)) {
        let _ = writeln!(out, "{pad}{}", console.paint(Tone::Bold, &one_line(key)));
        part(console, value, depth + 1, out);
    }
}

fn part(console: &Console, value: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(fields) => fields_of(console, fields, depth, out),
        Value::Array(items) => {
            for item in items {
                let before = out.len();
                part(console, item, depth + 1, out);
                // The first line of an item carries the mark of a list.
                let mark = format!("{pad}- ");
                if let Some(line) = out.get(before..).filter(|line| line.len() >= mark.len()).map(str::to_owned) {
                    out.truncate(before);
                    out.push_str(&mark);
                    out.push_str(line.get(mark.len()..).unwrap_or_default());
                }
            }
        }
        Value::String(text) => {
            for line in text.lines() {
                let _ = writeln!(out, "{pad}{}", one_line(line));
            }
        }
        other => {
            let _ = writeln!(out, "{pad}{}", scalar(other));
        }
    }
}

/// Whether a value takes lines of its own.
fn is_part(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(_) => depth < DEPTH_MAX,
        Value::Array(items) => depth < DEPTH_MAX && items.iter().any(|item| item.is_object() || item.is_array()),
        Value::String(text) => text.contains('\n'),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A change of an object: text already, or an object and what happened to it.
pub(super) fn change(value: &Value) -> String {
    match (value["object"].as_str(), value["text"].as_str()) {
        (Some(object), Some(text)) => one_line(&format!("{object} {text}")),
        _ => scalar(value),
    }
}

/// A value on one line.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => one_line(text),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(scalar).collect::<Vec<_>>().join(", ")
        }
        other => one_line(&other.to_string()),
    }
}

/// A run: its plain fields, then steps, deliveries and history as tables.
pub(super) fn run(console: &Console, run: &Value) -> std::io::Result<()> {
    let mut head = run.clone();
    let mut take = |key: &str| head.as_object_mut().and_then(|fields| fields.remove(key)).unwrap_or_default();
    let (steps, sent, moments, text) = (take("steps"), take("sent"), take("history"), take("playbook_text"));
    console.data(&record(console, &head))?;
    let tables = [
        ("steps", rows(list(&steps), STEPS)),
        ("deliveries", rows(list(&sent), SENT)),
        ("history", history(list(&moments))),
    ];
    for (title, rows) in tables.iter().filter(|(_, rows)| rows.len() > 1) {
        console.data(&console.paint(Tone::Bold, &format!("\n{title}")))?;
        console.table(rows)?;
    }
    for step in list(&steps) {
        if let Some(message) = step["error"]["message"].as_str() {
            let line = format!("\n{} failed: {}", scalar(&step["path"]), one_line(message));
            console.data(&console.paint(Tone::Bad, &line))?;
        }
    }
    if text.is_string() {
        console.data(&console.paint(Tone::Dim, "\nthe playbook as it ran, and all inputs and outputs: --json"))?;
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The rows of a run's history, the headings first.
pub(super) fn history(moments: &[Value]) -> Vec<Vec<String>> {
    let mut rows = vec![["ENTRY", "TIME", "FACT", "STEP", "OUTCOME"].map(str::to_owned).to_vec()];
    for moment in moments {
        let [seq, time, fact, path] = ["seq", "time", "fact", "path"].map(|key| scalar(&moment[key]));
        rows.push(vec![seq, time, fact, path, outcome(moment)]);
    }
    rows
}

/// What a moment of a run's history came to.
fn outcome(moment: &Value) -> String {
    let attempt = &moment["attempt"];
    if attempt.is_object() {
        let to = attempt["destination"].as_str().map_or(String::new(), |to| format!("{to}: "));
        let status = attempt["http_status"].as_u64().map_or(String::new(), |status| format!(" (HTTP {status})"));
        return format!("{to}try {} {}{status}", attempt["n"], scalar(&attempt["outcome"]));
    }
    match (moment["status"].as_str(), moment["detail"].as_str()) {
        (Some(status), Some(detail)) => format!("{status}: {detail}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_takes_the_first_key_that_is_there() {
        let items =
            [json!({"case_id": null, "alert_id": "A-1"}), json!({"case_id": "C-1", "alert_id": "A-1"}), json!({})];
        let rows = rows(&items, &[("ABOUT", &["case_id", "alert_id"])]);
        assert_eq!(rows, [["ABOUT"], ["A-1"], ["C-1"], ["-"]]);
    }

    #[test]
    fn a_record_shows_its_plain_fields_first_and_then_its_parts() {
        let value = json!({"steps": [{"path": "send", "attempts": [{"n": 1}, {"n": 2}]}, {"path": "tag"}], "status": "failed", "tags": ["a", "b"], "nothing": null});
        let text = record(&Console::plain(), &value);
        assert_eq!(
            text,
            "status  failed\ntags    a, b\nsteps\n  - path  send\n    attempts\n      - n  1\n      - n  2\n  - path  tag"
        );
    }
}
