//! Where the events of a back-test come from: a file of lines, or the history of the store.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use engine::record::read_accepted;
use model::history::EntryKind;
use model::{Event, EventId, Seq, Time, Transition};
use serde_json::{Value, json};

use crate::cli::exit::Error;
use crate::cli::messages::Messages;
use crate::config::Config;
use crate::serve;

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
type Item = Result<Past, Value>;
/// Some of them, or why there are no more.
type Chunk = Result<Vec<Item>, Error>;

/// Events, mapped by a thread of their own.
pub(super) struct Feed {
    chunks: Receiver<Chunk>,
    current: std::vec::IntoIter<Item>,
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
    fn new(work: impl FnOnce(&mut dyn FnMut(Chunk) -> bool) + Send + 'static) -> Result<Feed, Error> {
        let (sender, chunks) = sync_channel(CHUNKS_WAITING);
        let work = move || work(&mut |chunk| sender.send(chunk).is_ok());
        std::thread::Builder::new().name("events".to_owned()).spawn(work)?;
        Ok(Feed { chunks, current: Vec::new().into_iter() })
    }

    /// The lines of a file, each an event as this source would send it.
    pub(super) fn of_file(config: &Config, source: &str, file: &Path) -> Result<Feed, Error> {
        let unreadable = |e: std::io::Error| Error::File { path: file.display().to_string(), message: e.to_string() };
        let mut lines = BufReader::with_capacity(1 << 20, std::fs::File::open(file).map_err(unreadable)?);
        let (messages, path) = (Messages::of(config, source)?, file.to_owned());
        Feed::new(move |give| {
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
                if !numbers.is_empty() && !give(mapped(&messages, text, &numbers, &path)) {
                    return;
                }
                if ended {
                    return;
                }
            }
        })
    }

    /// The events that the store holds since so long ago.
    pub(super) fn of_store(config: &Config, since: &str) -> Result<Feed, Error> {
        let period = model::period::parse(since).map_err(|error| Error::Usage {
            message: format!("--since: {error}"),
            help: "write a length of time, such as `30d`".to_owned(),
        })?;
        if !config.data.is_dir() {
            return Err(Error::NoData { folder: config.data.display().to_string() });
        }
        let store = serve::open(config)?;
        let from = store.now().minus(period);
        Feed::new(move |give| {
            let mut chunk = Vec::new();
            let read = store.entries_forward(Seq(1), &mut |stored| {
                let Some(entry) = stored.entry.filter(|entry| entry.header.kind == EntryKind::EventAccepted) else {
                    return true;
                };
                if entry.header.time < from {
                    return true;
                }
                let stored_as = EventId { seq: entry.header.seq, tag: model::history::Entry::tag(&entry.salt) };
                chunk.push(match read_accepted(&entry.payload) {
                    Err(error) => Err(json!({ "event_id": stored_as, "error": error.to_string() })),
                    Ok(accepted) => Ok(Past {
                        id: stored_as.to_string(),
                        time: entry.header.time,
                        event: accepted.event(),
                        transitions: accepted.transitions,
                    }),
                });
                chunk.len() < LINES_PER_CHUNK || give(Ok(std::mem::take(&mut chunk)))
            });
            match read {
                Ok(()) => drop(give(Ok(chunk))),
                Err(error) => drop(give(Err(error.into()))),
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
