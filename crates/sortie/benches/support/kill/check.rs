//! The comparison: accepted events ↔ history on the disk ↔ runs ↔ what the receiver logged.
//!
//! | | must hold |
//! |---|---|
//! | V1 | each event in the history has exactly one run of each playbook that matches it, and no other |
//! | V2 | each event that was answered with 2xx is in the history, at the place that the answer named, once |
//! | V3 | the history has no gap, each payload is the one that its header commits to, each run has ended well |
//! | V4 | each webhook arrived; its repeats carry the same id and body, and a kill lies between them |
//! | V7 | enough was accepted, and enough kills hit requests under way |
//!
//! (V5, no step twice at once, shows in V4: two at once would be a repeat without a kill. V6 waits for the ledger.)

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use model::EventId;
use serde_json::Value;

use super::super::quantile::Latencies;
use super::super::receiver::Arrival;
use super::super::report::{Table, figure, line};
use super::super::{Result, alert, history};
use super::Options;
use super::killer::Life;
use super::scene::Shape;
use super::sender::Fate;

/// How long after a kill the receiver may still be reading what was under way, in microseconds.
const UNDER_WAY_MICROS: u64 = 50_000;
/// Violations of one kind that are told in full.
const TOLD_MAX: usize = 5;

/// What the server told in the end.
pub(super) struct Told {
    /// Whether nothing was open any more.
    pub(super) idle: bool,
    /// All runs.
    pub(super) runs: Vec<Value>,
    /// All cases.
    pub(super) cases: Vec<Value>,
}

/// Everything that is compared.
pub(super) struct Facts {
    /// What became of each event, for its sender.
    pub(super) fates: Vec<Fate>,
    /// What the server told.
    pub(super) told: Told,
    /// What the receiver logged.
    pub(super) arrivals: Vec<Arrival>,
    /// The lives of the server.
    pub(super) lives: Vec<Life>,
    /// Requests that a kill cut off.
    pub(super) cut: u64,
    /// Whether the last life ended with exit code 0 after SIGTERM.
    pub(super) clean_stop: bool,
    /// How long that took.
    pub(super) stopping: Duration,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What must not be, by kind; empty when all is well.
    pub(crate) violations: BTreeMap<&'static str, Vec<String>>,
    figures: Vec<(&'static str, String)>,
}

impl Report {
    /// Whether all is well.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Writes figures and violations.
    pub(crate) fn print(&self) {
        let mut table = Table::new(&["", ""]);
        for (name, value) in &self.figures {
            table.row(vec![(*name).to_owned(), value.clone()]);
        }
        table.print();
        line("");
        for (kind, all) in &self.violations {
            line(format!("VIOLATED  {kind}: {}", all.len()));
            for one in all.iter().take(TOLD_MAX) {
                line(format!("          {one}"));
            }
        }
        line(if self.is_good() { "nothing is lost, nothing is torn" } else { "NOT WELL" });
    }

    fn violated(&mut self, kind: &'static str, what: String) {
        self.violations.entry(kind).or_default().push(what);
    }

