//! Retention, in small steps: the oldest groups of the history with the ended runs they created, then what has expired,
//! then what nobody has touched for as long as the history is kept.
//!
//! Invariants: a step looks at a bounded number of keys and writes once, without waiting for the disk: what a crash takes
//! back is swept again. A group that holds an entry of a run that has
//! not ended is passed over and comes again; the last group always stays, since the end of the history is read from it.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use model::run::RunSummary;
use model::{Object, Seq, Time};
use serde::{Deserialize, Serialize};
use sled::IVec;

use super::base::{Base, failed, lock};
use super::committer::status_byte;
use super::keys::{self, Keyspace};
use super::values::{self, Writes};
use super::{Sled, group, parse, small};
use crate::api::{Error, Retention, Swept};

/// Groups of history that one step drops or passes over at most. Commits wait during a step.
const STEP_GROUPS: usize = 64;
/// Groups that one look ahead counts.
const DUE_GROUPS: usize = 4096;
/// Keys of one other keyspace that one step looks at at most.
const STEP_KEYS: usize = 256;
/// How often everything that expires is walked through at most.
const ROUND_EVERY: Duration = Duration::from_secs(3600);
/// And at most so often within the time that things are kept.
const ROUNDS_PER_AGE: u32 = 8;

/// What retention has dropped over the store's whole life; stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dropped {
    /// The entry from which on the history has no gap.
    pub(super) first_seq: u64,
    /// Ended runs.
    pub(super) ended: u64,
    /// Bytes of history.
    pub(super) bytes: u64,
}

impl Dropped {
    /// Reads what is stored.
    pub(super) fn read(base: &Base) -> Result<Dropped, Error> {
        let stored = values::read(&base.tree, keys::SWEPT_KEY)?;
        stored.map_or(Ok(Dropped::default()), |value| parse(&value, "what was dropped"))
    }
}

/// Where the slow walks stand. They begin anew when the store is opened.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    dropped: Dropped,
    /// The group to go on with.
    group: u64,
    walks: [Option<IVec>; WALKS.len()],
    /// Which of the walks goes on.
    turn: usize,
    /// When the last round began.
    round: Option<Time>,
    /// Entries that must stay.
    held: BTreeSet<Seq>,
}

/// The keyspaces that are walked key by key.
const WALKS: [Keyspace; 6] = [
    Keyspace::Claim,
    Keyspace::Window,
    Keyspace::Tally,
    Keyspace::Object,
    Keyspace::PlaybookBlock,
    Keyspace::ObjectBlock,
];
/// Which of them holds the runs of playbooks.
const PLAYBOOK_WALK: usize = 4;

impl Sweeper {
    /// A sweeper that goes on from what was dropped so far.
    pub(super) fn new(dropped: Dropped) -> Sweeper {
        Sweeper { dropped, ..Sweeper::default() }
    }

    /// These entries must stay, and only these.
    pub(super) fn hold(&mut self, entries: BTreeSet<Seq>) {
        self.held = entries;
    }

    fn holds(&self, first: u64, end: u64) -> bool {
        self.held.range(Seq(first)..Seq(end)).next().is_some()
    }
}

