//! The evidence bundle: a ZIP file that an auditor takes away and verifies on a machine that never saw Sortie.
//!
//! | file | what |
//! |---|---|
//! | `entries.jsonl` | one entry a line, canonical JSON (RFC 8785): header, payload and salt |
//! | `leaves.txt` | the leaf of each of them in the ledger's tree, taken from the tree and not from the entries |
//! | `proofs.json` | what leads from these leaves to the checkpoint's root, and from earlier checkpoints to it |
//! | `checkpoint.txt` | the signed checkpoint |
//! | `playbooks/` | the texts of the playbooks that ran |
//! | `summary.html` | the same for people |
//!
//! The payload stands as text, exactly as it was committed to: read again and written anew it might differ in a digit.
//! Invariant: entries are streamed; what is held in memory does not grow with their number, but for eight bytes of each
//! when a bundle is about one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use model::history::{Entry, EntryKind, Header, Salt};
use model::{Digest, Kind, ObjectKey, RunId, Seq, Time, tree};
use serde::{Deserialize, Serialize};
use store::{Error as StoreError, RunFilter, Store, StoredEntry};
use zip::write::{SimpleFileOptions, ZipWriter};

use super::checkpoint::Checkpoint;
use super::keeper::CHECKPOINT_PREFIX;
use super::proof::Tiles;
use super::summary::Summary;
use super::verify::merged;
use crate::record;

/// Entries that a bundle about one thing holds at most.
pub const CHOSEN_MAX: usize = 200_000;
/// Playbook texts that a bundle holds at most.
const TEXTS_MAX: usize = 1_000;
/// Earlier checkpoints that are proved to be continued.
const EARLIER_MAX: usize = 200;
/// Entries between two words about how far it is.
const TELL_EVERY: u64 = 500;
/// The form of `proofs.json`.
const FORM: u32 = 1;

/// What a bundle is about.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Entries recorded at or after this time.
    pub since: Option<Time>,
    /// Entries recorded before this time.
    pub until: Option<Time>,
    /// Only what is about this alert or case, with its runs.
    pub object: Option<ObjectKey>,
    /// Only what is about this run.
    pub run: Option<RunId>,
    /// Only what belongs to this tenant.
    pub tenant: Option<String>,
}

/// Why no bundle could be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry cannot be read.
    #[error("entry {seq}: {source}")]
    Record {
        /// Which entry.
        seq: Seq,
        /// What is wrong.
        source: record::RecordError,
    },
    /// It could not be written.
    #[error("the bundle could not be written: {0}")]
    Write(#[from] io::Error),
    /// The ZIP file could not be written.
    #[error("the bundle could not be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// It would be too large.
    #[error("more than {CHOSEN_MAX} entries belong to this; narrow it with a time range")]
    TooMany,
}

/// One line of `entries.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The header.
    pub entry: Header,
    /// The payload as it was committed to; nothing when retention has dropped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The secret part of the commitment, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

impl Line {
    /// The line of an entry.
    pub fn of(stored: StoredEntry) -> Line {
        let parts = stored.entry.and_then(|entry| Some((String::from_utf8(entry.payload).ok()?, hex(&entry.salt))));
        let (payload, salt) = parts.unzip();
        Line { entry: stored.header, payload, salt }
    }

    /// The entry of a line that has its payload and its salt.
    pub fn entry(self) -> Option<Entry> {
        let salt = unhex(self.salt.as_deref()?)?;
        Some(Entry { header: self.entry, salt, payload: self.payload?.into_bytes() })
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A salt from hexadecimal.
pub(super) fn unhex(text: &str) -> Option<Salt> {
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// What `proofs.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proofs {
    /// The form of this file.
    pub form: u32,
    /// The version of the program that made the bundle, whose `summary.html` it is.
    #[serde(default)]
    pub version: String,
    /// Leaves in the tree of the checkpoint.
    pub size: u64,
    /// The entry that the first leaf stands for.
    pub base: Seq,
    /// The public key of the signer, for those who have no copy of it.
    pub key: String,
    /// How many entries there are.
    pub entries: u64,
    /// Whether no entry between the first and the last is left out, so that nothing else happened in that time.
    pub gap_free: bool,
    /// Stretches of entries that retention had dropped: their leaves are here, they are not.
    #[serde(default)]
    pub dropped: Vec<(Seq, Seq)>,
    /// For each largest part of the tree without any of the leaves its hash, from left to right.
    pub cover: Vec<Digest>,
    /// Earlier checkpoints that the tree continues.
    pub earlier: Vec<Earlier>,
}

/// That the tree continues an earlier checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Earlier {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// The proof (RFC 9162 §2.1.4.1).
    pub path: Vec<Digest>,
}

/// Which leaves a bundle holds.
enum Chosen {
    /// All from one to another, both included.
    Range(u64, u64),
    /// These.
    Some(BTreeSet<u64>),
}

impl Chosen {
    fn any(&self, from: u64, to: u64) -> bool {
        match self {
            Chosen::Range(first, last) => *first < to && from <= *last,
            Chosen::Some(set) => set.range(from..to).next().is_some(),
        }
    }

