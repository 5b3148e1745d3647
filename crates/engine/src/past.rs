//! The sets of playbooks that were in force before: what was decided then can still be told in full.
//!
//! A set is put together again from its list and the texts of that time. It only explains; it never decides anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::Digest;
use playbook::Playbook;

use crate::engine::{Engine, SET_PREFIX};
use crate::set::Set;

/// Sets that are kept ready.
const KEPT_MAX: usize = 4;
/// Most playbooks of a set that is put together again: compiling them takes a second or two.
const PLAYBOOKS_MAX: usize = 2_000;

/// Sets that were put together again, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Past(Mutex<Vec<Arc<Set>>>);

impl Engine {
    /// The text of each playbook of the set of this digest. Nothing when its list is gone. Blocks.
    ///
    /// # Errors
    /// [`store::Error`] when the store fails.
    pub fn texts_of(&self, digest: Digest) -> Result<Option<BTreeMap<String, Digest>>, store::Error> {
        let loaded = self.playbooks();
        if loaded.digest() == digest {
            return Ok(Some(loaded.playbooks().iter().map(|one| (one.id.to_string(), one.digest)).collect()));
        }
        Ok(self.listed(digest)?.map(|list| list.into_iter().collect()))
    }

    fn listed(&self, digest: Digest) -> Result<Option<Vec<(String, Digest)>>, store::Error> {
        let list = self.store().mark(&format!("{SET_PREFIX}{digest}"))?;
        Ok(list.map(|list| serde_json::from_slice(&list).unwrap_or_default()))
    }

    /// The set of this digest: the one in force, or one of the past. Nothing when its list or one of its texts is gone, when
    /// a text cannot be read any more, or when there are too many. Blocks.
    ///
    /// # Errors
    /// [`store::Error`] when the store fails.
    pub fn set_of(&self, digest: Digest) -> Result<Option<Arc<Set>>, store::Error> {
        let loaded = self.playbooks();
        if loaded.digest() == digest {
            return Ok(Some(loaded));
        }
        let kept = || self.shared().past.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().iter().find(|set| set.digest() == digest) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(list) = self.listed(digest)? else { return Ok(None) };
        if list.len() > PLAYBOOKS_MAX {
            return Ok(None);
        }
        let read = |(id, text): &(String, Digest)| self.runner().playbook(id, *text).ok();
        let Some(playbooks) = list.iter().map(read).collect::<Option<Vec<Arc<Playbook>>>>() else { return Ok(None) };
        let set = Arc::new(Set::new(playbooks, loaded.off().clone()));
        if set.digest() != digest {
            return Ok(None);
        }
        let mut kept = kept();
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push(Arc::clone(&set));
        Ok(Some(set))
    }
}
