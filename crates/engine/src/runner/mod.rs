//! The one loop that works on runs.
//!
//! It takes runs that are due, works on each in a task of its own, and goes to sleep until the next is due. A task asks
//! [`crate::next`] what comes next, does it, and records the outcome before the next step begins; what must not be
//! repeated is recorded before it is begun. A panic in one run fails that run.
//!
//! Invariants: at most [`Runner::runs_max`] runs are at work, beside [`LOBBY_MAX`] that only wait for their turn at a
//! destination ([`crate::slot`]), and one task for each. Wake-ups may be lost: what is due
//! stands in the store. Once the server stops, no step begins any more; those at work may end.

mod acting;
mod begin;
mod call;
mod hear;
pub mod load;
mod observe;
mod outcome;
mod record;
mod work;

pub(crate) use outcome::facts_of;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use model::{RunId, Time};
use playbook::{Catalog, Playbook};
use store::Lease;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use crate::action::Context;
use crate::shared::Shared;
use crate::slot::{self, Slot};
use crate::writer::Orders;

/// How long a lease lasts without being prolonged.
const LEASE: Duration = Duration::from_secs(60);
/// How often leases are prolonged.
const PROLONG_EVERY: Duration = Duration::from_secs(15);
/// The longest sleep: a wake-up that was lost costs no more than this.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// How long a run rests that could not be recorded, because the server is busy or the disk full.
const REST: Duration = Duration::from_secs(1);
/// Runs that may wait for their turn at a destination, beside those at work.
const LOBBY_MAX: usize = 1024;
/// Texts of playbooks that are kept compiled for runs that started with them.
const PINNED_MAX: usize = 256;

/// Works on runs.
pub(crate) struct Runner {
    pub shared: Arc<Shared>,
    pub orders: Orders,
    pub context: Arc<Context>,
    /// What pinned texts are compiled against; destinations and the like are looked up when a step runs.
    pub catalog: Catalog,
    /// Most runs at work at once.
    pub runs_max: usize,
    /// Whether the server is stopping: no step begins any more.
    pub stop: watch::Receiver<bool>,
    at_work: Mutex<HashMap<RunId, (Lease, AbortHandle)>>,
    /// When leases were prolonged last.
    prolonged: Mutex<Time>,
    pinned: Mutex<HashMap<model::Digest, Arc<Playbook>>>,
}

