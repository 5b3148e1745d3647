//! The versions of a playbook: which texts were in force, since when, and who put them there.
//!
//! Every load of a set is an entry of the history that names the digest of each playbook, so that the versions are read
//! from there and nothing is kept twice.

use model::event::Actor;
use model::history::EntryKind;
use model::{Digest, Seq, Time};
use serde::Deserialize;
use store::{Page, Store};

use super::{Error, Range, scan};

/// One text that was in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The entry of the load that put it in force.
    pub seq: Seq,
    /// Since when.
    pub since: Time,
    /// Who loaded it.
    pub actor: Actor,
    /// The digest of the text; nothing when the playbook was taken away.
    pub digest: Option<Digest>,
}

/// What the entry of a load says.
#[derive(Deserialize)]
struct Loaded {
    playbooks: Vec<(String, Digest)>,
}

/// The versions of a playbook, newest first: a load that changed nothing of it is passed over. The oldest one of a page is
/// the oldest load that the page looked at, so that a version may be shown again at the head of the next page.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn versions(store: &dyn Store, id: &str, range: Range) -> Result<Page<Version>, Error> {
    let all = Range { limit: usize::MAX, ..range };
    let page = scan::entries(store, all, |stored| {
        if stored.header.kind != EntryKind::PlaybooksLoaded {
            return Ok(None);
        }
        let Some(entry) = stored.entry else { return Ok(None) };
        let seq = entry.header.seq;
        let loaded: Loaded =
            serde_json::from_slice(&entry.payload).map_err(|e| Error::Record { seq, error: e.into() })?;
        let digest = loaded.playbooks.into_iter().find(|(name, _)| name == id).map(|(_, digest)| digest);
        Ok(Some(Version { seq, since: entry.header.time, actor: entry.header.actor, digest }))
    })?;
    let mut items: Vec<Version> = Vec::new();
    for version in page.items {
        match items.last_mut() {
            // The older load put the same text in force: it is the one that began the version.
            Some(last) if last.digest == version.digest => *last = version,
            _ => items.push(version),
        }
    }
    // A playbook that was not there before its first version is no version.
    if page.next.is_none() && items.last().is_some_and(|oldest| oldest.digest.is_none()) {
        items.pop();
    }
    items.truncate(range.limit);
    Ok(Page { items, next: page.next })
}
