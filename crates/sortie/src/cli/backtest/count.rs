//! The counts of a back-test: by playbook and verdict, by day, by destination.

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
    /// Lines that are no event.
    pub(super) refused: u64,
    playbooks: Table,
    /// Runs by day and playbook.
    days: Table,
    destinations: Table,
}

impl Counts {
    /// Adds one event.
    pub(super) fn take(&mut self, told: &Told) {
        self.events += 1;
        for decision in &told.decisions {
            more(&mut self.playbooks, &decision.playbook, decision.verdict.name());
            if matches!(decision.verdict, Verdict::Matched | Verdict::Queued | Verdict::Observed) {
                let day = told.time.to_string().chars().take(10).collect::<String>();
                more(&mut self.days, &day, &decision.playbook);
            }
        }
        for would in &told.would_send {
            let how = would.dedupe.or(would.suppressed.map(|_| "suppressed")).unwrap_or("sent");
            more(&mut self.destinations, &would.destination, how);
        }
    }

    /// As JSON.
    pub(super) fn as_json(&self) -> Value {
        json!({
            "events": self.events,
            "refused": self.refused,
            "by_playbook": self.playbooks,
            "runs_by_day": self.days,
            "would_send": self.destinations,
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
