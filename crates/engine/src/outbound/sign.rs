//! Signatures of bodies: Standard Webhooks, and HMACs as configured.
//!
//! Invariants: the bytes that are signed are the bytes that are sent. Comparing takes the same time wherever the
//! difference is. A missing or empty secret is an error, never an unsigned message.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use model::Time;
use subtle::ConstantTimeEq as _;

use super::secret::Secret;

/// How far a signed time may be from now, in seconds.
pub const TOLERANCE_SECONDS: i64 = 300;
/// Most signatures of one message that are looked at.
pub const SIGNATURES_MAX: usize = 16;
/// What a Standard Webhooks secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hash {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-1, for receivers that know no other.
    Sha1,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Its name in configurations, and in front of signatures.
    pub const fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha256",
            Hash::Sha1 => "sha1",
            Hash::Sha512 => "sha512",
        }
    }
}

/// How the signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signed {
    /// The body.
    #[default]
    Body,
    /// The time in seconds, a full stop, the body; the time goes along as `webhook-timestamp`.
    TimestampBody,
    /// `v0:`, the time in seconds, `:`, the body (Slack).
    Slack,
}

/// Why nothing can be signed or verified with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It begins with `whsec_` and goes on with something else than base64.
    #[error("after `whsec_` it is not base64")]
    NotBase64,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The secret cannot be used.
    #[error("the secret cannot be used: {0}")]
    Key(#[from] KeyError),
    /// The signed time is not a time.
    #[error("the timestamp is not a number of seconds")]
    NotATime,
    /// The signed time is too far from now.
    #[error("the timestamp is more than {TOLERANCE_SECONDS} seconds away")]
    TooOldOrNew,
    /// No signature is the right one.
    #[error("no signature is the right one")]
    Wrong,
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // An HMAC takes a key of any length: this cannot fail.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The HMAC of the parts, one after the other.
pub fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        Hash::Sha256 => mac::<Hmac<sha2::Sha256>>(key, parts),
        Hash::Sha1 => mac::<Hmac<sha1::Sha1>>(key, parts),
        Hash::Sha512 => mac::<Hmac<sha2::Sha512>>(key, parts),
    }
}

fn encode(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Hex => bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
            }
            text
        }),
    }
}

/// The key in a Standard Webhooks secret: base64, with `whsec_` in front or without; what is not base64 is taken as it is.
fn standard_key(secret: &Secret) -> Result<Vec<u8>, KeyError> {
    let text = secret.expose().trim();
    let (text, strict) = text.strip_prefix(SECRET_PREFIX).map_or((text, false), |rest| (rest, true));
    let key = match STANDARD_NO_PAD.decode(text.trim_end_matches('=')) {
        Ok(key) => key,
        Err(_) if strict => return Err(KeyError::NotBase64),
        Err(_) => text.as_bytes().to_vec(),
    };
    if key.is_empty() { Err(KeyError::Empty) } else { Ok(key) }
}

/// The `webhook-signature` of a message: one signature for each secret, so that a receiver that still has the old one
/// and a receiver that already has the new one both find theirs.
///
/// # Errors
/// [`KeyError`] when there is no secret or one cannot be used.
pub fn standard(secrets: &[Secret], id: &str, seconds: i64, body: &[u8]) -> Result<String, KeyError> {
    let time = seconds.to_string();
    let mut all = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let key = standard_key(secret)?;
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        all.push(format!("v1,{}", STANDARD.encode(hmac(Hash::Sha256, &key, &parts))));
    }
    if all.is_empty() { Err(KeyError::Empty) } else { Ok(all.join(" ")) }
}

/// Checks a Standard Webhooks message: any of the secrets may have signed it.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_standard(
    secrets: &[Secret],
    (id, timestamp, signatures): (&str, &str, &str),
    body: &[u8],
    now: Time,
) -> Result<(), VerifyError> {
    let seconds: i64 = timestamp.parse().map_err(|_| VerifyError::NotATime)?;
    let away = (now.millis().div_euclid(1000)).checked_sub(seconds).and_then(i64::checked_abs);
    if away.is_none_or(|away| away > TOLERANCE_SECONDS) {
        return Err(VerifyError::TooOldOrNew);
    }
    let given: Vec<&str> =
        signatures.split(' ').filter_map(|part| part.strip_prefix("v1,")).take(SIGNATURES_MAX).collect();
    let mut good = subtle::Choice::from(0);
    for right in standard(secrets, id, seconds, body)?.split(' ') {
        let right = right.strip_prefix("v1,").unwrap_or(right);
        for signature in &given {
            good |= right.as_bytes().ct_eq(signature.as_bytes());
        }
    }
    if bool::from(good) { Ok(()) } else { Err(VerifyError::Wrong) }
}

