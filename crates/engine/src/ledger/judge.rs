//! The one judge of what lies where the history should lie, against the leaves of the ledger's tree: the same for a store
//! and for a bundle.
//!
//! Given the leaves that the tree says there are and what is found, it walks along both and names what differs: *edited*,
//! *deleted*, *inserted*, *reordered*, *tail cut*. Pure: it reads nothing.
//!
//! Invariants: every difference gives a finding, at the place where it begins. Findings are counted without end and kept up
//! to a bound.

use std::collections::VecDeque;

use model::history::Header;
use model::{Digest, Seq, Time};
use serde::{Deserialize, Serialize};
use store::{Found, Payload};

/// Findings that a report spells out; more are counted.
pub(super) const FINDINGS_MAX: usize = 100;
/// How far ahead an entry is looked for that is not in its place.
const LOOK_AHEAD: usize = 512;

/// What kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An entry says something else than it did.
    Edited,
    /// An entry is gone, and nothing records that it was dropped.
    Deleted,
    /// An entry is there that never was.
    Inserted,
    /// An entry stands in another place.
    Reordered,
    /// Entries at the end are gone.
    TailCut,
    /// The whole tree was computed anew over changed entries: it is no continuation of the checkpoint.
    Rewritten,
    /// The time of an entry is before that of the one before it.
    ClockWentBack,
    /// A checkpoint's signature is false, or of another key than the one that was asked for.
    Signature,
    /// A piece of the evidence itself is missing or cannot be read.
    Unreadable,
}

impl Kind {
    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Edited => "edited",
            Kind::Deleted => "deleted",
            Kind::Inserted => "inserted",
            Kind::Reordered => "reordered",
            Kind::TailCut => "tail cut",
            Kind::Rewritten => "rewritten",
            Kind::ClockWentBack => "clock went back",
            Kind::Signature => "signature",
            Kind::Unreadable => "unreadable",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of damage.
    pub kind: Kind,
    /// The entry where it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Seq>,
    /// What was found, in a sentence.
    pub detail: String,
}

/// The outcome of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Entries that were checked.
    pub entries: u64,
    /// Of those, entries whose payload is there and is the one that was committed to.
    pub payloads: u64,
    /// Entries that retention has dropped: proved by their hashes only.
    pub dropped: u64,
    /// Entries from the first to the last one checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(Seq, Seq)>,
    /// The times of the first and the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<(Time, Time)>,
    /// Leaves in the tree that was verified.
    pub size: u64,
    /// Its root.
    pub root: String,
    /// Checkpoints that agree with it.
    pub checkpoints: u64,
    /// The time of the newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_checkpoint: Option<Time>,
    /// Entries after the newest checkpoint: nothing signed speaks for them yet.
    pub unsigned: u64,
    /// The key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Whether that key was given from outside, and not taken from what was verified.
    pub signer_known: bool,
    /// Runs that have not ended.
    pub open_runs: u64,
    /// Up to ten of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_run_ids: Vec<String>,
    /// What is wrong, the first first.
    pub findings: Vec<Finding>,
    /// How many things are wrong.
    pub findings_total: u64,
    /// What an auditor should know besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

impl Report {
    /// Adds something that is wrong.
    pub fn add(&mut self, kind: Kind, entry: Option<Seq>, detail: impl Into<String>) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { kind, entry, detail: detail.into() });
        }
    }

    /// Says whether it is all right, and puts the findings in order.
    #[must_use]
    pub fn close(mut self) -> Report {
        self.findings.sort_by_key(|finding| finding.entry);
        self.ok = self.findings_total == 0;
        self
    }
}

/// What the tree says: the leaf of an entry; nothing beyond its end.
pub(super) type Expected<'a, E> = dyn FnMut(Seq) -> Result<Option<Digest>, E> + 'a;

