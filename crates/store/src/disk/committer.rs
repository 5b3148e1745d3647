//! One commit: checked, encoded into one batch, written, and only then true in memory.
//!
//! Invariants: an error before the write leaves no trace. All checks that depend on runs are made under the schedule's
//! lock, and the runs stay reserved until the write has ended, so that nobody is given a run that is being written.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use lz4_flex::block::CompressTable;
use model::run::RunStatus;
use model::{Digest, Seq};
use serde::Serialize;

use super::base::lock;
use super::folder::Witness;
use super::group::{self, Packer};
use super::index::Tails;
use super::keys::{self, Keyspace, RunKey, run_key};
use super::ledger::Edge;
use super::packs::{Packing, Place};
use super::small;
use super::values::{self, Writes};
use super::{Sled, parse};
use crate::api::{Claim, Commit, Durability, Error, Expect, Fields, Store};
use crate::rules::{self, Standing};

/// A commit that takes longer is reported.
const SLOW_COMMIT: Duration = Duration::from_secs(5);
/// How often the witness is written.
const TESTIFY_EVERY: Duration = Duration::from_secs(5);

/// What the committer keeps from one commit to the next.
pub(super) struct Committer {
    packer: Packer,
    json: Vec<u8>,
    /// For values of their own; the packer's table would have to be cleared for each.
    small_table: CompressTable,
    packed: Vec<u8>,
    tails: Tails,
    /// How many runs have ended, over the store's whole life.
    pub(super) ended_total: u64,
    /// How many bytes of history were written, over the store's whole life.
    pub(super) bytes_total: u64,
    testified: Instant,
}

/// Totals as of a commit without entries.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(super) struct Totals {
    /// As [`Committer::ended_total`].
    pub(super) ended_total: u64,
}

impl Committer {
    /// A committer that goes on from these totals.
    pub(super) fn new(ended_total: u64, bytes_total: u64) -> Committer {
        Committer {
            packer: Packer::new(),
            json: Vec::new(),
            small_table: CompressTable::small(),
            packed: Vec::new(),
            tails: Tails::default(),
            ended_total,
            bytes_total,
            testified: Instant::now(),
        }
    }

    /// Forgets what is kept of lists that retention has changed.
    pub(super) fn forget_tails(&mut self) {
        self.tails.forget();
    }

    fn json(&mut self, value: &impl Serialize, doing: &'static str) -> Result<(), Error> {
        self.json.clear();
        serde_json::to_writer(&mut self.json, value).map_err(|e| Error::Database { doing, detail: e.to_string() })?;
        rules::check_size(self.json.len(), rules::VALUE_BYTES_MAX)
    }
}

/// What is true in memory once a commit is durable.
#[derive(Default)]
struct After {
    ended_total: u64,
    bytes_total: u64,
    /// The ledger's tree, when it grows.
    ledger: Option<Edge>,
    /// New runs that lie in the commit's pack.
    packed: HashMap<RunKey, Place>,
}

/// What a run's writes in one commit come to.
struct Net {
    /// The last of them.
    last: usize,
    /// Whether the run is created.
    new: bool,
}

impl Sled {
    pub(super) fn commit_now(&self, mut commit: Commit) -> Result<(), Error> {
        let mut committer = lock(&self.committer);
        let started = Instant::now();
        self.base.check()?;
        self.folder.check_space()?;
        rules::check_sizes(&commit)?;
        let next = self.next.load(Ordering::Acquire);
        rules::check_sequence(&commit, Seq(next))?;
        self.check_claims(&commit)?;
        lock(&self.schedule).begin(&commit.runs, |key| self.standing_of_ended(key, next))?;
        let claims = !commit.claims.is_empty();
        let written = self.encode(&mut committer, &commit).and_then(|(writes, after)| {
            if claims {
                self.absent.next();
            }
            let applied = self.base.apply(writes);
            if claims {
                self.absent.next();
            }
            applied.map(|()| after)
        });
        match written {
            Ok(after) => {
                // Before a run of this commit can be taken: it is about to read these.
                let mut recent = lock(&self.recent);
                for (key, object) in std::mem::take(&mut commit.objects) {
                    recent.put(key, object);
                }
                drop(recent);
                self.publish(committer, &commit, after, started);
            }
            Err(error) => {
                lock(&self.schedule).give_up(&commit.runs);
                return Err(error);
            }
        }
        Ok(())
    }

