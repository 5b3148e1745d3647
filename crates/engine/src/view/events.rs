//! Events: a page of them, and one with its raw body, its transitions and its decisions.

use model::history::{Entry, EntryKind};
use model::{EventId, Kind, ObjectKey, Time};
use store::{Page, Store};

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
