//! Where the events of a back-test come from: a thread that reads and maps, here the lines of a file.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use model::{Event, Time, Transition};
use serde_json::{Value, json};

use crate::cli::exit::Error;
use crate::cli::messages::Messages;
use crate::config::Config;

/// Lines that are read and mapped together.
const LINES_PER_CHUNK: usize = 512;
/// Bytes of lines that are mapped together, at most with one line more.
const CHUNK_BYTES: usize = 4_000_000;
/// Chunks that may wait to be decided.
const CHUNKS_WAITING: usize = 8;

/// An event of the past.
pub(super) struct Past {
    /// Its id: the sender's, else the one under which it is stored, else its line.
    pub(super) id: String,
    /// When it was.
    pub(super) time: Time,
    /// The event.
    pub(super) event: Arc<Event>,
    /// What it changed when it came, as far as that is known.
    pub(super) transitions: Vec<Transition>,
}

/// An event, or what is said about a line that is none.
pub(super) type Item = Result<Past, Value>;
/// Some of them, or why there are no more.
pub(super) type Chunk = Result<Vec<Item>, Error>;

/// Events, mapped by a thread of their own.
pub(super) struct Feed {
    chunks: Receiver<Chunk>,
    current: std::vec::IntoIter<Item>,
    /// How much there is to read, and how much of it is read: bytes of a file, milliseconds of a period.
    whole: u64,
    done: Arc<AtomicU64>,
}

impl Iterator for Feed {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.current.next() {
                return Some(Ok(item));
            }
            match self.chunks.recv().ok()? {
                Ok(chunk) => self.current = chunk.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Feed {
    /// Starts the thread. `work` gives chunks until it is told that nobody wants more; it says how much of `whole` it has
    /// read.
    pub(super) fn new(
        whole: u64,
        work: impl FnOnce(&mut dyn FnMut(Chunk) -> bool, &AtomicU64) + Send + 'static,
    ) -> Result<Feed, Error> {
        let (sender, chunks) = sync_channel(CHUNKS_WAITING);
        let done = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&done);
        let work = move || work(&mut |chunk| sender.send(chunk).is_ok(), &told);
        std::thread::Builder::new().name("events".to_owned()).spawn(work)?;
        Ok(Feed { chunks, current: Vec::new().into_iter(), whole, done })
    }

    /// How much there is to read.
    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    /// How much of it is read.
    pub(super) fn done(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.done)
    }

    /// The lines of a file, each an event as this source would send it.
    pub(super) fn of_file(config: &Config, source: &str, file: &Path) -> Result<Feed, Error> {
        let unreadable = |e: std::io::Error| Error::File { path: file.display().to_string(), message: e.to_string() };
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        let whole = opened.metadata().map_or(0, |data| data.len());
        let mut lines = BufReader::with_capacity(1 << 20, opened);
        let (messages, path) = (Messages::of(config, source)?, file.to_owned());
        Feed::new(whole, move |give, done| {
            let mut first = 1;
            loop {
                let (mut text, mut numbers) = (Vec::new(), Vec::new());
                let mut line = first;
                let ended = loop {
                    let before = text.len();
                    match lines.read_until(b'\n', &mut text) {
                        Ok(0) => break true,
                        Ok(_) if text[before..].iter().all(u8::is_ascii_whitespace) => text.truncate(before),
                        Ok(_) => numbers.push(line),
                        Err(error) => {
                            let (path, message) = (path.display().to_string(), error.to_string());
                            give(Err(Error::File { path, message }));
                            return;
                        }
                    }
                    line += 1;
                    if numbers.len() >= LINES_PER_CHUNK || text.len() >= CHUNK_BYTES {
                        break false;
                    }
                };
                first = line;
                done.fetch_add(text.len() as u64, Ordering::Relaxed);
                if !numbers.is_empty() && !give(mapped(&messages, text, &numbers, &path)) {
                    return;
                }
                if ended {
                    return;
                }
            }
        })
    }
}

/// Maps some lines.
fn mapped(messages: &Messages, text: Vec<u8>, numbers: &[u64], path: &Path) -> Chunk {
    let wrong = |message: String| Error::File { path: path.display().to_string(), message };
    let read = messages.read(text.into(), true, Time::from_millis(0)).map_err(wrong)?;
    let items = read.into_iter().zip(numbers).map(|(element, number)| match element {
        Err(message) => Err(json!({ "line": number, "error": message })),
        Ok(incoming) => {
            let mut event = Arc::unwrap_or_clone(incoming.event);
            event.received = event.time;
            let id = event.own_id.clone().unwrap_or_else(|| format!("line-{number}"));
            Ok(Past { id, time: event.time, event: Arc::new(event), transitions: Vec::new() })
        }
    });
    Ok(items.collect())
}
