//! The page of a bundle that people read: what it is, what it proves, and its entries in a table.

use std::fmt::Write as _;

use model::history::EntryKind;
use model::{Seq, Time};
use serde_json::Value;
use store::StoredEntry;

use super::checkpoint::Checkpoint;
use crate::record;

/// Entries that the table shows at most; all of them stand in `entries.jsonl`.
const ROWS_MAX: usize = 2_000;
/// Characters of one cell.
const CELL_CHARS_MAX: usize = 300;

/// The page while it is being made.
pub(super) struct Summary {
    head: String,
    rows: String,
    shown: usize,
    times: Option<(Time, Time)>,
}

/// Text that stands in a page as text.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What would turn the direction of the text, or not be seen at all.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                out.push('\u{fffd}');
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn cell(text: &str) -> String {
    if text.chars().count() <= CELL_CHARS_MAX {
        return escape(text);
    }
    let cut: String = text.chars().take(CELL_CHARS_MAX).collect();
    format!("{}…", escape(&cut))
}

impl Summary {
    /// The page of a bundle over this checkpoint.
    pub(super) fn new(checkpoint: &Checkpoint, key: &str, entries: u64, gap_free: bool) -> Summary {
        let Checkpoint { origin, size, root, time, .. } = checkpoint;
        let what = if gap_free {
            "No entry between the first and the last is left out: what does not stand here did not happen in that time."
        } else {
            "Entries that do not belong to what was asked for are left out; each entry here is proved by itself."
        };
        let mut head = String::new();
        let _ = write!(
            head,
            "<h1>Evidence from the history of {origin}</h1>\n<p>{entries} entries. {what}</p>\n\
             <dl><dt>Checkpoint</dt><dd>{size} entries, signed {time}</dd><dt>Root</dt><dd><code>{root}</code></dd>\
             <dt>Signed by</dt><dd><code>{key}</code></dd></dl>\n\
             <p>This page is made for reading. What counts is <code>entries.jsonl</code> with <code>proofs.json</code>; \
             <code>sortie audit verify BUNDLE --key KEY</code> checks them on any machine. Compare the key with the one \
             that you were given when the server was set up.</p>\n",
            origin = escape(origin),
            key = escape(key),
        );
        Summary { head, rows: String::new(), shown: 0, times: None }
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, stored: &StoredEntry) {
        let header = &stored.header;
        let first = self.times.map_or(header.time, |(first, _)| first);
        self.times = Some((first, header.time));
        self.shown += 1;
        if self.shown > ROWS_MAX {
            return;
        }
        let Seq(seq) = header.seq;
        let said = match &stored.entry {
            None => "the payload was dropped by retention".to_owned(),
            Some(entry) => says(entry.header.kind, &entry.payload),
        };
        let _ = writeln!(
            self.rows,
            "<tr><td>{seq}</td><td><time>{}</time></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            header.time,
            cell(&header.actor.to_string()),
            header.kind.name(),
            cell(&header.object),
            cell(&said),
        );
    }

    /// The page.
    pub(super) fn html(&self) -> String {
        let times = self.times.map_or_else(String::new, |(first, last)| format!("<p>From {first} to {last}.</p>\n"));
        let more = match self.shown.checked_sub(ROWS_MAX).filter(|more| *more > 0) {
            Some(more) => format!("<p>{more} more entries stand in <code>entries.jsonl</code>.</p>\n"),
            None => String::new(),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Evidence</title>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style></head><body>\n{}{times}\
             <table><thead><tr><th>Entry</th><th>Time (UTC)</th><th>Who</th><th>What</th><th>About</th><th>Said</th>\
             </tr></thead><tbody>\n{}</tbody></table>\n{more}</body></html>\n",
            self.head, self.rows,
        )
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;\
color:#1b1f24;background:#fff}code{font-size:.9em;overflow-wrap:anywhere}dl{display:grid;grid-template-columns:max-content 1fr;\
gap:.2rem 1rem}dt{color:#57606a}dd{margin:0}table{border-collapse:collapse;width:100%}th,td{text-align:left;\
vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #d0d7de;overflow-wrap:anywhere}th{position:sticky;top:0;\
background:#f6f8fa}@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th{background:#161b22}\
th,td{border-color:#30363d}dt{color:#8b949e}}";

/// An entry's payload in a few words.
fn says(kind: EntryKind, payload: &[u8]) -> String {
    match kind {
        EntryKind::EventAccepted => accepted(payload).unwrap_or_default(),
        EntryKind::RunProgressed => match record::read_progressed(payload) {
            Ok(progressed) => {
                let facts: Vec<String> = progressed.facts.iter().map(named).collect();
                format!("{}: {}", progressed.run, facts.join(", "))
            }
            Err(_) => String::new(),
        },
        _ => {
            let value: Value = serde_json::from_slice(payload).unwrap_or_default();
            let what = value.get("action").or_else(|| value.get("what")).and_then(Value::as_str);
            what.map_or_else(|| value.to_string(), str::to_owned)
        }
    }
}

fn accepted(payload: &[u8]) -> Option<String> {
    let accepted = record::read_accepted(payload).ok()?;
    let mut said = format!("{} from {}", accepted.kind, accepted.source);
    for decision in &accepted.decisions {
        let _ = write!(said, "; {}: {}", decision.playbook, decision.verdict.name());
    }
    Some(said)
}

/// A fact's name and the step or status that it is about.
fn named(fact: &model::run::Fact) -> String {
    let value = serde_json::to_value(fact).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let kind = text("fact").or_else(|| text("kind")).unwrap_or("fact");
    let about: Vec<&str> = ["path", "status"].into_iter().filter_map(text).collect();
    [&[kind], about.as_slice()].concat().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_wrote_stays_text() {
        assert_eq!(escape("<img onerror=\"x\">&'"), "&lt;img onerror=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(escape("a\u{202e}b\u{0}"), "a\u{fffd}b ");
        assert!(cell(&"x".repeat(1_000)).chars().count() <= CELL_CHARS_MAX + 1);
    }
}
