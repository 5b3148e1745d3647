//! What the operating system says: stop, reload.

use tokio::signal::unix::{Signal, SignalKind, signal};

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

    /// Waits for Ctrl-C. A second SIGTERM is no more than a first: supervisors and terminals send it to whole groups.
    pub(super) async fn at_once(&mut self) {
        // A stream that has ended brings no more signals.
        if self.interrupt.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
