//! What of a playbook its tests reached: each step, and each way that a run can take.
//!
//! Ways are those of the conditions (yes and no), of the cases of a `switch`, of loops (with items, without; ended by
//! `until`, by `max`), of `try` (with and without a failure), of questions and waits (each way they end), and of steps whose
//! failure something handles.

use std::collections::{BTreeMap, BTreeSet};

use model::run::{RunState, StepState, StepStatus};
use model::{Decision, Verdict};
use playbook::{Body, Condition, OnError, Playbook, Span, Step, Wait};

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

/// One way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Branch {
    /// The `when` of the playbook (nothing) or of a trigger (its place in the list): started, or not.
    When(Option<usize>, bool),
    /// The `if` of a step: done, or skipped.
    If(String, bool),
    /// A case of a `switch`; nothing where none says yes.
    Case(String, Option<usize>),
    /// A loop over items: with some, or without.
    Items(String, bool),
    /// A `repeat`: ended by `until`, or by `max`.
    Until(String, bool),
    /// The `catch` of a `try`: done, or not needed.
    Catch(String, bool),
    /// A question: `approve`, `deny` or `deadline`.
    Answer(String, &'static str),
    /// A wait for an event: it came, or not in time.
    Came(String, bool),
    /// A step that failed, where something handles that.
    Fails(String),
}

impl std::fmt::Display for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let says = |yes: &bool| if *yes { "yes" } else { "no" };
        match self {
            Branch::When(None, yes) => write!(f, "`when` says {}", says(yes)),
            Branch::When(Some(n), yes) => write!(f, "`when` of trigger {} says {}", n + 1, says(yes)),
            Branch::If(step, yes) => write!(f, "`if` of {step} says {}", says(yes)),
            Branch::Case(step, Some(n)) => write!(f, "{step} takes case {}", n + 1),
            Branch::Case(step, None) => write!(f, "{step} takes no case"),
            Branch::Items(step, true) => write!(f, "{step} has items"),
            Branch::Items(step, false) => write!(f, "{step} has no items"),
            Branch::Until(step, true) => write!(f, "`until` of {step} says yes"),
            Branch::Until(step, false) => write!(f, "{step} comes to its `max`"),
            Branch::Catch(step, true) => write!(f, "{step} fails and is caught"),
            Branch::Catch(step, false) => write!(f, "{step} goes well"),
            Branch::Answer(step, answer) => write!(f, "{step} ends by `{answer}`"),
            Branch::Came(step, true) => write!(f, "the event that {step} waits for comes"),
            Branch::Came(step, false) => write!(f, "the event that {step} waits for does not come in time"),
            Branch::Fails(step) => write!(f, "{step} fails"),
        }
    }
}

impl Coverage {
    /// What there is to reach.
    pub fn of(playbook: &Playbook) -> Coverage {
        let mut coverage = Coverage::default();
        for (place, condition) in conditions(playbook) {
            for yes in [true, false] {
                coverage.branches.insert(Branch::When(place, yes), condition.at());
            }
        }
        for step in playbook.all_steps() {
            coverage.steps.insert(step.path.clone(), step.span);
            coverage.branches.extend(branches(step).into_iter().map(|branch| (branch, step.span)));
        }
        coverage
    }

    /// Adds what one test reached.
    pub(super) fn note(&mut self, playbook: &Playbook, runs: &[Loaded], told: &[Decision]) {
        for decision in told {
            self.decided(playbook, decision);
        }
        for run in runs {
            for (path, state) in &run.state.steps {
                if let Some(step) = playbook.step_at(path) {
                    self.step(step, (path, state), &run.state);
                }
            }
        }
    }

    fn decided(&mut self, playbook: &Playbook, decision: &Decision) {
        let trigger = decision.trigger.map(usize::from);
        match decision.verdict {
            Verdict::NotMatched => {
                // The condition that said no is the last that begins before the piece that did.
                let at = decision.at.as_ref().map(|at| (at.line, at.column));
                let begun =
                    |condition: &Condition| at.is_some_and(|at| (condition.at().line, condition.at().column) <= at);
                let mut asked: Vec<_> =
                    conditions(playbook).filter(|(place, _)| place.is_none() || *place == trigger).collect();
                asked.sort_by_key(|(_, condition)| condition.at());
                let no = asked.into_iter().rfind(|(_, condition)| begun(condition)).map(|(place, _)| place);
                if let Some(place) = no {
                    self.take(Branch::When(place, false));
                    if place.is_none() {
                        self.take(Branch::When(trigger, true));
                    }
                }
            }
            // Whatever holds a start back is asked once the conditions have said yes.
            Verdict::Matched | Verdict::Queued | Verdict::Observed | Verdict::Deduplicated | Verdict::Throttled => {
                self.take(Branch::When(None, true));
                self.take(Branch::When(trigger, true));
            }
            _ => {}
        }
    }

