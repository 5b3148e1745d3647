//! The model of a store: plain maps behind one lock, nothing kept on disk.
//!
//! It exists for tests: those of other crates, and the one that compares every backend with it. So it is written to be
//! seen to be right and not to be fast; it shares with the other backends only the rules that all must obey.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::history::{Entry, Header};
use model::run::RunSummary;
use model::tree::{self, Tree};
use model::{Digest, Object, ObjectKey, RunId, Seq, Time, limits};

use crate::api::{
    Claim, Commit, Cursor, Error, Lease, Ledger, Page, Retention, RunFilter, RunWrite, Stats, Store, StoredEntry, Swept,
};
use crate::clock::Clock;
use crate::rules::{self, Standing};

/// Entries that one step of a sweep drops at most.
const SWEEP_ENTRIES_MAX: usize = 64;

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Time,
    next: u64,
    first: u64,
    entries: BTreeMap<Seq, Entry>,
    objects: BTreeMap<ObjectKey, Object>,
    blocks: BTreeMap<(ObjectKey, Seq), Vec<Seq>>,
    claims: BTreeMap<[u8; 16], Claim>,
    windows: BTreeMap<String, Time>,
    marks: BTreeMap<String, Vec<u8>>,
    texts: BTreeMap<Digest, Vec<u8>>,
    runs: BTreeMap<(Seq, u16), Held>,
    tree: Tree,
    tiles: BTreeMap<(u8, u64), Vec<Digest>>,
    epochs: u64,
    commits: u64,
}

#[derive(Debug, Clone)]
struct Held {
    summary: RunSummary,
    due_at: Time,
    lease: Option<(u64, Time)>,
}

impl Held {
    /// When there is something to take.
    fn due(&self) -> Time {
        self.lease.map_or(self.due_at, |(_, until)| until.max(self.due_at))
    }

    fn standing(&self) -> Standing {
        Standing {
            tag: self.summary.id.tag,
            version: self.summary.version,
            ended: self.summary.status.is_final(),
            epoch: self.lease.map(|(epoch, _)| epoch),
        }
    }
}

