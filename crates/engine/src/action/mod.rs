//! Actions: what steps do. One file for each verb, one line in [`actions`].
//!
//! An action gets a [`Call`] and answers with an [`Outcome`]; it records nothing itself. Network actions send through the
//! one [`Effects`]; local ones answer the changes they want, which the writer makes an event and commits together
//! with the outcome.
//!
//! Invariants: an action never panics, never waits without a bound, and what it answers holds no secret.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::record::Vocabulary;
use model::run::{Attempt, Redacted, RunStart, StepError, StepState};
use model::{Input, Object, ObjectKey, RunId, Time};
use playbook::{ActionSpec, Effect, Evaluator, Retry, Scope, Template};
use serde_json::Value;

pub use crate::change::{If, LocalChange};
use crate::outbound::commitment::Place;
use crate::outbound::gate::Gates;
use crate::outbound::secret::Secret;
use crate::outbound::{Answers, Destinations, Effects, Origin, Secrets};
use crate::refusal::Refusal;
pub(crate) use send::held_windows;

mod assign;
mod close;
mod comment;
mod create_from_alert;
#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod effects_tests;
mod email_send;
mod http_request;
#[cfg(test)]
mod http_request_tests;
mod lists;
mod local;
#[cfg(test)]
mod local_tests;
mod log;
mod parts;
mod render;
mod reopen;
mod send;
#[cfg(test)]
mod send_tests;
mod set_priority;
mod set_queue;
mod set_stage;
mod subject;
mod summary;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod testing;
mod webhook_send;
mod webhook_send_threat_details;

/// The actions, in the order of the documentation. A new action is one file and one line here.
static ACTIONS: &[&dyn Action] = &[
    &webhook_send_threat_details::SendThreatDetails,
    &webhook_send::Send,
    &http_request::HttpRequest,
    &email_send::EmailSend,
    &set_stage::CASE_SET_STAGE,
    &set_priority::CASE_SET_PRIORITY,
    &set_queue::CASE_SET_QUEUE,
    &assign::CASE_ASSIGN,
    &lists::CASE_ADD_TAGS,
    &lists::CASE_REMOVE_TAGS,
    &lists::CASE_ADD_USE_CASES,
    &lists::CASE_REMOVE_USE_CASES,
    &comment::CASE_COMMENT,
    &close::CASE_CLOSE,
    &reopen::CASE_REOPEN,
    &create_from_alert::CASE_CREATE_FROM_ALERT,
    &set_priority::ALERT_SET_PRIORITY,
    &lists::ALERT_ADD_TAGS,
    &lists::ALERT_REMOVE_TAGS,
    &lists::ALERT_ADD_USE_CASES,
    &lists::ALERT_REMOVE_USE_CASES,
    &comment::ALERT_COMMENT,
    &log::Log,
];

/// All actions.
pub fn actions() -> &'static [&'static dyn Action] {
    ACTIONS
}

/// The action of this id.
pub fn find(id: &str) -> Option<&'static dyn Action> {
    ACTIONS.iter().find(|action| action.spec().id == id).copied()
}

/// One verb.
#[async_trait::async_trait]
pub trait Action: Send + Sync {
    /// What is known about it.
    fn spec(&self) -> &'static ActionSpec;

    /// What happens when a step with these parameters is done twice.
    fn effect(&self, with: &BTreeMap<String, Template>) -> Effect {
        let _ = with;
        self.spec().effect
    }

    /// Does it once: one try, or for several destinations one try each.
    async fn run(&self, call: Call<'_>) -> Outcome;
}

/// Reads the state of alerts, cases and entities.
pub trait Objects: Send + Sync {
    /// An object's state.
    ///
    /// # Errors
    /// [`store::Error`] when the store fails.
    fn object(&self, key: &ObjectKey) -> Result<Option<Object>, store::Error>;

