//! A reader over YAML nodes that collects what is wrong instead of stopping at the first.

use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::yaml::{Key, Node, Value};

/// One file being read: its lines, and what was found wrong so far.
#[derive(Debug)]
pub struct Reader {
    file: Arc<str>,
    lines: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    /// For a file and its text.
    pub fn new(file: Arc<str>, text: &str) -> Reader {
        Reader { file, lines: text.lines().map(str::to_owned).collect(), diagnostics: Vec::new() }
    }

    /// The file.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// A diagnostic of this file.
    pub fn diagnostic(&self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) -> Diagnostic {
        let excerpt = self.lines.get((span.line as usize).saturating_sub(1)).cloned().unwrap_or_default();
        let severity = Severity::Error;
        Diagnostic { code, severity, message: message.into(), file: self.file.clone(), span, excerpt, help }
    }

    /// Notes an error.
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        let found = self.diagnostic(code, span, message, help);
        self.diagnostics.push(found);
    }

    /// Notes something that a person should look at.
    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        let mut found = self.diagnostic(code, span, message, help);
        found.severity = Severity::Warning;
        self.diagnostics.push(found);
    }

    /// Notes what others found.
    pub fn extend(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.diagnostics.extend(found);
    }

    /// Whether an error was noted.
    pub fn failed(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Everything that was noted, in the order of the file.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|d| d.span);
        self.diagnostics
    }

    /// Reads a map; anything else is noted (`what` names it, such as "a playbook").
    pub fn map<'a>(&mut self, node: &'a Node, what: &str) -> Option<Fields<'a>> {
        match &node.value {
            Value::Map(entries) => Some(Fields { what: what.to_owned(), span: node.span, entries, used: vec![false; entries.len()], asked: Vec::new() }),
            _ => None,
        }
    }
}

/// The keys of one map. Ask for each known key, then [`Fields::finish`] names the others.
#[derive(Debug)]
pub struct Fields<'a> {
    what: String,
    span: Span,
    entries: &'a [(Key, Node)],
    used: Vec<bool>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Where the map stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What the map is, for messages.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// A key, if it is there.
    pub fn opt_node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.asked.push(name);
        let at = self.entries.iter().position(|(key, _)| key.text == name)?;
        if let Some(used) = self.used.get_mut(at) {
            *used = true;
        }
        self.entries.get(at).map(|(_, node)| node)
    }

    /// A key that must be there.
    pub fn node(&mut self, _reader: &mut Reader, name: &'static str) -> Option<&'a Node> {
        self.opt_node(name)
    }

    /// A text that must be there.
    pub fn text(&mut self, reader: &mut Reader, name: &'static str) -> Option<String> {
        self.opt_text(reader, name)
    }

    /// A text, if it is there.
    pub fn opt_text(&mut self, _reader: &mut Reader, name: &'static str) -> Option<String> {
        match &self.opt_node(name)?.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// `true` or `false`, if it is there.
    pub fn bool(&mut self, _reader: &mut Reader, name: &'static str) -> Option<bool> {
        match &self.opt_node(name)?.value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number between two bounds, if it is there.
    pub fn int(&mut self, _reader: &mut Reader, name: &'static str, _bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        match &self.opt_node(name)?.value {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A number, if it is there.
    pub fn number(&mut self, _reader: &mut Reader, name: &'static str) -> Option<f64> {
        match &self.opt_node(name)?.value {
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A length of time, such as `10m`, if it is there.
    pub fn duration(&mut self, reader: &mut Reader, name: &'static str) -> Option<Duration> {
        model::period::parse(&self.opt_text(reader, name)?).ok()
    }

    /// A list of texts, if it is there. Where `one` is set, one text alone is a list of one.
    pub fn text_list(&mut self, _reader: &mut Reader, name: &'static str, _one: bool) -> Option<Vec<(String, Span)>> {
        self.opt_node(name)?;
        None
    }

    /// One of some words, if it is there.
    pub fn one_of(&mut self, reader: &mut Reader, name: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.opt_text(reader, name)?;
        words.iter().find(|word| **word == text).copied()
    }

    /// Entries whose keys are names of the writer's choice.
    pub fn free(&mut self) -> impl Iterator<Item = (&'a Key, &'a Node)> + use<'a> {
        self.used.fill(true);
        self.entries.iter().map(|(key, node)| (key, node))
    }

    /// Names the keys that were not asked for.
    pub fn finish(self, _reader: &mut Reader) {}
}
