//! Runs that wait for what others do: an event, a person, another run.
//!
//! What is waited for stands in the summaries of open runs. This table is made from them, at the start and with every
//! commit, so that it can be asked for each event. What came (a *signal*) stands in the store under a name of its own, in
//! the same commit as that which made it come, until the run has taken it over: the run itself may be at work meanwhile, and
//! must not be written by anyone else.
//!
//! Invariants: a signal that is committed is heard, also after a restart; the table holds hints and may be lost.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::run::{Awaited, RunStatus, RunSummary, WaitOn};
use model::{EventId, Record, RunId, Time};
use playbook::{Condition, Root, Scope};
use serde::{Deserialize, Serialize};
use store::{Cursor, RunFilter, Store};
use tokio::sync::watch;

/// What signals are called in the store, before the run and the path of the step.
const SIGNAL: &str = "signal/";
/// Runs of one page while the open ones are looked through.
const PAGE: usize = 500;
/// Conditions of waits that are kept with what they look at; the others are asked by their runs.
const LOOKS_MAX: usize = 1_000;

/// What the signals of a step are called, up to what tells them apart.
pub(crate) fn signals(run: RunId, path: &str) -> String {
    format!("{SIGNAL}{run}/{path}//")
}

/// What all signals of a run are called in the beginning.
pub(crate) fn signals_of(run: RunId) -> String {
    format!("{SIGNAL}{run}/")
}

/// What the signal of an event is called.
pub(crate) fn event_signal(run: RunId, path: &str, event: EventId) -> String {
    format!("{}{event}", signals(run, path))
}

/// What the signal of an answer is called.
pub(crate) fn answer_signal(run: RunId, path: &str) -> String {
    format!("{}answer", signals(run, path))
}

/// What is kept of an event that came for a wait.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Signal {
    /// Whether the condition of the wait has said yes; otherwise the run asks it, of what is kept here.
    pub(crate) fits: bool,
    /// The alert that the run is about, as the event left it; in the same way the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alert: Option<Arc<Record>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<Arc<Record>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entity: Option<Arc<Record>>,
}

impl Signal {
    /// What the condition of a wait looks at when this event came.
    pub(crate) fn scope(&self, scope: Scope, event: Arc<Record>, at: Time) -> Scope {
        scope
            .at(at)
            .known(Root::Event, Some(event))
            .known(Root::Alert, self.alert.clone())
            .known(Root::Case, self.case.clone())
            .known(Root::Entity, self.entity.clone())
    }
}

/// A condition of a wait, with what it looks at besides the event.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) when: Condition,
    pub(crate) scope: Scope,
}

/// A step that may wait for an event.
#[derive(Debug, Clone)]
pub(crate) struct Ear {
    pub(crate) run: Arc<RunSummary>,
    pub(crate) path: String,
    /// Its condition; nothing when it has none, or the run must be asked.
    pub(crate) look: Option<Arc<Look>>,
}

#[derive(Debug, Default)]
struct Table {
    /// The runs that wait, as they were written last.
    runs: BTreeMap<RunId, Arc<RunSummary>>,
    /// Who waits for events of these types.
    types: BTreeMap<String, BTreeSet<RunId>>,
    looks: HashMap<(RunId, String), Arc<Look>>,
    /// Runs for which something has come since they looked.
    woken: HashSet<RunId>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Waits {
    table: Mutex<Table>,
    /// How many runs wait; so that a commit that touches none of them costs nothing.
    count: AtomicUsize,
    stirred: watch::Sender<u64>,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits { table: Mutex::default(), count: AtomicUsize::new(0), stirred: watch::Sender::new(0) }
    }
}