    /// How many runs before this one still have, or are about to have, a delivery to this destination under way: at least
    /// one when there is any.
    ///
    /// # Errors
    /// [`store::Error`] when the store fails.
    fn ahead(&self, destination: &str, run: RunId) -> Result<usize, store::Error>;
}

/// Claims windows durably.
#[async_trait::async_trait]
pub trait Windows: Send + Sync {
    /// Claims a window until a time for `by`, an idempotency key. `true` when it was free, and when the same `by` had
    /// claimed it before: a delivery whose try was lost in a crash must not be held back by its own claim. (Keep a second
    /// window, `{window} by {by}`, in the same commit, and look there when the first is taken.) When this returns
    /// `Ok(true)` it is on disk.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded.
    async fn claim(&self, window: &str, by: &str, until: Time) -> Result<bool, Refusal>;
}

/// What all calls share. Cheap to keep behind an `Arc`.
pub struct Context {
    /// Evaluates templates.
    pub evaluator: Evaluator,
    /// What may be done to the outside.
    pub effects: Effects,
    /// The secrets.
    pub secrets: Secrets,
    /// The destinations, swapped as a whole when the file changes.
    pub destinations: RwLock<Arc<Destinations>>,
    /// What holds requests to each of them back.
    pub gates: Gates,
    /// The stages and close reasons.
    pub words: Vocabulary,
    /// The queues and their members; none when they are not configured.
    pub queues: BTreeMap<String, Vec<String>>,
    /// Where people reach our pages, for links.
    pub public_url: Option<String>,
    /// The state of alerts, cases and entities.
    pub objects: Arc<dyn Objects>,
    /// Durable windows.
    pub windows: Arc<dyn Windows>,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Time + Send + Sync>,
}

impl Context {
    /// The destinations as they are now.
    pub fn destinations(&self) -> Arc<Destinations> {
        self.destinations.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same for a rehearsal: what would be sent is recorded and answered by `answers`, references stand in for secrets,
    /// and `windows` are claimed instead of the real ones.
    pub fn rehearsing(&self, answers: Box<dyn Answers>, windows: Arc<dyn Windows>) -> Context {
        Context {
            evaluator: self.evaluator.clone(),
            effects: self.effects.rehearsed(answers),
            secrets: Secrets::stand_ins(),
            destinations: RwLock::new(self.destinations()),
            gates: Gates::default(),
            words: self.words.clone(),
            queues: self.queues.clone(),
            public_url: self.public_url.clone(),
            objects: Arc::clone(&self.objects),
            windows,
            clock: Arc::clone(&self.clock),
        }
    }

    /// Puts other destinations in their place.
    pub fn set_destinations(&self, destinations: Destinations) {
        *self.destinations.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(destinations);
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("effects", &self.effects).finish_non_exhaustive()
    }
}

/// What one call of an action gets.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The run.
    pub start: &'a RunStart,
    /// The step's path.
    pub path: &'a str,
    /// Its parameters.
    pub with: &'a BTreeMap<String, Template>,
    /// What names mean.
    pub scope: &'a Scope,
    /// The earlier tries of this step.
    pub state: Option<&'a StepState>,
    /// How often it is tried again, when the step says.
    pub retry: Option<&'a Retry>,
    /// How long one try may take, when the step says.
    pub timeout: Option<Duration>,
    /// The secrets that the playbook declares.
    pub secrets: &'a [String],
    /// What time it is.
    pub now: Time,
    /// A random number.
    pub random: u64,
    /// What all calls share.
    pub ctx: &'a Context,
}

impl Call<'_> {
    /// Who asks for what this call sends.
    pub fn origin(&self) -> Origin {
        let playbook = self.start.playbook.clone();
        Origin { run: Some(self.start.id), playbook, step: self.path.to_owned(), destination: None }
    }

    /// What the secrets leave that were placed in a try of this call.
    fn committed(&self, destination: Option<&str>, n: u32, placed: &[(String, Secret)]) -> Vec<Redacted> {
        let place = Place { run: self.start.id, path: self.path, destination, n };
        self.ctx.secrets.commitments().of(place, placed)
    }
}

/// What one call of an action did.
#[derive(Debug)]
pub struct Outcome {
    /// The rendered parameters as they are recorded: secrets as `${secret:NAME}`.
    pub input: Input,
    /// The tries that were made now.
    pub attempts: Vec<Attempt>,
    /// How the step stands.
    pub result: StepResult,
    /// What it changes here: the writer makes each an event whose id is the step's idempotency key, computes lists against
    /// the state of that moment (`add`, `remove`), and commits them together with the outcome. All of them or none.
    pub changes: Vec<LocalChange>,
    /// Windows to release.
    pub windows: Vec<store::Window>,
}

impl Outcome {
    /// An outcome without tries, changes and windows.
    pub fn plain(input: impl Into<Input>, result: StepResult) -> Outcome {
        Outcome { input: input.into(), attempts: Vec::new(), result, changes: Vec::new(), windows: Vec::new() }
    }
}

/// How a step stands after a call.
#[derive(Debug, Clone, PartialEq)]
pub enum StepResult {
    /// It did what it should.
    Done {
        /// What it answers.
        output: Value,
    },
    /// There was nothing to do, and that is right so.
    Skipped {
        /// What it answers.
        output: Value,
        /// Why.
        reason: String,
    },
    /// It is tried again.
    Retry {
        /// Not before this time.
        at: Time,
    },
    /// It failed for good.
    Failed(StepError),
    /// It took too long, for good.
    TimedOut(StepError),
    /// It must not be repeated, and whether it happened is not known: a person must look.
    Unknown(StepError),
    /// No try was made (too many requests to the same place are in flight, or no time has come): ask again.
    Busy {
        /// Not before this time.
        at: Time,
    },
}

/// The key that stays the same over all tries of a step: `RUN/PATH/DESTINATION`, without the last where there is none.
pub fn idempotency_key(run: RunId, path: &str, destination: &str) -> String {
    if destination.is_empty() { format!("{run}/{path}") } else { format!("{run}/{path}/{destination}") }
}

/// The name of the window that tells who claimed another.
pub(crate) fn claimed_by(window: &str, by: &str) -> String {
    format!("{window} by {by}")
}
