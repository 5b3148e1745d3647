//! How far a back-test is, for the person at the terminal; never in what is piped.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// How often it is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);
/// How often the clock is looked at, in events.
const LOOKED_EVERY: u64 = 256;
/// How wide the bar is, in characters.
const WIDTH: u64 = 30;

/// A bar on stderr, where that is a terminal.
pub(super) struct Progress {
    shown: bool,
    began: Instant,
    last: Instant,
    /// What there is to do, in thousandths of nothing that matters: bytes of a file, or milliseconds of a period.
    whole: u64,
}

impl Progress {
    pub(super) fn new(whole: u64) -> Progress {
        let now = Instant::now();
        let shown = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Progress { shown, began: now, last: now, whole: whole.max(1) }
    }

    /// So many events are done, and so much of the whole.
    pub(super) fn step(&mut self, events: u64, done: u64) {
        if !self.shown || !events.is_multiple_of(LOOKED_EVERY) || self.last.elapsed() < SHOWN_EVERY {
            return;
        }
        self.last = Instant::now();
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = events.saturating_mul(1_000) / millis;
        let percent = (done.min(self.whole).saturating_mul(100)) / self.whole;
        let filled = usize::try_from(percent * WIDTH / 100).unwrap_or(0);
        let bar = format!("{}{}", "=".repeat(filled), " ".repeat(usize::try_from(WIDTH).unwrap_or(0) - filled));
        let _ = write!(std::io::stderr(), "\r[{bar}] {percent:3} %  {events} events, {rate} a second\u{1b}[K");
    }

    pub(super) fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
