//! Deliveries: they stand in the summaries of their runs, so a page walks the runs.

use std::time::{Duration, Instant};

use model::run::{Attempt, Delivery, DeliveryStatus, RunSummary};
use model::{DeliveryId, Input, limits};
use store::{Cursor, Page, RunFilter, Store};

use super::{Error, runs};

/// Runs that are read at once.
const STEP: usize = 200;

/// One delivery.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub id: DeliveryId,
    /// The run that sends it.
    pub run: RunSummary,
    /// How it stands.
    pub delivery: Delivery,
}

/// One delivery with its tries.
#[derive(Debug, Clone)]
pub struct Detail {
    /// The delivery.
    pub found: Found,
    /// Its tries; empty once retention has dropped the run's history.
    pub attempts: Vec<Attempt>,
    /// The parameters of the step that sends it, secrets as references.
    pub input: Option<Input>,
}

fn of(run: &RunSummary, wanted: impl Fn(&Delivery) -> bool) -> Vec<Found> {
    let numbered = (0_u32..).zip(&run.deliveries);
    let fitting = numbered.filter(|(_, delivery)| wanted(delivery));
    let found = |(index, delivery): (u32, &Delivery)| Found {
        id: DeliveryId { run: run.id, index },
        run: run.clone(),
        delivery: delivery.clone(),
    };
    // Newest first, as everywhere.
    let mut all: Vec<Found> = fitting.map(found).collect();
    all.reverse();
    all
}

/// A page of deliveries, those of the newest run in front. The deliveries of a run stay together, so that a page may hold
/// more than `limit` when a single run has more.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn page(
    store: &dyn Store,
    filter: &RunFilter,
    statuses: &[DeliveryStatus],
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<Found>, Error> {
    let deadline = Instant::now() + Duration::from_millis(limits::SCAN_MILLIS_MAX);
    let wanted = |delivery: &Delivery| {
        filter.destination.as_ref().is_none_or(|d| *d == delivery.destination)
            && (statuses.is_empty() || statuses.contains(&delivery.status))
    };
    let mut items: Vec<Found> = Vec::new();
    let mut at = after;
    let mut looked = 0;
    loop {
        let page = store.runs(filter, at, STEP)?;
        for run in &page.items {
            let found = of(run, wanted);
            if !items.is_empty() && items.len() + found.len() > limit {
                return Ok(Page { items, next: at });
            }
            items.extend(found);
            at = Some(Cursor { seq: run.id.seq, n: run.id.n });
            looked += 1;
        }
        at = page.next.or(at);
        let enough = items.len() >= limit || looked >= limits::SCAN_KEYS_MAX || Instant::now() >= deadline;
        if page.next.is_none() || enough {
            return Ok(Page { items, next: page.next.and(at) });
        }
    }
}

/// One delivery.
///
/// # Errors
/// [`Error`] when the store fails or the run's history is damaged.
pub fn detail(store: &dyn Store, id: DeliveryId) -> Result<Option<Detail>, Error> {
    let Some(run) = runs::detail(store, id.run)? else { return Ok(None) };
    let index = usize::try_from(id.index).unwrap_or(usize::MAX);
    // A listing shows the first of them, the run itself has all.
    let all = run.state.as_ref().map_or(run.summary.deliveries.as_slice(), |state| state.deliveries());
    let Some(delivery) = all.get(index).cloned() else { return Ok(None) };
    let step = run.state.as_ref().and_then(|state| state.steps.get(&delivery.path));
    let of_this = |attempt: &&Attempt| attempt.destination.as_ref() == Some(&delivery.destination);
    let attempts = step.map_or(Vec::new(), |step| step.attempts.iter().filter(of_this).cloned().collect());
    let input = step.and_then(|step| step.input.clone());
    Ok(Some(Detail { found: Found { id, run: run.summary, delivery }, attempts, input }))
}
