//! Why something that was asked of the engine is not done.

use std::time::Duration;

use model::EventId;

/// Why something that was asked of the engine is not done. Nothing of it has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key of a repeat came with another body.
    #[error("the key was used before for {first}, with another body")]
    KeyReused {
        /// The event that used it first.
        first: EventId,
    },
    /// More is waiting than can be held; the same request may be sent again.
    #[error("the server is busy; try again in {} s", retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk is nearly full.
    #[error("the disk is nearly full; nothing more is accepted until there is room")]
    Full,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Somebody else changed it meanwhile; look again.
    #[error("it was changed meanwhile: {0}")]
    Stale(String),
    /// It does not fit the state, such as closing a case that is closed.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be right.
    #[error("{message}")]
    Invalid {
        /// The kind of error.
        code: &'static str,
        /// The error, for people.
        message: String,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(String),
}

impl From<&store::Error> for Refusal {
    fn from(error: &store::Error) -> Refusal {
        use store::Error;
        match error {
            Error::Full { .. } => Refusal::Full,
            Error::TooLarge { bytes, max } => Refusal::Invalid {
                code: "too_large",
                message: format!("a value of {bytes} bytes is larger than the limit of {max} bytes"),
            },
            Error::Fenced { .. } | Error::AlreadyEnded { .. } | Error::Claimed { .. } => {
                Refusal::Stale(error.to_string())
            }
            _ => Refusal::Store(error.to_string()),
        }
    }
}