    fn check_claims(&self, commit: &Commit) -> Result<(), Error> {
        if commit.claims.is_empty() {
            return Ok(());
        }
        let now = rules::time_of(commit).unwrap_or_else(|| self.now());
        let mut claimed: HashMap<&[u8; 16], &Claim> = HashMap::with_capacity(commit.claims.len());
        for claim in &commit.claims {
            let by = match claimed.get(&claim.key).filter(|earlier| earlier.until > now) {
                Some(earlier) => Some(earlier.by),
                None if self.absent.knows(&claim.key) => None,
                None => self.claim(&claim.key, now)?.map(|earlier| earlier.by),
            };
            if let Some(by) = by {
                return Err(Error::Claimed { by });
            }
            claimed.insert(&claim.key, claim);
        }
        Ok(())
    }

    fn standing_of_ended(&self, key: RunKey, next: u64) -> Result<Option<Standing>, Error> {
        if key.0.0 >= next {
            return Ok(None);
        }
        let run: Option<model::run::RunSummary> = self.read(&keys::run(Keyspace::RunEnded, key), "a run")?;
        Ok(run.map(|run| Standing { tag: run.id.tag, version: run.version, ended: true, epoch: None }))
    }

    /// Everything that the commit writes, and what is true after it.
    fn encode(&self, committer: &mut Committer, commit: &Commit) -> Result<(Writes, After), Error> {
        let mut writes = Writes::default();
        let nets = nets(commit);
        let mut after = After::default();
        let ends = self.encode_runs(committer, commit, &nets, &mut after, &mut writes)?;
        let ended_total = committer.ended_total + ends;
        if ends > 0 && commit.entries.is_empty() {
            committer.json(&Totals { ended_total }, "writing totals")?;
            writes.put(keys::TOTALS_KEY, &committer.json);
        }
        let mut leaves = Vec::with_capacity(commit.entries.len());
        let bytes_total = encode_entries(committer, commit, ended_total, &mut leaves, &mut writes)?;
        if !leaves.is_empty() {
            let mut edge = lock(&self.ledger).clone();
            edge.grow(&leaves, &mut writes);
            after.ledger = Some(edge);
        }
        self.encode_objects(committer, commit, &mut writes)?;
        for claim in &commit.claims {
            writes.put(&keys::claim(&claim.key), &small::claim(claim));
        }
        for window in &commit.windows {
            let key = keys::window(&window.key);
            match window.until {
                Some(until) => writes.put(&key, &until.micros().to_be_bytes()),
                None => writes.remove_small(&key),
            }
        }
        for tally in &commit.tallies {
            let key = keys::tally(&tally.key);
            if tally.times.is_empty() {
                writes.remove_any(&self.base.tree, &key)?;
            } else {
                writes.replace(&self.base.tree, &key, &small::tally(tally))?;
            }
        }
        for (name, value) in &commit.marks {
            let key = keys::mark(name);
            match value {
                Some(value) => writes.replace(&self.base.tree, &key, value)?,
                None => writes.remove_any(&self.base.tree, &key)?,
            }
        }
        for piece in &commit.files {
            let key = keys::file(&piece.object, piece.file, piece.n);
            match &piece.bytes {
                Some(bytes) => writes.replace(&self.base.tree, &key, bytes)?,
                None => writes.remove_any(&self.base.tree, &key)?,
            }
        }
        for digest in &commit.gone_texts {
            writes.remove_any(&self.base.tree, &keys::text(digest))?;
        }
        for (digest, text) in &commit.texts {
            writes.put(&keys::text(digest), text);
        }
        // Last: it changes what the committer remembers, and nothing after it can be refused any more.
        let created = nets.values().filter(|net| net.new).map(|net| &commit.runs[net.last].summary);
        committer.tails.append(&self.base, created, &mut writes)?;
        (after.ended_total, after.bytes_total) = (ended_total, bytes_total);
        Ok((writes, after))
    }