/// Walks along what is found. Entries are handed in in the order in which they lie.
pub(super) struct Judge {
    /// The entry that must come next.
    next: Seq,
    /// Stretches that may be missing: their first and last entries.
    dropped: Vec<(Seq, Seq)>,
    waiting: VecDeque<Found>,
    last: Option<(Seq, Time)>,
    first: Option<(Seq, Time)>,
    /// Entries that were found out of place earlier on.
    moved: Vec<Seq>,
}

impl Judge {
    /// A judge of what must begin with entry `from`; `dropped` may be missing.
    pub(super) fn new(from: Seq, mut dropped: Vec<(Seq, Seq)>) -> Judge {
        dropped.sort_unstable();
        Judge { next: from, dropped, waiting: VecDeque::new(), last: None, first: None, moved: Vec::new() }
    }

    /// Takes the next one that is found.
    pub(super) fn take<E>(
        &mut self,
        found: Found,
        expected: &mut Expected<'_, E>,
        report: &mut Report,
    ) -> Result<(), E> {
        self.waiting.push_back(found);
        while self.waiting.len() > LOOK_AHEAD {
            self.step(expected, report)?;
        }
        Ok(())
    }

    /// Everything was handed in; `end` is the entry after the last one that must be there.
    pub(super) fn end<E>(mut self, end: Seq, expected: &mut Expected<'_, E>, report: &mut Report) -> Result<(), E> {
        while !self.waiting.is_empty() {
            self.step(expected, report)?;
        }
        let missing = self.skip_dropped(end, report);
        if missing < end {
            let detail = format!("the entries from {missing} to {} are gone", Seq(end.0 - 1));
            report.add(Kind::TailCut, Some(missing), detail);
        }
        report.range = self.first.zip(self.last).map(|((first, _), (last, _))| (first, last));
        report.times = self.first.zip(self.last).map(|((_, first), (_, last))| (first, last));
        Ok(())
    }

    /// Steps over what may be missing, up to `to`; answers what must come next.
    fn skip_dropped(&mut self, to: Seq, report: &mut Report) -> Seq {
        let mut next = self.next;
        while next < to {
            let begun = self.dropped.partition_point(|(first, _)| *first <= next);
            let Some(last) = begun.checked_sub(1).map(|at| self.dropped[at].1).filter(|last| *last >= next) else {
                break;
            };
            let after = Seq(last.0 + 1).min(to);
            report.dropped += after.0 - next.0;
            next = after;
        }
        next
    }

    fn step<E>(&mut self, expected: &mut Expected<'_, E>, report: &mut Report) -> Result<(), E> {
        let Some(found) = self.waiting.pop_front() else { return Ok(()) };
        report.entries += 1;
        let Some((header, leaf)) = found.header.as_ref() else {
            report.add(
                Kind::Unreadable,
                Some(found.place),
                format!("what lies at entry {} cannot be read", found.place),
            );
            return Ok(());
        };
        // What lies here says itself which entry it is; a place that was dropped may lie between.
        if header.seq > self.next {
            self.next = self.skip_dropped(header.seq, report);
        }
        let wanted = expected(self.next)?;
        if wanted == Some(*leaf) {
            self.right(&found, header.clone(), report);
            return Ok(());
        }
        self.wrong(&found, header, *leaf, expected, report)
    }

    fn right(&mut self, found: &Found, header: Header, report: &mut Report) {
        match found.payload {
            Payload::Whole => report.payloads += 1,
            Payload::Dropped => {}
            Payload::False => {
                let detail = format!("the payload of entry {} is not the one that was recorded", header.seq);
                report.add(Kind::Edited, Some(header.seq), detail);
            }
        }
        if let Some((before, time)) = self.last.filter(|(_, time)| header.time < *time) {
            let detail = format!("entry {} is of {}, entry {before} before it of {time}", header.seq, header.time);
            report.add(Kind::ClockWentBack, Some(header.seq), detail);
        }
        self.first.get_or_insert((header.seq, header.time));
        self.last = Some((header.seq, header.time));
        self.next = Seq(self.next.0 + 1);
    }

