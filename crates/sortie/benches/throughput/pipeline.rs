//! The ceilings: servers that take the same requests and have no product logic.
//!
//! *empty* reads the body and answers. *bare* does what any durable pipeline must: it commits the event to the same
//! database in groups, with flush and fdatasync, before it answers, sends every other event on, and commits the outcome.
//! Keys and bytes per event are given, so that it writes exactly as much as Sortie did in the round before.
//!
//! Invariants: nothing is answered before it is as durable as Sortie's answers are. No parsing, no conditions, no state,
//! no retries, no history that could be read.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::support::{Result, alert, load};

/// Answers of about the size of Sortie's.
const ANSWER: &str = r#"{"event_id":"evt-0000000000000000-000000","duplicate":false,"decisions":[{"playbook":"bench-send","verdict":"matched","run_id":"run-0000000000000000-0-000000","reason":"its condition holds","at":{"file":"playbooks/00000.yaml","line":4,"column":7}}],"decisions_total":1,"transitions":["alert.created"],"warnings":[]}"#;
/// Orders in one commit, as in Sortie.
const GROUP_MAX: usize = 256;
/// Orders that may wait.
const WAITING_MAX: usize = 1024;
/// Webhooks under way at once, as in Sortie.
const SENDING_MAX: usize = 256;
/// The longest value: longer ones would go into files of their own.
const VALUE_BYTES_MAX: usize = 7 * 1024;
/// Sortie's settings of the database.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const FLUSH_EVERY_MILLIS: u64 = 500;

/// How much a bare pipeline writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume {
    /// Keys for an event, its outcome included, when half of the events match.
    pub(crate) keys: f64,
    /// Bytes of values for an event, likewise.
    pub(crate) bytes: f64,
}

struct Order {
    body: Bytes,
    done: oneshot::Sender<()>,
}

struct Bare {
    orders: mpsc::Sender<Order>,
    client: reqwest::Client,
    to: String,
    sending: Arc<Semaphore>,
}

/// Serves *empty* until the process is killed.
///
/// # Errors
/// When it cannot listen.
pub(crate) async fn empty(address: SocketAddr) -> Result<()> {
    let take = |_body: Bytes| async { answer() };
    serve(address, Router::new().route("/v1/in/generic", post(take))).await
}

/// Serves *bare* until the process is killed.
///
/// # Errors
/// When it cannot listen or open its database.
pub(crate) async fn bare(address: SocketAddr, data: &Path, to: String, volume: Volume) -> Result<()> {
    let (orders, waiting) = mpsc::channel(WAITING_MAX);
    let config = sled::Config::new().path(data).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_EVERY_MILLIS));
    let (db, file) = (config.open()?, File::open(data.join("db"))?);
    std::thread::spawn(move || commit(&db, &file, waiting, volume));
    let client = reqwest::Client::builder().no_proxy().build()?;
    let bare = Arc::new(Bare { orders, client, to, sending: Arc::new(Semaphore::new(SENDING_MAX)) });
    serve(address, Router::new().route("/v1/in/generic", post(take)).with_state(bare)).await
}

async fn serve(address: SocketAddr, router: Router) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    let router = router.route("/readyz", get(|| async { "ready" }));
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

fn answer() -> impl IntoResponse {
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], ANSWER)
}

async fn take(State(bare): State<Arc<Bare>>, body: Bytes) -> axum::response::Response {
    if !durable(&bare, body.clone()).await {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if let Some(n) = alert::number(&body).filter(|n| load::matches(*n)) {
        tokio::spawn(async move { send(&bare, n, body).await });
    }
    answer().into_response()
}

/// Commits a body; answers whether it is durable.
async fn durable(bare: &Bare, body: Bytes) -> bool {
    let (done, wait) = oneshot::channel();
    bare.orders.send(Order { body, done }).await.is_ok() && wait.await.is_ok()
}

async fn send(bare: &Bare, n: u64, body: Bytes) {
    let Ok(_turn) = bare.sending.acquire().await else {
        return;
    };
    let request = bare.client.post(&bare.to).header("webhook-id", format!("msg-{n}"));
    let sent = request.header(header::CONTENT_TYPE, "application/json").body(body.clone()).send().await;
    if sent.is_ok_and(|answer| answer.status().is_success()) {
        durable(bare, body).await;
    }
}

/// The one committer: everything that waits becomes one batch, flushed and synced, and is then answered.
fn commit(db: &sled::Db, file: &File, mut waiting: mpsc::Receiver<Order>, volume: Volume) -> Result<()> {
    // An event that matches is two orders, and half of them match.
    const ORDERS_PER_EVENT: f64 = 1.5;
    let (mut keys_owed, mut written) = (0.0, 0_u64);
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            let Ok(order) = waiting.try_recv() else { break };
            group.push(order);
        }
        let orders = group.len() as f64 / ORDERS_PER_EVENT;
        keys_owed += orders * volume.keys;
        let keys = (keys_owed as usize).max(1);
        keys_owed -= keys as f64;
        let bytes = ((orders * volume.bytes) as usize / keys).min(VALUE_BYTES_MAX);
        let mut batch = sled::Batch::default();
        let mut bodies = group.iter().map(|order| &order.body).cycle();
        for n in 0..keys {
            let mut value = Vec::with_capacity(bytes);
            while let Some(body) = bodies.next().filter(|_| value.len() < bytes) {
                value.extend_from_slice(&body[..body.len().min(bytes - value.len())]);
            }
            batch.insert(&key(written, n)[..], value);
            written += 1;
        }
        db.apply_batch(batch)?;
        db.flush()?;
        file.sync_data()?;
        for order in group {
            let _ = order.done.send(());
        }
    }
    Ok(())
}

/// Every other key goes to the end of the tree, as a history does; the others anywhere, as ids do.
fn key(written: u64, n: usize) -> [u8; 17] {
    let mut key = [b'h'; 17];
    if n.is_multiple_of(2) {
        key[1..9].copy_from_slice(&written.to_be_bytes());
    } else {
        let spread = written.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key[0] = b's';
        key[1..9].copy_from_slice(&spread.to_be_bytes());
        key[9..].copy_from_slice(&written.to_be_bytes());
    }
    key
}