    fn encode_objects(&self, committer: &mut Committer, commit: &Commit, writes: &mut Writes) -> Result<(), Error> {
        let known: HashMap<*const model::Record, &[u8]> =
            commit.fields.iter().filter_map(|fields| text_of(commit, fields)).collect();
        for (key, object) in &commit.objects {
            committer.json.clear();
            let doing = "writing an object";
            let fields = known.get(&Arc::as_ptr(&object.record)).copied();
            object.write(fields, &mut committer.json).map_err(|e| Error::Database { doing, detail: e.to_string() })?;
            rules::check_size(committer.json.len(), rules::VALUE_BYTES_MAX)?;
            let room = (&mut committer.small_table, &mut committer.packed);
            let first = commit.entries.first().map(|entry| entry.header.seq);
            if first.is_some_and(|first| object.meta.created >= first) {
                // It was not there before this commit, so that there is nothing to take away.
                writes.put_packed(&keys::object(key), &committer.json, room)?;
            } else {
                writes.replace_packed(&self.base.tree, &keys::object(key), &committer.json, room)?;
            }
        }
        for (key, block) in &commit.object_blocks {
            if let Some(first) = block.first() {
                committer.json(block, "writing a block of an object's history")?;
                writes.put(&keys::object_block(key, *first), &committer.json);
            }
        }
        Ok(())
    }

    /// Answers how many runs end for the first time.
    fn encode_runs(
        &self,
        committer: &mut Committer,
        commit: &Commit,
        nets: &BTreeMap<RunKey, Net>,
        after: &mut After,
        writes: &mut Writes,
    ) -> Result<u64, Error> {
        let mut ends = 0;
        let mut left: HashMap<u64, usize> = HashMap::new();
        let pack = commit.entries.first().map(|entry| entry.header.seq.0);
        let mut packing = Packing::new();
        for (key, net) in nets {
            let run = &commit.runs[net.last].summary;
            committer.json(run, "writing a run")?;
            let was = if net.new { None } else { lock(&self.schedule).place(*key) };
            if let Some(Place::Pack { first, .. }) = was {
                *left.entry(first).or_default() += 1;
            }
            if !run.status.is_final() {
                match (net.new, pack) {
                    (true, Some(first)) => {
                        after.packed.insert(*key, Place::Pack { first, index: after.packed.len() });
                        packing.add(&committer.json);
                    }
                    _ => writes.replace(&self.base.tree, &keys::run(Keyspace::RunOpen, *key), &committer.json)?,
                }
                continue;
            }
            self.encode_end(committer, (*key, run.status), was, net.new, writes)?;
            ends += u64::from(was.is_some() || net.new);
        }
        if let (Some(first), false) = (pack, after.packed.is_empty()) {
            writes.put(&keys::group(Keyspace::RunPack, first), &packing.finish(committer.packer.table())?);
        }
        for (first, leave) in left {
            if lock(&self.schedule).left_in(first) == leave {
                writes.remove_any(&self.base.tree, &keys::group(Keyspace::RunPack, first))?;
            }
        }
        Ok(ends)
    }

    /// Puts the run in `committer.json` among the ended ones, and takes it from where it was.
    fn encode_end(
        &self,
        committer: &Committer,
        (key, status): (RunKey, RunStatus),
        was: Option<Place>,
        new: bool,
        writes: &mut Writes,
    ) -> Result<(), Error> {
        let ended_key = keys::run(Keyspace::RunEnded, key);
        if was.is_some() || new {
            writes.put(&ended_key, &committer.json);
        } else {
            self.forget_status(key, status, writes)?;
            writes.replace(&self.base.tree, &ended_key, &committer.json)?;
        }
        if was == Some(Place::Own) {
            writes.remove_any(&self.base.tree, &keys::run(Keyspace::RunOpen, key))?;
        }
        if let Some(status) = status_byte(status) {
            writes.put(&keys::run_status(status, key), &[]);
        }
        Ok(())
    }

    /// Takes an ended run out of the list of its old status when it is written again with another.
    fn forget_status(&self, key: RunKey, now: RunStatus, writes: &mut Writes) -> Result<(), Error> {
        let before: Option<model::run::RunSummary> = self.read(&keys::run(Keyspace::RunEnded, key), "a run")?;
        if let Some(status) = before.filter(|run| run.status != now).and_then(|run| status_byte(run.status)) {
            writes.remove_small(&keys::run_status(status, key));
        }
        Ok(())
    }

