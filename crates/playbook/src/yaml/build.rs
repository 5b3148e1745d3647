//! From the events of the parser to nodes; what YAML means otherwise than it seems is refused on the way.

use std::collections::HashSet;
use std::sync::Arc;

use model::limits;
use serde_saphyr::granit_parser as parser;

use super::{Key, Node, Style, Value};
use crate::diagnostic::{Diagnostic, Span};
use crate::reader::{Reader, clamp};

/// Reads one document.
///
/// # Errors
/// Everything that is wrong with it; a mistake in the syntax ends the reading.
pub fn parse(file: &Arc<str>, text: &str) -> Result<Node, Vec<Diagnostic>> {
    let mut reader = Reader::new(file.clone(), text.get(..EXCERPT_BYTES.min(text.len())).unwrap_or_default());
    if text.len() > limits::PLAYBOOK_FILE_BYTES_MAX {
        let most = limits::PLAYBOOK_FILE_BYTES_MAX / 1024;
        let message = format!("the file has {} KB; at most {most} KB are read", text.len().div_ceil(1024));
        reader.error("PB007", Span { line: 1, column: 1, len: 1 }, message, None);
        return Err(reader.finish());
    }
    let reader = Reader::new(file.clone(), text);
    let mut builder = Builder { reader, open: Vec::new(), root: None, documents: 0 };
    for event in parser::Parser::new_from_str(text) {
        let done = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => builder.syntax(&error),
        };
        if done.is_err() || builder.reader.full() {
            break;
        }
    }
    builder.finish()
}

/// How much of a file that is too large is looked at for the message.
const EXCERPT_BYTES: usize = 1_000;

/// The reading ends here; what was wrong is noted.
struct Stop;

/// A list or a map that is still being filled.
enum Open {
    List { span: Span, offset: usize, items: Vec<Node> },
    Map { span: Span, offset: usize, entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

struct Builder {
    reader: Reader,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: parser::Event<'_>, at: &parser::Span) -> Result<(), Stop> {
        use parser::Event;
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let help = Some("write one file for each playbook".to_owned());
                    self.reader.error("PB006", place(at), "the file holds several documents", help);
                    return Err(Stop);
                }
                Ok(())
            }
            Event::Alias(..) => {
                self.reused(place(at), "an alias");
                self.put(Node { span: place(at), value: Value::Null, style: Style::Plain, offset: byte(at) }, true);
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.marks(at, anchor, tag.as_deref());
                self.scalar(&text, style, at, tag.is_some());
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.marks(at, anchor, tag.as_deref());
                let open = Open::List { span: place(at), offset: byte(at), items: Vec::new() };
                self.deeper(at, open)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.marks(at, anchor, tag.as_deref());
                let (entries, seen) = (Vec::new(), HashSet::new());
                let open = Open::Map { span: place(at), offset: byte(at), entries, seen, key: None };
                self.deeper(at, open)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tags and anchors.
    fn marks(&mut self, at: &parser::Span, anchor: usize, tag: Option<&parser::Tag>) {
        if anchor != 0 {
            self.reused(place(at), "an anchor");
        }
        if let Some(tag) = tag {
            let span = at.tag_span().map_or_else(|| place(at), |tag| place(&tag));
            let message = format!("`{}` is read by YAML as a tag, not as a value", tag.original());
            let rest = self.reader.line(span.line).chars().skip(span.column as usize - 1).collect::<String>();
            let help = format!("quote this: '{}'", rest.trim().replace('\'', "''"));
            self.reader.error("PB002", span, message, Some(help));
        }
    }

    fn reused(&mut self, span: Span, what: &str) {
        let help = "write the value where it is needed; for reuse there are `vars`".to_owned();
        self.reader.error("PB003", span, format!("{what} is not allowed here"), Some(help));
    }

    fn deeper(&mut self, at: &parser::Span, open: Open) -> Result<(), Stop> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            self.reader.error("PB009", place(at), "a key must be text", Some("quote this".to_owned()));
            return Err(Stop);
        }
        if self.open.len() >= limits::JSON_DEPTH_MAX {
            let message = format!("nested deeper than {} levels", limits::JSON_DEPTH_MAX);
            self.reader.error("PB007", place(at), message, None);
            return Err(Stop);
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) {
        let node = match self.open.pop() {
            Some(Open::List { span, offset, items }) => {
                Node { span, value: Value::List(items), style: Style::Plain, offset }
            }
            Some(Open::Map { span, offset, entries, .. }) => {
                Node { span, value: Value::Map(entries), style: Style::Plain, offset }
            }
            None => return,
        };
        self.put(node, false);
    }

