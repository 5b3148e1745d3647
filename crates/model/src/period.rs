//! Lengths of time as people write them in playbooks: `20s`, `10m`, `1h30m`, `6h`, `2d`, `1w`, `500ms`.

use std::fmt::Write as _;
use std::time::Duration;

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write a number with a unit, such as `20s`, `10m`, `1h30m`, `6h` or `2d`")]
pub struct PeriodError {
    /// What was given.
    pub text: String,
}

/// Units from the largest to the smallest, in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a length of time: numbers with units, the largest first, at most ten years in all.
///
/// # Errors
/// [`PeriodError`] when the text is anything else.
pub fn parse(text: &str) -> Result<Duration, PeriodError> {
    let fail = || PeriodError { text: text.to_owned() };
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fail)?;
        let number: u64 = rest[..digits].parse().map_err(|_| fail())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(fail)?;
        if *millis >= last_unit {
            return Err(fail());
        }
        last_unit = *millis;
        total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or_else(fail)?;
        rest = &rest[letters..];
    }
    if total > 10 * 366 * 86_400_000 { Err(fail()) } else { Ok(Duration::from_millis(total)) }
}

/// Writes a length of time as [`parse`] reads it.
pub fn format(period: Duration) -> String {
    let mut rest = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (name, millis) in UNITS {
        if rest >= millis {
            let _ = write!(out, "{}{name}", rest / millis);
            rest %= millis;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["20s", "10m", "1h30m", "6h", "2d", "1w", "500ms", "1w2d3h4m5s6ms"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn bare_numbers_unknown_units_and_wrong_orders_are_refused() {
        for text in ["", "10", "m", "5 minutes", "1m1h", "1h1h", "-5s", "99999999999999999999s", "20y", "1.5h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