impl Sled {
    /// One step.
    pub(super) fn sweep_step(&self, now: Time, keep: &Retention, stay_from: Seq) -> Result<Swept, Error> {
        let mut committer = lock(&self.committer);
        let mut sweeper = lock(&self.sweeper);
        let mut swept = Swept::default();
        let mut writes = Writes::default();
        let (before, walk) = (sweeper.dropped, sweeper.turn);
        if let Err(error) = self.sweep_all(&mut sweeper, now, (keep, stay_from), &mut swept, &mut writes) {
            let held = std::mem::take(&mut sweeper.held);
            *sweeper = Sweeper { held, ..Sweeper::new(before) };
            return Err(error);
        }
        let dropped = sweeper.dropped;
        if dropped != before {
            let json = serde_json::to_vec(&dropped);
            let json =
                json.map_err(|e| Error::Database { doing: "writing what was dropped", detail: e.to_string() })?;
            writes.put(keys::SWEPT_KEY, &json);
            let end = swept.range.map_or(0, |(_, last)| last.0 + 1);
            lock(&self.ledger).put_aside(&self.base, end, &mut writes)?;
        }
        if !writes.changes.is_empty() {
            self.base.apply_lazily(writes)?;
            // What is kept in memory of things that are there still is kept: commits live on it.
            if swept.entries > 0 {
                lock(&self.groups).forget();
            }
            if swept.objects > 0 {
                lock(&self.recent).forget();
            }
            if walk == PLAYBOOK_WALK {
                committer.forget_tails();
            }
        }
        let mut figures = lock(&self.figures);
        figures.first_seq = dropped.first_seq.max(1);
        figures.ended_runs = figures.ended_runs.saturating_sub(dropped.ended - before.ended);
        figures.history_bytes = figures.history_bytes.saturating_sub(dropped.bytes - before.bytes);
        Ok(swept)
    }

    fn sweep_all(
        &self,
        sweeper: &mut Sweeper,
        now: Time,
        (keep, stay_from): (&Retention, Seq),
        swept: &mut Swept,
        writes: &mut Writes,
    ) -> Result<(), Error> {
        self.sweep_history(sweeper, now.minus(keep.age), (keep, stay_from), swept, writes)?;
        if sweeper.turn == 0 && sweeper.walks[0].is_none() {
            let every = ROUND_EVERY.min(keep.age / ROUNDS_PER_AGE);
            if sweeper.round.is_some_and(|round| now < round.plus(every)) {
                return Ok(());
            }
            sweeper.round = Some(now);
        }
        let walk = sweeper.turn;
        if self.sweep_walk(sweeper, walk, now, keep, swept, writes)? {
            sweeper.turn = (walk + 1) % WALKS.len();
        }
        // A round that has begun is gone through to its end: one that stops on the way may never come to what is old.
        swept.more |= sweeper.turn != 0 || sweeper.walks[0].is_some();
        Ok(())
    }

    fn sweep_history(
        &self,
        sweeper: &mut Sweeper,
        cut: Time,
        (keep, stay_from): (&Retention, Seq),
        swept: &mut Swept,
        writes: &mut Writes,
    ) -> Result<(), Error> {
        let figures = *lock(&self.figures);
        let before = sweeper.dropped;
        let last = self.base.scan(&keys::start(Keyspace::Headers)).next_back().transpose()?;
        let last = last.and_then(|(key, _)| keys::group_first(&key)).unwrap_or(0);
        let from = keys::group(Keyspace::Headers, sweeper.group);
        let mut groups = self.base.tree.range(from..keys::group(Keyspace::Headers, last));
        for _ in 0..STEP_GROUPS {
            let Some(found) = groups.next() else {
                // Round again: what was passed over may be free by now.
                sweeper.group = 0;
                return Ok(());
            };
            let (key, stored) = found.map_err(failed("sweeping"))?;
            let first = keys::group_first(&key).unwrap_or(0);
            let head = group::head(&values::whole(&self.base.tree, &key, stored.clone())?)?;
            let end = first + u64::from(head.count);
            let ended = figures.ended_runs.saturating_sub(sweeper.dropped.ended - before.ended);
            let bytes = figures.history_bytes.saturating_sub(sweeper.dropped.bytes - before.bytes);
            let enough = head.last_time >= cut && ended <= keep.runs && bytes <= keep.bytes;
            if enough || Seq(end) > stay_from {
                sweeper.group = 0;
                return Ok(());
            }
            if swept.range.is_some_and(|(_, to)| to.next() != Seq(first)) {
                // What one step drops is one stretch, so that it can be recorded as one.
                break;
            }
            sweeper.group = end;
            if lock(&self.schedule).pins(first, end) || sweeper.holds(first, end) {
                continue;
            }
            writes.remove(&key, &stored)?;
            writes.remove_any(&self.base.tree, &keys::group(Keyspace::Payloads, first))?;
            let runs = self.sweep_runs(first, end, writes)?;
            swept.runs += runs;
            swept.entries += u64::from(head.count);
            swept.range = Some((swept.range.map_or(Seq(first), |(from, _)| from), Seq(end - 1)));
            sweeper.dropped.ended += runs;
            sweeper.dropped.bytes += u64::from(head.bytes);
            sweeper.dropped.first_seq = sweeper.dropped.first_seq.max(end);
        }
        swept.more = true;
        Ok(())
    }

