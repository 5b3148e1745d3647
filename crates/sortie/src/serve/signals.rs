//! What the operating system says: stop, reload.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Within this time a second signal is the same word said twice.
const SAME_WORD: Duration = Duration::from_millis(300);

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// SIGTERM, Ctrl-C.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals of this process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them over from the system's defaults.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next word.
    pub(super) async fn next(&mut self) -> Word {
        tokio::select! {
            _ = self.terminate.recv() => Word::Stop,
            _ = self.interrupt.recv() => Word::Stop,
            _ = self.hangup.recv() => Word::Reload,
        }
    }

    /// Waits for Ctrl-C again. A second SIGTERM is no more than a first, and neither is an interrupt that comes with the
    /// first one: terminals and supervisors send both to whole groups of processes.
    pub(super) async fn at_once(&mut self) {
        let began = Instant::now();
        // A stream that has ended brings no more signals.
        while self.interrupt.recv().await.is_some() {
            if began.elapsed() >= SAME_WORD {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}
