//! Reading the history: which group an entry lies in, and walks over the groups.
//!
//! Invariant: an entry is shown only once its commit is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Seq;
use sled::IVec;

use super::Sled;
use super::base::{failed, lock};
use super::group::Group;
use super::keys::{self, Keyspace};
use super::values;
use crate::api::{Error, Found, Payload, StoredEntry};

/// Groups that are kept unpacked. Histories of runs are read entry by entry, and these lie near each other.
const GROUPS_KEPT: usize = 16;

/// The groups that were read last.
#[derive(Debug, Default)]
pub(super) struct Groups {
    kept: VecDeque<Arc<Group>>,
}

impl Groups {
    fn with(&self, seq: u64) -> Option<Arc<Group>> {
        self.kept.iter().find(|group| (group.first..group.end()).contains(&seq)).cloned()
    }

    fn keep(&mut self, group: Arc<Group>) {
        if self.kept.len() >= GROUPS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(group);
    }

    /// Forgets everything, after groups were dropped.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }
}

impl Sled {
    fn unpack(&self, key: &IVec, stored: IVec) -> Result<Group, Error> {
        let tree = &self.base.tree;
        let first =
            keys::group_first(key).ok_or_else(|| Error::Corrupt { detail: "a key of the history is cut".into() })?;
        let headers = values::whole(tree, key, stored)?;
        let payloads = values::read(tree, &keys::group(Keyspace::Payloads, first))?;
        Group::read(first, &headers, payloads.as_deref())
    }

    /// The group that an entry lies in.
    pub(super) fn group_with(&self, seq: Seq) -> Result<Option<Arc<Group>>, Error> {
        if seq.0 >= self.next.load(Ordering::Acquire) {
            return Ok(None);
        }
        if let Some(group) = lock(&self.groups).with(seq.0) {
            return Ok(Some(group));
        }
        let Some(group) = self.group_at_or_before(seq.0)? else { return Ok(None) };
        let group = Arc::new(group);
        if seq.0 >= group.end() {
            return Ok(None);
        }
        lock(&self.groups).keep(Arc::clone(&group));
        Ok(Some(group))
    }

    fn group_at_or_before(&self, seq: u64) -> Result<Option<Group>, Error> {
        let range = keys::group(Keyspace::Headers, 0)..=keys::group(Keyspace::Headers, seq);
        match self.base.tree.range(range).next_back() {
            Some(found) => {
                let (key, stored) = found.map_err(failed("reading the history"))?;
                self.unpack(&key, stored).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Entries before `before`, newest first.
    pub(super) fn walk_back(
        &self,
        before: Option<Seq>,
        visit: &mut dyn FnMut(StoredEntry) -> bool,
    ) -> Result<(), Error> {
        let next = self.next.load(Ordering::Acquire);
        let mut end = before.map_or(next, |before| before.0.min(next));
        while let Some(last) = end.checked_sub(1) {
            let Some(group) = self.group_at_or_before(last)? else { break };
            for seq in (group.first..group.end().min(end)).rev() {
                if let Some(entry) = group.entry(Seq(seq))?
                    && !visit(entry)
                {
                    return Ok(());
                }
            }
            end = group.first;
        }
        Ok(())
    }

    /// Everything that lies where the history lies, in order.
    pub(super) fn inspect_all(&self, visit: &mut dyn FnMut(Found) -> bool) -> Result<(), Error> {
        let next = self.next.load(Ordering::Acquire);
        for found in self.base.scan(&keys::start(Keyspace::Headers)) {
            let (key, stored) = found?;
            let first = keys::group_first(&key).unwrap_or(0);
            if first >= next {
                break;
            }
            let Ok(group) = self.unpack(&key, stored) else {
                if visit(Found { place: Seq(first), header: None, payload: Payload::False }) {
                    continue;
                }
                return Ok(());
            };
            for place in group.first..group.end().min(next) {
                if !visit(group.found(place)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Entries from `from` on, oldest first.
    pub(super) fn walk_forward(&self, from: Seq, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error> {
        let next = self.next.load(Ordering::Acquire);
        let start = match self.group_at_or_before(from.0)? {
            Some(group) if group.end() > from.0 => group.first,
            _ => from.0,
        };
        if start >= next {
            return Ok(());
        }
        let range = keys::group(Keyspace::Headers, start)..keys::group(Keyspace::Headers, next);
        for found in self.base.tree.range(range) {
            let (key, stored) = found.map_err(failed("reading the history"))?;
            let group = self.unpack(&key, stored)?;
            for seq in group.first.max(from.0)..group.end().min(next) {
                if let Some(entry) = group.entry(Seq(seq))?
                    && !visit(entry)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
