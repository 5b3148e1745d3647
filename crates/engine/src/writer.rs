//! The one writer: takes everything that waits, decides it in order, commits it at once, and then answers.
//!
//! Invariants: nothing is answered before it is durable. Every order sees the state that the orders before it will
//! commit. An order whose view turns out to be stale fails alone: the batch is tried again order by order. The writer is
//! a plain thread, since a commit blocks; a panic while deciding one event refuses that event only.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::event::{Actor, ReplayKey};
use model::history::{Entry, EntryKind, Salt};
use model::run::{RunStart, RunSummary};
use model::{Decision, Digest, Event, EventId, Object, ObjectKey, RunId, Seq, Time, Transition, limits};
use serde_json::Value;
use store::{Claim, Commit, Expect, RunWrite, Window};
use tokio::sync::{mpsc, oneshot};

use crate::change::{self, LocalChange};
use crate::decide::{self, Decided, Means, Position, View};
use crate::record;
use crate::refusal::Refusal;
use crate::set::Set;
use crate::shared::{Fresh, Shared};
use crate::source::{Incoming, Raw};
use crate::trigger::Fit;

/// Orders that may wait: twice the connections that are busy at once on a large installation; more would only wait longer.
pub(crate) const ORDERS_MAX: usize = 1024;
/// Events in one order; larger batches of a sender are split.
pub(crate) const ORDER_EVENTS_MAX: usize = 64;

/// What the answer to an event says.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The event's id; for a repeat that of the first.
    pub event_id: EventId,
    /// Whether it is a repeat.
    pub duplicate: bool,
    /// The first decisions, at most [`limits::ANSWER_DECISIONS_MAX`].
    pub decisions: Vec<Decision>,
    /// How many there are.
    pub decisions_total: usize,
    /// What changed.
    pub transitions: Vec<Transition>,
    /// What was noticed.
    pub warnings: Vec<String>,
}

/// The answers to the events of one order.
type Answers = Vec<Result<Accepted, Refusal>>;

/// Something to be made true.
pub(crate) enum Order {
    /// Events from outside.
    Events { incoming: Vec<Incoming>, reply: oneshot::Sender<Answers> },
    /// A change by a person.
    Change { change: LocalChange, actor: Actor, reply: oneshot::Sender<Result<Accepted, Refusal>> },
    /// A run went on.
    Progress(Box<Progress>),
    /// A run is started without a trigger: by hand, or as a repeat of another.
    Start(Box<Start>),
    /// A schedule's instant has come.
    Fire(Box<Fire>),
    /// A window is claimed by an idempotency key; answers whether it was free, or claimed by the same key.
    Claim { window: String, by: String, until: Time, reply: oneshot::Sender<Result<bool, Refusal>> },
    /// Something is noted in the history, with the settings that it changes.
    Note(Box<Note>),
}

/// What a run did.
pub(crate) struct Progress {
    /// The summary as it stands afterwards; its last entry is filled in here.
    pub summary: RunSummary,
    /// What must hold.
    pub expect: Expect,
    /// Whether the lease is kept.
    pub keep_lease: bool,
    /// The payload of `run.progressed`.
    pub payload: Vec<u8>,
    /// Who is behind it.
    pub actor: Actor,
    /// Changes to alerts and cases that the step makes, with the chain of runs behind them.
    pub changes: Vec<LocalChange>,
    /// The runs behind it, itself included.
    pub chain: Vec<model::ChainLink>,
    /// Windows that begin or end.
    pub windows: Vec<Window>,
    /// Answers with the entry that records it.
    pub reply: oneshot::Sender<Result<Seq, Refusal>>,
}

/// A run to be started.
pub(crate) struct Start {
    /// The event that records it.
    pub event: Event,
    /// The run; its id, and its event where it has none of its own, are filled in here.
    pub start: RunStart,
    /// Answers with the run.
    pub reply: oneshot::Sender<Result<RunId, Refusal>>,
}

