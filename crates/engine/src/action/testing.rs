//! What tests of actions stand on: a context over maps in memory, with the real client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use model::run::{Fact, RunStart, RunState, StepStatus};
use model::{Digest, EventId, Object, ObjectKey, Record, RunId, Seq, Time};
use playbook::{Evaluator, Retry, Scope, Span, Template};
use serde_json::{Value, json};

use super::{Action, Call, Context, Objects, Outcome, StepResult, Windows, find};
use crate::outbound::testing::{Receiver, local, outbound};
use crate::outbound::{Destination, Destinations, Effects, Outbound, Secrets, Target};

/// When tests take place.
pub(super) const NOW: Time = Time::from_millis(1_763_798_400_000);

#[derive(Default)]
pub(super) struct World {
    objects: Mutex<BTreeMap<ObjectKey, Object>>,
    windows: Mutex<BTreeMap<String, (Time, String)>>,
}

impl Objects for World {
    fn object(&self, key: &ObjectKey) -> Result<Option<Object>, store::Error> {
        Ok(self.objects.lock().unwrap().get(key).cloned())
    }

    fn ahead(&self, _destination: &str, _run: RunId) -> Result<usize, store::Error> {
        Ok(0)
    }
}

#[async_trait::async_trait]
impl Windows for World {
    async fn claim(&self, window: &str, by: &str, until: Time) -> Result<bool, crate::refusal::Refusal> {
        let mut windows = self.windows.lock().unwrap();
        if let Some((_, owner)) = windows.get(window) {
            return Ok(owner == by);
        }
        windows.insert(window.to_owned(), (until, by.to_owned()));
        Ok(true)
    }
}

/// One run with one step, asked again and again.
pub(super) struct Bench {
    pub(super) ctx: Context,
    pub(super) world: Arc<World>,
    pub(super) start: RunStart,
    pub(super) state: RunState,
    pub(super) with: BTreeMap<String, Template>,
    pub(super) secrets: Vec<String>,
    pub(super) retry: Option<Retry>,
    pub(super) timeout: Option<Duration>,
    pub(super) now: Time,
    pub(super) scope: Scope,
}

impl Bench {
    pub(super) fn new(start: Value) -> Bench {
        Bench::over(start, outbound())
    }

    /// A run whose start has these fields besides the necessary ones.
    pub(super) fn over(fields: Value, outbound: Outbound) -> Bench {
        let mut start = json!({
            "id": RunId { seq: Seq(7), n: 0, tag: 9 }, "playbook": "p", "digest": Digest::of(b"p"), "trigger": {},
            "tenant": "default", "event": EventId { seq: Seq(7), tag: 9 },
        });
        start.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let start: RunStart = serde_json::from_value(start).unwrap();
        let world = Arc::new(World::default());
        let secrets: BTreeMap<String, String> = [
            ("KEY".to_owned(), "canary-s3cret".to_owned()),
            ("SIGN".to_owned(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        ]
        .into();
        let ctx = Context {
            evaluator: Evaluator::uncounted(),
            effects: Effects::live(outbound),
            secrets: Secrets::new(Arc::new(secrets)),
            destinations: RwLock::default(),
            gates: crate::outbound::gate::Gates::default(),
            words: model::record::Vocabulary::default(),
            queues: BTreeMap::new(),
            public_url: None,
            objects: world.clone(),
            windows: world.clone(),
            clock: Arc::new(|| NOW),
        };
        let mut state = RunState::new(start.clone()).unwrap();
        state.apply(&Fact::Started { at: NOW }).unwrap();
        Bench {
            ctx,
            world,
            start,
            state,
            with: BTreeMap::new(),
            secrets: Vec::new(),
            retry: None,
            timeout: None,
            now: NOW,
            scope: Scope::new(NOW),
        }
    }

    pub(super) fn object(self, key: ObjectKey, fields: Value) -> Bench {
        let Value::Object(record) = fields else { panic!("an object") };
        let meta = model::object::Meta { updated_at: NOW, ..Default::default() };
        self.world.objects.lock().unwrap().insert(key, Object { record: Arc::new(record), meta });
        self
    }

    pub(super) fn with(mut self, with: Value) -> Bench {
        let Value::Object(with) = with else { panic!("an object") };
        self.with = with.into_iter().map(|(name, value)| (name, Template::of(value, Span::default()))).collect();
        self
    }

    pub(super) fn destinations(self, all: Vec<Destination>) -> Bench {
        let map = all.into_iter().map(|one| (one.id.clone(), Arc::new(one))).collect();
        self.ctx.set_destinations(Destinations { map, ..Destinations::default() });
        self
    }

    /// Runs the action once and records what it did, as the runner would.
    pub(super) async fn run(&mut self, action: &str) -> Outcome {
        let action: &dyn Action = find(action).unwrap();
        let call = Call {
            start: &self.start,
            path: "send",
            with: &self.with,
            scope: &self.scope,
            state: self.state.steps.get("send"),
            retry: self.retry.as_ref(),
            timeout: self.timeout,
            secrets: &self.secrets,
            now: self.now,
            random: 42,
            ctx: &self.ctx,
        };
        let outcome = action.run(call).await;
        let started = Fact::StepStarted {
            path: "send".into(),
            action: action.spec().id.into(),
            at: self.now,
            input: Some(outcome.input.clone()),
            once: false,
        };
        self.state.apply(&started).unwrap();
        for attempt in &outcome.attempts {
            self.state.apply(&Fact::Attempted { path: "send".into(), attempt: attempt.clone() }).unwrap();
        }
        for window in &outcome.windows {
            self.world.windows.lock().unwrap().remove(&window.key);
        }
        if let StepResult::Retry { at } | StepResult::Busy { at } = &outcome.result {
            self.now = *at;
        } else {
            let ended = Fact::StepEnded {
                path: "send".into(),
                action: action.spec().id.into(),
                status: StepStatus::Succeeded,
                at: self.now,
                output: None,
                error: None,
                handled: false,
                culprit: None,
            };
            self.state.apply(&ended).unwrap();
        }
        outcome
    }

    /// Runs the action until it has ended.
    pub(super) async fn run_to_end(&mut self, action: &str) -> Outcome {
        for _ in 0..20 {
            let outcome = self.run(action).await;
            if !matches!(outcome.result, StepResult::Retry { .. } | StepResult::Busy { .. }) {
                return outcome;
            }
        }
        panic!("it never ends");
    }
}

pub(super) fn alert(id: &str) -> ObjectKey {
    ObjectKey { tenant: "default".into(), kind: model::Kind::Alert, id: id.into() }
}

pub(super) fn case(id: &str) -> ObjectKey {
    ObjectKey { tenant: "default".into(), kind: model::Kind::Case, id: id.into() }
}

/// A destination at a receiver, without anything special.
pub(super) fn destination(id: &str, receiver: &Receiver) -> Destination {
    Destination::new(id, Target::parse(&receiver.url(&format!("/{id}")), &local()).unwrap())
}

/// The error of a step that failed.
pub(super) fn failure(outcome: &Outcome) -> (&str, &str) {
    match &outcome.result {
        StepResult::Failed(error) | StepResult::TimedOut(error) | StepResult::Unknown(error) => {
            (&error.code, &error.message)
        }
        other => panic!("no failure: {other:?}"),
    }
}

pub(super) fn record(value: Value) -> Record {
    value.as_object().unwrap().clone()
}
