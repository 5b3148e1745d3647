//! Reading an evidence bundle, as strictly as if an enemy had made it: bounded in every direction, nothing believed that
//! is not proved.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek};

use model::tree;
use model::{Digest, Seq};
use store::{Found, Payload, StoredEntry};
use zip::ZipArchive;

use super::bundle::{Line, Proofs, note_texts};
use super::checkpoint::Checkpoint;
use super::judge::{Judge, Kind, Report};
use super::note::{NoteError, Verifier};
use super::summary::Summary;
use super::verify::{Outside, merged};

/// Longest line of `entries.jsonl`: an entry of the largest size, in text.
const LINE_BYTES_MAX: u64 = 16_000_000;
/// Largest of the other files.
const FILE_BYTES_MAX: u64 = 64_000_000;
/// Most entries of a bundle.
const ENTRIES_MAX: usize = 20_000_000;
/// Most files of a bundle: the five, and the texts of playbooks.
const FILES_MAX: usize = 2_000;
/// The files of a bundle beside the texts of playbooks.
const OWN_FILES: [&str; 5] = ["checkpoint.txt", "leaves.txt", "entries.jsonl", "proofs.json", "summary.html"];
/// Entries between two words about how far it is.
const TELL_EVERY: u64 = 1_000;

/// Verifies a bundle. `tell` is told how many entries of how many were looked at.
///
/// # Errors
/// A sentence, when this is no bundle at all; damage is a finding.
pub fn bundle<R: Read + Seek>(file: R, outside: &Outside, tell: &mut dyn FnMut(u64, u64)) -> Result<Report, String> {
    let mut zip = ZipArchive::new(file).map_err(|error| format!("this is no ZIP file: {error}"))?;
    let mut report = Report::default();
    let signed = small(&mut zip, "checkpoint.txt")?;
    let proofs: Proofs = serde_json::from_str(&small(&mut zip, "proofs.json")?)
        .map_err(|error| format!("proofs.json cannot be read: {error}"))?;
    let Some(checkpoint) = opened(&signed, &proofs, outside, &mut report) else { return Ok(report.close()) };
    report.size = checkpoint.size;
    report.root = checkpoint.root.to_string();
    if checkpoint.size != proofs.size || checkpoint.base != proofs.base {
        report.add(Kind::Unreadable, None, "proofs.json was made for another checkpoint");
        return Ok(report.close());
    }
    let leaves = leaves(&mut zip)?;
    proved(&leaves, &proofs, &checkpoint, &mut report);
    let mut beside = Beside {
        summary: Summary::new(&checkpoint, &proofs.key, proofs.entries, proofs.gap_free),
        texts: BTreeMap::new(),
    };
    entries(&mut zip, (&leaves, &proofs), &mut beside, &mut report, tell)?;
    files(&mut zip, &proofs, &beside, &mut report)?;
    continued(&proofs, &checkpoint, outside, &mut report);
    Ok(report.close())
}

/// What follows from the entries and lies beside them in a bundle.
struct Beside {
    summary: Summary,
    texts: BTreeMap<String, Digest>,
}

impl Beside {
    fn add(&mut self, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        let stored = StoredEntry { header: line.entry.clone(), entry: line.entry() };
        // An entry that cannot be read is named by whoever judges the entries.
        let _ = note_texts(&stored, &mut self.texts);
        self.summary.add(&stored);
    }
}

/// Sees that the bundle holds the files of a bundle and no others, each once, and that the texts and the page follow from
/// the entries.
fn files<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    proofs: &Proofs,
    beside: &Beside,
    report: &mut Report,
) -> Result<(), String> {
    let names: Result<Vec<String>, _> = zip.file_names().map(|name| name.map(|name| name.into_owned())).collect();
    let Ok(names) = names else {
        report.add(Kind::Inserted, None, "the bundle holds a file whose name is no text");
        return Ok(());
    };
    if zip.has_duplicate_names() || names.len() > FILES_MAX {
        report.add(Kind::Inserted, None, "the bundle holds a file twice, or too many of them");
        return Ok(());
    }
    // What lies beside the entries follows from them: where they are damaged, it says nothing more.
    let entries_are_whole = report.findings_total == 0;
    for name in &names {
        if !entries_are_whole && name.starts_with("playbooks/") {
            continue;
        }
        let text_of = name.strip_prefix("playbooks/").and_then(|name| beside.texts.get(name));
        match text_of {
            Some(digest) if Digest::of(small(zip, name)?.as_bytes()) != *digest => {
                report.add(Kind::Edited, None, format!("`{}` is not the text that ran", shown(name)));
            }
            None if !OWN_FILES.contains(&name.as_str()) => {
                report.add(Kind::Inserted, None, format!("`{}` is no file of an evidence bundle", shown(name)));
            }
            _ => {}
        }
    }
    let missing = beside.texts.keys().filter(|name| !names.contains(&format!("playbooks/{name}"))).count();
    if missing > 0 {
        report.remarks.push(format!("{missing} texts of playbooks that ran are not in the bundle"));
    }
    let page = small(zip, "summary.html")?;
    if entries_are_whole && page != beside.summary.html() {
        if proofs.version == env!("CARGO_PKG_VERSION") {
            report.add(Kind::Edited, None, "`summary.html` says something else than the entries");
        } else {
            let remark = format!(
                "`summary.html` was made by version {} and cannot be compared by this one: read the entries",
                shown(&proofs.version)
            );
            report.remarks.push(remark);
        }
    }
    Ok(())
}