    /// Something lies here that the tree does not expect here: says what happened.
    fn wrong<E>(
        &mut self,
        found: &Found,
        header: &Header,
        leaf: Digest,
        expected: &mut Expected<'_, E>,
        report: &mut Report,
    ) -> Result<(), E> {
        let at = self.next;
        // It is the right entry of another place.
        if expected(header.seq)? == Some(leaf) {
            if header.seq > at && !self.lies_ahead(at, expected)? {
                let detail = match Seq(header.seq.0 - 1) {
                    last if last == at => format!("entry {at} is gone"),
                    last => format!("the entries from {at} to {last} are gone"),
                };
                report.add(Kind::Deleted, Some(at), detail);
                self.next = header.seq;
                self.right(found, header.clone(), report);
                return Ok(());
            }
            if !self.moved.contains(&header.seq) {
                let detail = format!("entry {} stands where entry {at} belongs", header.seq);
                report.add(Kind::Reordered, Some(at.min(header.seq)), detail);
            }
            self.moved.push(at);
            if self.moved.len() > LOOK_AHEAD {
                self.moved.remove(0);
            }
            self.next = Seq(at.0 + 1);
            return Ok(());
        }
        // The one that belongs here comes right after: this one was put in.
        let wanted = expected(at)?;
        let following = self.waiting.front().and_then(|next| next.header.as_ref()).map(|(_, leaf)| *leaf);
        if wanted.is_none() || (following.is_some() && following == wanted) {
            let detail = format!("an entry that never was stands before entry {at} (it calls itself {})", header.seq);
            report.add(Kind::Inserted, Some(at), detail);
            return Ok(());
        }
        let detail = format!("entry {at} is not the one that was recorded");
        report.add(Kind::Edited, Some(at), detail);
        self.next = Seq(at.0 + 1);
        Ok(())
    }

