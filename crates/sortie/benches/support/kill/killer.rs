//! Starts the server and kills it, again and again.
//!
//! Kills hit three moments: at work (most), while the server recovers (every fifth), and, once in the middle, many times
//! in a row while it recovers, so that recovery must get somewhere even when it is never allowed to end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::server::{Server, Site};
use super::super::{Result, clock, report};
use super::random::Random;
use super::{Options, Progress};

/// How long a life at work lasts, in milliseconds.
const AT_WORK_MILLIS: (u64, u64) = (50, 750);
/// How long a life lasts that ends in recovery, in milliseconds.
const RECOVERING_MILLIS: (u64, u64) = (1, 60);
/// Every so manyth kill hits recovery.
const RECOVERING_EVERY: u32 = 5;
/// The part of all kills that come in a row while the server recovers.
const IN_A_ROW: u32 = 4;
/// How often the end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One life of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// When it was started, in microseconds since 1970.
    pub(crate) started: u64,
    /// How long it took to accept events, if it lived so long, in microseconds.
    pub(crate) ready: Option<u64>,
    /// From when to when it was killed; nothing for the last one.
    pub(crate) killed: Option<(u64, u64)>,
}

/// What the killer leaves.
pub(super) struct Killed {
    /// All lives, the last one included.
    pub(super) lives: Vec<Life>,
    /// The server, which lives.
    pub(super) server: Server,
}

/// Kills as often as asked, then lets the last life go on until enough events were sent.
///
/// # Errors
/// When the server does not come back.
pub(super) fn run(site: &Site, options: &Options, progress: &Progress) -> Result<Killed> {
    let mut random = Random::new(options.seed);
    let mut lives = Vec::new();
    let row = options.kills / IN_A_ROW;
    let row_begins = options.kills / 2;
    for kill in 0..options.kills {
        let in_row = (row_begins..row_begins + row).contains(&kill);
        // The first life must be one at work: there is nothing to recover before.
        let recovering = in_row || (kill % RECOVERING_EVERY == RECOVERING_EVERY - 1);
        let started = clock::wall_micros();
        let mut server = site.spawn()?;
        let mut ready = None;
        let (from, to) = if recovering { RECOVERING_MILLIS } else { AT_WORK_MILLIS };
        if !recovering {
            let took = server.ready().map_err(|error| format!("after kill {kill}: {error}\n{}", site.log_end()))?;
            ready = Some(u64::try_from(took.as_micros())?);
        }
        std::thread::sleep(Duration::from_millis(random.between(from, to)));
        if let Some(status) = server.ended()? {
            return Err(format!("the server ended by itself after kill {kill}: {status}\n{}", site.log_end()).into());
        }
        let killed = clock::wall_micros();
        server.kill()?;
        lives.push(Life { started, ready, killed: Some((killed, clock::wall_micros())) });
        if (kill + 1) % 20 == 0 {
            let sent = progress.next.load(Ordering::Relaxed);
            report::note(format!("{} of {} kills, {sent} events", kill + 1, options.kills));
        }
    }
    let started = clock::wall_micros();
    let mut server = site.spawn()?;
    let took = server.ready().map_err(|error| format!("after the last kill: {error}\n{}", site.log_end()))?;
    lives.push(Life { started, ready: Some(u64::try_from(took.as_micros())?), killed: None });
    while progress.next.load(Ordering::Relaxed) < options.events + options.events / 50 {
        if let Some(status) = server.ended()? {
            return Err(format!("the server ended by itself: {status}\n{}", site.log_end()).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    progress.over.store(true, Ordering::Release);
    Ok(Killed { lives, server })
}
