//! The store on this machine's disk, over sled.
//!
//! The walk of a commit: [`committer`] checks it against what is stored and what is in memory ([`schedule`]), packs its
//! entries ([`group`]), puts everything into one batch ([`values`], [`keys`]), [`base`] writes and syncs it, and only
//! then the schedule and the figures follow.
//!
//! Invariants: one tree, one committer; readers never wait for the disk's cache. What is in memory can be rebuilt from
//! what is stored, and is, when the store is opened ([`open`]).

mod absent;
mod backup;
mod base;
mod committer;
mod compact;
mod folder;
mod group;
mod history;
mod index;
mod keys;
mod ledger;
mod listing;
mod open;
mod packs;
mod preimages;
mod ready;
mod recent;
mod schedule;
mod small;
mod sweep;
mod values;
mod verify;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use model::run::RunSummary;
use model::{Digest, Kind, Object, ObjectKey, RunId, Seq, Time};
use serde::de::DeserializeOwned;

use crate::api::{
    Claim, Commit, Cursor, Durability, Error, Found, Lease, Ledger, Page, Retention, RunFilter, Stats, Store,
    StoredEntry, Swept,
};
use crate::clock::{self, Clock};
use absent::Absent;
use base::{Base, lock};
use committer::Committer;
use folder::{Folder, Witness};
use history::Groups;
use keys::Keyspace;
use ledger::Edge;
use packs::{Packs, Place};
use recent::Recent;
use schedule::Schedule;
use sweep::Sweeper;

pub use backup::restore;
pub use compact::{Compacted, compact};
pub use verify::Verified;

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How far a commit must have got before it is acknowledged.
    pub durability: Durability,
    /// Memory for pages of the database, in bytes; the process takes about 1.4 times as much.
    pub cache_bytes: u64,
    /// Room on the disk that is never used up, in bytes; as much again is laid down as ballast.
    pub reserve_bytes: u64,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::Power,
            cache_bytes: 64 * 1024 * 1024,
            reserve_bytes: 16 * 1024 * 1024,
            clock: clock::steady,
        }
    }
}

/// The store in a data folder. One process at a time has it open.
pub struct Sled {
    base: Base,
    committer: Mutex<Committer>,
    sweeper: Mutex<Sweeper>,
    schedule: Mutex<Schedule>,
    groups: Mutex<Groups>,
    /// The ledger's tree, as of what is durable.
    ledger: Mutex<Edge>,
    packs: Mutex<Packs>,
    recent: Mutex<Recent>,
    absent: Absent,
    figures: Mutex<Figures>,
    next: AtomicU64,
    seen: AtomicI64,
    clock: Clock,
    durability: Durability,
    // Last, so that the lock is given up after the database is closed.
    folder: Folder,
}

/// What [`Stats`] are made of, beside what is counted elsewhere.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    first_seq: u64,
    ended_runs: u64,
    history_bytes: u64,
    commits: u64,
    commit_micros_max: u64,
}

impl fmt::Debug for Sled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sled").field("folder", &self.folder).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Sled {
    /// Opens the store in `dir`, creating it where there is none.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open, [`Error::Newer`] when a newer version wrote it,
    /// [`Error::Corrupt`] when it is damaged or less is there than was there before; and when the system says no.
    pub fn open(dir: &Path, options: Options) -> Result<Sled, Error> {
        open::open(dir, options)
    }

    fn witness(&self) -> Witness {
        Witness { next_seq: Seq(self.next.load(Ordering::Acquire)) }
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8], what: &'static str) -> Result<Option<T>, Error> {
        values::read(&self.base.tree, key)?.map(|value| parse(&value, what)).transpose()
    }

    /// A run, open or ended. One that is large lies in several pieces, which a commit may replace while they are read: what
    /// does not fit together is read again when no commit is on its way. Not to be called by the committer itself.
    fn run_at(&self, key: keys::RunKey) -> Result<Option<RunSummary>, Error> {
        match self.run_now(key) {
            Err(Error::Corrupt { .. }) => {
                let _still = lock(&self.committer);
                self.run_now(key)
            }
            found => found,
        }
    }

    /// A run moves from its pack to its own key and on to the ended ones, never back, so that looking in this order finds
    /// it even while it moves.
    fn run_now(&self, key: keys::RunKey) -> Result<Option<RunSummary>, Error> {
        let place = lock(&self.schedule).place(key);
        let packed = match place {
            Some(Place::Pack { first, index }) => {
                self.packed_run(first, index)?.filter(|run| keys::run_key(run.id) == key)
            }
            Some(Place::Own) | None => None,
        };
        if packed.is_some() {
            return Ok(packed);
        }
        if place.is_some()
            && let Some(run) = self.read(&keys::run(Keyspace::RunOpen, key), "a run")?
        {
            return Ok(Some(run));
        }
        self.read(&keys::run(Keyspace::RunEnded, key), "a run")
    }
}

