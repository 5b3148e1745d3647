//! The durable store, behind one trait that is shaped by what the engine needs.
//!
//! Invariants: only this crate names the database. A commit is atomic and durable when [`Store::commit`] returns; what
//! was acknowledged is never lost. The history is one gap-free sequence. Nobody but the committer flushes.
//!
//! [`Store`] is blocking on purpose: the one writer of the engine is a plain thread, and readers call it from a pool of
//! blocking threads. A backend over a network keeps its connection on those threads in the same way.

mod api;
mod clock;
pub mod conformance;
mod disk;
mod memory;
mod rules;

pub use api::*;
pub use clock::{Clock, wall};
pub use disk::{Compacted, Options, Sled, Verified, compact, restore};
pub use memory::{Kept, Memory};
pub use rules::{BACKUP_CHANGES_BYTES_MAX, MARK_BYTES_MAX, NAME_BYTES_MAX, TALLY_TIMES_MAX, VALUE_BYTES_MAX};
