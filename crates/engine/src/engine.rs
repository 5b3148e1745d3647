//! The handle to the running engine: cheap to clone, with a method for everything that can be asked of it.
//!
//! The owner behind it is the writer's thread; the runner, the schedules and the sweep are tasks. [`Engine::stop`] ends
//! them in order: no new orders, steps in flight, the writer.
//!
//! Length: one short method for each thing that can be asked, and the list is what a reader looks for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use model::event::Actor;
use model::history::EntryKind;
use model::record::Vocabulary;
use model::{Digest, Object, ObjectKey, Seq, Time, limits};
use playbook::{Catalog, Evaluator, Playbook};
use serde_json::{Value, json};
use store::{Retention, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::action::{Context, Objects, Windows};
use crate::brakes::Brakes;
use crate::change::LocalChange;
use crate::decide::{self, Means, Position, Stored};
use crate::ledger::courier;
use crate::ledger::keeper::Keeper;
use crate::outbound::gate::Gates;
use crate::outbound::vault::Vault;
use crate::outbound::{Destinations, Effects, Secrets};
use crate::refusal::Refusal;
use crate::registry::{DestinationRules, Kept, Registry};
use crate::runner::Runner;
use crate::set::Set;
use crate::shared::{Chance, Figures, Shared};
use crate::source::Incoming;
use crate::triage::{self, Triage, Watchlist};
use crate::writer::{self, Accepted, Answered, Note, ORDER_EVENTS_MAX, ORDERS_MAX, Order, Orders, RETRY_AFTER};
use crate::{evict, eyes, recall, schedule, seen, sweep, timer, unused};

/// How long a caller with several orders waits for room before it is told to come back.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// The mark under which the playbooks that people switched off are kept.
const OFF_PREFIX: &str = "off/";
/// The mark under which the ids and digests of a loaded set are kept, by the digest of the set.
pub const SET_PREFIX: &str = "set/";

/// The mark under which the digest and the file (with a blank between them) of a loaded playbook are kept, by its id.
pub const PLAYBOOK_PREFIX: &str = "playbook/";

/// What an engine is made of.
pub struct Setup {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What answers conditions and templates.
    pub evaluator: Evaluator,
    /// Stages and close reasons.
    pub words: Vocabulary,
    /// The name of this server in the history.
    pub node: String,
    /// What runs may do to the outside.
    pub effects: Effects,
    /// The secrets.
    pub secrets: Secrets,
    /// What Sortie itself keeps secret.
    pub vault: Arc<Vault>,
    /// The destinations of the file.
    pub destinations: Destinations,
    /// What other destinations are checked against.
    pub destination_rules: DestinationRules,
    /// What the team has said about its alerts and cases: queues, bands, the watchlist, assignment, grouping.
    pub triage: Triage,
    /// Where people reach our pages.
    pub public_url: Option<String>,
    /// The playbooks.
    pub playbooks: Vec<Arc<Playbook>>,
    /// What pinned texts of playbooks are compiled against.
    pub catalog: Catalog,
    /// Most runs at work at once.
    pub runs_max: usize,
    /// How long history is kept.
    pub retention: Retention,
    /// Whether a text of a playbook that is new here starts nothing until a second person switches it on.
    pub four_eyes: bool,
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The first entry could not be recorded.
    #[error("the start could not be recorded: {0}")]
    Refused(#[from] Refusal),
    /// A stage in which cases are is no longer configured.
    #[error("{0}")]
    Stages(triage::StillUsed),
    /// The operating system gave no thread.
    #[error("the writer's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The handle to a running engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// What is behind a handle.
pub(crate) struct Inner {
    shared: Arc<Shared>,
    orders: Orders,
    runner: Arc<Runner>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Option<JoinSet<()>>>,
    kept: Kept,
    /// Held from reading the set in force to putting another in its place, so that no change is lost.
    changing_set: tokio::sync::Mutex<()>,
    /// What signs the history; nothing for a simulation.
    keeper: OnceLock<Arc<Keeper>>,
}

impl Drop for Inner {
    /// What is still at work when the last handle goes is dropped; the next start resumes it.
    fn drop(&mut self) {
        self.runner.abort_all();
    }
}

/// Reads objects for actions.
struct Reader(Arc<Shared>);

impl Objects for Reader {
    fn object(&self, key: &ObjectKey) -> Result<Option<Object>, store::Error> {
        self.0.store.object(key)
    }

    fn ahead(&self, destination: &str, run: model::RunId) -> Result<usize, store::Error> {
        crate::order::ahead(self.0.store.as_ref(), &self.0.set(), destination, run)
    }
}

/// Claims windows for actions, through the writer.
struct Claims(Orders);

#[async_trait::async_trait]
impl Windows for Claims {
    async fn claim(&self, window: &str, by: &str, until: Time) -> Result<bool, Refusal> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Claim { window: window.to_owned(), by: by.to_owned(), until, reply };
        self.0.send(order).await?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }
}

impl Engine {
    /// Starts an engine: loads the playbooks, resumes what was interrupted, and is ready when this returns.
    ///
    /// # Errors
    /// [`StartError`] when the store fails or the start cannot be recorded.
    pub async fn start(setup: Setup) -> Result<Engine, StartError> {
        let (retention, playbooks) = (setup.retention, setup.playbooks.clone());
        let stages = triage::check_stages(setup.store.as_ref(), &setup.words)?.map_err(StartError::Stages)?;
        let engine = Engine::open(Setup { playbooks: Vec::new(), ..setup })?;
        let shared = &engine.inner.shared;
        let playbooks = playbooks.into_iter().chain(engine.notifying()?).collect();
        let set = engine.set_with_switches(playbooks)?;
        engine
            .record(
                EntryKind::Server,
                "server".to_owned(),
                json!({ "what": "started", "version": env!("CARGO_PKG_VERSION") }),
                Actor::System,
            )
            .await?;
        if let Some(mark) = stages {
            let what = json!({ "what": "stages", "stages": shared.words.stages });
            engine.set_marks(vec![mark], "stages".to_owned(), what, Actor::System).await?;
        }
        engine.put_in_force(set, Actor::System).await?;
        timer::load(shared.store.as_ref(), &shared.timers)?;
        let context = engine.context();
        recall::gates(shared.store.as_ref(), &context.destinations(), &context.gates, shared.store.now())?;
        let stopped = engine.inner.stop.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&engine.inner.runner).run());
        tasks.spawn(schedule::run(Arc::clone(shared), engine.inner.orders.clone(), stopped.clone()));
        tasks.spawn(seen::run(Arc::clone(shared), engine.inner.orders.clone(), stopped.clone()));
        tasks.spawn(timer::run(Arc::clone(shared), engine.inner.orders.clone(), stopped.clone()));
        tasks.spawn(sweep::run(Arc::clone(shared), engine.inner.orders.clone(), retention, stopped.clone()));
        tasks.spawn(evict::run(Arc::downgrade(&engine.inner), stopped));
        *engine.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner) = Some(tasks);
        Ok(engine)
    }

    /// An engine that answers and changes what it is asked to, and does nothing by itself: no run goes on, no schedule
    /// fires, nothing is dropped, its start is not recorded. For one command on the data of a stopped server.
    ///
    /// # Errors
    /// [`StartError`] when the store fails.
    pub fn open(setup: Setup) -> Result<Engine, StartError> {
        let shared = shared_of(&setup, Chance::system(), true)?;
        let brakes = Brakes::read(shared.store.as_ref())?;
        shared.brakes.change(|now| *now = brakes);
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let writer = Arc::clone(&shared);
        shared.waits.rebuild(shared.store.as_ref())?;
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || writer::run(&writer, waiting))?;
        let engine = Engine::over(setup, shared, Orders::Thread(orders))?;
        engine.heed_pauses();
        Ok(engine)
    }

    /// An engine that has no thread and no task: every order is carried out by whoever gives it, random numbers follow from
    /// `seed`, and time is that of the store alone. See [`crate::simulate`].
    ///
    /// # Errors
    /// [`StartError`] when the store fails.
    pub(crate) fn simulated(setup: Setup, seed: u64) -> Result<Engine, StartError> {
        let setup = Setup { evaluator: setup.evaluator.untimed(), ..setup };
        let shared = shared_of(&setup, Chance::Seeded(seed), false)?;
        Engine::over(setup, Arc::clone(&shared), Orders::Here(shared))
    }

    fn over(setup: Setup, shared: Arc<Shared>, orders: Orders) -> Result<Engine, StartError> {
        let (vault, rules) = (setup.vault, setup.destination_rules);
        let registry = match &orders {
            // Whoever simulates has said which destinations there are.
            Orders::Here(_) => Registry::of(setup.destinations),
            Orders::Thread(_) => {
                Registry::open(setup.store.as_ref(), &vault, setup.destinations, setup.effects.egress(), &rules)?
            }
        };
        // Destinations come and go; a run that names one which is gone fails in that step, and says so.
        let catalog = Catalog { destinations: None, ..setup.catalog };
        let (stop, stopped) = watch::channel(false);
        let clock = Arc::clone(&shared);
        let context = Context {
            evaluator: setup.evaluator,
            effects: setup.effects,
            secrets: setup.secrets,
            destinations: std::sync::RwLock::new(Arc::new(registry.in_force())),
            gates: Gates::default(),
            words: setup.words,
            queues: setup.triage.rules.queues,
            public_url: setup.public_url,
            objects: Arc::new(Reader(Arc::clone(&shared))),
            windows: Arc::new(Claims(orders.clone())),
            clock: Arc::new(move || clock.store.now()),
        };
        let runner = Arc::new(Runner::new(
            Arc::clone(&shared),
            orders.clone(),
            Arc::new(context),
            catalog,
            setup.runs_max,
            stopped,
        ));
        let inner = Inner {
            shared,
            orders,
            runner,
            stop,
            tasks: Mutex::new(None),
            kept: Kept::new(registry, rules, vault),
            changing_set: tokio::sync::Mutex::default(),
            keeper: OnceLock::new(),
        };
        Ok(Engine { inner: Arc::new(inner) })
    }

    /// Takes events; answers for each, in order, once it is durable.
    pub async fn ingest(&self, events: Vec<Incoming>) -> Vec<Result<Accepted, Refusal>> {
        let single = events.len() == 1;
        let mut waiting = Vec::new();
        for (part, bytes) in parts(events) {
            waiting.push((part.len(), self.hand_in(part, bytes, single).await));
        }
        let mut answers = Vec::new();
        for (count, answer) in waiting {
            match answer {
                Ok(answer) => match answer.await {
                    Ok(part) => {
                        answers.extend(part.answers);
                        drop(part.incoming);
                    }
                    Err(_) => answers.extend((0..count).map(|_| Err(Refusal::Stopping))),
                },
                Err(refusal) => answers.extend((0..count).map(|_| Err(refusal.clone()))),
            }
        }
        answers
    }

    async fn hand_in(
        &self,
        incoming: Vec<Incoming>,
        bytes: usize,
        single: bool,
    ) -> Result<oneshot::Receiver<Answered>, Refusal> {
        if *self.inner.stop.borrow() {
            return Err(Refusal::Stopping);
        }
        let (source, tenant) = incoming.first().map_or(("", ""), |one| (&*one.event.source, &*one.event.tenant));
        let place = self.inner.shared.intake.enter(source, tenant, incoming.len(), bytes).await?;
        if !self.inner.shared.reserve_bytes(bytes) {
            return Err(Refusal::Busy { retry_after: RETRY_AFTER });
        }
        let (reply, answer) = oneshot::channel();
        let order = Order::Events { incoming, reply, place };
        let patience = if single { Duration::ZERO } else { ROOM_WAIT };
        let sent = self.inner.orders.offer(order, patience).await;
        if sent.is_err() {
            self.inner.shared.release_bytes(bytes);
        }
        sent.map(|()| answer)
    }

    /// What would follow from an event now. Keeps nothing.
    ///
    /// # Errors
    /// [`Refusal`] when the state cannot be read.
    pub fn dry_run(&self, incoming: &Incoming) -> Result<Accepted, Refusal> {
        let shared = &self.inner.shared;
        let set = shared.set();
        let spent = || Duration::ZERO;
        let (triage, evaluator, closed_stage) = (shared.triage(), &shared.evaluator, shared.words.closed());
        let means = Means { set: &set, evaluator, closed_stage, triage: &triage, spent: &spent };
        let at = Position { seq: shared.store.next_seq(), tag: 0, now: shared.store.now() };
        let view = Stored { store: shared.store.as_ref(), brakes: shared.brakes.now() };
        let decided = decide::decide(&incoming.event, at, &view, means).map_err(|error| Refusal::from(&error))?;
        Ok(decide::answer(decided, &incoming.event, &set, at))
    }

    /// Changes an alert or a case, for a person.
    ///
    /// # Errors
    /// [`Refusal`] when it does not exist or the change does not fit.
    pub async fn change(&self, change: LocalChange, actor: Actor) -> Result<Accepted, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Change { change, actor, reply }, answer).await
    }

    /// Notes something in the history; it is durable when this returns.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded.
    pub async fn record(&self, kind: EntryKind, object: String, payload: Value, actor: Actor) -> Result<Seq, Refusal> {
        self.note(kind, object, payload, actor, Vec::new()).await
    }

    /// Changes settings, with a note of what was changed.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded.
    pub async fn set_marks(
        &self,
        marks: Vec<(String, Option<Vec<u8>>)>,
        object: String,
        what: Value,
        actor: Actor,
    ) -> Result<Seq, Refusal> {
        self.note(EntryKind::SettingChanged, object, what, actor, marks).await
    }

    async fn note(
        &self,
        kind: EntryKind,
        object: String,
        payload: Value,
        actor: Actor,
        marks: Vec<(String, Option<Vec<u8>>)>,
    ) -> Result<Seq, Refusal> {
        let (reply, answer) = oneshot::channel();
        let note = Note { kind, actor, object, payload, marks, texts: Vec::new(), set: None, reply };
        self.order(Order::Note(Box::new(note)), answer).await
    }

    /// Keeps texts by their digests.
    pub(crate) async fn keep_texts(&self, texts: Vec<(Digest, Vec<u8>)>, actor: Actor) -> Result<(), Refusal> {
        let payload =
            json!({ "what": "text kept", "digests": texts.iter().map(|(digest, _)| digest).collect::<Vec<_>>() });
        let (reply, answer) = oneshot::channel();
        let kind = EntryKind::SettingChanged;
        let object = "playbooks".to_owned();
        let note = Note { kind, actor, object, payload, marks: Vec::new(), texts, set: None, reply };
        self.order(Order::Note(Box::new(note)), answer).await.map(drop)
    }

    pub(crate) async fn order<T>(
        &self,
        order: Order,
        answer: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        self.inner.orders.send(order).await?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Puts another set of playbooks in force, at once and whole. Runs that have started keep the text they started with.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded; the old set stays.
    pub async fn load(&self, playbooks: Vec<Arc<Playbook>>, actor: Actor) -> Result<(), Refusal> {
        let _changing = self.inner.changing_set.lock().await;
        let made = self.notifying().map_err(|error| Refusal::from(&error))?;
        let set = self
            .set_with_switches(playbooks.into_iter().chain(made).collect())
            .map_err(|error| Refusal::from(&error))?;
        self.put_in_force(set, actor).await
    }

    /// These playbooks with what people have said about them.
    fn set_with_switches(&self, playbooks: Vec<Arc<Playbook>>) -> Result<Set, store::Error> {
        let shared = &self.inner.shared;
        let store = shared.store.as_ref();
        let waiting = if shared.four_eyes { eyes::waiting(store, &playbooks)? } else { BTreeSet::new() };
        Ok(Set::new(playbooks, switched_off(store)?).waiting_for(waiting))
    }

    /// Switches a playbook on or off; this survives reloads and restarts.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such playbook or the switch cannot be recorded.
    pub async fn toggle(&self, id: &str, on: bool, actor: Actor) -> Result<(), Refusal> {
        let _changing = self.inner.changing_set.lock().await;
        let set = self.inner.shared.set();
        let Some(digest) = set.find(id).map(|playbook| playbook.digest) else {
            return Err(Refusal::NotFound { what: format!("playbook `{id}`") });
        };
        if on {
            self.lift_suspension(id, actor.clone()).await?;
        }
        let mut marks = vec![(format!("{OFF_PREFIX}{id}"), (!on).then(|| b"off".to_vec()))];
        let done = if on { "playbook enabled" } else { "playbook disabled" };
        let what = json!({ "what": done, "playbook": id, "digest": digest });
        let (mut off, mut waiting) = (set.off().clone(), set.waiting().clone());
        if on {
            off.remove(id);
            waiting.remove(id);
            marks.push(eyes::kept(id, digest, false));
        } else {
            off.insert(id.to_owned());
        }
        let next = Set::new(set.playbooks().to_vec(), off).waiting_for(waiting);
        let (reply, answer) = oneshot::channel();
        let note = Note {
            kind: EntryKind::SettingChanged,
            actor,
            object: format!("playbook:{id}"),
            payload: what,
            marks,
            texts: Vec::new(),
            set: Some(Arc::new(next)),
            reply,
        };
        self.order(Order::Note(Box::new(note)), answer).await?;
        Ok(())
    }

    pub(crate) async fn put_in_force(&self, set: Set, actor: Actor) -> Result<(), Refusal> {
        let store = &self.inner.shared.store;
        let failed = |error: store::Error| Refusal::from(&error);
        let ids: Vec<(String, Digest)> = set.playbooks().iter().map(|p| (p.id.to_string(), p.digest)).collect();
        let listing = json!(ids);
        let mut marks = vec![(format!("{SET_PREFIX}{}", set.digest()), Some(listing.to_string().into_bytes()))];
        marks.extend(schedule::cursors(store.as_ref(), &set).map_err(failed)?);
        marks.extend(timer::begin(store.as_ref(), &set).map_err(failed)?);
        marks.extend(unused::marks(store.as_ref(), &set).map_err(failed)?);
        for (mark, _) in store.marks(PLAYBOOK_PREFIX).map_err(failed)? {
            if mark.strip_prefix(PLAYBOOK_PREFIX).is_some_and(|id| set.find(id).is_none()) {
                marks.push((mark, None));
            }
        }
        let mut texts = Vec::new();
        for playbook in set.playbooks() {
            if set.waiting().contains(&*playbook.id) {
                marks.push(eyes::kept(&playbook.id, playbook.digest, true));
            }
            let loaded = format!("{} {}", playbook.digest, playbook.file);
            marks.push((format!("{PLAYBOOK_PREFIX}{}", playbook.id), Some(loaded.into_bytes())));
            if store.text(&playbook.digest).map_err(failed)?.is_none() {
                texts.push((playbook.digest, playbook.text.as_bytes().to_vec()));
            }
        }
        let payload = json!({ "set": set.digest(), "playbooks": listing });
        let (reply, answer) = oneshot::channel();
        let note = Note {
            kind: EntryKind::PlaybooksLoaded,
            actor,
            object: "playbooks".to_owned(),
            payload,
            marks,
            texts,
            set: Some(Arc::new(set)),
            reply,
        };
        self.order(Order::Note(Box::new(note)), answer).await?;
        Ok(())
    }

    /// Stops: no new events, then the steps in flight for as long as `grace`, then the writer. What did not finish is
    /// resumed at the next start.
    pub async fn stop(&self, grace: Duration) {
        if self.inner.stop.send_replace(true) {
            return;
        }
        let tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut tasks) = tasks {
            let done = async { while tasks.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(grace, done).await;
            tasks.shutdown().await;
        }
        self.inner.runner.abort_all();
        let _ = self.record(EntryKind::Server, "server".to_owned(), json!({ "what": "stopped" }), Actor::System).await;
        if let Some(keeper) = self.keeper() {
            if let Err(error) = self.checkpoint().await {
                tracing::warn!(%error, "no last checkpoint of the history could be signed");
            }
            courier::last(self, keeper).await;
        }
        if let Err(error) = self.store().settle() {
            tracing::warn!(%error, "the store could not note where its history ends");
        }
    }

    /// Whether events are accepted, and if not, why.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn ready(&self) -> Result<(), String> {
        if *self.inner.stop.borrow() {
            return Err("the server is stopping".to_owned());
        }
        match self.inner.shared.failure().borrow().as_ref() {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    /// Waits until the engine has failed in a way that does not mend itself; the process should end then.
    pub async fn failed(&self) -> String {
        let mut failure = self.inner.shared.failure();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether it does by itself what is to be done: not so for one command on the data of a stopped server.
    pub fn is_served(&self) -> bool {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The store, for reading. Reading blocks: call it from where blocking is allowed.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.shared.store
    }

    /// What the team has said about its alerts and cases, as it is in force.
    pub fn triage(&self) -> Arc<Triage> {
        self.inner.shared.triage()
    }

    /// Puts something else in its place.
    pub(crate) fn swap_triage(&self, triage: Triage) {
        self.inner.shared.swap_triage(Arc::new(triage));
    }

    /// Held while what is in force is read, changed and put back, so that no change is lost.
    pub(crate) async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.changing_set.lock().await
    }

    /// The playbooks in force.
    pub fn playbooks(&self) -> Arc<Set> {
        self.inner.shared.set()
    }

    /// What actions share: destinations, secrets, the client.
    pub fn context(&self) -> &Arc<Context> {
        &self.inner.runner.context
    }

    /// What answers conditions.
    pub fn evaluator(&self) -> &Evaluator {
        &self.inner.shared.evaluator
    }

    /// Counters since the start.
    pub fn figures(&self) -> &Figures {
        &self.inner.shared.figures
    }

    /// How many runs are at work, and how many orders wait for the writer.
    pub fn load_now(&self) -> (usize, usize) {
        (self.inner.runner.at_work(), self.inner.orders.waiting())
    }

    /// Fires the schedules and rings the timers that are due; answers when the next one is.
    pub(crate) async fn fire_due(&self) -> Option<Time> {
        let rings = timer::turn(&self.inner.shared, &self.inner.orders).await;
        let fires = schedule::turn(&self.inner.shared, &self.inner.orders).await;
        rings.into_iter().chain(fires).min()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// The engine behind a handle that does not keep it, if it is still there.
    pub(crate) fn upgrade(inner: &Weak<Inner>) -> Option<Engine> {
        inner.upgrade().map(|inner| Engine { inner })
    }

    /// A handle that does not keep the engine.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.inner.orders
    }

    /// Destinations and secrets that people change.
    pub(crate) fn kept(&self) -> &Kept {
        &self.inner.kept
    }

    /// What signs the history.
    pub(crate) fn keeper(&self) -> Option<&Arc<Keeper>> {
        self.inner.keeper.get()
    }

    pub(crate) fn keep(&self, keeper: Arc<Keeper>) {
        // The first one stays: an engine has one ledger.
        let _ = self.inner.keeper.set(keeper);
    }

    /// Turns true when the engine stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.inner.stop.subscribe()
    }

    /// Runs a further task for as long as the engine runs; an engine without tasks of its own runs none.
    pub(crate) fn also(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            tasks.spawn(task);
        }
    }

    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.inner.runner
    }
}

