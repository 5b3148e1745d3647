//! The rounds of a loop: which have ended, how, and which are next.
//!
//! Invariant: what is asked again and again (which rounds are open, how many have ended) costs nothing that grows with the
//! number of rounds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::StepError;
use super::status::StepStatus;
use crate::time::Time;

/// How one round of a loop ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundEnd {
    /// How.
    pub status: StepStatus,
    /// When.
    pub at: Time,
    /// What the last step of it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// The path of the step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub culprit: Option<String>,
    /// Of `repeat`: when the next round begins; nothing when this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Time>,
}

/// The rounds of a loop, folded.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Rounds {
    /// By number; nothing for those that are open although a later one has ended.
    ends: Vec<Option<RoundEnd>>,
    /// The numbers of those.
    open: BTreeSet<u32>,
}

impl Rounds {
    /// How many have ended.
    pub fn ended(&self) -> usize {
        self.ends.len() - self.open.len()
    }

    /// How a round ended; nothing when it has not.
    pub fn end(&self, index: u32) -> Option<&RoundEnd> {
        self.ends.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// The last one, when all before it have ended too.
    pub fn last(&self) -> Option<&RoundEnd> {
        self.ends.last()?.as_ref().filter(|_| self.open.is_empty())
    }

    /// All ends in order; nothing for one that is open.
    pub fn ends(&self) -> &[Option<RoundEnd>] {
        &self.ends
    }

    /// The first `most` rounds of `total` that have not ended.
    pub fn open(&self, total: usize, most: usize) -> impl Iterator<Item = u32> + '_ {
        let next = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        self.open.iter().copied().chain(next..total).take(most)
    }

    /// Notes the end of a round; `false` when it had ended before.
    pub(super) fn note(&mut self, index: u32, end: RoundEnd) -> bool {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let known = self.ends.len();
        for between in known..at {
            self.ends.push(None);
            self.open.extend(u32::try_from(between).ok());
        }
        match self.ends.get_mut(at) {
            Some(Some(_)) => false,
            Some(slot) => {
                *slot = Some(end);
                self.open.remove(&index);
                true
            }
            None => {
                self.ends.push(Some(end));
                true
            }
        }
    }
}
