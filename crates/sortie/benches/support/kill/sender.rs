//! A sender: one connection that comes back after every kill.
//!
//! Invariants: an event without an answer is sent again, byte for byte the same, as a vendor would, so that nothing of it
//! may happen twice; every sixteenth of them is given up instead, and may then be there or not, but never by half.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::super::alert;
use super::super::http::{Connection, request};
use super::Progress;
use super::scene::Shape;

/// How long a sender rests when nobody listens, or when the server is full.
const REST: Duration = Duration::from_millis(5);

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    /// Its number.
    pub(super) n: u64,
    /// The id that the server gave it with a 2xx; nothing when no answer came and it was given up.
    pub(super) event_id: Option<String>,
    /// What was answered when it was neither accepted nor put off: never right.
    pub(super) refused: Option<String>,
}

/// See the module.
pub(super) struct Sender {
    address: SocketAddr,
    pause: Duration,
    progress: Arc<Progress>,
    connection: Option<Connection>,
}

impl Sender {
    /// A sender that begins an event every `pause`, if the server keeps up.
    pub(super) fn new(address: SocketAddr, pause: Duration, progress: Arc<Progress>) -> Sender {
        Sender { address, pause, progress, connection: None }
    }

    /// Sends until all is over.
    pub(super) async fn run(mut self) -> Vec<Fate> {
        let mut fates = Vec::new();
        let mut due = Instant::now();
        while !self.over() {
            let n = self.progress.next.fetch_add(1, Ordering::Relaxed);
            let body = request("POST", "/v1/in/generic", &alert::body(n, Shape::of(n).tags(), true));
            if let Some(fate) = self.deliver(n, &body).await {
                fates.push(fate);
            }
            due = Instant::now().max(due + self.pause);
            tokio::time::sleep_until(due).await;
        }
        fates
    }

    fn over(&self) -> bool {
        self.progress.over.load(Ordering::Acquire)
    }

    /// Sends one event until its fate is known; nothing when it never reached a server.
    async fn deliver(&mut self, n: u64, body: &[u8]) -> Option<Fate> {
        let mut tried = false;
        while !self.over() || tried {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => match Connection::open(self.address).await {
                    Ok(connection) => connection,
                    Err(_) if self.over() => break,
                    Err(_) => {
                        tokio::time::sleep(REST).await;
                        continue;
                    }
                },
            };
            tried = true;
            let Ok(answer) = connection.send(body).await else {
                self.progress.cut.fetch_add(1, Ordering::Relaxed);
                if n % 16 == 7 {
                    break;
                }
                continue;
            };
            self.connection = Some(connection);
            match answer.status {
                200 | 202 => {
                    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let event_id = body["event_id"].as_str().map(str::to_owned);
                    let refused = event_id.is_none().then(|| String::from_utf8_lossy(&answer.body).into_owned());
                    return Some(Fate { n, event_id, refused });
                }
                429 | 503 => tokio::time::sleep(REST).await,
                status => {
                    let refused = Some(format!("{status} {}", String::from_utf8_lossy(&answer.body)));
                    return Some(Fate { n, event_id: None, refused });
                }
            }
        }
        tried.then_some(Fate { n, event_id: None, refused: None })
    }
}
