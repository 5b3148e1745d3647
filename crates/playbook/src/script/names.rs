//! The names that may stand at one place of a playbook, and why the others may not.

use std::sync::Arc;

use model::record::Vocabulary;
use serde_json::Value;

use super::scope::Root;

/// The names that may stand in a script at one place of a playbook.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The roots that something can bring here.
    pub roots: Vec<Root>,
    /// The ids of the steps that come before.
    pub steps: Vec<String>,
    /// The ids of the other steps.
    pub later_steps: Vec<String>,
    /// Those of them that cannot be read from here, with the reason.
    pub hidden_steps: std::collections::BTreeMap<String, String>,
    /// The inputs by name with a value of their type, where they are declared.
    pub inputs: Option<Arc<Value>>,
    /// The constants of the playbook, where they are known.
    pub vars: Option<Arc<Value>>,
    /// Names of the playbook's own, such as the variable of a loop.
    pub locals: Vec<String>,
    /// The team's words, so that a comparison with a stage that does not exist is found.
    pub words: Vocabulary,
}

impl Names {
    /// All roots, and nothing known about steps: for tests and tools.
    pub fn everything() -> Names {
        Names { roots: Root::ALL.to_vec(), ..Names::default() }
    }

    pub(crate) fn has(&self, root: Root) -> bool {
        self.roots.contains(&root)
    }

    /// Why a root has no meaning here.
    pub(crate) fn why_not(root: Root) -> String {
        match root {
            Root::Alert => "no trigger here can bring an alert; add one of `alert.created`, `alert.updated` or `score.threshold` of alerts",
            Root::Case => "no trigger here can bring a case; add one of `case.created`, `case.updated`, `case.stage_changed`, or one of alerts",
            Root::Entity => "no trigger here can bring an entity; add `score.threshold` of hosts, accounts, users or addresses",
            Root::Detection => "a detection on its own is known in `grouping` of the configuration only; here it is `event.data.detection`",
            Root::Failure => "`failure` is known in `on_failure` and `finally` only",
            Root::Error => "`error` is known in the steps of `on_error` and `catch` only",
            Root::Steps => "no step has run when this is decided",
            Root::Run => "there is no run yet when this is decided",
            Root::Event | Root::Trigger | Root::Vars | Root::Inputs => "it is not known here",
        }
        .to_owned()
    }
}
