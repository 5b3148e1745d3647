//! The model of a store: plain maps behind one lock, nothing kept on disk.
//!
//! It exists for what must leave nothing behind: simulations, tests, and the comparison of every backend with it. So it is
//! written to be seen to be right and not to be fast; it shares with the other backends only the rules that all must obey.
//!
//! Length: one short method for each thing that a store can be asked.
//!
//! Laid over another store ([`Memory::over`]) it reads what it does not hold itself from there and never writes there.
//!
//! Length: one short method for each of the trait's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::history::{Entry, Header};
use model::run::RunSummary;
use model::tree::{self, Tree};
use model::{Digest, Kind, Object, ObjectKey, RunId, Seq, Time, limits};

use crate::api::{
    Claim, Commit, Cursor, Error, FileWrite, Found, Lease, Ledger, Mark, Page, Payload, Retention, RunFilter, RunWrite,
    Stats, Store, StoredEntry, Swept, Tally, Window,
};
use crate::rules::{self, Standing};

/// Entries that one step of a sweep drops at most.
const SWEEP_ENTRIES_MAX: usize = 64;

/// A store in memory.
pub struct Memory {
    clock: Box<dyn Fn() -> Time + Send + Sync>,
    /// What lies beneath, read and never written.
    base: Option<Arc<dyn Store>>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("over", &self.base.is_some()).finish_non_exhaustive()
    }
}

/// What follows from an event beside what is written down ([`Memory::keep`]).
#[derive(Debug, Default)]
pub struct Kept {
    /// The object as it stands afterwards.
    pub object: Option<(ObjectKey, Object)>,
    /// Windows that begin or end.
    pub windows: Vec<Window>,
    /// Tallies as they stand afterwards.
    pub tallies: Vec<Tally>,
    /// Small named values that change.
    pub marks: Vec<Mark>,
}

#[derive(Debug, Default)]
struct State {
    seen: Time,
    next: u64,
    first: u64,
    entries: BTreeMap<Seq, Entry>,
    objects: BTreeMap<ObjectKey, Object>,
    blocks: BTreeMap<(ObjectKey, Seq), Vec<Seq>>,
    files: BTreeMap<(ObjectKey, u64, u32), Vec<u8>>,
    claims: BTreeMap<[u8; 16], Claim>,
    /// Nothing: the window was removed, whatever the store beneath says.
    windows: BTreeMap<String, Option<Time>>,
    /// Without times: the tally was removed, whatever the store beneath says.
    tallies: BTreeMap<String, Tally>,
    marks: BTreeMap<String, Option<Vec<u8>>>,
    texts: BTreeMap<Digest, Vec<u8>>,
    runs: BTreeMap<(Seq, u16), Held>,
    held: BTreeSet<Seq>,
    tree: Tree,
    tiles: BTreeMap<(u8, u64), Vec<Digest>>,
    epochs: u64,
    /// Whose run was given out last.
    last_turn: String,
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
    pub fn new(clock: impl Fn() -> Time + Send + Sync + 'static) -> Memory {
        let state = State { next: 1, first: 1, ..State::default() };
        Memory { clock: Box::new(clock), base: None, state: Mutex::new(state) }
    }

    /// A store that shows what `base` holds and keeps every change to itself. Its history goes on where that of `base` ends
    /// now. Listings and what is due show its own runs only.
    pub fn over(base: Arc<dyn Store>, clock: impl Fn() -> Time + Send + Sync + 'static) -> Memory {
        let next = base.next_seq().0;
        let state = State { next, first: next, seen: base.now(), ..State::default() };
        Memory { clock: Box::new(clock), base: Some(base), state: Mutex::new(state) }
    }

    /// Takes over what follows from something that is not written down: for simulations that go through many events of
    /// which most change nothing but the state.
    pub fn keep(&self, state: Kept) {
        let mut own = self.lock();
        own.objects.extend(state.object);
        own.windows.extend(state.windows.into_iter().map(|window| (window.key, window.until)));
        own.tallies.extend(state.tallies.into_iter().map(|tally| (tally.key.clone(), tally)));
        own.marks.extend(state.marks);
    }

    /// Puts an object back as it was, or takes it away.
    pub fn put_back(&self, key: &ObjectKey, object: Option<Object>) {
        let mut own = self.lock();
        match object {
            Some(object) => own.objects.insert(key.clone(), object),
            None => own.objects.remove(key),
        };
    }

    /// Forgets what no open run needs: runs that have ended, entries, and claims, windows and tallies that are over.
    pub fn forget_past(&self, now: Time) {
        let mut own = self.lock();
        own.runs.retain(|_, held| !held.summary.status.is_final());
        let needed: BTreeSet<Seq> = own
            .open()
            .flat_map(|held| held.summary.entries.iter().copied().chain([held.summary.id.seq, held.summary.event.seq]))
            .collect();
        own.entries.retain(|seq, _| needed.contains(seq));
        own.claims.retain(|_, claim| claim.until > now);
        own.windows.retain(|_, until| until.is_some_and(|until| until > now));
        own.tallies.retain(|_, tally| tally.until > now);
    }

