//! What was decided for one event and one playbook, and why.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::RunId;

/// A place in a file that people wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as it was named when it was loaded.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// The outcome for one event and one playbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A run was started.
    Matched,
    /// A trigger or a condition said no.
    NotMatched,
    /// A condition could not be answered. Never taken for a no.
    Failed,
    /// Inside the window of an earlier alert.
    Deduplicated,
    /// Over a limit.
    Throttled,
    /// A run was created and waits for others to finish.
    Queued,
    /// Left out, as the reason says.
    Skipped,
    /// The playbook's `expires` has passed.
    Expired,
    /// The playbook is switched off.
    Disabled,
    /// Decided and planned, nothing sent (`mode: observe`).
    Observed,
    /// The event comes from a chain of runs that this playbook is part of, or that is too long.
    LoopGuarded,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Verdict; 11] = [
        Verdict::Matched,
        Verdict::NotMatched,
        Verdict::Failed,
        Verdict::Deduplicated,
        Verdict::Throttled,
        Verdict::Queued,
        Verdict::Skipped,
        Verdict::Expired,
        Verdict::Disabled,
        Verdict::Observed,
        Verdict::LoopGuarded,
    ];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Matched => "matched",
            Verdict::NotMatched => "not_matched",
            Verdict::Failed => "failed",
            Verdict::Deduplicated => "deduplicated",
            Verdict::Throttled => "throttled",
            Verdict::Queued => "queued",
            Verdict::Skipped => "skipped",
            Verdict::Expired => "expired",
            Verdict::Disabled => "disabled",
            Verdict::Observed => "observed",
            Verdict::LoopGuarded => "loop_guarded",
        }
    }
}

/// What was decided for one event and one playbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The playbook's id.
    pub playbook: Arc<str>,
    /// The outcome.
    pub verdict: Verdict,
    /// The run that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// The outcome in words.
    pub reason: Arc<str>,
    /// The piece of the playbook that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
    /// Which trigger of the playbook fitted, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<u16>,
}
