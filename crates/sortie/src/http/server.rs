//! The listener and its connections.
//!
//! Invariants: there is a most of connections, below what the process may open, so that the store can always open its
//! files; one too many hears 503 at once and is closed; a client that is slow costs one connection for a bounded time;
//! after the word to stop, what is being answered is answered, for a bounded time.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt as _;

use super::dispatch::{Peer, contradiction, finish};
use super::wire::{Noted, Patience, Wire};
use super::{App, activity, table};

/// Most connections, whatever the process may open.
pub(crate) const CONNECTIONS_MAX: usize = 8_192;
/// Files that stay free for the store and for outbound connections: a quarter of what the process may open, and at least this many.
const FILES_RESERVED_MIN: usize = 32;
/// What a process may open where the system does not say.
const FILES_UNKNOWN: usize = 1_024;
/// Most headers of a request.
const HEADERS_MAX: usize = 100;
/// Largest header of a request, and the most that is read ahead, in bytes.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// How long to wait when the system cannot give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long one connection too many may take to read why.
const TURN_AWAY_PATIENCE: Duration = Duration::from_millis(500);
/// Most connections that are being turned away at once; further ones are closed without a word.
const TURNED_AWAY_MAX: usize = 64;
/// What one connection too many hears.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 132\r\n\r\n\
{\"type\":\"urn:sortie:problem:full\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections are open\",\"code\":\"full\"}";

/// How many connections this process can serve.
pub(crate) fn connections_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(FILES_UNKNOWN);
    let reserved = (files / 4).max(FILES_RESERVED_MIN);
    files.saturating_sub(reserved).clamp(1, CONNECTIONS_MAX)
}

/// Serves until `shutdown` is done, then for at most the grace of the settings.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, shutdown: impl Future<Output = ()>) {
    let router = table::router(Arc::clone(&app));
    let max = connections_max();
    let places = Arc::new(Semaphore::new(max));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let (stop, stopping) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    let mut notes = tokio::time::interval(activity::EVERY);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = notes.tick() => {
                app.activity.note(app.engine.figures(), app.engine.store().now());
                continue;
            }
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, or the client has gone already: neither is a reason to stop.
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let connection = connection(stream, peer, router.clone(), Arc::clone(&app), stopping.clone(), place);
                tokio::spawn(connection);
            }
            Err(_) => {
                app.counters.turned_away.fetch_add(1, Ordering::Relaxed);
                // Before a handshake nothing can be said that would be understood.
                if app.settings.tls.is_none()
                    && let Ok(place) = Arc::clone(&turned_away).try_acquire_owned()
                {
                    tokio::spawn(turn_away(stream, place));
                }
            }
        }
    }
    drop(listener);
    drop(stop); // every connection notices
    let all = u32::try_from(max).unwrap_or(u32::MAX);
    if tokio::time::timeout(app.settings.grace, places.acquire_many(all)).await.is_err() {
        tracing::warn!("connections were still open when the time to stop had passed");
    }
}

async fn turn_away(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let said = async {
        stream.write_all(TURNED_AWAY).await?;
        stream.shutdown().await
    };
    // Whether it was heard is of no consequence.
    let _: Result<_, _> = tokio::time::timeout(TURN_AWAY_PATIENCE, said).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    app: Arc<App>,
    stopping: watch::Receiver<()>,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let Some(doorway) = &app.settings.tls else {
        return requests(stream, peer, router, app, stopping, place).await;
    };
    // A handshake may take as long as a header: its client has said nothing yet that is worth waiting for.
    let patience = Patience::default().header;
    match tokio::time::timeout(patience, doorway.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, peer, router, app, stopping, place).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection without TLS, or with too old a one"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

/// The requests of a connection, one after the other, to its end.
async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    app: Arc<App>,
    mut stopping: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
) {
    let noted = Arc::new(Noted::default());
    let wire = Wire::new(stream, Arc::clone(&noted), Patience::default());
    let number = AtomicU64::new(0);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let refused = noted.contradicts(number.fetch_add(1, Ordering::Relaxed) + 1);
        let (router, app) = (router.clone(), Arc::clone(&app));
        async move {
            let mut request = request.map(Body::new);
            let closes = request.headers().contains_key(axum::http::header::TRANSFER_ENCODING);
            request.extensions_mut().insert(Peer(peer.ip()));
            let answer = if refused {
                let (parts, _) = request.into_parts();
                contradiction(&app, peer.ip(), parts.method.as_str(), parts.uri.path()).await
            } else {
                match router.oneshot(request).await {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                }
            };
            Ok::<_, Infallible>(finish(answer, closes || refused))
        }
    });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None) // the wire keeps better clocks
            .max_headers(HEADERS_MAX)
            .max_buf_size(READ_BUFFER_BYTES)
            .serve_connection(TokioIo::new(wire), service)
    );
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_too_many_hears_a_complete_answer() {
        let text = std::str::from_utf8(TURNED_AWAY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
    }

    #[test]
    fn files_stay_free_for_the_store() {
        let max = connections_max();
        assert!((1..=CONNECTIONS_MAX).contains(&max), "{max}");
    }
}
