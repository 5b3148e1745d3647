//! The runs that have not ended, in memory: when they are due, who holds them, which history they keep.
//!
//! Invariants: the sets here are rebuilt from the stored open runs when the store is opened, and follow each commit
//! after it is durable. A lease lives in memory only: after a restart nobody holds anything, and since epochs begin
//! with the number of the start, a lease from before is never mistaken for one of now. A run that is being written is
//! not given out until the commit has ended. A run under a limit ([`Gate`]) is ready only while it is among the oldest of
//! its group: this is computed from the runs that are open and never counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::run::{Gate, RunSummary};
use model::{RunId, Seq, Time};

use super::keys::{RunKey, run_key};
use super::packs::Place;
use super::ready::Ready;
use crate::api::{Error, Lease, RunWrite};
use crate::rules::{self, Standing};

/// Epochs per start of the store.
const EPOCH_BITS: u32 = 32;

#[derive(Debug)]
struct Open {
    tenant: Arc<str>,
    tag: u32,
    version: u32,
    due_at: Time,
    lease: Option<(u64, Time)>,
    busy: bool,
    entries: Vec<Seq>,
    place: Place,
    gate: Option<Gate>,
}

impl Open {
    fn due(&self) -> Time {
        self.lease.map_or(self.due_at, |(_, until)| until.max(self.due_at))
    }

    fn standing(&self) -> Standing {
        Standing { tag: self.tag, version: self.version, ended: false, epoch: self.lease.map(|(epoch, _)| epoch) }
    }
}

/// What is known in memory of the runs that have not ended.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    open: BTreeMap<RunKey, Open>,
    ready: Ready,
    pins: BTreeMap<Seq, u32>,
    /// How many runs are left in each pack.
    packs: HashMap<u64, usize>,
    /// The runs under a common limit.
    groups: HashMap<String, BTreeSet<RunKey>>,
    epoch: u64,
}

impl Schedule {
    /// An empty schedule of the `boot`th start of the store.
    pub(super) fn new(boot: u64) -> Schedule {
        Schedule { epoch: boot << EPOCH_BITS, ..Schedule::default() }
    }

    /// How many runs have not ended.
    pub(super) fn len(&self) -> u64 {
        self.open.len() as u64
    }

    /// Takes over a stored open run, or what a durable commit made of a run, which lies at `place` while it is open.
    pub(super) fn follow(&mut self, run: &RunSummary, write: Option<&RunWrite>, place: Place) {
        let key = run_key(run.id);
        let mut before = self.open.remove(&key);
        let mut entries = Vec::new();
        if let Some(open) = &mut before {
            self.ready.remove(&open.tenant, open.due(), key);
            entries = std::mem::take(&mut open.entries);
            let place = open.place;
            self.leave(place);
        }
        // A run only ever gets more entries: those that it had stay pinned, however many they are.
        if run.status.is_final() || !run.entries.starts_with(&entries) {
            self.unpin(&entries);
            entries.clear();
        }
        if run.status.is_final() {
            return self.leave_group(key, before.and_then(|open| open.gate));
        }
        if let Place::Pack { first, .. } = place {
            *self.packs.entry(first).or_default() += 1;
        }
        let lease = before.and_then(|open| open.lease);
        let kept = write.and_then(|write| rules::lease_after(lease.map(|(epoch, _)| epoch), write));
        let more = run.entries.get(entries.len()..).unwrap_or_default();
        for seq in more {
            *self.pins.entry(*seq).or_default() += 1;
        }
        entries.extend_from_slice(more);
        let open = Open {
            tenant: self.ready.tenant(&run.tenant),
            tag: run.id.tag,
            version: run.version,
            due_at: run.due_at,
            lease: lease.filter(|_| kept.is_some()),
            busy: false,
            entries,
            place,
            gate: run.gate.clone(),
        };
        if let Some(gate) = &open.gate {
            self.groups.entry(gate.group.clone()).or_default().insert(key);
        }
        self.open.insert(key, open);
        self.enter(key);
    }

    /// Puts an open run among what is ready, unless its limit holds it back.
    fn enter(&mut self, key: RunKey) {
        let Some(open) = self.open.get(&key) else { return };
        if let Some(gate) = &open.gate
            && let Some(group) = self.groups.get(&gate.group)
            && !group.iter().take(gate.max as usize).any(|member| *member == key)
        {
            return;
        }
        if !open.busy {
            self.ready.insert(&open.tenant, open.due(), key);
        }
    }

    /// Takes a run that has ended out of its group, and lets those go on that waited for it.
    fn leave_group(&mut self, key: RunKey, gate: Option<Gate>) {
        let Some(gate) = gate else { return };
        let Some(group) = self.groups.get_mut(&gate.group) else { return };
        group.remove(&key);
        if group.is_empty() {
            self.groups.remove(&gate.group);
            return;
        }
        let limit = |key: &RunKey| self.open.get(key).and_then(|open| open.gate.as_ref()).map_or(0, |gate| gate.max);
        let free = |(rank, key): &(usize, &RunKey)| *rank < limit(key) as usize;
        let free: Vec<RunKey> = group.iter().enumerate().take_while(free).map(|(_, key)| *key).collect();
        for key in free {
            self.enter(key);
        }
    }

    /// The open runs of a group, the oldest first.
    pub(super) fn group(&self, group: &str) -> Vec<RunId> {
        let members = self.groups.get(group).into_iter().flatten();
        members.filter_map(|key| Some(RunId { seq: key.0, n: key.1, tag: self.open.get(key)?.tag })).collect()
    }

