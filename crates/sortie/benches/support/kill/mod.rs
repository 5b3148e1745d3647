//! The kill harness: a real server is killed at random moments under load, started again on the same folder, and in the
//! end what was accepted is compared with what the server can tell and with what an independent receiver has logged.
//!
//! The walk: [`scene`] says what each event must lead to → [`killer`] kills and starts again while [`sender`] sends →
//! the server finishes what is open → [`check`] compares. Everything follows from the number of an event and from a seed.
//!
//! Invariants: an event counts as accepted only when its 2xx was read. The harness fails when it proved too little: too
//! few events, or too few kills that hit a request under way.

mod check;
mod killer;
pub(crate) mod random;
pub(crate) mod scene;
mod sender;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Result;
use super::api::Api;
use super::receiver::Receiver;
use super::server::Site;
use sender::{Fate, Sender};

pub(crate) use check::Report;

/// How long the server may take for what is open after the last start.
const FINISH_MAX: Duration = Duration::from_secs(120);

/// What is asked of the harness.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The server's binary.
    pub(crate) binary: String,
    /// A folder of its own.
    pub(crate) folder: PathBuf,
    /// How often the server is killed.
    pub(crate) kills: u32,
    /// How many events are accepted at least.
    pub(crate) events: u64,
    /// Connections that send.
    pub(crate) connections: usize,
    /// Events in a second at most, over all connections.
    pub(crate) rate: f64,
    /// Where all random numbers come from.
    pub(crate) seed: u64,
    /// The server's durability.
    pub(crate) durability: String,
    /// Whether the receiver is a process of its own, for which the program must know [`super::receiver::ROLE`].
    pub(crate) receiver_process: bool,
}

/// What the killer and the senders share.
struct Progress {
    /// The next event.
    next: AtomicU64,
    /// Set when everything was sent and killed.
    over: AtomicBool,
    /// Requests that ended without an answer.
    cut: AtomicU64,
}

/// Kills, and compares.
///
/// # Errors
/// When the harness itself cannot go on; also when the server does not come back.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let _ = std::fs::remove_dir_all(&options.folder);
    std::fs::create_dir_all(&options.folder)?;
    let receiver = if options.receiver_process {
        Receiver::start(&options.folder)?
    } else {
        Receiver::start_inside(&options.folder)?
    };
    let data = options.folder.join("data");
    let (destinations, playbooks) = scene::files(receiver.address);
    let named: Vec<(&str, String, &str)> =
        destinations.iter().map(|(name, url, more)| (*name, url.clone(), *more)).collect();
    let site = Site::make(&options.binary, &options.folder, (&data, &options.durability), &named, &playbooks)?;
    let progress = Arc::new(Progress { next: AtomicU64::new(0), over: AtomicBool::new(false), cut: AtomicU64::new(0) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (killed, fates) = std::thread::scope(|scope| -> Result<_> {
        let killing = scope.spawn(|| {
            let killed = killer::run(&site, options, &progress);
            // Without a server the senders would try for ever.
            if killed.is_err() {
                progress.over.store(true, Ordering::Release);
            }
            killed
        });
        let fates = runtime.block_on(send(site.address, options, &progress));
        let killed = killing.join().map_err(|_| "the killer panicked")??;
        Ok((killed, fates?))
    })?;
    let told = runtime.block_on(ask(site.address, playbooks.len()))?;
    let (clean, stopping) = killed.server.stop()?;
    let arrivals = receiver.arrivals()?;
    let facts = check::Facts {
        fates,
        told,
        arrivals,
        lives: killed.lives,
        cut: progress.cut.load(Ordering::Relaxed),
        clean_stop: clean,
        stopping,
    };
    check::compare(options, &data, &facts)
}

async fn send(address: SocketAddr, options: &Options, progress: &Arc<Progress>) -> Result<Vec<Fate>> {
    let mut senders = JoinSet::new();
    for _ in 0..options.connections {
        let pause = Duration::from_secs_f64(options.connections as f64 / options.rate);
        senders.spawn(Sender::new(address, pause, Arc::clone(progress)).run());
    }
    let mut fates = Vec::new();
    while let Some(ended) = senders.join_next().await {
        fates.extend(ended?);
    }
    fates.sort_by_key(|fate| fate.n);
    Ok(fates)
}

/// Lets the server finish and asks it for everything.
async fn ask(address: SocketAddr, playbooks: usize) -> Result<check::Told> {
    let mut api = Api::open(address).await?;
    api.expect_playbooks(playbooks).await?;
    let idle = api.idle(FINISH_MAX).await?;
    Ok(check::Told { idle, runs: api.all("/v1/runs").await?, cases: api.all("/v1/cases").await? })
}