    /// The entry up to which the next sweep would drop history, as far as one look ahead sees.
    pub(super) fn due_for_sweep(&self, now: Time, keep: &Retention) -> Result<Option<Seq>, Error> {
        let figures = *lock(&self.figures);
        let sweeper = lock(&self.sweeper);
        let cut = now.minus(keep.age);
        let last = self.base.scan(&keys::start(Keyspace::Headers)).next_back().transpose()?;
        let last = last.and_then(|(key, _)| keys::group_first(&key)).unwrap_or(0);
        let (mut ended, mut bytes, mut due) = (figures.ended_runs, figures.history_bytes, None);
        let from = keys::group(Keyspace::Headers, 0);
        let mut counted = 0;
        for found in self.base.tree.range(from..keys::group(Keyspace::Headers, last)) {
            let (key, stored) = found.map_err(failed("looking what is to be swept"))?;
            let first = keys::group_first(&key).unwrap_or(0);
            let head = group::head(&values::whole(&self.base.tree, &key, stored)?)?;
            let end = first + u64::from(head.count);
            let enough = head.last_time >= cut && ended <= keep.runs && bytes <= keep.bytes;
            if enough || counted == DUE_GROUPS {
                break;
            }
            if lock(&self.schedule).pins(first, end) || sweeper.holds(first, end) {
                continue;
            }
            counted += 1;
            let range = keys::run(Keyspace::RunEnded, (Seq(first), 0))..keys::run(Keyspace::RunEnded, (Seq(end), 0));
            ended = ended.saturating_sub(self.base.tree.range(range).count() as u64);
            bytes = bytes.saturating_sub(u64::from(head.bytes));
            due = Some(Seq(end));
        }
        Ok(due)
    }

    /// Drops the ended runs that a group's entries created.
    fn sweep_runs(&self, first: u64, end: u64, writes: &mut Writes) -> Result<u64, Error> {
        let mut runs = 0;
        let range = keys::run(Keyspace::RunEnded, (Seq(first), 0))..keys::run(Keyspace::RunEnded, (Seq(end), 0));
        for found in self.base.tree.range(range) {
            let (key, stored) = found.map_err(failed("sweeping"))?;
            writes.remove(&key, &stored)?;
            let run: RunSummary = parse(&values::whole(&self.base.tree, &key, stored)?, "a run")?;
            if let Some(status) = status_byte(run.status) {
                writes.remove_small(&keys::run_status(status, keys::run_key(run.id)));
            }
            runs += 1;
        }
        Ok(runs)
    }

