//! `sortie backtest`: what playbooks would have decided and sent over past events.
//!
//! One thread reads and maps, one decides and writes. Nothing leaves the machine. What is printed on stdout depends on the
//! files and the events alone: the same input gives the same bytes.

mod count;
mod feed;

use std::io::Write as _;
use std::path::Path;

use engine::simulate::backtest::{Backtest, Setup, Told};
use serde_json::{Value, json};

use self::count::Counts;
use self::feed::{Feed, Past};
use super::World;
use super::args::BacktestArguments;
use super::exit::Error;
use crate::config::Config;
use crate::setup;

/// How often progress is shown, in events.
const PROGRESS_EVERY: u64 = 20_000;

/// Tries playbooks over past events.
pub(super) fn run(world: &World, arguments: &BacktestArguments) -> Result<(), Error> {
    let config = world.config()?.config;
    let mut after = backtest(world, &config, arguments.playbooks.as_deref())?;
    let mut before = match &arguments.against {
        Some(folder) => Some(backtest(world, &config, Some(folder))?),
        None => None,
    };
    let feed = match (&arguments.events, &arguments.since) {
        (Some(file), _) => Feed::of_file(&config, &arguments.source, file)?,
        (None, since) => Feed::of_store(&config, since.as_deref().unwrap_or_default())?,
    };
    let mut out = std::io::BufWriter::with_capacity(256 * 1024, std::io::stdout().lock());
    let (mut counts, mut counts_before) = (Counts::default(), Counts::default());
    let mut changed = 0_u64;
    let progress = Progress::new();
    for past in feed {
        let past = match past? {
            Ok(past) => past,
            Err(refused) => {
                counts.refused += 1;
                writeln!(out, "{refused}")?;
                continue;
            }
        };
        let told = tell(&mut after, &past)?;
        counts.take(&told);
        match &mut before {
            None => writeln!(out, "{}", line(&past, &told))?,
            Some(before) => {
                let earlier = tell(before, &past)?;
                counts_before.take(&earlier);
                if let Some(difference) = difference(&past, &earlier, &told) {
                    changed += 1;
                    writeln!(out, "{difference}")?;
                }
            }
        }
        progress.step(counts.events);
    }
    let mut summary = counts.as_json();
    if before.is_some() {
        summary = json!({ "changed": changed, "before": counts_before.as_json(), "after": summary });
    }
    writeln!(out, "{}", json!({ "summary": summary }))?;
    out.flush()?;
    progress.end();
    Ok(())
}

fn backtest(world: &World, config: &Config, folder: Option<&Path>) -> Result<Backtest, Error> {
    let destinations = setup::destinations(&config.destinations, config);
    Ok(Backtest::new(Setup {
        set: super::explain::playbooks(world, config, folder)?,
        evaluator: super::evaluator()?,
        words: config.words.clone(),
        triage: config.triage.clone(),
        destinations: destinations.map_err(|diagnostics| Error::Invalid { diagnostics })?.unwrap_or_default(),
    }))
}

fn tell(backtest: &mut Backtest, past: &Past) -> Result<Told, Error> {
    backtest.seed(&past.event, &past.transitions);
    Ok(backtest.event(&past.event, past.time)?)
}

/// One event with what would have followed.
fn line(past: &Past, told: &Told) -> Value {
    json!({
        "event_id": past.id,
        "time": told.time,
        "type": past.event.kind,
        "decisions": decisions(told),
        "would_send": told.would_send,
    })
}

fn decisions(told: &Told) -> Vec<Value> {
    let shown = |one: &model::Decision| json!({ "playbook": one.playbook, "verdict": one.verdict.name(), "reason": one.reason });
    told.decisions.iter().map(shown).collect()
}

/// What differs between two versions of the playbooks; nothing when the same would have followed.
fn difference(past: &Past, before: &Told, after: &Told) -> Option<Value> {
    let verdict = |told: &Told, playbook: &str| {
        told.decisions.iter().find(|one| &*one.playbook == playbook).map(|one| one.verdict.name())
    };
    let mut ids: Vec<&str> = before.decisions.iter().chain(&after.decisions).map(|one| &*one.playbook).collect();
    ids.sort_unstable();
    ids.dedup();
    let changed: Vec<Value> = ids
        .into_iter()
        .map(|id| (id, verdict(before, id), verdict(after, id)))
        .filter(|(_, before, after)| before != after)
        .map(|(id, before, after)| json!({ "playbook": id, "before": before, "after": after }))
        .collect();
    if changed.is_empty() && before.would_send == after.would_send {
        return None;
    }
    let sends = json!({ "before": before.would_send, "after": after.would_send });
    Some(
        json!({ "event_id": past.id, "time": after.time, "type": past.event.kind, "changed": changed, "would_send": sends }),
    )
}

/// A line on stderr, where that is a terminal.
struct Progress {
    shown: bool,
    began: std::time::Instant,
}

impl Progress {
    fn new() -> Progress {
        Progress { shown: std::io::IsTerminal::is_terminal(&std::io::stderr()), began: std::time::Instant::now() }
    }

    fn step(&self, events: u64) {
        if self.shown && events.is_multiple_of(PROGRESS_EVERY) {
            let rate = std::time::Duration::from_secs(events).div_f64(self.began.elapsed().as_secs_f64().max(0.001));
            let _ = write!(std::io::stderr(), "\r{events} events, {} a second ", rate.as_secs());
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = writeln!(std::io::stderr());
        }
    }
}
