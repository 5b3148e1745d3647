//! A run as its history tells it: read when a worker takes it up after a crash, a wait, or a retry.

use std::sync::Arc;

use model::history::EntryKind;
use model::run::{RunError, RunStart, RunState, RunSummary};
use model::{Digest, Event, RunId, Seq};
use playbook::{Catalog, Evaluator, Playbook, Source};
use store::Store;

use super::Runner;
use crate::record::{self, RecordError};

/// Why a run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An entry cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its facts do not fit together.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An entry is not there, or no longer has its payload.
    #[error("entry {0} of its history is gone")]
    Gone(Seq),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoSuchRun(RunId),
    /// Reading it panicked.
    #[error("reading run {0} panicked; see the server's log")]
    Panicked(RunId),
    /// The text that it is pinned to is gone or no longer compiles.
    #[error("the playbook text {digest} that it is pinned to cannot be used: {why}")]
    Text {
        /// Its digest.
        digest: Digest,
        /// Why not.
        why: String,
    },
}

/// A run as its history tells it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its state, folded.
    pub state: RunState,
    /// Its summary.
    pub summary: RunSummary,
    /// The event that started it.
    pub event: Arc<Event>,
}

/// Reads a run.
///
/// # Errors
/// [`LoadError`] when something of it cannot be read.
pub fn load(store: &dyn Store, run: RunId) -> Result<Loaded, LoadError> {
    let summary = store.run(run)?.ok_or(LoadError::NoSuchRun(run))?;
    let (start, own) = start_of(store, run)?;
    let event = if start.event.seq == run.seq { own } else { event_of(store, start.event.seq)? };
    let mut state = RunState::new(start)?;
    for seq in summary.entries.iter().skip(1) {
        for fact in record::read_progressed(&payload(store, *seq)?)?.facts {
            state.apply(&fact)?;
        }
    }
    Ok(Loaded { state, summary, event })
}

/// What is known since a run's start, and the event that the same entry records.
pub fn start_of(store: &dyn Store, run: RunId) -> Result<(RunStart, Arc<Event>), LoadError> {
    let accepted = record::read_accepted(&payload(store, run.seq)?)?;
    let event = accepted.event();
    let start = accepted.runs.into_iter().find(|start| start.id == run).ok_or(LoadError::NoSuchRun(run))?;
    Ok((start, event))
}

/// The event that an entry records.
pub fn event_of(store: &dyn Store, seq: Seq) -> Result<Arc<Event>, LoadError> {
    Ok(record::read_accepted(&payload(store, seq)?)?.event())
}

fn payload(store: &dyn Store, seq: Seq) -> Result<Vec<u8>, LoadError> {
    let stored = store.entry(seq)?.ok_or(LoadError::Gone(seq))?;
    let known = [EntryKind::EventAccepted, EntryKind::RunProgressed];
    let entry = stored.entry.filter(|entry| known.contains(&entry.header.kind)).ok_or(LoadError::Gone(seq))?;
    Ok(entry.payload)
}

/// Compiles the text that a run is pinned to.
pub(super) fn pinned(runner: &Runner, digest: Digest) -> Result<Playbook, LoadError> {
    compile(runner.shared.store.as_ref(), digest, &runner.catalog, &runner.shared.evaluator)
}

/// Compiles a stored text.
///
/// # Errors
/// [`LoadError`] when it is gone or no longer compiles.
pub fn compile(
    store: &dyn Store,
    digest: Digest,
    catalog: &Catalog,
    evaluator: &Evaluator,
) -> Result<Playbook, LoadError> {
    let fail = |why: String| LoadError::Text { digest, why };
    let bytes = store.text(&digest)?.ok_or_else(|| fail("it is gone".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| fail("it is not text".to_owned()))?;
    let source = Source { file: Arc::from(format!("{digest}.yaml")), text };
    playbook::compile(&source, catalog, evaluator).map_err(|found| {
        let first = found.first().map_or_else(String::new, |d| format!("{} {}", d.code, d.message));
        fail(format!("this version refuses it: {first}"))
    })
}
