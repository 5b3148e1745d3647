//! What could be taken, tenant by tenant: a lane for each, and the lanes take turns.
//!
//! Invariant: a lane that is empty is not there, so that looking at all of them costs no more than there are tenants with
//! something to do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use model::Time;

use super::keys::RunKey;

type Lane = BTreeSet<(Time, RunKey)>;

/// The lanes, and whose turn was the last.
#[derive(Debug, Default)]
pub(super) struct Ready {
    lanes: BTreeMap<Arc<str>, Lane>,
    last: Option<Arc<str>>,
}

impl Ready {
    /// A tenant's name, shared with its lane where it has one.
    pub(super) fn tenant(&self, name: &str) -> Arc<str> {
        self.lanes.get_key_value(name).map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known))
    }

    /// Puts a run into its tenant's lane.
    pub(super) fn insert(&mut self, tenant: &Arc<str>, due: Time, run: RunKey) {
        match self.lanes.get_mut(tenant) {
            Some(lane) => {
                lane.insert((due, run));
            }
            None => {
                self.lanes.insert(Arc::clone(tenant), Lane::from([(due, run)]));
            }
        }
    }

    /// Takes a run out of its tenant's lane, if it is there.
    pub(super) fn remove(&mut self, tenant: &str, due: Time, run: RunKey) {
        if let Some(lane) = self.lanes.get_mut(tenant)
            && lane.remove(&(due, run))
            && lane.is_empty()
        {
            self.lanes.remove(tenant);
        }
    }

    /// Up to `max` runs that are due: one of each tenant in turn, beginning after the one who had the last turn; of each
    /// the one that is due first.
    pub(super) fn due(&mut self, now: Time, max: usize) -> Vec<RunKey> {
        let last = self.last.clone().unwrap_or_default();
        let after = self.lanes.range::<str, _>((Bound::Excluded(&*last), Bound::Unbounded));
        let upto = self.lanes.range::<str, _>((Bound::Unbounded, Bound::Included(&*last)));
        let mut lanes: Vec<_> = after
            .chain(upto)
            .map(|(tenant, lane)| (tenant, lane.iter().take_while(|(due, _)| *due <= now).map(|(_, run)| *run)))
            .collect();
        let mut runs = Vec::new();
        let mut turn = None;
        loop {
            let before = runs.len();
            for (tenant, lane) in &mut lanes {
                if runs.len() < max
                    && let Some(run) = lane.next()
                {
                    runs.push(run);
                    turn = Some(Arc::clone(tenant));
                }
            }
            if runs.len() == before {
                break;
            }
        }
        self.last = turn.or(Some(last));
        runs
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.lanes.values().filter_map(|lane| lane.first()).map(|(due, _)| *due).min()
    }
}
