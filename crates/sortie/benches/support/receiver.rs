//! The receiver: a process of its own that takes webhooks and writes each of them into its own file before it answers.
//!
//! | path | answer |
//! |---|---|
//! | `POST /hook` | 204 |
//! | `POST /flaky` | 500 to the first try of every third `webhook-id`, 204 to the others |
//! | `GET /count` | how many different ids there were |
//! | `GET /await/N` | as `/count`, but not before there were `N`, or [`AWAIT_MAX`] has passed |
//!
//! Invariants: a line is in the file before its answer is on the way. The process ends when its standard input does, so
//! that it never outlives the one that started it.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::http::{self, Connection};
use super::{Result, alert, clock};

/// The word that makes a program the receiver.
pub(crate) const ROLE: &str = "receiver";
/// How long `/await` waits at most; less than a client's patience.
const AWAIT_MAX: Duration = Duration::from_secs(10);
/// Longest request, in bytes.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One request, as the receiver logged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When it was there, in microseconds since 1970.
    pub(crate) at: u64,
    /// Its `webhook-id`.
    pub(crate) id: String,
    /// A digest of its body.
    pub(crate) body: u64,
    /// The event that it is about.
    pub(crate) event: Option<u64>,
    /// What was answered.
    pub(crate) status: u16,
}

/// A running receiver.
pub(crate) struct Receiver {
    /// Nothing for one inside this process, which ends with it.
    child: Option<Child>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Receiver {
    /// Starts this program again as a receiver that logs into `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(folder: &Path) -> Result<Receiver> {
        let (log, place) = (folder.join("receiver.log"), folder.join("receiver.address"));
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ROLE).arg("--log").arg(&log).arg("--place").arg(&place);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        Receiver::found(Some(child), log, &place)
    }

    /// Starts a receiver on a thread of this process, for programs that cannot be started again as one. It ends with the
    /// process.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start_inside(folder: &Path) -> Result<Receiver> {
        let (log, place) = (folder.join("receiver.log"), folder.join("receiver.address"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let files = (log.clone(), place.clone());
        std::thread::spawn(move || runtime.block_on(listen(&files.0, &files.1)));
        Receiver::found(None, log, &place)
    }

    fn found(child: Option<Child>, log: PathBuf, place: &Path) -> Result<Receiver> {
        let mut receiver = Receiver { child, address: ([127, 0, 0, 1], 0).into(), log };
        let address = super::server::wait_for(Duration::from_secs(10), || {
            std::fs::read_to_string(place).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok())
        });
        receiver.address = address.ok_or("the receiver did not start")?;
        Ok(receiver)
    }

    /// How many different ids there were, once there were `wanted` or it has taken `patience`.
    ///
    /// # Errors
    /// When the receiver is gone.
    pub(crate) async fn wait_for(&self, wanted: u64, patience: Duration) -> Result<u64> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut connection = Connection::open(self.address).await?;
        loop {
            let answer = connection.send(&http::request("GET", &format!("/await/{wanted}"), b"")).await?;
            let count: u64 = std::str::from_utf8(&answer.body)?.parse()?;
            if count >= wanted || tokio::time::Instant::now() >= deadline {
                return Ok(count);
            }
        }
    }

    /// Where its log is.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// What arrived so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn arrivals(&self) -> Result<Vec<Arrival>> {
        read_log(&self.log)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads a receiver's log.
///
/// # Errors
/// When a line of it cannot be read.
pub(crate) fn read_log(path: &Path) -> Result<Vec<Arrival>> {
    let text = std::fs::read_to_string(path)?;
    text.lines()
        .map(|line| parse(line).ok_or_else(|| format!("the receiver's log has the line `{line}`").into()))
        .collect()
}

/// Reads one line of a receiver's log.
pub(crate) fn parse(line: &str) -> Option<Arrival> {
    let mut fields = line.split('\t');
    let at = fields.next()?.parse().ok()?;
    let id = fields.next()?.to_owned();
    let body = u64::from_str_radix(fields.next()?, 16).ok()?;
    let event = fields.next()?.parse().ok();
    let status = fields.next()?.parse().ok()?;
    Some(Arrival { at, id, body, event, status })
}

/// What the connections share.
struct Shared {
    log: File,
    tries: Mutex<HashMap<u64, u32>>,
    count: watch::Sender<u64>,
}

/// Is the receiver, until standard input ends.
///
/// # Errors
/// When it cannot listen or write.
pub(crate) async fn run(log: &Path, place: &Path) -> Result<()> {
    let parent = std::thread::spawn(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let ended = tokio::task::spawn_blocking(move || parent.join());
    tokio::select! {
        failed = listen(log, place) => failed,
        _ = ended => Ok(()),
    }
}

async fn listen(log: &Path, place: &Path) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let log = File::options().append(true).create(true).open(log)?;
    let shared = Arc::new(Shared { log, tries: Mutex::default(), count: watch::Sender::new(0) });
    std::fs::write(place, format!("{}\n", listener.local_addr()?))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        // A sender that is killed leaves its connections in any state; the others go on.
        tokio::spawn(async move { serve(stream, &shared).await });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
    loop {
        let head_end = loop {
            if let Some(end) = http::find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            more(&mut stream, &mut buffer).await?;
        };
        let head = std::str::from_utf8(&buffer[..head_end])?;
        let length: usize = http::header(head, "content-length").map_or(Ok(0), str::parse)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let id = http::header(head, "webhook-id").map(str::to_owned);
        while buffer.len() < head_end + length {
            more(&mut stream, &mut buffer).await?;
        }
        let answer = match id {
            Some(id) => plain(take(shared, &path, &id, &buffer[head_end..head_end + length])?, ""),
            None => {
                let wanted = path.strip_prefix("/await/").map_or(Ok(0), str::parse)?;
                plain(200, &count(shared, wanted).await.to_string())
            }
        };
        stream.write_all(answer.as_bytes()).await?;
        buffer.drain(..head_end + length);
    }
}

fn plain(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    if buffer.len() > REQUEST_BYTES_MAX || stream.read_buf(buffer).await? == 0 {
        return Err("the connection ended".into());
    }
    Ok(())
}

/// Logs a webhook and answers the status.
fn take(shared: &Shared, path: &str, id: &str, body: &[u8]) -> Result<u16> {
    let at = clock::wall_micros();
    let hash = digest(id.as_bytes());
    let (tries, first) = {
        let mut all = shared.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = all.entry(hash).or_default();
        *tries += 1;
        (*tries, *tries == 1)
    };
    let status = if path == "/flaky" && hash.is_multiple_of(3) && tries == 1 { 500 } else { 204 };
    let event = alert::number(body).map_or_else(|| "-".to_owned(), |n| n.to_string());
    // One write of one line in append mode: lines never mix.
    (&shared.log).write_all(format!("{at}\t{id}\t{:016x}\t{event}\t{status}\n", digest(body)).as_bytes())?;
    if first {
        shared.count.send_modify(|count| *count += 1);
    }
    Ok(status)
}

async fn count(shared: &Shared, wanted: u64) -> u64 {
    let mut watching = shared.count.subscribe();
    let _ = tokio::time::timeout(AWAIT_MAX, watching.wait_for(|count| *count >= wanted)).await;
    *shared.count.borrow()
}

/// A digest that two processes of this program agree on.
fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
