//! Retention: drops what is older, more or larger than may be kept, in small steps, and records that it did.

use std::sync::Arc;
use std::time::Duration;

use model::event::Actor;
use model::history::EntryKind;
use serde_json::json;
use store::{Retention, Swept};
use tokio::sync::watch;

use crate::engine::Engine;

/// How often there is a look whether something must go.
const EVERY: Duration = Duration::from_secs(60);
/// The rest between two small steps, so that a sweep never holds anybody up.
const REST: Duration = Duration::from_millis(20);
/// Steps of one sweep; what is left goes in the next.
const STEPS_MAX: usize = 1000;

/// Sweeps until `stop` says otherwise.
pub(crate) async fn run(engine: Engine, keep: Retention, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        sweep(&engine, &keep).await;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn sweep(engine: &Engine, keep: &Retention) {
    let mut all = Swept::default();
    for _ in 0..STEPS_MAX {
        let (store, keep) = (Arc::clone(engine.store()), *keep);
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
        if !swept.more {
            break;
        }
        tokio::time::sleep(REST).await;
    }
    if all.entries + all.runs + all.objects == 0 {
        return;
    }
    let range = all.range.map(|(first, last)| json!([first, last]));
    let what = json!({ "entries": all.entries, "range": range, "runs": all.runs, "objects": all.objects });
    if let Err(refusal) = engine.record(EntryKind::RetentionSwept, "history".to_owned(), what, Actor::System).await {
        tracing::warn!(%refusal, "a sweep of retention could not be recorded");
    }
}
