//! Proofs out of the store's tiles, and the proof of one run: its entries, and for each the path to a checkpoint's root.

use std::cell::RefCell;
use std::collections::HashMap;

use model::history::{Entry, EntryKind};
use model::tree::{self, TILE_HEIGHT};
use model::{Digest, RunId, Seq};
use serde::{Deserialize, Serialize};
use store::{Error, Store};

use super::bundle::Line;
use super::checkpoint::Checkpoint;
use super::judge::{Kind, Report};
use super::verify::Outside;
use crate::record;

/// Tiles that are kept while proofs are made.
const TILES_KEPT: usize = 64;
/// Entries of one run that one proof holds at most.
pub const PROOF_ENTRIES_MAX: usize = 100_000;

/// Hashes of subtrees, from the store's tiles.
pub(crate) struct Tiles<'a> {
    store: &'a dyn Store,
    kept: RefCell<HashMap<(u8, u64), Vec<Digest>>>,
}

impl<'a> Tiles<'a> {
    /// Tiles of this store.
    pub(crate) fn new(store: &'a dyn Store) -> Tiles<'a> {
        Tiles { store, kept: RefCell::default() }
    }

    /// The hash of the perfect subtree of this height with this number.
    pub(crate) fn hash(&self, height: u8, index: u64) -> Result<Digest, Error> {
        let found = tree::perfect(height, index, &mut |level, index| self.tile(level, index))?;
        found.ok_or_else(|| Error::Corrupt { detail: "a tile of the ledger is shorter than the history".to_owned() })
    }

    /// The hash of a leaf.
    pub(crate) fn leaf(&self, index: u64) -> Result<Digest, Error> {
        self.hash(0, index)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Digest>, Error> {
        if let Some(known) = self.kept.borrow().get(&(level, index)) {
            return Ok(known.clone());
        }
        let tile = self.store.tile(level, index)?;
        // A tile that is not full grows.
        if tile.len() == 1 << TILE_HEIGHT {
            let mut kept = self.kept.borrow_mut();
            if kept.len() >= TILES_KEPT {
                kept.clear();
            }
            kept.insert((level, index), tile.clone());
        }
        Ok(tile)
    }

    /// The root over the first `size` leaves.
    pub(crate) fn root(&self, size: u64) -> Result<Digest, Error> {
        tree::root(size, &mut |height, index| self.hash(height, index))
    }
}

/// That the entries of a run stand in the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunProof {
    /// The run.
    pub run: String,
    /// The signed checkpoint that the paths lead to.
    pub checkpoint: String,
    /// Its entries, in order.
    pub entries: Vec<EntryProof>,
}

/// That one entry stands in the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntryProof {
    /// The entry.
    pub line: Line,
    /// The leaf's number.
    pub index: u64,
    /// The path (RFC 9162 §2.1.3.1), hexadecimal.
    pub path: Vec<Digest>,
}

/// Proves a run's entries against a signed checkpoint; nothing when there is no such run.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn run(store: &dyn Store, id: RunId, checkpoint: &Checkpoint, signed: String) -> Result<Option<RunProof>, Error> {
    let Some(summary) = store.run(id)? else { return Ok(None) };
    let tiles = Tiles::new(store);
    let mut entries = Vec::new();
    let mut places: Vec<Seq> = std::iter::once(id.seq).chain(summary.entries.iter().copied()).collect();
    places.sort_unstable();
    places.dedup();
    for seq in places.into_iter().take(PROOF_ENTRIES_MAX) {
        let index = seq.0.wrapping_sub(checkpoint.base.0);
        let Some(stored) = store.entry(seq)? else { continue };
        let path = tree::inclusion(index, checkpoint.size, &mut |height, index| tiles.hash(height, index))?;
        if let Some(path) = path {
            entries.push(EntryProof { line: Line::of(stored), index, path });
        }
    }
    Ok(Some(RunProof { run: id.to_string(), checkpoint: signed, entries }))
}

/// Whether an entry records something of a run.
fn is_of(entry: &Entry, run: &str) -> bool {
    match entry.header.kind {
        EntryKind::RunProgressed => {
            record::read_progressed(&entry.payload).is_ok_and(|said| said.run.to_string() == run)
        }
        // An event starts runs; a step's change of an alert or a case is an event, too, and names the run behind it.
        EntryKind::EventAccepted => record::read_accepted(&entry.payload).is_ok_and(|said| {
            said.runs.iter().any(|start| start.id.to_string() == run)
                || said.chain.iter().any(|link| link.run.to_string() == run)
                || entry.header.actor.to_string().contains(run)
        }),
        _ => entry.header.object.contains(run),
    }
}

/// Verifies a run's proof.
pub fn verify(proof: &RunProof, outside: &Outside) -> Report {
    let mut report = Report { signer_known: !outside.keys.is_empty(), ..Report::default() };
    let checkpoint = match Checkpoint::open(&proof.checkpoint, &outside.keys) {
        Ok((checkpoint, signer)) => {
            report.checkpoints = u64::from(signer.is_some());
            report.signer = signer.map(|key| key.to_string());
            checkpoint
        }
        Err(error) => {
            report.add(Kind::Signature, None, format!("the checkpoint: {error}"));
            return report.close();
        }
    };
    if !report.signer_known {
        report.remarks.push("no key was given, so the signature was not checked: give it with --key".to_owned());
    }
    (report.size, report.root) = (checkpoint.size, checkpoint.root.to_string());
    report.newest_checkpoint = Some(checkpoint.time);
    if proof.entries.is_empty() {
        report.add(Kind::Unreadable, None, "the proof holds no entry");
    }
    for EntryProof { line, index, path } in &proof.entries {
        report.entries += 1;
        let seq = line.entry.seq;
        if index.checked_add(checkpoint.base.0) != Some(seq.0) {
            report.add(Kind::Reordered, Some(seq), format!("entry {seq} claims the place of another"));
            continue;
        }
        let leaf = tree::leaf(&serde_json::to_vec(&line.entry).unwrap_or_default());
        if let Err(refused) = tree::verify_inclusion(*index, checkpoint.size, leaf, path, checkpoint.root) {
            report.add(Kind::Edited, Some(seq), format!("entry {seq}: {refused}"));
        }
        match line.clone().entry() {
            Some(entry) if entry.verifies() => {
                report.payloads += 1;
                if !is_of(&entry, &proof.run) {
                    report.add(Kind::Inserted, Some(seq), format!("entry {seq} is not one of run {}", proof.run));
                }
            }
            None if line.payload.is_none() => {}
            _ => report.add(Kind::Edited, Some(seq), format!("the payload of entry {seq} is not the one recorded")),
        }
    }
    report.close()
}
