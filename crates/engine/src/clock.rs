//! The wall clock: the one place where it is read. Everything else is given the time.
//!
//! What is decided and stored uses the store's clock, which never goes back; this one is for log lines, waiting on the
//! network and the store's own start.

use model::Time;

/// The time of this machine, which may jump.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn wall() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
