//! What the server needs at a moment, and how quick it was since the moment before.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::load::Seen;
use super::scene;
use crate::support::api::{Api, read_figure};
use crate::support::quantile::Latencies;
use crate::support::{Result, process, receiver, report};

/// One line of the table.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Minutes since the start.
    pub(super) minutes: f64,
    /// Events that were sent so far.
    pub(super) events: u64,
    /// Answers 429 and 503 so far, and looks that were not answered.
    pub(super) refused: u64,
    /// Memory, in megabytes.
    pub(super) resident: f64,
    /// Open descriptors.
    pub(super) descriptors: f64,
    /// Threads.
    pub(super) threads: f64,
    /// The data folder on the disk, in megabytes.
    pub(super) store: f64,
    /// History as stored, in megabytes.
    pub(super) history: f64,
    /// Runs that have not ended.
    pub(super) open: f64,
    /// Timed webhooks that have not arrived.
    pub(super) missing: usize,
    /// The middle and the worst of a hundred answers to events, in milliseconds.
    pub(super) accept: (Option<f64>, Option<f64>),
    /// The same from event to webhook.
    pub(super) delivery: (Option<f64>, Option<f64>),
    /// The worst of what was read, in milliseconds.
    pub(super) read: Option<f64>,
}

impl Sample {
    /// It as a line of text.
    pub(super) fn line(&self) -> String {
        let ms = |value| report::figure(value, 1);
        format!(
            "{:>5.1} min  {:>8} events  {} refused  RSS {:>6.1} MB  {:>3.0} fds  {:>2.0} threads  store {:>6.1} MB  history {:>6.1} MB  {:>5.0} open  {:>3} missing  accept {}/{} ms  delivery {}/{} ms  reads {} ms",
            self.minutes,
            self.events,
            self.refused,
            self.resident,
            self.descriptors,
            self.threads,
            self.store,
            self.history,
            self.open,
            self.missing,
            ms(self.accept.0),
            ms(self.accept.1),
            ms(self.delivery.0),
            ms(self.delivery.1),
            ms(self.read),
        )
    }
}

/// Takes the samples.
pub(super) struct Sampler {
    pid: u32,
    data: PathBuf,
    log: PathBuf,
    seen: Arc<Seen>,
    began: Instant,
    /// How much of the receiver's log was read.
    offset: u64,
    /// Timed events whose webhook has not arrived.
    waiting: HashMap<u64, u64>,
}

impl Sampler {
    /// Of a server, its data folder, its receiver's log, and what the senders see.
    pub(super) fn new(pid: u32, data: PathBuf, log: PathBuf, seen: Arc<Seen>) -> Sampler {
        Sampler { pid, data, log, seen, began: Instant::now(), offset: 0, waiting: HashMap::new() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// When the server or its process cannot be asked.
    pub(super) async fn take(&mut self, api: &mut Api) -> Result<Sample> {
        let window = self.seen.take();
        self.waiting.extend(window.sent);
        let delays = self.arrived()?;
        let (accept, delivery) = (Latencies::new(window.accept), Latencies::new(delays));
        let metrics = String::from_utf8(api.get("/metrics").await?)?;
        let figure = |name| read_figure(&metrics, name).ok_or_else(|| format!("there is no figure `{name}`"));
        let folder = format!("/proc/{}", self.pid);
        let count = |what: &str| std::fs::read_dir(format!("{folder}/{what}")).map(|found| found.count() as f64);
        Ok(Sample {
            minutes: self.began.elapsed().as_secs_f64() / 60.0,
            events: self.seen.events(),
            refused: self.seen.refused.load(Ordering::Relaxed) + self.seen.unread.load(Ordering::Relaxed),
            resident: process::resident_megabytes(self.pid)?.0,
            descriptors: count("fd")?,
            threads: count("task")?,
            store: process::disk_bytes(&self.data) as f64 / 1e6,
            history: figure("sortie_store_history_bytes")? / 1e6,
            open: figure("sortie_runs_open")?,
            missing: self.waiting.len(),
            accept: (accept.millis(0.5), accept.millis(0.99)),
            delivery: (delivery.millis(0.5), delivery.millis(0.99)),
            read: Latencies::new(window.reads).millis(1.0),
        })
    }

    /// How long the timed webhooks took that have arrived since the last look, in microseconds.
    fn arrived(&mut self) -> Result<Vec<u64>> {
        let mut file = BufReader::new(std::fs::File::open(&self.log)?);
        file.seek(SeekFrom::Start(self.offset))?;
        let mut delays = Vec::new();
        let mut line = String::new();
        while file.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.offset += line.len() as u64;
            let arrival = receiver::parse(line.trim_end());
            let event = arrival.as_ref().and_then(|arrival| arrival.event).filter(|n| scene::is_timed(*n));
            if let (Some(arrival), Some(sent)) = (&arrival, event.and_then(|n| self.waiting.remove(&n))) {
                delays.push(arrival.at.saturating_sub(sent));
            }
            line.clear();
        }
        Ok(delays)
    }
}
