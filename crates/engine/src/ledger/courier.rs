//! Carries signed checkpoints to a destination, so that the tail cannot be cut off, nor everything computed anew, without
//! somebody elsewhere holding the proof.
//!
//! Invariants: the newest checkpoint is what is carried; one that was overtaken by a newer need not arrive any more, since
//! the newer one vouches for all of it. A destination that does not take them is told once in the history, and for as long
//! as it lasts in the status, the figures and the log. Carrying writes nothing else into the history: a checkpoint that
//! made a new entry would never be the last.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use model::Time;
use model::event::Actor;
use model::history::EntryKind;
use playbook::{Backoff, Retry};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::checkpoint::Checkpoint;
use super::keeper::Keeper;
use crate::engine::{Engine, Inner};
use crate::outbound::deliver::{Message, deliver};
use crate::outbound::destination::Manner;
use crate::outbound::{Origin, retry};

/// When a checkpoint is tried again that did not arrive: for ever, at most a minute apart.
const AGAIN: Retry =
    Retry { max: u32::MAX, backoff: Backoff::Exponential, first: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// How long the last checkpoint of a server that stops may take.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// A signed checkpoint.
pub(crate) type Signed = (Checkpoint, String);

/// How checkpoints get to their destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// The destination.
    pub destination: String,
    /// Leaves in the newest checkpoint that arrived, and when.
    pub arrived: Option<(u64, Time)>,
    /// Since when they do not arrive, and why.
    pub failing: Option<(Time, String)>,
}

/// Carries until the server stops.
pub(super) async fn run(engine: Weak<Inner>, keeper: Arc<Keeper>, mut stop: watch::Receiver<bool>) {
    let mut newest = keeper.newest();
    loop {
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let mut tries = 0;
        loop {
            let Some(signed) = newest.borrow_and_update().clone() else { break };
            let Some(engine) = Engine::upgrade(&engine) else { return };
            if once(&engine, &keeper, &signed).await {
                break;
            }
            drop(engine);
            tries += 1;
            let wait = retry::delay(&AGAIN, tries, None, 1.0);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Carries the newest checkpoint once more before the end, when it has not arrived.
pub(crate) async fn last(engine: &Engine, keeper: &Keeper) {
    let newest = keeper.newest().borrow().clone();
    let Some(signed) = newest.filter(|(checkpoint, _)| keeper.lacks(checkpoint.size)) else { return };
    if tokio::time::timeout(LAST_PATIENCE, once(engine, keeper, &signed)).await.is_err() {
        tracing::warn!("the last checkpoint of the history did not reach its destination in time");
    }
}

/// One try; answers whether it arrived.
async fn once(engine: &Engine, keeper: &Keeper, signed: &Signed) -> bool {
    let Some(destination) = keeper.destination() else { return true };
    let (size, now) = (signed.0.size, engine.store().now());
    match send(engine, keeper, destination, signed, now).await {
        Ok(()) => {
            if keeper.note_arrived(size, now) {
                tracing::info!(destination, "checkpoints of the history arrive again");
                tell(engine, json!({ "what": "checkpoints arrive again", "destination": destination, "size": size }))
                    .await;
            }
            true
        }
        Err(reason) => {
            tracing::error!(destination, size, reason, "a checkpoint of the history did not arrive");
            if keeper.note_failing(now, &reason) {
                let what = "checkpoint did not arrive";
                tell(engine, json!({ "what": what, "destination": destination, "size": size, "reason": reason })).await;
            }
            false
        }
    }
}

async fn send(
    engine: &Engine,
    keeper: &Keeper,
    id: &str,
    (checkpoint, note): &Signed,
    now: Time,
) -> Result<(), String> {
    let context = engine.context();
    let destinations = context.destinations();
    let destination = destinations.map.get(id).ok_or_else(|| format!("there is no destination `{id}`"))?;
    if !destination.enabled {
        return Err(format!("the destination `{id}` is switched off"));
    }
    if destination.manner != Manner::Webhook {
        return Err(format!("the destination `{id}` is a chat; checkpoints go to a webhook"));
    }
    let body = json!({
        "type": "ledger.checkpoint",
        "checkpoint": note,
        "key": keeper.verifier().to_string(),
        "size": checkpoint.size,
        "root": checkpoint.root,
        "time": checkpoint.time,
    });
    let message = Message {
        tenant: String::new(),
        id: format!("checkpoint-{}-{}", checkpoint.origin, checkpoint.size),
        body: Bytes::from(body.to_string()),
        content_type: "application/json",
        headers: Vec::new(),
        chain: 0,
        timeout: None,
        now,
        origin: Origin::default(),
    };
    let sent = deliver(&context.effects, &context.secrets, destination, message).await.map_err(|e| e.to_string())?;
    if sent.accepted() {
        return Ok(());
    }
    Err(match (sent.status, sent.error) {
        (Some(status), _) => format!("the receiver answered HTTP {status}"),
        (None, Some(error)) => error.to_string(),
        (None, None) => "there is no answer".to_owned(),
    })
}

async fn tell(engine: &Engine, what: Value) {
    if let Err(error) = engine.record(EntryKind::Server, "ledger".to_owned(), what, Actor::System).await {
        tracing::warn!(%error, "what becomes of the checkpoints could not be recorded");
    }
}
