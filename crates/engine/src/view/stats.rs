//! Figures about alerts and cases: how many are open and where, how old they are, how long closing takes.
//!
//! Counted anew each time from the objects themselves, within the bounds of a search.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{Kind, Object, Time};
use store::Store;

use super::Error;
use super::found::{MILLIS_MAX, OBJECTS_MAX};

/// How many of something there are, by name. What has no value stands under `none`.
pub type Counts = BTreeMap<String, u64>;

/// Lengths of time, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spans {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: u64,
    /// Half of them are no longer than this.
    pub p50: u64,
    /// Nine of ten are no longer than this.
    pub p90: u64,
    /// The longest.
    pub max: u64,
}

/// Figures about alerts and cases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Cases.
    pub cases: u64,
    /// Cases that are not closed.
    pub open: u64,
    /// Cases by stage, closed ones included.
    pub by_stage: Counts,
    /// Open cases by priority.
    pub open_by_priority: Counts,
    /// Open cases by queue.
    pub open_by_queue: Counts,
    /// Open cases by assignee.
    pub open_by_assignee: Counts,
    /// Closed cases by reason.
    pub closed_by_reason: Counts,
    /// How long open cases have been open.
    pub age: Spans,
    /// How long it took from the creation of a case to its end.
    pub time_to_close: Spans,
    /// Alerts.
    pub alerts: u64,
    /// Alerts by priority.
    pub alerts_by_priority: Counts,
    /// Alerts that belong to no case.
    pub alerts_without_case: u64,
    /// Whether everything was counted.
    pub complete: bool,
}

/// Counts what there is, of one tenant or of all.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn figures(store: &dyn Store, tenant: Option<&str>, closed_stage: &str) -> Result<Figures, Error> {
    let now = store.now();
    let mut all = Figures { complete: true, ..Figures::default() };
    let (mut ages, mut closings) = (Vec::new(), Vec::new());
    walk(store, Kind::Case, tenant, &mut all, &mut |all, case| {
        all.cases += 1;
        count(&mut all.by_stage, case, "stage");
        let created = time(case, "created_time").unwrap_or(case.meta.created_at);
        if case.text("stage") == Some(closed_stage) {
            count(&mut all.closed_by_reason, case, "closed_reason");
            closings.extend(time(case, "closed_time").map(|closed| closed.since(created).as_secs()));
            return;
        }
        all.open += 1;
        ages.push(now.since(created).as_secs());
        count(&mut all.open_by_priority, case, "priority");
        count(&mut all.open_by_queue, case, "queue");
        count(&mut all.open_by_assignee, case, "assignee");
    })?;
    walk(store, Kind::Alert, tenant, &mut all, &mut |all, alert| {
        all.alerts += 1;
        count(&mut all.alerts_by_priority, alert, "priority");
        all.alerts_without_case += u64::from(alert.text("case_id").is_none());
    })?;
    (all.age, all.time_to_close) = (spans(ages), spans(closings));
    Ok(all)
}

fn walk(
    store: &dyn Store,
    kind: Kind,
    tenant: Option<&str>,
    all: &mut Figures,
    take: &mut dyn FnMut(&mut Figures, &Object),
) -> Result<(), Error> {
    let deadline = Instant::now() + Duration::from_millis(MILLIS_MAX);
    let mut looked = 0_usize;
    store.objects(kind, &mut |key, object| {
        if looked >= OBJECTS_MAX || (looked.is_multiple_of(256) && Instant::now() >= deadline) {
            all.complete = false;
            return false;
        }
        looked += 1;
        if tenant.is_none_or(|tenant| tenant == key.tenant) {
            take(all, &object);
        }
        true
    })?;
    Ok(())
}

/// Most names that are counted apart; the rest stands under `other`.
const NAMES_MAX: usize = 200;

fn count(counts: &mut Counts, object: &Object, field: &str) {
    let name = object.text(field).unwrap_or("none");
    let name = if counts.len() >= NAMES_MAX && !counts.contains_key(name) { "other" } else { name };
    *counts.entry(name.to_owned()).or_default() += 1;
}

fn time(object: &Object, field: &str) -> Option<Time> {
    object.text(field).and_then(|text| Time::parse(text).ok())
}

fn spans(mut all: Vec<u64>) -> Spans {
    all.sort_unstable();
    let count = all.len() as u64;
    let at = |share: usize| all.get((all.len() * share).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0);
    let mean = all.iter().map(|span| u128::from(*span)).sum::<u128>() / u128::from(count.max(1));
    Spans {
        count,
        mean: u64::try_from(mean).unwrap_or(u64::MAX),
        p50: at(50),
        p90: at(90),
        max: all.last().copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_what_a_person_would_count() {
        assert_eq!(spans((1..=10).collect()), Spans { count: 10, mean: 5, p50: 5, p90: 9, max: 10 });
        assert_eq!(spans(vec![7]), Spans { count: 1, mean: 7, p50: 7, p90: 7, max: 7 });
        assert_eq!(spans(Vec::new()), Spans::default());
    }
}
