//! What every backend checks in the same way: sizes, the order of entries, who may write a run, what a filter lets
//! through.
//!
//! Invariant: nothing here reads a clock or a store; the same input gives the same answer on every backend.

use model::run::RunSummary;
use model::{ObjectKey, Seq, Time};

use crate::api::{Commit, Error, Expect, RunFilter, RunWrite};

/// Largest value of any kind, in bytes: one payload, one object, one run, one text.
pub const VALUE_BYTES_MAX: usize = 4_000_000;
/// Longest name of a mark, of a window or of an object's id, in bytes.
pub const NAME_BYTES_MAX: usize = 64 * 1024;
/// Longest name of a mark, in bytes. Marks are listed by prefix, so that their names are kept as they are.
pub const MARK_BYTES_MAX: usize = 1024;
/// Most times of one tally.
pub const TALLY_TIMES_MAX: usize = 4096;
/// How many bytes may change while a backup is being written.
pub const BACKUP_CHANGES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Refuses a value that is too large.
pub(crate) fn check_size(bytes: usize, max: usize) -> Result<(), Error> {
    if bytes > max { Err(Error::TooLarge { bytes, max }) } else { Ok(()) }
}

/// Refuses what is too large for any backend, as far as that shows before anything is serialised.
pub(crate) fn check_sizes(commit: &Commit) -> Result<(), Error> {
    for entry in &commit.entries {
        check_size(entry.payload.len(), VALUE_BYTES_MAX)?;
        check_size(entry.header.object.len(), NAME_BYTES_MAX)?;
    }
    let objects = commit.objects.iter().map(|(key, _)| key);
    for ObjectKey { tenant, id, .. } in objects.chain(commit.object_blocks.iter().map(|(key, _)| key)) {
        check_size(id.len(), NAME_BYTES_MAX)?;
        check_size(tenant.len(), NAME_BYTES_MAX)?;
    }
    for window in &commit.windows {
        check_size(window.key.len(), NAME_BYTES_MAX)?;
    }
    for tally in &commit.tallies {
        check_size(tally.key.len(), NAME_BYTES_MAX)?;
        check_size(tally.times.len(), TALLY_TIMES_MAX)?;
    }
    for (name, value) in &commit.marks {
        check_size(name.len(), MARK_BYTES_MAX)?;
        check_size(value.as_ref().map_or(0, Vec::len), VALUE_BYTES_MAX)?;
    }
    for piece in &commit.files {
        check_size(piece.bytes.as_ref().map_or(0, Vec::len), VALUE_BYTES_MAX)?;
    }
    for (_, text) in &commit.texts {
        check_size(text.len(), VALUE_BYTES_MAX)?;
    }
    Ok(())
}

/// Refuses entries that do not go on where the history ends, or leave a gap.
pub(crate) fn check_sequence(commit: &Commit, next: Seq) -> Result<(), Error> {
    let mut expected = next;
    for entry in &commit.entries {
        if entry.header.seq != expected {
            return Err(Error::NotNext { base: entry.header.seq, next: expected });
        }
        expected = expected.next();
    }
    Ok(())
}

/// What is stored of a run, as far as it decides who may write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The random part of its id.
    pub(crate) tag: u32,
    /// How many times it was written.
    pub(crate) version: u32,
    /// Whether it has ended.
    pub(crate) ended: bool,
    /// The epoch of the lease on it.
    pub(crate) epoch: Option<u64>,
}

/// Refuses a write of a run that does not meet what it expects.
pub(crate) fn check_run(stored: Option<Standing>, write: &RunWrite) -> Result<(), Error> {
    let run = write.summary.id;
    let stored = match (stored, write.expect) {
        (None, Expect::New) => return Ok(()),
        (None, _) => return Err(Error::Fenced { run }),
        (Some(stored), _) => stored,
    };
    if stored.tag != run.tag {
        return Err(Error::Fenced { run });
    }
    let current = match write.expect {
        Expect::New => false,
        Expect::Version(version) => version == stored.version && (!stored.ended || write.summary.status.is_final()),
        Expect::Lease { epoch, version } => !stored.ended && stored.epoch == Some(epoch) && version == stored.version,
    };
    match (current, stored.ended) {
        (true, _) => Ok(()),
        (false, true) => Err(Error::AlreadyEnded { run }),
        (false, false) => Err(Error::Fenced { run }),
    }
}

/// The lease on a run after it was written.
pub(crate) fn lease_after(stored: Option<u64>, write: &RunWrite) -> Option<u64> {
    let kept = write.keep_lease && !write.summary.status.is_final();
    stored.filter(|_| kept)
}

/// The time of a commit: its last entry's.
pub(crate) fn time_of(commit: &Commit) -> Option<Time> {
    commit.entries.last().map(|entry| entry.header.time)
}

/// Whether a filter lets a run through.
pub(crate) fn lets_through(filter: &RunFilter, run: &RunSummary) -> bool {
    let is = |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|wanted| has == Some(wanted));
    is(&filter.playbook, Some(&run.playbook))
        && is(&filter.tenant, Some(&run.tenant))
        && is(&filter.alert, run.alert.as_deref())
        && is(&filter.case, run.case.as_deref())
        && (filter.statuses.is_empty() || filter.statuses.contains(&run.status))
        && filter.event.is_none_or(|event| run.event.seq == event)
        && filter.since.is_none_or(|since| run.created_at >= since)
        && filter.until.is_none_or(|until| run.created_at < until)
        && filter.destination.as_deref().is_none_or(|d| run.deliveries.iter().any(|delivery| delivery.destination == d))
}
