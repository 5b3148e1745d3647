//! The load: events at a given rate, and somebody who reads.
//!
//! Invariant: an answer is measured from the moment at which its request was due, as in the throughput bench.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::scene;
use crate::support::http::{Connection, request};
use crate::support::{Result, clock};

/// Connections that send.
const CONNECTIONS: usize = 16;
/// How long the reader rests between two looks.
const READER_REST: Duration = Duration::from_secs(2);
/// What the reader looks at, in turn; `{run}` is the newest run.
const LOOKS: [&str; 16] = [
    "/v1/runs?limit=50",
    "/v1/runs?limit=50&status=failed",
    "/v1/runs/{run}",
    "/v1/alerts?limit=50",
    "/v1/alerts/A-1",
    "/v1/cases?limit=50&q=priority:high",
    "/v1/cases/C-1",
    "/v1/events?limit=50",
    "/v1/deliveries?limit=50",
    "/v1/audit?limit=50",
    "/v1/stats",
    "/",
    "/runs",
    "/runs/{run}",
    "/cases",
    "/audit",
];

/// What the senders have seen since the last sample.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Latencies of the answers, in microseconds.
    pub(super) accept: Vec<u64>,
    /// When the timed events were sent, by number.
    pub(super) sent: HashMap<u64, u64>,
    /// Latencies of what was read, in microseconds.
    pub(super) reads: Vec<u64>,
}

/// What the senders share.
#[derive(Debug, Default)]
pub(super) struct Seen {
    window: Mutex<Window>,
    next: AtomicU64,
    /// Answers 429 and 503.
    pub(super) refused: AtomicU64,
    /// Looks that were not answered with 200, and 404 for what retention has dropped meanwhile.
    pub(super) unread: AtomicU64,
}

impl Seen {
    /// What was seen since the last call.
    pub(super) fn take(&self) -> Window {
        std::mem::take(&mut *self.window.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many events were sent in all.
    pub(super) fn events(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    fn with(&self, add: impl FnOnce(&mut Window)) {
        add(&mut self.window.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The senders at work.
pub(super) struct Senders(JoinSet<Result<()>>);

impl Senders {
    /// Waits for their end.
    ///
    /// # Errors
    /// When one of them was answered what it should not be.
    pub(super) async fn finish(mut self) -> Result<()> {
        while let Some(ended) = self.0.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Begins to send `rate` events a second for some seconds.
pub(super) fn begin(address: SocketAddr, (rate, seconds): (f64, f64), seen: &Arc<Seen>) -> Senders {
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        senders.spawn(send(address, (start, rate, seconds), Arc::clone(seen)));
    }
    Senders(senders)
}

async fn send(address: SocketAddr, (start, rate, seconds): (Instant, f64, f64), seen: Arc<Seen>) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let end = start + Duration::from_secs_f64(seconds);
    loop {
        let n = seen.next.fetch_add(1, Ordering::Relaxed);
        let mut from = start + Duration::from_secs_f64(n as f64 / rate);
        if from >= end {
            return Ok(());
        }
        if from > Instant::now() {
            tokio::time::sleep_until(from).await;
            // Waking late by itself is not the server's fault.
            from = Instant::now();
        }
        let at = clock::wall_micros().saturating_sub(u64::try_from(from.elapsed().as_micros())?);
        if scene::is_timed(n) {
            seen.with(|window| {
                window.sent.insert(n, at);
            });
        }
        let answer = connection.send(&request("POST", "/v1/in/generic", &scene::body(n))).await?;
        let took = u64::try_from(from.elapsed().as_micros())?;
        match answer.status {
            200..300 => seen.with(|window| window.accept.push(took)),
            429 | 503 => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
            status => return Err(format!("{status}: {}", String::from_utf8_lossy(&answer.body)).into()),
        }
    }
}

/// Looks at lists, records and pages, one after the other, and begins a run again now and then, until it is aborted.
///
/// # Errors
/// When the server cannot be reached.
pub(super) async fn reader(address: SocketAddr, seen: Arc<Seen>) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let mut run = String::new();
    for turn in 0_usize.. {
        tokio::time::sleep(READER_REST).await;
        let path = LOOKS[turn % LOOKS.len()].replace("{run}", &run);
        let began = Instant::now();
        let answer = connection.send(&request("GET", &path, b"")).await?;
        let took = u64::try_from(began.elapsed().as_micros())?;
        match answer.status {
            200 => seen.with(|window| window.reads.push(took)),
            404 => {}
            _ => {
                seen.unread.fetch_add(1, Ordering::Relaxed);
            }
        }
        if turn.is_multiple_of(LOOKS.len()) {
            let page: Value = serde_json::from_slice(&answer.body)?;
            run = page["items"][0]["run_id"].as_str().unwrap_or_default().to_owned();
            let again = request("POST", &format!("/v1/runs/{run}/retry"), br#"{"from":"start"}"#);
            connection.send(&again).await?;
        }
    }
    Ok(())
}
