//! Runs: a page of them, and one with its steps, its history and its text.

use model::event::Actor;
use model::run::{Fact, RunState, RunSummary};
use model::{RunId, Seq, Time};
use store::{Cursor, Page, RunFilter, Store};

use super::Error;
use crate::record;

/// One run with everything that is kept of it.
#[derive(Debug, Clone)]
pub struct Detail {
    /// The summary.
    pub summary: RunSummary,
    /// The state, folded from the history; nothing once retention has dropped its beginning.
    pub state: Option<RunState>,
    /// What happened, oldest first.
    pub history: Vec<Moment>,
    /// Whether retention has dropped a part of the history.
    pub incomplete: bool,
    /// The playbook's text as it ran.
    pub text: Option<String>,
}

/// One fact of a run's history.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The entry that records it.
    pub seq: Seq,
    /// When it was recorded.
    pub time: Time,
    /// Who is behind it.
    pub actor: Actor,
    /// What happened; nothing for the entry that created the run.
    pub fact: Option<Fact>,
}

/// A page of runs, newest first.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn page(
    store: &dyn Store,
    filter: &RunFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<RunSummary>, Error> {
    Ok(store.runs(filter, after, limit)?)
}

/// One run.
///
/// # Errors
/// [`Error`] when the store fails or the history is damaged.
pub fn detail(store: &dyn Store, id: RunId) -> Result<Option<Detail>, Error> {
    let Some(summary) = store.run(id)? else { return Ok(None) };
    let mut state = None;
    let mut history = Vec::new();
    let mut incomplete = false;
    for seq in &summary.entries {
        let entry = store.entry(*seq)?;
        let Some(entry) = entry.and_then(|stored| stored.entry) else {
            incomplete = true;
            continue;
        };
        let moment = |fact| Moment { seq: *seq, time: entry.header.time, actor: entry.header.actor.clone(), fact };
        if *seq == id.seq {
            let accepted = record::read_accepted(&entry.payload).map_err(|error| Error::Record { seq: *seq, error })?;
            if let Some(start) = accepted.runs.into_iter().find(|start| start.id == id) {
                state = Some(RunState::new(start)?);
            }
            history.push(moment(None));
            continue;
        }
        let progressed = record::read_progressed(&entry.payload).map_err(|error| Error::Record { seq: *seq, error })?;
        for fact in progressed.facts {
            if !incomplete && let Some(state) = &mut state {
                state.apply(&fact)?;
            }
            history.push(moment(Some(fact)));
        }
    }
    if incomplete {
        state = None;
    }
    let text = store.text(&summary.digest)?.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(Some(Detail { summary, state, history, incomplete, text }))
}
