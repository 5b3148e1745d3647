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
    /// The commit that the folder stood at, where it is a git checkout.
    pub commit: Option<Commit>,
}

/// What is recorded of a git checkout when its files are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Commit {
    /// The commit.
    pub commit: String,
    /// Its author, with the address.
    pub author: String,
    /// Files of the folder that were changed since, as git names them.
    #[serde(default)]
    pub uncommitted: Option<Vec<String>>,
}

/// What the entry says that stands after each load: where the files come from.
#[derive(Deserialize)]
struct FilesRead {
    git: Option<Commit>,
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
    let mut read: Option<Commit> = None;
    let page = scan::entries(store, all, |stored| {
        // Newest first: where the files of a load come from is met before the load itself.
        if stored.header.kind == EntryKind::Server {
            let files = stored.entry.and_then(|entry| serde_json::from_slice::<FilesRead>(&entry.payload).ok());
            read = files.and_then(|files| files.git).or(read.take());
            return Ok(None);
        }
        if stored.header.kind != EntryKind::PlaybooksLoaded {
            return Ok(None);
        }
        let Some(entry) = stored.entry else { return Ok(None) };
        let seq = entry.header.seq;
        let loaded: Loaded =
            serde_json::from_slice(&entry.payload).map_err(|e| Error::Record { seq, error: e.into() })?;
        let digest = loaded.playbooks.into_iter().find(|(name, _)| name == id).map(|(_, digest)| digest);
        let (since, actor, commit) = (entry.header.time, entry.header.actor, read.take());
        Ok(Some(Version { seq, since, actor, digest, commit }))
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