    /// Makes runs that nobody holds due at a time if they would be later.
    pub(super) fn hasten(&mut self, runs: &[RunId], at: Time) {
        for run in runs {
            let key = run_key(*run);
            if self.open.get(&key).is_some_and(|open| open.tag == run.tag && open.lease.is_none() && open.due_at > at) {
                self.change(key, |open| open.due_at = at);
            }
        }
    }

    fn leave(&mut self, place: Place) {
        if let Place::Pack { first, .. } = place
            && let Some(left) = self.packs.get_mut(&first)
        {
            *left -= 1;
            if *left == 0 {
                self.packs.remove(&first);
            }
        }
    }

    /// Where an open run lies.
    pub(super) fn place(&self, key: RunKey) -> Option<Place> {
        self.open.get(&key).map(|open| open.place)
    }

    /// How many runs are left in a pack.
    pub(super) fn left_in(&self, first: u64) -> usize {
        self.packs.get(&first).copied().unwrap_or(0)
    }

    fn unpin(&mut self, entries: &[Seq]) {
        for seq in entries {
            if let Some(count) = self.pins.get_mut(seq) {
                *count -= 1;
                if *count == 0 {
                    self.pins.remove(seq);
                }
            }
        }
    }

    /// Checks the runs of a commit and keeps them from being given out until [`Schedule::follow`] or
    /// [`Schedule::give_up`]. `ended` looks a run up that is not open.
    pub(super) fn begin(
        &mut self,
        writes: &[RunWrite],
        ended: impl Fn(RunKey) -> Result<Option<Standing>, Error>,
    ) -> Result<(), Error> {
        let mut written: HashMap<RunKey, Standing> = HashMap::new();
        for write in writes {
            let key = run_key(write.summary.id);
            let stored = match (written.get(&key), self.open.get(&key)) {
                (Some(standing), _) => Some(*standing),
                (None, Some(open)) => Some(open.standing()),
                (None, None) => ended(key)?,
            };
            rules::check_run(stored, write)?;
            let after = Standing {
                tag: write.summary.id.tag,
                version: write.summary.version,
                ended: write.summary.status.is_final(),
                epoch: rules::lease_after(stored.and_then(|stored| stored.epoch), write),
            };
            written.insert(key, after);
        }
        for key in written.keys() {
            if let Some(open) = self.open.get_mut(key) {
                open.busy = true;
                self.ready.remove(&open.tenant, open.due(), *key);
            }
        }
        Ok(())
    }

    /// Undoes [`Schedule::begin`] after a commit that was not made.
    pub(super) fn give_up(&mut self, writes: &[RunWrite]) {
        for write in writes {
            let key = run_key(write.summary.id);
            if let Some(open) = self.open.get_mut(&key) {
                open.busy = false;
                self.enter(key);
            }
        }
    }

    /// Changes an open run's time or lease and puts it where it belongs among what is ready.
    fn change(&mut self, key: RunKey, change: impl FnOnce(&mut Open)) {
        if let Some(open) = self.open.get_mut(&key) {
            let before = open.due();
            change(open);
            if !open.busy {
                self.ready.remove(&open.tenant, before, key);
                self.enter(key);
            }
        }
    }

    /// Takes up to `max` runs that are due, the first one due in front.
    pub(super) fn take(&mut self, now: Time, max: usize, lease: Duration) -> Vec<Lease> {
        let due = self.ready.due(now, max);
        let mut taken = Vec::with_capacity(due.len());
        for key in due {
            self.epoch += 1;
            let epoch = self.epoch;
            self.change(key, |open| {
                open.lease = Some((epoch, now.plus(lease)));
                taken.push(Lease { run: RunId { seq: key.0, n: key.1, tag: open.tag }, epoch });
            });
        }
        taken
    }

    /// When there may be something to take.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.ready.next()
    }

    fn holds(&self, lease: &Lease) -> bool {
        let open = self.open.get(&run_key(lease.run));
        open.is_some_and(|open| open.tag == lease.run.tag && open.lease.is_some_and(|(epoch, _)| epoch == lease.epoch))
    }

    /// Prolongs a lease; answers whether it is still held.
    pub(super) fn prolong(&mut self, lease: &Lease, until: Time) -> bool {
        let held = self.holds(lease);
        if held {
            self.change(run_key(lease.run), |open| open.lease = Some((lease.epoch, until)));
        }
        held
    }

    /// Gives a lease back.
    pub(super) fn release(&mut self, lease: Lease, due_at: Time) -> Result<(), Error> {
        if !self.holds(&lease) {
            return Err(Error::Fenced { run: lease.run });
        }
        self.change(run_key(lease.run), |open| {
            open.lease = None;
            open.due_at = due_at;
        });
        Ok(())
    }

    /// Whether an entry from `from` up to, not including, `to` belongs to a run that has not ended.
    pub(super) fn pins(&self, from: u64, to: u64) -> bool {
        self.pins.range(Seq(from)..Seq(to)).next().is_some()
    }

    /// Whether a run has not ended.
    pub(super) fn is_open(&self, key: RunKey) -> bool {
        self.open.contains_key(&key)
    }

    /// Up to `most` open runs before `end`, not before `start`, the newest first.
    pub(super) fn newest(&self, start: RunKey, end: RunKey, most: usize) -> Vec<RunKey> {
        if start >= end {
            return Vec::new();
        }
        self.open.range(start..end).rev().take(most).map(|(key, _)| *key).collect()
    }
}
