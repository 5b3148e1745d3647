//! From the events of the parser to nodes; what YAML means otherwise than it seems is refused on the way.

use std::collections::HashSet;
use std::sync::Arc;

use model::limits;
use serde_saphyr::granit_parser as parser;

use super::{Key, Node, Style, Value, scan};
use crate::diagnostic::{Diagnostic, Span};
use crate::reader::{Reader, clamp};

/// Reads one document.
///
/// # Errors
/// Everything that is wrong with it; a mistake in the syntax ends the reading.
pub fn parse(file: &Arc<str>, text: &str) -> Result<Node, Vec<Diagnostic>> {
    parse_and_warn(file, text).map(|(node, _)| node)
}

/// Reads one document, with what a person should look at in it.
///
/// # Errors
/// Everything that is wrong with it; a mistake in the syntax ends the reading.
pub(crate) fn parse_and_warn(file: &Arc<str>, text: &str) -> Result<(Node, Vec<Diagnostic>), Vec<Diagnostic>> {
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

impl Open {
    /// Whether it is written with brackets.
    fn is_flow(&self, reader: &Reader) -> bool {
        let (Open::List { offset, .. } | Open::Map { offset, .. }) = self;
        reader.text().get(*offset..).is_some_and(|rest| rest.starts_with(['{', '[']))
    }
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
            self.reused(self.anchor(place(at)), "an anchor");
        }
        if let Some(tag) = tag {
            let span = at.tag_span().map_or_else(|| place(at), |tag| place(&tag));
            let message = format!("`{}` is read by YAML as a tag, not as a value", tag.original());
            let rest = self.reader.line(span.line).chars().skip(span.column as usize - 1).collect::<String>();
            let flow = self.open.iter().any(|open| open.is_flow(&self.reader));
            let help = scan::quote_this(if flow { scan::flow_value(&rest) } else { scan::plain_value(&rest) });
            self.reader.error("PB002", span, message, Some(help));
        }
    }

    /// Where the `&` of an anchor stands: before the value that it names.
    fn anchor(&self, value: Span) -> Span {
        let before: Vec<char> = self.reader.line(value.line).chars().take(value.column as usize - 1).collect();
        let sign = before.iter().rposition(|c| *c == '&');
        sign.map_or(value, |at| Span { column: clamp(at + 1), len: clamp(before.len() - at), ..value })
    }

    fn reused(&mut self, span: Span, what: &str) {
        let rest: String = self.reader.line(span.line).chars().skip(span.column as usize - 1).collect();
        let flow = self.open.iter().any(|open| open.is_flow(&self.reader));
        let value = if flow { scan::flow_value(&rest) } else { scan::plain_value(&rest) };
        let reuse = "write the value where it is needed; for reuse there are `vars`";
        let help = match what {
            "a merge key" => reuse.to_owned(),
            _ => format!("if it is text or a script, {}; otherwise {reuse}", scan::quote_this(value)),
        };
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
        if style == Style::Plain && !empty && !tagged {
            self.cut_by_comment(text, span);
        }
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
        let mut empty = None;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                let Some(key) = key.take() else { return };
                if node.value == Value::Null && !excused {
                    empty = Some(key.clone());
                }
                entries.push((key, node));
            }
        }
        if let Some(key) = empty {
            self.empty(&key);
        }
    }

    /// A text without quotes that goes on after ` #`: `message: case #12 was closed`. A comment begins with a blank.
    fn cut_by_comment(&mut self, text: &str, span: Span) {
        let end = (span.column + span.len) as usize - 1;
        let line = self.reader.line(span.line);
        if line.len() > scan::LINE_BYTES_MAX {
            return;
        }
        let rest: String = line.chars().skip(end).collect();
        let comment = rest.trim_start().strip_prefix('#').filter(|comment| comment.starts_with(char::is_alphanumeric));
        if comment.is_none()
            || rest.starts_with('#')
            || !matches!(number(text), Number::Not)
            || ["true", "false"].contains(&text)
        {
            return;
        }
        let whole: String = line.chars().skip(span.column as usize - 1).collect();
        let message = "what follows ` #` is read as a comment, and the value ends before it";
        let help = format!("if it belongs to the value, {}", scan::quote_this(whole.trim_end()));
        let at = Span {
            column: clamp(end + 1 + rest.chars().count() - rest.trim_start().chars().count()),
            len: clamp(rest.trim().chars().count()),
            ..span
        };
        self.reader.warning("PB010", at, message, Some(help));
    }

    /// A key that has no value.
    fn empty(&mut self, key: &Key) {
        let before = match self.open.last() {
            Some(Open::Map { entries, .. }) => entries.len().checked_sub(2).and_then(|at| entries.get(at)),
            _ => None,
        };
        if let Some((span, help)) = self.cut_in_two(before, key) {
            let message = "between `{` and `}` a comma ends a value, also inside of brackets".to_owned();
            return self.reader.error("PB010", span, message, Some(help));
        }
        let help = self.no_value(key);
        self.reader.error("PB005", key.span, format!("`{}` has no value", key.text), Some(help));
    }

    /// A mistake in the syntax. Most of them are text that wants quotes.
    fn syntax(&mut self, error: &parser::ScanError) -> Result<(), Stop> {
        let mark = error.marker();
        let span = Span { line: clamp(mark.line()), column: clamp(mark.col() + 1), len: 1 };
        let what = error.info();
        let line = self.reader.line(span.line).to_owned();
        let (code, span, message, help) = if let Some(column) = tab(&line) {
            let help = "indent with blanks only; most editors can turn tabs into blanks".to_owned();
            let message = "the line is indented with a tab, which YAML does not allow".to_owned();
            ("PB001", Span { column, ..span }, message, help)
        } else if let Some(trap) = scan::trap(&line, mark.col() + 1) {
            let at = Span { line: span.line, column: trap.column, len: clamp(trap.value.chars().count()) };
            ("PB010", at, format!("the value {} ({what})", trap.why), scan::quote_this(trap.value))
        } else if let Some((at, help)) = self.dash_without_blank(span.line) {
            ("PB001", at, "after the `-` of a list there must be a blank".to_owned(), help)
        } else {
            let help = "indent with blanks, the same number for the same level; quote texts with `:` or `#` in them";
            ("PB001", span, format!("this is not YAML: {what}"), help.to_owned())
        };
        // What the rest of the line was taken for is part of the same mistake.
        self.reader.forget("PB005", span.line);
        self.reader.error(code, span, message, Some(help));
        Err(Stop)
    }

    /// `-action: log` in a line, or in the last line with anything in it before.
    fn dash_without_blank(&self, line: u32) -> Option<(Span, String)> {
        let mut lines = (1..=line).rev().map(|line| (line, self.reader.line(line)));
        let (line, text) = lines.by_ref().take(3).find(|(_, text)| text.trim_start().starts_with('-'))?;
        let rest = text.trim_start().strip_prefix('-')?;
        if !rest.starts_with(|c: char| c.is_alphabetic()) {
            return None;
        }
        let column = clamp(text.chars().count() - rest.chars().count());
        Some((Span { line, column, len: 1 }, format!("write `- {}`", rest.trim_end())))
    }

    /// A key without a value in a flow map, where the value before it is a call whose comma ended it: `f(a, b)`.
    fn cut_in_two(&self, before: Option<&(Key, Node)>, key: &Key) -> Option<(Span, String)> {
        let (_, value) = before?;
        let cut = value.as_text().filter(|text| opens(text) > 0 && value.style == Style::Plain)?;
        let same = value.span.line == key.span.line && opens(&key.text) < 0 && !cut.is_empty();
        let rest: String =
            same.then(|| self.reader.line(key.span.line).chars().skip(value.span.column as usize - 1).collect())?;
        let whole = scan::flow_value(&rest);
        Some((Span { len: clamp(whole.chars().count()), ..value.span }, scan::quote_this(whole)))
    }

    /// What to do about a key without a value.
    fn no_value(&self, key: &Key) -> String {
        let line: String =
            self.reader.line(key.span.line).chars().skip((key.span.column + key.span.len) as usize - 1).collect();
        let comment = line.trim_start_matches(':').trim_start().strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        match comment {
            Some(rest) => format!("`#` begins a comment; quote this: '#{}'", rest.trim_end().replace('\'', "''")),
            None => "give it a value, or leave the key out; an empty text is \"\"".to_owned(),
        }
    }

    fn finish(self) -> Result<(Node, Vec<Diagnostic>), Vec<Diagnostic>> {
        if self.reader.failed() {
            return Err(self.reader.finish());
        }
        let nothing = Node { span: START, value: Value::Null, style: Style::Plain, offset: 0 };
        Ok((self.root.unwrap_or(nothing), self.reader.finish()))
    }
}

const START: Span = Span { line: 1, column: 1, len: 1 };

/// How many `(` more than `)` there are.
fn opens(text: &str) -> i32 {
    text.chars().map(|c| i32::from(c == '(') - i32::from(c == ')')).sum()
}

/// The column of a tab in the indentation of a line.
fn tab(line: &str) -> Option<u32> {
    let indentation = line.len() - line.trim_start().len();
    line.get(..indentation)?.find('\t').map(|at| clamp(at + 1))
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
