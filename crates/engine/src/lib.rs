//! Decides, runs, records.
//!
//! The walk of an event: [`source`] makes it one normal shape → [`decide`] says what follows, purely → the one
//! `writer` commits event, state, decisions and runs at once → the `runner` works on runs: [`next`] says what comes
//! next, an [`action`] does it through the one [`outbound`] client, and the outcome is recorded.
//!
//! Invariants: only this crate spawns tasks and opens outbound connections. Acknowledged means durable. Every channel is
//! bounded and carries wake-ups or requests, never the only copy of something.

pub mod action;
pub mod approval;
mod as_of;
pub mod attach;
mod batch;
pub mod brakes;
mod carried;
pub mod change;
pub mod chat;
pub mod clock;
pub mod command;
pub mod decide;
mod destinations;
pub mod engine;
mod evict;
mod eyes;
mod fair;
pub mod flow;
mod intake;
mod keeping;
pub mod ledger;
pub mod next;
mod offline;
mod order;
pub mod outbound;
mod overlay;
mod past;
pub mod payload;
mod people;
mod recall;
pub mod record;
mod redeliver;
pub mod refusal;
pub mod registry;
mod runner;
mod schedule;
mod seen;
pub mod set;
mod shared;
pub mod simulate;
mod slot;
pub mod source;
mod sweep;
mod timer;
pub mod triage;
pub mod trigger;
mod unused;
pub mod view;
mod waits;
mod writer;

pub use command::{RetryFrom, RetryVersion, What};
pub use engine::{Engine, Setup, StartError};
pub use offline::{catalog, explain};
pub use refusal::Refusal;
pub use runner::load;
pub use seen::Search;
pub use set::Set;
pub use shared::Figures;
pub use writer::Accepted;