    fn scalar(&mut self, text: &str, style: parser::ScalarStyle, at: &parser::Span, tagged: bool) {
        let style = match style {
            parser::ScalarStyle::SingleQuoted => Style::SingleQuoted,
            parser::ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            parser::ScalarStyle::Literal => Style::Literal,
            parser::ScalarStyle::Folded => Style::Folded,
            _ => Style::Plain,
        };
        let span = place(at);
        if let Some(Open::Map { key: key @ None, seen, .. }) = self.open.last_mut() {
            let repeated = !seen.insert(text.to_owned());
            *key = Some(Key { text: text.to_owned(), span });
            if text == "<<" && style == Style::Plain {
                self.reused(span, "a merge key");
            } else if repeated {
                let help = "keep one of the two".to_owned();
                self.reader.error("PB004", span, format!("the key `{text}` stands here twice"), Some(help));
            }
            return;
        }
        let empty = at.is_empty() && style == Style::Plain;
        let value =
            if style == Style::Plain && !tagged { self.plain(text, span) } else { Value::Text(text.to_owned()) };
        let value = if empty { Value::Null } else { value };
        self.put(Node { span, value, style, offset: byte(at) }, tagged);
    }

    /// What a scalar without quotes is, by the core schema of YAML 1.2; what other readers read differently is refused.
    fn plain(&mut self, text: &str, span: Span) -> Value {
        match text {
            "~" | "null" | "Null" | "NULL" => return Value::Null,
            "true" | "True" | "TRUE" => return Value::Bool(true),
            "false" | "False" | "FALSE" => return Value::Bool(false),
            _ => {}
        }
        match number(text) {
            Number::Value(value) => value,
            Number::Not => Value::Text(text.to_owned()),
            Number::Unclear(why) => {
                let help = format!("quote this, if it is text: \"{text}\"");
                self.reader.error("PB008", span, format!("`{text}` {why}"), Some(help));
                Value::Text(text.to_owned())
            }
        }
    }

    /// Puts a finished value where it belongs. What is `excused` is already reported.
    fn put(&mut self, node: Node, excused: bool) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                let Some(key) = key.take() else { return };
                if node.value == Value::Null && !excused {
                    let message = format!("`{}` has no value", key.text);
                    let help = "give it a value, or leave the key out; an empty text is \"\"".to_owned();
                    self.reader.error("PB005", key.span, message, Some(help));
                }
                entries.push((key, node));
            }
        }
    }

    /// A mistake in the syntax. Most of them are text that wants quotes.
    fn syntax(&mut self, error: &parser::ScanError) -> Result<(), Stop> {
        let mark = error.marker();
        let mut span = Span { line: clamp(mark.line()), column: clamp(mark.col() + 1), len: 1 };
        let line = self.reader.line(span.line).to_owned();
        let value = unquoted_value(&line);
        let special = value.is_some_and(|(_, value)| wants_quotes(value));
        let closed = value.is_some_and(|(_, value)| value.starts_with(['"', '\'', '[', '{']));
        let colon = value.is_some_and(|(_, value)| value.contains(": ")) && !special && !closed;
        let what = error.info().to_owned();
        if let (Some((column, value)), true) = (value, colon || special) {
            let help = format!("quote this: '{}'", value.replace('\'', "''"));
            span = Span { line: span.line, column, len: clamp(value.chars().count()) };
            let why = if colon {
                "contains `: `, which YAML reads as a key"
            } else {
                "begins with a character that means something in YAML"
            };
            self.reader.error("PB010", span, format!("the value {why} ({what})"), Some(help));
        } else {
            let help = "indent with spaces, the same number for the same level; quote texts with `:` or `#` in them"
                .to_owned();
            self.reader.error("PB001", span, format!("this is not YAML: {what}"), Some(help));
        }
        Err(Stop)
    }

    fn finish(self) -> Result<Node, Vec<Diagnostic>> {
        if self.reader.failed() {
            return Err(self.reader.finish());
        }
        let nothing = Node { span: START, value: Value::Null, style: Style::Plain, offset: 0 };
        Ok(self.root.unwrap_or(nothing))
    }
}

