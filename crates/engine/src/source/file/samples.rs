//! A source's own samples: each body goes the whole way that a request's body goes, and what comes out is compared with
//! what the sample expects, as far as it says something.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use model::record::Vocabulary;
use model::{Event, Time};
use playbook::{Diagnostic, Evaluator, Severity, Span, look};
use serde_json::{Map, Value, json};

use super::{Mapped, Sample, SourceFile, codes};
use crate::source::{Context, Limits, Shape, Source, read};

/// When samples arrive, in milliseconds since 1970 (2026-01-01): it shows only where a sample names no time.
const NOW: Time = Time::from_millis(1_767_225_600_000);

/// A sample that was run.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its name.
    pub sample: String,
    /// Where it stands.
    pub span: Span,
    /// What is not as it expects; nothing when all is.
    pub differences: Vec<String>,
    /// What the body became.
    pub events: Vec<Value>,
}

impl Ran {
    /// The failure as a diagnostic of the file; nothing when it passed.
    pub fn diagnostic(&self, file: &Arc<str>) -> Option<Diagnostic> {
        if self.differences.is_empty() {
            return None;
        }
        let message = format!("the sample `{}`: {}", self.sample, self.differences.join("; "));
        let help = Some("correct the mapping, or what the sample expects".to_owned());
        let (file, excerpt) = (file.clone(), String::new());
        Some(Diagnostic {
            code: codes::SAMPLE,
            severity: Severity::Error,
            message,
            file,
            span: self.span,
            excerpt,
            help,
        })
    }
}

/// Runs the samples of a file.
pub fn run(file: &Arc<SourceFile>, evaluator: &Evaluator) -> Vec<Ran> {
    let shape: Arc<dyn Shape> = Arc::new(Mapped::new(Arc::clone(file), evaluator.clone()));
    let timezone = file.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
    let source = Source { name: file.name.clone(), timezone, shape, tenants: None };
    file.samples.iter().map(|sample| one(&source, sample)).collect()
}

fn one(source: &Source, sample: &Sample) -> Ran {
    let header =
        |(name, value): &(String, String)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?));
    let headers: HeaderMap = sample.headers.iter().filter_map(header).collect();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let words = Vocabulary::default();
    let ctx = Context {
        words: &words,
        tenants: None,
        tenant: None,
        now: NOW,
        header_key: text("webhook-id"),
        signed_key: None,
        content_type: text("content-type"),
        headers: Some(&headers),
        limits: Limits::default(),
    };
    let (events, mut differences) = match read(source, Bytes::copy_from_slice(sample.body.as_bytes()), &ctx) {
        Err(error) => (Vec::new(), vec![format!("the body is refused: {error}")]),
        Ok(reading) => {
            let mut refused = Vec::new();
            let events = reading.elements.into_iter().filter_map(|element| match element {
                Ok(incoming) => Some(shown(&incoming.event)),
                Err(error) => {
                    refused.push(format!("an event is refused: {error}"));
                    None
                }
            });
            let events: Vec<Value> = events.collect();
            (events, refused)
        }
    };
    if differences.is_empty() && events.len() != sample.expect.len() {
        differences.push(format!("it gives {} events, and {} are expected", events.len(), sample.expect.len()));
    }
    for (event, expected) in events.iter().zip(&sample.expect) {
        compare("", event, expected, &mut differences);
        let absent = expected.get("absent").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let there = absent.filter(|path| look(event, path).is_some_and(|value| !value.is_null()));
        differences.extend(there.map(|path| format!("`{path}` is there, and is expected to be absent")));
    }
    Ran { sample: sample.name.clone(), span: sample.span, differences, events }
}

/// An event as samples see it: the keys of the normalised shape, and `warnings`.
fn shown(event: &Event) -> Value {
    let mut shown = Map::new();
    shown.insert("type".to_owned(), json!(event.kind));
    shown.insert("id".to_owned(), json!(event.own_id));
    shown.insert("time".to_owned(), json!(event.time.to_string()));
    shown.insert("tenant".to_owned(), json!(event.tenant));
    shown.insert("from".to_owned(), json!(event.from));
    shown.insert("data".to_owned(), event.data.clone());
    shown.insert("warnings".to_owned(), json!(event.warnings));
    if let Some(subject) = &event.subject {
        shown.insert(subject.kind.name().to_owned(), Value::Object((*subject.fields).clone()));
    }
    Value::Object(shown)
}

/// What is not as expected: of an object the keys that are named; `absent` at the top lists paths where nothing may be.
fn compare(at: &str, got: &Value, wanted: &Value, differences: &mut Vec<String>) {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            let absent = Value::Null;
            for (key, wanted) in wanted {
                if at.is_empty() && key == "absent" {
                    continue;
                }
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                compare(&at, got.get(key).unwrap_or(&absent), wanted, differences);
            }
        }
        (Value::Array(got), Value::Array(wanted)) if got.len() == wanted.len() => {
            for (n, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                compare(&format!("{at}[{n}]"), got, wanted, differences);
            }
        }
        (got, wanted) if same(got, wanted) => {}
        (got, wanted) => differences.push(format!("`{at}` is {got}, and {wanted} is expected")),
    }
}

/// Whether two values are equal; numbers by their value.
fn same(got: &Value, wanted: &Value) -> bool {
    got == wanted || got.as_f64().zip(wanted.as_f64()).is_some_and(|(got, wanted)| got == wanted)
}

/// The names of the ten normal fields of an alert, with the fields that fill them.
pub const NORMAL: [(&str, &[&str]); 10] = [
    ("id", &["id"]),
    ("name", &["name"]),
    ("priority", &["priority"]),
    ("score", &["risk_score"]),
    ("time", &["created_time", "last_update_time"]),
    ("users", &["users"]),
    ("endpoints", &["endpoints"]),
    ("ATT&CK", &["mitres"]),
    ("link", &["link"]),
    ("detections", &["detections"]),
];

/// Which of the ten normal fields the alerts of a source's samples fill, taken together.
pub fn filled(file: &Arc<SourceFile>, evaluator: &Evaluator) -> BTreeSet<&'static str> {
    let ran = run(file, evaluator);
    let alerts =
        ran.iter().flat_map(|ran| &ran.events).filter_map(|event| event.get("alert").or_else(|| event.get("case")));
    alerts.flat_map(normal).collect()
}

/// Which of the ten normal fields an alert fills.
pub fn normal(alert: &Value) -> BTreeSet<&'static str> {
    let there = |names: &[&str]| names.iter().any(|name| alert.get(name).is_some_and(|value| !value.is_null()));
    NORMAL.iter().filter(|(_, names)| there(names)).map(|(name, _)| *name).collect()
}
