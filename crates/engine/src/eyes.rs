//! Four eyes on enabling: a text of a playbook that is new here starts nothing until a person switches it on, and it is the
//! caller's business that this person is not its author.
//!
//! What waits is kept as a mark with the digest of the text, so that it waits over restarts; a text that was in force when
//! the option was switched on stays in force. Without the option nothing waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Digest;
use playbook::Playbook;
use store::{Error, Store};

use crate::engine::PLAYBOOK_PREFIX;
use crate::people::is_made;

/// The marks of the texts that wait, by the playbook's id.
const PREFIX: &str = "second-person/";

/// The playbooks whose text waits for a second person, if these are put in force now.
///
/// # Errors
/// [`Error`] when the store fails.
pub(crate) fn waiting(store: &dyn Store, playbooks: &[Arc<Playbook>]) -> Result<BTreeSet<String>, Error> {
    let mut waiting = BTreeSet::new();
    // What is made from a person's own notification is no text that anybody wrote.
    for playbook in playbooks.iter().filter(|playbook| !is_made(playbook)) {
        let kept = store.mark(&mark(&playbook.id))?;
        let digest = playbook.digest.to_string();
        let waited = kept.is_some_and(|kept| kept == digest.as_bytes());
        let loaded = store.mark(&format!("{PLAYBOOK_PREFIX}{}", playbook.id))?;
        let known = loaded.is_some_and(|loaded| loaded.starts_with(digest.as_bytes()));
        if waited || !known {
            waiting.insert(playbook.id.to_string());
        }
    }
    Ok(waiting)
}

/// The mark of a playbook's text.
pub(crate) fn mark(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// What keeps a text waiting, or lets it go.
pub(crate) fn kept(id: &str, digest: Digest, waits: bool) -> (String, Option<Vec<u8>>) {
    (mark(id), waits.then(|| digest.to_string().into_bytes()))
}
