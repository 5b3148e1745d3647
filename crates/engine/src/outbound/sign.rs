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
        };
        Ok(format!("{}{}", self.prefix, encode(self.encoding, &bytes)))
    }

    /// Checks a signature: any of the secrets may have made it. The prefix may be missing; hexadecimal may be upper-case.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(&self, secrets: &[Secret], given: &str, seconds: i64, body: &[u8]) -> Result<(), VerifyError> {
        if secrets.is_empty() {
            return Err(KeyError::Empty.into());
        }
        let given = given.strip_prefix(self.prefix.as_str()).unwrap_or(given);
        let given = if self.encoding == Encoding::Hex { given.to_ascii_lowercase() } else { given.to_owned() };
        let mut good = subtle::Choice::from(0);
        for secret in secrets {
            let right = self.sign(secret, seconds, body)?;
            let right = right.strip_prefix(self.prefix.as_str()).unwrap_or(&right);
            good |= right.as_bytes().ct_eq(given.as_bytes());
        }
        if bool::from(good) { Ok(()) } else { Err(VerifyError::Wrong) }
    }
}
