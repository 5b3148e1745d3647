//! What people ask of the engine: change, comment, send, run, cancel, retry.
//!
//! Each of them is recorded with the person behind it, and goes through the one writer like everything else.

use std::sync::Arc;

use model::event::Actor;
use model::object::OURS;
use model::record::Record;
use model::run::{Fact, RunStart, RunStatus};
use model::{Event, EventId, Kind, ObjectKey, RunId, Seq, Time, limits};
use playbook::{Input, Playbook};
use serde_json::{Value, json};
use store::{Expect, Window};
use tokio::sync::oneshot;

use crate::action;
use crate::carried::carried;
use crate::engine::Engine;
use crate::record;
use crate::refusal::Refusal;
use crate::runner::load::{self, Loaded};
use crate::writer::{Order, Progress, Start};

/// Times that a cancellation is tried again when the run goes on meanwhile.
const CANCEL_TRIES: usize = 20;

/// Where a repeated run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryFrom {
    /// At its first step.
    Start,
    /// At the step that failed; what succeeded before is taken over.
    Failed,
}

/// Which text of the playbook a repeated run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryVersion {
    /// The one that the run was pinned to.
    Same,
    /// The one that is in force now.
    Current,
}

/// What a run by hand is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An event that was accepted before.
    Event(EventId),
    /// An alert.
    Alert(String),
    /// A case.
    Case(String),
    /// Nothing in particular.
    Nothing,
}

impl Engine {
    /// Sends all threat details of an alert or a case to registered destinations, as a run of its own.
    ///
    /// # Errors
    /// [`Refusal`] when the object or a destination does not exist, or there are none or too many of them.
    pub async fn send(&self, object: ObjectKey, to: Vec<String>, actor: Actor) -> Result<RunId, Refusal> {
        if to.is_empty() || to.len() > limits::HAND_DESTINATIONS_MAX {
            let message = format!("name one to {} destinations", limits::HAND_DESTINATIONS_MAX);
            return Err(Refusal::Invalid { code: "destinations", message });
        }
        let known = self.context().destinations();
        if let Some(unknown) = to.iter().find(|name| !known.map.contains_key(*name)) {
            return Err(Refusal::NotFound { what: format!("destination `{unknown}`") });
        }
        self.must_exist(&object).await?;
        let text = format!(
            "playbook: {SEND_BY_HAND}\nname: Sent by hand\ntriggers: [manual]\nsteps:\n  - id: send\n    action: webhook.send_threat_details\n    with: {{ to: {} }}\n",
            json!(to)
        );
        let source = playbook::Source { file: Arc::from("sent-by-hand.yaml"), text };
        let compiled = playbook::compile(&source, &self.runner().catalog, self.evaluator()).map_err(|found| {
            let message = found.first().map_or_else(String::new, |d| d.message.clone());
            Refusal::Invalid { code: "internal", message }
        })?;
        self.keep_text(&compiled, &actor).await?;
        let what = json!({ "what": "sent by hand", "to": to });
        self.begin(&compiled, object_ids(&object), (what, Record::new()), actor).await
    }

    /// Runs a playbook by hand; its conditions are not asked, a person has decided.
    ///
    /// # Errors
    /// [`Refusal`] when the playbook or what it should be about does not exist.
    pub async fn run_by_hand(
        &self,
        playbook: &str,
        what: What,
        inputs: Record,
        tenant: &str,
        actor: Actor,
    ) -> Result<RunId, Refusal> {
        let set = self.playbooks();
        let found = set.find(playbook).ok_or_else(|| Refusal::NotFound { what: format!("playbook `{playbook}`") })?;
        // A playbook that declares nothing takes anything.
        let inputs = if found.inputs.is_empty() {
            inputs
        } else {
            Input::fit(&found.inputs, inputs)
                .map_err(|error| Refusal::Invalid { code: "inputs", message: error.to_string() })?
        };
        let key = |kind: Kind, id: &str| ObjectKey { tenant: tenant.to_owned(), kind, id: id.to_owned() };
        let about = match &what {
            What::Alert(id) => object_ids(&key(Kind::Alert, id)),
            What::Case(id) => object_ids(&key(Kind::Case, id)),
            What::Nothing => About { tenant: tenant.to_owned(), ..About::default() },
            What::Event(id) => self.about_event(*id, tenant).await?,
        };
        for (kind, id) in [(Kind::Alert, &about.alert), (Kind::Case, &about.case)] {
            if let Some(id) = id {
                self.must_exist(&key(kind, id)).await?;
            }
        }
        let what = json!({ "what": "run by hand", "playbook": playbook });
        self.begin(found, about, (what, inputs), actor).await
    }

