//! Walking the history backwards under a budget.

use std::time::{Duration, Instant};

use model::{Seq, Time, limits};
use store::{Cursor, Page, Store, StoredEntry};

use super::Error;

/// Between which times of arrival, and where to go on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range {
    /// At or after this time.
    pub since: Option<Time>,
    /// Before this time.
    pub until: Option<Time>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Most items.
    pub limit: usize,
}

/// Collects up to `range.limit` items from the entries, newest first, within the budget of a page: `pick` makes an entry
/// an item, or passes it over.
pub(super) fn entries<T>(
    store: &dyn Store,
    range: Range,
    mut pick: impl FnMut(StoredEntry) -> Result<Option<T>, Error>,
) -> Result<Page<T>, Error> {
    let deadline = Instant::now() + Duration::from_millis(limits::SCAN_MILLIS_MAX);
    let mut items = Vec::new();
    let mut failed = None;
    let mut looked = 0_usize;
    let mut last: Option<Seq> = None;
    let mut more = false;
    store.entries_back(range.after.map(|cursor| cursor.seq), &mut |stored| {
        // One entry is looked at whatever the clock says, so that a page always gets further.
        let spent = items.len() >= range.limit || looked >= limits::SCAN_KEYS_MAX || Instant::now() >= deadline;
        if looked > 0 && spent {
            more = true;
            return false;
        }
        looked += 1;
        let (seq, time) = (stored.header.seq, stored.header.time);
        last = Some(seq);
        if range.since.is_some_and(|since| time < since) {
            return false; // times never go back along the sequence: nothing older fits
        }
        if range.until.is_some_and(|until| time >= until) {
            return true;
        }
        match pick(stored) {
            Ok(found) => items.extend(found),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let next = last.filter(|_| more).map(|seq| Cursor { seq, n: 0 });
    Ok(Page { items, next })
}