/// The beginning of a name from outside, for a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// The checkpoint, when it can be read; whether its signature holds goes into the report.
fn opened(signed: &str, proofs: &Proofs, outside: &Outside, report: &mut Report) -> Option<Checkpoint> {
    report.signer_known = !outside.keys.is_empty();
    let own: Vec<Verifier> = proofs.key.parse().into_iter().collect();
    let keys = if outside.keys.is_empty() { &own } else { &outside.keys };
    if keys.is_empty() {
        report.add(Kind::Signature, None, "the bundle names no key that could have signed it");
    }
    match Checkpoint::open(signed, keys) {
        Ok((checkpoint, signer)) => {
            report.signer = signer.map(|key| key.to_string());
            report.checkpoints = u64::from(report.signer.is_some());
            report.newest_checkpoint = Some(checkpoint.time);
            if !report.signer_known {
                let remark = "the key was taken from the bundle itself: compare it with the one that you were given, \
                              or give it with --key";
                report.remarks.push(remark.to_owned());
            }
            Some(checkpoint)
        }
        Err(error) => {
            let kind = if error == NoteError::Form { Kind::Unreadable } else { Kind::Signature };
            report.add(kind, None, format!("checkpoint.txt: {error}"));
            // What was changed inside is still worth knowing.
            Checkpoint::open(signed, []).ok().map(|(checkpoint, _)| checkpoint)
        }
    }
}

fn small<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str) -> Result<String, String> {
    let file = zip.by_name(name).map_err(|_| format!("this is no evidence bundle: `{name}` is missing"))?;
    let mut text = String::new();
    let mut limited = file.take(FILE_BYTES_MAX);
    limited.read_to_string(&mut text).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
    if limited.limit() == 0 { Err(format!("`{name}` is larger than {FILE_BYTES_MAX} bytes")) } else { Ok(text) }
}

/// Calls `visit` with each line of a file.
fn lines<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    mut visit: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let file = zip.by_name(name).map_err(|_| format!("this is no evidence bundle: `{name}` is missing"))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let read = read.map_err(|error| format!("`{name}` cannot be read: {error}"))?;
        if read == 0 {
            return Ok(());
        }
        if line.pop_if(|last| *last == b'\n').is_none() && read as u64 == LINE_BYTES_MAX {
            return Err(format!("a line of `{name}` is longer than {LINE_BYTES_MAX} bytes"));
        }
        visit(&line)?;
    }
}

fn leaves<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<BTreeMap<Seq, Digest>, String> {
    let mut leaves = BTreeMap::new();
    lines(zip, "leaves.txt", |line| {
        let text = std::str::from_utf8(line).unwrap_or_default();
        let parts = text.split_once(' ').and_then(|(seq, hash)| Some((Seq(seq.parse().ok()?), hash.parse().ok()?)));
        let (seq, hash) = parts.ok_or("a line of `leaves.txt` is not an entry's number and a hash")?;
        leaves.insert(seq, hash);
        if leaves.len() > ENTRIES_MAX { Err(format!("more than {ENTRIES_MAX} leaves")) } else { Ok(()) }
    })?;
    Ok(leaves)
}

