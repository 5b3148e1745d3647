//! A receiver on this machine: takes what is sent, and refuses the first message of one destination, so that a retry can
//! be seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Messages that may wait to be shown: more than the demo sends.
const WAITING_MAX: usize = 256;
/// The path whose first message is refused.
pub(super) const SLOW: &str = "/siem";

/// One message as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    /// The path: which destination.
    pub(super) path: String,
    /// `webhook-id`.
    pub(super) webhook_id: String,
    /// Whether it was signed.
    pub(super) signed: bool,
    /// What it was answered.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Value,
}

struct Inbox {
    arrived: mpsc::Sender<Arrived>,
    refused: AtomicBool,
}

/// Starts the receiver; answers its address and what arrives.
///
/// # Errors
/// When the system gives no port.
pub(super) async fn start() -> std::io::Result<(std::net::SocketAddr, mpsc::Receiver<Arrived>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (arrived, inbox) = mpsc::channel(WAITING_MAX);
    let state = Arc::new(Inbox { arrived, refused: AtomicBool::new(false) });
    let routes = Router::new().fallback(take).with_state(state);
    // It ends with the demo's runtime.
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((address, inbox))
}

async fn take(State(inbox): State<Arc<Inbox>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let path = uri.path().to_owned();
    let busy = path == SLOW && !inbox.refused.swap(true, Ordering::Relaxed);
    let status = if busy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let arrived = Arrived {
        path,
        webhook_id: header("webhook-id"),
        signed: headers.contains_key("webhook-signature"),
        status: status.as_u16(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    // Full, or nobody looks any more: the answer is the same.
    let _ = inbox.arrived.try_send(arrived);
    status
}