/// How an HMAC is made and written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scheme {
    /// Which hash.
    pub hash: Hash,
    /// How it is written.
    pub encoding: Encoding,
    /// What stands in front of it, such as `sha256=`.
    pub prefix: String,
    /// What is signed.
    pub signed: Signed,
}

impl Scheme {
    /// The value of the signature's header.
    ///
    /// # Errors
    /// [`KeyError::Empty`].
    pub fn sign(&self, secret: &Secret, seconds: i64, body: &[u8]) -> Result<String, KeyError> {
        if secret.expose().is_empty() {
            return Err(KeyError::Empty);
        }
        let time = seconds.to_string();
        let key = secret.expose().as_bytes();
        let bytes = match self.signed {
            Signed::Body => hmac(self.hash, key, &[body]),
            Signed::TimestampBody => hmac(self.hash, key, &[time.as_bytes(), b".", body]),
            Signed::Slack => hmac(self.hash, key, &[b"v0:", time.as_bytes(), b":", body]),
        };
        Ok(format!("{}{}", self.prefix, encode(self.encoding, &bytes)))
    }

    /// The signature without what may stand in front of it: one signature has one such form.
    pub fn bare<'g>(&self, given: &'g str) -> &'g str {
        let given = given.trim();
        let given = given.strip_prefix(self.prefix.as_str()).unwrap_or(given);
        // `sha256=` in front is so common that senders who do not document it write it, too.
        let named = given.strip_prefix(self.hash.name()).and_then(|rest| rest.strip_prefix('='));
        named.filter(|_| self.prefix.is_empty()).unwrap_or(given)
    }

    /// Checks a signature: any of the secrets may have made it. The prefix may be missing; every other spelling is wrong, so
    /// that a message has one signature for each secret.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(&self, secrets: &[Secret], given: &str, seconds: i64, body: &[u8]) -> Result<(), VerifyError> {
        if secrets.is_empty() {
            return Err(KeyError::Empty.into());
        }
        let given = self.bare(given);
        let mut good = subtle::Choice::from(0);
        for secret in secrets {
            let right = self.sign(secret, seconds, body)?;
            let right = right.strip_prefix(self.prefix.as_str()).unwrap_or(&right);
            good |= right.as_bytes().ct_eq(given.as_bytes());
        }
        if bool::from(good) { Ok(()) } else { Err(VerifyError::Wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SECONDS: i64 = 1_614_265_330;
    const RIGHT: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn now(seconds: i64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn check(signatures: &str, timestamp: &str, at: i64) -> Result<(), VerifyError> {
        verify_standard(&[Secret::new(KEY)], (ID, timestamp, signatures), BODY, now(at))
    }

    #[test]
    fn published_vectors_of_other_implementations_are_reproduced() {
        let Ok(corpus) = std::env::var("SORTIE_CORPUS") else {
            println!("skipped: SORTIE_CORPUS is not set");
            return;
        };
        let text = std::fs::read_to_string(format!("{corpus}/webhooks/signature-vectors.json")).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut checked = 0;
        for vector in all["vectors"].as_array().unwrap() {
            let field = |name: &str| vector[name].as_str().unwrap();
            let body = vector["body"].as_str().unwrap_or_default().as_bytes();
            let signature = field("signature");
            let made = match field("scheme") {
                "standard-webhooks" => {
                    let header = |name: &str| vector["headers"][name].as_str().unwrap();
                    let seconds = header("webhook-timestamp").parse().unwrap();
                    standard(&[Secret::new(field("secret"))], header("webhook-id"), seconds, body).unwrap()
                }
                "github-x-hub-signature-256" => {
                    let scheme = Scheme { prefix: "sha256=".to_owned(), ..Scheme::default() };
                    scheme.sign(&Secret::new(field("secret")), 0, body).unwrap()
                }
                "slack-v0" => {
                    let time = vector["headers"]["X-Slack-Request-Timestamp"].as_str().unwrap();
                    let parts: [&[u8]; 4] = [b"v0:", time.as_bytes(), b":", body];
                    format!("v0={}", encode(Encoding::Hex, &hmac(Hash::Sha256, field("secret").as_bytes(), &parts)))
                }
                _ => continue,
            };
            assert_eq!(made, signature, "{}", field("scheme"));
            checked += 1;
        }
        assert!(checked >= 4, "{checked} vectors");
    }

    #[test]
    fn a_message_verifies_with_the_secret_that_signed_it_and_with_no_other() {
        assert_eq!(standard(&[Secret::new(KEY)], ID, SECONDS, BODY).unwrap(), RIGHT);
        assert_eq!(check(RIGHT, "1614265330", SECONDS), Ok(()));
        for wrong in [
            "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
            "v1,",
            "v1,g0hM9SsE",
            "",
            "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ] {
            assert_eq!(check(wrong, "1614265330", SECONDS), Err(VerifyError::Wrong), "{wrong}");
        }
        let list = format!("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,x {RIGHT} v1,AAAA");
        assert_eq!(check(&list, "1614265330", SECONDS), Ok(()));
        let changed =
            verify_standard(&[Secret::new(KEY)], (ID, "1614265330", RIGHT), b"{\"test\":2432232314}", now(SECONDS));
        assert_eq!(changed, Err(VerifyError::Wrong));
    }

    #[test]
    fn a_signed_time_must_be_near() {
        for at in [SECONDS - 300, SECONDS + 300] {
            assert_eq!(check(RIGHT, "1614265330", at), Ok(()));
        }
        for at in [SECONDS - 301, SECONDS + 301] {
            assert_eq!(check(RIGHT, "1614265330", at), Err(VerifyError::TooOldOrNew));
        }
        for odd in ["NaN", "", "1.5", "9223372036854775808", "-"] {
            assert_eq!(check(RIGHT, odd, SECONDS), Err(VerifyError::NotATime), "{odd}");
        }
        assert_eq!(check(RIGHT, "-9223372036854775808", SECONDS), Err(VerifyError::TooOldOrNew));
    }

    #[test]
    fn only_so_many_signatures_are_looked_at() {
        let list = format!("{}{RIGHT}", "v1,AAAA ".repeat(SIGNATURES_MAX));
        assert_eq!(check(&list, "1614265330", SECONDS), Err(VerifyError::Wrong));
    }

    #[test]
    fn several_live_secrets_sign_and_each_of_them_verifies() {
        let (new, old) = (Secret::new("whsec_bmV3LXNlY3JldA=="), Secret::new(KEY));
        let both = standard(&[new.clone(), old.clone()], ID, SECONDS, BODY).unwrap();
        assert_eq!(both.split(' ').count(), 2);
        for secret in [new, old] {
            assert_eq!(verify_standard(&[secret], (ID, "1614265330", &both), BODY, now(SECONDS)), Ok(()));
        }
    }

    #[test]
    fn a_secret_that_cannot_be_one_is_an_error_and_never_an_unsigned_message() {
        for (text, error) in [("", KeyError::Empty), ("whsec_", KeyError::Empty), ("whsec_!!", KeyError::NotBase64)] {
            assert_eq!(standard(&[Secret::new(text)], ID, SECONDS, BODY), Err(error));
            assert_eq!(
                verify_standard(&[Secret::new(text)], (ID, "1614265330", RIGHT), BODY, now(SECONDS)),
                Err(VerifyError::Key(error))
            );
        }
        assert_eq!(standard(&[], ID, SECONDS, BODY), Err(KeyError::Empty));
        assert_eq!(Scheme::default().sign(&Secret::new(""), 0, BODY), Err(KeyError::Empty));
        assert_eq!(Scheme::default().verify(&[], "", 0, BODY), Err(VerifyError::Key(KeyError::Empty)));
        let without_prefix = KEY.strip_prefix("whsec_").unwrap();
        assert_eq!(standard(&[Secret::new(without_prefix)], ID, SECONDS, BODY).unwrap(), RIGHT);
        assert!(standard(&[Secret::new("not base64 at all!")], ID, SECONDS, BODY).is_ok());
    }

    #[test]
    fn an_hmac_is_written_as_configured_and_read_back_by_any_live_secret() {
        let (new, old) = (Secret::new("new"), Secret::new("old"));
        for hash in [Hash::Sha256, Hash::Sha1, Hash::Sha512] {
            for encoding in [Encoding::Hex, Encoding::Base64] {
                for signed in [Signed::Body, Signed::TimestampBody] {
                    let scheme = Scheme { hash, encoding, prefix: "x=".to_owned(), signed };
                    let made = scheme.sign(&old, SECONDS, BODY).unwrap();
                    assert!(made.starts_with("x="));
                    let both = [new.clone(), old.clone()];
                    assert_eq!(scheme.verify(&both, &made, SECONDS, BODY), Ok(()));
                    assert_eq!(scheme.verify(&both, &made[2..], SECONDS, BODY), Ok(()), "the prefix may be missing");
                    assert_eq!(scheme.verify(&both[..1], &made, SECONDS, BODY), Err(VerifyError::Wrong));
                    assert_eq!(scheme.verify(&both, &made, SECONDS, b"other"), Err(VerifyError::Wrong));
                    let later = scheme.verify(&both, &made, SECONDS + 1, BODY);
                    assert_eq!(later.is_err(), signed == Signed::TimestampBody);
                }
            }
        }
    }
}