    async fn about_event(&self, id: EventId, tenant: &str) -> Result<About, Refusal> {
        let store = Arc::clone(self.store());
        let missing = || Refusal::NotFound { what: format!("event `{id}`") };
        let event = blocking(move || load::event_of(store.as_ref(), id.seq)).await?.map_err(|_| missing())?;
        if event.tenant != tenant {
            return Err(missing());
        }
        let mut about = event.object().map(|key| object_ids(&key)).unwrap_or_default();
        about.tenant.clone_from(&event.tenant);
        about.event = Some(id);
        Ok(about)
    }

    /// Stops a run. Nothing of it starts after this; what is in flight is dropped.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such run or it has already ended.
    pub async fn cancel(&self, run: RunId, actor: Actor) -> Result<(), Refusal> {
        let reason = format!("cancelled by {actor}");
        self.cancel_because(run, actor, reason).await
    }

    pub(crate) async fn cancel_because(&self, run: RunId, actor: Actor, reason: String) -> Result<(), Refusal> {
        for _ in 0..CANCEL_TRIES {
            match self.cancel_once(run, &actor, &reason).await {
                Err(Refusal::Stale(_)) => {}
                Ok(()) => {
                    self.runner().abort(run);
                    return Ok(());
                }
                Err(other) => return Err(other),
            }
        }
        Err(Refusal::Busy { retry_after: std::time::Duration::from_secs(1) })
    }

    async fn cancel_once(&self, run: RunId, actor: &Actor, reason: &str) -> Result<(), Refusal> {
        let Loaded { mut state, mut summary, .. } = self.loaded(run).await?;
        if state.status.is_final() {
            return Err(Refusal::Conflict(format!("run {run} has already ended as {}", state.status.name())));
        }
        let now = self.store().now();
        let by = actor.to_string();
        let reason = Some(reason.to_owned());
        let windows = action::held_windows(&state, self.store().as_ref()).map_err(|error| Refusal::from(&error))?;
        let mut facts = vec![Fact::CancelRequested { by, at: now }];
        facts.extend(state.ending(RunStatus::Cancelled, now, reason));
        for fact in &facts {
            state.apply(fact).map_err(|error| Refusal::Conflict(error.to_string()))?;
        }
        let expect = Expect::Version(summary.version);
        summary.follow(&state, Seq::default(), now);
        self.progress(summary, expect, &facts, windows, actor.clone()).await.map(drop)
    }

    pub(crate) async fn progress(
        &self,
        summary: model::run::RunSummary,
        expect: Expect,
        facts: &[Fact],
        windows: Vec<Window>,
        actor: Actor,
    ) -> Result<Seq, Refusal> {
        let payload = record::progressed(summary.id, facts)
            .map_err(|error| Refusal::Invalid { code: "internal", message: error.to_string() })?;
        let (reply, answer) = oneshot::channel();
        let progress = Progress {
            summary,
            expect,
            keep_lease: false,
            payload,
            actor,
            changes: Vec::new(),
            chain: Vec::new(),
            windows,
            marks: Vec::new(),
            unless: Vec::new(),
            failed: Vec::new(),
            delivered: [0; 2],
            reply,
        };
        self.order(Order::Progress(Box::new(progress)), answer).await
    }

    /// Starts a new run that repeats an ended one; the two are linked.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such run, it has not ended, or the wanted text is gone.
    pub async fn retry(
        &self,
        run: RunId,
        from: RetryFrom,
        version: RetryVersion,
        actor: Actor,
    ) -> Result<RunId, Refusal> {
        let Loaded { state, summary, event } = self.loaded(run).await?;
        if !state.status.is_final() {
            return Err(Refusal::Conflict(format!("run {run} has not ended; cancel it first")));
        }
        if from == RetryFrom::Failed && state.status == RunStatus::Succeeded {
            return Err(Refusal::Conflict(format!("no step of run {run} has failed; retry it from the start")));
        }
        let playbook = match version {
            RetryVersion::Same => {
                self.runner().playbook(&summary.playbook, summary.digest).map_err(|error| match error {
                    load::LoadError::Text { .. } => Refusal::Conflict(error.to_string()),
                    error => Refusal::Store(error.to_string()),
                })?
            }
            RetryVersion::Current => {
                let set = self.playbooks();
                let missing = || Refusal::NotFound { what: format!("playbook `{}`", summary.playbook) };
                Arc::clone(set.find(&summary.playbook).ok_or_else(missing)?)
            }
        };
        let carried = if from == RetryFrom::Failed { carried(&state, &playbook) } else { Vec::new() };
        let requester = requester(&actor);
        let start = RunStart {
            digest: playbook.digest,
            retry_of: Some(run),
            requester,
            carried,
            observed: playbook.control.observe,
            ..state.start.clone()
        };
        let what = json!({ "what": "retried", "run": run });
        let event = self.own_event("run.retried", event.tenant.clone(), what, actor);
        let (reply, answer) = oneshot::channel();
        self.order(Order::Start(Box::new(Start { event: Arc::new(event), start, reply })), answer).await
    }

