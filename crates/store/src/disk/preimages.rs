//! What keys held before they were changed under a running backup.
//!
//! Invariant: for each key after the backup's position, what is stored, overlaid with what is kept here, is what was
//! stored when the backup began.

use std::collections::BTreeMap;

use sled::IVec;

use super::base::failed;
use crate::api::Error;
use crate::rules::BACKUP_CHANGES_BYTES_MAX;

/// The old values of changed keys that the backup has not come to.
#[derive(Debug, Default)]
pub(super) struct Preimages {
    position: Option<IVec>,
    before: BTreeMap<IVec, Option<IVec>>,
    bytes: usize,
    overrun: bool,
}

impl Preimages {
    /// Keeps the values of the keys that are about to be changed. Never holds up a commit: when it is too much, the
    /// backup is given up instead.
    pub(super) fn save(&mut self, tree: &sled::Tree, changes: &[(IVec, Option<IVec>)]) -> Result<(), Error> {
        for (key, _) in changes {
            let passed = self.position.as_ref().is_some_and(|position| key <= position);
            if self.overrun || passed || self.before.contains_key(key) {
                continue;
            }
            let value = tree.get(key).map_err(failed("reading"))?;
            self.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            self.before.insert(key.clone(), value);
            if self.bytes > BACKUP_CHANGES_BYTES_MAX {
                self.overrun = true;
                self.before.clear();
            }
        }
        Ok(())
    }

    /// The next keys and values as they were when the backup began, in order; empty at the end.
    pub(super) fn next(&mut self, tree: &sled::Tree, most: usize) -> Result<Vec<(IVec, IVec)>, Error> {
        if self.overrun {
            return Err(Error::BackupOverrun { max: BACKUP_CHANGES_BYTES_MAX });
        }
        let from = self.position.clone().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let stored: Result<Vec<(IVec, IVec)>, Error> = tree
            .range((from, std::ops::Bound::<IVec>::Unbounded))
            .take(most)
            .map(|found| found.map_err(failed("reading")))
            .collect();
        let stored = stored?;
        let last = stored.last().filter(|_| stored.len() == most).map(|(key, _)| key.clone());
        let mut part: BTreeMap<IVec, IVec> = stored.into_iter().collect();
        let later = match &last {
            Some(last) => self.before.split_off(last),
            None => BTreeMap::new(),
        };
        let mut here = std::mem::replace(&mut self.before, later);
        if let Some(last) = &last
            && let Some(value) = self.before.remove(last)
        {
            here.insert(last.clone(), value);
        }
        for (key, value) in here {
            match value {
                Some(value) => part.insert(key, value),
                None => part.remove(&key),
            };
        }
        let done = last.is_none();
        self.position = if done { Some(IVec::from(&[u8::MAX; 64][..])) } else { last };
        if part.is_empty() && !done { self.next(tree, most) } else { Ok(part.into_iter().collect()) }
    }
}
