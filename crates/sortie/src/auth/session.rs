//! Sessions of browsers: who has signed in, until when.
//!
//! A session is 256 random bits in a cookie, known here by their digest. Sessions live in memory only: a restart ends
//! them all, and nothing that opens anything lies on the disk. What the holder may do is asked anew at every request, so
//! that a deleted token or a changed role counts at once.
//!
//! What the identity provider said about a person cannot be asked anew, so such a session ends early and the person comes
//! back through the provider.
//!
//! Invariants: a session ends after its lifetime, at most [`LIFETIME`], whatever happens and after [`IDLE`] without a request that a person
//! made; there are at most [`SESSIONS_MAX`], the one that was used longest ago makes room.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Digest;

use super::oidc::Identity;

/// How long a session lasts.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3_600);
/// How long a session lasts without a request.
pub(crate) const IDLE: Duration = Duration::from_secs(2 * 3_600);
/// Most sessions.
pub(crate) const SESSIONS_MAX: usize = 10_000;
/// The cookie.
pub(crate) const COOKIE: &str = "sortie_session";
/// Random bytes in a session's secret.
pub(crate) const SECRET_BYTES: usize = 32;

/// Who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// The holder of the token with this digest.
    Token(Digest),
    /// The user of this name.
    User(String),
    /// A person whom the identity provider knows; the role stays what it was at the sign-in.
    Person(Box<Identity>),
}

#[derive(Debug, Clone)]
struct Session {
    who: Who,
    began: Instant,
    seen: Instant,
    lifetime: Duration,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.began) >= self.lifetime || now.duration_since(self.seen) >= IDLE
    }
}

/// All sessions.
pub(crate) struct Sessions {
    all: Mutex<HashMap<Digest, Session>>,
    key: [u8; SECRET_BYTES],
}

impl Sessions {
    /// None yet. `key` is random; what the pages put into their forms is made with it.
    pub(crate) fn new(key: [u8; SECRET_BYTES]) -> Sessions {
        Sessions { all: Mutex::default(), key }
    }

    /// The key of this process.
    pub(crate) fn key(&self) -> &[u8; SECRET_BYTES] {
        &self.key
    }

    /// Begins a session that lasts at most `lifetime`; answers the secret for the cookie.
    pub(crate) fn begin(&self, who: Who, random: &[u8; SECRET_BYTES], now: Instant, lifetime: Duration) -> String {
        let secret = URL_SAFE_NO_PAD.encode(random);
        let mut all = self.lock();
        if all.len() >= SESSIONS_MAX {
            all.retain(|_, session| !session.is_over(now));
        }
        if all.len() >= SESSIONS_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, session)| session.seen).map(|(digest, _)| *digest)
        {
            all.remove(&oldest);
        }
        all.insert(
            Digest::of(secret.as_bytes()),
            Session { who, began: now, seen: now, lifetime: lifetime.min(LIFETIME) },
        );
        secret
    }

    /// Whose session it is. `by_person` is off for what a page asks by itself: that keeps no session alive.
    pub(crate) fn find(&self, secret: &str, by_person: bool, now: Instant) -> Option<Who> {
        let digest = Digest::of(secret.as_bytes());
        let mut all = self.lock();
        let session = all.get_mut(&digest)?;
        if session.is_over(now) {
            all.remove(&digest);
            return None;
        }
        if by_person {
            session.seen = now;
        }
        Some(session.who.clone())
    }

    /// Ends a session.
    pub(crate) fn end(&self, secret: &str) {
        self.lock().remove(&Digest::of(secret.as_bytes()));
    }

    /// Ends the sessions of one holder.
    pub(crate) fn end_all_of(&self, who: &Who) {
        self.lock().retain(|_, session| session.who != *who);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secret of a session that a request carries. Two cookies of the name are none: one of them was put there by
/// somebody else.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    named_cookie(headers, COOKIE)
}

/// The value of a cookie that stands once.
pub(crate) fn named_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
    let mut ours = pairs.filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
    match (ours.next(), ours.next()) {
        (Some(only), None) if !only.is_empty() => Some(only),
        _ => None,
    }
}

/// `Set-Cookie` for a session; `secure` where the pages are reached over TLS.
pub(crate) fn set_cookie(secret: &str, lifetime: Duration, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!(
        "{COOKIE}={secret}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        lifetime.min(LIFETIME).as_secs()
    )
}

