//! What listings and pages show: functions from the store to plain structs. They block.
//!
//! Invariants: nothing is changed here; a page looks at a bounded number of keys for a bounded time, and says where to go
//! on even when it found nothing; what retention has dropped is said to be gone, never made up.

pub mod audit;
pub mod deliveries;
pub mod events;
pub mod found;
pub mod looks;
pub mod objects;
pub mod playbooks;
pub mod runs;
mod scan;
pub mod search;
pub mod stats;

use model::history::{EntryKind, Header};
use model::{Kind, ObjectKey, Seq};
pub use scan::Range;
use serde::Deserialize;

use crate::record::RecordError;

/// Why something cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An entry cannot be read.
    #[error("entry {seq}: {error}")]
    Record {
        /// Which entry.
        seq: Seq,
        /// Why not.
        error: RecordError,
    },
    /// What a run's history says does not fit together.
    #[error("the history of a run does not fit together: {0}")]
    Run(#[from] model::run::RunError),
}

/// What a listing needs to know of an accepted event before it reads all of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Brief {
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) tenant: String,
}

/// Reads the brief form of an `event.accepted`.
pub(crate) fn brief(seq: Seq, payload: &[u8]) -> Result<Brief, Error> {
    serde_json::from_slice(payload).map_err(|e| Error::Record { seq, error: e.into() })
}

/// The object that an entry is about, as its header names it.
pub(crate) fn object_of(header: &Header) -> Option<ObjectKey> {
    if header.kind != EntryKind::EventAccepted {
        return None;
    }
    parse_object(&header.object)
}

/// Reads what [`ObjectKey`] writes: `alert:A-1`, or `acme/alert:A-1`.
pub fn parse_object(text: &str) -> Option<ObjectKey> {
    let of_kind = |text: &str| {
        let (kind, id) = text.split_once(':')?;
        let kind = Kind::ALL.into_iter().find(|k| k.name() == kind)?;
        Some((kind, id.to_owned()))
    };
    if let Some((kind, id)) = of_kind(text) {
        return Some(ObjectKey { tenant: "default".to_owned(), kind, id });
    }
    let (tenant, rest) = text.split_once('/')?;
    let (kind, id) = of_kind(rest)?;
    Some(ObjectKey { tenant: tenant.to_owned(), kind, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_name_is_read_back_whatever_its_id_holds() {
        for (tenant, kind, id) in [
            ("default", Kind::Alert, "A-1"),
            ("default", Kind::Entity, "host/ws-17"),
            ("acme", Kind::Case, "x/case:7"),
            ("default", Kind::Case, "case:x/y"),
        ] {
            let key = ObjectKey { tenant: tenant.into(), kind, id: id.into() };
            assert_eq!(parse_object(&key.to_string()), Some(key));
        }
        for none in ["", "run:run-1", "token:alice", "alert"] {
            assert_eq!(parse_object(none), None, "{none}");
        }
    }
}
