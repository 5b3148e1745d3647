//! What the programs say: figures to stdout, progress to stderr.

use std::fmt::Display;
use std::io::Write as _;

/// A line of the report.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line about the progress.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "  {text}");
}

/// A table with a head; columns are as wide as their widest cell.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these column names.
    pub(crate) fn new(head: &[&str]) -> Table {
        Table(vec![head.iter().map(|name| (*name).to_owned()).collect()])
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// Writes it.
    pub(crate) fn print(&self) {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |n: usize| self.0.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(n, (cell, width))| if n == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
                .collect();
            line(cells.join("  ").trim_end());
        }
    }
}

/// A figure with `digits` decimals; `-` when there is none.
pub(crate) fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
