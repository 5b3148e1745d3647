//! Branches that are never taken: conditions that nothing can fulfil, and cases behind one that takes all they could.
//!
//! Invariant: what is said here is proven from plain comparisons; a condition that is not understood is never blamed.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::reader::Reader;
use crate::script::{Condition, Needs};
use crate::syntax::{Body, Case, Playbook, Step};

/// A warning for each branch that is never taken.
pub(super) fn warnings(playbooks: &[Arc<Playbook>]) -> Vec<Diagnostic> {
    playbooks.iter().flat_map(|playbook| of(playbook)).collect()
}

fn of(playbook: &Playbook) -> Vec<Diagnostic> {
    let mut dead = Dead { reader: Reader::new(playbook.file.clone(), &playbook.text), found: Vec::new() };
    let mut above = Needs::default();
    let whens: Vec<&Condition> = playbook.when.iter().collect();
    for when in &whens {
        dead.condition(when, &Needs::default(), "the playbook never starts");
        above.add(when);
    }
    for trigger in &playbook.triggers {
        if let Some(when) = &trigger.when {
            dead.condition(when, &above, "this trigger never starts the playbook");
        }
    }
    for step in playbook.all_steps() {
        dead.step(step);
    }
    dead.found
}

struct Dead {
    reader: Reader,
    found: Vec<Diagnostic>,
}

impl Dead {
    fn step(&mut self, step: &Step) {
        if let Some(condition) = &step.condition {
            self.condition(condition, &Needs::default(), "this step is never done");
        }
        if let Body::Switch { cases } = &step.body {
            self.cases(cases);
        }
    }

    /// Each case is asked only when those before it said no.
    fn cases(&mut self, cases: &[Case]) {
        let mut before = Needs::default();
        let mut texts: Vec<String> = Vec::new();
        let mut all_taken = false;
        for case in cases {
            let Some(when) = &case.when else { continue };
            let text = when.source().split_whitespace().collect::<Vec<_>>().join(" ");
            if all_taken || texts.contains(&text) {
                let message = "this case is never taken: one before it takes all that it could";
                self.warn(when, message.to_owned());
            } else {
                self.condition(when, &before, "this case is never taken");
            }
            all_taken |= text == "true";
            before.add_not(when);
            texts.push(text);
        }
    }

    fn condition(&mut self, condition: &Condition, above: &Needs, what: &str) {
        let mut needs = above.clone();
        if needs.contradiction().is_some() {
            return;
        }
        needs.add(condition);
        match needs.contradiction() {
            None => {}
            Some("") => self.warn(condition, format!("{what}: its condition is always false")),
            Some(path) => self.warn(condition, format!("{what}: `{path}` cannot be all that is asked of it at once")),
        }
    }

    fn warn(&mut self, condition: &Condition, message: String) {
        let help = "correct the condition, or leave out what hangs on it; where one of several may hold, write `||`";
        let mut found = self.reader.diagnostic("PB124", condition.at(), message, Some(help.to_owned()));
        found.severity = Severity::Warning;
        self.found.push(found);
    }
}