impl Waits {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Makes the table from the runs that are open, and lets those that wait look once at what has come.
    pub(crate) fn rebuild(&self, store: &dyn Store) -> Result<(), store::Error> {
        let open = vec![RunStatus::Queued, RunStatus::Running, RunStatus::Waiting];
        let filter = RunFilter { statuses: open, ..RunFilter::default() };
        let mut after: Option<Cursor> = None;
        loop {
            let page = store.runs(&filter, after, PAGE)?;
            for run in page.items.iter().filter(|run| !run.waits.is_empty()) {
                self.follow(run);
                store.hasten(&[run.id], store.now())?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes over how a run stands.
    pub(crate) fn follow(&self, run: &RunSummary) {
        if run.waits.is_empty() && self.none() {
            return;
        }
        let mut table = self.table();
        if let Some(before) = table.runs.remove(&run.id) {
            for ty in types_of(&before) {
                if let Some(listening) = table.types.get_mut(ty) {
                    listening.remove(&run.id);
                    if listening.is_empty() {
                        table.types.remove(ty);
                    }
                }
            }
            for wait in before.waits.iter().filter(|wait| run.waits.iter().all(|still| still.path != wait.path)) {
                table.looks.remove(&(run.id, wait.path.clone()));
            }
        }
        if run.status.is_final() {
            table.woken.remove(&run.id);
        } else if !run.waits.is_empty() {
            for ty in types_of(run) {
                table.types.entry(ty.to_owned()).or_default().insert(run.id);
            }
            table.runs.insert(run.id, Arc::new(run.clone()));
        }
        self.count.store(table.runs.len(), Ordering::Release);
    }

    /// Keeps the condition of a wait, so that events it is not about wake nobody.
    pub(crate) fn look(&self, run: RunId, path: &str, look: Look) {
        let mut table = self.table();
        let key = (run, path.to_owned());
        if table.looks.len() < LOOKS_MAX || table.looks.contains_key(&key) {
            table.looks.insert(key, Arc::new(look));
        }
    }

    /// The steps that wait for events of this type.
    pub(crate) fn ears(&self, kind: &str, tenant: &str) -> Vec<Ear> {
        if self.none() {
            return Vec::new();
        }
        let table = self.table();
        let listening = table.types.iter().filter(|(ty, _)| fits(ty, kind)).flat_map(|(_, runs)| runs);
        let runs: BTreeSet<RunId> = listening.copied().collect();
        let mut ears = Vec::new();
        for run in runs.iter().filter_map(|run| table.runs.get(run)).filter(|run| run.tenant == tenant) {
            for wait in run.waits.iter().filter(|wait| hears(wait, kind)) {
                let look = table.looks.get(&(run.id, wait.path.clone())).cloned();
                ears.push(Ear { run: Arc::clone(run), path: wait.path.clone(), look });
            }
        }
        ears
    }

    /// The runs that this one has called and waits for.
    pub(crate) fn called_by(&self, run: RunId) -> Vec<RunId> {
        if self.none() {
            return Vec::new();
        }
        let called = |wait: &Awaited| match wait.wait.on {
            WaitOn::Run { run } => Some(run),
            _ => None,
        };
        self.table().runs.get(&run).map_or(Vec::new(), |run| run.waits.iter().filter_map(called).collect())
    }

    /// The runs that wait for a person, the newest first.
    pub(crate) fn asking(&self) -> Vec<Arc<RunSummary>> {
        let asks = |run: &&Arc<RunSummary>| run.waits.iter().any(|wait| matches!(wait.wait.on, WaitOn::Approval(_)));
        self.table().runs.values().rev().filter(asks).cloned().collect()
    }

    /// Something has come for these runs; it is in the store.
    pub(crate) fn wake(&self, runs: &[RunId], store: &dyn Store) {
        if runs.is_empty() {
            return;
        }
        self.table().woken.extend(runs);
        if let Err(error) = store.hasten(runs, store.now()) {
            tracing::warn!(%error, "runs that something has come for could not be hastened; they look when they are due");
        }
        self.stirred.send_modify(|count| *count += 1);
    }

    /// Whether something has come for a run since it was asked.
    pub(crate) fn take_woken(&self, run: RunId) -> bool {
        self.table().woken.remove(&run)
    }

    /// Whether something has come for a run that it has not looked at.
    pub(crate) fn is_woken(&self, run: RunId) -> bool {
        self.table().woken.contains(&run)
    }

    /// Changes whenever something has come for a run.
    pub(crate) fn stirred(&self) -> watch::Receiver<u64> {
        self.stirred.subscribe()
    }
}

fn types_of(run: &RunSummary) -> impl Iterator<Item = &str> {
    let types = run.waits.iter().filter_map(|wait| match &wait.wait.on {
        WaitOn::Event { types } => Some(types),
        _ => None,
    });
    types.flatten().map(String::as_str)
}

/// Whether a step waits for events of this type.
pub(crate) fn hears(wait: &Awaited, kind: &str) -> bool {
    matches!(&wait.wait.on, WaitOn::Event { types } if types.iter().any(|ty| fits(ty, kind)))
}

fn fits(pattern: &str, kind: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == kind, |prefix| kind.starts_with(prefix))
}
