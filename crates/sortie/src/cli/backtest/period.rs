//! Between which times a back-test is.

use model::Time;

use crate::cli::exit::Error;

/// A time, or a length of time back from `now`.
///
/// # Errors
/// [`Error::Usage`] when it is neither.
pub(super) fn time(name: &str, text: &str, now: Time) -> Result<Time, Error> {
    if let Ok(time) = Time::parse(text) {
        return Ok(time);
    }
    match model::period::parse(text) {
        Ok(period) => Ok(now.minus(period)),
        Err(error) => Err(Error::Usage {
            message: format!("{name}: {error}"),
            help: "write a length of time back from now, such as `30d`, or an instant, such as `2026-03-01T00:00:00Z`"
                .to_owned(),
        }),
    }
}
