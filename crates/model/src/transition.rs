//! What changed: the facts that triggers listen to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::ObjectKey;
use crate::record::Record;

/// One change of an alert, a case or an entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// What changed.
    pub object: ObjectKey,
    /// How it changed.
    #[serde(flatten)]
    pub change: Change,
}

/// How an object changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Seen for the first time.
    Created,
    /// Some fields are different from before.
    Updated {
        /// Their names.
        changed: Vec<String>,
        /// Their values before; absent ones are left out.
        #[serde(default, skip_serializing_if = "Record::is_empty")]
        previous: Record,
    },
    /// The stage of a case is another.
    StageChanged {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// The priority is another.
    PriorityChanged {
        /// Before; nothing when there was none.
        from: Option<String>,
        /// After; nothing when it was cleared.
        to: Option<String>,
    },
    /// A score is another.
    ScoreMoved {
        /// Its name; that of alerts and cases is `risk`.
        score: String,
        /// Before; nothing when there was none.
        from: Option<f64>,
        /// After.
        to: f64,
    },
}

impl Change {
    /// A word for lists: `created`, `stage changed New → Investigation`, …
    pub fn describe(&self) -> String {
        match self {
            Change::Created => "created".to_owned(),
            Change::Updated { changed, .. } => format!("updated {}", changed.join(", ")),
            Change::StageChanged { from, to } => format!("stage changed {from} → {to}"),
            Change::PriorityChanged { from, to } => {
                let name = |p: &Option<String>| p.clone().unwrap_or_else(|| "none".to_owned());
                format!("priority changed {} → {}", name(from), name(to))
            }
            Change::ScoreMoved { score, from, to } => match from {
                Some(from) => format!("score {score} moved {from} → {to}"),
                None => format!("score {score} is {to} for the first time"),
            },
        }
    }
}

/// A JSON number as a score.
pub fn score(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64)
}
