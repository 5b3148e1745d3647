//! Logs of the server: one line for each event, on stderr, as JSON or text.
//!
//! Invariants: a line is a line, whatever an attacker puts into an alert's name: control characters and those that
//! change the direction of text are escaped, and a line is cut at [`LINE_BYTES_MAX`]. A panic is logged with its place
//! and its message, never with values of requests: no message of ours holds a secret.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::panic::{PanicHookInfo, UnwindSafe, catch_unwind};
use std::process::ExitCode;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Longest line of a log, in bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Longest value of one field, in bytes.
const VALUE_BYTES_MAX: usize = 2 * 1024;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For collectors: one JSON object a line.
    Json,
}

/// Starts logging. `level` is `info`, or a list such as `info,engine=debug`; the configuration has checked it.
pub(crate) fn start(format: Format, level: &Targets) {
    let lines = Lines { format };
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(level.clone())).try_init();
}

/// Runs the program. A panic is a bug: it is logged, and the exit code is 1.
pub(crate) fn catch_panics(run: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    std::panic::set_hook(Box::new(log_panic));
    catch_unwind(run).unwrap_or(ExitCode::from(1))
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    if tracing::dispatcher::has_been_set() {
        tracing::error!(place, message, "a bug: the program panicked; please report it");
    } else {
        let mut line = String::from("a bug: the program panicked at ");
        escape(&mut line, &format!("{place}: {message}; please report it"), VALUE_BYTES_MAX);
        line.push('\n');
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Writes each event as one line.
struct Lines {
    format: Format,
}

/// The fields of a span, kept until its events are written.
struct SpanFields(Map<String, Value>);

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Collect(Map::new());
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields.0));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Collect(Map::new());
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(kept) = span.extensions_mut().get_mut::<SpanFields>()
        {
            kept.0.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(kept) = span.extensions().get::<SpanFields>() {
                    fields.extend(kept.0.clone());
                }
            }
        }
        let mut own = Collect(fields);
        event.record(&mut own);
        let message = own.0.remove("message");
        let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
        let data = event.metadata();
        let time = engine::clock::wall().to_string();
        let mut line = match self.format {
            Format::Json => json_line(&time, data.level().as_str(), data.target(), message, own.0),
            Format::Text => text_line(&time, data.level().as_str(), data.target(), message, &own.0),
        };
        line.push('\n');
        // One write a line, so that lines of different threads do not mix. A closed stderr is no reason to stop.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn json_line(time: &str, level: &str, target: &str, message: &str, fields: Map<String, Value>) -> String {
    let mut line = Map::new();
    for (key, text) in [("time", time), ("level", level), ("target", target), ("message", message)] {
        line.insert(key.to_owned(), Value::String(cut(text, VALUE_BYTES_MAX)));
    }
    let head = ascii(&Value::Object(line.clone()).to_string());
    line.insert("fields".to_owned(), Value::Object(fields));
    let whole = ascii(&Value::Object(line).to_string());
    if whole.len() <= LINE_BYTES_MAX { whole } else { format!("{},\"truncated\":true}}", head.trim_end_matches('}')) }
}

/// JSON with everything that a terminal or a viewer could act on written as `\u….`: the JSON writer escapes only what
/// JSON itself demands.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if crate::cli::console::is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn text_line(time: &str, level: &str, target: &str, message: &str, fields: &Map<String, Value>) -> String {
    let mut line = format!("{time} {level:5} {target}: ");
    escape(&mut line, message, VALUE_BYTES_MAX);
    for (key, value) in fields {
        if line.len() >= LINE_BYTES_MAX {
            line.push_str(" …");
            break;
        }
        let _ = write!(line, " {key}=");
        match value {
            Value::String(text) if text.contains([' ', '"', '=']) || text.is_empty() => {
                line.push('"');
                escape(&mut line, text, VALUE_BYTES_MAX);
                line.push('"');
            }
            Value::String(text) => escape(&mut line, text, VALUE_BYTES_MAX),
            other => escape(&mut line, &other.to_string(), VALUE_BYTES_MAX),
        }
    }
    line
}

/// Appends text on one line, cut at `max` bytes.
fn escape(line: &mut String, text: &str, max: usize) {
    for (at, c) in text.char_indices() {
        if at >= max {
            line.push('…');
            return;
        }
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if crate::cli::console::is_unsafe(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
}

fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= max).last().unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// Collects the fields of a span or an event as JSON values.
struct Collect(Map<String, Value>);

impl Visit for Collect {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::String(cut(&format!("{value:?}"), VALUE_BYTES_MAX)));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::String(cut(value, VALUE_BYTES_MAX)));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), Value::Bool(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.insert(field.name().to_owned(), Value::String(cut(&value.to_string(), VALUE_BYTES_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "alert\r\n2026-01-01 ERROR forged\u{1b}]0;x\u{7}\u{202e}\"";

    fn fields(value: &str) -> Map<String, Value> {
        Map::from_iter([("name".to_owned(), Value::String(value.to_owned()))])
    }

    #[test]
    fn a_forged_line_stays_inside_its_field_in_text() {
        let line = text_line("t", "INFO", "engine", EVIL, &fields(EVIL));
        assert_eq!(line.lines().count(), 1);
        assert!(!line.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}']));
        assert!(line.contains("forged"));
    }

    #[test]
    fn a_json_line_is_one_object_that_gives_the_text_back() {
        let line = json_line("t", "INFO", "engine", EVIL, fields(EVIL));
        assert_eq!(line.lines().count(), 1);
        assert!(!line.contains(['\u{1b}', '\u{7f}', '\u{202e}']));
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["fields"]["name"], EVIL);
        assert_eq!(read["message"], EVIL);
    }

    #[test]
    fn a_long_line_is_cut_and_still_readable() {
        let many: Map<String, Value> = (0..50).map(|n| (n.to_string(), Value::String("ä".repeat(1_000)))).collect();
        let line = json_line("t", "INFO", "engine", &"x".repeat(1 << 20), many.clone());
        assert!(line.len() <= LINE_BYTES_MAX);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["truncated"], true);
        assert!(
            text_line("t", "INFO", "engine", &"x".repeat(1 << 20), &many).len() <= LINE_BYTES_MAX + 3 * VALUE_BYTES_MAX
        );
    }
}
