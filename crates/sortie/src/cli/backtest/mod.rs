//! `sortie backtest`: what playbooks would have decided and sent over past events.
//!
//! One thread reads and maps, one decides and writes. Nothing leaves the machine. What is printed on stdout depends on the
//! files and the events alone: the same input gives the same bytes.

mod count;
mod feed;
mod period;
mod progress;
mod stored;

use std::io::Write;
use std::path::Path;

use engine::simulate::backtest::{Backtest, Setup, Told};
use model::Time;
use serde_json::{Value, json};

use self::count::Counts;
use self::feed::{Feed, Past};
use self::progress::Progress;
use super::World;
use super::api::block_on;
use super::args::BacktestArguments;
use super::exit::Error;
use crate::config::Config;
use crate::setup;

/// Tries playbooks over past events.
pub(super) fn run(world: &World, arguments: &BacktestArguments) -> Result<(), Error> {
    let config = world.config()?.config;
    let stored = arguments.events.is_none();
    let side = |folder: Option<&Path>| Side::new(world, &config, folder, stored);
    let mut after = side(arguments.playbooks.as_deref())?;
    let mut before = arguments.against.as_deref().map(|folder| side(Some(folder))).transpose()?;
    let now = engine::clock::wall();
    let until = arguments.until.as_deref().map(|text| period::time("--until", text, now)).transpose()?;
    let mut out = std::io::BufWriter::with_capacity(256 * 1024, std::io::stdout().lock());
    let (feed, from, end) = match (&arguments.events, &arguments.since) {
        (Some(file), _) => (Feed::of_file(&config, &arguments.source, file)?, None, until),
        (None, since) => {
            let from = period::time("--since", since.as_deref().unwrap_or_default(), now)?;
            let end = until.unwrap_or(now);
            (stored::feed(world, &config, (from, end))?, Some(from), Some(end))
        }
    };
    block_on(async {
        if let Some(from) = from {
            after.test.begin(from).await.map_err(broken)?;
            if let Some(before) = &mut before {
                before.test.begin(from).await.map_err(broken)?;
            }
        }
        let mut tale = Tale { out: &mut out, changed: 0 };
        go_through(feed, (&mut after, before.as_mut()), (until.filter(|_| !stored), end), &mut tale).await?;
        let changed = tale.changed;
        let mut summary = after.counts.as_json();
        if let Some(before) = &before {
            summary = json!({ "changed": changed, "before": before.counts.as_json(), "after": summary });
        }
        writeln!(out, "{}", json!({ "summary": summary }))?;
        Ok(out.flush()?)
    })
}

/// One version of the playbooks, and what was counted of it.
struct Side {
    test: Backtest,
    counts: Counts,
}

impl Side {
    fn new(world: &World, config: &Config, folder: Option<&Path>, stored: bool) -> Result<Side, Error> {
        let set = super::explain::playbooks(world, config, folder)?;
        let destinations = setup::destinations(&config.destinations, config);
        let destinations = destinations.map_err(|diagnostics| Error::Invalid { diagnostics })?;
        let test = Backtest::new(Setup {
            playbooks: set.playbooks().to_vec(),
            evaluator: super::evaluator()?,
            words: config.words.clone(),
            triage: config.triage.clone(),
            egress: config.egress.clone(),
            catalog: setup::catalog(config, destinations.as_ref()),
            destinations: destinations.unwrap_or_default(),
            apart: stored,
            thorough: false,
        });
        Ok(Side { test, counts: Counts::default() })
    }

    async fn event(&mut self, past: &Past) -> Result<Vec<Told>, Error> {
        self.test.seed(&past.event, &past.transitions, past.time).await.map_err(broken)?;
        let told = self.test.event(&past.id, &past.event, past.time).await.map_err(broken)?;
        self.counts.events += 1;
        Ok(self.counted(told))
    }

    /// The end: time passes up to `until`, where one is said, and runs that wait are followed.
    async fn end(&mut self, until: Option<Time>) -> Result<Vec<Told>, Error> {
        let mut told = match until {
            Some(until) => self.test.pass(until).await.map_err(broken)?,
            None => Vec::new(),
        };
        told.extend(self.test.end().await.map_err(broken)?);
        Ok(self.counted(told))
    }

    fn counted(&mut self, told: Vec<Told>) -> Vec<Told> {
        told.iter().for_each(|one| self.counts.take(one));
        told
    }
}

fn broken(error: engine::simulate::Error) -> Error {
    Error::Failed { message: format!("the back-test cannot go on: {error}") }
}

/// Where the lines go, and how many events came out differently.
struct Tale<'a> {
    out: &'a mut dyn Write,
    changed: u64,
}

