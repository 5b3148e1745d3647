//! What people see: colours where a terminal can show them, tables, plain sentences.
//!
//! Data goes to stdout, talk to stderr. Text that came from outside never reaches a terminal with its control
//! characters: an alert's name must not be able to move the cursor or set the window's title.

use std::io::{self, IsTerminal as _, Write as _};

/// Longest cell of a table, in characters; longer text is cut with an ellipsis.
const CELL_CHARS_MAX: usize = 60;
/// Longest last cell of a row: nothing stands to its right.
const LAST_CELL_CHARS_MAX: usize = 160;

/// A way to show text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// Headings.
    Bold,
    /// What matters less.
    Dim,
    /// Good news.
    Good,
    /// To be looked at.
    Warn,
    /// Bad news.
    Bad,
    /// Names and places.
    Accent,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Tone::Plain => "0",
            Tone::Bold => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Accent => "36",
        }
    }

    /// The tone in which a status, a verdict or a priority is shown.
    pub(crate) fn of(word: &str) -> Tone {
        match word {
            "succeeded" | "matched" | "delivered" | "ok" | "enabled" => Tone::Good,
            "failed" | "timed_out" | "critical" | "disabled" | "error" => Tone::Bad,
            "succeeded_with_warnings"
            | "needs_attention"
            | "cancelled"
            | "retrying"
            | "high"
            | "loop_guarded"
            | "throttled"
            | "warning" => Tone::Warn,
            "queued" | "running" | "waiting" => Tone::Accent,
            "not_matched" | "skipped" | "suppressed" | "deduplicated" | "low" => Tone::Dim,
            _ => Tone::Plain,
        }
    }
}

/// Standard output and error of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    color_out: bool,
    color_err: bool,
}

impl Console {
    /// Colours only on terminals, and not where `NO_COLOR` is set.
    pub(crate) fn from_environment() -> Console {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Console { color_out: wanted && io::stdout().is_terminal(), color_err: wanted && io::stderr().is_terminal() }
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Console {
        Console { color_out: false, color_err: false }
    }

    /// Whether data is shown in colours.
    pub(crate) fn colors_data(&self) -> bool {
        self.color_out
    }

    /// Whether talk is shown in colours.
    pub(crate) fn colors_talk(&self) -> bool {
        self.color_err
    }

    /// Data in a tone.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.color_out, tone, text)
    }

    /// Writes data and a line end to stdout.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub(crate) fn data(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")
    }

    /// Writes a line of printed JSON, its key in a tone.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub(crate) fn json_line(&self, line: &str) -> io::Result<()> {
        let line = one_line(line);
        match line.trim_start().strip_prefix('"').and_then(|rest| rest.split_once("\": ")) {
            None => self.data(&line),
            Some((key, value)) => {
                let indent = " ".repeat(line.len() - line.trim_start().len());
                self.data(&format!("{indent}{}: {value}", self.paint(Tone::Accent, &format!("\"{key}\""))))
            }
        }
    }

    /// Writes talk and a line end to stderr. A closed stderr is no reason to fail.
    pub(crate) fn talk(&self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        let _ = err.write_all(b"\n");
    }

    /// Writes talk in a tone.
    pub(crate) fn talk_in(&self, tone: Tone, text: &str) {
        self.talk(&paint(self.color_err, tone, text));
    }

    /// Shows how far something is, on one line that is written over, where stderr is a terminal; `of` is 0 where the end
    /// is not known.
    pub(crate) fn progress(&self, what: &str, done: u64, of: u64) {
        let mut err = io::stderr().lock();
        if !err.is_terminal() {
            return;
        }
        let _ = match of {
            0 => write!(err, "\r{done} {what}\u{1b}[K"),
            of => {
                let filled = usize::try_from(done.min(of) * 30 / of).unwrap_or(0);
                write!(err, "\r[{}{}] {done} of {of} {what}\u{1b}[K", "=".repeat(filled), " ".repeat(30 - filled))
            }
        };
        let _ = err.flush();
    }

    /// Takes the line of [`Console::progress`] away.
    pub(crate) fn progress_done(&self) {
        let mut err = io::stderr().lock();
        if err.is_terminal() {
            let _ = err.write_all(b"\r\x1b[K");
            let _ = err.flush();
        }
    }

    /// Writes a table to stdout. The first row holds the headings.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub(crate) fn table(&self, rows: &[Vec<String>]) -> io::Result<()> {
        self.data(&table(rows, self.color_out))
    }
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if color && tone != Tone::Plain { format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code()) } else { text.to_owned() }
}

/// A table with its columns lined up, two spaces apart. The first row holds the headings.
fn table(rows: &[Vec<String>], color: bool) -> String {
    let cells = |row: &Vec<String>| -> Vec<String> {
        let max = |at: usize| if at + 1 == row.len() { LAST_CELL_CHARS_MAX } else { CELL_CHARS_MAX };
        row.iter().enumerate().map(|(at, cell)| cell_text(cell, max(at))).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        for (column, cell) in row.iter().enumerate() {
            let tone = if number == 0 { Tone::Bold } else { Tone::of(cell) };
            out.push_str(&paint(color, tone, cell));
            if column + 1 < row.len() {
                let gap = widths.get(column).copied().unwrap_or(0) + 2 - cell.chars().count();
                out.extend(std::iter::repeat_n(' ', gap));
            }
        }
    }
    out
}

fn cell_text(text: &str, max: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= max {
        return text;
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

/// `1 run`, `2 runs`.
pub(crate) fn counted(count: impl Into<u64>, what: &str) -> String {
    match count.into() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Text from outside as one line without anything that a terminal obeys or that reorders what is read.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and those that change the direction of text.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn the_columns_of_a_table_line_up() {
        let text = table(&rows(&[&["RUN", "STATUS"], &["run-1", "failed"], &["r", "succeeded"]]), false);
        assert_eq!(text, "RUN    STATUS\nrun-1  failed\nr      succeeded");
    }

    #[test]
    fn a_status_is_coloured_only_where_colours_are_shown() {
        assert!(table(&rows(&[&["S"], &["failed"]]), true).contains("\u{1b}[31mfailed\u{1b}[0m"));
        assert!(!table(&rows(&[&["S"], &["failed"]]), false).contains('\u{1b}'));
    }

    #[test]
    fn a_name_from_outside_cannot_speak_to_the_terminal() {
        let evil = "x\u{1b}]0;owned\u{7}\r\n\u{202e}txt";
        let text = table(&rows(&[&["NAME"], &[evil]]), false);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}']));
    }

    #[test]
    fn a_long_cell_is_cut() {
        let long = "ä".repeat(500);
        let text = table(&rows(&[&["NAME", "S"], &[&long, "x"]]), false);
        assert_eq!(text.lines().nth(1).unwrap().chars().count(), CELL_CHARS_MAX + 3);
        let text = table(&rows(&[&["NAME"], &[&long]]), false);
        assert_eq!(text.lines().nth(1).unwrap().chars().count(), LAST_CELL_CHARS_MAX);
        assert!(text.ends_with('…'));
    }
}
