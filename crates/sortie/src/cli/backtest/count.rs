//! The counts of a back-test: by playbook and verdict, by day, by destination, and how runs would have ended.

use std::collections::BTreeMap;

use engine::simulate::backtest::Told;
use model::Verdict;
use serde_json::{Value, json};

/// Counts by row and column.
type Table = BTreeMap<String, BTreeMap<String, u64>>;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Events that were decided.
    pub(super) events: u64,
    /// Lines that are no event, and events that would have been refused.
    pub(super) refused: u64,
    duplicates: u64,
    playbooks: Table,
    /// Runs by day and playbook.
    days: Table,
    destinations: Table,
    requests: u64,
    runs: Table,
}

impl Counts {
    /// Adds what is told.
    pub(super) fn take(&mut self, told: &Told) {
        self.duplicates += u64::from(told.duplicate);
        self.refused += u64::from(told.refused.is_some());
        for decision in &told.decisions {
            more(&mut self.playbooks, &decision.playbook, decision.verdict.name());
            if matches!(decision.verdict, Verdict::Matched | Verdict::Queued | Verdict::Observed) {
                let day = told.time.to_string().chars().take(10).collect::<String>();
                more(&mut self.days, &day, &decision.playbook);
            }
        }
        for would in &told.would_send {
            let suppressed = would.suppressed.as_ref().map(|_| "suppressed");
            let how = would.dedupe.or(suppressed).or(would.error.as_ref().map(|_| "failed"));
            let how = how.unwrap_or(if would.observed { "observed" } else { "sent" });
            more(&mut self.destinations, &would.destination, how);
        }
        for ended in &told.ended {
            more(&mut self.runs, &ended.playbook, ended.status.name());
        }
        self.requests += told.would_request.len() as u64;
    }

    /// As JSON.
    pub(super) fn as_json(&self) -> Value {
        json!({
            "events": self.events,
            "refused": self.refused,
            "duplicates": self.duplicates,
            "by_playbook": self.playbooks,
            "runs_by_day": self.days,
            "runs": self.runs,
            "would_send": self.destinations,
            "would_request": self.requests,
        })
    }
}

/// Counts one more.
fn more(map: &mut Table, row: &str, column: &str) {
    // Copies of names are made only for what is new.
    if !map.contains_key(row) {
        map.insert(row.to_owned(), BTreeMap::new());
    }
    let Some(columns) = map.get_mut(row) else { return };
    match columns.get_mut(column) {
        Some(count) => *count += 1,
        None => drop(columns.insert(column.to_owned(), 1)),
    }
}
