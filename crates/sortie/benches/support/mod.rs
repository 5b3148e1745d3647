//! What the bench programs share: a load generator, a receiver that is a process of its own, and the server as a child.
//!
//! Invariants: nothing here is linked into the server. The server under test is the real binary; what the receiver saw is
//! read from the file that the receiver wrote, never from the server.

pub(crate) mod alert;
pub(crate) mod api;
pub(crate) mod args;
pub(crate) mod clock;
pub(crate) mod history;
pub(crate) mod http;
pub(crate) mod kill;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod quantile;
pub(crate) mod receiver;
pub(crate) mod report;
pub(crate) mod server;

/// What went wrong, for a person: these programs have no caller that would tell errors apart.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
/// What the programs answer.
pub(crate) type Result<T> = std::result::Result<T, Error>;
