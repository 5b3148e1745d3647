//! Conditions and expressions: Rhai with strict answers, budgets, and nothing that reaches outside.
//!
//! The walk of a script: text → `guard` (nothing too deep) → Rhai's parser → `walk` (names, types, our own calls) →
//! parts, of which plain comparisons are `native` and the others run in the one `engine`. A condition has three
//! answers; what cannot be answered is never a no.

mod chain;
mod closure;
mod compile;
mod engine;
mod found;
mod functions;
mod guard;
mod lookup;
mod meaning;
mod meter;
mod names;
mod native;
mod needs;
mod pieces;
mod places;
mod scope;
mod sense;
mod source;
mod strict;
mod trace;
mod types;
mod value;
mod view;
mod walk;

pub use compile::{Condition, Expression};
pub use engine::{Evaluator, ProbeError};
pub use lookup::look;
pub use meaning::{number_of, priority_word, time_of};
pub use meter::Purse;
pub use names::Names;
pub use scope::{Root, Scope, Steps};
pub use source::Source as ScriptSource;
pub use trace::{Inside, Operand, Says};

pub(crate) use functions::FUNCTIONS;
pub(crate) use needs::Needs;
pub(crate) use places::Places;

use model::limits;

use crate::diagnostic::Span;

/// What one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Rhai operations.
    pub operations: u64,
    /// Time, in milliseconds, as far as it is the script's own and not the machine's.
    pub millis: u64,
}

impl Budget {
    /// For a `when`, which is evaluated on the decision loop.
    pub const WHEN: Budget = Budget { operations: limits::WHEN_OPERATIONS_MAX, millis: limits::WHEN_MILLIS_MAX };
    /// For everything in a step.
    pub const STEP: Budget = Budget { operations: limits::SCRIPT_OPERATIONS_MAX, millis: limits::SCRIPT_MILLIS_MAX };
}

/// The answer of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No {
        /// Which part said no, and the values it saw.
        reason: String,
        /// Where that part stands.
        at: Span,
    },
    /// It cannot be answered. Never taken for a no.
    Failed {
        /// The kind of error, such as `absent`, `type_mismatch`, `missing_key`, `too_slow`.
        code: &'static str,
        /// The error, for people.
        message: String,
        /// Where.
        at: Span,
    },
}

/// Why a script has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// The kind of error, such as `absent`, `type_mismatch`, `missing_key`, `too_large`.
    pub code: &'static str,
    /// The error, for people.
    pub message: String,
    /// Where in the file.
    pub at: Span,
}
