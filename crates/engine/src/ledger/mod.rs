//! The ledger: the history as a Merkle tree with signed checkpoints, and what an auditor takes away of it.
//!
//! The tree itself grows in the store, in the same commit as the entries ([`model::tree`]). Here are the signatures over
//! its root ([`note`], [`checkpoint`], [`keeper`]), the proofs that lead to it ([`proof`]), the *evidence bundle*
//! ([`bundle`]), and the one judge of both a store and a bundle ([`verify`], `judge`).
//!
//! Invariants: nothing is verified against what lies beside it alone: a signature says who, the tree says what, and a
//! checkpoint that was kept elsewhere says that nothing was cut off since.

mod attach;
pub mod bundle;
pub mod checkpoint;
pub(crate) mod courier;
pub mod hold;
mod judge;
pub mod keeper;
mod key;
pub mod note;
pub mod proof;
mod summary;
pub mod unpack;
pub mod value;
pub mod verify;

pub use attach::LedgerError;
pub use courier::Carried;
pub use judge::{Finding, Kind, Report};
pub use keeper::{OpenError, Settings, SignError};
pub use key::{KEY_FILE, KeyError, Keys};
