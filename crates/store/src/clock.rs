//! The one place of this crate that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Time;

/// What a store reads the time from. Tests give their own.
pub type Clock = fn() -> Time;

/// The wall clock. It may go back; [`crate::Store::now`] does not.
#[expect(clippy::disallowed_methods, reason = "the store's clock is defined over the wall clock; it is read only here")]
pub fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(0))
}
