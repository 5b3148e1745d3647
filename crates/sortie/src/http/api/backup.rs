//! `/v1/backup`: the whole store as it stands at one moment, written out while the server goes on.
//!
//! Invariants: what was written is whole only when the answer ends as it should; when the store fails in the middle the
//! connection is broken off, so that nobody takes a half for a whole. One backup at a time.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use tokio::sync::mpsc;

use super::super::problem::Problem;
use super::super::route::{Answer, Call};

/// Bytes that are written at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that may wait for a slow reader; the store waits with them.
const PIECES_WAITING_MAX: usize = 8;

/// `GET /v1/backup`
pub(in crate::http) async fn write(call: Call) -> Answer {
    let Ok(turn) = Arc::clone(&call.app.backups).try_acquire_owned() else {
        return Err(Problem::new(StatusCode::CONFLICT, "busy", "another backup is being written"));
    };
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING_MAX);
    let store = Arc::clone(call.app.engine.store());
    let name = call.caller.name.clone();
    // A thread of its own: it lasts as long as the reader is slow, and is bounded by the one turn.
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut out = Pieces { pieces: pieces.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
        let outcome = store.backup(&mut out).map_err(io::Error::other).and_then(|_| out.flush());
        match outcome {
            Ok(()) => tracing::info!(who = %name, "a backup was written"),
            Err(error) => {
                tracing::error!(%error, who = %name, "the backup broke off");
                // Nobody may be listening any more.
                let _ = pieces.blocking_send(Err(error));
            }
        }
    });
    let body = stream::unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) });
    let mut answer = Response::new(Body::from_stream(body));
    let kind = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

/// Hands what is written on in pieces.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader has gone");
        self.pieces.blocking_send(Ok(piece.into())).map_err(gone)
    }
}
