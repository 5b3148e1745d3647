//! What a run that repeats another takes over from it.

use model::run::{Attempt, AttemptOutcome, Fact, RunState, StepState, StepStatus};
use playbook::Playbook;

use crate::next::CONDITION;

/// What a run that repeats another from its failed step takes over: of the steps on the main way, those that succeeded or
/// had nothing to send, and of a step that failed for some destinations what it sent to the others. A condition that said
/// no is asked again; what was done about the failure is done again when it fails again.
pub(crate) fn carried(state: &RunState, playbook: &Playbook) -> Vec<Fact> {
    let mut facts = Vec::new();
    for step in &playbook.steps {
        let Some(done) = state.steps.get(&step.path) else { continue };
        if done.action != step.body.kind() {
            continue;
        }
        let conditional = done.error.as_ref().is_some_and(|error| error.code == CONDITION);
        match done.status {
            StepStatus::Succeeded | StepStatus::SucceededWithWarnings => {}
            StepStatus::Skipped if !conditional => {}
            StepStatus::Failed | StepStatus::TimedOut if playbook.digest == state.start.digest => {
                facts.extend(sent(done, step.path.clone()));
                continue;
            }
            _ => continue,
        }
        // What is in a block is read by the steps after it.
        let inside = format!("{}/", step.path);
        for (path, done) in state.steps.range(inside.clone()..).take_while(|(path, _)| path.starts_with(&inside)) {
            if facts.len() < CARRIED_FACTS_MAX {
                facts.push(ended(done, path));
            }
        }
        facts.push(ended(done, &step.path));
    }
    facts
}

/// Most facts of steps inside of blocks that a repeat takes over; beyond, only the blocks themselves.
const CARRIED_FACTS_MAX: usize = 1_000;

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
fn sent(step: &StepState, path: String) -> Vec<Fact> {
    let ended = |attempt: &&Attempt| {
        attempt.destination.is_some()
            && matches!(attempt.outcome, AttemptOutcome::Succeeded | AttemptOutcome::Suppressed { .. })
    };
    let done: Vec<&Attempt> = step.attempts.iter().filter(ended).collect();
    if done.is_empty() {
        return Vec::new();
    }
    let (action, at, input) = (step.action.clone(), step.started_at, step.input.clone());
    let mut facts = vec![Fact::StepStarted { path: path.clone(), action, at, input, once: false }];
    facts.extend(done.into_iter().map(|attempt| Fact::Attempted { path: path.clone(), attempt: attempt.clone() }));
    facts
}
