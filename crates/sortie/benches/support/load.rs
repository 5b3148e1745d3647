//! The load: events over connections that are kept, as fast as they are answered or at a given rate.
//!
//! Invariants: an event counts as accepted only when its 2xx was read to the end. At a given rate an answer is measured
//! from the moment at which its request was due, so that a server that stalls cannot hide it by being asked less.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::http::{Connection, request};
use super::{Result, alert, clock};

/// What is sent, and how.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// To whom.
    pub(crate) address: SocketAddr,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// How long.
    pub(crate) seconds: f64,
    /// The number of the first event.
    pub(crate) first: u64,
    /// Events in a second; nothing means as fast as they are answered.
    pub(crate) rate: Option<f64>,
    /// Whose they are, where tenants are configured.
    pub(crate) tenant: Option<&'static str>,
}

/// One event that was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Its number.
    pub(crate) n: u64,
    /// When it was sent (or due), in microseconds since 1970.
    pub(crate) at: u64,
    /// How long the answer took, in microseconds.
    pub(crate) took: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Events that were accepted.
    pub(crate) sent: Vec<Sent>,
    /// Requests that were answered with 429 or 503: the server protects itself.
    pub(crate) refused: u64,
    /// The number after the last that was used.
    pub(crate) next: u64,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

/// Whether event `n` of the throughput bench matches: every other does.
pub(crate) const fn matches(n: u64) -> bool {
    n.is_multiple_of(2)
}

/// Sends until the time is over.
///
/// # Errors
/// When the server is gone or answers what it should not.
pub(crate) async fn run(load: &Load) -> Result<Outcome> {
    let next = Arc::new(AtomicU64::new(load.first));
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..load.connections {
        senders.spawn(sender(load.clone(), Arc::clone(&next), start));
    }
    let mut outcome = Outcome::default();
    while let Some(ended) = senders.join_next().await {
        let (sent, refused) = ended??;
        outcome.sent.extend(sent);
        outcome.refused += refused;
    }
    outcome.took = start.elapsed();
    outcome.next = next.load(Ordering::Relaxed);
    Ok(outcome)
}

async fn sender(load: Load, next: Arc<AtomicU64>, start: Instant) -> Result<(Vec<Sent>, u64)> {
    let mut connection = Connection::open(load.address).await?;
    let end = start + Duration::from_secs_f64(load.seconds);
    let (mut sent, mut refused) = (Vec::new(), 0);
    loop {
        let now = Instant::now();
        if now >= end {
            return Ok((sent, refused));
        }
        let n = next.fetch_add(1, Ordering::Relaxed);
        let mut event = alert::body(n, "", matches(n));
        if let Some(tenant) = load.tenant {
            event.splice(1..1, format!("\"tenant\":\"{tenant}\",").into_bytes());
        }
        let body = request("POST", "/v1/in/generic", &event);
        let from = match load.rate {
            Some(rate) => pace(start + Duration::from_secs_f64((n - load.first) as f64 / rate)).await,
            None => Instant::now(),
        };
        let at = clock::wall_micros().saturating_sub(u64::try_from(from.elapsed().as_micros())?);
        let answer = connection.send(&body).await?;
        let took = u64::try_from(from.elapsed().as_micros())?;
        match answer.status {
            200..300 => sent.push(Sent { n, at, took }),
            429 | 503 => refused += 1,
            status => {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&answer.body)).into());
            }
        }
    }
}

/// Waits until a request is due; answers since when it waits. Waking late by itself is not the server's fault.
async fn pace(due: Instant) -> Instant {
    if due <= Instant::now() {
        return due;
    }
    tokio::time::sleep_until(due).await;
    Instant::now()
}
