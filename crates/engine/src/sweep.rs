//! Retention: drops what is older, more or larger than may be kept, in small steps, and records that it did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Seq;
use model::event::Actor;
use model::history::EntryKind;
use serde_json::{Value, json};
use store::{Retention, Swept};
use tokio::sync::{oneshot, watch};

use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::unused;
use crate::writer::{Note, Order, Orders};

/// How often there is a look whether something must go.
const EVERY: Duration = Duration::from_secs(60);
/// The rest before a sweep goes on that had more to do than one may.
const GO_ON: Duration = Duration::from_secs(1);
/// The rest between two small steps is twice as long as the step took, so that a sweep takes a third of the store's time at
/// most, within these bounds.
const REST_MIN: Duration = Duration::from_millis(2);
const REST_MAX: Duration = Duration::from_millis(50);
/// Steps of one sweep; what is left goes in the next.
const STEPS_MAX: usize = 1000;

/// Sweeps until `stop` says otherwise.
pub(crate) async fn run(shared: Arc<Shared>, orders: Orders, keep: Retention, mut stop: watch::Receiver<bool>) {
    let mut owed = Swept::default();
    while !*stop.borrow() {
        if held(&shared).await {
            sweep(&shared, &orders, &keep, &mut owed, &mut stop).await;
        }
        if owed.entries + owed.runs + owed.objects > 0
            && record(&orders, done(&owed, shared.store.stats().first_seq)).await
        {
            owed = Swept { more: owed.more, ..Swept::default() };
        }
        let cut = shared.store.now().minus(keep.age.saturating_add(unused::RUN_MAX));
        if let Err(refusal) = unused::forget(shared.store.as_ref(), &orders, cut).await {
            tracing::warn!(%refusal, "texts that nothing needs any more could not be dropped");
        }
        if !rest(if owed.more { GO_ON } else { EVERY }, &mut stop).await {
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

/// Step after step, until nothing is left to do or the server stops. What goes of the history is recorded before it goes:
/// whoever verifies the history at any moment finds nothing missing that is not accounted for.
async fn sweep(
    shared: &Arc<Shared>,
    orders: &Orders,
    keep: &Retention,
    all: &mut Swept,
    stop: &mut watch::Receiver<bool>,
) {
    let (mut before, mut exhausted, mut all_due) = (Seq(0), true, false);
    all.more = true;
    for _ in 0..STEPS_MAX {
        if exhausted {
            match due(shared, keep).await.filter(|due| *due > before) {
                Some(due) if announced(shared, orders, due).await => before = due,
                Some(_) => break,
                None => all_due = true,
            }
        }
        let began = Instant::now();
        let (store, keep) = (Arc::clone(&shared.store), *keep);
        let step = tokio::task::spawn_blocking(move || store.sweep_before(store.now(), &keep, before)).await;
        let swept = match step {
            Ok(Ok(swept)) => swept,
            Ok(Err(error)) => {
                tracing::error!(%error, "retention could not drop what is too old");
                all.more = false;
                break;
            }
            Err(_) => break,
        };
        add(all, &swept);
        exhausted = !swept.more;
        if exhausted && all_due {
            all.more = false;
            break;
        }
        if !rest((began.elapsed() * 2).clamp(REST_MIN, REST_MAX), stop).await {
            break;
        }
    }
}

/// The entry up to which history is to be dropped.
async fn due(shared: &Arc<Shared>, keep: &Retention) -> Option<Seq> {
    let (store, keep) = (Arc::clone(&shared.store), *keep);
    match tokio::task::spawn_blocking(move || store.sweep_due(store.now(), &keep)).await {
        Ok(Ok(due)) => due,
        Ok(Err(error)) => {
            tracing::error!(%error, "what retention must drop cannot be found out");
            None
        }
        Err(_) => None,
    }
}

/// Records that history up to an entry is dropped from now on; answers whether it may be. On a disk that is full the record
/// has no room, and dropping is what makes some: it is recorded afterwards.
async fn announced(shared: &Arc<Shared>, orders: &Orders, due: Seq) -> bool {
    let first = shared.store.stats().first_seq;
    let payload = json!({ "what": "dropping begins", "range": [first, Seq(due.0.saturating_sub(1))] });
    let (reply, answer) = oneshot::channel();
    if orders.send(note(payload, reply)).await.is_err() {
        return false;
    }
    match answer.await {
        Ok(Ok(_) | Err(Refusal::Full)) => true,
        Ok(Err(refusal)) => {
            tracing::warn!(%refusal, "a sweep of retention could not be recorded; nothing is dropped");
            false
        }
        Err(_) => false,
    }
}

/// Adds what a step did.
fn add(all: &mut Swept, swept: &Swept) {
    all.entries += swept.entries;
    all.runs += swept.runs;
    all.objects += swept.objects;
    all.expired += swept.expired;
    all.range = match (all.range, swept.range) {
        (Some((first, _)), Some((_, last))) => Some((first, last)),
        (known, new) => known.or(new),
    };
}

/// What is recorded of a sweep.
fn done(all: &Swept, before: Seq) -> Value {
    let range = all.range.map(|(first, last)| json!([first, last]));
    json!({ "entries": all.entries, "range": range, "before": before, "runs": all.runs, "objects": all.objects })
}

fn note(payload: Value, reply: oneshot::Sender<Result<Seq, Refusal>>) -> Order {
    Order::Note(Box::new(Note {
        kind: EntryKind::RetentionSwept,
        actor: Actor::System,
        object: "history".to_owned(),
        payload,
        marks: Vec::new(),
        texts: Vec::new(),
        set: None,
        reply,
    }))
}

/// Records; answers whether it is recorded.
async fn record(orders: &Orders, payload: Value) -> bool {
    let (reply, answer) = oneshot::channel();
    let recorded = orders.send(note(payload, reply)).await.is_ok() && matches!(answer.await, Ok(Ok(_)));
    if !recorded {
        tracing::warn!("a sweep of retention could not be recorded; it is recorded with the next one");
    }
    recorded
}
