//! What will be committed together, and the state as it will be then. `alarms` is what raises events of our own, `rings` what
//! comes due by itself.
//!
//! Invariants: every order sees the state that those before it will commit. What is refused, or panics, leaves nothing
//! behind: no entry, no gap in the sequence, no state, window, claim, mark or run (but for a key that was used again with
//! another body, whose refusal is part of the history).
//!
//! Length: what a batch sees and what it adds to itself are read together; apart, each half would have to trust the other.

mod alarms;
mod objects;
mod rings;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::event::{Actor, ReplayKey};
use model::history::{Entry, EntryKind, Salt};
use model::run::{RunStart, RunSummary};
use model::{ChainLink, Digest, Event, EventId, Kind, Object, ObjectKey, RunId, Seq, Time};
use serde_json::json;
use store::{Claim, Commit, Expect, Fields, RunWrite, Tally, Window};

use crate::action;
use crate::brakes::{Brakes, Mute, Suspension};
use crate::change::{self, LocalChange};
use crate::decide::{self, Decided, Means, Position, View};
use crate::evict;
use crate::overlay::Overlay;
use crate::record;
use crate::refusal::Refusal;
use crate::set::Set;
use crate::shared::{Fresh, Shared};
use crate::source::{Incoming, Raw};
use crate::timer;
use crate::triage::{self, DETECTION_CREATED, Triage};
use crate::writer::{Accepted, Answers, Note, Order, Progress, Staged, Start};

mod signal;

/// Blocks of an object's history that are forgotten at once when retention has dropped them.
const BLOCKS_FORGOTTEN_MAX: usize = 4;

/// What will be committed together, and the state as it will be then.
pub(crate) struct Batch<'a> {
    shared: &'a Arc<Shared>,
    set: Arc<Set>,
    triage: Arc<Triage>,
    brakes: Arc<Brakes>,
    now: Time,
    next: Seq,
    commit: Commit,
    objects: Overlay<ObjectKey, Arc<Object>>,
    windows: Overlay<String, Option<Time>>,
    tallies: Overlay<String, Tally>,
    /// Where in the commit a key was claimed.
    claims: Overlay<[u8; 16], usize>,
    marks: Overlay<String, Option<Vec<u8>>>,
    fresh: Vec<Fresh>,
    /// The runs for which something comes.
    woken: Vec<RunId>,
}

/// See [`Batch::savepoint`].
struct Savepoint {
    set: Arc<Set>,
    next: Seq,
    lengths: [usize; 7],
    fresh: usize,
    points: [usize; 5],
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

    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, store::Error> {
        match self.tallies.get(key) {
            Some(tally) if now < tally.until => Ok(tally.times.clone()),
            Some(_) => Ok(Vec::new()),
            None => self.shared.store.tally(key, now),
        }
    }

    fn muted(&self, key: &ObjectKey, now: Time) -> Option<Mute> {
        self.brakes.muted(key, now).cloned()
    }

    fn mutes(&self) -> bool {
        !self.brakes.mutes.is_empty()
    }

    fn suspended(&self, playbook: &str) -> Option<Suspension> {
        self.brakes.suspended.get(playbook).cloned()
    }