/// An instant of a schedule.
pub(crate) struct Fire {
    /// The event that records it.
    pub event: Event,
    /// Which playbook.
    pub playbook: Arc<playbook::Playbook>,
    /// Which trigger of it.
    pub fit: Fit,
    /// The cursor of the schedule: its name and the instant that it moves to. An instant that the cursor has passed is
    /// not fired again.
    pub cursor: (String, Time),
    /// Whether a run is started, or the instant only passed over (`missed: skip`).
    pub starts: bool,
    /// Answers when it is recorded.
    pub reply: oneshot::Sender<Result<(), Refusal>>,
}

/// A note in the history.
pub(crate) struct Note {
    /// What kind of fact.
    pub kind: EntryKind,
    /// Who is behind it.
    pub actor: Actor,
    /// What it is about.
    pub object: String,
    /// What there is to say.
    pub payload: Value,
    /// Settings that change.
    pub marks: Vec<(String, Option<Vec<u8>>)>,
    /// Texts that are kept.
    pub texts: Vec<(Digest, Vec<u8>)>,
    /// The playbooks that are in force from now on.
    pub set: Option<Arc<Set>>,
    /// Answers when it is recorded.
    pub reply: oneshot::Sender<Result<Seq, Refusal>>,
}

/// What an order turned into, to be answered once it is durable.
enum Staged {
    Events(Answers),
    Change(Result<Accepted, Refusal>),
    Progress(Result<Seq, Refusal>),
    Start(Result<RunId, Refusal>),
    Fire(Result<(), Refusal>),
    Claim(Result<bool, Refusal>),
    Note(Result<Seq, Refusal>),
}

/// Runs the writer until every handle is gone.
pub(crate) fn run(shared: &Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    while let Some(first) = orders.blocking_recv() {
        let mut batch = vec![first];
        let (mut events, mut bytes) = batch[0].weight();
        while events < limits::COMMIT_EVENTS_MAX && bytes < limits::COMMIT_BYTES_MAX {
            let Ok(order) = orders.try_recv() else { break };
            let (more_events, more_bytes) = order.weight();
            events += more_events;
            bytes += more_bytes;
            batch.push(order);
        }
        write(shared, batch);
    }
}

impl Order {
    /// How many events and how many bytes of payload.
    fn weight(&self) -> (usize, usize) {
        match self {
            Order::Events { incoming, .. } => (incoming.len(), incoming.iter().map(|i| i.raw.bytes().len()).sum()),
            Order::Progress(progress) => (1, progress.payload.len()),
            _ => (1, 256),
        }
    }
}

/// Commits orders together, or one by one when one of them is stale, and answers them.
fn write(shared: &Arc<Shared>, orders: Vec<Order>) {
    let mut batch = Batch::new(shared);
    let staged: Vec<Staged> = orders.iter().map(|order| batch.stage(order)).collect();
    let fresh = std::mem::take(&mut batch.fresh);
    match batch.commit() {
        Ok(()) => {
            for (order, staged) in orders.into_iter().zip(staged) {
                answer(shared, order, staged);
            }
            shared.begin(fresh);
        }
        Err(error) if stale(&error) && orders.len() > 1 => {
            for order in orders {
                write(shared, vec![order]);
            }
        }
        Err(error) => {
            let refusal = Refusal::from(&error);
            if matches!(refusal, Refusal::Store(_)) {
                shared.fail(&error);
            }
            for order in orders {
                let staged = order.refused(&refusal);
                answer(shared, order, staged);
            }
        }
    }
}

/// Whether an order's view of the state was out of date; nothing else is wrong.
fn stale(error: &store::Error) -> bool {
    use store::Error;
    matches!(error, Error::Fenced { .. } | Error::AlreadyEnded { .. } | Error::Claimed { .. } | Error::TooLarge { .. })
}

impl Order {
    fn refused(&self, refusal: &Refusal) -> Staged {
        let refusal = refusal.clone();
        match self {
            Order::Events { incoming, .. } => Staged::Events(incoming.iter().map(|_| Err(refusal.clone())).collect()),
            Order::Change { .. } => Staged::Change(Err(refusal)),
            Order::Progress(_) => Staged::Progress(Err(refusal)),
            Order::Start(_) => Staged::Start(Err(refusal)),
            Order::Fire(_) => Staged::Fire(Err(refusal)),
            Order::Claim { .. } => Staged::Claim(Err(refusal)),
            Order::Note(_) => Staged::Note(Err(refusal)),
        }
    }
}