/// `Set-Cookie` that takes the cookie away.
pub(crate) fn clear_cookie(secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn who(n: u8) -> Who {
        Who::Token(Digest::of(&[n]))
    }

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_signing_out() {
        let (sessions, now) = (Sessions::new([1; SECRET_BYTES]), Instant::now());
        let secret = sessions.begin(who(1), &[7; SECRET_BYTES], now, LIFETIME);
        assert_eq!(sessions.find(&secret, true, now + IDLE / 2), Some(who(1)));
        assert_eq!(sessions.find(&secret, false, now + IDLE), Some(who(1)));
        assert_eq!(sessions.find(&secret, false, now + IDLE / 2 + IDLE), None, "what a page asks keeps nothing alive");
        let secret = sessions.begin(who(1), &[8; SECRET_BYTES], now, LIFETIME);
        let mut at = now;
        while at < now + LIFETIME {
            assert_eq!(sessions.find(&secret, true, at), Some(who(1)));
            at += IDLE / 2;
        }
        assert_eq!(sessions.find(&secret, true, now + LIFETIME), None);
        let secret = sessions.begin(who(2), &[9; SECRET_BYTES], now, LIFETIME);
        sessions.end(&secret);
        assert_eq!(sessions.find(&secret, true, now), None);
    }

    #[test]
    fn a_session_of_a_shorter_life_ends_earlier_and_none_lives_longer_than_the_longest() {
        let (sessions, now) = (Sessions::new([1; SECRET_BYTES]), Instant::now());
        let (short, long) = (Duration::from_secs(600), LIFETIME * 2);
        let secret = sessions.begin(who(1), &[7; SECRET_BYTES], now, short);
        assert_eq!(sessions.find(&secret, true, now + short - Duration::from_secs(1)), Some(who(1)));
        assert_eq!(sessions.find(&secret, true, now + short), None);
        assert!(set_cookie("x", short, false).contains("Max-Age=600;"));
        let secret = sessions.begin(who(1), &[8; SECRET_BYTES], now, long);
        for at in 1..13 {
            sessions.find(&secret, true, now + Duration::from_secs(at * 3_600) - Duration::from_secs(1));
        }
        assert_eq!(sessions.find(&secret, true, now + LIFETIME), None);
    }

    #[test]
    fn all_sessions_of_a_holder_end_together_and_no_others() {
        let (sessions, now) = (Sessions::new([1; SECRET_BYTES]), Instant::now());
        let (a, b) = (
            sessions.begin(who(1), &[1; SECRET_BYTES], now, LIFETIME),
            sessions.begin(who(1), &[2; SECRET_BYTES], now, LIFETIME),
        );
        let other = sessions.begin(who(2), &[3; SECRET_BYTES], now, LIFETIME);
        sessions.end_all_of(&who(1));
        assert_eq!((sessions.find(&a, true, now), sessions.find(&b, true, now)), (None, None));
        assert_eq!(sessions.find(&other, true, now), Some(who(2)));
    }

    #[test]
    fn sessions_are_bounded_and_the_one_used_longest_ago_goes() {
        let (sessions, now) = (Sessions::new([1; SECRET_BYTES]), Instant::now());
        let mut random = [0; SECRET_BYTES];
        let first = sessions.begin(who(1), &random, now, LIFETIME);
        for n in 1..=u32::try_from(SESSIONS_MAX).unwrap() {
            random[..4].copy_from_slice(&n.to_be_bytes());
            sessions.begin(who(2), &random, now + Duration::from_secs(1), LIFETIME);
        }
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
        assert_eq!(sessions.find(&first, true, now), None);
    }

    #[test]
    fn the_cookie_is_found_among_others_and_two_of_them_are_none() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=1; sortie_session=abc; b=2"));
        assert_eq!(cookie(&headers), Some("abc"));
        headers.insert(header::COOKIE, HeaderValue::from_static("sortie_session=abc; sortie_session=def"));
        assert_eq!(cookie(&headers), None);
        headers.insert(header::COOKIE, HeaderValue::from_static("not_sortie_session=abc"));
        assert_eq!(cookie(&headers), None);
        assert!(set_cookie("x", LIFETIME, true).ends_with("HttpOnly; SameSite=Strict; Secure"));
    }
}