    fn figure(&mut self, name: &'static str, value: impl ToString) {
        self.figures.push((name, value.to_string()));
    }
}

/// Where each event was accepted, by its number.
type History = HashMap<u64, Vec<EventId>>;

/// Compares everything.
///
/// # Errors
/// When the store cannot be opened or read.
pub(super) fn compare(options: &Options, data: &Path, facts: &Facts) -> Result<Report> {
    let mut report = Report::default();
    let history = history::read(data)?;
    report.figure("history entries", history.entries);
    for (kind, place) in &history.torn {
        report.violated(kind, place.clone());
    }
    let history = history.events;
    figures(options, facts, &history, &mut report);
    accepted(facts, &history, &mut report);
    runs(facts, &history, &mut report);
    webhooks(facts, &history, &mut report);
    enough(options, facts, &mut report);
    Ok(report)
}

fn accepted(facts: &Facts, history: &History, report: &mut Report) {
    for fate in &facts.fates {
        if let Some(refused) = &fate.refused {
            report.violated("an event was refused", format!("{}: {refused}", fate.n));
        }
        let Some(answered) = &fate.event_id else { continue };
        match history.get(&fate.n).map(Vec::as_slice) {
            None | Some([]) => {
                report.violated("V2 lost: an accepted event is not there", format!("{} {answered}", fate.n))
            }
            Some([only]) if only.to_string() == *answered => {}
            Some([only]) => report
                .violated("V2 an event is not where its answer said", format!("{}: {only}, not {answered}", fate.n)),
            Some(all) => report.violated("V2 an event was accepted twice", format!("{}: {all:?}", fate.n)),
        }
    }
}

fn runs(facts: &Facts, history: &History, report: &mut Report) {
    if !facts.told.idle {
        report.violated("V3 runs never end", "runs were still open after two minutes".to_owned());
    }
    // A case that was made from an alert is named after it.
    let mut cases: HashMap<&str, u64> = HashMap::new();
    let mut cased = HashSet::new();
    for case in &facts.told.cases {
        let (id, name) = (case["case_id"].as_str().unwrap_or_default(), case["name"].as_str().unwrap_or_default());
        if let Some(n) = alert::number(name.as_bytes()) {
            cases.insert(id, n);
            if !cased.insert(n) {
                report.violated("V4 two cases were made from one alert", n.to_string());
            }
        }
    }
    let mut found: HashMap<u64, Vec<&str>> = HashMap::new();
    for run in &facts.told.runs {
        let text = |key: &str| run[key].as_str().unwrap_or_default();
        let n = alert::number(text("alert_id").as_bytes()).or_else(|| cases.get(text("case_id")).copied());
        let Some(n) = n else {
            report.violated("V1 a run is about nothing", run.to_string());
            continue;
        };
        found.entry(n).or_default().push(text("playbook"));
        if text("status") != "succeeded" {
            report.violated("V3 a run did not end well", format!("{n}: {run}"));
        }
    }
    for n in history.keys() {
        let mut ran = found.remove(n).unwrap_or_default();
        ran.sort_unstable();
        let expected = Shape::of(*n).playbooks();
        if ran != expected {
            report.violated(
                "V1 the runs of an event are not as they should be",
                format!("{n}: {ran:?}, not {expected:?}"),
            );
        }
    }
    for (n, ran) in found {
        report.violated("V1 runs without an event", format!("{n}: {ran:?}"));
    }
}

fn webhooks(facts: &Facts, history: &History, report: &mut Report) {
    let mut by_event: HashMap<u64, BTreeMap<&str, Vec<&Arrival>>> = HashMap::new();
    for arrival in &facts.arrivals {
        match arrival.event {
            Some(n) => by_event.entry(n).or_default().entry(&arrival.id).or_default().push(arrival),
            None => report.violated("V4 a webhook is about nothing", arrival.id.clone()),
        }
    }
    let (mut repeats, mut failures) = (0, 0);
    for (n, by_id) in &by_event {
        if !history.contains_key(n) {
            report.violated("V1 webhooks without an event", format!("{n}: {by_id:?}"));
        }
        for (id, arrivals) in by_id {
            if arrivals.iter().any(|arrival| arrival.body != arrivals[0].body) {
                report.violated("V4 a repeat has another body", format!("{n}: {id}"));
            }
            failures += arrivals.iter().filter(|arrival| arrival.status >= 300).count();
            for pair in arrivals.windows(2) {
                let (earlier, later) = (pair[0], pair[1]);
                if earlier.status >= 300 {
                    continue;
                }
                repeats += 1;
                let between = |(from, to): (u64, u64)| earlier.at < to + UNDER_WAY_MICROS && from < later.at;
                if !facts.lives.iter().filter_map(|life| life.killed).any(between) {
                    report.violated("V4 a webhook was repeated without a kill", format!("{n}: {id}"));
                }
            }
        }
    }
    for n in history.keys() {
        let delivered = by_event.get(n).map_or(0, |by_id| {
            by_id.values().filter(|arrivals| arrivals.iter().any(|arrival| arrival.status < 300)).count()
        });
        let expected = Shape::of(*n).webhooks();
        if delivered < expected {
            report.violated("V4 lost: a webhook never arrived", format!("{n}: {delivered} of {expected}"));
        } else if delivered > expected {
            report.violated("V4 a repeat has another id", format!("{n}: {delivered}, not {expected}"));
        }
    }
    report.figure("webhooks taken", facts.arrivals.len() - failures);
    report.figure("  answered with 500", failures);
    report.figure("  repeated after a kill", repeats);
}

fn figures(options: &Options, facts: &Facts, history: &History, report: &mut Report) {
    let kills = facts.lives.iter().filter(|life| life.killed.is_some());
    let ready: Vec<u64> = facts.lives.iter().filter_map(|life| life.ready).collect();
    let hit = facts.lives.iter().filter(|life| life.killed.is_some() && life.ready.is_none()).count();
    report.figure("kills", kills.count());
    report.figure("  while it recovered", hit);
    report.figure("requests cut off by a kill", facts.cut);
    report.figure("events sent", facts.fates.len());
    report.figure("  answered with 2xx", facts.fates.iter().filter(|fate| fate.event_id.is_some()).count());
    let unsure: Vec<u64> = facts.fates.iter().filter(|fate| fate.event_id.is_none()).map(|fate| fate.n).collect();
    let there = unsure.iter().filter(|n| history.contains_key(n)).count();
    report.figure("  without an answer, given up", unsure.len());
    report.figure("    of these accepted all the same", there);
    report.figure("runs", facts.told.runs.len());
    let millis = |latencies: &Latencies, q| format!("{} ms", figure(latencies.millis(q), 0));
    let (ready, steps) = (Latencies::new(ready), Latencies::new(first_steps(facts)));
    report.figure("start to ready, p50", millis(&ready, 0.5));
    report.figure("start to ready, p99", millis(&ready, 0.99));
    report.figure("start to first webhook, p50", millis(&steps, 0.5));
    report.figure("start to first webhook, p99", millis(&steps, 0.99));
    report.figure(
        "last stop, by SIGTERM",
        format!(
            "{} ms, {}",
            facts.stopping.as_millis(),
            if facts.clean_stop { "exit code 0" } else { "NOT exit code 0" }
        ),
    );
    report.figure("seed", options.seed);
}

/// From each start until the first webhook arrived, in microseconds, of the lives that got so far.
fn first_steps(facts: &Facts) -> Vec<u64> {
    let mut at: Vec<u64> = facts.arrivals.iter().map(|arrival| arrival.at).collect();
    at.sort_unstable();
    let first = |life: &Life| {
        let arrived = *at.get(at.partition_point(|at| *at < life.started))?;
        life.killed.is_none_or(|(killed, _)| arrived < killed).then(|| arrived - life.started)
    };
    facts.lives.iter().filter_map(first).collect()
}

/// Whether it was enough to prove anything.
fn enough(options: &Options, facts: &Facts, report: &mut Report) {
    let accepted = facts.fates.iter().filter(|fate| fate.event_id.is_some()).count() as u64;
    if accepted < options.events {
        report.violated("V7 too little was accepted", format!("{accepted} of {}", options.events));
    }
    let kills = facts.lives.iter().filter(|life| life.killed.is_some()).count();
    if kills < options.kills as usize || facts.cut * 4 < u64::from(options.kills) {
        report.violated("V7 too few kills hit anything", format!("{kills} kills cut {} requests", facts.cut));
    }
    if !facts.clean_stop {
        report.violated("the last stop was not clean", "SIGTERM did not lead to exit code 0".to_owned());
    }
    let stray = facts.fates.windows(2).find(|pair| pair[0].n == pair[1].n);
    if let Some(pair) = stray {
        report.violated("the harness sent a number twice", pair[0].n.to_string());
    }
}