fn parse<T: DeserializeOwned>(json: &[u8], what: &'static str) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::Corrupt { detail: format!("{what} cannot be read: {error}") })
}

impl Drop for Sled {
    fn drop(&mut self) {
        let committer = lock(&self.committer);
        let closed = self.base.close().and_then(|()| self.folder.testify(self.witness(), true));
        drop(committer);
        if let Err(error) = closed {
            tracing::error!(%error, "the store could not be closed cleanly");
        }
    }
}

impl Store for Sled {
    fn now(&self) -> Time {
        let wall = (self.clock)().millis();
        let before = self.seen.fetch_max(wall, Ordering::AcqRel);
        Time::from_millis(wall.max(before))
    }

    fn next_seq(&self) -> Seq {
        Seq(self.next.load(Ordering::Acquire))
    }

    fn settle(&self) -> Result<(), Error> {
        // Under `process` the history may be shorter after a power cut, and rightly so.
        if self.durability != Durability::Power {
            return Ok(());
        }
        let _committer = lock(&self.committer);
        self.base.check()?;
        self.folder.testify(self.witness(), true)
    }

    fn commit(&self, commit: Commit) -> Result<(), Error> {
        self.commit_now(commit)
    }

    fn object(&self, key: &ObjectKey) -> Result<Option<Object>, Error> {
        if let Some(object) = lock(&self.recent).get(key) {
            return Ok(Some(object));
        }
        self.read(&keys::object(key), "an object")
    }

    fn objects(&self, kind: Kind, visit: &mut dyn FnMut(ObjectKey, Object) -> bool) -> Result<(), Error> {
        for found in self.base.scan(&keys::objects_of(kind)) {
            let (key, stored) = found?;
            let object: Object = parse(&values::whole(&self.base.tree, &key, stored)?, "an object")?;
            // An id that is too long for a key stands in the object; a tenant never is.
            let Some((id, tenant)) = keys::object_of(&key, object.text("id")) else { continue };
            if !visit(ObjectKey { tenant, kind, id }, object) {
                break;
            }
        }
        Ok(())
    }

    fn object_block(&self, key: &ObjectKey, first: Seq) -> Result<Vec<Seq>, Error> {
        Ok(self.read(&keys::object_block(key, first), "a block of an object's history")?.unwrap_or_default())
    }

    fn file(&self, key: &ObjectKey, file: u64, n: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(values::read(&self.base.tree, &keys::file(key, file, n))?.map(|value| value.to_vec()))
    }

