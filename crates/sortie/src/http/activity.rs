//! What the server did lately: the engine's counters, noted every ten minutes for the last day. They live in memory, so
//! that a look costs nothing whatever the store holds; a restart begins anew.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::Figures;
use model::Time;

/// How often the counters are noted.
pub(crate) const EVERY: Duration = Duration::from_secs(600);
/// Notes that are kept: a day of them.
const KEPT: usize = 144;

/// The counters at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    events: u64,
    runs: u64,
    failed: u64,
    delivered: u64,
    undelivered: u64,
}

impl Counts {
    fn of(figures: &Figures) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (failed, attention) = (of(&figures.runs_failed), of(&figures.runs_need_attention));
        Counts {
            events: of(&figures.events_accepted),
            runs: of(&figures.runs_succeeded) + failed + attention,
            failed: failed + attention,
            delivered: of(&figures.deliveries_delivered),
            undelivered: of(&figures.deliveries_failed),
        }
    }

    fn since(self, earlier: Counts) -> Counts {
        Counts {
            events: self.events.saturating_sub(earlier.events),
            runs: self.runs.saturating_sub(earlier.runs),
            failed: self.failed.saturating_sub(earlier.failed),
            delivered: self.delivered.saturating_sub(earlier.delivered),
            undelivered: self.undelivered.saturating_sub(earlier.undelivered),
        }
    }
}

/// What was done between two notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Slice {
    /// When it began.
    pub(crate) from: Time,
    /// Events accepted.
    pub(crate) events: u64,
    /// Runs that ended.
    pub(crate) runs: u64,
    /// Of these, runs that failed or need attention.
    pub(crate) failed: u64,
    /// Deliveries that were taken.
    pub(crate) delivered: u64,
    /// Deliveries that failed for good.
    pub(crate) undelivered: u64,
}

/// The notes.
#[derive(Debug, Default)]
pub(crate) struct Activity(Mutex<VecDeque<(Time, Counts)>>);

impl Activity {
    /// Notes the counters.
    pub(crate) fn note(&self, figures: &Figures, now: Time) {
        self.put(Counts::of(figures), now);
    }

    fn put(&self, counts: Counts, now: Time) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= KEPT {
            notes.pop_front();
        }
        notes.push_back((now, counts));
    }

    /// What was done between each two notes, and since the last one, oldest first.
    pub(crate) fn slices(&self, figures: &Figures, now: Time) -> Vec<Slice> {
        self.until(Counts::of(figures), now)
    }

    fn until(&self, counts: Counts, now: Time) -> Vec<Slice> {
        let mut notes: Vec<(Time, Counts)> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        notes.push((now, counts));
        let slice = |pair: &[(Time, Counts)]| {
            let [(from, earlier), (_, later)] = pair else { return None };
            let Counts { events, runs, failed, delivered, undelivered } = later.since(*earlier);
            Some(Slice { from: *from, events, runs, failed, delivered, undelivered })
        };
        notes.windows(2).filter_map(slice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(events: u64) -> Counts {
        Counts { events, runs: events / 2, ..Counts::default() }
    }

    #[test]
    fn what_was_done_is_the_difference_between_two_notes() {
        let activity = Activity::default();
        assert!(activity.until(counts(7), Time::EPOCH).is_empty(), "before the first note nothing is known");
        activity.put(counts(0), Time::from_millis(0));
        activity.put(counts(10), Time::from_millis(600_000));
        let slices = activity.until(counts(16), Time::from_millis(700_000));
        let told: Vec<_> = slices.iter().map(|slice| (slice.from.millis(), slice.events, slice.runs)).collect();
        assert_eq!(told, [(0, 10, 5), (600_000, 6, 3)]);
    }

    #[test]
    fn a_day_is_kept() {
        let activity = Activity::default();
        for n in 0..1_000 {
            activity.put(counts(n), Time::from_millis(i64::try_from(n).unwrap()));
        }
        assert_eq!(activity.until(counts(1_000), Time::from_millis(1_000)).len(), KEPT);
    }
}