/// Tells the one who asked. Nobody may be there any more; what was done stays done.
fn answer(shared: &Shared, order: Order, staged: Staged) {
    match (order, staged) {
        (Order::Events { incoming, reply }, Staged::Events(answers)) => {
            shared.figures.answered(&answers);
            shared.release_bytes(incoming.iter().map(|i| i.raw.bytes().len()).sum());
            let _ = reply.send(answers);
        }
        (Order::Change { reply, .. }, Staged::Change(answer)) => drop(reply.send(answer)),
        (Order::Progress(progress), Staged::Progress(answer)) => {
            if answer.is_ok() {
                shared.figures.progressed(&progress.summary);
            }
            let _ = progress.reply.send(answer);
        }
        (Order::Start(start), Staged::Start(answer)) => drop(start.reply.send(answer)),
        (Order::Fire(fire), Staged::Fire(answer)) => drop(fire.reply.send(answer)),
        (Order::Claim { reply, .. }, Staged::Claim(answer)) => drop(reply.send(answer)),
        (Order::Note(note), Staged::Note(answer)) => {
            if let (Ok(_), Some(set)) = (&answer, note.set) {
                shared.swap(set);
            }
            let _ = note.reply.send(answer);
        }
        _ => {}
    }
}

/// What will be committed together, and the state as it will be then.
struct Batch<'a> {
    shared: &'a Arc<Shared>,
    set: Arc<Set>,
    now: Time,
    next: Seq,
    commit: Commit,
    objects: HashMap<ObjectKey, Arc<Object>>,
    windows: HashMap<String, Option<Time>>,
    claims: HashMap<[u8; 16], usize>,
    marks: HashMap<String, Vec<u8>>,
    fresh: Vec<Fresh>,
}

/// See [`Batch::savepoint`].
struct Savepoint {
    next: Seq,
    lengths: [usize; 4],
    fresh: usize,
    objects: HashMap<ObjectKey, Arc<Object>>,
    windows: HashMap<String, Option<Time>>,
}

impl View for Batch<'_> {
    fn object(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error> {
        match self.objects.get(key) {
            Some(object) => Ok(Some(Arc::clone(object))),
            None => Ok(self.shared.store.object(key)?.map(Arc::new)),
        }
    }

    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, store::Error> {
        match self.windows.get(key) {
            Some(until) => Ok(until.filter(|until| now < *until)),
            None => self.shared.store.window(key, now),
        }
    }
}