/// Sees that the leaves lead to the checkpoint's root.
fn proved(leaves: &BTreeMap<Seq, Digest>, proofs: &Proofs, checkpoint: &Checkpoint, report: &mut Report) {
    let known: Vec<(u64, Digest)> =
        leaves.iter().map(|(seq, hash)| (seq.0.wrapping_sub(checkpoint.base.0), *hash)).collect();
    if let Err(refused) = tree::verify_cover(&known, checkpoint.size, &proofs.cover, checkpoint.root) {
        let detail = format!("the leaves do not lead to the root that was signed: {refused}");
        report.add(Kind::Rewritten, leaves.keys().next().copied(), detail);
    }
    if leaves.len() as u64 != proofs.entries {
        let detail = format!("{} leaves where {} were exported", leaves.len(), proofs.entries);
        report.add(Kind::TailCut, leaves.keys().last().copied(), detail);
    }
}

fn entries<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    (leaves, proofs): (&BTreeMap<Seq, Digest>, &Proofs),
    beside: &mut Beside,
    report: &mut Report,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<(), String> {
    let (first, end) = match (leaves.keys().next(), leaves.keys().last()) {
        (Some(first), Some(last)) => (*first, Seq(last.0 + 1)),
        _ => (Seq(0), Seq(0)),
    };
    let between = leaves.keys().zip(leaves.keys().skip(1)).filter(|(one, next)| one.0 + 1 < next.0);
    let absent: Vec<(Seq, Seq)> = between.map(|(one, next)| (Seq(one.0 + 1), Seq(next.0 - 1))).collect();
    if proofs.gap_free && !absent.is_empty() {
        let detail = format!("entry {} is left out, though the bundle says that none is", absent[0].0);
        report.add(Kind::Deleted, Some(absent[0].0), detail);
    }
    let left_out: u64 = absent.iter().map(|(first, last)| last.0 - first.0 + 1).sum();
    let skipped = merged(absent.into_iter().chain(proofs.dropped.iter().copied()).collect());
    let mut judge = Judge::new(first, skipped);
    let total = leaves.len() as u64;
    let mut read = 0;
    lines(zip, "entries.jsonl", |line| {
        if read % TELL_EVERY == 0 {
            tell(read, total);
        }
        // Where it would lie if none before it were missing: all that is known of a line that cannot be read.
        let place = Seq(first.0 + read);
        read += 1;
        beside.add(line);
        let mut expected = |seq: Seq| Ok::<_, String>(leaves.get(&seq).copied());
        judge.take(found(place, line), &mut expected, report)
    })?;
    let mut expected = |seq: Seq| Ok::<_, String>(leaves.get(&seq).copied());
    judge.end(end, &mut expected, report)?;
    report.dropped = report.dropped.saturating_sub(left_out);
    tell(total, total);
    Ok(())
}

/// What a line holds.
fn found(place: Seq, line: &[u8]) -> Found {
    let Ok(line) = serde_json::from_slice::<Line>(line) else {
        return Found { place, header: None, payload: Payload::False };
    };
    let leaf = serde_json::to_vec(&line.entry).ok().map(|json| tree::leaf(&json));
    let header = leaf.map(|leaf| (line.entry.clone(), leaf));
    let payload = match (line.payload.is_some(), line.entry()) {
        (false, None) => Payload::Dropped,
        (true, Some(entry)) if entry.verifies() => Payload::Whole,
        _ => Payload::False,
    };
    Found { place, header, payload }
}

/// Sees that the bundle's tree continues the checkpoints that were kept elsewhere.
fn continued(proofs: &Proofs, checkpoint: &Checkpoint, outside: &Outside, report: &mut Report) {
    let top = (checkpoint.size, checkpoint.root);
    for note in &outside.checkpoints {
        let (known, _) = match Checkpoint::open(note, &outside.keys) {
            Ok(opened) => opened,
            Err(error) => {
                report.add(Kind::Signature, None, format!("a checkpoint from elsewhere: {error}"));
                continue;
            }
        };
        if known.size > checkpoint.size {
            let remark = format!("the checkpoint of {} is newer than the bundle; make a new bundle", known.time);
            report.remarks.push(remark);
            continue;
        }
        let path = match proofs.earlier.iter().find(|earlier| earlier.size == known.size) {
            Some(earlier) => earlier.path.as_slice(),
            None if known.size == checkpoint.size => &[],
            None => {
                let remark = format!("the bundle holds no proof that leads from the checkpoint of {}", known.time);
                report.remarks.push(remark);
                continue;
            }
        };
        match tree::verify_consistency((known.size, known.root), top, path) {
            Ok(()) => report.checkpoints += 1,
            Err(refused) => {
                let detail = format!("the history is no continuation of the checkpoint of {}: {refused}", known.time);
                report.add(Kind::Rewritten, None, detail);
            }
        }
    }
}