const START: Span = Span { line: 1, column: 1, len: 1 };

/// Whether a value begins with something that YAML takes for its own, and is not a whole list, map or quoted text.
fn wants_quotes(value: &str) -> bool {
    let rest = match value.chars().next() {
        Some('*' | '&' | '!' | '%' | '@' | '`' | ',') => return true,
        Some(open @ ('"' | '\'')) => value.get(1..).and_then(|rest| rest.split_once(open)).map(|(_, rest)| rest),
        Some('[' | '{') => {
            let mut depth = 0_i32;
            let end = value.find(|c| {
                depth += i32::from("[{".contains(c)) - i32::from("]}".contains(c));
                depth == 0
            });
            end.and_then(|end| value.get(end + 1..))
        }
        _ => return false,
    };
    rest.is_none_or(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('#'))
}

/// The value that stands on a line after a key, or after the dash of a list.
fn unquoted_value(line: &str) -> Option<(u32, &str)> {
    let trimmed = line.trim_start();
    let dash = trimmed.strip_prefix("- ").map(str::trim_start);
    let rest = dash.unwrap_or(trimmed);
    let value = match rest.split_once(": ") {
        Some((key, value)) if key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) => value.trim(),
        _ => dash?.trim(),
    };
    let at = line.len() - line.trim_end().len();
    let before = line.len().checked_sub(at + value.len())?;
    Some((clamp(line.get(..before)?.chars().count() + 1), value))
}

enum Number {
    Value(Value),
    Not,
    Unclear(&'static str),
}

fn number(text: &str) -> Number {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix: &str, radix: u32| {
        digits
            .strip_prefix(prefix)
            .filter(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
            .map(|rest| i64::from_str_radix(rest, radix))
    };
    if let Some(read) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return match read {
            Ok(value) if digits.len() == text.len() => Number::Value(Value::Int(value)),
            _ => Number::Unclear("is a number that does not fit"),
        };
    }
    if [".inf", ".Inf", ".INF"].contains(&digits) || [".nan", ".NaN", ".NAN"].contains(&text) {
        return Number::Unclear("is not a finite number");
    }
    let looks = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    if !looks {
        return Number::Not;
    }
    if digits.chars().all(|c| c.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return Number::Unclear("begins with zero: some read it as a number, some as octal, some as text");
        }
        return text.parse().map_or(Number::Unclear("is a number that does not fit"), |n| Number::Value(Value::Int(n)));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Number::Value(Value::Float(value)),
        Ok(_) => Number::Unclear("is not a finite number"),
        Err(_) => Number::Not,
    }
}

/// The first line of a span.
fn place(at: &parser::Span) -> Span {
    let same_line = at.start.line() == at.end.line();
    let len = if same_line { at.end.col().saturating_sub(at.start.col()).max(1) } else { 1 };
    Span { line: clamp(at.start.line()), column: clamp(at.start.col() + 1), len: clamp(len) }
}

fn byte(at: &parser::Span) -> usize {
    at.byte_range().map_or(0, |range| range.start)
}