/// Goes through the events; those at or after `cut` are left out, and in the end time passes up to `end`.
async fn go_through(
    feed: Feed,
    (after, mut before): (&mut Side, Option<&mut Side>),
    (cut, end): (Option<Time>, Option<Time>),
    tale: &mut Tale<'_>,
) -> Result<(), Error> {
    let mut progress = Progress::new(feed.whole());
    let done = feed.done();
    for past in feed {
        let past = match past? {
            Ok(past) if cut.is_some_and(|cut| past.time >= cut) => continue,
            Ok(past) => past,
            Err(refused) => {
                after.counts.refused += 1;
                writeln!(tale.out, "{refused}")?;
                continue;
            }
        };
        let told = after.event(&past).await?;
        match &mut before {
            None => tale.all(&told)?,
            Some(before) => {
                let earlier = before.event(&past).await?;
                tale.differences(&earlier, &told)?;
            }
        }
        progress.step(after.counts.events, done.load(std::sync::atomic::Ordering::Relaxed));
    }
    progress.end();
    let told = after.end(end).await?;
    match before {
        None => tale.all(&told),
        Some(before) => {
            let earlier = before.end(end).await?;
            tale.differences(&earlier, &told)
        }
    }
}

impl Tale<'_> {
    fn all(&mut self, told: &[Told]) -> Result<(), Error> {
        for one in told {
            writeln!(self.out, "{}", line(one))?;
        }
        Ok(())
    }

    /// What differs between two versions, event by event; those that only one of them has are compared with nothing.
    fn differences(&mut self, before: &[Told], after: &[Told]) -> Result<(), Error> {
        let key = |told: &Told| (told.time, told.event_id.clone(), told.later);
        let mut keys: Vec<_> = before.iter().chain(after).map(key).collect();
        keys.sort();
        keys.dedup();
        for wanted in keys {
            let find = |side: &[Told]| side.iter().find(|told| key(told) == wanted).cloned();
            if let Some(difference) = difference(find(before).as_ref(), find(after).as_ref()) {
                self.changed += 1;
                writeln!(self.out, "{difference}")?;
            }
        }
        Ok(())
    }
}

/// One event with what would have followed.
fn line(told: &Told) -> Value {
    let mut line = json!({
        "event_id": told.event_id,
        "time": told.time,
        "type": told.kind,
        "decisions": decisions(told),
        "would_send": told.would_send,
    });
    if !told.would_request.is_empty() {
        line["would_request"] = json!(told.would_request);
    }
    if told.later {
        line["later"] = Value::Bool(true);
    }
    if let Some(cause) = &told.caused_by {
        line["caused_by"] = Value::from(cause.as_str());
    }
    if told.duplicate {
        line["duplicate"] = Value::Bool(true);
    }
    if let Some(code) = told.refused {
        line["error"] = Value::from(code);
    }
    line
}

fn decisions(told: &Told) -> Vec<Value> {
    let shown = |one: &model::Decision| json!({ "playbook": one.playbook, "verdict": one.verdict.name(), "reason": one.reason });
    told.decisions.iter().map(shown).collect()
}

/// What differs between two versions of the playbooks; nothing when the same would have followed.
fn difference(before: Option<&Told>, after: Option<&Told>) -> Option<Value> {
    let one = after.or(before)?;
    let verdict = |told: Option<&Told>, playbook: &str| {
        told?.decisions.iter().find(|one| &*one.playbook == playbook).map(|one| one.verdict.name())
    };
    let all = |told: Option<&Told>| told.map(|told| told.decisions.clone()).unwrap_or_default();
    let (earlier, later) = (all(before), all(after));
    let mut ids: Vec<&str> = earlier.iter().chain(&later).map(|one| &*one.playbook).collect();
    ids.sort_unstable();
    ids.dedup();
    let changed: Vec<Value> = ids
        .into_iter()
        .map(|id| (id, verdict(before, id), verdict(after, id)))
        .filter(|(_, before, after)| before != after)
        .map(|(id, before, after)| json!({ "playbook": id, "before": before, "after": after }))
        .collect();
    let sends = |told: Option<&Told>| {
        told.map(|told| (told.would_send.clone(), told.would_request.clone())).unwrap_or_default()
    };
    let (sent_before, sent_after) = (sends(before), sends(after));
    if changed.is_empty() && sent_before == sent_after {
        return None;
    }
    let sends = json!({ "before": sent_before.0, "after": sent_after.0 });
    let mut line = json!({ "event_id": one.event_id, "time": one.time, "type": one.kind, "changed": changed, "would_send": sends });
    if sent_before.1 != sent_after.1 {
        line["would_request"] = json!({ "before": sent_before.1, "after": sent_after.1 });
    }
    Some(line)
}