    fn count(&self) -> u64 {
        match self {
            Chosen::Range(first, last) => (last + 1).saturating_sub(*first),
            Chosen::Some(set) => set.len() as u64,
        }
    }

    fn each<E>(&self, mut visit: impl FnMut(u64) -> Result<(), E>) -> Result<(), E> {
        match self {
            Chosen::Range(first, last) => (*first..=*last).try_for_each(&mut visit),
            Chosen::Some(set) => set.iter().copied().try_for_each(&mut visit),
        }
    }
}

/// Writes a bundle; answers how many entries it holds. `tell` is told how many of how many are written.
///
/// # Errors
/// [`BundleError`].
pub fn write(
    store: &dyn Store,
    wanted: &Wanted,
    (checkpoint, signed, key): (&Checkpoint, &str, &str),
    out: impl Write,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<u64, BundleError> {
    let chosen = choose(store, wanted, checkpoint)?;
    let tiles = Tiles::new(store);
    let options = SimpleFileOptions::default();
    let mut zip = ZipWriter::new_stream(io::BufWriter::new(out));
    zip.start_file("checkpoint.txt", options)?;
    zip.write_all(signed.as_bytes())?;
    zip.start_file("leaves.txt", options)?;
    chosen.each(|index| {
        let line = format!("{} {}\n", checkpoint.base.0 + index, tiles.leaf(index)?);
        zip.write_all(line.as_bytes()).map_err(BundleError::from)
    })?;
    zip.start_file("entries.jsonl", options)?;
    let mut summary = Summary::new(checkpoint, key, chosen.count(), matches!(chosen, Chosen::Range(..)));
    let mut texts = BTreeMap::new();
    let mut dropped = Vec::new();
    let mut done = 0_u64;
    let total = chosen.count();
    chosen.each(|index| {
        if done.is_multiple_of(TELL_EVERY) {
            tell(done, total);
        }
        done += 1;
        let seq = Seq(checkpoint.base.0 + index);
        let Some(stored) = store.entry(seq)? else {
            dropped.push((seq, seq));
            return Ok(());
        };
        note_texts(&stored, &mut texts)?;
        summary.add(&stored);
        let mut line = serde_json_canonicalizer::to_vec(&Line::of(stored)).map_err(io::Error::from)?;
        line.push(b'\n');
        zip.write_all(&line).map_err(BundleError::from)
    })?;
    tell(total, total);
    zip.start_file("proofs.json", options)?;
    let proofs = Proofs { dropped: merged(dropped), ..proofs(store, &tiles, &chosen, checkpoint, key)? };
    serde_json::to_writer_pretty(&mut zip, &proofs).map_err(io::Error::from)?;
    for (name, digest) in texts.into_iter().take(TEXTS_MAX) {
        if let Some(text) = store.text(&digest)? {
            zip.start_file(format!("playbooks/{name}"), options)?;
            zip.write_all(&text)?;
        }
    }
    zip.start_file("summary.html", options)?;
    zip.write_all(summary.html().as_bytes())?;
    zip.finish()?.into_inner().flush()?;
    Ok(total)
}

fn proofs(
    store: &dyn Store,
    tiles: &Tiles<'_>,
    chosen: &Chosen,
    checkpoint: &Checkpoint,
    key: &str,
) -> Result<Proofs, BundleError> {
    let mut hashes = |height, index| tiles.hash(height, index);
    let cover = tree::cover(&|from, to| chosen.any(from, to), checkpoint.size, &mut hashes)?;
    let mut earlier = Vec::new();
    let stored = store.marks(CHECKPOINT_PREFIX)?;
    for (_, value) in stored.iter().rev().take(EARLIER_MAX) {
        let Ok((known, _)) = Checkpoint::open(&String::from_utf8_lossy(value), []) else { continue };
        if let Some(path) = tree::consistency(known.size, checkpoint.size, &mut hashes)? {
            earlier.push(Earlier { size: known.size, root: known.root, path });
        }
    }
    Ok(Proofs {
        form: FORM,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        size: checkpoint.size,
        base: checkpoint.base,
        key: key.to_owned(),
        entries: chosen.count(),
        gap_free: matches!(chosen, Chosen::Range(..)),
        dropped: Vec::new(),
        cover,
        earlier,
    })
}

/// The file of a playbook's text below `playbooks/`.
fn text_name(playbook: &str, digest: Digest) -> String {
    let short: String = digest.to_string().chars().take(12).collect();
    format!("{playbook}-{short}.yaml")
}

/// Remembers the playbook texts that an entry's runs are pinned to.
pub(super) fn note_texts(stored: &StoredEntry, texts: &mut BTreeMap<String, Digest>) -> Result<(), BundleError> {
    let Some(entry) = stored.entry.as_ref().filter(|entry| entry.header.kind == EntryKind::EventAccepted) else {
        return Ok(());
    };
    let seq = entry.header.seq;
    let accepted = record::read_accepted(&entry.payload).map_err(|source| BundleError::Record { seq, source })?;
    for run in accepted.runs {
        if texts.len() < TEXTS_MAX {
            texts.insert(text_name(&run.playbook, run.digest), run.digest);
        }
    }
    Ok(())
}

fn choose(store: &dyn Store, wanted: &Wanted, checkpoint: &Checkpoint) -> Result<Chosen, BundleError> {
    let base = checkpoint.base.0;
    let end = base + checkpoint.size;
    if checkpoint.size == 0 {
        return Ok(Chosen::Some(BTreeSet::new()));
    }
    let first = match wanted.since {
        // One before, so that it can be seen where the time began.
        Some(since) => first_at(store, since, (base, end))?.saturating_sub(1).max(base),
        None => base,
    };
    let last = match wanted.until {
        // One after, for the same reason.
        Some(until) => first_at(store, until, (base, end))?.min(end - 1),
        None => end - 1,
    };
    if wanted.object.is_none() && wanted.run.is_none() && wanted.tenant.is_none() {
        let first = first.max(store.stats().first_seq.0).min(last);
        return Ok(Chosen::Range(first - base, last - base));
    }
    let mut set = match (&wanted.object, wanted.run) {
        (None, None) => everything(store, first, last)?,
        (object, run) => {
            let mut set = BTreeSet::new();
            if let Some(key) = object {
                of_object(store, key, &mut set)?;
            }
            if let Some(run) = run.map(|id| store.run(id)).transpose()?.flatten() {
                set.extend(run.entries.iter().chain([&run.id.seq]).map(|seq| seq.0));
            }
            set
        }
    };
    set.retain(|seq| (first..=last).contains(seq));
    if let Some(tenant) = &wanted.tenant {
        let mut visible = BTreeSet::new();
        for seq in set {
            if let Some(stored) = store.entry(Seq(seq))?
                && crate::view::audit::of_tenant(store, &stored, Some(tenant)).unwrap_or(false)
            {
                visible.insert(seq);
            }
        }
        set = visible;
    }
    Ok(Chosen::Some(set.into_iter().map(|seq| seq - base).collect()))
}

/// The first entry recorded at or after a time, by bisection: times never go back.
fn first_at(store: &dyn Store, time: Time, (mut low, mut high): (u64, u64)) -> Result<u64, StoreError> {
    while low < high {
        let middle = low + (high - low) / 2;
        let mut at = None;
        // What was dropped lies before what is there.
        store.entries_forward(Seq(middle), &mut |stored| {
            at = Some(stored.header.time);
            false
        })?;
        if at.is_some_and(|at| at < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn everything(store: &dyn Store, first: u64, last: u64) -> Result<BTreeSet<u64>, BundleError> {
    let mut set = BTreeSet::new();
    store.entries_forward(Seq(first), &mut |stored| {
        if stored.header.seq.0 <= last {
            set.insert(stored.header.seq.0);
        }
        stored.header.seq.0 < last && set.len() <= CHOSEN_MAX
    })?;
    if set.len() > CHOSEN_MAX { Err(BundleError::TooMany) } else { Ok(set) }
}

/// The entries of an alert or a case, and those of the runs about it.
pub(super) fn of_object(store: &dyn Store, key: &ObjectKey, set: &mut BTreeSet<u64>) -> Result<(), BundleError> {
    if let Some(object) = store.object(key)? {
        set.insert(object.meta.created.0);
        set.extend(object.meta.entries.iter().map(|seq| seq.0));
        for block in &object.meta.blocks {
            set.extend(store.object_block(key, *block)?.iter().map(|seq| seq.0));
        }
    }
    let id = Some(key.id.clone());
    let tenant = Some(key.tenant.clone());
    let filter = match key.kind {
        Kind::Case => RunFilter { case: id, tenant, ..RunFilter::default() },
        Kind::Alert => RunFilter { alert: id, tenant, ..RunFilter::default() },
        Kind::Entity => return Ok(()),
    };
    let mut after = None;
    loop {
        let page = store.runs(&filter, after, 500)?;
        for run in page.items {
            set.extend(run.entries.iter().chain([&run.id.seq]).map(|seq| seq.0));
        }
        if set.len() > CHOSEN_MAX {
            return Err(BundleError::TooMany);
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