impl<'a> Batch<'a> {
    fn new(shared: &'a Arc<Shared>) -> Batch<'a> {
        Batch {
            shared,
            set: shared.set(),
            now: shared.store.now(),
            next: shared.store.next_seq(),
            commit: Commit::default(),
            objects: HashMap::new(),
            windows: HashMap::new(),
            claims: HashMap::new(),
            marks: HashMap::new(),
            fresh: Vec::new(),
        }
    }

    fn stage(&mut self, order: &Order) -> Staged {
        match order {
            Order::Events { incoming, .. } => {
                Staged::Events(incoming.iter().map(|incoming| self.event_guarded(incoming)).collect())
            }
            Order::Change { change, actor, .. } => Staged::Change(self.change(change, actor, None, &[])),
            Order::Progress(progress) => Staged::Progress(self.progress(progress)),
            Order::Start(start) => Staged::Start(self.start(start)),
            Order::Fire(fire) => Staged::Fire(self.fire(fire)),
            Order::Claim { window, by, until, .. } => Staged::Claim(self.claim(window, by, *until)),
            Order::Note(note) => Staged::Note(Ok(self.note(note))),
        }
    }

    fn commit(mut self) -> Result<(), store::Error> {
        let objects = std::mem::take(&mut self.objects);
        self.commit.objects = objects.into_iter().map(|(key, object)| (key, Arc::unwrap_or_clone(object))).collect();
        self.commit.windows =
            std::mem::take(&mut self.windows).into_iter().map(|(key, until)| Window { key, until }).collect();
        self.commit.marks.extend(std::mem::take(&mut self.marks).into_iter().map(|(name, value)| (name, Some(value))));
        if self.commit.entries.is_empty() && self.commit.windows.is_empty() {
            return Ok(());
        }
        self.shared.store.commit(self.commit)
    }

    /// The place of the next entry, and its salt. The place is taken by [`Batch::entry`], so that what fails in between
    /// leaves no gap.
    fn position(&self) -> (Position, Salt) {
        let salt = self.shared.salt();
        (Position { seq: self.next, tag: Entry::tag(&salt), now: self.now }, salt)
    }

    fn entry(&mut self, kind: EntryKind, at: (Position, Salt), actor: Actor, object: String, payload: Vec<u8>) {
        let (position, salt) = at;
        let who = (self.shared.node.clone(), actor);
        self.next = position.seq.next();
        self.commit.entries.push(Entry::new(kind, (position.seq, position.now), who, object, salt, payload));
    }

    /// One event; a panic refuses it and nothing else.
    fn event_guarded(&mut self, incoming: &Incoming) -> Result<Accepted, Refusal> {
        let before = self.savepoint();
        let caught = catch_unwind(AssertUnwindSafe(|| self.event(&incoming.event, &incoming.raw)));
        caught.unwrap_or_else(|_| {
            tracing::error!(source = %incoming.event.source, kind = %incoming.event.kind, "deciding an event panicked; it is refused");
            self.roll_back(before);
            Err(Refusal::Invalid { code: "internal", message: "the event could not be decided; see the server's log".to_owned() })
        })
    }

    /// What the commit holds now, to come back to.
    fn savepoint(&self) -> Savepoint {
        let commit = &self.commit;
        Savepoint {
            next: self.next,
            lengths: [commit.entries.len(), commit.object_blocks.len(), commit.claims.len(), commit.runs.len()],
            fresh: self.fresh.len(),
            objects: self.objects.clone(),
            windows: self.windows.clone(),
        }
    }

    fn roll_back(&mut self, to: Savepoint) {
        let [entries, blocks, claims, runs] = to.lengths;
        self.next = to.next;
        self.commit.entries.truncate(entries);
        self.commit.object_blocks.truncate(blocks);
        self.commit.claims.truncate(claims);
        self.commit.runs.truncate(runs);
        self.claims.retain(|_, place| *place < claims);
        self.fresh.truncate(to.fresh);
        self.objects = to.objects;
        self.windows = to.windows;
    }

    fn event(&mut self, event: &Event, raw: &Raw) -> Result<Accepted, Refusal> {
        if let Some(answer) = self.repeat(event)? {
            return Ok(answer);
        }
        let at = self.position();
        let decided = self.decide(event, at.0)?;
        self.accept(event, raw, at, decided)
    }

    fn decide(&self, event: &Event, at: Position) -> Result<Decided, Refusal> {
        let began = Instant::now();
        let spent = || began.elapsed();
        decide::decide(event, at, self, self.means(&spent)).map_err(|error| Refusal::from(&error))
    }

    fn means<'b>(&'b self, spent: &'b dyn Fn() -> Duration) -> Means<'b> {
        Means {
            set: &self.set,
            evaluator: &self.shared.evaluator,
            closed_stage: self.shared.words.closed(),
            spent,
        }
    }

    /// Takes over everything that follows from an event.
    fn accept(&mut self, event: &Event, raw: &Raw, at: (Position, Salt), decided: Decided) -> Result<Accepted, Refusal> {
        let position = at.0;
        let payload = record::accepted(event, raw, &decided, self.set.digest()).map_err(|error| Refusal::Invalid {
            code: "internal",
            message: error.to_string(),
        })?;
        if let Some(replay) = &event.replay {
            self.remember(event, replay, position);
        }
        let about = event.object().map_or_else(String::new, |key| key.to_string());
        self.entry(EntryKind::EventAccepted, at, event.actor.clone(), about, payload);
        let mut object_after = None;
        if let Some((key, mut object)) = decided.object {
            if let Some(block) = object.note_entry(position.seq) {
                self.commit.object_blocks.push((key.clone(), block));
            }
            let object = Arc::new(object);
            object_after = Some(Arc::clone(&object));
            self.objects.insert(key, object);
        }
        for window in decided.windows {
            self.windows.insert(window.key, window.until);
        }
        let decisions_total = decided.listening.len().max(decided.decisions.len());
        let mut decisions = decided.decisions;
        let after = object_after.as_deref();
        decide::fill(&mut decisions, &decided.listening, &self.set, event, &decided.transitions, after);
        if !decided.runs.is_empty() {
            self.begin_runs(event, decided.runs);
        }
        Ok(Accepted {
            event_id: EventId { seq: position.seq, tag: position.tag },
            duplicate: false,
            decisions,
            decisions_total,
            transitions: decided.transitions,
            warnings: decided.warnings,
        })
    }

    fn begin_runs(&mut self, event: &Event, runs: Vec<RunStart>) {
        let event = Arc::new(event.clone());
        for start in runs {
            let summary = RunSummary::new(&start, self.now);
            self.commit.runs.push(RunWrite { summary: summary.clone(), expect: Expect::New, keep_lease: false });
            self.fresh.push(Fresh { start, event: Arc::clone(&event), summary });
        }
    }

    /// The answer to a repeat; nothing when the event is new.
    fn repeat(&mut self, event: &Event) -> Result<Option<Accepted>, Refusal> {
        let Some(replay) = &event.replay else { return Ok(None) };
        let key = replay_key(event, replay);
        let claim = match self.claims.get(&key) {
            Some(place) => self.commit.claims.get(*place).cloned(),
            None => self.shared.store.claim(&key, self.now).map_err(|error| Refusal::from(&error))?,
        };
        let Some(claim) = claim else { return Ok(None) };
        let first = EventId { seq: claim.by, tag: claim.tag };
        if claim.body != body_key(replay) {
            let at = self.position();
            let payload = serde_json::json!({ "code": "key_reused", "source": event.source, "first": first, "key": replay.key });
            self.entry(EntryKind::Refused, at, event.actor.clone(), first.to_string(), payload.to_string().into_bytes());
            return Err(Refusal::KeyReused { first });
        }
        let stored = self.shared.store.entry(claim.by).ok().flatten().and_then(|stored| stored.entry);
        let earlier = stored.and_then(|entry| record::read_accepted(&entry.payload).ok());
        let (decisions, decisions_total, transitions) = earlier.map_or_else(
            || (Vec::new(), 0, Vec::new()),
            |earlier| (earlier.decisions, earlier.decisions_total, earlier.transitions),
        );
        let mut decisions = decisions;
        decisions.truncate(limits::ANSWER_DECISIONS_MAX);
        let warnings = Vec::new();
        Ok(Some(Accepted { event_id: first, duplicate: true, decisions, decisions_total, transitions, warnings }))
    }

    fn remember(&mut self, event: &Event, replay: &ReplayKey, at: Position) {
        let key = replay_key(event, replay);
        let until = self.now.plus(Duration::from_secs(limits::REPLAY_WINDOW_SECONDS));
        self.claims.insert(key, self.commit.claims.len());
        self.commit.claims.push(Claim { key, by: at.seq, tag: at.tag, body: body_key(replay), until });
    }

    /// A change by a person or by a step: an event of our own.
    fn change(
        &mut self,
        change: &LocalChange,
        actor: &Actor,
        own_id: Option<String>,
        chain: &[model::ChainLink],
    ) -> Result<Accepted, Refusal> {
        let stored = self.object(&change.object).map_err(|error| Refusal::from(&error))?;
        let event = change::event(change, stored.as_deref(), actor, own_id, chain, self.now, &self.shared.words)?;
        self.event(&event, &Raw::Bytes(bytes::Bytes::new()))
    }

    /// A run's progress, and the changes it makes: all of it or nothing.
    fn progress(&mut self, progress: &Progress) -> Result<Seq, Refusal> {
        if progress.changes.is_empty() {
            return Ok(self.progress_entry(progress));
        }
        let before = self.savepoint();
        let seq = self.progress_entry(progress);
        for change in &progress.changes {
            let changed = self.change(change, &progress.actor, change.own_id.clone(), &progress.chain);
            if let Err(refusal) = changed {
                self.roll_back(before);
                return Err(refusal);
            }
        }
        Ok(seq)
    }

    fn progress_entry(&mut self, progress: &Progress) -> Seq {
        let at = self.position();
        let seq = at.0.seq;
        let mut summary = progress.summary.clone();
        if let Some(last) = summary.entries.last_mut() {
            *last = seq;
        }
        let object = summary.id.to_string();
        self.entry(EntryKind::RunProgressed, at, progress.actor.clone(), object, progress.payload.clone());
        self.commit.runs.push(RunWrite { summary, expect: progress.expect, keep_lease: progress.keep_lease });
        for window in &progress.windows {
            self.windows.insert(window.key.clone(), window.until);
        }
        seq
    }

    fn start(&mut self, order: &Start) -> Result<RunId, Refusal> {
        let at = self.position();
        let id = RunId { seq: at.0.seq, n: 0, tag: at.0.tag };
        let mut start = order.start.clone();
        start.id = id;
        if start.event.seq == Seq::default() {
            start.event = EventId { seq: id.seq, tag: id.tag };
        }
        let decided = Decided {
            object: None,
            transitions: Vec::new(),
            decisions: Vec::new(),
            listening: Arc::from([]),
            runs: vec![start],
            windows: Vec::new(),
            warnings: Vec::new(),
        };
        self.accept(&order.event, &Raw::Bytes(bytes::Bytes::new()), at, decided)?;
        Ok(id)
    }

    fn fire(&mut self, fire: &Fire) -> Result<(), Refusal> {
        let (cursor, instant) = &fire.cursor;
        let text = match self.marks.get(cursor) {
            Some(value) => Some(value.clone()),
            None => self.shared.store.mark(cursor).map_err(|error| Refusal::from(&error))?,
        };
        let passed = text.and_then(|text| Time::parse(std::str::from_utf8(&text).ok()?).ok());
        if passed.is_some_and(|passed| passed >= *instant) {
            return Ok(());
        }
        let at = self.position();
        self.marks.insert(cursor.clone(), instant.to_string().into_bytes());
        let began = Instant::now();
        let spent = || began.elapsed();
        let decided = if fire.starts {
            decide::decide_one(&fire.event, at.0, (&fire.playbook, &fire.fit), self, self.means(&spent))
                .map_err(|error| Refusal::from(&error))?
        } else {
            Decided::skipped(&fire.playbook, "the instant was missed and the schedule says `missed: skip`")
        };
        self.accept(&fire.event, &Raw::Bytes(bytes::Bytes::new()), at, decided)?;
        Ok(())
    }

    fn claim(&mut self, window: &str, by: &str, until: Time) -> Result<bool, Refusal> {
        let failed = |error: store::Error| Refusal::from(&error);
        let own = format!("{window} by {by}");
        if self.window(window, self.now).map_err(failed)?.is_some() {
            return Ok(self.window(&own, self.now).map_err(failed)?.is_some());
        }
        self.windows.insert(window.to_owned(), Some(until));
        self.windows.insert(own, Some(until));
        Ok(true)
    }

    fn note(&mut self, note: &Note) -> Seq {
        let at = self.position();
        let seq = at.0.seq;
        self.entry(note.kind, at, note.actor.clone(), note.object.clone(), note.payload.to_string().into_bytes());
        self.commit.marks.extend(note.marks.iter().cloned());
        self.commit.texts.extend(note.texts.iter().cloned());
        seq
    }
}

/// What a key that makes a repeat recognisable is remembered by: source, tenant and key.
fn replay_key(event: &Event, replay: &ReplayKey) -> [u8; 16] {
    let digest = Digest::of(format!("{}\0{}\0{}", event.source, event.tenant, replay.key).as_bytes());
    first_half(&digest)
}

fn body_key(replay: &ReplayKey) -> [u8; 16] {
    first_half(&replay.body)
}

fn first_half(digest: &Digest) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest.0[..16]);
    half
}
