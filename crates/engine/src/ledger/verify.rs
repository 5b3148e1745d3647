//! Verification of a store: every entry against the tree, the tree against itself, and against the checkpoints.
//!
//! Invariant: the tree is computed anew from its leaves; nothing above them is believed.

use model::history::EntryKind;
use model::run::RunStatus;
use model::tree::{self, TILE, Tree};
use model::{Digest, Seq};
use serde::Deserialize;
use store::{Error, RunFilter, Store};

use super::checkpoint::Checkpoint;
use super::judge::{Judge, Kind, Report};
use super::keeper::{CHECKPOINT_PREFIX, KEY_PREFIX, kept_edge};
use super::note::{NoteError, Verifier};
use super::proof::Tiles;

/// Open runs that a report names.
const OPEN_RUNS_NAMED: usize = 10;
/// Entries between two words about how far it is.
const TELL_EVERY: u64 = 1_000;

/// What a verification takes from outside.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Keys that were kept elsewhere; without any, those that the store or the bundle itself names are believed.
    pub keys: Vec<Verifier>,
    /// Signed checkpoints that were kept elsewhere.
    pub checkpoints: Vec<String>,
}

/// What a `retention.swept` entry says, as far as it matters here.
#[derive(Deserialize)]
struct Swept {
    #[serde(default)]
    range: Option<(Seq, Seq)>,
    #[serde(default)]
    before: Option<Seq>,
}

/// The keys that a store names as its own.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn own_keys(store: &dyn Store) -> Result<Vec<Verifier>, Error> {
    let marks = store.marks(KEY_PREFIX)?;
    Ok(marks.iter().filter_map(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok()).collect())
}

