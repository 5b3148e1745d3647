//! The one place of this crate that reads the wall clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::Time;

/// What a store reads the time from. Tests give their own.
pub type Clock = fn() -> Time;

/// The wall clock. It may go back; [`crate::Store::now`] does not.
#[expect(clippy::disallowed_methods, reason = "the store's clock is defined over the wall clock; it is read only here")]
pub fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(0))
}

/// The wall clock as long as it goes forward. When it is set back the time goes on from where it was, at its pace, so that
/// what is due does not stand still until the wall clock is there again.
pub(crate) fn steady() -> Time {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    static AHEAD: AtomicI64 = AtomicI64::new(i64::MIN);
    let passed = ORIGIN.get_or_init(Instant::now).elapsed();
    let passed = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
    Time::from_micros(follow(&AHEAD, passed, wall().micros()))
}

/// The time after `passed` microseconds, where the wall clock says `wall`; `ahead` is the most that it ever was ahead of
/// the other.
fn follow(ahead: &AtomicI64, passed: i64, wall: i64) -> i64 {
    let now = wall.saturating_sub(passed);
    passed.saturating_add(ahead.fetch_max(now, Ordering::AcqRel).max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_with_the_wall_clock_and_on_at_its_pace_when_that_is_set_back() {
        let ahead = AtomicI64::new(i64::MIN);
        let hour = 3_600_000_000;
        for (passed, wall, expected) in [
            (0, 50 * hour, 50 * hour),
            (hour, 51 * hour, 51 * hour),
            // Set back by ten hours, then forward by a day, then right again.
            (2 * hour, 42 * hour, 52 * hour),
            (3 * hour, 43 * hour, 53 * hour),
            (4 * hour, 78 * hour, 78 * hour),
            (5 * hour, 55 * hour, 79 * hour),
        ] {
            assert_eq!(follow(&ahead, passed, wall), expected, "after {passed}");
        }
        assert!(steady() <= steady());
    }
}
