//! How a vendor's sender is known: none, bearer, basic, a header, or a signature over the raw bytes of the body.
//!
//! Invariants: a secret that is missing or empty is an error when the server starts, never an open door; secrets are
//! compared in constant time; of several secrets (a rotation) each one opens.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::outbound::Secret;
use engine::outbound::sign::{Scheme, Signed, TOLERANCE_SECONDS, verify_standard};
use engine::source::SignedKey;
use model::{Digest, Time};
use subtle::ConstantTimeEq as _;

/// One or more secrets that open the same door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secrets(Vec<Secret>);

/// A secret that is missing or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is missing or empty")]
pub(crate) struct Missing;

impl Secrets {
    /// Takes at least one secret, none of them empty.
    ///
    /// # Errors
    /// [`Missing`].
    pub(crate) fn new(all: Vec<Secret>) -> Result<Secrets, Missing> {
        if all.is_empty() || all.iter().any(Secret::is_blank) { Err(Missing) } else { Ok(Secrets(all)) }
    }

    fn open(&self, given: &[u8]) -> bool {
        // All are compared, so that the time does not tell which one it was.
        self.0.iter().fold(false, |open, secret| secret.is(given) | open)
    }
}

/// How the sender of a source is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Not at all: the configuration says so in so many words.
    Anyone,
    /// `Authorization: Bearer SECRET`.
    Bearer(Secrets),
    /// `Authorization: Basic …`.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Secrets,
    },
    /// A header with a secret value.
    Header {
        /// Its name.
        name: HeaderName,
        /// The value.
        value: Secrets,
    },
    /// An HMAC over the body in a header.
    Hmac {
        /// The header.
        name: HeaderName,
        /// How it is made and written.
        scheme: Scheme,
        /// The keys.
        secrets: Secrets,
        /// The header of the signed time, where one is signed.
        timestamp: HeaderName,
        /// The header that makes a repeat recognisable, where the sender has one of its own.
        key: Option<HeaderName>,
        /// How long the same body is taken for a replay where no time is signed, in seconds.
        replay_seconds: u64,
    },
    /// A secret as the last part of the path, for products that cannot set headers.
    PathToken(Secrets),
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks.
    StandardWebhooks(Secrets),
}

/// Why a sender is not let in. For the log and the history; the sender itself is told less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// Nothing was presented.
    #[error("no credentials were presented")]
    Absent,
    /// What was presented is wrong.
    #[error("the credentials presented are wrong")]
    Wrong,
    /// The signed time is too far from now, or is none.
    #[error("the signed time is not within {TOLERANCE_SECONDS} seconds of now")]
    Stale,
}

impl Sender {
    /// Whether the request may come in, as far as its header tells: a signature is only looked for.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub(crate) fn check(&self, headers: &HeaderMap, path_token: Option<&str>) -> Result<(), Denied> {
        match self {
            Sender::Anyone => Ok(()),
            Sender::PathToken(secrets) => {
                judge(path_token.filter(|given| !given.is_empty()), |given| secrets.open(given.as_bytes()))
            }
            Sender::Bearer(secrets) => judge(bearer(headers), |given| secrets.open(given.as_bytes())),
            Sender::Basic { user, password } => judge(basic(headers), |(given, secret)| {
                let same: bool = Digest::of(given.as_bytes()).0.ct_eq(&Digest::of(user.as_bytes()).0).into();
                same & password.open(&secret)
            }),
            Sender::Header { name, value } => judge(headers.get(name), |given| value.open(given.as_bytes())),
            Sender::Hmac { name, .. } => judge(headers.get(name), |_| true),
            Sender::StandardWebhooks(_) => judge(headers.get(SIGNATURE), |_| true),
        }
    }

    /// Whether the signature over the body holds; the body as it was sent, decoded from its content encoding only.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub(crate) fn check_body(&self, headers: &HeaderMap, body: &[u8], now: Time) -> Result<(), Denied> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Sender::Hmac { name, scheme, secrets, timestamp, .. } => {
                let given = text(name.as_str()).ok_or(Denied::Absent)?;
                let seconds = match scheme.signed {
                    Signed::Body => 0,
                    Signed::TimestampBody | Signed::Slack => fresh(text(timestamp.as_str()), now)?,
                };
                scheme.verify(&secrets.0, given, seconds, body).map_err(|_| Denied::Wrong)
            }
            Sender::StandardWebhooks(secrets) => {
                let id = text(ID).ok_or(Denied::Absent)?;
                let signatures = text(SIGNATURE).ok_or(Denied::Absent)?;
                fresh(text(TIMESTAMP), now)?;
                let parts = (id, text(TIMESTAMP).unwrap_or_default(), signatures);
                verify_standard(&secrets.0, parts, body, now).map_err(|_| Denied::Wrong)
            }
            _ => Ok(()),
        }
    }

    /// What makes a repeat of this sender's requests recognisable, beside the usual headers: an id of its own.
    pub(crate) fn own_key<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        match self {
            Sender::Hmac { key: Some(key), .. } => headers.get(key),
            _ => None,
        }
    }

    /// What is signed and tells a replay, whatever the headers beside it say: a signed id, the signature over a time,
    /// which only a replay has twice, or that over the body.
    pub(crate) fn signed_key<'h>(&self, headers: &'h HeaderMap) -> Option<SignedKey<'h>> {
        let usual = model::limits::REPLAY_WINDOW_SECONDS;
        let (name, seconds) = match self {
            Sender::Hmac { name, scheme, replay_seconds, .. } if scheme.signed == Signed::Body => {
                (name.as_str(), *replay_seconds)
            }
            Sender::Hmac { name, .. } => (name.as_str(), usual),
            Sender::StandardWebhooks(_) => (ID, usual),
            _ => return None,
        };
        let text = headers.get(name)?.to_str().ok()?;
        let text = if let Sender::Hmac { scheme, .. } = self { scheme.bare(text) } else { text };
        Some(SignedKey { text, seconds })
    }

    /// Whether the secret is part of the path.
    pub(crate) const fn in_path(&self) -> bool {
        matches!(self, Sender::PathToken(_))
    }

    /// What to ask for in `WWW-Authenticate`.
    pub(crate) const fn challenge(&self) -> &'static str {
        match self {
            Sender::Basic { .. } => "Basic realm=\"sortie\"",
            _ => "Bearer realm=\"sortie\"",
        }
    }
}

