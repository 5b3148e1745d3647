//! The watchlist as it is kept: entries of the configuration, and those that people added through the API.

use model::record::{PRIORITIES, priority};
use model::triage::Watched;
use serde::{Deserialize, Serialize};
use store::Store;

/// The mark under which entries that people added are kept.
const PREFIX: &str = "watch/";

/// Where an entry comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The configuration: changed there only.
    File,
    /// The API.
    People {
        /// Who added it.
        by: String,
        /// When, RFC 3339.
        at: String,
    },
}

/// An entry of the watchlist, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The entry.
    pub watched: Watched,
    /// Where it comes from.
    pub origin: Origin,
}

/// What is kept of an entry that people added.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    kind: String,
    id: String,
    reason: String,
    priority: Option<String>,
    tenant: Option<String>,
    by: String,
    at: String,
}

/// The name of an entry's mark.
pub fn mark_of(kind: &str, id: &str, tenant: Option<&str>) -> String {
    let digest = model::Digest::of(format!("{}\0{}\0{kind}", tenant.unwrap_or_default(), id.to_lowercase()).as_bytes());
    format!("{PREFIX}{digest}")
}

impl Entry {
    /// The mark that keeps it.
    pub(crate) fn mark(&self) -> store::Mark {
        let (by, at) = match &self.origin {
            Origin::File => (String::new(), String::new()),
            Origin::People { by, at } => (by.clone(), at.clone()),
        };
        let w = &self.watched;
        let kept = Kept {
            kind: w.kind.clone(),
            id: w.id.clone(),
            reason: w.reason.clone(),
            priority: w.priority.map(str::to_owned),
            tenant: w.tenant.clone(),
            by,
            at,
        };
        (mark_of(&w.kind, &w.id, w.tenant.as_deref()), serde_json::to_vec(&kept).ok())
    }
}

/// All entries: those of the configuration, then those that people added.
///
/// # Errors
/// [`store::Error`] when they cannot be read.
pub fn entries(file: &[Watched], store: &dyn Store) -> Result<Vec<Entry>, store::Error> {
    let mut all: Vec<Entry> =
        file.iter().map(|watched| Entry { watched: watched.clone(), origin: Origin::File }).collect();
    for (_, value) in store.marks(PREFIX)? {
        let Ok(kept) = serde_json::from_slice::<Kept>(&value) else { continue };
        let known = kept.priority.as_deref().and_then(priority);
        let watched = Watched {
            kind: kept.kind,
            id: kept.id,
            reason: kept.reason,
            priority: known.filter(|name| PRIORITIES.contains(name)),
            tenant: kept.tenant,
        };
        all.push(Entry { watched, origin: Origin::People { by: kept.by, at: kept.at } });
    }
    Ok(all)
}
