//! When a failed try is followed by another: pure.

use std::time::Duration;

use model::Time;
use playbook::{Backoff, Retry};

use super::SendError;

/// Longest wait that a receiver may ask for with `Retry-After` (1 hour).
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How long to wait after try number `attempt` (from 1) failed. `hint` is the receiver's `Retry-After`, `random` a number
/// from 0 to 1.
///
/// Half of the policy's wait is fixed, the other half random, so that senders that failed together do not come back
/// together. A hint is never undercut, and is honoured up to [`RETRY_AFTER_MAX`].
pub fn delay(policy: &Retry, attempt: u32, hint: Option<Duration>, random: f64) -> Duration {
    let steps = attempt.max(1) - 1;
    let grown = match policy.backoff {
        Backoff::Exponential => policy.first.saturating_mul(2_u32.saturating_pow(steps)),
        Backoff::Linear => policy.first.saturating_mul(steps.saturating_add(1)),
        Backoff::Fixed => policy.first,
    };
    let half = grown.min(policy.cap) / 2;
    let part = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
    let wait = half + half.mul_f64(part);
    wait.max(hint.unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// Whether a try that ended so may be followed by another: network errors, timeouts, 408, 429 and 5xx; never another 4xx,
/// and never what our own policy refused.
pub fn retryable(status: Option<u16>, error: Option<&SendError>) -> bool {
    match (error, status) {
        (Some(error), None) => error.is_transient(),
        (_, Some(status)) => matches!(status, 408 | 429 | 500..=599),
        (None, None) => false,
    }
}

/// How long a `Retry-After` header asks to wait: seconds, or a date.
pub fn retry_after(header: &str, now: Time) -> Option<Duration> {
    let text = header.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Time::from_micros(date.timestamp().as_microsecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Retry = Retry::NETWORK;

    fn policy(backoff: Backoff) -> Retry {
        Retry { max: 3, backoff, first: Duration::from_secs(2), cap: Duration::from_secs(9) }
    }

    #[test]
    fn the_wait_grows_as_the_policy_says() {
        for (backoff, seconds) in
            [(Backoff::Exponential, [2, 4, 8, 9]), (Backoff::Linear, [2, 4, 6, 8]), (Backoff::Fixed, [2, 2, 2, 2])]
        {
            for (attempt, expected) in (1..).zip(seconds) {
                assert_eq!(
                    delay(&policy(backoff), attempt, None, 1.0),
                    Duration::from_secs(expected),
                    "{backoff:?} {attempt}"
                );
            }
        }
    }

    #[test]
    fn a_receivers_hint_is_honoured_and_clamped() {
        assert_eq!(delay(&PLAIN, 1, Some(Duration::from_secs(3600)), 0.0), Duration::from_secs(3600));
        let hostile = retry_after("1000000000000", Time::EPOCH);
        assert_eq!(delay(&PLAIN, 1, hostile, 0.0), RETRY_AFTER_MAX);
        let beyond = retry_after("99999999999999999999999999", Time::EPOCH);
        assert_eq!(delay(&PLAIN, 1, beyond, 0.0), RETRY_AFTER_MAX);
    }

    #[test]
    fn a_hint_may_be_a_date() {
        let now = Time::parse("2026-11-25T10:00:00Z").unwrap();
        assert_eq!(retry_after("Wed, 25 Nov 2026 10:02:00 GMT", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 25 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-5", now), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(retryable(Some(status), None), "{status}");
        }
        for status in [200, 204, 301, 307, 400, 401, 403, 404, 409, 410, 422] {
            assert!(!retryable(Some(status), None), "{status}");
        }
        assert!(!retryable(None, Some(&SendError::Blocked)));
        assert!(retryable(None, Some(&SendError::Timeout)));
        assert!(!retryable(Some(404), Some(&SendError::Timeout)), "an answer that broke off is still an answer");
    }

    proptest! {
        #[test]
        fn the_wait_is_always_inside_its_bounds(
            first in 0_u64..100_000, cap in 0_u64..10_000_000, attempt in 0_u32..u32::MAX,
            hint in proptest::option::of(0_u64..u64::MAX / 1000), random in proptest::num::f64::ANY, kind in 0..3,
        ) {
            let backoff = [Backoff::Exponential, Backoff::Linear, Backoff::Fixed][kind as usize];
            let policy = Retry { max: 3, backoff, first: Duration::from_millis(first), cap: Duration::from_millis(cap) };
            let hint = hint.map(Duration::from_secs);
            let wait = delay(&policy, attempt, hint, random);
            let asked = hint.unwrap_or_default().min(RETRY_AFTER_MAX);
            prop_assert!(wait >= asked);
            prop_assert!(wait <= policy.cap.max(asked));
            prop_assert!(wait >= policy.first.min(policy.cap) / 2);
        }
    }
}
