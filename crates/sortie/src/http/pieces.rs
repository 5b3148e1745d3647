//! An answer that is written piece by piece on a thread of its own, as slowly as its reader reads.
//!
//! Invariants: what was written is whole only when the answer ends as it should; when the writer fails in the middle the
//! connection is broken off, so that nobody takes a half for a whole. The writer waits for the reader.

use std::io::{self, Write};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Bytes that are written at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that may wait for a slow reader; the writer waits with them.
const PIECES_WAITING_MAX: usize = 8;

/// What `write` writes, as the body of an answer. `turn` is given back when it has ended; `what` and `who` are for the log.
pub(super) fn written(
    what: &'static str,
    who: String,
    turn: OwnedSemaphorePermit,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING_MAX);
    // A thread of its own: it lasts as long as the reader is slow, and is bounded by the turns.
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut out = Pieces { pieces: pieces.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
        match write(&mut out).and_then(|()| out.flush()) {
            Ok(()) => tracing::info!(%who, "{what} was written"),
            Err(error) => {
                tracing::error!(%error, %who, "{what} broke off");
                // Nobody may be listening any more.
                let _ = pieces.blocking_send(Err(error));
            }
        }
    });
    stream::unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) })
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
