//! Beginning actions: what must not be repeated is recorded first, and several of one run are at work at once.

use std::sync::Arc;
use std::time::Duration;

use model::run::Fact;
use model::{Time, limits};
use playbook::{Body, Effect, Scope, Step};

use super::Runner;
use super::acting::{Acting, OVERTIME};
use super::record::{Extra, Halt};
use super::work::{Turn, Work};
use crate::action;
use crate::next::{self, Todo};

/// Most actions of one run that are at work at once.
pub(super) const ACTING_MAX: usize = limits::LOOP_PARALLEL_MAX;

impl Work {
    /// Begins actions.
    pub(super) async fn act(
        &mut self,
        runner: &Arc<Runner>,
        todo: Vec<(Todo<'_>, Scope)>,
        now: Time,
    ) -> Result<Turn, Halt> {
        let one_by_one = !runner.shared.is_timed();
        let mut ready = Vec::with_capacity(todo.len());
        for (todo, scope) in todo.into_iter().take(if one_by_one { 1 } else { ACTING_MAX }) {
            let acting = self.acting(runner, &todo, scope, now)?;
            if acting.once {
                let (path, action) = (todo.path, todo.step.body.kind().to_owned());
                self.apply(Fact::StepStarted { path, action, at: now, input: None, once: true })?;
            }
            ready.push(acting);
        }
        if self.outcome_pending || ready.iter().any(|acting| acting.once) {
            self.record(runner, now, true, Extra::default()).await?;
        }
        let alone = one_by_one || (ready.len() == 1 && self.busy.is_empty());
        for mut acting in ready {
            acting.known = self.state.steps.get(&acting.path).cloned();
            if alone {
                let acted = acting.act().await;
                self.take(runner, acted).await?;
            } else {
                self.busy.insert(acting.path.clone());
                self.acting.spawn(acting.act());
            }
        }
        Ok(Turn::Go)
    }

    fn acting(&self, runner: &Runner, todo: &Todo<'_>, scope: Scope, now: Time) -> Result<Acting, Halt> {
        let step = todo.step;
        let (Body::Action { with, .. }, kind) = (&step.body, step.body.kind()) else {
            return Err(Halt::Broken("unsupported", format!("step `{}` is no action", todo.path)));
        };
        let Some(action) = action::find(kind) else {
            return Err(Halt::Broken("no_action", format!("this version has no action `{kind}`")));
        };
        Ok(Acting {
            action,
            path: todo.path.clone(),
            start: Arc::clone(&self.start),
            with: Arc::clone(with),
            scope,
            known: None,
            retry: step.retry,
            timeout: step.timeout,
            secrets: Arc::clone(&self.secrets),
            context: Arc::clone(&runner.context),
            random: runner.shared.random(),
            now,
            limit: self.time_left(step, &todo.path, now),
            once: action.effect(with) == Effect::Once,
        })
    }

    /// How long the action may take before it is cut off from outside.
    fn time_left(&self, step: &Step, path: &str, now: Time) -> Duration {
        let after = path.starts_with("on_failure/") || path.starts_with("finally/") || self.state.overdue.is_some();
        let active = next::active_left(&self.state, after);
        let own = step.timeout.map_or(active, |timeout| active.min(timeout + OVERTIME));
        next::deadlines(&self.state, &self.playbook)
            .map_or(own, |[deadline, last]| own.min(if after { last } else { deadline }.since(now)))
    }
}