    /// Makes a durable commit true in memory.
    fn publish(&self, mut committer: MutexGuard<'_, Committer>, commit: &Commit, after: After, started: Instant) {
        if let Some(edge) = after.ledger {
            *lock(&self.ledger) = edge;
        }
        let mut schedule = lock(&self.schedule);
        for write in &commit.runs {
            let place = after.packed.get(&run_key(write.summary.id)).copied().unwrap_or(Place::Own);
            schedule.follow(&write.summary, Some(write), place);
        }
        drop(schedule);
        let next = self.next.fetch_add(commit.entries.len() as u64, Ordering::AcqRel) + commit.entries.len() as u64;
        if let Some(time) = rules::time_of(commit) {
            self.seen.fetch_max(time.millis(), Ordering::AcqRel);
        }
        let took = started.elapsed();
        let mut figures = lock(&self.figures);
        figures.ended_runs += after.ended_total - committer.ended_total;
        figures.history_bytes += after.bytes_total - committer.bytes_total;
        figures.commits += 1;
        figures.commit_micros_max = figures.commit_micros_max.max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        drop(figures);
        (committer.ended_total, committer.bytes_total) = (after.ended_total, after.bytes_total);
        if took > SLOW_COMMIT {
            tracing::warn!(?took, "a commit took very long; the disk may be failing or overloaded");
        }
        if self.durability == Durability::Power && !commit.entries.is_empty() {
            self.folder.note(next);
        }
        // Under `process` the history may be shorter after a power cut, and rightly so: no witness then.
        if self.durability == Durability::Power && committer.testified.elapsed() >= TESTIFY_EVERY {
            committer.testified = Instant::now();
            if let Err(error) = self.folder.testify(Witness { next_seq: Seq(next) }, false) {
                tracing::warn!(%error, "the witness could not be written");
            }
        }
    }
}

/// What each run's writes come to. More than one write of a run in a commit is rare, and the last one counts.
fn nets(commit: &Commit) -> BTreeMap<RunKey, Net> {
    let mut nets: BTreeMap<RunKey, Net> = BTreeMap::new();
    for (last, write) in commit.runs.iter().enumerate() {
        let net = nets.entry(run_key(write.summary.id)).or_insert(Net { last, new: write.expect == Expect::New });
        net.last = last;
    }
    nets
}

/// Finds the text of fields that stand in an entry of the commit. Their address names them: the commit holds them, so that no
/// others can have it.
fn text_of<'c>(commit: &'c Commit, fields: &Fields) -> Option<(*const model::Record, &'c [u8])> {
    let text = commit.entries.get(fields.entry)?.payload.get(fields.bytes.clone())?;
    Some((Arc::as_ptr(&fields.record), text))
}

/// Packs the entries. Answers how many bytes of history there have been after this.
fn encode_entries(
    committer: &mut Committer,
    commit: &Commit,
    ended: u64,
    leaves: &mut Vec<Digest>,
    writes: &mut Writes,
) -> Result<u64, Error> {
    let mut total = committer.bytes_total;
    let mut rest = commit.entries.as_slice();
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let mut count = 0;
        for entry in rest {
            bytes += entry.payload.len();
            if count > 0 && bytes > group::GROUP_BYTES {
                break;
            }
            count += 1;
        }
        let (group, others) = rest.split_at(count);
        rest = others;
        total = committer.packer.pack(group, ended, total)?;
        leaves.extend_from_slice(&committer.packer.leaves);
        writes.put(&keys::group(Keyspace::Headers, first.header.seq.0), &committer.packer.headers);
        writes.put(&keys::group(Keyspace::Payloads, first.header.seq.0), &committer.packer.payloads);
    }
    Ok(total)
}

/// The byte of a status that people look for among ended runs; stored, never changed.
pub(super) const fn status_byte(status: RunStatus) -> Option<u8> {
    match status {
        RunStatus::Failed => Some(b'f'),
        RunStatus::TimedOut => Some(b't'),
        RunStatus::NeedsAttention => Some(b'n'),
        _ => None,
    }
}

/// The totals of a commit without entries, as stored.
pub(super) fn read_totals(tree: &sled::Tree) -> Result<Option<Totals>, Error> {
    values::read(tree, keys::TOTALS_KEY)?.map(|value| parse(&value, "the totals")).transpose()
}