impl Runner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        orders: Orders,
        context: Arc<Context>,
        catalog: Catalog,
        runs_max: usize,
        stop: watch::Receiver<bool>,
    ) -> Runner {
        Runner {
            shared,
            orders,
            context,
            catalog,
            runs_max,
            stop,
            at_work: Mutex::default(),
            prolonged: Mutex::new(Time::EPOCH),
            pinned: Mutex::default(),
        }
    }

    /// Works until the server stops; then waits for the steps that are at work.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::select! {
            () = self.begin_due() => {}
            () = self.prolong() => {}
        }
    }

    async fn begin_due(self: &Arc<Self>) {
        let (slots, lobby) = (Arc::new(Semaphore::new(self.runs_max)), Arc::new(Semaphore::new(LOBBY_MAX)));
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.turn(&slots, &lobby) => {}
            }
        }
        // All slots are free when nothing is at work any more; the caller bounds how long it waits for that.
        let all = u32::try_from(self.runs_max).unwrap_or(u32::MAX);
        let _ = slots.acquire_many(all).await;
        let _ = lobby.acquire_many(u32::try_from(LOBBY_MAX).unwrap_or(u32::MAX)).await;
    }

    /// Begins what is due, or sleeps until something is.
    async fn turn(self: &Arc<Self>, slots: &Arc<Semaphore>, lobby: &Arc<Semaphore>) {
        while self.shared.brakes.now().all().is_some() {
            let _ = tokio::time::timeout(SLEEP_MAX, self.shared.brakes.resumed.notified()).await;
        }
        let Ok(first) = Arc::clone(slots).acquire_owned().await else { return };
        let free = slots.available_permits() + 1;
        let now = self.shared.store.now();
        self.keep(now);
        let leases = match self.shared.store.take_due(now, free, LEASE) {
            Ok(leases) => leases,
            Err(error) => {
                tracing::error!(%error, "runs that are due cannot be read");
                tokio::time::sleep(REST).await;
                return;
            }
        };
        if leases.is_empty() {
            drop(first);
            return self.sleep(now).await;
        }
        let mut first = Some(first);
        for lease in leases {
            let slot = first.take().or_else(|| Arc::clone(slots).try_acquire_owned().ok());
            let Some(slot) = slot else {
                let _ = self.shared.store.release(lease, now);
                continue;
            };
            let (runner, slot) = (Arc::clone(self), Slot::new(slot, Arc::clone(lobby)));
            let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
            let task = tokio::spawn(slot::within(slot, async move { runner.work(lease).await }));
            // A lease that ran out while its task was stuck: what that task does no longer counts.
            if let Some((_, lost)) = at_work.insert(lease.run, (lease, task.abort_handle())) {
                lost.abort();
            }
        }
    }

    /// Works, one after the other, on the runs that are due now, for as long as there are any; at most `most` times.
    /// Answers how often a run was taken up. For a simulation: nothing else is at work there.
    pub(crate) async fn work_off(self: &Arc<Self>, most: usize) -> Result<usize, store::Error> {
        for taken in 0..most {
            let due = self.shared.store.take_due(self.shared.store.now(), 1, LEASE)?;
            let Some(lease) = due.first().copied() else { return Ok(taken) };
            self.work(lease).await;
        }
        Ok(most)
    }

    async fn sleep(&self, now: Time) {
        let due = self.shared.store.next_due().map_or(SLEEP_MAX, |due| due.since(now).min(SLEEP_MAX));
        let _ = tokio::time::timeout(due, self.shared.wake.notified()).await;
    }

    async fn work(self: &Arc<Self>, lease: Lease) {
        let caught = AssertUnwindSafe(work::advance(self, lease)).catch_unwind().await;
        if let Err(panic) = caught {
            drop(panic);
            tracing::error!(run = %lease.run, "a run panicked; it fails");
            record::fail(self, lease, "panic", "the run panicked; see the server's log").await;
        }
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if at_work.get(&lease.run).is_some_and(|(held, _)| *held == lease) {
            at_work.remove(&lease.run);
        }
        drop(at_work);
        // It may be due again before what the runner sleeps for.
        self.shared.wake.notify_one();
    }

    /// Stops all tasks; what they were doing is dropped, and done again after the next start.
    pub(crate) fn abort_all(&self) {
        for (_, (_, task)) in self.at_work.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            task.abort();
        }
    }

    /// Stops the task of a run that has been cancelled; what it was doing is dropped.
    pub(crate) fn abort(&self, run: RunId) {
        self.shared.forget(&[run]);
        let task = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        if let Some((_, task)) = task {
            task.abort();
        }
        // Its end may be what another waited for.
        self.shared.wake.notify_one();
    }

    /// How many runs are at work.
    pub(crate) fn at_work(&self) -> usize {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn prolong(&self) {
        loop {
            tokio::time::sleep(PROLONG_EVERY).await;
            self.keep(self.shared.store.now());
        }
    }

    /// Prolongs the leases of all that is at work, when it is time for that. Asked before anything is taken: a clock that
    /// jumps, or a machine that slept, must not make it seem as if nobody were at work.
    fn keep(&self, now: Time) {
        let mut last = self.prolonged.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(*last) < PROLONG_EVERY {
            return;
        }
        *last = now;
        let leases: Vec<Lease> =
            self.at_work.lock().unwrap_or_else(PoisonError::into_inner).values().map(|(lease, _)| *lease).collect();
        if let Err(error) = self.shared.store.prolong(&leases, now, LEASE) {
            tracing::error!(%error, "leases cannot be prolonged");
        }
    }

    /// The playbook whose text has this digest, compiled; from the loaded set when it is the same.
    pub(crate) fn playbook(&self, id: &str, digest: model::Digest) -> Result<Arc<Playbook>, load::LoadError> {
        if let Some(loaded) = self.shared.set().find(id).filter(|loaded| loaded.digest == digest) {
            return Ok(Arc::clone(loaded));
        }
        if let Some(known) = self.pinned.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Arc::clone(known));
        }
        let compiled = Arc::new(load::pinned(self, digest)?);
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if pinned.len() >= PINNED_MAX {
            pinned.clear();
        }
        pinned.insert(digest, Arc::clone(&compiled));
        Ok(compiled)
    }
}
