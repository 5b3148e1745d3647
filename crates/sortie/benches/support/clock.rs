//! One clock for several processes.

use std::time::UNIX_EPOCH;

/// Microseconds since 1970, so that a time taken here can be compared with one that another process took.
#[expect(
    clippy::disallowed_methods,
    reason = "generator, receiver and server are processes of their own: only the wall clock is common to them"
)]
pub(crate) fn wall_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
