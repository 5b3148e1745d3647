//! When a schedule is due: cron expressions in a time zone, right through clock changes.
//!
//! Invariant: [`Schedule::next_after`] is a function of the expression, the zone and its argument alone, so that the
//! live engine, a restart and a back-test find the same instants.

use std::cmp::Ordering;
use std::sync::Arc;

use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};
use model::Time;

/// What happens with instants that passed while the server was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// Nothing.
    Skip,
    /// The latest one is made up for.
    #[default]
    Latest,
    /// Each one is made up for, up to a limit.
    All,
}

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The expression as written.
    pub cron: String,
    /// The IANA time zone.
    pub timezone: String,
    /// What happens with missed instants.
    pub missed: Missed,
    parsed: Arc<Cron>,
    zone: TimeZone,
}

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression cannot be read.
    #[error("`{cron}` is not a cron expression: {why}")]
    Cron {
        /// What was given.
        cron: String,
        /// What is wrong with it.
        why: String,
    },
    /// No such time zone.
    #[error("`{zone}` is not an IANA time zone, such as `Europe/Stockholm`")]
    Zone {
        /// What was given.
        zone: String,
    },
}

impl Schedule {
    /// Reads a cron expression (five fields; six with seconds first; seven with a year last).
    ///
    /// # Errors
    /// [`ScheduleError`] when the expression or the zone is not one.
    pub fn new(cron: &str, timezone: &str, missed: Missed) -> Result<Schedule, ScheduleError> {
        let zone = TimeZone::get(timezone).map_err(|_| ScheduleError::Zone { zone: timezone.to_owned() })?;
        let parsed = cron
            .parse::<Cron>()
            .map_err(|error| ScheduleError::Cron { cron: cron.to_owned(), why: error.to_string() })?;
        Ok(Schedule { cron: cron.to_owned(), timezone: timezone.to_owned(), missed, parsed: Arc::new(parsed), zone })
    }

    /// The first instant strictly after `after`; nothing when there is none.
    pub fn next_after(&self, after: Time) -> Option<Time> {
        let start = Timestamp::from_microsecond(after.micros()).ok()?.to_zoned_datetime(self.zone.clone());
        let next = self.parsed.find_next_occurrence(&Zoned(start), false).ok()?;
        Some(Time::from_micros(next.0.timestamp().as_microsecond()))
    }
}

/// A date and time in a zone, as the cron search sees it.
#[derive(Debug, Clone)]
struct Zoned(ZonedDateTime);

/// A part of a date or time, which is never negative.
fn part(value: i8) -> u32 {
    u32::from(value.unsigned_abs())
}

/// The same part for the calendar; out of its range when it does not fit.
fn small(value: u32) -> i8 {
    i8::try_from(value).unwrap_or(i8::MAX)
}

impl CronDateTime for Zoned {
    fn to_civil(&self) -> CivilDateTime {
        let local = self.0.datetime();
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(local.year()), part(local.month()), part(local.day())),
            CivilTime::from_parts_unchecked(part(local.hour()), part(local.minute()), part(local.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(part(self.0.weekday().to_sunday_zero_offset()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let (date, time) = (civil.date(), civil.time());
        let local = DateTime::new(
            year,
            small(date.month()),
            small(date.day()),
            small(time.hour()),
            small(time.minute()),
            small(time.second()),
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let ambiguous = self.0.time_zone().clone().into_ambiguous_zoned_datetime(local);
        let found = |zoned: Result<ZonedDateTime, jiff::Error>| zoned.map(Zoned).map_err(|_| CronError::InvalidTime);
        Ok(match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(found(ambiguous.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(found(ambiguous.clone().earlier())?, found(ambiguous.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Zoned)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::new(cron, zone, Missed::Latest).unwrap();
        let mut at = Time::parse(after).unwrap();
        let mut found = Vec::new();
        while found.len() < count {
            at = schedule.next_after(at).unwrap();
            found.push(at.to_string());
        }
        found
    }

    #[test]
    fn half_past_two_comes_once_in_autumn_in_berlin() {
        let found = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(found, ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"]);
    }

    #[test]
    fn half_past_two_is_not_forgotten_in_spring_in_berlin() {
        let found = times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
        assert!(found[0].starts_with("2026-03-29T01:"), "{found:?}");
        assert_eq!(found[1], "2026-03-30T00:30:00.000Z");
    }

    #[test]
    fn weekdays_follow_the_zone_and_zero_and_seven_are_sunday() {
        let found = times("0 8 * * MON-FRI", "Europe/Stockholm", "2026-11-27T12:00:00Z", 1);
        assert_eq!(found, ["2026-11-30T07:00:00.000Z"]);
        for sunday in ["0 0 * * 0", "0 0 * * 7", "0 0 * * SUN"] {
            assert_eq!(times(sunday, "UTC", "2026-11-25T00:00:00Z", 1), ["2026-11-29T00:00:00.000Z"], "{sunday}");
        }
    }

    #[test]
    fn six_fields_begin_with_seconds_and_seven_end_with_a_year() {
        assert_eq!(
            times("*/20 * * * * *", "UTC", "2026-11-25T00:00:00Z", 2),
            ["2026-11-25T00:00:20.000Z", "2026-11-25T00:00:40.000Z"]
        );
        assert_eq!(times("0 0 0 1 1 * 2030", "UTC", "2026-11-25T00:00:00Z", 1), ["2030-01-01T00:00:00.000Z"]);
    }

    #[test]
    fn a_schedule_that_never_comes_has_no_next() {
        let schedule = Schedule::new("0 0 0 1 1 * 2020", "UTC", Missed::Skip).unwrap();
        assert_eq!(schedule.next_after(Time::parse("2026-11-25T00:00:00Z").unwrap()), None);
    }

    #[test]
    fn what_is_no_cron_or_no_zone_is_refused() {
        assert!(matches!(Schedule::new("61 * * * *", "UTC", Missed::All), Err(ScheduleError::Cron { .. })));
        assert!(matches!(Schedule::new("* * *", "UTC", Missed::All), Err(ScheduleError::Cron { .. })));
        assert!(matches!(Schedule::new("* * * * *", "Europe/Atlantis", Missed::All), Err(ScheduleError::Zone { .. })));
    }
}
