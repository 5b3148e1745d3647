//! What a team has said about its alerts and cases beside the playbooks: the rules of [`model::triage`], who gets a new
//! case, and how detections that arrive on their own become alerts.
//!
//! Invariants: everything is part of the event's own commit, so that a restart neither doubles nor forgets it. Nothing of
//! it costs an event anything while it is not configured.

mod assign;
mod group;
pub mod grouping;
pub mod notify;
mod stages;
mod watch;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub use model::triage::{Rules, Watched, Watchlist};
use playbook::Condition;

pub(crate) use assign::{Asked, assign};
pub use group::{ATTRIBUTES, DETECTION_CREATED};
pub(crate) use group::{Grouped, group};
pub use notify::Notification;
pub use stages::StillUsed;
pub(crate) use stages::check as check_stages;
pub use watch::{Entry, Origin, entries, mark_of};

/// What a team has said about its alerts and cases.
#[derive(Debug, Clone, Default)]
pub struct Triage {
    /// Queues, bands, the watchlist as it is in force.
    pub rules: Rules,
    /// The watchlist as the configuration has it.
    pub watched: Vec<Watched>,
    /// Who gets a new case: the first that fits.
    pub assignment: Vec<Assignment>,
    /// How detections become alerts: the first that fits of those that are in force.
    pub grouping: Vec<Grouping>,
    /// The rules of that kind as the configuration has them.
    pub grouping_file: Vec<Grouping>,
    /// Who is told of what, as the configuration has it.
    pub notifications: Vec<Notification>,
}

/// Who gets a new case.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Its name, for people.
    pub name: String,
    /// Which cases it is for; without it, all.
    pub when: Option<Arc<Condition>>,
    /// The queue that a case without one goes to.
    pub queue: Option<String>,
    /// The person.
    pub who: Who,
}

/// Which person gets a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Nobody in particular.
    Nobody,
    /// This one.
    Person(String),
    /// The members of the queue, one after the other.
    InTurn,
}

/// How detections become alerts.
#[derive(Debug, Clone)]
pub struct Grouping {
    /// Its name, for people; part of what the alert is called.
    pub name: String,
    /// The attribute by which detections belong together: one of [`ATTRIBUTES`].
    pub by: String,
    /// How long after its first detection an alert takes more of them.
    pub window: Duration,
    /// Which detections it is for; without it, all that have the attribute.
    pub when: Option<Arc<Condition>>,
    /// Whose detections; everybody's when nothing is said.
    pub tenant: Option<String>,
}

impl Triage {
    /// A team that has said nothing.
    pub fn none() -> &'static Triage {
        static NONE: LazyLock<Triage> = LazyLock::new(Triage::default);
        &NONE
    }
}
