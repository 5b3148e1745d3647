//! What is wrong with a file that a person wrote, and where.
//!
//! Every code is stable: it is never reused for another mistake, and each has a page in `docs/errors`.

use std::fmt::Write as _;
use std::sync::Arc;

use model::Place;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; a person should look.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A piece of one line. Lines and columns count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters, at least 1.
    pub len: u32,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable code, such as `PB104`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Where in the file.
    pub span: Span,
    /// The line that it is in.
    pub excerpt: String,
    /// What to do.
    pub help: Option<String>,
}

/// Most characters of a line that are shown.
const EXCERPT_CHARS_MAX: usize = 160;

impl Diagnostic {
    /// `file:line:column`, the message, the line with a mark under the place, and the help.
    pub fn render(&self, color: bool) -> String {
        let paint =
            |code: &str, text: &str| if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
        let tone = if self.severity == Severity::Error { "1;31" } else { "1;33" };
        let head = format!("{}[{}]", self.severity.name(), self.code);
        let mut out = format!("{}: {}\n", paint(tone, &head), clean(&self.message));
        let width = self.span.line.to_string().len();
        let _ = writeln!(
            out,
            "{:width$}{} {}:{}:{}",
            "",
            paint("1;34", "-->"),
            clean(&self.file),
            self.span.line,
            self.span.column
        );
        let (line, column) = window(&self.excerpt, self.span.column);
        let room = line.chars().count().saturating_sub(column);
        let marks = "^".repeat((self.span.len as usize).clamp(1, room.max(1)));
        let bar = paint("1;34", "|");
        let _ = writeln!(out, "{:width$} {bar}", "");
        let _ = writeln!(out, "{} {bar} {line}", paint("1;34", &self.span.line.to_string()));
        let _ = writeln!(out, "{:width$} {bar} {:column$}{}", "", "", paint(tone, &marks));
        if let Some(help) = &self.help {
            let _ = writeln!(out, "{:width$} {} {}", "", paint("1;34", "= help:"), clean(help));
        }
        out
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place { file: self.file.clone(), line: self.span.line, column: self.span.column }
    }
}

/// Control characters could move the cursor of a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The part of a line around a column, and the offset of the column in it.
fn window(line: &str, column: u32) -> (String, usize) {
    let column = (column as usize).saturating_sub(1);
    let line: Vec<char> = clean(line).chars().collect();
    let start = if line.len() <= EXCERPT_CHARS_MAX { 0 } else { column.saturating_sub(EXCERPT_CHARS_MAX / 2) };
    let end = line.len().min(start + EXCERPT_CHARS_MAX);
    let shown: String = line.get(start..end).unwrap_or_default().iter().collect();
    (shown, column - start.min(column))
}