const ID: &str = "webhook-id";
pub(crate) const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// A signed time, in seconds, that is near enough to now: an older message may be a replay.
fn fresh(text: Option<&str>, now: Time) -> Result<i64, Denied> {
    let seconds: i64 = text.ok_or(Denied::Absent)?.parse().map_err(|_| Denied::Stale)?;
    let away = now.millis().div_euclid(1000).checked_sub(seconds).and_then(i64::checked_abs);
    if away.is_none_or(|away| away > TOLERANCE_SECONDS) { Err(Denied::Stale) } else { Ok(seconds) }
}

fn judge<T>(given: Option<T>, right: impl FnOnce(T) -> bool) -> Result<(), Denied> {
    let given = given.ok_or(Denied::Absent)?;
    if right(given) { Ok(()) } else { Err(Denied::Wrong) }
}

/// The credentials of a scheme in `Authorization`.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim_start_matches(' '))
}

/// The secret of `Authorization: Bearer SECRET`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    credentials(headers, "bearer")
}

fn basic(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let decoded = STANDARD.decode(credentials(headers, "basic")?).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(all: &[&str]) -> Secrets {
        Secrets::new(all.iter().map(|s| Secret::new(*s)).collect()).unwrap()
    }

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_missing_or_empty_secret_is_an_error() {
        for bad in [vec![], vec![Secret::new("")], vec![Secret::new("good"), Secret::new(" \n")]] {
            assert_eq!(Secrets::new(bad), Err(Missing));
        }
    }

    #[test]
    fn a_bearer_is_let_in_by_the_new_and_the_old_secret_only() {
        let sender = Sender::Bearer(secrets(&["new", "old"]));
        assert_eq!(sender.check(&HeaderMap::new(), None), Err(Denied::Absent));
        for (given, outcome) in [
            ("Bearer new", Ok(())),
            ("bearer old", Ok(())),
            ("Bearer older", Err(Denied::Wrong)),
            ("Bearer ", Err(Denied::Wrong)),
            ("Basic new", Err(Denied::Absent)),
        ] {
            assert_eq!(sender.check(&with("authorization", given), None), outcome, "{given}");
        }
    }

    #[test]
    fn basic_needs_the_user_and_the_password() {
        let sender = Sender::Basic { user: "holm".into(), password: secrets(&["a:b"]) };
        for (given, outcome) in [
            ("holm:a:b", Ok(())),
            ("holm:a", Err(Denied::Wrong)),
            ("other:a:b", Err(Denied::Wrong)),
            ("holm", Err(Denied::Absent)),
        ] {
            let value = format!("Basic {}", STANDARD.encode(given));
            assert_eq!(sender.check(&with("authorization", &value), None), outcome, "{given}");
        }
    }

    #[test]
    fn a_header_is_compared_whole() {
        let sender = Sender::Header { name: HeaderName::from_static("x-api-key"), value: secrets(&["k1"]) };
        assert_eq!(sender.check(&with("x-api-key", "k1"), None), Ok(()));
        assert_eq!(sender.check(&with("x-api-key", "k12"), None), Err(Denied::Wrong));
        assert_eq!(sender.check(&with("x-api-key-2", "k1"), None), Err(Denied::Absent));
    }

    fn signed(at: i64, secret: &str, body: &[u8]) -> HeaderMap {
        let signature = engine::outbound::sign::standard(&[Secret::new(secret)], "msg-1", at, body).unwrap();
        let mut headers = with(SIGNATURE, &signature);
        headers.extend(with(ID, "msg-1"));
        headers.extend(with(TIMESTAMP, &at.to_string()));
        headers
    }

    #[test]
    fn a_signed_message_holds_for_its_bytes_its_secrets_and_its_time_only() {
        let sender = Sender::StandardWebhooks(secrets(&["new", "old"]));
        let now = Time::from_millis(1_000_000_000);
        let check = |headers: &HeaderMap, body: &[u8]| {
            sender.check(headers, None).and_then(|()| sender.check_body(headers, body, now))
        };
        assert_eq!(check(&signed(1_000_000, "old", b"{}"), b"{}"), Ok(()));
        assert_eq!(check(&signed(1_000_000, "old", b"{}"), b"{ }"), Err(Denied::Wrong));
        assert_eq!(check(&signed(1_000_000, "other", b"{}"), b"{}"), Err(Denied::Wrong));
        assert_eq!(check(&HeaderMap::new(), b"{}"), Err(Denied::Absent));
        for away in [-360, 360, i64::MAX - 1_000_000] {
            assert_eq!(check(&signed(1_000_000 + away, "old", b"{}"), b"{}"), Err(Denied::Stale), "{away}");
        }
        let mut not_a_time = signed(1_000_000, "old", b"{}");
        not_a_time.extend(with(TIMESTAMP, "NaN"));
        assert_eq!(check(&not_a_time, b"{}"), Err(Denied::Stale));
    }

    #[test]
    fn an_hmac_in_a_header_is_over_the_body() {
        let scheme = Scheme { prefix: "sha256=".into(), ..Scheme::default() };
        let good = scheme.sign(&Secret::new("k"), 0, b"{}").unwrap();
        let name = HeaderName::from_static("x-signature");
        let timestamp = HeaderName::from_static(TIMESTAMP);
        let sender = Sender::Hmac { name, scheme, secrets: secrets(&["k"]), timestamp, key: None, replay_seconds: 60 };
        let now = Time::EPOCH;
        assert_eq!(sender.check_body(&with("x-signature", &good), b"{}", now), Ok(()));
        assert_eq!(sender.check_body(&with("x-signature", &good), b"{} ", now), Err(Denied::Wrong));
        assert_eq!(sender.check_body(&with("x-signature", &good[..20]), b"{}", now), Err(Denied::Wrong));
        assert_eq!(sender.check(&HeaderMap::new(), None), Err(Denied::Absent));
    }

    #[test]
    fn a_token_in_the_path_opens_and_nothing_else_does() {
        let sender = Sender::PathToken(secrets(&["new", "old"]));
        for (given, outcome) in [
            (Some("old"), Ok(())),
            (Some("older"), Err(Denied::Wrong)),
            (Some(""), Err(Denied::Absent)),
            (None, Err(Denied::Absent)),
        ] {
            assert_eq!(sender.check(&HeaderMap::new(), given), outcome, "{given:?}");
        }
    }

    /// The vector that Slack publishes, and its replay key.
    #[test]
    fn a_signature_of_slacks_style_is_over_the_time_and_the_body() {
        let scheme = Scheme { prefix: "v0=".into(), signed: Signed::Slack, ..Scheme::default() };
        let good = scheme.sign(&Secret::new("k"), 1_000_000, b"a=b").unwrap();
        let (name, timestamp) =
            (HeaderName::from_static("x-slack-signature"), HeaderName::from_static("x-slack-request-timestamp"));
        let sender = Sender::Hmac { name, scheme, secrets: secrets(&["k"]), timestamp, key: None, replay_seconds: 60 };
        let mut headers = with("x-slack-signature", &good);
        headers.extend(with("x-slack-request-timestamp", "1000000"));
        let at = |seconds: i64| Time::from_millis(seconds * 1000);
        assert_eq!(sender.check_body(&headers, b"a=b", at(1_000_299)), Ok(()));
        assert_eq!(sender.check_body(&headers, b"a=c", at(1_000_299)), Err(Denied::Wrong));
        assert_eq!(sender.check_body(&headers, b"a=b", at(1_000_301)), Err(Denied::Stale));
        assert_eq!(sender.signed_key(&headers).unwrap().text, &good[3..], "without what may stand in front of it");
    }

    #[test]
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", Sender::Bearer(secrets(&["hunter2"]))).contains("hunter2"));
    }
}
