//! Where each character of a YAML text stands in the file, whatever way the text is written.
//!
//! The characters of a text and of its source agree but for white space (folding, indentation) and escapes, so walking
//! both at once finds every place; runs of neighbours are kept as one entry.

use crate::diagnostic::Span;
use crate::reader::{Reader, clamp};
use crate::yaml::{Node, Style};

/// Where a text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    runs: Vec<Run>,
}

/// Characters that stand next to each other in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// The first of them, as a count of characters of the text.
    from: u32,
    line: u32,
    column: u32,
}

impl Places {
    fn plain(span: Span) -> Places {
        Places { runs: vec![Run { from: 0, line: span.line, column: span.column }] }
    }

    /// For a text that is a file of its own.
    pub(crate) fn lines(text: &str) -> Places {
        let mut places = Places { runs: vec![Run { from: 0, line: 1, column: 1 }] };
        let mut line = 1;
        for (at, c) in text.chars().enumerate() {
            if c == '\n' {
                line += 1;
                places.runs.push(Run { from: clamp(at + 1), line, column: 1 });
            }
        }
        places
    }

    /// For the text of a node of this reader's file.
    pub(crate) fn of(reader: &Reader, node: &Node) -> Places {
        let Some(text) = node.as_text() else { return Places::plain(node.span) };
        let source = reader.text().get(node.offset..).unwrap_or_default();
        let mut places = Places { runs: Vec::new() };
        let mut cursor = Cursor { rest: source, line: node.span.line, column: node.span.column };
        if matches!(node.style, Style::SingleQuoted | Style::DoubleQuoted) {
            cursor.step();
        }
        for (at, wanted) in text.chars().enumerate() {
            let (line, column) = cursor.find(wanted, node.style);
            places.note(clamp(at), line, column);
        }
        if places.runs.is_empty() {
            places.note(0, node.span.line, node.span.column);
        }
        places
    }

    fn note(&mut self, from: u32, line: u32, column: u32) {
        let follows = self.runs.last().is_some_and(|run| run.line == line && run.column + (from - run.from) == column);
        if !follows {
            self.runs.push(Run { from, line, column });
        }
    }

    /// The place of a character, counted from 0.
    pub(crate) fn at(&self, char_index: usize, len: usize) -> Span {
        let at = clamp(char_index);
        let run = self.runs.partition_point(|run| run.from <= at).checked_sub(1).and_then(|i| self.runs.get(i));
        let Some(run) = run else { return Span { line: 1, column: 1, len: 1 } };
        Span { line: run.line, column: run.column + (at - run.from), len: clamp(len.max(1)) }
    }

    /// The places from a character on.
    pub(crate) fn after(&self, char_index: usize) -> Places {
        let from = clamp(char_index);
        let first = self.at(char_index, 1);
        let mut runs = vec![Run { from: 0, line: first.line, column: first.column }];
        let rest = self.runs.iter().filter(|run| run.from > from);
        runs.extend(rest.map(|run| Run { from: run.from - from, ..*run }));
        Places { runs }
    }
}

/// A walk through the source.
struct Cursor<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
}

impl Cursor<'_> {
    fn step(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
        if next == '\n' || (next == '\r' && !self.rest.starts_with('\n')) {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    /// The place of the next character of the text.
    fn find(&mut self, wanted: char, style: Style) -> (u32, u32) {
        let here = (self.line, self.column);
        let next = self.rest.chars().next();
        if wanted.is_whitespace() {
            if next == Some(wanted) {
                self.step();
            } else if next == Some('\\') && style == Style::DoubleQuoted {
                self.escape();
            }
            return here;
        }
        while self.rest.starts_with(char::is_whitespace)
            || ["\\\n", "\\\r"].iter().any(|end| self.rest.starts_with(end))
        {
            self.step();
        }
        let here = (self.line, self.column);
        match style {
            Style::DoubleQuoted if self.rest.starts_with('\\') => self.escape(),
            Style::SingleQuoted if wanted == '\'' => {
                self.step();
                self.step();
            }
            _ => {
                self.step();
            }
        }
        here
    }

    /// Steps over one escape of a text in double quotes.
    fn escape(&mut self) {
        self.step();
        let digits = match self.step() {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => 0,
        };
        for _ in 0..digits {
            self.step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    /// The characters of the file at the places of the letters of the text.
    fn mirrored(source: &str) -> (String, String) {
        let node = yaml::parse(&"t.yaml".into(), source).unwrap();
        let node = node.get("k").unwrap();
        let reader = Reader::new("t.yaml".into(), source);
        let places = Places::of(&reader, node);
        let text = node.as_text().unwrap();
        let seen = |(at, wanted): (usize, char)| {
            let span = places.at(at, 1);
            let found = reader.line(span.line).chars().nth(span.column as usize - 1);
            if wanted.is_whitespace() { wanted } else { found.unwrap_or('?') }
        };
        (text.to_owned(), text.chars().enumerate().map(seen).collect())
    }

    #[test]
    fn every_letter_of_every_style_is_found_in_the_file() {
        for source in [
            "k: a.b == c\n",
            "k: 'it''s \"so\" == å'\n",
            "k: |\n  a &&\n    b ||\n\n  c\n",
            "k: >\n  a &&\n  b ||\n\n  c\nx: 1\n",
            "k: >-\n    a\n    b\n",
            "k: a &&\n   b &&\n\n   c\n",
            "k: \"a\n  b\"\n",
            "x: [1]\nk: 'a\n  b'\n",
            "k: |\r\n  a &&\r\n\r\n  b\r\n",
            "x: 1\rk: >\r  a\r  b\r",
            "k: \"a \\\n  b\"\n",
        ] {
            let (text, seen) = mirrored(source);
            assert_eq!(text, seen, "{source}");
        }
    }

    #[test]
    fn escapes_count_as_one_character() {
        let (text, seen) = mirrored("k: \"a\\\"b\\u0041c\\td\"\n");
        assert_eq!(text, "a\"bAc\td");
        assert_eq!(seen, "a\\b\\c\td");
    }
}
