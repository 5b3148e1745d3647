//! The history: one gap-free sequence of entries.
//!
//! An entry is a small canonical header and a commitment to its payload, `sha256(salt ‖ payload)`. The payload lies
//! apart, so that retention can drop it and the header still verifies; the salt goes with the payload, so that a
//! dropped payload cannot be guessed from its commitment. The histories of a run, an alert or a case are lists of
//! sequence numbers into this one.

use serde::{Deserialize, Serialize};

use crate::event::Actor;
use crate::id::{Digest, Seq};
use crate::time::Time;

/// What kind of fact an entry records. The names are stored: they are never renamed or used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// An event was accepted, with its transitions, its decisions and the runs it started.
    #[serde(rename = "event.accepted")]
    EventAccepted,
    /// Somebody read an alert or a case.
    #[serde(rename = "object.read")]
    ObjectRead,
    /// A run went on: attempts, steps, its end.
    #[serde(rename = "run.progressed")]
    RunProgressed,
    /// Something was refused: a login, a body, a permission.
    #[serde(rename = "refused")]
    Refused,
    /// A set of playbooks was loaded.
    #[serde(rename = "playbooks.loaded")]
    PlaybooksLoaded,
    /// A setting was changed by a person: a token, a toggle, a pause.
    #[serde(rename = "setting.changed")]
    SettingChanged,
    /// The server started or stopped.
    #[serde(rename = "server")]
    Server,
    /// Payloads were dropped by retention.
    #[serde(rename = "retention.swept")]
    RetentionSwept,
    /// Evidence was taken away.
    #[serde(rename = "audit.exported")]
    Exported,
}

impl EntryKind {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            EntryKind::EventAccepted => "event.accepted",
            EntryKind::ObjectRead => "object.read",
            EntryKind::RunProgressed => "run.progressed",
            EntryKind::Refused => "refused",
            EntryKind::PlaybooksLoaded => "playbooks.loaded",
            EntryKind::SettingChanged => "setting.changed",
            EntryKind::Server => "server",
            EntryKind::RetentionSwept => "retention.swept",
            EntryKind::Exported => "audit.exported",
        }
    }
}

/// The header of an entry. Its fields stand in the order of RFC 8785 (by name), and none of them is a fraction, so that
/// plain serialisation is the canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who is behind it.
    pub actor: Actor,
    /// What kind of fact.
    pub kind: EntryKind,
    /// Which server wrote it.
    pub node: String,
    /// What it is about: `alert:A-1`, `run:run-…`, `token:alice`; empty when nothing in particular.
    pub object: String,
    /// `sha256(salt ‖ payload)`.
    pub payload: Digest,
    /// Its position.
    pub seq: Seq,
    /// When it was committed, by the store's clock.
    pub time: Time,
}

/// The secret part of a commitment.
pub type Salt = [u8; 16];

/// An entry that is about to be committed, or was read with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The header.
    pub header: Header,
    /// The secret part of the commitment.
    pub salt: Salt,
    /// The payload, JSON.
    pub payload: Vec<u8>,
}

impl Entry {
    /// An entry over a payload; computes the commitment.
    pub fn new(
        kind: EntryKind,
        at: (Seq, Time),
        who: (String, Actor),
        object: String,
        salt: Salt,
        payload: Vec<u8>,
    ) -> Entry {
        let (seq, time) = at;
        let (node, actor) = who;
        let header = Header { actor, kind, node, object, payload: commitment(&salt, &payload), seq, time };
        Entry { header, salt, payload }
    }

    /// Whether the payload is the one that the header commits to.
    pub fn verifies(&self) -> bool {
        commitment(&self.salt, &self.payload) == self.header.payload
    }

    /// The entry's random tag, part of the ids of what it records.
    pub fn tag(salt: &Salt) -> u32 {
        u32::from_be_bytes([0, salt[0], salt[1], salt[2]])
    }
}

/// `sha256(salt ‖ payload)`.
pub fn commitment(salt: &Salt, payload: &[u8]) -> Digest {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    hash.update(salt);
    hash.update(payload);
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_in_canonical_form() {
        let entry = Entry::new(
            EntryKind::EventAccepted,
            (Seq(7), Time::from_millis(1000)),
            ("n1".to_owned(), Actor::Source("exabeam".to_owned())),
            "alert:A-1".to_owned(),
            [7; 16],
            b"{}".to_vec(),
        );
        let text = serde_json::to_string(&entry.header).unwrap();
        let sorted: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text, sorted.to_string(), "keys in order, no spaces");
        assert!(entry.verifies());
        let mut changed = entry;
        changed.payload.push(b' ');
        assert!(!changed.verifies());
    }
}