    fn claim(&self, key: &[u8; 16], now: Time) -> Result<Option<Claim>, Error> {
        let since = self.absent.generation();
        let value = values::read(&self.base.tree, &keys::claim(key))?;
        let claim = value.map(|value| small::read_claim(*key, &value)).transpose()?;
        let claim = claim.filter(|claim| claim.until > now);
        if claim.is_none() {
            self.absent.remember(key, since);
        }
        Ok(claim)
    }

    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, Error> {
        let Some(value) = values::read(&self.base.tree, &keys::window(key))? else { return Ok(None) };
        Ok(Some(small::read_time(&value)?).filter(|until| *until > now))
    }

    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, Error> {
        let Some(value) = values::read(&self.base.tree, &keys::tally(key))? else { return Ok(Vec::new()) };
        let (until, times) = small::read_tally(&value)?;
        Ok(if now < until { times } else { Vec::new() })
    }

    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(values::read(&self.base.tree, &keys::mark(name))?.map(|value| value.to_vec()))
    }

    fn marks(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut all = Vec::new();
        for found in self.base.scan(&keys::mark(prefix)) {
            let (key, stored) = found?;
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            all.push((name, values::whole(&self.base.tree, &key, stored)?.to_vec()));
        }
        Ok(all)
    }

    fn text(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(values::read(&self.base.tree, &keys::text(digest))?.map(|value| value.to_vec()))
    }

    fn entry(&self, seq: Seq) -> Result<Option<StoredEntry>, Error> {
        match self.group_with(seq)? {
            Some(group) => group.entry(seq),
            None => Ok(None),
        }
    }

    fn entries_back(&self, before: Option<Seq>, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error> {
        self.walk_back(before, visit)
    }

    fn entries_forward(&self, from: Seq, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error> {
        self.walk_forward(from, visit)
    }

    fn run(&self, id: RunId) -> Result<Option<RunSummary>, Error> {
        let found = self.run_at(keys::run_key(id))?.filter(|run| run.id == id);
        // A commit that is on its way shows the run before its entries can be read: wait for its end.
        if found
            .as_ref()
            .and_then(|run| run.entries.last())
            .is_some_and(|last| last.0 >= self.next.load(Ordering::Acquire))
        {
            drop(lock(&self.committer));
        }
        Ok(found)
    }

    fn runs(&self, filter: &RunFilter, after: Option<Cursor>, limit: usize) -> Result<Page<RunSummary>, Error> {
        self.list(filter, after, limit)
    }

    fn group(&self, group: &str) -> Result<Vec<RunId>, Error> {
        Ok(lock(&self.schedule).group(group))
    }

    fn take_due(&self, now: Time, max: usize, lease: Duration) -> Result<Vec<Lease>, Error> {
        self.base.check()?;
        Ok(lock(&self.schedule).take(now, max, lease))
    }

    fn next_due(&self) -> Option<Time> {
        lock(&self.schedule).next_due()
    }

    fn prolong(&self, leases: &[Lease], now: Time, lease: Duration) -> Result<Vec<bool>, Error> {
        let mut schedule = lock(&self.schedule);
        Ok(leases.iter().map(|held| schedule.prolong(held, now.plus(lease))).collect())
    }

    fn release(&self, lease: Lease, due_at: Time) -> Result<(), Error> {
        lock(&self.schedule).release(lease, due_at)
    }

    fn hasten(&self, runs: &[RunId], at: Time) -> Result<(), Error> {
        lock(&self.schedule).hasten(runs, at);
        Ok(())
    }

    fn hold(&self, entries: BTreeSet<Seq>) {
        lock(&self.sweeper).hold(entries);
    }

    fn sweep_due(&self, now: Time, keep: &Retention) -> Result<Option<Seq>, Error> {
        self.due_for_sweep(now, keep)
    }

    fn sweep_before(&self, now: Time, keep: &Retention, before: Seq) -> Result<Swept, Error> {
        self.sweep_step(now, keep, before)
    }

    fn backup(&self, out: &mut dyn Write) -> Result<u64, Error> {
        self.back_up(out)
    }

    fn ledger(&self) -> Ledger {
        self.ledger_now()
    }

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Digest>, Error> {
        self.tile_now(level, index)
    }

    fn inspect(&self, visit: &mut dyn FnMut(Found) -> bool) -> Result<(), Error> {
        self.inspect_all(visit)
    }

    fn leaf(&self, seq: Seq) -> Result<Option<Digest>, Error> {
        self.leaf_now(seq)
    }

    fn stats(&self) -> Stats {
        let figures = *lock(&self.figures);
        Stats {
            first_seq: Seq(figures.first_seq),
            next_seq: self.next_seq(),
            open_runs: lock(&self.schedule).len(),
            ended_runs: figures.ended_runs,
            disk_bytes: self.folder.bytes(),
            history_bytes: figures.history_bytes,
            keys_written: self.base.keys_written(),
            bytes_written: self.base.bytes_written(),
            commits: figures.commits,
            commit_micros_max: figures.commit_micros_max,
        }
    }
}