    /// Looks at the next keys of one keyspace, and starts over at its end. Answers whether it came to the end.
    fn sweep_walk(
        &self,
        sweeper: &mut Sweeper,
        walk: usize,
        now: Time,
        keep: &Retention,
        swept: &mut Swept,
        writes: &mut Writes,
    ) -> Result<bool, Error> {
        let space = WALKS[walk];
        let from = sweeper.walks[walk].take().unwrap_or_else(|| IVec::from(&keys::start(space)));
        let end = [space as u8 + 1];
        let mut looked = 0;
        for found in self.base.tree.range::<&[u8], _>((Bound::Excluded(&from[..]), Bound::Excluded(&end[..]))) {
            let (key, stored) = found.map_err(failed("sweeping"))?;
            let place = key.clone();
            match space {
                Keyspace::Object => {
                    swept.objects += self.sweep_object(sweeper, &key, stored, now.minus(keep.age), writes)?;
                }
                Keyspace::PlaybookBlock => self.sweep_block(sweeper.dropped.first_seq, &key, stored, writes)?,
                Keyspace::ObjectBlock => self.sweep_object_block(sweeper, &key, stored, writes)?,
                _ => swept.expired += self.sweep_expired(space, &key, stored, now, writes)?,
            }
            looked += 1;
            if looked == STEP_KEYS {
                sweeper.walks[walk] = Some(place);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sweep_expired(
        &self,
        space: Keyspace,
        key: &IVec,
        stored: IVec,
        now: Time,
        writes: &mut Writes,
    ) -> Result<u64, Error> {
        let value = values::whole(&self.base.tree, key, stored.clone())?;
        let until = match space {
            Keyspace::Claim => small::read_claim([0; 16], &value)?.until,
            Keyspace::Tally => small::read_tally(&value)?.0,
            _ => small::read_time(&value)?,
        };
        if until > now {
            return Ok(0);
        }
        writes.remove(key, &stored)?;
        Ok(1)
    }

    /// Drops an object that nobody has touched since `cut`, unless it is a case that is not closed or an open run is
    /// about it.
    fn sweep_object(
        &self,
        sweeper: &Sweeper,
        key: &IVec,
        stored: IVec,
        cut: Time,
        writes: &mut Writes,
    ) -> Result<u64, Error> {
        let value = values::whole(&self.base.tree, key, stored.clone())?;
        let object: Object = parse(&value, "an object")?;
        let is_case = key.get(1) == Some(&b'c');
        let closed = object.record.contains_key("closed_time");
        let newest = object.meta.entries.last().map_or(0, |seq| seq.0);
        let touched = object.meta.updated_at >= cut || newest >= self.next.load(std::sync::atomic::Ordering::Acquire);
        let held = object.meta.entries.iter().any(|seq| sweeper.held.contains(seq));
        let pinned = held || lock(&self.schedule).pins(object.meta.created.0, newest + 1);
        if touched || (is_case && !closed) || pinned {
            return Ok(0);
        }
        for space in [Keyspace::ObjectBlock, Keyspace::File] {
            let mut prefix = key.to_vec();
            if let Some(start) = prefix.first_mut() {
                *start = space as u8;
            }
            for found in self.base.scan(&prefix) {
                let (key, stored) = found?;
                writes.remove(&key, &stored)?;
            }
        }
        writes.remove(key, &stored)?;
        Ok(1)
    }

    /// Drops a block of an object's history when nothing that it lists is kept.
    fn sweep_object_block(
        &self,
        sweeper: &Sweeper,
        key: &IVec,
        stored: IVec,
        writes: &mut Writes,
    ) -> Result<(), Error> {
        let value = values::whole(&self.base.tree, key, stored.clone())?;
        let entries: Vec<Seq> = parse(&value, "a block of an object's history")?;
        let (first, end) = match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => (first.0, last.0 + 1),
            _ => (0, 0),
        };
        let kept = end > sweeper.dropped.first_seq || sweeper.holds(first, end);
        if kept || lock(&self.schedule).pins(first, end) {
            return Ok(());
        }
        writes.remove(key, &stored)
    }

    /// Drops a block of a playbook's runs when all of them lie before what is kept, and a later block exists.
    fn sweep_block(&self, first_seq: u64, key: &IVec, stored: IVec, writes: &mut Writes) -> Result<(), Error> {
        let runs = super::index::runs_of(&self.base, key, stored.clone())?;
        let schedule = lock(&self.schedule);
        let needed = |run: &keys::RunKey| run.0.0 >= first_seq || schedule.is_open(*run);
        if runs.iter().any(needed) {
            return Ok(());
        }
        writes.remove(key, &stored)
    }
}