    /// What lies beneath, where it is to be asked for an entry or a run.
    fn beneath(&self, seq: Seq) -> Option<&Arc<dyn Store>> {
        self.base.as_ref().filter(|_| seq.0 < self.lock().first)
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
        let mut claimed: BTreeMap<[u8; 16], &Claim> = BTreeMap::new();
        for claim in &commit.claims {
            let earlier = claimed.get(&claim.key).copied().or_else(|| self.claims.get(&claim.key));
            if let Some(earlier) = earlier.filter(|earlier| earlier.until > now) {
                return Err(Error::Claimed { by: earlier.by });
            }
            claimed.insert(claim.key, claim);
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
        self.windows.extend(commit.windows.into_iter().map(|window| (window.key, window.until)));
        self.tallies.extend(commit.tallies.into_iter().map(|tally| (tally.key.clone(), tally)));
        self.marks.extend(commit.marks);
        for digest in &commit.gone_texts {
            self.texts.remove(digest);
        }
        self.texts.extend(commit.texts);
        for FileWrite { object, file, n, bytes } in commit.files {
            match bytes {
                Some(bytes) => self.files.insert((object, file, n), bytes),
                None => self.files.remove(&(object, file, n)),
            };
        }
        for write in &commit.runs {
            let key = (write.summary.id.seq, write.summary.id.n);
            let held = written(self.runs.get(&key), write);
            self.runs.insert(key, held);
        }
    }

    fn open(&self) -> impl Iterator<Item = &Held> {
        self.runs.values().filter(|held| !held.summary.status.is_final())
    }

    /// The open runs of a group, the oldest first.
    fn group(&self, group: &str) -> Vec<RunId> {
        let member = |held: &&Held| held.summary.gate.as_ref().is_some_and(|gate| gate.group == group);
        self.open().filter(member).map(|held| held.summary.id).collect()
    }

    /// Whether as many older runs of its group are open as its limit allows.
    fn is_held_back(&self, held: &Held) -> bool {
        let Some(gate) = &held.summary.gate else { return false };
        let older = self.group(&gate.group).iter().filter(|run| **run < held.summary.id).count();
        older >= gate.max as usize
    }

    fn ended(&self) -> u64 {
        self.runs.len() as u64 - self.open().count() as u64
    }

    /// The entries that must stay.
    fn pinned(&self) -> BTreeSet<Seq> {
        let open = self.open().flat_map(|held| held.summary.entries.clone());
        open.chain(self.held.iter().copied()).collect()
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
        let own = self.lock().objects.get(key).cloned();
        match (own, &self.base) {
            (None, Some(base)) => base.object(key),
            (own, _) => Ok(own),
        }
    }

    fn objects(&self, kind: Kind, visit: &mut dyn FnMut(ObjectKey, Object) -> bool) -> Result<(), Error> {
        let own = self.lock().objects.clone();
        let mut go_on =
            own.iter().filter(|(key, _)| key.kind == kind).all(|(key, object)| visit(key.clone(), object.clone()));
        if let Some(base) = self.base.as_ref().filter(|_| go_on) {
            base.objects(kind, &mut |key, object| {
                go_on = own.contains_key(&key) || visit(key, object);
                go_on
            })?;
        }
        Ok(())
    }

    fn object_block(&self, key: &ObjectKey, first: Seq) -> Result<Vec<Seq>, Error> {
        let own = self.lock().blocks.get(&(key.clone(), first)).cloned();
        match (own, &self.base) {
            (None, Some(base)) => base.object_block(key, first),
            (own, _) => Ok(own.unwrap_or_default()),
        }
    }

    fn file(&self, key: &ObjectKey, file: u64, n: u32) -> Result<Option<Vec<u8>>, Error> {
        let own = self.lock().files.get(&(key.clone(), file, n)).cloned();
        match (own, &self.base) {
            (None, Some(base)) => base.file(key, file, n),
            (own, _) => Ok(own),
        }
    }

    fn claim(&self, key: &[u8; 16], now: Time) -> Result<Option<Claim>, Error> {
        let own = self.lock().claims.get(key).filter(|claim| claim.until > now).cloned();
        match (own, &self.base) {
            (None, Some(base)) => base.claim(key, now),
            (own, _) => Ok(own),
        }
    }

    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, Error> {
        let own = self.lock().windows.get(key).copied();
        match (own, &self.base) {
            (None, Some(base)) => base.window(key, now),
            (own, _) => Ok(own.flatten().filter(|until| *until > now)),
        }
    }

    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, Error> {
        let own = self.lock().tallies.get(key).cloned();
        match (own, &self.base) {
            (None, Some(base)) => base.tally(key, now),
            (own, _) => Ok(own.filter(|tally| now < tally.until).map(|tally| tally.times).unwrap_or_default()),
        }
    }

    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let own = self.lock().marks.get(name).cloned();
        match (own, &self.base) {
            (None, Some(base)) => base.mark(name),
            (own, _) => Ok(own.flatten()),
        }
    }

