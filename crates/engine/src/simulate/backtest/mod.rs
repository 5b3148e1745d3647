//! Playbooks over past events: what would have been decided and sent, with the events' own times as the clock.
//!
//! It is the engine itself that goes through them, in a simulation whose clock follows the events: what comes due on the
//! way (schedules, timers, waits, tries) is done at its time. Most events change nothing but the state, or start runs that
//! end at once; those are decided by the same [`decide::decide`] and walked by `quick`, and nothing of them is written down,
//! so that a hundred thousand events are a matter of seconds. Services are supposed to answer 200 with nothing in it,
//! destinations to take what is sent, and nobody answers a question.
//!
//! Invariants: the clock never goes back; the same events come out the same to the byte; where runs are kept apart, what
//! they change is seen by nobody else and starts nothing.

mod collect;
mod quick;
mod told;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::record::Vocabulary;
use model::{Event, Object, Seq, Time, Transition, object};
use playbook::{Catalog, Evaluator, Playbook};
use store::Store as _;

use self::collect::Book;
use self::quick::Quick;
pub use self::told::{Ended, Told, WouldRequest, WouldSend};
use super::{Error, FOLLOWED, Simulation, Start};
use crate::as_of::before;
use crate::batch::replay_key;
use crate::decide::{self, Decided, Means, Position, Stored};
use crate::outbound::{Destinations, Egress, Takes};
use crate::schedule::CURSOR_PREFIX;
use crate::source::{Incoming, Raw};
use crate::triage::{DETECTION_CREATED, Triage};

/// How far the clock is moved at once while something comes due on the way.
const PASS_AT_ONCE: Duration = Duration::from_secs(6 * 3_600);
/// How many events go through before what is over is forgotten.
const FORGET_EVERY: u64 = 20_000;
/// The first place of what is not written down: behind all that is.
const QUICK_FIRST: u64 = 1 << 40;

/// What playbooks are tried with.
pub struct Setup {
    /// The playbooks.
    pub playbooks: Vec<Arc<Playbook>>,
    /// What answers conditions.
    pub evaluator: Evaluator,
    /// Stages and close reasons.
    pub words: Vocabulary,
    /// What the team has said about its alerts and cases.
    pub triage: Triage,
    /// The destinations that are known. Others that a playbook names are taken to exist.
    pub destinations: Destinations,
    /// By which addresses are judged.
    pub egress: Egress,
    /// What pinned texts are compiled against.
    pub catalog: Catalog,
    /// Whether what runs change stays apart: past changes of runs are among the events then.
    pub apart: bool,
    /// Whether every run goes through the whole engine. It comes out the same, and takes longer.
    pub thorough: bool,
}

/// A back-test. It begins with its first event, or where it is told to.
pub struct Backtest {
    setup: Setup,
    world: Option<World>,
}

/// A back-test that has begun.
struct World {
    simulation: Simulation,
    quick: Quick,
    book: Book,
    thorough: bool,
    apart: bool,
    /// When the next schedule or timer is due, as far as it is known without looking at timers that moved.
    scheduled: Option<Time>,
    /// Keys of events that came, with what they held and until when they are remembered.
    keys: HashMap<[u8; 16], ([u8; 16], Time)>,
    events: u64,
}

impl Backtest {
    /// Nothing has happened yet.
    pub fn new(setup: Setup) -> Backtest {
        Backtest { setup, world: None }
    }

    /// Begins at this time: schedules and silences are counted from then on.
    ///
    /// # Errors
    /// [`Error`] when the playbooks cannot be put in force.
    pub async fn begin(&mut self, at: Time) -> Result<(), Error> {
        if self.world.is_none() {
            self.world = Some(World::new(&self.setup, at).await?);
        }
        Ok(())
    }

    /// What was known of an object before the first event about it, as the history tells it: a change needs something that
    /// it changes. What is known already stays.
    ///
    /// # Errors
    /// [`Error`] when the playbooks cannot be put in force.
    pub async fn seed(&mut self, event: &Event, transitions: &[Transition], time: Time) -> Result<(), Error> {
        self.begin(time).await?;
        let (Some(key), Some(world)) = (event.object(), &self.world) else { return Ok(()) };
        let memory = world.simulation.memory();
        if memory.object(&key)?.is_none()
            && let Some(record) = before(transitions, &key)
        {
            let object = Object { record: Arc::new(record), meta: object::Meta::default() };
            memory.put_back(&key, Some(object));
        }
        Ok(())
    }

    /// The next event: what came due before it, the event itself, and what its runs caused. `time` is when it was; a time
    /// before that of the one before counts as that one's.
    ///
    /// # Errors
    /// [`Error`] when the simulation cannot go on.
    pub async fn event(&mut self, id: &str, event: &Arc<Event>, time: Time) -> Result<Vec<Told>, Error> {
        self.begin(time).await?;
        match &mut self.world {
            Some(world) => world.event(id, event, time).await,
            None => Ok(Vec::new()),
        }
    }

