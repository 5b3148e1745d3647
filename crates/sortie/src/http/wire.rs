//! The bytes of a connection, watched while they pass: how long a client takes to say something, and whether a request
//! contradicts itself about where it ends.
//!
//! hyper reads `Transfer-Encoding` together with `Content-Length` by dropping the latter, which is how requests are
//! smuggled past a proxy that believes the other one. This watcher follows the framing beside hyper and remembers which
//! request said both, so that it can be refused. It also keeps three clocks that hyper has not apart: waiting between
//! requests, sending a header, sending a body.
//!
//! Invariant: nothing here changes a byte.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Between requests, in silence.
    pub(crate) idle: Duration,
    /// Over one request's header, from its first byte; and over the first byte of all.
    pub(crate) header: Duration,
    /// Over one request's body.
    pub(crate) body: Duration,
}

impl Default for Patience {
    /// 75 s between requests, 5 s over a header, 30 s over a body.
    fn default() -> Patience {
        Patience { idle: Duration::from_secs(75), header: Duration::from_secs(5), body: Duration::from_secs(30) }
    }
}

/// The part of a header line that is looked at, in bytes; enough for the two names and a length.
const LINE_BYTES: usize = 256;

/// What the connection's service learns from the watcher.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// The number, from 1, of the first request that said both; 0 when none did.
    contradictory: AtomicU64,
}

impl Noted {
    /// Whether the `n`th request of the connection, from 1, says two things about where it ends.
    pub(crate) fn contradicts(&self, n: u64) -> bool {
        self.contradictory.load(Ordering::Relaxed) == n
    }
}

/// Where in the stream the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// In a header.
    Header,
    /// In a body, this many bytes before its end.
    Body(u64),
    /// After a request whose end is not followed here; the connection is closed after its answer.
    Unknown,
}

/// The framing, followed from header to header.
#[derive(Debug)]
struct Framing {
    phase: Phase,
    line: Vec<u8>,
    /// Whether the header has a line that is not empty: empty lines before it belong to nothing.
    begun: bool,
    length: Option<u64>,
    encoded: bool,
    requests: u64,
}

impl Framing {
    fn new() -> Framing {
        Framing { phase: Phase::Idle, line: Vec::new(), begun: false, length: None, encoded: false, requests: 0 }
    }

    /// Follows the bytes; answers the number of a request that says both.
    fn feed(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match self.phase {
                Phase::Unknown => return None,
                Phase::Body(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - taken as u64;
                    self.phase = if left == 0 { Phase::Idle } else { Phase::Body(left) };
                    bytes = &bytes[taken..];
                }
                Phase::Idle | Phase::Header => {
                    let end = bytes.iter().position(|b| *b == b'\n');
                    let part = &bytes[..end.unwrap_or(bytes.len())];
                    let room = LINE_BYTES.saturating_sub(self.line.len());
                    self.line.extend_from_slice(&part[..part.len().min(room)]);
                    let Some(end) = end else {
                        self.phase = Phase::Header;
                        return None;
                    };
                    bytes = &bytes[end + 1..];
                    if let Some(request) = self.line_ended() {
                        return Some(request);
                    }
                }
            }
        }
        None
    }

    fn line_ended(&mut self) -> Option<u64> {
        let mut line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        if !text.is_empty() {
            self.phase = Phase::Header;
            self.begun = true;
            self.header_line(text);
        } else if std::mem::take(&mut self.begun) {
            line.clear();
            self.line = line;
            return self.header_ended();
        }
        line.clear();
        self.line = line; // the allocation is kept
        None
    }

    fn header_line(&mut self, line: &[u8]) {
        let named = |name: &str| {
            let (given, rest) = line.split_at_checked(name.len())?;
            given.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
        };
        match line.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = named("content-length:") {
                    let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
                    // What is no number is refused by hyper; until then the rest is of no interest.
                    self.length = Some(text.parse().unwrap_or(u64::MAX));
                }
            }
            Some(b't' | b'T') if named("transfer-encoding:").is_some() => self.encoded = true,
            _ => {}
        }
    }

    fn header_ended(&mut self) -> Option<u64> {
        self.requests += 1;
        let (length, encoded) = (self.length.take(), std::mem::take(&mut self.encoded));
        self.phase = match (length, encoded) {
            (_, true) => Phase::Unknown,
            (Some(length), false) if length > 0 => Phase::Body(length),
            _ => Phase::Idle,
        };
        (encoded && length.is_some()).then_some(self.requests)
    }
}