    /// Reads a run with its history.
    ///
    /// # Errors
    /// [`Refusal`] when there is none or it cannot be read.
    pub async fn loaded(&self, run: RunId) -> Result<Loaded, Refusal> {
        let store = Arc::clone(self.store());
        blocking(move || load::load(store.as_ref(), run)).await?.map_err(|error| match error {
            load::LoadError::NoSuchRun(run) => Refusal::NotFound { what: format!("run `{run}`") },
            load::LoadError::Gone(_) => Refusal::NotFound { what: format!("history of run `{run}` any more") },
            other => Refusal::Store(other.to_string()),
        })
    }

    async fn must_exist(&self, object: &ObjectKey) -> Result<(), Refusal> {
        let (store, key) = (Arc::clone(self.store()), object.clone());
        let found = blocking(move || store.object(&key)).await?.map_err(|error| Refusal::from(&error))?;
        let what = || format!("{} `{}`", object.kind, object.id);
        found.map(drop).ok_or_else(|| Refusal::NotFound { what: what() })
    }

    /// Starts a run without a trigger.
    async fn begin(
        &self,
        playbook: &Playbook,
        about: About,
        (what, inputs): (Value, Record),
        actor: Actor,
    ) -> Result<RunId, Refusal> {
        let mut trigger = Record::new();
        trigger.insert("kind".to_owned(), Value::from("manual"));
        let requester = requester(&actor);
        let event = self.own_event("run.requested", about.tenant.clone(), what, actor);
        let start = RunStart {
            id: RunId { seq: Seq::default(), n: 0, tag: 0 },
            playbook: playbook.id.to_string(),
            digest: playbook.digest,
            trigger,
            tenant: about.tenant,
            event: about.event.unwrap_or(EventId { seq: Seq::default(), tag: 0 }),
            alert: about.alert,
            case: about.case,
            entity: about.entity,
            chain: Vec::new(),
            inputs,
            retry_of: None,
            requester,
            caller: None,
            carried: Vec::new(),
            gate: None,
            observed: playbook.control.observe,
        };
        let (reply, answer) = oneshot::channel();
        self.order(Order::Start(Box::new(Start { event: Arc::new(event), start, reply })), answer).await
    }

    fn own_event(&self, kind: &str, tenant: String, data: Value, actor: Actor) -> Event {
        let now: Time = self.store().now();
        Event {
            source: OURS.to_owned(),
            kind: kind.to_owned(),
            own_id: None,
            time: now,
            received: now,
            tenant,
            actor,
            subject: None,
            from: None,
            data,
            replay: None,
            chain: Vec::new(),
            warnings: Vec::new(),
            first_sight_creates: false,
        }
    }
}

/// The id of the playbook behind a sending by hand.
pub const SEND_BY_HAND: &str = "sent-by-hand";

/// The person that an actor is, if he is one.
fn requester(actor: &Actor) -> Option<String> {
    match actor {
        Actor::Token(name) | Actor::User(name) => Some(name.clone()),
        Actor::Source(_) | Actor::Run { .. } | Actor::System => None,
    }
}

/// What a run is about.
#[derive(Debug, Clone, Default)]
struct About {
    tenant: String,
    alert: Option<String>,
    case: Option<String>,
    entity: Option<String>,
    event: Option<EventId>,
}

fn object_ids(key: &ObjectKey) -> About {
    let mut about = About { tenant: key.tenant.clone(), ..About::default() };
    match key.kind {
        Kind::Alert => about.alert = Some(key.id.clone()),
        Kind::Case => about.case = Some(key.id.clone()),
        Kind::Entity => about.entity = Some(key.id.clone()),
    }
    about
}

/// Runs what blocks where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Stopping)
}