    /// Lets time pass up to `until`, with what comes due.
    ///
    /// # Errors
    /// [`Error`] when the simulation cannot go on.
    pub async fn pass(&mut self, until: Time) -> Result<Vec<Told>, Error> {
        match &mut self.world {
            Some(world) => world.pass(until).await,
            None => Ok(Vec::new()),
        }
    }

    /// The end: runs that wait are followed to their end; schedules and timers are not, since they have none.
    ///
    /// # Errors
    /// [`Error`] when the simulation cannot go on.
    pub async fn end(&mut self) -> Result<Vec<Told>, Error> {
        let Some(world) = &mut self.world else { return Ok(Vec::new()) };
        world.simulation.finish(world.simulation.now().plus(FOLLOWED)).await?;
        world.put_back();
        let told = world.book.collect(&world.simulation, None)?;
        Ok(told)
    }
}

impl World {
    async fn new(setup: &Setup, at: Time) -> Result<World, Error> {
        let mut destinations = setup.destinations.clone();
        let missing = super::stand_ins(setup.playbooks.iter().map(Arc::as_ref), &destinations);
        destinations.map.extend(missing);
        let simulation = Simulation::new(Start {
            evaluator: setup.evaluator.clone(),
            words: setup.words.clone(),
            triage: setup.triage.clone(),
            destinations,
            egress: setup.egress.clone(),
            public_url: None,
            catalog: setup.catalog.clone(),
            answers: Box::new(Takes),
            now: at,
            seed: 0,
            base: None,
        })?;
        simulation.load(setup.playbooks.clone()).await?;
        simulation.engine().shared().apart.set(setup.apart);
        let scheduled = simulation.engine().fire_due().await;
        let quick = Quick::new(simulation.engine().context(), Arc::clone(simulation.memory()));
        let book = Book::new(&simulation);
        let (thorough, apart) = (setup.thorough, setup.apart);
        Ok(World { simulation, quick, book, thorough, apart, scheduled, keys: HashMap::new(), events: 0 })
    }

    async fn event(&mut self, id: &str, event: &Arc<Event>, time: Time) -> Result<Vec<Told>, Error> {
        let mut told = self.pass(time).await?;
        self.events += 1;
        if self.events.is_multiple_of(FORGET_EVERY) {
            let now = self.simulation.now();
            self.simulation.memory().forget_past(now);
            self.keys.retain(|_, (_, until)| *until > now);
        }
        if let Some(repeat) = self.repeat(id, event) {
            told.push(repeat);
            return Ok(told);
        }
        let quick = if self.thorough { None } else { self.quickly(id, event)? };
        match quick {
            Some(one) => told.push(one),
            None => told.extend(self.slowly(id, event).await?),
        }
        Ok(told)
    }

