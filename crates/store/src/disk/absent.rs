//! Claims that were looked for and not found, so that a commit need not look for them again.
//!
//! Whoever wants to claim a key asks first, decides, and commits; the commit must check once more, since somebody else may
//! have claimed it in between. Here it is remembered that nobody has.
//!
//! Invariants: what is remembered holds for one generation. A commit that writes claims begins a generation before it writes
//! and another when it has written, so that what was looked up beside it is never taken for true. Bounded.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::base::lock;

/// Keys that are remembered at most: as many as the largest commit claims.
const KEYS_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Absent {
    generation: AtomicU64,
    known: Mutex<(u64, HashSet<[u8; 16]>)>,
}

impl Absent {
    /// The generation, to be asked for before a look into the tree.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Claims are about to be written, or were.
    pub(super) fn next(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Remembers that a key was not claimed when the generation was `since`.
    pub(super) fn remember(&self, key: &[u8; 16], since: u64) {
        let mut known = lock(&self.known);
        if known.0 != since {
            *known = (since, HashSet::new());
        }
        if known.1.len() < KEYS_MAX {
            known.1.insert(*key);
        }
    }

    /// Whether a key is known not to be claimed.
    pub(super) fn knows(&self, key: &[u8; 16]) -> bool {
        let known = lock(&self.known);
        known.0 == self.generation() && known.1.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_before_or_beside_a_commit_is_forgotten_with_it() {
        let absent = Absent::default();
        let (before, key) = (absent.generation(), [1; 16]);
        absent.remember(&key, before);
        assert!(absent.knows(&key) && !absent.knows(&[2; 16]));
        absent.next();
        assert!(!absent.knows(&key), "somebody is writing");
        absent.remember(&key, absent.generation());
        absent.next();
        assert!(!absent.knows(&key), "it was looked up while somebody wrote");
        absent.remember(&key, before);
        assert!(!absent.knows(&key), "it was looked up long ago");
        absent.remember(&key, absent.generation());
        assert!(absent.knows(&key));
    }
}
