//! The history as it lies on the disk, read past the server.

use std::collections::HashMap;
use std::path::Path;

use model::history::{Entry, EntryKind};
use model::{Actor, EventId, Seq};
use store::{Durability, Options, Sled, Store as _};

use super::{Result, alert};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Where each event was accepted, by its number; more than one place is a defect.
    pub(crate) events: HashMap<u64, Vec<EventId>>,
    /// How many entries there are.
    pub(crate) entries: u64,
    /// What is torn: the kind, and where.
    pub(crate) torn: Vec<(&'static str, String)>,
}

/// Reads the whole history of a data folder that no server has open.
///
/// # Errors
/// When the store cannot be opened or read.
pub(crate) fn read(data: &Path) -> Result<History> {
    let store = Sled::open(data, Options { durability: Durability::Process, ..Options::default() })?;
    let (first, end) = (store.stats().first_seq, store.next_seq());
    let mut history = History { entries: end.0 - first.0, ..History::default() };
    let mut next = first;
    store.entries_forward(first, &mut |stored| {
        let seq = stored.header.seq;
        history.expect(seq, next);
        next = seq.next();
        match stored.entry {
            None => history.torn.push(("V3 torn: a payload is gone", seq.to_string())),
            Some(entry) => history.take(&entry),
        }
        true
    })?;
    history.expect(end, next);
    Ok(history)
}

impl History {
    fn expect(&mut self, seq: Seq, next: Seq) {
        if seq != next {
            self.torn.push(("V3 torn: the history has a gap", format!("{next} is not there, {seq} is")));
        }
    }

    fn take(&mut self, entry: &Entry) {
        let Entry { header, salt, payload } = entry;
        if !entry.verifies() {
            self.torn.push(("V3 torn: a payload is not the one that was recorded", header.seq.to_string()));
        }
        if header.kind == EntryKind::EventAccepted && matches!(header.actor, Actor::Source(_)) {
            let id = EventId { seq: header.seq, tag: Entry::tag(salt) };
            match alert::number(payload) {
                Some(n) => self.events.entry(n).or_default().push(id),
                None => self.torn.push(("V3 torn: an event has no body", header.seq.to_string())),
            }
        }
    }
}
