//! Retention: drops what is older, more or larger than may be kept, in small steps, and records that it did.

use std::sync::Arc;
use std::time::Duration;

use model::Seq;
use model::event::Actor;
use model::history::EntryKind;
use serde_json::json;
use store::{Retention, Swept};
use tokio::sync::{oneshot, watch};

use crate::shared::Shared;
use crate::unused;
use crate::writer::{Note, Order, Orders};

/// How often there is a look whether something must go.
const EVERY: Duration = Duration::from_secs(60);
/// The rest between two small steps, so that a sweep never holds anybody up.
const REST: Duration = Duration::from_millis(20);
/// Steps of one sweep; what is left goes in the next.
const STEPS_MAX: usize = 1000;

/// Sweeps until `stop` says otherwise.
pub(crate) async fn run(shared: Arc<Shared>, orders: Orders, keep: Retention, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let swept = if held(&shared).await { sweep(&shared, &keep, &mut stop).await } else { Swept::default() };
        if swept.entries + swept.runs + swept.objects > 0 {
            record(&orders, &swept, shared.store.stats().first_seq).await;
        }
        let cut = shared.store.now().minus(keep.age.saturating_add(unused::RUN_MAX));
        if let Err(refusal) = unused::forget(shared.store.as_ref(), &orders, cut).await {
            tracing::warn!(%refusal, "texts that nothing needs any more could not be dropped");
        }
        if !rest(EVERY, &mut stop).await {
            return;
        }
    }
}

/// Finds out what must stay; answers whether that is known, for nothing is dropped otherwise.
async fn held(shared: &Arc<Shared>) -> bool {
    let store = Arc::clone(&shared.store);
    match tokio::task::spawn_blocking(move || crate::ledger::hold::apply(store.as_ref())).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(%error, "what is held cannot be found out; nothing is dropped");
            false
        }
        Err(_) => false,
    }
}

/// Rests; answers whether to go on.
async fn rest(time: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        _ = stop.wait_for(|stop| *stop) => false,
    }
}

/// Step after step, until nothing is left to do or the server stops.
async fn sweep(shared: &Arc<Shared>, keep: &Retention, stop: &mut watch::Receiver<bool>) -> Swept {
    let mut all = Swept::default();
    for _ in 0..STEPS_MAX {
        let (store, keep) = (Arc::clone(&shared.store), *keep);
        let step = tokio::task::spawn_blocking(move || store.sweep(store.now(), &keep)).await;
        let swept = match step {
            Ok(Ok(swept)) => swept,
            Ok(Err(error)) => {
                tracing::error!(%error, "retention could not drop what is too old");
                break;
            }
            Err(_) => break,
        };
        all.entries += swept.entries;
        all.runs += swept.runs;
        all.objects += swept.objects;
        all.expired += swept.expired;
        all.range = match (all.range, swept.range) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (known, new) => known.or(new),
        };
        if !swept.more || !rest(REST, stop).await {
            break;
        }
    }
    all
}

async fn record(orders: &Orders, all: &Swept, before: Seq) {
    let range = all.range.map(|(first, last)| json!([first, last]));
    let (reply, answer) = oneshot::channel();
    let note = Note {
        kind: EntryKind::RetentionSwept,
        actor: Actor::System,
        object: "history".to_owned(),
        payload: json!({ "entries": all.entries, "range": range, "before": before, "runs": all.runs, "objects": all.objects }),
        marks: Vec::new(),
        texts: Vec::new(),
        set: None,
        reply,
    };
    if orders.send(Order::Note(Box::new(note))).await.is_err() || !matches!(answer.await, Ok(Ok(_))) {
        tracing::warn!("a sweep of retention could not be recorded");
    }
}
