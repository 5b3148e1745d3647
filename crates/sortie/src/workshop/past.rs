//! What a playbook would have decided and sent about the events that the store holds of the last days.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Engine;
use engine::record::read_accepted;
use engine::simulate::backtest::{Backtest, Setup, Told};
use model::history::{Entry, EntryKind};
use model::{EventId, Seq, Time, Verdict};
use playbook::Playbook;
use store::Store;

/// Most days that are looked back.
pub(crate) const DAYS_MAX: u32 = 90;
/// Most events that are decided.
const EVENTS_MAX: u64 = 50_000;
/// How long finding the beginning may take.
const LOOK: Duration = Duration::from_secs(2);
/// How long deciding may take.
const PATIENCE: Duration = Duration::from_secs(6);
/// Most events that are named.
const NAMED_MAX: usize = 100;

/// What is asked.
pub(crate) struct Wanted {
    /// The text in force.
    pub(crate) now: Arc<Playbook>,
    /// Another text, to compare with.
    pub(crate) other: Option<Arc<Playbook>>,
    /// How far back.
    pub(crate) days: u32,
    /// Of this tenant only.
    pub(crate) tenant: Option<String>,
}

/// An event that a text would have acted on, or that two texts decide differently.
#[derive(Debug)]
pub(crate) struct Named {
    /// The event.
    pub(crate) event: EventId,
    /// When it came.
    pub(crate) time: Time,
    /// Its type.
    pub(crate) kind: String,
    /// What the tried text decides; nothing where it does not listen.
    pub(crate) verdict: Option<Verdict>,
    /// Why.
    pub(crate) reason: String,
    /// What the text in force decides, where another one is tried.
    pub(crate) before: Option<Verdict>,
}

/// Counts by verdict.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// From when on.
    pub(crate) since: Option<Time>,
    /// Until when.
    pub(crate) until: Option<Time>,
    /// Events that were decided.
    pub(crate) events: u64,
    /// Whether everything since then was looked at.
    pub(crate) complete: bool,
    /// How often the tried text decides what.
    pub(crate) verdicts: Counts,
    /// The same of the text in force, where another one is tried.
    pub(crate) before: Counts,
    /// The same for each day.
    pub(crate) days: BTreeMap<String, Counts>,
    /// What would have been sent: by destination, `sent`, `held_back` or `suppressed`.
    pub(crate) sends: BTreeMap<String, Counts>,
    /// The newest events that the tried text would have acted on or failed at; of two texts, those that they decide
    /// differently.
    pub(crate) named: Vec<Named>,
    /// How many there are.
    pub(crate) named_total: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Tries a text on the past. Blocks.
///
/// # Errors
/// [`engine::view::Error`] when the store fails.
pub(crate) fn run(engine: &Engine, store: &dyn Store, wanted: &Wanted) -> Result<Outcome, engine::view::Error> {
    let began = Instant::now();
    let from = store.now().minus(Duration::from_secs(86_400) * wanted.days);
    let (first, whole) = beginning(store, from)?;
    let mut outcome = Outcome { complete: whole, ..Outcome::default() };
    let mut tried = backtest(engine, wanted.other.as_ref().unwrap_or(&wanted.now));
    let mut before = wanted.other.as_ref().map(|_| backtest(engine, &wanted.now));
    let mut failed = None;
    let Some(first) = first else { return Ok(outcome) };
    store.entries_forward(first, &mut |stored| {
        let Some(entry) = stored.entry.filter(|entry| entry.header.kind == EntryKind::EventAccepted) else {
            return true;
        };
        if outcome.events >= EVENTS_MAX || began.elapsed() > LOOK + PATIENCE {
            outcome.complete = false;
            return false;
        }
        match event(&entry, wanted, &mut tried, before.as_mut(), &mut outcome) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    outcome.named.reverse();
    outcome.took = began.elapsed();
    Ok(outcome)
}

/// The first entry since then, and whether it was found in time and within the number of entries.
fn beginning(store: &dyn Store, from: Time) -> Result<(Option<Seq>, bool), store::Error> {
    let began = Instant::now();
    let (mut first, mut events, mut whole) = (None, 0_u64, true);
    store.entries_back(None, &mut |stored| {
        if stored.header.time < from {
            return false;
        }
        events += u64::from(stored.header.kind == EntryKind::EventAccepted);
        if events > EVENTS_MAX || began.elapsed() > LOOK {
            whole = false;
            return false;
        }
        first = Some(stored.header.seq);
        true
    })?;
    Ok((first, whole))
}

fn backtest(engine: &Engine, playbook: &Arc<Playbook>) -> Backtest {
    let context = engine.context();
    Backtest::new(Setup {
        set: engine::Set::new(vec![Arc::clone(playbook)], BTreeSet::new()),
        evaluator: engine.evaluator().clone(),
        words: context.words.clone(),
        triage: engine.triage().as_ref().clone(),
        destinations: (*context.destinations()).clone(),
    })
}

fn event(
    entry: &Entry,
    wanted: &Wanted,
    tried: &mut Backtest,
    before: Option<&mut Backtest>,
    outcome: &mut Outcome,
) -> Result<(), store::Error> {
    // What an older version wrote and cannot be read is left out.
    let Ok(accepted) = read_accepted(&entry.payload) else { return Ok(()) };
    if wanted.tenant.as_ref().is_some_and(|own| *own != accepted.tenant) {
        return Ok(());
    }
    let (about, time) = (accepted.event(), entry.header.time);
    tried.seed(&about, &accepted.transitions);
    let told = tried.event(&about, time)?;
    let earlier = match before {
        None => None,
        Some(before) => {
            before.seed(&about, &accepted.transitions);
            Some(before.event(&about, time)?)
        }
    };
    outcome.events += 1;
    outcome.since.get_or_insert(time);
    outcome.until = Some(time);
    let id = EventId { seq: entry.header.seq, tag: Entry::tag(&entry.salt) };
    outcome.take(&told, earlier.as_ref(), (id, time, accepted.kind));
    Ok(())
}

fn verdict(told: &Told) -> Option<Verdict> {
    told.decisions.first().map(|decision| decision.verdict)
}

/// Whether a person wants to see the event: the text acts on it, or cannot decide.
fn is_of_interest(verdict: Option<Verdict>) -> bool {
    verdict.is_some_and(|verdict| verdict != Verdict::NotMatched)
}

impl Outcome {
    fn take(&mut self, told: &Told, earlier: Option<&Told>, (event, time, kind): (EventId, Time, String)) {
        if let Some(decision) = told.decisions.first() {
            let name = decision.verdict.name();
            *self.verdicts.entry(name).or_default() += 1;
            let day: String = time.to_string().chars().take(10).collect();
            *self.days.entry(day).or_default().entry(name).or_default() += 1;
        }
        for would in &told.would_send {
            let how = would.dedupe.or(would.suppressed.map(|_| "suppressed")).unwrap_or("sent");
            *self.sends.entry(would.destination.clone()).or_default().entry(how).or_default() += 1;
        }
        let before = earlier.and_then(verdict);
        if let Some(before) = before {
            *self.before.entry(before.name()).or_default() += 1;
        }
        let named = match earlier {
            Some(_) => before != verdict(told),
            None => is_of_interest(verdict(told)),
        };
        if !named {
            return;
        }
        self.named_total += 1;
        // The newest are kept.
        if self.named.len() >= NAMED_MAX {
            self.named.remove(0);
        }
        let reason = told.decisions.first().map(|decision| decision.reason.to_string()).unwrap_or_default();
        self.named.push(Named { event, time, kind, verdict: verdict(told), reason, before });
    }
}
