//! Events: a page of them, and one with its raw body, its transitions and its decisions.

use std::time::{Duration, Instant};

use model::history::{Entry, EntryKind};
use model::{EventId, Kind, ObjectKey, Time, limits};
use store::{Cursor, Page, Store};

use super::{Error, Range, brief, object_of, scan};
use crate::record::{self, Accepted};

/// Which events a listing asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From this source.
    pub source: Option<String>,
    /// Of this type, or of a prefix such as `holm.*`.
    pub kind: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// About this alert.
    pub alert: Option<String>,
    /// About this case.
    pub case: Option<String>,
}

impl Filter {
    fn fits_object(&self, object: Option<&ObjectKey>) -> bool {
        let is = |kind: Kind, id: &Option<String>| {
            id.as_ref().is_none_or(|id| object.is_some_and(|key| key.kind == kind && key.id == *id))
        };
        is(Kind::Alert, &self.alert) && is(Kind::Case, &self.case)
    }

    fn fits_kind(&self, kind: &str) -> bool {
        self.kind.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => kind == wanted,
        })
    }
}

/// An accepted event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// When it was committed.
    pub time: Time,
    /// What was recorded.
    pub accepted: Accepted,
}

/// An event that is kept, or only its trace.
#[derive(Debug, Clone)]
pub enum Found {
    /// Everything is there.
    Kept(Box<Event>),
    /// Retention has dropped what it held.
    Gone {
        /// When it was committed.
        time: Time,
    },
}

fn read(entry: &Entry) -> Result<Event, Error> {
    let seq = entry.header.seq;
    let accepted = record::read_accepted(&entry.payload).map_err(|error| Error::Record { seq, error })?;
    Ok(Event { id: EventId { seq, tag: Entry::tag(&entry.salt) }, time: entry.header.time, accepted })
}

/// A page of events, newest first.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn page(store: &dyn Store, filter: &Filter, range: Range) -> Result<Page<Event>, Error> {
    scan::entries(store, range, |stored| {
        if stored.header.kind != EntryKind::EventAccepted || !filter.fits_object(object_of(&stored.header).as_ref()) {
            return Ok(None);
        }
        let Some(entry) = stored.entry else { return Ok(None) };
        let brief = brief(entry.header.seq, &entry.payload)?;
        let fits = filter.fits_kind(&brief.kind)
            && filter.source.as_ref().is_none_or(|source| *source == brief.source)
            && filter.tenant.as_ref().is_none_or(|tenant| *tenant == brief.tenant);
        if fits { read(&entry).map(Some) } else { Ok(None) }
    })
}

/// One event. Nothing when there is none with this id, tag included.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn find(store: &dyn Store, id: EventId) -> Result<Option<Found>, Error> {
    let Some(stored) = store.entry(id.seq)? else { return Ok(None) };
    if stored.header.kind != EntryKind::EventAccepted {
        return Ok(None);
    }
    match stored.entry {
        None => Ok(Some(Found::Gone { time: stored.header.time })),
        Some(entry) if Entry::tag(&entry.salt) == id.tag => Ok(Some(Found::Kept(Box::new(read(&entry)?)))),
        Some(_) => Ok(None),
    }
}

/// What was accepted, oldest first, as it was recorded: for back-tests.
#[derive(Debug)]
pub struct Recorded {
    /// The event's id.
    pub id: EventId,
    /// When it was committed.
    pub time: Time,
    /// The payload of its entry, JSON.
    pub payload: Vec<u8>,
}

/// A page of what was accepted, oldest first. The cursor is the first entry that was not looked at.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn recorded(store: &dyn Store, tenant: Option<&str>, range: Range) -> Result<Page<Recorded>, Error> {
    let deadline = Instant::now() + Duration::from_millis(limits::SCAN_MILLIS_MAX);
    let from = range.after.map_or(store.stats().first_seq, |cursor| cursor.seq);
    let (mut items, mut looked, mut next, mut failed) = (Vec::new(), 0_usize, None, None);
    store.entries_forward(from, &mut |stored| {
        let (seq, time) = (stored.header.seq, stored.header.time);
        let spent = items.len() >= range.limit || looked >= limits::SCAN_KEYS_MAX || Instant::now() >= deadline;
        if looked > 0 && spent {
            next = Some(Cursor { seq, n: 0 });
            return false;
        }
        looked += 1;
        if range.until.is_some_and(|until| time >= until) {
            return false;
        }
        let accepted = stored.entry.filter(|entry| entry.header.kind == EntryKind::EventAccepted);
        let Some(entry) = accepted.filter(|_| range.since.is_none_or(|since| time >= since)) else { return true };
        match tenant.map(|tenant| brief(seq, &entry.payload).map(|brief| brief.tenant == tenant)).transpose() {
            Ok(Some(false)) => {}
            Ok(_) => {
                items.push(Recorded { id: EventId { seq, tag: Entry::tag(&entry.salt) }, time, payload: entry.payload })
            }
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Page { items, next }),
    }
}
