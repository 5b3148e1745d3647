//! How runs and steps stand.

use serde::{Deserialize, Serialize};

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Created, not started.
    Queued,
    /// At work.
    Running,
    /// Waiting for a time, a retry or a person.
    Waiting,
    /// Every step did what it should.
    Succeeded,
    /// It went through, but a fallback or `continue` was used.
    SucceededWithWarnings,
    /// A step failed and nothing caught it.
    Failed,
    /// It took longer than its `timeout`.
    TimedOut,
    /// A person stopped it.
    Cancelled,
    /// The outcome of a step that must not be repeated is unknown: a person must look.
    NeedsAttention,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [RunStatus; 9] = [
        RunStatus::Queued,
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Succeeded,
        RunStatus::SucceededWithWarnings,
        RunStatus::Failed,
        RunStatus::TimedOut,
        RunStatus::Cancelled,
        RunStatus::NeedsAttention,
    ];

    /// Whether nothing more happens by itself.
    pub const fn is_final(self) -> bool {
        !matches!(self, RunStatus::Queued | RunStatus::Running | RunStatus::Waiting)
    }

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            RunStatus::Queued => "queued",
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Succeeded => "succeeded",
            RunStatus::SucceededWithWarnings => "succeeded_with_warnings",
            RunStatus::Failed => "failed",
            RunStatus::TimedOut => "timed_out",
            RunStatus::Cancelled => "cancelled",
            RunStatus::NeedsAttention => "needs_attention",
        }
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<RunStatus> {
        RunStatus::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// The status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// At work, or about to be.
    Running,
    /// A try failed; the next one has a time.
    Retrying,
    /// It waits for a time, an event, a person or another run.
    Waiting,
    /// It did what it should.
    Succeeded,
    /// A block that went through, although something in it failed: an item of a loop, or what a `catch` took.
    SucceededWithWarnings,
    /// It failed for good.
    Failed,
    /// Its `if` said no, or there was nothing to do.
    Skipped,
    /// It took longer than its `timeout`.
    TimedOut,
    /// The run was stopped while it was at work.
    Cancelled,
    /// It must not be repeated and its outcome is unknown.
    NeedsAttention,
}

impl StepStatus {
    /// All of them.
    pub const ALL: [StepStatus; 10] = [
        StepStatus::Running,
        StepStatus::Retrying,
        StepStatus::Waiting,
        StepStatus::Succeeded,
        StepStatus::SucceededWithWarnings,
        StepStatus::Failed,
        StepStatus::Skipped,
        StepStatus::TimedOut,
        StepStatus::Cancelled,
        StepStatus::NeedsAttention,
    ];

    /// Whether nothing more happens to the step.
    pub const fn is_final(self) -> bool {
        !matches!(self, StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting)
    }

    /// Whether it counts as a failure of the step.
    pub const fn is_failure(self) -> bool {
        matches!(self, StepStatus::Failed | StepStatus::TimedOut)
    }

    /// The name in the API and in conditions.
    pub const fn name(self) -> &'static str {
        match self {
            StepStatus::Running => "running",
            StepStatus::Retrying => "retrying",
            StepStatus::Waiting => "waiting",
            StepStatus::Succeeded => "succeeded",
            StepStatus::SucceededWithWarnings => "succeeded_with_warnings",
            StepStatus::Failed => "failed",
            StepStatus::Skipped => "skipped",
            StepStatus::TimedOut => "timed_out",
            StepStatus::Cancelled => "cancelled",
            StepStatus::NeedsAttention => "needs_attention",
        }
    }
}