    /// Whether the entry that belongs at `at` is found later on.
    fn lies_ahead<E>(&self, at: Seq, expected: &mut Expected<'_, E>) -> Result<bool, E> {
        let wanted = expected(at)?;
        let leaves = self.waiting.iter().filter_map(|found| found.header.as_ref().map(|(_, leaf)| *leaf));
        Ok(wanted.is_some() && leaves.into_iter().any(|leaf| Some(leaf) == wanted))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use model::history::{Entry, EntryKind};
    use model::{Actor, tree};

    use super::*;

    fn entry(seq: u64, object: &str) -> Found {
        let who = ("n".to_owned(), Actor::System);
        let at = (Seq(seq), Time::from_millis(i64::try_from(seq).unwrap()));
        let entry = Entry::new(EntryKind::Server, at, who, object.to_owned(), [0; 16], b"{}".to_vec());
        let leaf = tree::leaf(&serde_json::to_vec(&entry.header).unwrap());
        Found { place: Seq(seq), header: Some((entry.header, leaf)), payload: Payload::Whole }
    }

    /// What is said of these entries where 1 to 10 were recorded.
    fn says(found: Vec<Found>, dropped: Vec<(Seq, Seq)>) -> Vec<(Kind, u64)> {
        let leaves: Vec<Digest> = (1..=10).map(|seq| entry(seq, "x").header.unwrap().1).collect();
        let mut expected = |seq: Seq| {
            Ok::<_, Infallible>(seq.0.checked_sub(1).and_then(|at| leaves.get(usize::try_from(at).unwrap()).copied()))
        };
        let mut report = Report::default();
        let mut judge = Judge::new(Seq(1), dropped);
        for one in found {
            judge.take(one, &mut expected, &mut report).unwrap();
        }
        judge.end(Seq(11), &mut expected, &mut report).unwrap();
        let report = report.close();
        report.findings.iter().map(|finding| (finding.kind, finding.entry.unwrap().0)).collect()
    }

    fn all() -> Vec<Found> {
        (1..=10).map(|seq| entry(seq, "x")).collect()
    }

    #[test]
    fn what_is_whole_is_called_whole() {
        assert_eq!(says(all(), vec![]), []);
        assert_eq!(says(all().split_off(4), vec![(Seq(1), Seq(4))]), [], "what was dropped may be missing");
    }

    #[test]
    fn every_kind_of_damage_is_named_at_its_place() {
        let mut edited = all();
        edited[3] = entry(4, "y");
        assert_eq!(says(edited, vec![]), [(Kind::Edited, 4)]);
        let mut payload = all();
        payload[6].payload = Payload::False;
        assert_eq!(says(payload, vec![]), [(Kind::Edited, 7)]);
        let mut deleted = all();
        deleted.remove(3);
        assert_eq!(says(deleted, vec![]), [(Kind::Deleted, 4)]);
        let mut more = all();
        more.drain(3..6);
        assert_eq!(says(more, vec![]), [(Kind::Deleted, 4)]);
        let mut first = all();
        first.remove(0);
        assert_eq!(says(first, vec![]), [(Kind::Deleted, 1)]);
        let mut inserted = all();
        inserted.insert(3, entry(4, "y"));
        assert_eq!(says(inserted, vec![]), [(Kind::Inserted, 4)]);
        let mut appended = all();
        appended.push(entry(11, "y"));
        assert_eq!(says(appended, vec![]), [(Kind::Inserted, 11)]);
        let mut swapped = all();
        swapped.swap(3, 4);
        assert_eq!(says(swapped, vec![]), [(Kind::Reordered, 4)]);
        let mut apart = all();
        apart.swap(2, 8);
        assert_eq!(says(apart, vec![]), [(Kind::Reordered, 3)]);
        let mut cut = all();
        cut.truncate(8);
        assert_eq!(says(cut, vec![]), [(Kind::TailCut, 9)]);
        assert_eq!(says(vec![], vec![]), [(Kind::TailCut, 1)]);
        let mut unreadable = all();
        unreadable[3].header = None;
        assert_eq!(says(unreadable, vec![]), [(Kind::Unreadable, 4), (Kind::Deleted, 4)]);
    }

    #[test]
    fn a_clock_that_went_back_is_named_although_every_leaf_is_right() {
        let at = |seq: u64, millis: i64| {
            let who = ("n".to_owned(), Actor::System);
            let at = (Seq(seq), Time::from_millis(millis));
            let entry = Entry::new(EntryKind::Server, at, who, "x".to_owned(), [0; 16], b"{}".to_vec());
            let leaf = tree::leaf(&serde_json::to_vec(&entry.header).unwrap());
            Found { place: Seq(seq), header: Some((entry.header, leaf)), payload: Payload::Whole }
        };
        let found = [at(1, 10), at(2, 30), at(3, 20), at(4, 40)];
        let leaves: Vec<Digest> = found.iter().map(|one| one.header.as_ref().unwrap().1).collect();
        let mut expected = |seq: Seq| {
            Ok::<_, Infallible>(seq.0.checked_sub(1).and_then(|at| leaves.get(usize::try_from(at).unwrap()).copied()))
        };
        let (mut report, mut judge) = (Report::default(), Judge::new(Seq(1), vec![]));
        for one in found {
            judge.take(one, &mut expected, &mut report).unwrap();
        }
        judge.end(Seq(5), &mut expected, &mut report).unwrap();
        let findings: Vec<(Kind, Option<Seq>)> = report.close().findings.iter().map(|f| (f.kind, f.entry)).collect();
        assert_eq!(findings, [(Kind::ClockWentBack, Some(Seq(3)))]);
    }

    #[test]
    fn what_was_renumbered_after_a_deletion_shows_where_it_begins() {
        let mut renumbered = all();
        renumbered.truncate(9);
        for (at, found) in renumbered.iter_mut().enumerate().skip(3) {
            *found = entry(at as u64 + 1, "moved up");
        }
        let said = says(renumbered, vec![]);
        assert_eq!((said[0], said.len()), ((Kind::Edited, 4), 7));
        assert_eq!(said[6], (Kind::TailCut, 10));
    }
}
