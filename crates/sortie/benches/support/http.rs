//! HTTP/1.1 over plain TCP, as little of it as a load generator needs: one connection, one request at a time.
//!
//! Invariant: an answer is read to its end, or the connection is given up.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Error, Result};

/// How long an answer may take: longer than any pause that is not a defect.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Longest header and longest body that are read, in bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the connection ends before the answer does, or the answer takes longer than [`PATIENCE`].
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Answer> {
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.map_err(|_| Error::from("no answer in time"))?
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > HEADER_BYTES_MAX {
                return Err("the header of the answer is too long".into());
            }
            self.more().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..head_end])?;
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or("no status")?;
        if header(head, "transfer-encoding").is_some() {
            return self.chunks(status, head_end).await;
        }
        let length: usize = header(head, "content-length").map_or(Ok(0), str::parse)?;
        let end = head_end + bounded(length)?;
        while self.buffer.len() < end {
            self.more().await?;
        }
        Ok(Answer { status, body: self.buffer[head_end..end].to_vec() })
    }

    async fn chunks(&mut self, status: u16, mut at: usize) -> Result<Answer> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(end) = find(&self.buffer[at..], b"\r\n") {
                    break at + end;
                }
                self.more().await?;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&self.buffer[at..line_end])?.trim(), 16)?;
            let (start, end) = (line_end + 2, line_end + 2 + bounded(size)?);
            while self.buffer.len() < end + 2 {
                self.more().await?;
            }
            if size == 0 {
                return Ok(Answer { status, body });
            }
            body.extend_from_slice(&self.buffer[start..end]);
            bounded(body.len())?;
            at = end + 2;
        }
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err("the connection ended".into());
        }
        Ok(())
    }
}

fn bounded(bytes: usize) -> Result<usize> {
    if bytes > BODY_BYTES_MAX { Err("the answer is too long".into()) } else { Ok(bytes) }
}

/// A request as bytes.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The value of a header, whose name is given in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (given, value) = line.split_once(':')?;
        given.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Where `needle` begins.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        let start = from + at;
        if bytes.get(start..)?.starts_with(needle) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}
