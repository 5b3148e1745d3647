//! What of a playbook its tests reached: each step, and each way of each condition.

use std::collections::{BTreeMap, BTreeSet};

use model::Verdict;
use playbook::{Playbook, Span, Step};

use crate::next::CONDITION;
use crate::runner::load::Loaded;

/// What of a playbook was reached.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// The steps that there are, with their places.
    pub steps: BTreeMap<String, Span>,
    /// Those that were done, failed ones included.
    pub reached: BTreeSet<String>,
    /// The ways that there are.
    pub branches: BTreeMap<Branch, Span>,
    /// Those that were taken.
    pub taken: BTreeSet<Branch>,
}

/// One way of a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Branch {
    /// The playbook's and its triggers' `when`: started, or not.
    When(bool),
    /// The `if` of a step: done, or skipped.
    If(String, bool),
    /// A step that failed.
    Fails(String),
}

impl std::fmt::Display for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Branch::When(true) => f.write_str("`when` says yes"),
            Branch::When(false) => f.write_str("`when` says no"),
            Branch::If(step, true) => write!(f, "`if` of {step} says yes"),
            Branch::If(step, false) => write!(f, "`if` of {step} says no"),
            Branch::Fails(step) => write!(f, "{step} fails"),
        }
    }
}

impl Coverage {
    /// What there is to reach.
    pub fn of(playbook: &Playbook) -> Coverage {
        let mut coverage = Coverage::default();
        let conditions = playbook.when.is_some() || playbook.triggers.iter().any(|trigger| trigger.when.is_some());
        if conditions {
            let span = playbook.triggers.first().map(|trigger| trigger.span).unwrap_or_default();
            coverage.branches.extend([(Branch::When(true), span), (Branch::When(false), span)]);
        }
        for step in super::super::steps_of(playbook) {
            coverage.steps.insert(step.path.clone(), step.span);
            coverage.branches.extend(branches(step).into_iter().map(|branch| (branch, step.span)));
        }
        coverage
    }

    /// Adds what one test reached.
    pub(super) fn note(&mut self, runs: &[Loaded], verdicts: impl Iterator<Item = Verdict>) {
        for verdict in verdicts {
            match verdict {
                Verdict::Matched | Verdict::Queued => self.take(Branch::When(true)),
                Verdict::NotMatched => self.take(Branch::When(false)),
                _ => {}
            }
        }
        for run in runs {
            for (path, step) in &run.state.steps {
                let path = general(path);
                let skipped = step.error.as_ref().is_some_and(|error| error.code == CONDITION);
                self.take(Branch::If(path.clone(), !skipped));
                if step.status.is_failure() {
                    self.take(Branch::Fails(path.clone()));
                }
                if !skipped && self.steps.contains_key(&path) {
                    self.reached.insert(path);
                }
            }
        }
    }

    fn take(&mut self, branch: Branch) {
        if self.branches.contains_key(&branch) {
            self.taken.insert(branch);
        }
    }

    /// Adds what other tests of the same playbook reached.
    pub fn merge(&mut self, other: &Coverage) {
        self.reached.extend(other.reached.iter().cloned());
        self.taken.extend(other.taken.iter().cloned());
    }

    /// The steps that no test reached, in the order of the file.
    pub fn missed_steps(&self) -> Vec<(&str, Span)> {
        let missed = self.steps.iter().filter(|(path, _)| !self.reached.contains(*path));
        let mut missed: Vec<_> = missed.map(|(path, span)| (path.as_str(), *span)).collect();
        missed.sort_by_key(|(_, span)| *span);
        missed
    }

    /// The ways that no test took, in the order of the file.
    pub fn missed_branches(&self) -> Vec<(&Branch, Span)> {
        let missed = self.branches.iter().filter(|(branch, _)| !self.taken.contains(branch));
        let mut missed: Vec<_> = missed.map(|(branch, span)| (branch, *span)).collect();
        missed.sort_by_key(|(_, span)| *span);
        missed
    }
}

/// The ways of one step.
fn branches(step: &Step) -> Vec<Branch> {
    let mut all = Vec::new();
    if step.condition.is_some() {
        all.extend([Branch::If(step.path.clone(), true), Branch::If(step.path.clone(), false)]);
    }
    if !matches!(step.on_error, playbook::OnError::Fail) {
        all.push(Branch::Fails(step.path.clone()));
    }
    all
}

/// A path with `*` for the numbers of rounds, as steps have it in the file.
fn general(path: &str) -> String {
    let part = |part: &str| if part.bytes().all(|b| b.is_ascii_digit()) { "*".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
