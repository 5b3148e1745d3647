//! A playbook as it was checked: what triggers it, what it decides, what it does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Digest, Time};

use crate::catalog::ActionSpec;
use crate::control::Control;
use crate::diagnostic::Span;
use crate::schedule::Schedule;
use crate::script::Condition;
use crate::template::Template;
use crate::yaml;

/// One playbook.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// Its id, unique.
    pub id: Arc<str>,
    /// Its name for people; the id when it has none.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether its file says that it is on.
    pub enabled: bool,
    /// Lower is decided and started first; ties go by id.
    pub order: i64,
    /// The tenants it is for; nothing means all.
    pub tenants: Option<Vec<String>>,
    /// From when on it no longer runs.
    pub expires: Option<Time>,
    /// What starts it: any of these.
    pub triggers: Vec<Trigger>,
    /// The secrets that it may place.
    pub secrets: Vec<String>,
    /// Whether it starts.
    pub when: Option<Condition>,
    /// Its constants, an object.
    pub vars: Arc<serde_json::Value>,
    /// What bounds its runs.
    pub control: Control,
    /// How long a run may be active.
    pub timeout: Option<Duration>,
    /// What it does.
    pub steps: Vec<Step>,
    /// What it does when a step failed.
    pub on_failure: Vec<Step>,
    /// Its tests, checked in shape only.
    pub tests: Option<yaml::Node>,
    /// Whether events that its own runs cause may start it.
    pub triggers_itself: bool,
    /// The file it came from.
    pub file: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
    /// The digest of its text.
    pub digest: Digest,
}

/// One trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// What it listens to.
    pub on: On,
    /// Whether it fits.
    pub when: Option<Condition>,
    /// Where it stands.
    pub span: Span,
}

/// What a trigger listens to.
#[derive(Debug, Clone)]
pub enum On {
    /// An alert was seen for the first time.
    AlertCreated,
    /// An alert changed.
    AlertUpdated {
        /// Only when one of these fields changed; empty means any.
        changed: Vec<String>,
    },
    /// A case was seen for the first time.
    CaseCreated,
    /// A case changed.
    CaseUpdated {
        /// Only when one of these fields changed; empty means any.
        changed: Vec<String>,
    },
    /// A case changed its stage. Canonical names; an empty list means any.
    StageChanged {
        /// The stages before.
        from: Vec<String>,
        /// The stages after.
        to: Vec<String>,
    },
    /// A score crossed a level upward.
    Score {
        /// `host`, `account`, `user`, `ip`, `alert` or `case`.
        of: String,
        /// Names of scores with their levels; all must hold.
        levels: Vec<(String, f64)>,
        /// How long it stays silent for the same entity.
        dedupe: Option<Duration>,
    },
    /// A time came.
    Schedule(Schedule),
    /// A plain event came.
    Event {
        /// Exact types, or prefixes such as `holm.*`.
        types: Vec<String>,
    },
    /// A person or a program asked.
    Manual,
}

impl On {
    /// The name in YAML.
    pub fn kind(&self) -> &'static str {
        match self {
            On::AlertCreated => "alert.created",
            On::AlertUpdated { .. } => "alert.updated",
            On::CaseCreated => "case.created",
            On::CaseUpdated { .. } => "case.updated",
            On::StageChanged { .. } => "case.stage_changed",
            On::Score { .. } => "score.threshold",
            On::Schedule(_) => "schedule",
            On::Event { .. } => "event",
            On::Manual => "manual",
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its id; empty when it has none.
    pub id: String,
    /// Its unique path: the id, or `#2` for the second of a list, after the path of the list that it is in.
    pub path: String,
    /// Whether it is done.
    pub condition: Option<Condition>,
    /// What it does.
    pub body: Body,
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// How often it is tried again.
    pub retry: Option<Retry>,
    /// What happens when it failed.
    pub on_error: OnError,
    /// Where it stands.
    pub span: Span,
}

/// What a step does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Body {
    /// An action.
    Action {
        /// Which.
        spec: &'static ActionSpec,
        /// Its parameters.
        with: BTreeMap<String, Template>,
    },
}

/// What happens when a step failed.
#[derive(Debug, Clone)]
pub enum OnError {
    /// The run fails.
    Fail,
    /// The run goes on, with a warning.
    Continue,
    /// These steps are done, then the run goes on, with a warning.
    Steps(Vec<Step>),
}

/// How the time between two tries grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// It doubles.
    #[default]
    Exponential,
    /// It grows by the first.
    Linear,
    /// It stays.
    Fixed,
}

/// How often a step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Most tries after the first; 0 means one call only.
    pub max: u32,
    /// How the time between two tries grows.
    pub backoff: Backoff,
    /// The time before the second try.
    pub first: Duration,
    /// The longest time between two tries.
    pub cap: Duration,
}

impl Retry {
    /// For actions that talk to the network.
    pub const NETWORK: Retry =
        Retry { max: 3, backoff: Backoff::Exponential, first: Duration::from_secs(1), cap: Duration::from_secs(60) };
}