/// A connection with its watcher.
pub(crate) struct Wire<S> {
    stream: S,
    framing: Framing,
    noted: Arc<Noted>,
    patience: Patience,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Wire<S> {
    /// Watches a connection.
    pub(crate) fn new(stream: S, noted: Arc<Noted>, patience: Patience) -> Wire<S> {
        let deadline = Instant::now() + patience.header;
        let alarm = Box::pin(tokio::time::sleep_until(deadline));
        Wire { stream, framing: Framing::new(), noted, patience, deadline, alarm }
    }

    fn passed(&mut self, bytes: &[u8]) {
        let before = self.framing.phase;
        if let Some(request) = self.framing.feed(bytes) {
            self.noted.contradictory.store(request, Ordering::Relaxed);
        }
        let after = self.framing.phase;
        if std::mem::discriminant(&before) != std::mem::discriminant(&after) || after == Phase::Idle {
            let patience = match after {
                Phase::Idle => self.patience.idle,
                Phase::Header => self.patience.header,
                Phase::Body(_) | Phase::Unknown => self.patience.body,
            };
            self.deadline = Instant::now() + patience;
        }
    }

    /// Whether the client has taken too long. The alarm is only set again when it rings: most requests never touch it.
    fn too_late(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.alarm.deadline() > self.deadline {
                self.alarm.as_mut().reset(self.deadline);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
            if Instant::now() >= self.deadline {
                return true;
            }
            let deadline = self.deadline;
            self.alarm.as_mut().reset(deadline);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.passed(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.too_late(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contradictory(stream: &str) -> Option<u64> {
        // However the bytes are cut, the answer is the same.
        let answers: Vec<_> = [1, 2, 7, stream.len()]
            .into_iter()
            .map(|size| {
                let mut framing = Framing::new();
                stream.as_bytes().chunks(size).find_map(|chunk| framing.feed(chunk))
            })
            .collect();
        assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
        answers[0]
    }

    #[test]
    fn a_request_with_both_lengths_is_found_wherever_it_stands() {
        let good = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET\r\n";
        let get = "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let both = "POST / HTTP/1.1\r\ncontent-length: 5\r\nTRANSFER-ENCODING: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(contradictory(both), Some(1));
        assert_eq!(contradictory(&format!("{good}{get}{both}")), Some(3));
        assert_eq!(contradictory(&format!("{good}{get}{good}")), None);
    }

    #[test]
    fn a_body_that_looks_like_a_header_is_a_body() {
        let body = "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
        let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(contradictory(&request), None);
    }

    const SHORT: Patience = Patience {
        idle: Duration::from_millis(120),
        header: Duration::from_millis(20),
        body: Duration::from_millis(20),
    };

    /// How long the watcher waits for more after `first`.
    async fn patience_after(first: &[u8]) -> Duration {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut client, server) = tokio::io::duplex(64);
        let mut wire = Wire::new(server, Arc::new(Noted::default()), SHORT);
        client.write_all(first).await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(wire.read(&mut buffer).await.unwrap(), first.len());
        let before = Instant::now();
        let error = wire.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        before.elapsed()
    }

    #[tokio::test]
    async fn a_header_or_body_that_does_not_end_is_given_up_sooner_than_a_silent_connection() {
        let header = patience_after(b"GET / HT").await;
        let body = patience_after(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n{").await;
        let silent = patience_after(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(header >= SHORT.header && body >= SHORT.body && silent >= SHORT.idle, "{header:?} {body:?} {silent:?}");
        assert!(header < SHORT.idle && body < SHORT.idle, "{header:?} {body:?}");
    }
}
