//! What actions did, taken over into the run.

use model::Time;
use model::run::{Attempt, Fact, RunState, StepError, StepStatus};
use playbook::Step;
use std::sync::Arc;
use store::Window;

use super::acting::{Acted, plain_attempt};
use super::record::{Extra, Halt, chain_of};
use super::work::{Work, loaded};
use super::{REST, Runner};
use crate::action::{self, LocalChange, Outcome, StepResult};
use crate::flow::{Ended, error, place};
use crate::refusal::Refusal;

impl Work {
    /// Takes over what an action did.
    pub(super) async fn take(&mut self, runner: &Runner, acted: Acted) -> Result<(), Halt> {
        let now = runner.shared.store.now();
        let playbook = Arc::clone(&self.playbook);
        let Acted { path, began, outcome } = acted;
        let Some(step) = playbook.step_at(&path) else {
            return Err(Halt::Broken("history", format!("the playbook has no step `{path}`")));
        };
        let Outcome { input, attempts, result, changes, windows } = outcome;
        let known = self.state.steps.get(&path);
        // What is rendered for the first try is what is sent with every other; it is written down once.
        let rendered = known.is_some_and(|known| known.input.is_some());
        let intended = known.is_some_and(|known| known.once);
        let before = (!changes.is_empty()).then(|| self.pending.clone());
        if intended || !(rendered || matches!(result, StepResult::Busy { .. })) {
            let input = (!rendered).then_some(input);
            let action = step.body.kind().to_owned();
            self.apply(Fact::StepStarted { path: path.clone(), action, at: began, input, once: false })?;
        }
        if let StepResult::Busy { at } = result {
            self.paused |= runner.context.effects.is_paused();
            // Nothing was begun. Where that was announced, it is on record now that nothing was.
            self.held.insert(path, if intended { at.max(now.plus(REST)) } else { at });
            return Ok(());
        }
        self.take_result(step, &path, (began, now), attempts, result)?;
        if changes.is_empty() && windows.is_empty() {
            return Ok(());
        }
        self.record_changes(runner, (step, &path), now, before, (changes, windows)).await
    }

    /// Takes over the tries that were made, and how the step stands after them.
    fn take_result(
        &mut self,
        step: &Step,
        path: &str,
        (began, now): (Time, Time),
        attempts: Vec<Attempt>,
        result: StepResult,
    ) -> Result<(), Halt> {
        let known = self.state.steps.get(path).map_or(0, |step| step.attempts.len());
        let facts = facts_of(step, path, (known, began, now), attempts, result);
        facts.into_iter().try_for_each(|fact| self.apply(fact))
    }

    /// Records a step together with the changes it makes; when they are refused, the step failed and nothing changed.
    async fn record_changes(
        &mut self,
        runner: &Runner,
        (step, path): (&Step, &str),
        now: Time,
        before: Option<Vec<Fact>>,
        (mut changes, windows): (Vec<LocalChange>, Vec<Window>),
    ) -> Result<(), Halt> {
        for (n, change) in changes.iter_mut().enumerate() {
            let key = action::idempotency_key(self.state.start.id, path, "");
            change.own_id = Some(if n == 0 { key } else { format!("{key}/{n}") });
        }
        let extra = Extra { changes, chain: chain_of(&self.state), windows, ..Extra::default() };
        match self.try_record(runner, now, true, extra).await {
            Ok(()) => Ok(()),
            Err(refusal @ (Refusal::Conflict(_) | Refusal::NotFound { .. } | Refusal::Invalid { .. })) => {
                self.undo(runner, before.unwrap_or_default()).await?;
                let code = if matches!(refusal, Refusal::NotFound { .. }) { "not_found" } else { "refused" };
                let error = StepError { code: code.to_owned(), message: refusal.to_string(), at: place(step) };
                self.apply(Ended::badly(StepStatus::Failed, error).fact(step, path, now))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Forgets what was applied since the last record, but for these facts.
    async fn undo(&mut self, runner: &Runner, facts: Vec<Fact>) -> Result<(), Halt> {
        self.state = match self.summary.entries.len() {
            1 => RunState::new((*self.start).clone()).map_err(|error| Halt::Broken("history", error.to_string()))?,
            _ => loaded(runner, self.lease.run).await.map_err(|_| Halt::Later)?.state,
        };
        self.pending.clear();
        self.outcome_pending = false;
        facts.into_iter().try_for_each(|fact| self.apply(fact))
    }
}

/// The tries that were made, after `known` earlier ones, and how the step stands after them; without an end when it is tried
/// again.
pub(crate) fn facts_of(
    step: &Step,
    path: &str,
    (known, began, now): (usize, Time, Time),
    mut attempts: Vec<Attempt>,
    result: StepResult,
) -> Vec<Fact> {
    if attempts.is_empty() {
        attempts.push(plain_attempt(known, (began, now), &result));
    }
    let tried = attempts.into_iter().map(|attempt| Fact::Attempted { path: path.to_owned(), attempt });
    let mut facts: Vec<Fact> = tried.collect();
    let ended = match result {
        StepResult::Done { output } => Ended::well(output),
        StepResult::Skipped { output, reason } => {
            Ended { output, ..Ended::badly(StepStatus::Skipped, error("skipped", reason)) }
        }
        StepResult::Failed(error) => Ended::badly(StepStatus::Failed, error),
        StepResult::TimedOut(error) => Ended::badly(StepStatus::TimedOut, error),
        StepResult::Unknown(error) => Ended::badly(StepStatus::NeedsAttention, error),
        StepResult::Retry { .. } | StepResult::Busy { .. } => return facts,
    };
    facts.push(ended.fact(step, path, now));
    facts
}
