//! The same engine with nothing behind it: a store in memory, a clock that the caller moves, and effects that are only
//! recorded. `test`, `dry-run` and a run by hand with `dry_run` stand on it.
//!
//! Invariants: nothing leaves the process and nothing is kept. There is no thread and no task: whoever calls does all the
//! work, so that the same input comes out the same to the byte (ids, times and random numbers follow from [`Start`]).
//! What decides, what says what comes next and what actions do is the code of the live engine, not another one.

pub mod backtest;
mod people;
mod rehearse;
mod report;
mod stand_in;
pub mod trial;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::event::Actor;
use model::history::EntryKind;
use model::record::Vocabulary;
use model::run::RunStart;
use model::{Event, Object, ObjectKey, RunId, Time};
use playbook::{Catalog, Evaluator, Playbook, Step};
use store::{Memory, Retention, RunFilter, Store};
use tokio::sync::oneshot;

pub use self::people::{Answered, Nobody, People};
pub use self::rehearse::FOLLOWED;
pub use self::report::{Change, Report, RunReport, StepReport};
pub use self::stand_in::stand_ins;
use crate::engine::{Engine, Setup, StartError};
use crate::outbound::vault::Vault;
use crate::outbound::{Answers, Destinations, Effects, Egress, Planned, Secrets};
use crate::refusal::Refusal;
use crate::registry::DestinationRules;
use crate::runner::load::{LoadError, Loaded};
use crate::set::Set;
use crate::source::Incoming;
use crate::triage::Triage;
use crate::writer::{self, Accepted, Order};

/// How often a run may be taken up at one instant; a playbook that needs more goes round in circles.
const TURNS_MAX: usize = 100_000;
/// How many instants one movement of the clock may stop at.
const STOPS_MAX: usize = 100_000;

/// What a simulation begins with.
pub struct Start {
    /// What answers conditions.
    pub evaluator: Evaluator,
    /// Stages and close reasons.
    pub words: Vocabulary,
    /// What the team has said about its alerts and cases.
    pub triage: Triage,
    /// The destinations.
    pub destinations: Destinations,
    /// By which addresses are judged.
    pub egress: Egress,
    /// Where people reach our pages, for links.
    pub public_url: Option<String>,
    /// What pinned texts are compiled against.
    pub catalog: Catalog,
    /// What the outside answers.
    pub answers: Box<dyn Answers>,
    /// What time it is.
    pub now: Time,
    /// From what random numbers follow.
    pub seed: u64,
    /// What is known already: read, never written.
    pub base: Option<Arc<dyn Store>>,
}

/// Why a simulation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A run cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It goes on and on.
    #[error("it does not come to rest: more than {TURNS_MAX} turns at {at}")]
    Restless {
        /// The instant.
        at: Time,
    },
}

/// A simulation.
#[derive(Clone)]
pub struct Simulation {
    engine: Engine,
    clock: Arc<AtomicI64>,
    memory: Arc<Memory>,
    people: Arc<people::Office>,
}

impl Simulation {
    /// Begins, with no playbook in force.
    ///
    /// # Errors
    /// [`Error::Start`] when what lies beneath cannot be read.
    pub fn new(start: Start) -> Result<Simulation, Error> {
        let clock = Arc::new(AtomicI64::new(start.now.micros()));
        let shown = Arc::clone(&clock);
        let read = move || Time::from_micros(shown.load(Ordering::Relaxed));
        let memory = Arc::new(match start.base {
            Some(base) => Memory::over(base, read),
            None => Memory::new(read),
        });
        let setup = Setup {
            store: Arc::clone(&memory) as Arc<dyn Store>,
            evaluator: start.evaluator,
            words: start.words,
            node: "simulation".to_owned(),
            effects: Effects::recorded(start.egress, start.answers),
            secrets: Secrets::stand_ins(),
            vault: Arc::new(Vault::closed()),
            destinations: start.destinations,
            destination_rules: DestinationRules::default(),
            triage: start.triage,
            public_url: start.public_url,
            playbooks: Vec::new(),
            catalog: start.catalog,
            runs_max: 1,
            retention: Retention { age: Duration::MAX, runs: u64::MAX, bytes: u64::MAX },
            four_eyes: false,
        };
        Ok(Simulation { engine: Engine::simulated(setup, start.seed)?, clock, memory, people: Arc::default() })
    }

    /// Has questions answered by `people`; nobody answers otherwise.
    #[must_use]
    pub fn asking(self, people: Box<dyn People>) -> Simulation {
        Simulation { people: Arc::new(people::Office::new(people)), ..self }
    }

