//! Identifiers. To callers they are opaque strings; inside they say where the thing lies, so that no index is needed.
//!
//! An event is numbered by the sequence number of the history entry that accepted it, a run by the entry that started
//! it. Each also carries the entry's random tag: after a restore from a backup the sequence continues from an older
//! number, and a receiver that remembers `webhook-id`s must not mistake a new run for one it has seen.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::record::Kind;

/// A position in the one gap-free history. The first entry is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// What it should have been, with an article.
    pub expected: &'static str,
}

/// Which event: `evt-SEQUENCE-TAG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The history entry that accepted it.
    pub seq: Seq,
    /// That entry's random tag (24 bits).
    pub tag: u32,
}

/// Which run: `run-SEQUENCE-N-TAG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The history entry that started it.
    pub seq: Seq,
    /// Its number among the runs that this entry started, from 0.
    pub n: u16,
    /// That entry's random tag (24 bits).
    pub tag: u32,
}

/// Which delivery: `dlv-SEQUENCE-N-TAG-INDEX`, the index counting the deliveries of that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The run that sends it.
    pub run: RunId,
    /// Its number among the deliveries of that run, from 0.
    pub index: u32,
}

/// Which question: `apr-SEQUENCE-N-TAG-INDEX`, the index counting the steps of that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId {
    /// The run that asks.
    pub run: RunId,
    /// The number of its step that does, from 0.
    pub index: u32,
}

fn hex<T: TryFrom<u64>>(part: Option<&str>) -> Option<T> {
    let part = part?;
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    T::try_from(u64::from_str_radix(part, 16).ok()?).ok()
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt-{:010x}-{:06x}", self.seq.0, self.tag)
    }
}

impl FromStr for EventId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<EventId, IdError> {
        let fail = || IdError { text: text.chars().take(80).collect(), expected: "an event id" };
        let mut parts = text.strip_prefix("evt-").ok_or_else(fail)?.split('-');
        let id = (|| Some(EventId { seq: Seq(hex(parts.next())?), tag: hex(parts.next())? }))().ok_or_else(fail)?;
        if parts.next().is_some() { Err(fail()) } else { Ok(id) }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run-{:010x}-{:x}-{:06x}", self.seq.0, self.n, self.tag)
    }
}

impl FromStr for RunId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<RunId, IdError> {
        let fail = || IdError { text: text.chars().take(80).collect(), expected: "a run id" };
        let mut parts = text.strip_prefix("run-").ok_or_else(fail)?.split('-');
        let id = (|| Some(RunId { seq: Seq(hex(parts.next())?), n: hex(parts.next())?, tag: hex(parts.next())? }))()
            .ok_or_else(fail)?;
        if parts.next().is_some() { Err(fail()) } else { Ok(id) }
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dlv-{:010x}-{:x}-{:06x}-{:x}", self.run.seq.0, self.run.n, self.run.tag, self.index)
    }
}

impl FromStr for DeliveryId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<DeliveryId, IdError> {
        let fail = || IdError { text: text.chars().take(80).collect(), expected: "a delivery id" };
        let rest = text.strip_prefix("dlv-").ok_or_else(fail)?;
        let (run, index) = rest.rsplit_once('-').ok_or_else(fail)?;
        let run = format!("run-{run}").parse().map_err(|_| fail())?;
        Ok(DeliveryId { run, index: hex(Some(index)).ok_or_else(fail)? })
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "apr-{:010x}-{:x}-{:06x}-{:x}", self.run.seq.0, self.run.n, self.run.tag, self.index)
    }
}

impl FromStr for ApprovalId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<ApprovalId, IdError> {
        let fail = || IdError { text: text.chars().take(80).collect(), expected: "an approval id" };
        let rest = text.strip_prefix("apr-").ok_or_else(fail)?;
        let (run, index) = rest.rsplit_once('-').ok_or_else(fail)?;
        let run = format!("run-{run}").parse().map_err(|_| fail())?;
        Ok(ApprovalId { run, index: hex(Some(index)).ok_or_else(fail)? })
    }
}

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
as_text!(ApprovalId, EventId, RunId, DeliveryId, Digest);

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        use sha2::Digest as _;
        Digest(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Digest, IdError> {
        let fail = || IdError { text: text.chars().take(80).collect(), expected: "a SHA-256 digest in hexadecimal" };
        if text.len() != 64 || !text.is_ascii() {
            return Err(fail());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = hex(text.get(2 * i..2 * i + 2)).ok_or_else(fail)?;
        }
        Ok(Digest(bytes))
    }
}

/// Which stored object: an alert, a case or an entity of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Whose it is; `default` where no tenants are configured.
    pub tenant: String,
    /// What it is.
    pub kind: Kind,
    /// Its id at the source (prefixed with the source's name where sources could collide). Entities: `host/ws-17`.
    pub id: String,
}

impl fmt::Display for ObjectKey {
    /// `alert:A-1`, with the tenant in front where it is not `default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tenant == "default" {
            write!(f, "{}:{}", self.kind, self.id)
        } else {
            write!(f, "{}/{}:{}", self.tenant, self.kind, self.id)
        }
    }
}

/// Whether a playbook, destination or tenant may have this name: `[a-z0-9-]{1,64}`.
pub fn is_name(text: &str) -> bool {
    (1..=crate::limits::PLAYBOOK_ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_as_written() {
        let run = RunId { seq: Seq(499), n: 3, tag: 0xa3_f9c2 };
        assert_eq!(run.to_string(), "run-00000001f3-3-a3f9c2");
        assert_eq!(run.to_string().parse::<RunId>().unwrap(), run);
        let delivery = DeliveryId { run, index: 17 };
        assert_eq!(delivery.to_string().parse::<DeliveryId>().unwrap(), delivery);
        let event = EventId { seq: Seq(u64::from(u32::MAX) * 9), tag: 1 };
        assert_eq!(event.to_string().parse::<EventId>().unwrap(), event);
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in ["", "evt-", "run-1", "evt-1-2-3", "evt-../x", "evt-+1-1", "evt-1G-1"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert!(is_name("notify-desk-2"));
        for bad in ["", "A", "../x", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