    fn marks(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let beneath = self.base.as_ref().map_or(Ok(Vec::new()), |base| base.marks(prefix))?;
        let mut all: BTreeMap<String, Option<Vec<u8>>> = beneath.into_iter().map(|(n, v)| (n, Some(v))).collect();
        let state = self.lock();
        let own = state.marks.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        all.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        Ok(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    fn text(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let own = self.lock().texts.get(digest).cloned();
        match (own, &self.base) {
            (None, Some(base)) => base.text(digest),
            (own, _) => Ok(own),
        }
    }

    fn entry(&self, seq: Seq) -> Result<Option<StoredEntry>, Error> {
        if let Some(base) = self.beneath(seq) {
            return base.entry(seq);
        }
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
        if let Some(base) = self.beneath(id.seq) {
            return base.run(id);
        }
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

    fn group(&self, group: &str) -> Result<Vec<RunId>, Error> {
        let mut open = self.base.as_ref().map_or(Ok(Vec::new()), |base| base.group(group))?;
        open.extend(self.lock().group(group));
        Ok(open)
    }

    fn take_due(&self, now: Time, max: usize, lease: Duration) -> Result<Vec<Lease>, Error> {
        let mut state = self.lock();
        let mut due: BTreeMap<String, BTreeSet<(Time, RunId)>> = BTreeMap::new();
        for held in state.open().filter(|h| !state.is_held_back(h) && h.due() <= now) {
            due.entry(held.summary.tenant.clone()).or_default().insert((held.due(), held.summary.id));
        }
        // By rank within the tenant, and within a rank those after the one who had the last turn first.
        let mut turns: Vec<(usize, bool, &str, RunId)> = Vec::new();
        for (tenant, runs) in &due {
            let had_its_turn = tenant.as_str() <= state.last_turn.as_str();
            turns.extend(runs.iter().enumerate().map(|(rank, (_, run))| (rank, had_its_turn, tenant.as_str(), *run)));
        }
        turns.sort_unstable();
        let mut taken = Vec::new();
        for (_, _, tenant, run) in turns.into_iter().take(max) {
            tenant.clone_into(&mut state.last_turn);
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
        let state = self.lock();
        state.open().filter(|held| !state.is_held_back(held)).map(Held::due).min()
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

    fn hasten(&self, runs: &[RunId], at: Time) -> Result<(), Error> {
        let mut state = self.lock();
        for run in runs {
            if let Some(held) =
                state.runs.get_mut(&(run.seq, run.n)).filter(|h| h.summary.id == *run && h.lease.is_none())
            {
                held.due_at = held.due_at.min(at);
            }
        }
        Ok(())
    }

    fn hold(&self, entries: BTreeSet<Seq>) {
        self.lock().held = entries;
    }

    fn sweep_due(&self, now: Time, keep: &Retention) -> Result<Option<Seq>, Error> {
        let state = self.lock();
        let (cut, pinned, last) = (now.minus(keep.age), state.pinned(), Seq(state.next - 1));
        let (mut ended, mut bytes, mut due) = (state.ended(), state.bytes(), None);
        for entry in state.entries.values().filter(|entry| !pinned.contains(&entry.header.seq)) {
            let seq = entry.header.seq;
            if seq == last || (ended <= keep.runs && bytes <= keep.bytes && entry.header.time >= cut) {
                break;
            }
            let gone = state.runs.iter().filter(|(key, held)| key.0 == seq && held.summary.status.is_final());
            ended -= gone.count() as u64;
            bytes -= entry.payload.len() as u64;
            due = Some(seq.next());
        }
        Ok(due)
    }

    fn sweep_before(&self, now: Time, keep: &Retention, before: Seq) -> Result<Swept, Error> {
        let mut state = self.lock();
        let cut = now.minus(keep.age);
        let pinned = state.pinned();
        let mut swept = Swept::default();
        let last = Seq(state.next - 1);
        while (swept.entries as usize) < SWEEP_ENTRIES_MAX {
            let over = state.ended() > keep.runs || state.bytes() > keep.bytes;
            let oldest = state.entries.values().find(|entry| !pinned.contains(&entry.header.seq));
            let Some(seq) = oldest
                .filter(|e| over || e.header.time < cut)
                .map(|e| e.header.seq)
                .filter(|s| *s != last && *s < before)
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
        let kept = |state: &State| {
            let tallies = state.tallies.values().filter(|tally| !tally.times.is_empty()).count();
            state.claims.len() + state.windows.len() + tallies
        };
        let before = kept(&state);
        state.claims.retain(|_, claim| claim.until > now);
        state.windows.retain(|_, until| until.is_some_and(|until| until > now));
        state.tallies.retain(|_, tally| tally.until > now);
        swept.expired = (before - kept(&state)) as u64;
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

    fn inspect(&self, visit: &mut dyn FnMut(Found) -> bool) -> Result<(), Error> {
        let entries = self.lock().entries.clone();
        for (place, entry) in entries {
            let payload = if entry.verifies() { Payload::Whole } else { Payload::False };
            let leaf = leaf(&entry.header);
            if !visit(Found { place, header: Some((entry.header, leaf)), payload }) {
                break;
            }
        }
        Ok(())
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
