//! Conditions and expressions: Rhai with strict answers, budgets, and nothing that reaches outside.

mod places;

use std::sync::Arc;

use model::{Record, Time, limits};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Span};

/// Builds and holds the one Rhai engine. Cheap to clone.
#[derive(Clone)]
pub struct Evaluator {
    memory: Option<fn() -> isize>,
}

/// The memory counter does not count: a script could take all the memory there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the allocator does not count memory per thread: {got} bytes seen for an allocation of {asked}")]
pub struct ProbeError {
    /// How much was allocated.
    pub asked: isize,
    /// How much was counted.
    pub got: isize,
}

impl Evaluator {
    /// With a counter of the bytes that this thread holds.
    ///
    /// # Errors
    /// [`ProbeError`] when the counter does not count.
    pub fn new(memory: fn() -> isize) -> Result<Evaluator, ProbeError> {
        const ASKED: isize = 64 * 1024;
        let before = memory();
        let probe = std::hint::black_box(vec![1_u8; 64 * 1024]);
        let got = memory() - before;
        drop(probe);
        if got < ASKED { Err(ProbeError { asked: ASKED, got }) } else { Ok(Evaluator { memory: Some(memory) }) }
    }

    /// Without a memory budget: for unit tests only.
    #[doc(hidden)]
    pub fn uncounted() -> Evaluator {
        Evaluator { memory: None }
    }
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator").field("counted", &self.memory.is_some()).finish()
    }
}

/// The names that a script may start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The event.
    Event,
    /// The alert that it is about.
    Alert,
    /// The case that it is about.
    Case,
    /// The entity that it is about.
    Entity,
    /// The trigger that fitted.
    Trigger,
    /// The run.
    Run,
    /// The failure, in `on_failure`.
    Failure,
    /// The error, in `on_error` and `catch`.
    Error,
    /// The playbook's variables.
    Vars,
    /// What the caller gave.
    Inputs,
    /// The steps so far.
    Steps,
}

/// What the names mean in one evaluation. Cheap to build and to clone.
#[derive(Debug, Clone)]
pub struct Scope {
    now: Time,
    known: Vec<(Root, Option<Arc<Record>>)>,
    free: Vec<(Root, Arc<Value>)>,
}

impl Scope {
    /// At this time, nothing else known.
    pub fn new(now: Time) -> Scope {
        Scope { now, known: Vec::new(), free: Vec::new() }
    }

    /// What `now` is.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Sets a record; nothing when there is none.
    #[must_use]
    pub fn known(mut self, root: Root, record: Option<Arc<Record>>) -> Scope {
        self.known.push((root, record));
        self
    }

    /// Sets a free value.
    #[must_use]
    pub fn free(mut self, root: Root, value: Arc<Value>) -> Scope {
        self.free.push((root, value));
        self
    }
}

/// What one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Rhai operations.
    pub operations: u64,
    /// Wall time, in milliseconds.
    pub millis: u64,
}

impl Budget {
    /// For a `when`, which is evaluated on the decision loop.
    pub const WHEN: Budget = Budget { operations: limits::WHEN_OPERATIONS_MAX, millis: limits::WHEN_MILLIS_MAX };
    /// For everything in a step.
    pub const STEP: Budget = Budget { operations: limits::SCRIPT_OPERATIONS_MAX, millis: limits::SCRIPT_MILLIS_MAX };
}

/// The names that may stand in a script at one place of a playbook.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The roots that something can bring here.
    pub roots: Vec<Root>,
}

/// A script that answers yes or no.
#[derive(Debug, Clone)]
pub struct Condition {
    source: Arc<str>,
}

/// The answer of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No {
        /// Which part said no, and the value it saw.
        reason: String,
        /// Where that part stands.
        at: Span,
    },
    /// It cannot be answered. Never taken for a no.
    Failed {
        /// The kind of error.
        code: &'static str,
        /// The error, for people.
        message: String,
        /// Where.
        at: Span,
    },
}

impl Condition {
    /// Answers.
    pub fn answer(&self, _evaluator: &Evaluator, _scope: &Scope, _budget: Budget) -> Answer {
        Answer::Failed { code: "unavailable", message: "conditions are not built yet".to_owned(), at: Span::default() }
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// A script that gives any value.
#[derive(Debug, Clone)]
pub struct Expression {
    source: Arc<str>,
}

impl Expression {
    /// The value.
    ///
    /// # Errors
    /// [`ScriptError`] when it has none, or went over its budget.
    pub fn value(&self, _evaluator: &Evaluator, _scope: &Scope, _budget: Budget) -> Result<Value, ScriptError> {
        Err(ScriptError { code: "unavailable", message: "expressions are not built yet".to_owned(), at: Span::default() })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Why a script has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// The kind of error.
    pub code: &'static str,
    /// The error, for people.
    pub message: String,
    /// Where in the file.
    pub at: Span,
}

/// What a compilation gives.
pub type Compiled<T> = Result<T, Vec<Diagnostic>>;
