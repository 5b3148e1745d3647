//! Instants: microseconds since 1970-01-01T00:00:00Z, written as RFC 3339 UTC.
//!
//! Sortie's own clock ticks in milliseconds; microseconds are kept because vendors send them (Exabeam's API counts
//! epoch microseconds) and a time that came in must go out unchanged.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text is not RFC 3339 with an offset.
    #[error("`{0}` is not an RFC 3339 time with an offset, such as `2026-11-22T08:00:00Z`")]
    NotRfc3339(String),
    /// The text is not a date and time at all.
    #[error("`{0}` is not a date and time")]
    NotATime(String),
    /// No such time zone in the IANA database.
    #[error("`{0}` is not an IANA time zone, such as `Europe/Stockholm`")]
    NoSuchZone(String),
    /// The number is outside of what a calendar can say.
    #[error("`{0}` is out of range for a time")]
    OutOfRange(i64),
}

impl Time {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Time = Time(0);
    /// The last instant that can be written; used for "never".
    pub const MAX: Time = Time(253_402_207_200_000_000);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Time {
        Time(micros)
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Time {
        Time(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant, and `by` later. Stops at [`Time::MAX`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Time {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Time(self.0.saturating_add(micros).min(Time::MAX.0))
    }

    /// This instant, and `by` earlier.
    #[must_use]
    pub fn minus(self, by: Duration) -> Time {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Time(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339; an offset is required.
    ///
    /// # Errors
    /// [`TimeError::NotRfc3339`] when it is anything else.
    pub fn parse(text: &str) -> Result<Time, TimeError> {
        text.parse::<jiff::Timestamp>()
            .map(|t| Time(t.as_microsecond()))
            .map_err(|_| TimeError::NotRfc3339(text.to_owned()))
    }

    /// Reads RFC 3339, or a date and time without an offset as it is meant in `zone` (ambiguous: the earlier; in the
    /// gap of a clock change: forward).
    ///
    /// # Errors
    /// [`TimeError`] when it is neither, or there is no such zone.
    pub fn parse_in_zone(text: &str, zone: &str) -> Result<Time, TimeError> {
        if let Ok(time) = Time::parse(text) {
            return Ok(time);
        }
        let civil: jiff::civil::DateTime = text.parse().map_err(|_| TimeError::NotATime(text.to_owned()))?;
        let zone = jiff::tz::TimeZone::get(zone).map_err(|_| TimeError::NoSuchZone(zone.to_owned()))?;
        let zoned =
            zone.to_ambiguous_timestamp(civil).compatible().map_err(|_| TimeError::NotATime(text.to_owned()))?;
        Ok(Time(zoned.as_microsecond()))
    }
}

impl fmt::Display for Time {
    /// RFC 3339 UTC with milliseconds, or with microseconds where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = jiff::Timestamp::from_microsecond(self.0.min(Time::MAX.0)).unwrap_or(jiff::Timestamp::MIN);
        if self.0 % 1000 == 0 { write!(f, "{stamp:.3}") } else { write!(f, "{stamp:.6}") }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Time::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exabeams_microseconds_survive_a_round_trip() {
        let time = Time::from_micros(1_743_728_988_934_673);
        assert_eq!(time.to_string(), "2025-04-04T01:09:48.934673Z");
        assert_eq!(Time::parse(&time.to_string()).unwrap(), time);
    }

    #[test]
    fn whole_milliseconds_are_written_with_three_digits() {
        assert_eq!(Time::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_time_without_an_offset_needs_a_zone() {
        assert!(Time::parse("2018-08-21 12:02").is_err());
        let time = Time::parse_in_zone("2018-08-21 12:02", "Europe/Stockholm").unwrap();
        assert_eq!(time.to_string(), "2018-08-21T10:02:00.000Z");
    }

    #[test]
    fn an_ambiguous_hour_is_the_earlier_and_a_missing_one_goes_forward() {
        let autumn = Time::parse_in_zone("2026-10-25T02:30:00", "Europe/Berlin").unwrap();
        assert_eq!(autumn.to_string(), "2026-10-25T00:30:00.000Z");
        let spring = Time::parse_in_zone("2026-03-29T02:30:00", "Europe/Berlin").unwrap();
        assert_eq!(spring.to_string(), "2026-03-29T01:30:00.000Z");
    }
}
