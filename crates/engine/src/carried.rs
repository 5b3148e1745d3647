//! What a run that repeats another from its failed step takes over from it.
//!
//! What was done well is not done again, however deep it stands: a loop goes on with the items that did not succeed, a
//! block with the step in it that failed, a step with the destinations that were not reached. What was done about a failure
//! (`catch`, `on_error`, `on_failure`) is done again when it fails again, and a condition that said no is asked again. A
//! failure that `catch` took is no failure; a `repeat` that did all its turns in vain begins anew.
//!
//! Invariant: the facts fit together whatever the first run went through: they are legal in this order.

use std::collections::HashMap;

use model::limits;
use model::run::{Attempt, AttemptOutcome, Fact, RoundEnd, Rounds, RunState, SET, StepState, StepStatus};
use playbook::{Body, Each, Playbook, Repeat, Step};

use crate::next::CONDITION;

/// Most bytes of what a repeat takes over to read only: answers of steps and items of which nothing is done again.
const READ_BYTES_MAX: usize = limits::STEP_OUTPUT_BYTES_MAX;

/// What is taken over; see the module. Of a playbook that was edited meanwhile only what ended well as a whole.
pub(crate) fn carried(state: &RunState, playbook: &Playbook) -> Vec<Fact> {
    let places = state.order.iter().enumerate().map(|(n, path)| (path.as_str(), n)).collect();
    let same = playbook.digest == state.start.digest;
    let mut taking = Taking { state, same, places, room: READ_BYTES_MAX, facts: Vec::new() };
    taking.list(&playbook.steps, "");
    // In the order in which the first run came to them, so that later values of `set` win again.
    taking.facts.sort_by_key(|(place, _)| *place);
    taking.facts.into_iter().map(|(_, fact)| fact).collect()
}

struct Taking<'s> {
    state: &'s RunState,
    /// Whether the text is the same.
    same: bool,
    places: HashMap<&'s str, usize>,
    /// Bytes left for what is only read.
    room: usize,
    facts: Vec<(usize, Fact)>,
}

impl<'s> Taking<'s> {
    fn list(&mut self, steps: &[Step], prefix: &str) {
        for step in steps {
            let path = format!("{prefix}{}", step.segment());
            let Some(done) = self.state.steps.get(&path).filter(|done| done.action == step.body.kind()) else {
                continue;
            };
            if matches!(step.body, Body::Stop { .. }) {
                continue;
            }
            if self.is_settled(step, &path, done) {
                self.whole(step, &path, done);
            } else if self.same {
                self.part(step, &path, done);
            }
        }
    }

    /// Whether nothing of a step is to be done again.
    fn is_settled(&self, step: &Step, path: &str, done: &StepState) -> bool {
        match done.status {
            StepStatus::Succeeded => true,
            StepStatus::Skipped => done.error.as_ref().is_none_or(|error| error.code != CONDITION),
            StepStatus::SucceededWithWarnings => !self.same || !self.warns(step, path, done),
            _ => false,
        }
    }

    /// Whether something failed in a block that went through, and nothing took it.
    fn warns(&self, step: &Step, path: &str, done: &StepState) -> bool {
        let in_list = |between: &str, steps: &[Step]| {
            steps.iter().any(|inner| {
                let path = format!("{path}/{between}/{}", inner.segment());
                self.state.steps.get(&path).is_some_and(|known| {
                    known.status.is_failure()
                        || known.status == StepStatus::SucceededWithWarnings && self.warns(inner, &path, known)
                })
            })
        };
        match &step.body {
            Body::ForEach(_) => rounds(done).iter().flatten().any(|end| end.status != StepStatus::Succeeded),
            Body::Parallel { .. } | Body::Switch { .. } => {
                step.lists().into_iter().any(|(between, steps)| between != "on_error" && in_list(&between, steps))
            }
            Body::Try(guard) => {
                let caught = !guard.catch.is_empty() && self.failed_in(&guard.steps, &format!("{path}/try/"));
                !caught && (in_list("try", &guard.steps) || in_list("finally", &guard.finally))
            }
            _ => false,
        }
    }

    /// Whether a step of a list failed and nothing handled it.
    fn failed_in(&self, steps: &[Step], prefix: &str) -> bool {
        let known = |step: &Step| self.state.steps.get(&format!("{prefix}{}", step.segment()));
        steps.iter().filter_map(known).any(|known| !known.handled && !is_good(known.status))
    }

    /// A step that is not done again, with what the steps after it may read of it.
    fn whole(&mut self, step: &Step, path: &str, done: &StepState) {
        self.inside(path, |inner, turn| match &step.body {
            Body::ForEach(_) => inner.action == SET,
            Body::Repeat(_) => inner.action == SET || turn == last_turn(done),
            _ => true,
        });
        self.push(path, ended(done, path));
    }

    /// What has ended in a block and is wanted. `wanted` is asked with the number of the round that it stands in.
    fn inside(&mut self, path: &str, wanted: impl Fn(&StepState, Option<u32>) -> bool) {
        let state = self.state;
        let prefix = format!("{path}/");
        for (inner, done) in state.steps.range(prefix.clone()..).take_while(|(inner, _)| inner.starts_with(&prefix)) {
            let turn = inner.get(prefix.len()..).and_then(|rest| rest.split('/').next()?.parse().ok());
            let fact = ended(done, inner);
            if done.status.is_final() && wanted(done, turn) && self.has_room(&fact) {
                self.push(inner, fact);
            }
        }
    }

