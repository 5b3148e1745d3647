//! What a playbook would have decided and sent about the events that the store holds of the last days.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Engine;
use engine::record::read_accepted;
use engine::simulate::{
    self,
    backtest::{Backtest, Setup, Told},
};
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
    // Without a network: a driver for time is all that the engine's waiting needs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|source| store::Error::Io { doing: "starting a back-test", source })?;
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
        match runtime.block_on(event(&entry, wanted, &mut tried, before.as_mut(), &mut outcome)) {
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

/// The playbook, and the others without what starts them: only a call can.
fn backtest(engine: &Engine, playbook: &Arc<Playbook>) -> Backtest {
    let (context, set) = (engine.context(), engine.playbooks());
    let destinations = (*context.destinations()).clone();
    let others = set.playbooks().iter().filter(|other| other.id != playbook.id);
    let quiet = others.map(|other| Arc::new(Playbook { triggers: Vec::new(), ..Playbook::clone(other) }));
    Backtest::new(Setup {
        playbooks: [Arc::clone(playbook)].into_iter().chain(quiet).collect(),
        evaluator: engine.evaluator().clone(),
        words: context.words.clone(),
        triage: engine.triage().as_ref().clone(),
        egress: context.effects.egress().clone(),
        catalog: engine::catalog(Some(&destinations), context.words.clone(), None, None),
        destinations,
        apart: true,
        thorough: false,
    })
}

/// Why a back-test ends early.
fn broken(error: simulate::Error) -> store::Error {
    match error {
        simulate::Error::Store(error) => error,
        other => {
            store::Error::Io { doing: "going through past events", source: std::io::Error::other(other.to_string()) }
        }
    }
}

async fn event(
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
    if accepted.follows_by_itself() {
        return Ok(());
    }
    let (about, time) = (accepted.event(), entry.header.time);
    let id = EventId { seq: entry.header.seq, tag: Entry::tag(&entry.salt) };
    let name = id.to_string();
    tried.seed(&about, &accepted.transitions, time).await.map_err(broken)?;
    let told = tried.event(&name, &about, time).await.map_err(broken)?;
    let earlier = match before {
        None => None,
        Some(before) => {
            before.seed(&about, &accepted.transitions, time).await.map_err(broken)?;
            Some(before.event(&name, &about, time).await.map_err(broken)?)
        }
    };
    outcome.events += 1;
    outcome.since.get_or_insert(time);
    outcome.until = Some(time);
    let own = |told: &[Told]| told.iter().find(|one| one.event_id == name && !one.later).cloned();
    // What came due in between and what runs caused counts, and has no event that could be named.
    told.iter().for_each(|one| outcome.count(one));
    for decision in earlier.iter().flatten().flat_map(|one| &one.decisions) {
        *outcome.before.entry(decision.verdict.name()).or_default() += 1;
    }
    if let Some(told) = own(&told) {
        outcome.take(&told, earlier.as_deref().and_then(own).as_ref(), (id, time, accepted.kind));
    }
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
    fn count(&mut self, told: &Told) {
        if let Some(decision) = told.decisions.first() {
            let name = decision.verdict.name();
            *self.verdicts.entry(name).or_default() += 1;
            let day: String = told.time.to_string().chars().take(10).collect();
            *self.days.entry(day).or_default().entry(name).or_default() += 1;
        }
        for would in &told.would_send {
            let suppressed = would.suppressed.as_ref().map(|_| "suppressed");
            let how = would.dedupe.or(suppressed).or(would.error.as_ref().map(|_| "failed")).unwrap_or("sent");
            *self.sends.entry(would.destination.clone()).or_default().entry(how).or_default() += 1;
        }
    }

    fn take(&mut self, told: &Told, earlier: Option<&Told>, (event, time, kind): (EventId, Time, String)) {
        let before = earlier.and_then(verdict);
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
