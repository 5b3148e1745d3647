//! One file being read: its text, and everything that was found wrong with it so far.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Span};

/// Most mistakes that are noted for one file; nobody reads more.
const DIAGNOSTICS_MAX: usize = 100;
/// After how many of them warnings are left out, so that there is always room for an error.
const WARNINGS_MAX: usize = 50;
/// Most characters of a line that are kept with a mistake.
const EXCERPT_CHARS_MAX: usize = 1_000;

/// One file being read. Collects what is wrong instead of stopping at the first.
#[derive(Debug)]
pub struct Reader {
    file: Arc<str>,
    text: Arc<str>,
    starts: Vec<usize>,
    found: Vec<Diagnostic>,
}

impl Reader {
    /// For a file and its text.
    pub fn new(file: Arc<str>, text: &str) -> Reader {
        let starts = std::iter::once(0).chain(line_ends(text)).collect();
        Reader { file, text: text.into(), starts, found: Vec::new() }
    }

    /// The file, as it is named in messages.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The whole text.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// A line, from 1, without its end.
    pub fn line(&self, line: u32) -> &str {
        let at = (line as usize).saturating_sub(1);
        let Some(start) = self.starts.get(at) else { return "" };
        let end = self.starts.get(at + 1).copied().unwrap_or(self.text.len());
        let line = self.text.get(*start..end).unwrap_or_default();
        // The mark that some editors put in front of a file counts as no column.
        let line = if at == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let line = line.strip_suffix('\n').unwrap_or(line);
        line.strip_suffix('\r').unwrap_or(line)
    }

    /// How many lines there are, the last one without an end included.
    pub fn lines(&self) -> u32 {
        clamp(self.starts.len())
    }

    /// The place of a byte of the text.
    pub fn place_of(&self, byte: usize) -> Span {
        let line = self.starts.partition_point(|start| *start <= byte).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..byte).unwrap_or_default().chars().count();
        Span { line: clamp(line), column: clamp(before + 1), len: 1 }
    }

    /// A place that is there: what reaches over the end of its line ends with it.
    pub(crate) fn within(&self, span: Span) -> Span {
        let line = span.line.clamp(1, self.lines());
        let end = clamp(self.line(line).chars().count() + 1);
        let column = if line == span.line { span.column.clamp(1, end) } else { end };
        Span { line, column, len: span.len.clamp(1, (end - column).max(1)) }
    }

    /// A diagnostic of this file.
    pub fn diagnostic(
        &self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let span = self.within(span);
        let excerpt = self.line(span.line).chars().take(EXCERPT_CHARS_MAX).collect();
        let severity = Severity::Error;
        Diagnostic { code, severity, message: message.into(), file: self.file.clone(), span, excerpt, help }
    }

    /// Notes an error.
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        let found = self.diagnostic(code, span, message, help);
        self.note(found);
    }

    /// Whether so much is wrong that no more is noted.
    pub fn full(&self) -> bool {
        self.found.len() >= DIAGNOSTICS_MAX
    }

    /// Notes something that a person should look at.
    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        let mut found = self.diagnostic(code, span, message, help);
        found.severity = Severity::Warning;
        self.note(found);
    }

    /// Notes what others found.
    pub fn extend(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        found.into_iter().for_each(|found| self.note(found));
    }

    fn note(&mut self, found: Diagnostic) {
        let most = if found.severity == Severity::Error { DIAGNOSTICS_MAX } else { WARNINGS_MAX };
        if self.found.len() < most {
            self.found.push(found);
        }
    }

    /// Forgets what was noted by a code in a line.
    pub(crate) fn forget(&mut self, code: &str, line: u32) {
        self.found.retain(|found| found.code != code || found.span.line != line);
    }

    /// Whether an error was noted.
    pub fn failed(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// Everything that was noted, in the order of the file.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| (d.span, d.code));
        self.found.dedup();
        self.found
    }
}

/// Where lines end as YAML ends them: at `\n`, `\r\n`, or a `\r` alone. Each is the byte behind the end.
pub(crate) fn line_ends(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    (1..=bytes.len()).filter(move |&at| match bytes.get(at - 1) {
        Some(b'\n') => true,
        Some(b'\r') => bytes.get(at) != Some(&b'\n'),
        _ => false,
    })
}

/// A count as it stands in a place.
pub(crate) fn clamp(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// `; did you mean …` as a help, when something is near enough.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    model::record::nearest(given, known.into_iter()).map(|near| format!("did you mean `{near}`?"))
}

/// Names in a sentence: `a`, `b` or `c`.
pub(crate) fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", most.join(", "))
        }
    }
}