/// What the parts of an engine share.
fn shared_of(setup: &Setup, chance: Chance, timed: bool) -> Result<Arc<Shared>, store::Error> {
    let waiting =
        if setup.four_eyes { eyes::waiting(setup.store.as_ref(), &setup.playbooks)? } else { BTreeSet::new() };
    let set = Set::new(setup.playbooks.clone(), switched_off(setup.store.as_ref())?).waiting_for(waiting);
    let (evaluator, words) = (setup.evaluator.clone(), setup.words.clone());
    let triage = with_kept(setup.triage.clone(), setup.store.as_ref(), &words, &evaluator)?;
    let mut shared = Shared::new(Arc::clone(&setup.store), evaluator, words, setup.node.clone(), set, chance, timed);
    shared.tenants = setup.catalog.tenants.iter().flatten().cloned().collect();
    shared.four_eyes = setup.four_eyes;
    shared.swap_triage(Arc::new(triage));
    Ok(Arc::new(shared))
}

/// Cuts events into orders: so many events, or so many bytes, as one commit holds.
fn parts(events: Vec<Incoming>) -> Vec<(Vec<Incoming>, usize)> {
    let mut all: Vec<(Vec<Incoming>, usize)> = Vec::new();
    for incoming in events {
        let bytes = incoming.raw.bytes().len();
        match all.last_mut() {
            Some((part, sum)) if part.len() < ORDER_EVENTS_MAX && *sum + bytes <= limits::COMMIT_BYTES_MAX => {
                part.push(incoming);
                *sum += bytes;
            }
            _ => all.push((vec![incoming], bytes)),
        }
    }
    all
}

/// The playbooks that people have switched off.
fn switched_off(store: &dyn Store) -> Result<BTreeSet<String>, store::Error> {
    let marks = store.marks(OFF_PREFIX)?;
    Ok(marks.into_iter().filter_map(|(name, _)| name.strip_prefix(OFF_PREFIX).map(str::to_owned)).collect())
}

/// The watchlist and the grouping rules in force: those of the configuration, and what people added.
pub(crate) fn with_kept(
    mut triage: Triage,
    store: &dyn Store,
    words: &Vocabulary,
    evaluator: &Evaluator,
) -> Result<Triage, store::Error> {
    triage.grouping = triage::grouping::in_force(&triage.grouping_file, store, words, evaluator)?;
    let all = triage::entries(&triage.watched, store)?;
    triage.rules.watchlist = Watchlist::new(all.into_iter().map(|entry| entry.watched));
    Ok(triage)
}
