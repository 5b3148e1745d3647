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
    static METER: Meter = const { Meter::idle() };
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

#[derive(Debug)]
pub(super) struct Meter {
    used: Cell<u64>,
    operations: Cell<u64>,
    /// When the clock was looked at last.
    looked: Cell<Option<Instant>>,
    spent: Cell<Duration>,
    time: Cell<Duration>,
    memory: Cell<Option<fn() -> isize>>,
    memory_before: Cell<isize>,
}

/// Takes the limits away again when the script has ended.
pub(super) struct Running<'a>(&'a mut Purse);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let (used, spent) = METER.with(|meter| {
            let used = (meter.used.get(), meter.spent.get());
            meter.begin(u64::MAX, Duration::MAX, None, None);
            used
        });
        self.0.operations = self.0.operations.saturating_sub(used);
        self.0.time = self.0.time.saturating_sub(spent);
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
    const fn idle() -> Meter {
        Meter {
            used: Cell::new(0),
            operations: Cell::new(u64::MAX),
            looked: Cell::new(None),
            spent: Cell::new(Duration::ZERO),
            time: Cell::new(Duration::MAX),
            memory: Cell::new(None),
            memory_before: Cell::new(0),
        }
    }

    pub(super) fn start(purse: &mut Purse, memory: Option<fn() -> isize>, timed: bool) -> Running<'_> {
        METER.with(|meter| meter.begin(purse.operations, purse.time, memory, timed.then(Instant::now)));
        Running(purse)
    }

    fn begin(&self, operations: u64, time: Duration, memory: Option<fn() -> isize>, looked: Option<Instant>) {
        self.used.set(0);
        self.operations.set(operations);
        self.looked.set(looked);
        self.spent.set(Duration::ZERO);
        self.time.set(time);
        self.memory.set(memory);
        self.memory_before.set(memory.map_or(0, |memory| memory()));
    }

    /// Counts one operation, and tells why it is one too many.
    fn count(&self) -> Option<i64> {
        let used = self.used.get() + 1;
        self.used.set(used);
        if used > self.operations.get() {
            return Some(TOO_MANY_OPERATIONS);
        }
        if let Some(memory) = self.memory.get()
            && memory() - self.memory_before.get() > limits::SCRIPT_MEMORY_BYTES_MAX
        {
            return Some(TOO_MUCH_MEMORY);
        }
        if used.is_multiple_of(CLOCK_EVERY)
            && let Some(looked) = self.looked.get()
        {
            let now = Instant::now();
            self.spent.set(self.spent.get() + now.duration_since(looked).min(GAP_MAX));
            self.looked.set(Some(now));
        }
        (self.spent.get() > self.time.get()).then_some(TOO_SLOW)
    }
}

/// Counts one operation. Rhai's own count begins anew in each closure, so it is not used.
pub(super) fn progress() -> Option<Dynamic> {
    let stop = METER.with(Meter::count);
    stop.map(Dynamic::from)
}
