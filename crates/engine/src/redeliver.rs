//! Sending a failed delivery again, by hand: once, with the same body and the same `webhook-id`.

use model::event::Actor;
use model::run::{Attempt, AttemptOutcome, Delivery, DeliveryStatus, Fact, RunState};
use model::{DeliveryId, Seq};
use playbook::{Body, Retry, Scope, Step};
use serde_json::{Value, json};
use store::Expect;

use crate::action::{self, Call};
use crate::engine::Engine;
use crate::refusal::Refusal;
use crate::runner::load::Loaded;

impl Engine {
    /// Sends a delivery that failed once more, with the same body and the same `webhook-id`. Answers whether the receiver
    /// took it. The run's status stays what it was; the try is part of its history.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such delivery, it has not failed, or the run is still at work on it.
    pub async fn redeliver(&self, id: DeliveryId, actor: Actor) -> Result<bool, Refusal> {
        let Loaded { mut state, mut summary, .. } = self.loaded(id.run).await?;
        let missing = || Refusal::NotFound { what: format!("delivery `{id}`") };
        let delivery = state.deliveries().get(id.index as usize).cloned().ok_or_else(missing)?;
        if !state.status.is_final() {
            return Err(Refusal::Conflict(format!("run {} is still at work and will try by itself", id.run)));
        }
        if delivery.status != DeliveryStatus::Failed {
            return Err(Refusal::Conflict(format!("the delivery did not fail; it is {}", delivery.status.name())));
        }
        let playbook = self
            .runner()
            .playbook(&summary.playbook, summary.digest)
            .map_err(|error| Refusal::Store(error.to_string()))?;
        let step = playbook.step_at(&delivery.path).ok_or_else(missing)?;
        let mut attempt = self.try_once_more(&state, step, &delivery).await.ok_or_else(missing)??;
        // By hand means once: nobody tries again by himself.
        if matches!(attempt.outcome, AttemptOutcome::Retry { .. }) {
            attempt.outcome = AttemptOutcome::Failed;
        }
        let taken = attempt.outcome == AttemptOutcome::Succeeded;
        let fact = Fact::Redelivered { path: delivery.path.clone(), by: actor.to_string(), attempt };
        state.apply(&fact).map_err(|error| Refusal::Conflict(error.to_string()))?;
        let expect = Expect::Version(summary.version);
        summary.follow(&state, Seq::default(), self.store().now());
        self.progress(summary, expect, &[fact], Vec::new(), actor).await?;
        Ok(taken)
    }

    /// One try of one delivery of a step, with what the step recorded; nothing when the step is not one that sends.
    async fn try_once_more(
        &self,
        state: &RunState,
        step: &Step,
        delivery: &Delivery,
    ) -> Option<Result<Attempt, Refusal>> {
        let Body::Action { spec, with } = &step.body else { return None };
        let mut recorded = state.steps.get(&delivery.path)?.clone();
        // As if it were to be tried again now: a person has decided, so that no window is asked.
        let last = recorded.attempts.iter().rfind(|a| a.destination.as_ref() == Some(&delivery.destination))?.clone();
        let again = Attempt { outcome: AttemptOutcome::Retry { at: self.store().now() }, ..last };
        if spec.delivers() {
            recorded.attempts = vec![again];
            let mut input = recorded.input.as_ref()?.value().as_object()?.clone();
            input.insert("to".to_owned(), json!([delivery.destination]));
            recorded.input = Some(Value::Object(input).into());
        } else {
            // A letter names all of its recipients, whoever gets it now: the others have had theirs.
            for attempt in &mut recorded.attempts {
                attempt.outcome = AttemptOutcome::Failed;
            }
            recorded.attempts.push(again);
        }
        let now = self.store().now();
        let scope = Scope::new(now);
        let once = Retry { max: 0, ..Retry::NETWORK };
        let call = Call {
            start: &state.start,
            path: &delivery.path,
            with,
            scope: &scope,
            state: Some(&recorded),
            retry: Some(&once),
            timeout: step.timeout,
            secrets: &[],
            now,
            random: 0,
            ctx: self.context(),
        };
        let tried = action::find(spec.id)?.run(call).await.attempts.pop();
        let name = &delivery.destination;
        Some(tried.ok_or_else(|| {
            let breaker = self.context().gates.standing(name, now).breaker.name();
            Refusal::Conflict(format!(
                "`{name}` takes nothing at this moment (its breaker is {breaker}); a test message that it takes closes the breaker"
            ))
        }))
    }
}
