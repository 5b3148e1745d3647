//! Calling another playbook: a run of its own, linked to this one.

use std::sync::Arc;

use model::event::{Actor, ReplayKey};
use model::object::OURS;
use model::run::{Caller, Fact, RunStart, StepError, StepStatus, Wait, WaitOn};
use model::{ChainLink, Digest, Event, Record, RunId, Seq, Time, limits};
use playbook::{Input, Playbook};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Runner;
use super::record::{Halt, chain_of};
use super::work::Work;
use crate::action::idempotency_key;
use crate::flow::{Ended, error};
use crate::next::Todo;
use crate::writer::{Order, Start};

impl Work {
    /// Starts the run of a playbook that a step calls, and waits for it from then on.
    pub(super) async fn call(
        &mut self,
        runner: &Runner,
        todo: &Todo<'_>,
        (id, inputs): (&str, Record),
        now: Time,
    ) -> Result<(), Halt> {
        let (playbook, inputs) = match self.callable(runner, id, inputs) {
            Ok(callable) => callable,
            Err(why) => {
                return self.apply(Ended::badly(StepStatus::Failed, why).fact(todo.step, &todo.path, now));
            }
        };
        // What this run has decided so far is on record before another begins by it.
        self.record_now(runner, now).await?;
        let run = self.start_callee(runner, &todo.path, (&playbook, inputs.clone()), now).await?;
        let input = json!({ "playbook": id, "inputs": inputs, "run_id": run.to_string() });
        let (path, action) = (todo.path.clone(), todo.step.body.kind().to_owned());
        self.apply(Fact::StepStarted { path, action, at: now, input: Some(input.into()), once: false })?;
        let wait = Wait { on: WaitOn::Run { run }, until: None };
        self.apply(Fact::Waiting { path: todo.path.clone(), at: now, wait })
    }

    /// The playbook that is called, and what it is given.
    fn callable(&self, runner: &Runner, id: &str, inputs: Record) -> Result<(Arc<Playbook>, Record), StepError> {
        let set = runner.shared.set();
        let playbook = set.find(id).ok_or_else(|| error("no_playbook", format!("there is no playbook `{id}`")))?;
        if !playbook.enabled || !set.is_on(playbook) {
            return Err(error("playbook_off", format!("the playbook `{id}` is switched off")));
        }
        let depth = self.depth();
        if depth > limits::CALL_DEPTH_MAX {
            let message = format!("calls are at most {} deep", limits::CALL_DEPTH_MAX);
            return Err(error("too_deep", message));
        }
        let inputs = Input::fit(&playbook.inputs, inputs)
            .map_err(|problem| error("bad_input", format!("the inputs of `{id}`: {problem}")))?;
        Ok((Arc::clone(playbook), inputs))
    }

    /// How deep a run that this one calls is.
    fn depth(&self) -> u32 {
        self.state.start.caller.as_ref().map_or(0, |caller| caller.depth).saturating_add(1)
    }

    /// Starts the run, once: a call that was made before a crash answers with the same run.
    async fn start_callee(
        &self,
        runner: &Runner,
        path: &str,
        (playbook, inputs): (&Playbook, Record),
        now: Time,
    ) -> Result<RunId, Halt> {
        let own = &self.state.start;
        let mut trigger = Record::new();
        trigger.insert("kind".to_owned(), Value::from("call"));
        let caller = Caller { run: own.id, path: path.to_owned(), depth: self.depth() };
        let start = RunStart {
            id: RunId { seq: Seq::default(), n: 0, tag: 0 },
            playbook: playbook.id.to_string(),
            digest: playbook.digest,
            trigger,
            chain: chain_of(&self.state),
            inputs,
            retry_of: None,
            caller: Some(caller),
            carried: Vec::new(),
            gate: None,
            observed: false,
            ..own.clone()
        };
        let key = idempotency_key(own.id, path, "");
        let data = json!({ "what": "called", "run": own.id, "step": path, "playbook": playbook.id });
        let event = event(own, start.chain.clone(), (key, data), now);
        let (reply, answer) = oneshot::channel();
        runner.orders.send(Order::Start(Box::new(Start { event, start, reply }))).await?;
        Ok(answer.await.unwrap_or(Err(crate::refusal::Refusal::Stopping))?)
    }
}

/// The event that records a call.
fn event(own: &RunStart, chain: Vec<ChainLink>, (key, data): (String, Value), now: Time) -> Arc<Event> {
    let body = Digest::of(data.to_string().as_bytes());
    Arc::new(Event {
        source: OURS.to_owned(),
        kind: "run.called".to_owned(),
        own_id: None,
        time: now,
        received: now,
        tenant: own.tenant.clone(),
        actor: Actor::Run { playbook: own.playbook.clone(), run: own.id },
        subject: None,
        from: None,
        data,
        replay: Some(ReplayKey::new(key, body)),
        chain,
        warnings: Vec::new(),
        first_sight_creates: false,
    })
}