    /// What comes due up to a time.
    async fn pass(&mut self, time: Time) -> Result<Vec<Told>, Error> {
        let mut told = Vec::new();
        if self.simulation.now() == Time::EPOCH && time > Time::EPOCH {
            self.first_time(time).await?;
        }
        loop {
            let now = self.simulation.now();
            let engine = self.simulation.engine();
            let timers = engine.shared().timers.next();
            let next = [self.simulation.memory().next_due(), timers, self.scheduled].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= time) else { break };
            let until = time.min(now.max(next).plus(PASS_AT_ONCE));
            self.simulation.pass(until).await?;
            self.scheduled = self.simulation.engine().fire_due().await;
            self.put_back();
            told.extend(self.book.collect(&self.simulation, None)?);
            self.simulation.memory().forget_past(self.simulation.now());
            if until >= time {
                break;
            }
        }
        self.simulation.move_to(time);
        Ok(told)
    }

    /// The events so far had no time; the clock begins now, and schedules with it.
    async fn first_time(&mut self, time: Time) -> Result<(), Error> {
        let memory = self.simulation.memory();
        let cursors = memory.marks(CURSOR_PREFIX)?.into_iter().map(|(name, _)| (name, None)).collect();
        memory.keep(store::Kept { marks: cursors, ..store::Kept::default() });
        self.simulation.move_to(time);
        let playbooks = self.simulation.engine().playbooks().playbooks().to_vec();
        self.simulation.load(playbooks).await?;
        self.scheduled = self.simulation.engine().fire_due().await;
        Ok(())
    }

    /// What is told of an event that came before, by its own key.
    fn repeat(&mut self, id: &str, event: &Event) -> Option<Told> {
        let replay = event.replay.as_ref()?;
        let now = self.simulation.now();
        let (key, mut body) = (replay_key(event, &replay.key), [0; 16]);
        body.copy_from_slice(replay.body.0.get(..16)?);
        let until = now.plus(Duration::from_secs(replay.seconds));
        match self.keys.get(&key).filter(|(_, until)| *until > now) {
            None => {
                self.keys.insert(key, (body, until));
                None
            }
            Some((known, _)) => {
                let refused = (*known != body).then_some("key_reused");
                Some(Told { duplicate: refused.is_none(), refused, ..Told::new(id, now, event.kind.clone()) })
            }
        }
    }

    /// An event that changes nothing but the state, or whose runs all end at once; nothing has happened otherwise.
    fn quickly(&mut self, id: &str, event: &Arc<Event>) -> Result<Option<Told>, Error> {
        let engine = self.simulation.engine().clone();
        let (shared, memory) = (engine.shared(), Arc::clone(self.simulation.memory()));
        let triage = shared.triage();
        let grouped = event.kind == DETECTION_CREATED && !triage.grouping.is_empty();
        if grouped || !shared.waits.ears(&event.kind, &event.tenant).is_empty() {
            return Ok(None);
        }
        let (set, now) = (shared.set(), self.simulation.now());
        let spent = || Duration::ZERO;
        let (evaluator, closed_stage) = (&shared.evaluator, shared.words.closed());
        let means = Means { set: &set, evaluator, closed_stage, triage: &triage, spent: &spent };
        let at = Position { seq: Seq(QUICK_FIRST + self.events), tag: 0, now };
        let view = Stored { store: memory.as_ref(), brakes: shared.brakes.now() };
        let mut decided = decide::decide(event, at, &view, means)?;
        if !decided.raised.is_empty() || !decided.over_budget.is_empty() {
            return Ok(None);
        }
        let mut told = Told { given: true, ..Told::new(id, now, event.kind.clone()) };
        if !decided.runs.is_empty() && !self.walk(event, &decided, &set, &mut told)? {
            return Ok(None);
        }
        told.decisions = std::mem::take(&mut decided.decisions);
        let object = decided.object.as_ref().map(|(_, object)| object);
        decide::fill(&mut told.decisions, &decided.listening, &set, event, &decided.transitions, object);
        shared.timers.follow(decided.marks.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
        let mut windows = decided.windows;
        windows.extend(self.quick.take_windows());
        let Decided { object, tallies, marks, .. } = decided;
        memory.keep(store::Kept { object, windows, tallies, marks });
        Ok(Some(told))
    }

    /// Walks the runs of an event; `false` when one of them needs the whole engine, and nothing has happened then.
    fn walk(&mut self, event: &Event, decided: &Decided, set: &crate::Set, told: &mut Told) -> Result<bool, Error> {
        let found = |start: &model::run::RunStart| set.find(&start.playbook).cloned();
        let Some(playbooks) = decided.runs.iter().map(found).collect::<Option<Vec<_>>>() else { return Ok(false) };
        if !playbooks.iter().all(|playbook| self.quick.takes(playbook)) {
            return Ok(false);
        }
        // Runs see the object as the event left it.
        let memory = Arc::clone(self.simulation.memory());
        let mut earlier = None;
        if let Some((key, object)) = &decided.object {
            earlier = Some((key.clone(), memory.object(key)?));
            memory.put_back(key, Some(object.clone()));
        }
        let now = self.simulation.now();
        for (start, playbook) in decided.runs.iter().zip(&playbooks) {
            let Some(ran) = self.quick.run(playbook, start, event, now) else {
                self.quick.forget();
                if let Some((key, object)) = earlier {
                    memory.put_back(&key, object);
                }
                return Ok(false);
            };
            told.would_send.extend(ran.would_send);
            told.would_request.extend(ran.would_request);
            told.ended.push(ran.ended);
        }
        Ok(true)
    }

    /// An event through the whole engine.
    async fn slowly(&mut self, id: &str, event: &Arc<Event>) -> Result<Vec<Told>, Error> {
        let event = Arc::new(Event { replay: None, ..Event::clone(event) });
        let incoming = Incoming { event, raw: Raw::Bytes(bytes::Bytes::new()) };
        let accepted = self.simulation.event(incoming).await?;
        self.simulation.settle().await?;
        self.put_back();
        let told = self.book.collect(&self.simulation, Some((id, accepted)))?;
        self.simulation.memory().forget_past(self.simulation.now());
        Ok(told)
    }

    /// Undoes what runs changed, where they are kept apart.
    fn put_back(&self) {
        if self.apart {
            for (key, object) in self.simulation.engine().shared().apart.take() {
                self.simulation.memory().put_back(&key, object);
            }
        }
    }
}
