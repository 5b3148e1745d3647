//! What a script uses while it runs: operations, time, memory.
//!
//! The limits of the script that runs on a thread are kept by the thread, because Rhai's callback takes no argument of
//! ours; they are taken away again when it has ended.

use std::cell::Cell;
use std::time::{Duration, Instant};

use model::limits;
use rhai::Dynamic;

use super::Budget;

thread_local! {
    /// What the script that runs on this thread may use. Rhai's callback takes no argument of ours.
    static METER: Cell<Meter> = const { Cell::new(Meter::IDLE) };
}

/// What is left of a budget while the parts of one script run.
#[derive(Debug)]
pub struct Purse {
    operations: u64,
    time: Duration,
}

impl Purse {
    /// A whole budget.
    pub fn new(budget: Budget) -> Purse {
        Purse { operations: budget.operations, time: Duration::from_millis(budget.millis) }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    used: u64,
    operations: u64,
    /// When the clock was looked at last.
    looked: Option<Instant>,
    spent: Duration,
    time: Duration,
    memory: Option<fn() -> isize>,
    memory_before: isize,
}

/// Takes the limits away again when the script has ended.
pub(super) struct Running<'a>(&'a mut Purse);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let meter = METER.replace(Meter::IDLE);
        self.0.operations = self.0.operations.saturating_sub(meter.used);
        self.0.time = self.0.time.saturating_sub(meter.spent);
    }
}

pub(super) const TOO_MANY_OPERATIONS: i64 = 1;
pub(super) const TOO_SLOW: i64 = 2;
pub(super) const TOO_MUCH_MEMORY: i64 = 3;

/// The clock is looked at once in so many operations; memory every time.
const CLOCK_EVERY: u64 = 4;
/// Most time that counts between two looks at the clock. More than that is the machine giving its time to others, and a
/// condition must not fail because a server is busy.
const GAP_MAX: Duration = Duration::from_micros(500);

impl Meter {
    const IDLE: Meter = Meter {
        used: 0,
        operations: u64::MAX,
        looked: None,
        spent: Duration::ZERO,
        time: Duration::MAX,
        memory: None,
        memory_before: 0,
    };

    pub(super) fn start(purse: &mut Purse, memory: Option<fn() -> isize>, timed: bool) -> Running<'_> {
        METER.set(Meter {
            operations: purse.operations,
            looked: timed.then(Instant::now),
            time: purse.time,
            memory,
            memory_before: memory.map_or(0, |memory| memory()),
            ..Meter::IDLE
        });
        Running(purse)
    }

    /// Counts one operation, and tells why it is one too many.
    fn count(&mut self) -> Option<i64> {
        self.used += 1;
        if self.used > self.operations {
            return Some(TOO_MANY_OPERATIONS);
        }
        if self.memory.is_some_and(|memory| memory() - self.memory_before > limits::SCRIPT_MEMORY_BYTES_MAX) {
            return Some(TOO_MUCH_MEMORY);
        }
        if self.used.is_multiple_of(CLOCK_EVERY)
            && let Some(looked) = self.looked
        {
            let now = Instant::now();
            self.spent += now.duration_since(looked).min(GAP_MAX);
            self.looked = Some(now);
        }
        (self.spent > self.time).then_some(TOO_SLOW)
    }
}

/// Counts one operation. Rhai's own count begins anew in each closure, so it is not used.
pub(super) fn progress() -> Option<Dynamic> {
    let mut meter = METER.get();
    let stop = meter.count();
    METER.set(meter);
    stop.map(Dynamic::from)
}
