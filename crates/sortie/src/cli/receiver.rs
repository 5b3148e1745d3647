//! A receiver on this machine: takes what is sent, and passes it on to be shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Messages that may wait to be shown; what comes beyond is answered and not shown.
const WAITING_MAX: usize = 256;
/// Largest message, in bytes; a larger one is answered 413.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What a receiver answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers {
    /// To a message.
    pub(super) status: StatusCode,
    /// The path whose first message is refused with 503, so that a retry can be seen.
    pub(super) refuse_first_to: Option<&'static str>,
}

/// One message as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    /// The method.
    pub(super) method: Method,
    /// The path: which destination.
    pub(super) path: String,
    /// `webhook-id`; empty without one.
    pub(super) webhook_id: String,
    /// Whether it was signed as Standard Webhooks says.
    pub(super) signed: bool,
    /// What it was answered.
    pub(super) status: u16,
    /// The body; what is not JSON as text.
    pub(super) body: Value,
}

struct Inbox {
    answers: Answers,
    arrived: mpsc::Sender<Arrived>,
    refused: AtomicBool,
}

/// Starts a receiver; answers what arrives. It ends with the runtime.
pub(super) fn start(listener: TcpListener, answers: Answers) -> mpsc::Receiver<Arrived> {
    let (arrived, inbox) = mpsc::channel(WAITING_MAX);
    let state = Arc::new(Inbox { answers, arrived, refused: AtomicBool::new(false) });
    let routes = Router::new().fallback(take).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(state);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    inbox
}

async fn take(
    State(inbox): State<Arc<Inbox>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let path = uri.path().to_owned();
    let busy = inbox.answers.refuse_first_to == Some(path.as_str()) && !inbox.refused.swap(true, Ordering::Relaxed);
    let status = if busy { StatusCode::SERVICE_UNAVAILABLE } else { inbox.answers.status };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    let arrived = Arrived {
        method,
        path,
        webhook_id: header("webhook-id"),
        signed: headers.contains_key("webhook-signature"),
        status: status.as_u16(),
        body: serde_json::from_slice(&body).unwrap_or_else(|_| text()),
    };
    // Full, or nobody looks any more: the answer is the same.
    let _ = inbox.arrived.try_send(arrived);
    status
}
