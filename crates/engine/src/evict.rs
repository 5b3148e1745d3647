//! `when_full: cancel_oldest`: a new run takes the place of the oldest of its group.
//!
//! The new run is held back by its limit like any other, and the oldest is cancelled right after the commit; whether a
//! group is too full is computed from the runs that are open. A crash in between changes nothing: what is too full is
//! looked for again at the start.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, Weak};

use model::RunId;
use model::event::Actor;
use model::run::{Gate, RunStatus};
use store::{Commit, Cursor, Expect, RunFilter, Store};
use tokio::sync::{Notify, watch};

use crate::engine::{Engine, Inner};

/// Why a run was cancelled that made room.
const REASON: &str = "a newer run took its place (`when_full: cancel_oldest`)";
/// Runs of one page while the open ones are looked through.
const PAGE: usize = 500;

/// Groups that may be too full.
#[derive(Debug, Default)]
pub(crate) struct Crowded {
    groups: Mutex<BTreeSet<String>>,
    notify: Notify,
}

impl Crowded {
    /// Adds groups that are to be looked at.
    pub(crate) fn push(&self, groups: Vec<String>) {
        if groups.is_empty() {
            return;
        }
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).extend(groups);
        self.notify.notify_one();
    }

    async fn take(&self) -> BTreeSet<String> {
        loop {
            let groups = std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner));
            if !groups.is_empty() {
                return groups;
            }
            self.notify.notified().await;
        }
    }
}

/// The groups in which a commit begins runs that take the place of others.
pub(crate) fn crowding(commit: &Commit) -> Vec<String> {
    let begun = commit.runs.iter().filter(|write| write.expect == Expect::New);
    begun.filter_map(|write| evicting(write.summary.gate.as_ref())).collect()
}

fn evicting(gate: Option<&Gate>) -> Option<String> {
    gate.filter(|gate| gate.evicts).map(|gate| gate.group.clone())
}

/// Cancels the oldest runs of groups that are too full until `stop` says otherwise.
pub(crate) async fn run(engine: Weak<Inner>, mut stop: watch::Receiver<bool>) {
    if let Some(engine) = Engine::upgrade(&engine) {
        let store = std::sync::Arc::clone(engine.store());
        match tokio::task::spawn_blocking(move || left_over(store.as_ref())).await {
            Ok(Ok(groups)) => engine.shared().crowded.push(groups),
            Ok(Err(error)) => tracing::error!(%error, "the open runs could not be looked through"),
            Err(_) => return,
        }
    }
    loop {
        let Some(shared) = Engine::upgrade(&engine).map(|engine| std::sync::Arc::clone(engine.shared())) else {
            return;
        };
        let groups = tokio::select! {
            groups = shared.crowded.take() => groups,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some(engine) = Engine::upgrade(&engine) else { return };
        for group in groups {
            clear(&engine, &group).await;
        }
    }
}

/// The groups of open runs that take the place of others.
fn left_over(store: &dyn Store) -> Result<Vec<String>, store::Error> {
    let statuses = vec![RunStatus::Queued, RunStatus::Running, RunStatus::Waiting];
    let filter = RunFilter { statuses, ..RunFilter::default() };
    let mut groups = BTreeSet::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = store.runs(&filter, after, PAGE)?;
        groups.extend(page.items.iter().filter_map(|run| evicting(run.gate.as_ref())));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(groups.into_iter().collect()),
        }
    }
}

/// Cancels the oldest runs of a group for which there is no room any more.
async fn clear(engine: &Engine, group: &str) {
    for run in over(engine, group) {
        match engine.cancel_because(run, Actor::System, REASON.to_owned()).await {
            // It has ended meanwhile, which makes room as well.
            Ok(()) | Err(crate::Refusal::Conflict(_) | crate::Refusal::NotFound { .. }) => {}
            Err(refusal) => {
                tracing::warn!(%run, %refusal, "a run could not be cancelled for a newer one; the newer one waits");
            }
        }
    }
}

/// The oldest runs of a group, as many as there are more than the newest allows.
fn over(engine: &Engine, group: &str) -> Vec<RunId> {
    let store = engine.store();
    let open = match store.group(group) {
        Ok(open) => open,
        Err(error) => {
            tracing::error!(%error, "the runs of a group cannot be read");
            return Vec::new();
        }
    };
    let newest = open.last().and_then(|run| store.run(*run).ok().flatten()).and_then(|run| run.gate);
    let Some(gate) = newest.filter(|gate| gate.evicts) else { return Vec::new() };
    let over = open.len().saturating_sub(gate.max as usize);
    open.into_iter().take(over).collect()
}