    /// Puts playbooks in force.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn load(&self, playbooks: Vec<Arc<Playbook>>) -> Result<(), Error> {
        let set = Set::new(playbooks, BTreeSet::new());
        Ok(self.engine.put_in_force(set, Actor::System).await?)
    }

    /// The engine: what people can ask of it can be asked here.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.engine.store().now()
    }

    /// Takes an event and answers what was decided; nothing of what follows is done yet.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn event(&self, incoming: Incoming) -> Result<Accepted, Refusal> {
        self.engine.ingest(vec![incoming]).await.pop().unwrap_or(Err(Refusal::Stopping))
    }

    /// Begins a run as it was begun elsewhere.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn start(&self, event: Event, start: RunStart) -> Result<RunId, Refusal> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Start(Box::new(writer::Start { event: Arc::new(event), start, reply }));
        self.engine.order(order, answer).await
    }

    /// Does all that is due at this instant.
    ///
    /// # Errors
    /// [`Error::Restless`], [`Error::Store`].
    pub async fn settle(&self) -> Result<(), Error> {
        for _ in 0..TURNS_MAX {
            if self.engine.runner().work_off(TURNS_MAX).await? == TURNS_MAX {
                break;
            }
            if !self.people.answer(&self.engine).await {
                return Ok(());
            }
        }
        Err(Error::Restless { at: self.now() })
    }

    /// Lets time pass until `until`, doing what becomes due on the way: tries, waits, schedules.
    ///
    /// # Errors
    /// [`Error::Restless`], [`Error::Store`].
    pub async fn pass(&self, until: Time) -> Result<(), Error> {
        for _ in 0..STOPS_MAX {
            self.settle().await?;
            let scheduled = self.engine.fire_due().await;
            self.settle().await?;
            let next = [self.engine.store().next_due(), scheduled, self.people.next()].into_iter().flatten().min();
            match next.filter(|next| *next <= until) {
                Some(next) => self.move_to(next.max(self.now().plus(TICK))),
                None => {
                    self.move_to(until);
                    return Ok(());
                }
            }
        }
        Err(Error::Restless { at: self.now() })
    }

    /// Lets time pass until every run has ended, but not beyond `until`. Schedules do not fire meanwhile: they have no end.
    ///
    /// # Errors
    /// [`Error::Restless`], [`Error::Store`].
    pub async fn finish(&self, until: Time) -> Result<(), Error> {
        for _ in 0..STOPS_MAX {
            self.settle().await?;
            let next = [self.engine.store().next_due(), self.people.next()].into_iter().flatten().min();
            match next.filter(|next| *next <= until) {
                Some(next) => self.move_to(next.max(self.now().plus(TICK))),
                None => return Ok(()),
            }
        }
        Err(Error::Restless { at: self.now() })
    }

    /// Sets the clock forward, whatever comes due on the way.
    pub(super) fn move_to(&self, time: Time) {
        self.clock.fetch_max(time.micros(), Ordering::Relaxed);
    }

    /// What would have been sent so far, in order.
    pub fn planned(&self) -> Vec<Planned> {
        self.engine.context().effects.planned()
    }

    /// What would have been sent since the last call, in order.
    pub(super) fn take_planned(&self) -> Vec<Planned> {
        self.engine.context().effects.take_planned()
    }

    /// Where everything is kept.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The runs so far, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Load`].
    pub async fn runs(&self) -> Result<Vec<Loaded>, Error> {
        let mut all: Vec<RunId> = Vec::new();
        let mut after = None;
        loop {
            let page = self.engine.store().runs(&RunFilter::default(), after, model::limits::PAGE_ITEMS_MAX)?;
            all.extend(page.items.iter().map(|run| run.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        all.reverse();
        let mut loaded = Vec::with_capacity(all.len());
        for run in all {
            loaded.push(crate::runner::load::load(self.engine.store().as_ref(), run)?);
        }
        Ok(loaded)
    }

    /// The tenants of what is known.
    pub(crate) fn tenants(&self) -> BTreeSet<String> {
        let mut tenants = BTreeSet::from(["default".to_owned()]);
        let first = self.engine.store().stats().first_seq;
        // What cannot be read is of no tenant.
        let _ = self.engine.store().entries_forward(first, &mut |stored| {
            if let Some(entry) = stored.entry.filter(|entry| entry.header.kind == EntryKind::EventAccepted) {
                tenants.extend(crate::record::read_accepted(&entry.payload).map(|accepted| accepted.tenant));
            }
            true
        });
        tenants
    }

    /// An object as it stands.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn object(&self, key: &ObjectKey) -> Result<Option<Object>, Error> {
        Ok(self.engine.store().object(key)?)
    }
}

/// All steps of a playbook, nested ones included, in the order of the file.
pub(crate) fn steps_of(playbook: &Playbook) -> Vec<&Step> {
    fn within<'a>(steps: &'a [Step], all: &mut Vec<&'a Step>) {
        for step in steps {
            all.push(step);
            for (_, nested) in step.lists() {
                within(nested, all);
            }
        }
    }
    let mut all = Vec::new();
    for (_, steps) in playbook.lists() {
        within(steps, &mut all);
    }
    all
}

/// The smallest step of the clock.
const TICK: Duration = Duration::from_millis(1);
