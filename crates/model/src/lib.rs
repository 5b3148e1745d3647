//! Sortie's nouns and their pure transitions.
//!
//! Everything here is data and functions of data: no I/O, no async, no clock, no randomness. Time and identifiers
//! come in as arguments, so that the live engine, `explain`, `test` and a replay after a crash all get the same answer.
//!
//! The walk of an event through this crate: [`event::Event`] → [`object::apply`] (snapshot against stored state) →
//! [`transition::Transition`] → [`decision::Decision`] → [`run::RunState`] folded from [`run::Fact`]s, each kept in a
//! [`history::Entry`].

pub mod decision;
pub mod event;
pub mod history;
pub mod id;
pub mod input;
pub mod json;
pub mod limits;
pub mod object;
pub mod period;
pub mod record;
pub mod run;
pub mod time;
pub mod transition;
pub mod tree;
pub mod triage;

pub use decision::{Decision, Place, Verdict};
pub use event::{Actor, ChainLink, Event, Subject};
pub use id::{ApprovalId, DeliveryId, Digest, EventId, ObjectKey, RunId, Seq};
pub use input::Input;
pub use object::Object;
pub use record::{Kind, Record};
pub use time::Time;
pub use transition::{Change, Transition};
