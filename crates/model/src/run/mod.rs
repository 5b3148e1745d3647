//! A run: the facts that its history records, the state that they fold to, and the transitions that are legal.
//!
//! A run's status is never set. [`RunState::apply`] is the only way its state changes, live and after a crash alike;
//! a fact that does not fit the state is an error, not a shrug.

mod delivery;
mod ends;
mod entries;
mod fact;
#[cfg(test)]
mod fold_tests;
mod rounds;
mod state;
mod status;
mod summary;
#[cfg(test)]
mod tests;

pub use delivery::{Delivery, DeliveryStatus};
pub use fact::{Answer, Ask, Attempt, AttemptOutcome, Caller, Fact, Gate, Redacted, RunStart, StepError, Wait, WaitOn};
pub use rounds::{RoundEnd, Rounds};
pub use state::{BLOCKS, Overdue, RunError, RunState, SET, STOP, StepState};
pub use status::{RunStatus, StepStatus};
pub use summary::{Awaited, RunSummary};
