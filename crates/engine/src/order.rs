//! Deliveries in order, for destinations that ask for it.
//!
//! The order is that of the runs. A delivery waits while an earlier run has one to the same destination that is being tried
//! again, or is at work and will come to one. A run that waits for a person, for a time or for an event holds nobody up: what
//! it sends later has its place then.

use model::RunId;
use model::run::{DeliveryStatus, RunStatus, RunSummary};
use store::{Cursor, RunFilter, Store};

use crate::set::Set;

/// Runs that are looked at, at once.
const STEP: usize = 200;
/// Most steps of one look: beyond them what is open is so much that nothing is in order any more.
const STEPS_MAX: usize = 10;

/// How many runs before `run` still have, or are about to have, a delivery to `destination` under way; a page at most.
///
/// # Errors
/// [`store::Error`] when the store fails.
pub(crate) fn ahead(store: &dyn Store, set: &Set, destination: &str, run: RunId) -> Result<usize, store::Error> {
    let statuses = vec![RunStatus::Queued, RunStatus::Running, RunStatus::Waiting];
    let filter = RunFilter { statuses, ..RunFilter::default() };
    let mut after = Some(Cursor { seq: run.seq, n: run.n });
    for _ in 0..STEPS_MAX {
        let page = store.runs(&filter, after, STEP)?;
        let found = page.items.iter().filter(|one| is_before(one, set, destination, run)).count();
        if found > 0 {
            return Ok(found);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(0),
        }
    }
    Ok(0)
}

fn is_before(one: &RunSummary, set: &Set, destination: &str, run: RunId) -> bool {
    if (one.id.seq, one.id.n) >= (run.seq, run.n) {
        return false;
    }
    let mut own = one.deliveries.iter().filter(|delivery| delivery.destination == destination).peekable();
    if own.peek().is_some() {
        return own.any(|delivery| matches!(delivery.status, DeliveryStatus::Queued | DeliveryStatus::Retrying));
    }
    let names = || set.find(&one.playbook).is_none_or(|playbook| playbook.text.contains(destination));
    matches!(one.status, RunStatus::Queued | RunStatus::Running) && names()
}