/// Verifies a store. `tell` is told how many entries of how many were looked at.
///
/// # Errors
/// [`Error`] when the store cannot be read at all; damage is a finding.
pub fn store(store: &dyn Store, outside: &Outside, tell: &mut dyn FnMut(u64, u64)) -> Result<Report, Error> {
    let ledger = store.ledger();
    let tiles = Tiles::new(store);
    let mut report = Report { size: ledger.size, root: ledger.root.to_string(), ..Report::default() };
    whole_tree(store, ledger.size, ledger.root, &mut report)?;
    let newest = checkpoints(store, &tiles, outside, &mut report)?;
    let edge = signed_edge(store, newest.as_ref())?;
    let leaf = |seq: Seq| leaf(&tiles, &edge, seq, ledger.base, ledger.size);
    let mut judge = Judge::new(ledger.base, dropped(store, ledger.base)?);
    let mut failure = None;
    store.inspect(&mut |found| {
        if found.place < ledger.base {
            return true;
        }
        if report.entries.is_multiple_of(TELL_EVERY) {
            tell(report.entries, ledger.size);
        }
        match judge.take(found, &mut |seq| leaf(seq), &mut report) {
            Ok(()) => true,
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    judge.end(Seq(ledger.base.0 + ledger.size), &mut |seq| leaf(seq), &mut report)?;
    tell(report.entries, report.entries);
    open_runs(store, &mut report)?;
    if ledger.base > Seq(1) {
        report.remarks.push(format!("entries before {} are older than the ledger and not covered by it", ledger.base));
    }
    Ok(report.close())
}

/// Leaves of the unfinished tile that a signed checkpoint vouches for: the number of the first, and they.
type SignedEdge = (u64, Vec<Digest>);

fn leaf(tiles: &Tiles<'_>, edge: &SignedEdge, seq: Seq, base: Seq, size: u64) -> Result<Option<Digest>, Error> {
    match seq.0.checked_sub(base.0).filter(|index| *index < size) {
        Some(index) => {
            let signed = index.checked_sub(edge.0).and_then(|at| edge.1.get(usize::try_from(at).ok()?));
            signed.map_or_else(|| tiles.leaf(index).map(Some), |leaf| Ok(Some(*leaf)))
        }
        None => Ok(None),
    }
}

/// The leaves of the unfinished tile as they were when the newest checkpoint was signed, when they lead to its root.
fn signed_edge(store: &dyn Store, newest: Option<&Checkpoint>) -> Result<SignedEdge, Error> {
    let nothing = (0, Vec::new());
    let (Some(newest), Some((size, leaves))) = (newest, kept_edge(store)?) else { return Ok(nothing) };
    let unfinished = size / TILE as u64;
    if size != newest.size || leaves.is_empty() {
        return Ok(nothing);
    }
    let mut tile = |level, index| {
        if (level, index) == (0, unfinished) { Ok(leaves.clone()) } else { store.tile(level, index) }
    };
    let mut hashes = |height, index| {
        let found = tree::perfect(height, index, &mut tile)?;
        found.ok_or_else(|| Error::Corrupt { detail: "a tile of the ledger is shorter than the history".to_owned() })
    };
    let root = tree::root(size, &mut hashes)?;
    Ok(if root == newest.root { (unfinished * TILE as u64, leaves) } else { nothing })
}

/// Sees that the tree over the leaves is the one whose root is told.
fn whole_tree(store: &dyn Store, size: u64, root: Digest, report: &mut Report) -> Result<(), Error> {
    let mut tree = Tree::new();
    let mut full = Vec::new();
    for index in 0..size.div_ceil(TILE as u64) {
        let wanted = (size - index * TILE as u64).min(TILE as u64);
        for leaf in store.tile(0, index)?.into_iter().take(usize::try_from(wanted).unwrap_or(TILE)) {
            tree.push(leaf, &mut full);
        }
        for tile in full.drain(..) {
            if store.tile(tile.level, tile.index)? != tile.hashes {
                let detail = format!("tile {}/{} of the tree does not follow from its leaves", tile.level, tile.index);
                report.add(Kind::Rewritten, None, detail);
            }
        }
    }
    if tree.root() != root {
        report.add(Kind::Rewritten, None, "the root of the tree does not follow from its leaves");
    }
    Ok(())
}

/// The stretches that retention has recorded as dropped.
fn dropped(store: &dyn Store, base: Seq) -> Result<Vec<(Seq, Seq)>, Error> {
    let mut all = Vec::new();
    store
        .entries_back(None, &mut |stored| {
            if stored.header.kind == EntryKind::RetentionSwept
                && let Some(entry) = stored.entry.filter(|entry| entry.verifies())
                && let Ok(swept) = serde_json::from_slice::<Swept>(&entry.payload)
            {
                all.extend(swept.range);
                all.extend(swept.before.filter(|before| *before > base).map(|before| (base, Seq(before.0 - 1))));
            }
            true
        })
        .or_else(|error| match error {
            // What cannot be read is found again, and named, by the judge.
            Error::Corrupt { .. } => Ok(()),
            other => Err(other),
        })?;
    Ok(merged(all))
}

/// Stretches in order, those that touch put together.
pub(super) fn merged(mut all: Vec<(Seq, Seq)>) -> Vec<(Seq, Seq)> {
    all.sort_unstable();
    let mut merged: Vec<(Seq, Seq)> = Vec::new();
    for (first, last) in all {
        match merged.last_mut() {
            Some((_, end)) if first.0 <= end.0 + 1 => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn checkpoints(
    store: &dyn Store,
    tiles: &Tiles<'_>,
    outside: &Outside,
    report: &mut Report,
) -> Result<Option<Checkpoint>, Error> {
    let own = own_keys(store)?;
    report.signer_known = !outside.keys.is_empty();
    let keys = if outside.keys.is_empty() { &own } else { &outside.keys };
    let stored = store.marks(CHECKPOINT_PREFIX)?;
    // What was signed last says what must be there; what agrees says how much is vouched for.
    let (mut newest, mut agreeing): (Option<Checkpoint>, Option<Checkpoint>) = (None, None);
    for (_, value) in &stored {
        let note = String::from_utf8_lossy(value);
        let (signed, agrees) = one_checkpoint(&note, keys, tiles, report)?;
        agreeing = agrees.then(|| signed.clone()).flatten().or(agreeing);
        newest = signed.or(newest);
    }
    for note in &outside.checkpoints {
        one_checkpoint(note, keys, tiles, report)?;
    }
    report.unsigned = report.size - agreeing.as_ref().map_or(0, |signed| signed.size).min(report.size);
    report.newest_checkpoint = agreeing.map(|signed| signed.time);
    if stored.is_empty() && outside.checkpoints.is_empty() {
        report.remarks.push("no checkpoint was signed yet: the tree is whole, and nobody vouches for it".to_owned());
    }
    if outside.checkpoints.is_empty() {
        report.remarks.push(
            "no checkpoint from elsewhere was given: that nothing was cut off or computed anew since the last one is \
             only seen against a checkpoint that was kept outside this store"
                .to_owned(),
        );
    }
    Ok(newest)
}

/// Sees that a checkpoint is signed and that the tree agrees with it; answers it when it is signed, and whether it agrees.
fn one_checkpoint(
    note: &str,
    keys: &[Verifier],
    tiles: &Tiles<'_>,
    report: &mut Report,
) -> Result<(Option<Checkpoint>, bool), Error> {
    let (checkpoint, signer) = match Checkpoint::open(note, keys) {
        Ok(opened) => opened,
        Err(error) => {
            let kind = if error == NoteError::Form { Kind::Unreadable } else { Kind::Signature };
            report.add(kind, None, format!("a checkpoint: {error}"));
            return Ok((None, false));
        }
    };
    if checkpoint.size > report.size {
        let end = checkpoint.base.0 + report.size;
        let detail = format!(
            "the checkpoint of {} speaks of {} entries, and there are {}",
            checkpoint.time, checkpoint.size, report.size
        );
        report.add(Kind::TailCut, Some(Seq(end)), detail);
        return Ok((Some(checkpoint), false));
    }
    if tiles.root(checkpoint.size)? != checkpoint.root {
        let detail = format!(
            "the first {} entries are not those that the checkpoint of {} speaks of",
            checkpoint.size, checkpoint.time
        );
        report.add(Kind::Rewritten, None, detail);
        return Ok((Some(checkpoint), false));
    }
    report.checkpoints += 1;
    report.signer = signer.map(|key| key.to_string()).or(report.signer.take());
    Ok((Some(checkpoint), true))
}

fn open_runs(store: &dyn Store, report: &mut Report) -> Result<(), Error> {
    report.open_runs = store.stats().open_runs;
    if report.open_runs > 0 {
        let statuses = [RunStatus::Queued, RunStatus::Running, RunStatus::Waiting].to_vec();
        let filter = RunFilter { statuses, ..RunFilter::default() };
        let page = store.runs(&filter, None, OPEN_RUNS_NAMED)?;
        report.open_run_ids = page.items.iter().map(|run| run.id.to_string()).collect();
    }
    Ok(())
}