    fn group(&self, group: &str) -> Result<Vec<RunId>, store::Error> {
        let mut open = self.shared.store.group(group)?;
        for write in &self.commit.runs {
            let run = &write.summary;
            if run.gate.as_ref().is_none_or(|gate| gate.group != group) {
                continue;
            }
            if run.status.is_final() {
                open.retain(|id| *id != run.id);
            } else if write.expect == Expect::New {
                open.push(run.id);
            }
        }
        Ok(open)
    }

    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, store::Error> {
        match self.marks.get(name) {
            Some(value) => Ok(value.clone()),
            None => self.shared.store.mark(name),
        }
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>) -> Batch<'a> {
        Batch {
            shared,
            set: shared.set(),
            triage: shared.triage(),
            brakes: shared.brakes.now(),
            now: shared.store.now(),
            next: shared.store.next_seq(),
            commit: Commit::default(),
            objects: Overlay::default(),
            windows: Overlay::default(),
            tallies: Overlay::default(),
            claims: Overlay::default(),
            marks: Overlay::default(),
            fresh: Vec::new(),
            woken: Vec::new(),
        }
    }

    /// Takes in what follows from an order; what is refused leaves nothing.
    pub(crate) fn stage(&mut self, order: &Order) -> Staged {
        match order {
            Order::Events { incoming, .. } => Staged::Events(self.events(incoming)),
            Order::Change { change, actor, .. } => {
                Staged::Change(self.guarded(|batch| batch.change(change, actor, None, &[])))
            }
            Order::Progress(progress) => Staged::Progress(self.guarded(|batch| batch.progress(progress))),
            Order::Start(start) => Staged::Start(self.guarded(|batch| batch.start(start))),
            Order::Fire(fire) => Staged::Fire(self.guarded(|batch| batch.fire(fire))),
            Order::Tick(tick) => Staged::Tick(self.guarded(|batch| batch.tick(tick))),
            Order::Claim { window, by, until, .. } => {
                Staged::Claim(self.guarded(|batch| batch.claim(window, by, *until)))
            }
            Order::Answer(order) => Staged::Answer(self.guarded(|batch| batch.answer(order))),
            Order::Note(note) => Staged::Note(Ok(self.note(note))),
            Order::Seen { readings, marks, .. } => Staged::Seen(self.guarded(|batch| batch.seen(readings, marks))),
            Order::Forget { texts, marks, .. } => {
                self.forget(texts, marks);
                Staged::Forget(Ok(()))
            }
            Order::Attach { part, .. } => Staged::Attach(self.guarded(|batch| batch.attach(part))),
        }
    }

    /// Takes in events; each stands for itself.
    pub(crate) fn events(&mut self, incoming: &[Incoming]) -> Answers {
        incoming.iter().map(|one| self.guarded(|batch| batch.event(&one.event, &one.raw))).collect()
    }

    /// Commits everything, and hands the runs that begin with it to the runner.
    pub(crate) fn commit(self) -> Result<(), store::Error> {
        let Batch { shared, brakes, mut commit, objects, windows, tallies, marks, fresh, woken, .. } = self;
        commit.objects = objects.into_changes().map(|(key, object)| (key, Arc::unwrap_or_clone(object))).collect();
        commit.windows = windows.into_changes().map(|(key, until)| Window { key, until }).collect();
        commit.tallies = tallies.into_changes().map(|(_, tally)| tally).collect();
        commit.marks = marks.into_changes().collect();
        if commit.entries.is_empty() && commit.windows.is_empty() && commit.files.is_empty() && commit.marks.is_empty()
        {
            return Ok(());
        }
        let crowding = evict::crowding(&commit);
        let timers: Vec<store::Mark> =
            commit.marks.iter().filter(|(name, _)| name.starts_with(timer::PREFIX)).cloned().collect();
        let before = shared.brakes.now();
        let suspended: Vec<(String, Suspension)> = brakes
            .suspended
            .iter()
            .filter(|(id, _)| !before.suspended.contains_key(*id))
            .map(|(id, suspension)| (id.clone(), suspension.clone()))
            .collect();
        let written: Vec<RunSummary> =
            commit.runs.iter().filter(|write| write.expect != Expect::New).map(|write| write.summary.clone()).collect();
        let begins = commit.runs.iter().any(|write| write.expect == Expect::New);
        let begun: Vec<RunId> = fresh.iter().map(|run| run.start.id).collect();
        // Before the commit: once it is durable, the runner may take a run, and must find what is remembered of it now
        // or never. Remembered later, it would be found when the run has gone on.
        shared.remember(fresh);
        match shared.store.commit(commit) {
            Ok(()) => {
                if begins {
                    shared.wake.notify_one();
                }
                shared.crowded.push(crowding);
                written.iter().for_each(|run| shared.waits.follow(run));
                shared.waits.wake(&woken, shared.store.as_ref());
                if !woken.is_empty() {
                    shared.wake.notify_one();
                }
                shared.timers.follow(timers.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
                if !suspended.is_empty() {
                    shared.brakes.change(|brakes| brakes.suspended.extend(suspended));
                }
                Ok(())
            }
            Err(error) => {
                shared.forget(&begun);
                Err(error)
            }
        }
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

    /// Does something whole or not at all; a panic refuses it and nothing else.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let before = self.savepoint();
        let done = catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| {
            tracing::error!("deciding panicked; what was asked is refused");
            let message = "it could not be decided; see the server's log".to_owned();
            Err(Refusal::Invalid { code: "internal", message })
        });
        if done.as_ref().is_err_and(|refusal| !matches!(refusal, Refusal::KeyReused { .. })) {
            self.roll_back(before);
        }
        done
    }

    /// What the commit holds now, to come back to.
    fn savepoint(&self) -> Savepoint {
        let commit = &self.commit;
        Savepoint {
            set: Arc::clone(&self.set),
            next: self.next,
            lengths: [
                commit.entries.len(),
                commit.fields.len(),
                commit.object_blocks.len(),
                commit.files.len(),
                commit.claims.len(),
                commit.runs.len(),
                commit.texts.len(),
            ],
            fresh: self.fresh.len(),
            points: [
                self.objects.point(),
                self.windows.point(),
                self.tallies.point(),
                self.claims.point(),
                self.marks.point(),
            ],
        }
    }

    fn roll_back(&mut self, to: Savepoint) {
        let [entries, fields, blocks, files, claims, runs, texts] = to.lengths;
        self.set = to.set;
        self.next = to.next;
        self.commit.entries.truncate(entries);
        self.commit.fields.truncate(fields);
        self.commit.object_blocks.truncate(blocks);
        self.commit.files.truncate(files);
        self.commit.claims.truncate(claims);
        self.commit.runs.truncate(runs);
        self.commit.texts.truncate(texts);
        self.fresh.truncate(to.fresh);
        let [objects, windows, tallies, claims, marks] = to.points;
        self.objects.roll_back(objects);
        self.windows.roll_back(windows);
        self.tallies.roll_back(tallies);
        self.claims.roll_back(claims);
        self.marks.roll_back(marks);
    }

    fn event(&mut self, event: &Arc<Event>, raw: &Raw) -> Result<Accepted, Refusal> {
        if let Some(answer) = self.repeat(event)? {
            return Ok(answer);
        }
        let at = self.position();
        let mut decided = self.decide(event, at.0)?;
        if event.kind != DETECTION_CREATED || self.triage.grouping.is_empty() {
            return self.accept(event, raw, at, decided);
        }
        let id = EventId { seq: at.0.seq, tag: at.0.tag }.to_string();
        let failed = |error: store::Error| Refusal::from(&error);
        let (triage, evaluator, notes) = (&self.triage, &self.shared.evaluator, &mut decided.warnings);
        let grouped = triage::group(triage, event, &id, self, evaluator, self.now, notes).map_err(failed)?;
        let accepted = self.accept(event, raw, at, decided)?;
        match grouped {
            Some(grouped) => self.grouped(accepted, grouped),
            None => Ok(accepted),
        }
    }

    fn decide(&self, event: &Event, at: Position) -> Result<Decided, Refusal> {
        let began = Instant::now();
        let spent = || self.shared.spent(began);
        decide::decide(event, at, self, self.means(&spent)).map_err(|error| Refusal::from(&error))
    }

    fn means<'b>(&'b self, spent: &'b dyn Fn() -> Duration) -> Means<'b> {
        let (evaluator, closed_stage) = (&self.shared.evaluator, self.shared.words.closed());
        Means { set: &self.set, evaluator, closed_stage, triage: &self.triage, spent }
    }

    /// Takes over everything that follows from an event.
    fn accept(
        &mut self,
        event: &Arc<Event>,
        raw: &Raw,
        at: (Position, Salt),
        decided: Decided,
    ) -> Result<Accepted, Refusal> {
        let position = at.0;
        let (payload, fields) = record::accepted(event, raw, &decided, self.set.digest())
            .map_err(|error| Refusal::Invalid { code: "internal", message: error.to_string() })?;
        if let Some(replay) = &event.replay {
            self.remember(event, replay, position);
        }
        let about = event.object().map_or_else(String::new, |key| key.to_string());
        self.entry(EntryKind::EventAccepted, at, event.actor.clone(), about, payload);
        let mut object_after = None;
        if let Some((key, mut object)) = decided.object {
            if let Some(subject) = event.subject.as_ref().filter(|subject| Arc::ptr_eq(&subject.fields, &object.record))
            {
                let (record, entry) = (Arc::clone(&subject.fields), self.commit.entries.len() - 1);
                self.commit.fields.push(Fields { record, entry, bytes: fields });
            }
            self.note_entry(&key, &mut object, position.seq).map_err(|error| Refusal::from(&error))?;
            let object = Arc::new(object);
            object_after = Some(Arc::clone(&object));
            self.objects.insert(key, object);
        }
        for window in decided.windows {
            self.windows.insert(window.key, window.until);
        }
        for tally in decided.tallies {
            self.tallies.insert(tally.key.clone(), tally);
        }
        for (name, value) in decided.marks {
            self.marks.insert(name, value);
        }
        self.signal(event, position)?;
        let decisions_total = decided.listening.len().max(decided.decisions.len());
        let mut decisions = decided.decisions;
        let after = object_after.as_deref();
        decide::fill(&mut decisions, &decided.listening, &self.set, event, &decided.transitions, after);
        if !decided.runs.is_empty() {
            self.note_runs(position.seq, &decided.runs)?;
            self.begin_runs(event, object_after.as_ref(), decided.runs);
        }
        for playbook in &decided.over_budget {
            if let Some(suspension) = self.shared.brakes.over_budget(playbook, self.now) {
                self.suspend(playbook, suspension, &event.tenant)?;
            }
        }
        for raised in &decided.raised {
            self.raise(raised, &event.chain)?;
        }
        Ok(Accepted {
            event_id: EventId { seq: position.seq, tag: position.tag },
            duplicate: false,
            decisions,
            decisions_total,
            transitions: decided.transitions,
            warnings: decided.warnings,
            alert: None,
        })
    }

    /// Notes that an entry is about an object. When a block of its history is full, the oldest ones that retention has
    /// dropped are forgotten: what is touched for ever must not grow for ever.
    fn note_entry(&mut self, key: &ObjectKey, object: &mut Object, seq: Seq) -> Result<(), store::Error> {
        let Some(block) = object.note_entry(seq) else { return Ok(()) };
        let kept_from = self.shared.store.stats().first_seq;
        for _ in 0..BLOCKS_FORGOTTEN_MAX {
            let oldest = object.meta.blocks.first().copied().filter(|first| *first < kept_from);
            let Some(first) = oldest.filter(|_| object.meta.blocks.len() > 1) else { break };
            if !self.shared.store.object_block(key, first)?.is_empty() {
                break;
            }
            object.meta.blocks.remove(0);
        }
        self.commit.object_blocks.push((key.clone(), block));
        Ok(())
    }

    /// Puts the entry into the histories of all that its runs are about: a run by hand, and one that an alert started and
    /// that is also about the alert's case, are found from there as well.
    fn note_runs(&mut self, seq: Seq, runs: &[RunStart]) -> Result<(), Refusal> {
        for key in runs.iter().flat_map(|start| [Kind::Alert, Kind::Case].map(|kind| start.object(kind))).flatten() {
            let stored = self.object(&key).map_err(|error| Refusal::from(&error))?;
            let Some(stored) = stored.filter(|object| object.meta.entries.last() != Some(&seq)) else { continue };
            let mut object = Arc::unwrap_or_clone(stored);
            self.note_entry(&key, &mut object, seq).map_err(|error| Refusal::from(&error))?;
            self.objects.insert(key, Arc::new(object));
        }
        Ok(())
    }

    fn begin_runs(&mut self, event: &Arc<Event>, object: Option<&Arc<Object>>, runs: Vec<RunStart>) {
        for start in runs {
            let summary = RunSummary::new(&start, self.now);
            self.commit.runs.push(RunWrite { summary: summary.clone(), expect: Expect::New, keep_lease: false });
            // A run that is about an earlier event reads that one from the store.
            if start.event.seq == start.id.seq {
                let record = object.map(|object| Arc::clone(&object.record));
                self.fresh.push(Fresh { start, event: Arc::clone(event), record, summary });
            }
        }
    }

    /// The answer to a repeat; nothing when the event is new.
    fn repeat(&mut self, event: &Event) -> Result<Option<Accepted>, Refusal> {
        let Some(replay) = &event.replay else { return Ok(None) };
        let mut found = None;
        for (key, _) in replay.all() {
            let key = replay_key(event, key);
            found = match self.claims.get(&key) {
                Some(place) => self.commit.claims.get(*place).cloned(),
                None => self.shared.store.claim(&key, self.now).map_err(|error| Refusal::from(&error))?,
            };
            if found.is_some() {
                break;
            }
        }
        let Some(claim) = found else { return Ok(None) };
        let first = EventId { seq: claim.by, tag: claim.tag };
        if claim.body != body_key(replay) {
            let at = self.position();
            let payload = json!({ "code": "key_reused", "source": event.source, "first": first, "key": replay.key });
            self.entry(
                EntryKind::Refused,
                at,
                event.actor.clone(),
                first.to_string(),
                payload.to_string().into_bytes(),
            );
            return Err(Refusal::KeyReused { first });
        }
        let earlier = match self.commit.entries.iter().find(|entry| entry.header.seq == claim.by) {
            Some(entry) => record::read_accepted(&entry.payload).ok(),
            None => {
                let stored = self.shared.store.entry(claim.by).ok().flatten().and_then(|stored| stored.entry);
                stored.and_then(|entry| record::read_accepted(&entry.payload).ok())
            }
        };
        let (decisions, decisions_total, transitions) = earlier.map_or_else(
            || (Vec::new(), 0, Vec::new()),
            |earlier| (earlier.decisions, earlier.decisions_total, earlier.transitions),
        );
        let mut decisions = decisions;
        decide::shorten(&mut decisions);
        let warnings = Vec::new();
        let alert = None;
        Ok(Some(Accepted {
            event_id: first,
            duplicate: true,
            decisions,
            decisions_total,
            transitions,
            warnings,
            alert,
        }))
    }

    fn remember(&mut self, event: &Event, replay: &ReplayKey, at: Position) {
        for (key, seconds) in replay.all() {
            let key = replay_key(event, key);
            let until = self.now.plus(Duration::from_secs(seconds));
            self.claims.insert(key, self.commit.claims.len());
            self.commit.claims.push(Claim { key, by: at.seq, tag: at.tag, body: body_key(replay), until });
        }
    }

    /// A change by a person or by a step: an event of our own.
    fn change(
        &mut self,
        change: &LocalChange,
        actor: &Actor,
        own_id: Option<String>,
        chain: &[ChainLink],
    ) -> Result<Accepted, Refusal> {
        let stored = self.object(&change.object).map_err(|error| Refusal::from(&error))?;
        let words = (&self.shared.words, &self.triage.rules);
        let event = change::event(change, stored.as_deref(), actor, own_id, chain, self.now, words)?;
        let (event, nothing) = (Arc::new(event), Raw::Bytes(bytes::Bytes::new()));
        if matches!(actor, Actor::Run { .. }) && self.shared.apart.note(&change.object, stored.as_deref()) {
            // Nobody hears of it.
            let (at, none) = (self.position(), Set::new(Vec::new(), BTreeSet::new()));
            let spent = || Duration::ZERO;
            let means = Means { set: &none, ..self.means(&spent) };
            let decided = decide::decide(&event, at.0, self, means).map_err(|error| Refusal::from(&error))?;
            return self.accept(&event, &nothing, at, decided);
        }
        self.event(&event, &nothing)
    }

    /// A run's progress, and the changes it makes.
    fn progress(&mut self, progress: &Progress) -> Result<Seq, Refusal> {
        for name in &progress.unless {
            if self.mark(name)?.is_some() {
                return Err(Refusal::Stale(format!("run {} has something to hear", progress.summary.id)));
            }
        }
        let seq = self.progress_entry(progress);
        for change in &progress.changes {
            self.change(change, &progress.actor, change.own_id.clone(), &progress.chain)?;
        }
        self.raise_of_run(progress)?;
        Ok(seq)
    }

    fn progress_entry(&mut self, progress: &Progress) -> Seq {
        let at = self.position();
        let seq = at.0.seq;
        let mut summary = progress.summary.clone();
        if let Some(last) = summary.entries.last_mut() {
            *last = seq;
        }
        if summary.status.is_final() {
            // Who called it goes on, and whom it has called no longer needs to.
            self.woken.extend(summary.caller);
            self.woken.extend(self.shared.waits.called_by(summary.id));
        }
        let object = summary.id.to_string();
        self.entry(EntryKind::RunProgressed, at, progress.actor.clone(), object, progress.payload.clone());
        self.commit.runs.push(RunWrite { summary, expect: progress.expect, keep_lease: progress.keep_lease });
        for window in &progress.windows {
            self.windows.insert(window.key.clone(), window.until);
        }
        for (name, value) in &progress.marks {
            self.marks.insert(name.clone(), value.clone());
        }
        seq
    }

    /// A named value as it will be.
    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        match self.marks.get(name) {
            Some(value) => Ok(value.clone()),
            None => self.shared.store.mark(name).map_err(|error| Refusal::from(&error)),
        }
    }

    fn start(&mut self, order: &Start) -> Result<RunId, Refusal> {
        if let Some(earlier) = self.repeat(&order.event)? {
            let EventId { seq, tag } = earlier.event_id;
            return Ok(RunId { seq, n: 0, tag });
        }
        let at = self.position();
        let id = RunId { seq: at.0.seq, n: 0, tag: at.0.tag };
        let mut start = order.start.clone();
        start.id = id;
        if start.event.seq == Seq::default() {
            start.event = EventId { seq: id.seq, tag: id.tag };
        }
        let decided = Decided { runs: vec![start], ..Decided::default() };
        self.accept(&order.event, &Raw::Bytes(bytes::Bytes::new()), at, decided)?;
        Ok(id)
    }

    fn claim(&mut self, window: &str, by: &str, until: Time) -> Result<bool, Refusal> {
        let failed = |error: store::Error| Refusal::from(&error);
        let own = action::claimed_by(window, by);
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
        for (name, value) in &note.marks {
            self.marks.insert(name.clone(), value.clone());
        }
        self.commit.texts.extend(note.texts.iter().cloned());
        if let Some(set) = &note.set {
            self.set = Arc::clone(set);
        }
        seq
    }
}

/// What a key that makes a repeat recognisable is remembered by: source, tenant and key.
pub(crate) fn replay_key(event: &Event, key: &str) -> [u8; 16] {
    let digest = Digest::of(format!("{}\0{}\0{key}", event.source, event.tenant).as_bytes());
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