    /// What was done of a step that did not end well.
    fn part(&mut self, step: &Step, path: &str, done: &StepState) {
        match &step.body {
            Body::Action { .. } => sent(done, path).into_iter().for_each(|fact| self.push(path, fact)),
            Body::ForEach(each) if done.input.is_some() => self.items(each, path, done),
            Body::Parallel { branches } => {
                self.push(path, begun(done, path));
                branches.iter().for_each(|branch| self.list(&branch.steps, &format!("{path}/{}/", branch.id)));
            }
            Body::Switch { cases } => {
                let chosen = done.input.as_ref().and_then(|input| input.value().get("case")?.as_u64());
                let Some(n) = chosen.and_then(|n| usize::try_from(n).ok()) else { return };
                let Some(case) = cases.get(n) else { return };
                self.push(path, begun(done, path));
                self.list(&case.steps, &format!("{path}/{n}/"));
            }
            Body::Try(guard) => {
                self.push(path, begun(done, path));
                let prefix = format!("{path}/try/");
                self.list(&guard.steps, &prefix);
                if !self.failed_in(&guard.steps, &prefix) {
                    self.list(&guard.finally, &format!("{path}/finally/"));
                }
            }
            Body::Repeat(repeat) => self.turns(repeat, path, done),
            _ => {}
        }
    }

    /// A loop goes on with the items that did not succeed.
    fn items(&mut self, each: &Each, path: &str, done: &StepState) {
        self.push(path, begun(done, path));
        let none = Rounds::default();
        let rounds = done.rounds.as_deref().unwrap_or(&none);
        for index in 0..u32::try_from(done.items().len()).unwrap_or(u32::MAX) {
            match rounds.end(index).filter(|end| end.status == StepStatus::Succeeded) {
                Some(end) => self.round(path, index, end),
                None => self.list(&each.steps, &format!("{path}/{index}/")),
            }
        }
        let good = |turn: Option<u32>| turn.and_then(|turn| rounds.end(turn)).map(|end| end.status);
        self.inside(path, |inner, turn| inner.action == SET && good(turn) == Some(StepStatus::Succeeded));
    }

    /// A loop goes on with the turn in which a step failed.
    fn turns(&mut self, repeat: &Repeat, path: &str, done: &StepState) {
        let good = rounds(done).iter().map_while(|end| end.as_ref().filter(|end| is_good(end.status)));
        let good: Vec<&RoundEnd> = good.collect();
        let failed = rounds(done).get(good.len()).and_then(Option::as_ref);
        // All turns in vain, or a condition that cannot be answered: no step of it failed.
        if failed.is_some_and(|end| end.culprit.is_none()) {
            return;
        }
        self.push(path, begun(done, path));
        for (index, end) in (0..).zip(&good) {
            self.round(path, index, end);
        }
        let turns = u32::try_from(good.len()).unwrap_or(u32::MAX);
        self.inside(path, |inner, turn| inner.action == SET && turn.is_some_and(|turn| turn < turns));
        self.list(&repeat.steps, &format!("{path}/{turns}/"));
    }

    fn round(&mut self, path: &str, index: u32, end: &RoundEnd) {
        let fact = |end: RoundEnd| Fact::RoundEnded { path: path.to_owned(), index, end };
        let whole = fact(end.clone());
        let fits = end.output.is_none() || self.has_room(&whole);
        self.push(path, if fits { whole } else { fact(RoundEnd { output: None, ..end.clone() }) });
    }

    fn has_room(&mut self, fact: &Fact) -> bool {
        let bytes = serde_json::to_string(fact).map_or(usize::MAX, |text| text.len());
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    fn push(&mut self, path: &str, fact: Fact) {
        let place = self.places.get(path).copied().unwrap_or(usize::MAX);
        self.facts.push((place, fact));
    }
}

fn is_good(status: StepStatus) -> bool {
    matches!(status, StepStatus::Succeeded | StepStatus::SucceededWithWarnings | StepStatus::Skipped)
}

fn rounds(done: &StepState) -> &[Option<RoundEnd>] {
    done.rounds.as_ref().map_or(&[], |rounds| rounds.ends())
}

fn last_turn(done: &StepState) -> Option<u32> {
    rounds(done).len().checked_sub(1).and_then(|last| u32::try_from(last).ok())
}

/// The fact that a block begins, with what it found when it did.
fn begun(done: &StepState, path: &str) -> Fact {
    let (action, at, input) = (done.action.clone(), done.started_at, done.input.clone());
    Fact::StepStarted { path: path.to_owned(), action, at, input, once: false }
}

/// The fact that a step has ended as it did.
fn ended(done: &StepState, path: &str) -> Fact {
    Fact::StepEnded {
        path: path.to_owned(),
        action: done.action.clone(),
        status: done.status,
        at: done.ended_at.unwrap_or(done.started_at),
        output: done.output.clone(),
        error: done.error.clone(),
        handled: done.handled,
        culprit: done.culprit.clone(),
    }
}

/// What a step that failed did send, or rightly not send: nothing of it is tried again.
fn sent(step: &StepState, path: &str) -> Vec<Fact> {
    let ended = |attempt: &&Attempt| {
        attempt.destination.is_some()
            && matches!(attempt.outcome, AttemptOutcome::Succeeded | AttemptOutcome::Suppressed { .. })
    };
    let done: Vec<&Attempt> = step.attempts.iter().filter(ended).collect();
    if done.is_empty() {
        return Vec::new();
    }
    let mut facts = vec![begun(step, path)];
    facts.extend(done.into_iter().map(|attempt| Fact::Attempted { path: path.to_owned(), attempt: attempt.clone() }));
    facts
}