    fn step(&mut self, step: &Step, (path, state): (&str, &StepState), run: &RunState) {
        let own = step.path.clone();
        let left_out = state.error.as_ref().filter(|error| error.code == CONDITION);
        // A `switch` of which no case says yes was come to; it answers which case it took.
        let no_case = left_out.is_some() && state.output.as_ref().is_some_and(|output| output.get("case").is_some());
        let skipped = left_out.is_some() && !no_case;
        self.take(Branch::If(own.clone(), !skipped));
        if skipped {
            return;
        }
        self.reached.insert(own.clone());
        if state.status.is_failure() {
            self.take(Branch::Fails(own.clone()));
        }
        let ended = state.status.is_final();
        let text = |key: &str| state.output.as_ref().and_then(|output| output.get(key));
        match &step.body {
            Body::Switch { .. } if no_case => self.take(Branch::Case(own, None)),
            Body::Switch { .. } => {
                let case = state.input.as_ref().and_then(|input| input.value().get("case")?.as_u64());
                self.take(Branch::Case(own, case.and_then(|case| usize::try_from(case).ok())));
            }
            Body::ForEach(_) if state.input.is_some() => self.take(Branch::Items(own, !state.items().is_empty())),
            Body::Repeat(_) if ended => {
                let exhausted = state.error.as_ref().is_some_and(|error| error.code == "repeat_exhausted");
                if exhausted || !state.status.is_failure() {
                    self.take(Branch::Until(own, !exhausted));
                }
            }
            Body::Try(guard) if ended => {
                let begun = |step: &Step| run.steps.contains_key(&format!("{path}/catch/{}", step.segment()));
                let caught = guard.catch.iter().any(begun);
                if caught || !state.status.is_failure() {
                    self.take(Branch::Catch(own, caught));
                }
            }
            Body::Approve(_) if ended => {
                let by = text("by").is_some_and(|by| !by.is_null());
                let denied = text("decision").and_then(serde_json::Value::as_str) == Some("deny");
                self.take(Branch::Answer(
                    own,
                    if !by {
                        "deadline"
                    } else if denied {
                        "deny"
                    } else {
                        "approve"
                    },
                ));
            }
            Body::Wait(Wait::Event(_)) if ended => {
                let came = text("event").is_some_and(|event| !event.is_null());
                self.take(Branch::Came(own, came && state.status == StepStatus::Succeeded));
            }
            _ => {}
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

/// The conditions that say whether a playbook is started, with the place of their trigger.
fn conditions(playbook: &Playbook) -> impl Iterator<Item = (Option<usize>, &Condition)> {
    let own = playbook.when.iter().map(|when| (None, when));
    let triggers = playbook.triggers.iter().enumerate();
    own.chain(triggers.filter_map(|(n, trigger)| Some((Some(n), trigger.when.as_ref()?))))
}

/// The ways of one step.
fn branches(step: &Step) -> Vec<Branch> {
    let path = || step.path.clone();
    let mut all = Vec::new();
    if step.condition.is_some() {
        all.extend([Branch::If(path(), true), Branch::If(path(), false)]);
    }
    if !matches!(step.on_error, OnError::Fail) {
        all.push(Branch::Fails(path()));
    }
    match &step.body {
        Body::Switch { cases } => {
            all.extend((0..cases.len()).map(|n| Branch::Case(path(), Some(n))));
            if cases.iter().all(|case| case.when.is_some()) {
                all.push(Branch::Case(path(), None));
            }
        }
        Body::ForEach(_) => all.extend([true, false].map(|some| Branch::Items(path(), some))),
        Body::Repeat(_) => all.extend([true, false].map(|until| Branch::Until(path(), until))),
        Body::Try(guard) if !guard.catch.is_empty() => {
            all.extend([true, false].map(|caught| Branch::Catch(path(), caught)));
        }
        Body::Approve(_) => all.extend(["approve", "deny", "deadline"].map(|answer| Branch::Answer(path(), answer))),
        Body::Wait(Wait::Event(_)) => all.extend([true, false].map(|came| Branch::Came(path(), came))),
        _ => {}
    }
    all
}
