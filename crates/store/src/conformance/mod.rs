//! What every backend must prove: each case is a function over an empty store, and a failed check is a panic, as in any
//! test.
//!
//! ```
//! for case in store::conformance::CASES {
//!     (case.run)(&store::Memory::new(store::wall));
//! }
//! ```
//!
//! What needs more than one store at a time (reopening, kill, full disk, comparison with the model) builds on
//! [`build`] and [`witnessed`] in the tests of the backend.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed check of the suite is a panic, as in any test")]

pub mod build;
mod commits;
mod gates;
mod ledger;
mod limits;
mod objects;
mod runs;
pub mod steps;
mod sweeps;
pub mod witnessed;

use crate::Store;

/// One thing that a backend must prove.
#[derive(Clone, Copy)]
pub struct Case {
    /// The number in the list of requirements.
    pub number: &'static str,
    /// What must hold.
    pub name: &'static str,
    /// Proves it on an empty store.
    pub run: fn(&dyn Store),
}

/// All cases.
pub const CASES: &[Case] = &[
    Case { number: "C2", name: "a refused commit changes nothing", run: commits::a_refused_commit_changes_nothing },
    Case { number: "C3", name: "two workers never hold one run", run: runs::two_workers_never_hold_one_run },
    Case { number: "C4", name: "a lease that ended is fenced", run: runs::a_lease_that_ended_is_fenced },
    Case { number: "C5", name: "one start key starts one run", run: commits::one_start_key_starts_one_run },
    Case { number: "C6", name: "a claim has one winner", run: commits::a_claim_has_one_winner },
    Case { number: "C8", name: "tenants take turns for their runs", run: runs::tenants_take_turns },
    Case { number: "C8", name: "runs are taken in the order in which they are due", run: runs::due_order },
    Case { number: "C8", name: "a limit lets only the oldest of a group go on", run: gates::only_the_oldest_go_on },
    Case { number: "C8", name: "a run is hastened unless it is held", run: gates::a_run_is_hastened },
    Case { number: "C9", name: "time never goes back", run: limits::time_never_goes_back },
    Case { number: "C10", name: "the history has no gap", run: commits::the_history_has_no_gap },
    Case { number: "C11", name: "pages are whole while runs come and end", run: runs::pages_are_whole },
    Case { number: "C11", name: "every filter finds what a plain look finds", run: runs::filters_agree },
    Case { number: "C12", name: "a forged id reaches nothing", run: runs::a_forged_id_reaches_nothing },
    Case { number: "C13", name: "large values are kept, too large ones refused", run: limits::large_values },
    Case { number: "C14", name: "names of any content are kept apart", run: limits::names_of_any_content },
    Case { number: "C14", name: "tallies are kept as long as they are wanted", run: gates::tallies },
    Case { number: "C16", name: "a repeated commit changes nothing", run: commits::a_repeated_commit_changes_nothing },
    Case { number: "C17", name: "a sweep never touches what is open", run: sweeps::what_is_open_stays },
    Case { number: "C17", name: "a sweep ends, and the sequence goes on", run: sweeps::a_sweep_ends },
    Case { number: "C19", name: "extreme numbers and times are nothing special", run: limits::extremes },
    Case { number: "L1", name: "the ledger's tree follows from the entries", run: ledger::the_tree_follows },
    Case { number: "L3", name: "what is held stays", run: ledger::what_is_held_stays },
    Case { number: "L2", name: "tiles outlive their entries", run: ledger::tiles_outlive_their_entries },
    Case { number: "-", name: "every object of a kind once", run: objects::every_object_of_a_kind_once },
    Case { number: "-", name: "nothing is written after a run's end", run: runs::nothing_after_the_end },
];
