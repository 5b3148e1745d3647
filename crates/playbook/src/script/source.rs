//! The text of one script and where it stands in its file.

use std::sync::Arc;

use rhai::Position;

use super::places::Places;
use crate::diagnostic::{Diagnostic, Span};
use crate::reader::Reader;
use crate::yaml::Node;

/// The text of one script and where it stands.
#[derive(Debug, Clone)]
pub struct Source {
    file: Arc<str>,
    /// The whole file, for the lines that messages show.
    whole: Arc<str>,
    text: Arc<str>,
    places: Places,
}

impl Source {
    /// The text of a node.
    pub fn of(reader: &Reader, node: &Node) -> Source {
        let text = node.as_text().unwrap_or_default();
        let (file, whole) = (reader.file().clone(), reader.text().clone());
        Source { file, whole, text: text.into(), places: Places::of(reader, node) }
    }

    /// A part of the text of a node, from a character on.
    pub(crate) fn part(reader: &Reader, text: &str, places: &Places, char_index: usize) -> Source {
        let (file, whole) = (reader.file().clone(), reader.text().clone());
        Source { file, whole, text: text.into(), places: places.after(char_index) }
    }

    /// A text that stands in no file.
    pub fn loose(text: &str) -> Source {
        let places = Places::lines(text);
        Source { file: "script".into(), whole: text.into(), text: text.into(), places }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place of a place of Rhai.
    pub(super) fn span(&self, at: Position, len: usize) -> Span {
        let (line, column) = (at.line().unwrap_or(1), at.position().unwrap_or(1).max(1));
        let before: usize = self.text.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum();
        self.places.at(before + column - 1, len)
    }

    /// The place of a character.
    pub(super) fn span_of_char(&self, char_index: usize) -> Span {
        self.places.at(char_index, 1)
    }

    /// The byte of a place of Rhai.
    pub(super) fn byte(&self, at: Position) -> usize {
        let (line, column) = (at.line().unwrap_or(1), at.position().unwrap_or(1).max(1));
        let before: usize = self.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let rest = self.text.get(before..).unwrap_or_default();
        before + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
    }

    /// A mistake.
    pub(super) fn diagnostic(
        &self,
        code: &'static str,
        at: Position,
        len: usize,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        let span = self.span(at, len);
        Reader::new(self.file.clone(), &self.whole).diagnostic(code, span, message, help)
    }
}
