//! The brake on guessing: how many wrong secrets an address may present in a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong secrets that an address may present in one window.
pub(crate) const FAILURES_MAX: u32 = 10;
/// The length of a window.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Most addresses that are remembered; beyond it the oldest windows are forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// Counts wrong secrets by address and by what they were for (a source's name; empty for the API).
#[derive(Debug, Default)]
pub(crate) struct Brake {
    seen: Mutex<HashMap<(IpAddr, String), Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Instant,
    failures: u32,
}

/// What follows from a wrong secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Say no.
    Refuse,
    /// Say that it is too much, and when to come back.
    TooMany(Duration),
}

impl Brake {
    /// Whether the address must wait before another secret of it is looked at.
    pub(crate) fn wait(&self, address: IpAddr, scope: &str, now: Instant) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_empty() {
            return None; // the ordinary case, and the hot path
        }
        seen.get(&(network(address), scope.to_owned())).and_then(|seen| seen.wait(now))
    }

    /// Counts a wrong secret.
    pub(crate) fn failed(&self, address: IpAddr, scope: &str, now: Instant) -> Verdict {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES_MAX {
            all.retain(|_, seen| now.duration_since(seen.since) < WINDOW);
        }
        if all.len() >= ADDRESSES_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, seen)| seen.since).map(|(key, _)| key.clone())
        {
            all.remove(&oldest);
        }
        let seen = all.entry((network(address), scope.to_owned())).or_insert(Seen { since: now, failures: 0 });
        if now.duration_since(seen.since) >= WINDOW {
            *seen = Seen { since: now, failures: 0 };
        }
        if let Some(wait) = seen.wait(now) {
            return Verdict::TooMany(wait);
        }
        seen.failures += 1;
        Verdict::Refuse
    }
}

impl Seen {
    fn wait(&self, now: Instant) -> Option<Duration> {
        let age = now.duration_since(self.since);
        (self.failures >= FAILURES_MAX && age < WINDOW).then(|| WINDOW - age)
    }
}

/// What counts as one address: of IPv6 the first 64 bits, since one sender has the rest to play with.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let s = v6.segments();
            IpAddr::from([s[0], s[1], s[2], s[3], 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_wrong_secret_in_a_minute_must_wait_and_others_do_not() {
        let (brake, now) = (Brake::default(), Instant::now());
        let (bad, good) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([203, 0, 113, 10]));
        for _ in 0..FAILURES_MAX {
            assert_eq!(brake.failed(bad, "", now), Verdict::Refuse);
        }
        assert_eq!(brake.failed(bad, "", now), Verdict::TooMany(WINDOW));
        assert_eq!(brake.wait(bad, "", now), Some(WINDOW));
        assert_eq!(brake.wait(good, "", now), None);
        assert_eq!(brake.wait(bad, "exabeam", now), None, "another door is another count");
        assert_eq!(brake.failed(bad, "", now + WINDOW), Verdict::Refuse);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (brake, now) = (Brake::default(), Instant::now());
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 10 {
            brake.failed(IpAddr::from(n.to_be_bytes()), "", now);
        }
        assert!(brake.seen.lock().unwrap().len() <= ADDRESSES_MAX);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let (brake, now) = (Brake::default(), Instant::now());
        for n in 0..FAILURES_MAX {
            brake.failed(format!("2001:db8::{n}").parse().unwrap(), "", now);
        }
        assert!(brake.wait("2001:db8::ffff".parse().unwrap(), "", now).is_some());
    }
}
