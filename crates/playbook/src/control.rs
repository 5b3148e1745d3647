//! What bounds the runs of a playbook: windows, rates, runs at once, a fuse, observing instead of acting.

use std::time::Duration;

use crate::diagnostic::Span;
use crate::script::Expression;

/// Everything that bounds the runs of a playbook.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// After a run none for the same key for a while.
    pub dedupe: Option<Dedupe>,
    /// How many runs for the same key may be open at once.
    pub concurrency: Option<Concurrency>,
    /// How many runs for the same key may start in a period.
    pub throttle: Option<Throttle>,
    /// How many runs may start in a period, whatever they are for.
    pub fuse: Option<Rate>,
    /// How many runs there should be at least in a period.
    pub expect: Option<Rate>,
    /// Whether its runs only work out what they would do (`mode: observe`).
    pub observe: bool,
}

impl Control {
    /// Whether anything is to be asked or counted before a run is started.
    pub fn bounds_starts(&self) -> bool {
        self.dedupe.is_some()
            || self.concurrency.is_some()
            || self.throttle.is_some()
            || self.fuse.is_some()
            || self.expect.is_some()
    }
}

/// `dedupe`: after a run none for the same key for a while.
#[derive(Debug, Clone)]
pub struct Dedupe {
    /// What is told apart; nothing means all runs together.
    pub key: Option<Expression>,
    /// For how long.
    pub window: Duration,
    /// Where it stands.
    pub span: Span,
}

/// `concurrency`: how many runs for the same key may be open at once.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// What is told apart; nothing means all runs together.
    pub key: Option<Expression>,
    /// How many.
    pub max: u32,
    /// What becomes of one more.
    pub when_full: WhenFull,
    /// Where it stands.
    pub span: Span,
}

/// What becomes of one run more than may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits until another has ended.
    #[default]
    Queue,
    /// There is none.
    Skip,
    /// It takes the place of the oldest, which is cancelled.
    CancelOldest,
}

impl WhenFull {
    /// The words in YAML.
    pub(crate) const NAMES: [&'static str; 3] = ["queue", "skip", "cancel_oldest"];

    /// The meaning of one of them.
    pub(crate) fn of(name: &str) -> WhenFull {
        match name {
            "skip" => WhenFull::Skip,
            "cancel_oldest" => WhenFull::CancelOldest,
            _ => WhenFull::Queue,
        }
    }
}

/// `throttle`: how many runs for the same key may start in a period.
#[derive(Debug, Clone)]
pub struct Throttle {
    /// What is told apart; nothing means all runs together.
    pub key: Option<Expression>,
    /// How many.
    pub count: u32,
    /// In which period.
    pub per: Duration,
    /// Where it stands.
    pub span: Span,
}

/// A number of runs in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub runs: u32,
    /// In which period.
    pub per: Duration,
    /// Where it stands.
    pub span: Span,
}