impl Memory {
    /// An empty store that reads the time from `clock`.
    pub fn new(clock: Clock) -> Memory {
        Memory { clock, state: Mutex::new(State { next: 1, first: 1, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leaf of an entry: over its header's canonical form.
fn leaf(header: &Header) -> Digest {
    tree::leaf(&serde_json::to_vec(header).unwrap_or_default())
}

impl State {
    fn check(&self, commit: &Commit, now: Time) -> Result<(), Error> {
        rules::check_sizes(commit)?;
        for (_, object) in &commit.objects {
            rules::check_size(serde_json::to_vec(object).map_or(0, |json| json.len()), rules::VALUE_BYTES_MAX)?;
        }
        for write in &commit.runs {
            rules::check_size(serde_json::to_vec(&write.summary).map_or(0, |json| json.len()), rules::VALUE_BYTES_MAX)?;
        }
        rules::check_sequence(commit, Seq(self.next))?;
        let mut claimed = self.claims.clone();
        for claim in &commit.claims {
            if let Some(earlier) = claimed.get(&claim.key).filter(|earlier| earlier.until > now) {
                return Err(Error::Claimed { by: earlier.by });
            }
            claimed.insert(claim.key, claim.clone());
        }
        let mut runs: BTreeMap<(Seq, u16), Held> = BTreeMap::new();
        for write in &commit.runs {
            let key = (write.summary.id.seq, write.summary.id.n);
            let stored = runs.get(&key).or_else(|| self.runs.get(&key));
            rules::check_run(stored.map(Held::standing), write)?;
            runs.insert(key, written(stored, write));
        }
        Ok(())
    }

    fn apply(&mut self, commit: Commit) {
        self.seen = self.seen.max(rules::time_of(&commit).unwrap_or(self.seen));
        self.commits += 1;
        self.next += commit.entries.len() as u64;
        for entry in &commit.entries {
            let mut full = Vec::new();
            self.tree.push(leaf(&entry.header), &mut full);
            self.tiles.extend(full.into_iter().map(|tile| ((tile.level, tile.index), tile.hashes)));
        }
        self.entries.extend(commit.entries.into_iter().map(|entry| (entry.header.seq, entry)));
        self.objects.extend(commit.objects);
        for (key, block) in commit.object_blocks {
            if let Some(first) = block.first().copied() {
                self.blocks.insert((key, first), block);
            }
        }
        self.claims.extend(commit.claims.into_iter().map(|claim| (claim.key, claim)));
        for window in commit.windows {
            match window.until {
                Some(until) => self.windows.insert(window.key, until),
                None => self.windows.remove(&window.key),
            };
        }
        for (name, value) in commit.marks {
            match value {
                Some(value) => self.marks.insert(name, value),
                None => self.marks.remove(&name),
            };
        }
        self.texts.extend(commit.texts);
        for write in &commit.runs {
            let key = (write.summary.id.seq, write.summary.id.n);
            let held = written(self.runs.get(&key), write);
            self.runs.insert(key, held);
        }
    }

    fn open(&self) -> impl Iterator<Item = &Held> {
        self.runs.values().filter(|held| !held.summary.status.is_final())
    }

    fn ended(&self) -> u64 {
        self.runs.len() as u64 - self.open().count() as u64
    }

    fn bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.payload.len() as u64).sum()
    }
}

fn written(stored: Option<&Held>, write: &RunWrite) -> Held {
    let lease = stored.and_then(|held| held.lease);
    let kept = rules::lease_after(lease.map(|(epoch, _)| epoch), write);
    Held { summary: write.summary.clone(), due_at: write.summary.due_at, lease: lease.filter(|_| kept.is_some()) }
}

fn whole(entry: &Entry) -> StoredEntry {
    StoredEntry { header: entry.header.clone(), entry: Some(entry.clone()) }
}

impl Store for Memory {
    fn now(&self) -> Time {
        let mut state = self.lock();
        state.seen = state.seen.max(Time::from_millis((self.clock)().millis()));
        state.seen
    }

    fn next_seq(&self) -> Seq {
        Seq(self.lock().next)
    }

    fn commit(&self, commit: Commit) -> Result<(), Error> {
        let now = rules::time_of(&commit).unwrap_or_else(|| self.now());
        let mut state = self.lock();
        state.check(&commit, now)?;
        state.apply(commit);
        Ok(())
    }

    fn object(&self, key: &ObjectKey) -> Result<Option<Object>, Error> {
        Ok(self.lock().objects.get(key).cloned())
    }

    fn object_block(&self, key: &ObjectKey, first: Seq) -> Result<Vec<Seq>, Error> {
        Ok(self.lock().blocks.get(&(key.clone(), first)).cloned().unwrap_or_default())
    }

    fn claim(&self, key: &[u8; 16], now: Time) -> Result<Option<Claim>, Error> {
        Ok(self.lock().claims.get(key).filter(|claim| claim.until > now).cloned())
    }

    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, Error> {
        Ok(self.lock().windows.get(key).copied().filter(|until| *until > now))
    }

    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.lock().marks.get(name).cloned())
    }

    fn marks(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let state = self.lock();
        let from = state.marks.range(prefix.to_owned()..);
        Ok(from.take_while(|(name, _)| name.starts_with(prefix)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    fn text(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.lock().texts.get(digest).cloned())
    }

    fn entry(&self, seq: Seq) -> Result<Option<StoredEntry>, Error> {
        Ok(self.lock().entries.get(&seq).map(whole))
    }

    fn entries_back(&self, before: Option<Seq>, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error> {
        let entries: Vec<StoredEntry> =
            self.lock().entries.range(..before.unwrap_or(Seq(u64::MAX))).rev().map(|(_, entry)| whole(entry)).collect();
        entries.into_iter().all(visit);
        Ok(())
    }

    fn entries_forward(&self, from: Seq, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error> {
        let entries: Vec<StoredEntry> = self.lock().entries.range(from..).map(|(_, entry)| whole(entry)).collect();
        entries.into_iter().all(visit);
        Ok(())
    }

    fn run(&self, id: RunId) -> Result<Option<RunSummary>, Error> {
        let state = self.lock();
        Ok(state.runs.get(&(id.seq, id.n)).map(|held| held.summary.clone()).filter(|run| run.id == id))
    }

    fn runs(&self, filter: &RunFilter, after: Option<Cursor>, limit: usize) -> Result<Page<RunSummary>, Error> {
        let limit = limit.clamp(1, limits::PAGE_ITEMS_MAX);
        let end = after.map_or((Seq(u64::MAX), u16::MAX), |cursor| (cursor.seq, cursor.n));
        let state = self.lock();
        let runs = state.runs.range(..end).rev().map(|(_, held)| &held.summary);
        let mut items: Vec<RunSummary> =
            runs.filter(|run| rules::lets_through(filter, run)).take(limit + 1).cloned().collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|run| Cursor { seq: run.id.seq, n: run.id.n });
        Ok(Page { items, next })
    }

    fn take_due(&self, now: Time, max: usize, lease: Duration) -> Result<Vec<Lease>, Error> {
        let mut state = self.lock();
        let mut due: Vec<(Time, RunId)> =
            state.open().map(|h| (h.due(), h.summary.id)).filter(|d| d.0 <= now).collect();
        due.sort_unstable();
        let mut taken = Vec::new();
        for (_, run) in due.into_iter().take(max) {
            state.epochs += 1;
            let epoch = state.epochs;
            if let Some(held) = state.runs.get_mut(&(run.seq, run.n)) {
                held.lease = Some((epoch, now.plus(lease)));
                taken.push(Lease { run, epoch });
            }
        }
        Ok(taken)
    }

    fn next_due(&self) -> Option<Time> {
        self.lock().open().map(Held::due).min()
    }

    fn prolong(&self, leases: &[Lease], now: Time, lease: Duration) -> Result<Vec<bool>, Error> {
        let mut state = self.lock();
        let mut prolong = |wanted: &Lease| match state.runs.get_mut(&(wanted.run.seq, wanted.run.n)) {
            Some(Held { lease: Some((epoch, until)), summary, .. })
                if *epoch == wanted.epoch && summary.id == wanted.run =>
            {
                *until = now.plus(lease);
                true
            }
            _ => false,
        };
        Ok(leases.iter().map(&mut prolong).collect())
    }

    fn release(&self, lease: Lease, due_at: Time) -> Result<(), Error> {
        let mut state = self.lock();
        match state.runs.get_mut(&(lease.run.seq, lease.run.n)) {
            Some(held) if held.lease.is_some_and(|(epoch, _)| epoch == lease.epoch) && held.summary.id == lease.run => {
                held.lease = None;
                held.due_at = due_at;
                Ok(())
            }
            _ => Err(Error::Fenced { run: lease.run }),
        }
    }

    fn sweep(&self, now: Time, keep: &Retention) -> Result<Swept, Error> {
        let mut state = self.lock();
        let cut = now.minus(keep.age);
        let pinned: Vec<Seq> = state.open().flat_map(|held| held.summary.entries.clone()).collect();
        let mut swept = Swept::default();
        let last = Seq(state.next - 1);
        while (swept.entries as usize) < SWEEP_ENTRIES_MAX {
            let over = state.ended() > keep.runs || state.bytes() > keep.bytes;
            let oldest = state.entries.values().find(|entry| !pinned.contains(&entry.header.seq));
            let Some(seq) = oldest.filter(|e| over || e.header.time < cut).map(|e| e.header.seq).filter(|s| *s != last)
            else {
                break;
            };
            if swept.range.is_some_and(|(_, to)| to.next() != seq) {
                swept.more = true;
                break;
            }
            state.entries.remove(&seq);
            state.first = state.first.max(seq.0 + 1);
            swept.entries += 1;
            swept.range = Some((swept.range.map_or(seq, |(from, _)| from), seq));
            let before = state.runs.len();
            state.runs.retain(|key, held| key.0 != seq || !held.summary.status.is_final());
            swept.runs += (before - state.runs.len()) as u64;
        }
        swept.more |= swept.entries as usize == SWEEP_ENTRIES_MAX;
        let before = state.claims.len() + state.windows.len();
        state.claims.retain(|_, claim| claim.until > now);
        state.windows.retain(|_, until| *until > now);
        swept.expired = (before - state.claims.len() - state.windows.len()) as u64;
        Ok(swept)
    }

    fn backup(&self, _out: &mut dyn Write) -> Result<u64, Error> {
        let why = std::io::Error::from(std::io::ErrorKind::Unsupported);
        Err(Error::Io { doing: "backing up a store in memory", source: why })
    }

    fn ledger(&self) -> Ledger {
        let state = self.lock();
        Ledger { base: Seq(1), size: state.tree.size(), root: state.tree.root() }
    }

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Digest>, Error> {
        let state = self.lock();
        let unfinished = state.tree.size() >> (u32::from(level) + 1).saturating_mul(8).min(63);
        if index == unfinished {
            return Ok(state.tree.edge(level).to_vec());
        }
        Ok(state.tiles.get(&(level, index)).cloned().unwrap_or_default())
    }

    fn leaf(&self, seq: Seq) -> Result<Option<Digest>, Error> {
        Ok(self.lock().entries.get(&seq).map(|entry| leaf(&entry.header)))
    }

    fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            first_seq: Seq(state.first),
            next_seq: Seq(state.next),
            open_runs: state.open().count() as u64,
            ended_runs: state.ended(),
            history_bytes: state.bytes(),
            commits: state.commits,
            ..Stats::default()
        }
    }
}
