//! Alerts and cases that a query asks for, in an order that somebody chose.
//!
//! Unlike the plain listing this looks at the objects themselves, all of a kind, and keeps only a page of them in memory.
//! It is bounded by objects and by time; what was not looked at is said ([`Found::complete`]).

use std::time::{Duration, Instant};

use model::{Kind, Object, ObjectKey, Time};
use store::Store;

use super::Error;
use super::objects::Filter;
use super::search::Query;
use super::search::sort::{Place, Sort};

/// Most objects that one page looks at.
pub const OBJECTS_MAX: usize = 200_000;
/// Longest time that one page looks for, in milliseconds.
pub const MILLIS_MAX: u64 = 3_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Plain filters; all must hold.
    pub filter: Filter,
    /// The query, which must hold too.
    pub query: Option<Query>,
    /// The order.
    pub sort: Sort,
    /// Changed at or after this time.
    pub since: Option<Time>,
    /// Changed before this time.
    pub until: Option<Time>,
    /// Where the page before ended.
    pub after: Option<Place>,
    /// Most items.
    pub limit: usize,
}

/// A page of what was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The objects, in order.
    pub items: Vec<(ObjectKey, Object)>,
    /// Where to go on; nothing at the end.
    pub next: Option<Place>,
    /// Whether everything was looked at.
    pub complete: bool,
}

impl Asked {
    fn wants(&self, key: &ObjectKey, object: &Object) -> bool {
        let updated = object.meta.updated_at;
        self.filter.tenant.as_ref().is_none_or(|tenant| *tenant == key.tenant)
            && self.since.is_none_or(|since| updated >= since)
            && self.until.is_none_or(|until| updated < until)
            && self.filter.fits(object)
            && self.query.as_ref().is_none_or(|query| query.fits(key, object))
    }
}

/// A page of alerts or cases.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn page(store: &dyn Store, kind: Kind, asked: &Asked) -> Result<Found, Error> {
    let deadline = Instant::now() + Duration::from_millis(MILLIS_MAX);
    // One more than the page tells whether there is a next one.
    let room = asked.limit.saturating_add(1);
    let mut kept: Vec<(Place, ObjectKey, Object)> = Vec::new();
    let mut looked = 0_usize;
    let mut complete = true;
    let tidy = |kept: &mut Vec<(Place, ObjectKey, Object)>| {
        kept.sort_by(|a, b| asked.sort.compare(&a.0, &b.0));
        kept.truncate(room);
    };
    store.objects(kind, &mut |key, object| {
        if looked >= OBJECTS_MAX || (looked.is_multiple_of(256) && Instant::now() >= deadline) {
            complete = false;
            return false;
        }
        looked += 1;
        if asked.wants(&key, &object) {
            let place = asked.sort.place(&key, &object);
            if asked.after.as_ref().is_none_or(|after| asked.sort.compare(after, &place).is_lt()) {
                kept.push((place, key, object));
                if kept.len() >= room.saturating_mul(4) {
                    tidy(&mut kept);
                }
            }
        }
        true
    })?;
    tidy(&mut kept);
    let more = kept.len() > asked.limit;
    kept.truncate(asked.limit);
    let next = kept.last().filter(|_| more).map(|(place, ..)| place.clone());
    Ok(Found { items: kept.into_iter().map(|(_, key, object)| (key, object)).collect(), next, complete })
}
