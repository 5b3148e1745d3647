//! A run: the facts that its history records, the state that they fold to, and the transitions that are legal.
//!
//! A run's status is never set. [`RunState::apply`] is the only way its state changes, live and after a crash alike;
//! a fact that does not fit the state is an error, not a shrug.
//!
//! Length: the legal transitions are one table, and the fold that they guard stands below it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::ChainLink;
use crate::id::{Digest, EventId, ObjectKey, RunId, Seq};
use crate::input::Input;
use crate::record::Record;
use crate::time::Time;

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Created, not started.
    Queued,
    /// At work.
    Running,
    /// Waiting for a time, a retry or a person.
    Waiting,
    /// Every step did what it should.
    Succeeded,
    /// It went through, but a fallback or `continue` was used.
    SucceededWithWarnings,
    /// A step failed and nothing caught it.
    Failed,
    /// It took longer than its `timeout`.
    TimedOut,
    /// A person stopped it.
    Cancelled,
    /// The outcome of a step that must not be repeated is unknown: a person must look.
    NeedsAttention,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [RunStatus; 9] = [
        RunStatus::Queued,
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Succeeded,
        RunStatus::SucceededWithWarnings,
        RunStatus::Failed,
        RunStatus::TimedOut,
        RunStatus::Cancelled,
        RunStatus::NeedsAttention,
    ];

    /// Whether nothing more happens by itself.
    pub const fn is_final(self) -> bool {
        !matches!(self, RunStatus::Queued | RunStatus::Running | RunStatus::Waiting)
    }

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            RunStatus::Queued => "queued",
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Succeeded => "succeeded",
            RunStatus::SucceededWithWarnings => "succeeded_with_warnings",
            RunStatus::Failed => "failed",
            RunStatus::TimedOut => "timed_out",
            RunStatus::Cancelled => "cancelled",
            RunStatus::NeedsAttention => "needs_attention",
        }
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<RunStatus> {
        RunStatus::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// The status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// At work, or about to be.
    Running,
    /// A try failed; the next one has a time.
    Retrying,
    /// It did what it should.
    Succeeded,
    /// It failed for good.
    Failed,
    /// Its `if` said no, or there was nothing to do.
    Skipped,
    /// It took longer than its `timeout`.
    TimedOut,
    /// The run was stopped while it was at work.
    Cancelled,
    /// It must not be repeated and its outcome is unknown.
    NeedsAttention,
}

impl StepStatus {
    /// Whether nothing more happens to the step.
    pub const fn is_final(self) -> bool {
        !matches!(self, StepStatus::Running | StepStatus::Retrying)
    }

    /// Whether it counts as a failure of the step.
    pub const fn is_failure(self) -> bool {
        matches!(self, StepStatus::Failed | StepStatus::TimedOut)
    }

    /// The name in the API and in conditions.
    pub const fn name(self) -> &'static str {
        match self {
            StepStatus::Running => "running",
            StepStatus::Retrying => "retrying",
            StepStatus::Succeeded => "succeeded",
            StepStatus::Failed => "failed",
            StepStatus::Skipped => "skipped",
            StepStatus::TimedOut => "timed_out",
            StepStatus::Cancelled => "cancelled",
            StepStatus::NeedsAttention => "needs_attention",
        }
    }
}

/// Why a step failed, in a form that survives a restart and leads an auditor to the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// The kind of error, such as `http_status`, `timeout`, `blocked_address`, `no_case`, `template`.
    pub code: String,
    /// The error, for people; never a secret.
    pub message: String,
    /// The line of the playbook, from 1, and the column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<(u32, u32)>,
}

/// How one try of an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// It did what it should.
    Succeeded,
    /// It failed and is tried again.
    Retry {
        /// Not before this time.
        at: Time,
    },
    /// No try was made: all that leaves is paused. It is made when the pause ends.
    Held,
    /// It failed for good.
    Failed,
    /// It was not sent, and that is right so (see the reason: `deduplicated`, `below_severity`, `disabled`, `kind`, `tenant`).
    Suppressed {
        /// Why not.
        reason: String,
    },
}

/// One try of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1, for this step and destination.
    pub n: u32,
    /// The destination, where the action sends to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// When it started.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Time,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: AttemptOutcome,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The captured beginning of the answer, its whole length and digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The beginning of the body, as text, with secrets taken out.
    pub body: String,
    /// How long the body was as far as it was read, in bytes.
    pub bytes: u64,
    /// Whether it was longer than what is kept.
    pub truncated: bool,
}

/// One fact of a run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The run left the queue.
    Started {
        /// When.
        at: Time,
    },
    /// A step is about to act; recorded first where a repeat would hurt.
    StepStarted {
        /// Which step.
        path: String,
        /// The action's id.
        action: String,
        /// When.
        at: Time,
        /// The rendered parameters, secrets as references; nothing when they are not rendered yet, or known already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Input>,
        /// Whether the action must not be repeated.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        once: bool,
    },
    /// A try ended.
    Attempted {
        /// Which step.
        path: String,
        /// The try.
        attempt: Attempt,
    },
    /// A step ended.
    StepEnded {
        /// Which step.
        path: String,
        /// The action's id, or the kind of block.
        action: String,
        /// How.
        status: StepStatus,
        /// When.
        at: Time,
        /// What it answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<StepError>,
        /// Whether a failure was taken by `on_error`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        handled: bool,
    },
    /// A person asked to stop the run; nothing starts after this.
    CancelRequested {
        /// Who.
        by: String,
        /// When.
        at: Time,
    },
    /// A failed delivery was sent again by a person. Changes the delivery, never the run's status.
    Redelivered {
        /// Which step.
        path: String,
        /// Who.
        by: String,
        /// The try.
        attempt: Attempt,
    },
    /// The run ended.
    Ended {
        /// How.
        status: RunStatus,
        /// When.
        at: Time,
        /// Why, where the status alone does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// The limit on runs at work at once that a run is under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The runs that count together: playbook, tenant and key.
    pub group: String,
    /// How many of them may be open at once for this one to go on. Those that are older count.
    pub max: u32,
    /// Whether the oldest are cancelled to make room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evicts: bool,
}

/// What is known when a run is started; part of the entry that starts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStart {
    /// Which run.
    pub id: RunId,
    /// The playbook's id.
    pub playbook: String,
    /// The digest of the playbook's text, to which the run is pinned.
    pub digest: Digest,
    /// The trigger that fitted, with the fields of [`crate::record::TRIGGER`].
    pub trigger: Record,
    /// Whose it is.
    pub tenant: String,
    /// The event that started it.
    pub event: EventId,
    /// The alert it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The case it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The entity it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The runs behind it, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ChainLink>,
    /// Values given by hand.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub inputs: Record,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// What is taken over from that run when it is repeated from its failed step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<Fact>,
    /// The limit that it is under, by its playbook's `concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

impl RunStart {
    /// The object of this kind that the run is about.
    pub fn object(&self, kind: crate::record::Kind) -> Option<ObjectKey> {
        use crate::record::Kind;
        let id = match kind {
            Kind::Alert => &self.alert,
            Kind::Case => &self.case,
            Kind::Entity => &self.entity,
        };
        id.as_ref().map(|id| ObjectKey { tenant: self.tenant.clone(), kind, id: id.clone() })
    }
}

/// The state of a step, folded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepState {
    /// The action's id, or the kind of block.
    pub action: String,
    /// How it stands.
    pub status: StepStatus,
    /// Its tries.
    pub attempts: Vec<Attempt>,
    /// The rendered parameters; shared with the fact that tells them.
    pub input: Option<Input>,
    /// What it answered.
    pub output: Option<Value>,
    /// What went wrong.
    pub error: Option<StepError>,
    /// When it started.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Whether it must not be repeated.
    pub once: bool,
    /// Whether its failure was taken by `on_error`.
    pub handled: bool,
}

impl StepState {
    /// Whether it must not be repeated, was begun, and nothing says how that ended.
    pub fn outcome_unknown(&self) -> bool {
        self.once && self.status == StepStatus::Running
    }
}

/// The state of a run, folded from its facts.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// What is known since its start.
    pub start: RunStart,
    /// The status that follows from the facts.
    pub status: RunStatus,
    /// When it left the queue.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Why it ended as it did, where the status alone does not say.
    pub reason: Option<String>,
    /// Who asked to stop it.
    pub cancel: Option<String>,
    /// Its steps by path.
    pub steps: BTreeMap<String, StepState>,
    /// The paths in the order in which the steps started.
    pub order: Vec<String>,
    /// How many facts were applied.
    pub version: u32,
}

/// A fact that does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The run has ended; nothing comes after.
    #[error("run {run} has already ended as {}", status.name())]
    AlreadyEnded {
        /// Which run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// The step has ended; nothing comes after.
    #[error("step `{path}` of run {run} has already ended")]
    StepAlreadyEnded {
        /// Which run.
        run: RunId,
        /// Which step.
        path: String,
    },
    /// The fact is about a step that never started.
    #[error("step `{path}` of run {run} has not started")]
    NoSuchStep {
        /// Which run.
        run: RunId,
        /// Which step.
        path: String,
    },
    /// A run cannot end with a status that is not final.
    #[error("run {run} cannot end as {}", status.name())]
    NotAnEnd {
        /// Which run.
        run: RunId,
        /// The status.
        status: RunStatus,
    },
    /// A run cannot start twice.
    #[error("run {run} has already started")]
    AlreadyStarted {
        /// Which run.
        run: RunId,
    },
}

impl RunState {
    /// A run that has just been created.
    ///
    /// # Errors
    /// [`RunError`] when what it takes over from another run does not fit together.
    pub fn new(start: RunStart) -> Result<RunState, RunError> {
        let carried = start.carried.clone();
        let mut state = RunState {
            start,
            status: RunStatus::Queued,
            started_at: None,
            ended_at: None,
            reason: None,
            cancel: None,
            steps: BTreeMap::new(),
            order: Vec::new(),
            version: 0,
        };
        for fact in &carried {
            state.apply(fact)?;
        }
        state.status = RunStatus::Queued;
        Ok(state)
    }

    /// Folds one fact in. What is legal:
    ///
    /// | fact | legal when |
    /// |---|---|
    /// | started | queued |
    /// | step started, step ended | not ended, and the step has not ended |
    /// | attempted | not ended, and the step has started and not ended |
    /// | cancel requested | not ended |
    /// | redelivered | the step exists |
    /// | ended | not ended, with a final status |
    ///
    /// # Errors
    /// [`RunError`] when the fact is not legal; the state is then unchanged.
    pub fn apply(&mut self, fact: &Fact) -> Result<(), RunError> {
        let run = self.start.id;
        if self.status.is_final() && !matches!(fact, Fact::Redelivered { .. }) {
            return Err(RunError::AlreadyEnded { run, status: self.status });
        }
        match fact {
            Fact::Started { at } => {
                if self.started_at.is_some() {
                    return Err(RunError::AlreadyStarted { run });
                }
                self.started_at = Some(*at);
                self.status = RunStatus::Running;
            }
            Fact::StepStarted { path, action, at, input, once } => {
                let step = self.open_step(path, action, *at)?;
                if input.is_some() {
                    step.input.clone_from(input);
                }
                step.once = *once;
                step.status = StepStatus::Running;
                self.status = RunStatus::Running;
            }
            Fact::Attempted { path, attempt } => {
                let step = self.step_mut(path)?;
                if step.status.is_final() {
                    return Err(RunError::StepAlreadyEnded { run, path: path.clone() });
                }
                step.attempts.push(attempt.clone());
                if let AttemptOutcome::Retry { .. } | AttemptOutcome::Held = attempt.outcome {
                    step.status = StepStatus::Retrying;
                    self.status = RunStatus::Waiting;
                }
            }
            Fact::StepEnded { path, action, status, at, output, error, handled } => {
                let step = self.open_step(path, action, *at)?;
                step.status = *status;
                step.output.clone_from(output);
                step.error.clone_from(error);
                step.ended_at = Some(*at);
                step.handled = *handled;
                if self.started_at.is_some() {
                    self.status = RunStatus::Running;
                }
            }
            Fact::CancelRequested { by, .. } => self.cancel = Some(by.clone()),
            Fact::Redelivered { path, attempt, .. } => self.step_mut(path)?.attempts.push(attempt.clone()),
            Fact::Ended { status, at, reason } => {
                if !status.is_final() {
                    return Err(RunError::NotAnEnd { run, status: *status });
                }
                self.status = *status;
                self.ended_at = Some(*at);
                self.reason.clone_from(reason);
            }
        }
        self.version += 1;
        Ok(())
    }

    /// The facts that end the run now: what is still open of its steps ends with it, so that nothing is left that looks
    /// as if it were at work.
    pub fn ending(&self, status: RunStatus, at: Time, reason: Option<String>) -> Vec<Fact> {
        let open = self.order.iter().filter_map(|path| Some((path, self.steps.get(path)?)));
        let mut facts: Vec<Fact> = open
            .filter(|(_, step)| !step.status.is_final())
            .map(|(path, step)| {
                let (status, code, message) = match status {
                    _ if step.outcome_unknown() => (
                        StepStatus::NeedsAttention,
                        "unknown_outcome",
                        "it was begun, and whether it happened is not known",
                    ),
                    RunStatus::TimedOut => (StepStatus::TimedOut, "timeout", "the run took longer than its timeout"),
                    RunStatus::Cancelled => (StepStatus::Cancelled, "cancelled", "the run was cancelled"),
                    _ => (StepStatus::Failed, "run_ended", "the run ended before it did"),
                };
                let error = Some(StepError { code: code.to_owned(), message: message.to_owned(), at: None });
                let (path, action) = (path.clone(), step.action.clone());
                Fact::StepEnded { path, action, status, at, output: None, error, handled: false }
            })
            .collect();
        facts.push(Fact::Ended { status, at, reason });
        facts
    }

    fn step_mut(&mut self, path: &str) -> Result<&mut StepState, RunError> {
        let run = self.start.id;
        self.steps.get_mut(path).ok_or_else(|| RunError::NoSuchStep { run, path: path.to_owned() })
    }

    fn open_step(&mut self, path: &str, action: &str, at: Time) -> Result<&mut StepState, RunError> {
        let run = self.start.id;
        if !self.steps.contains_key(path) {
            self.order.push(path.to_owned());
        }
        let step = self.steps.entry(path.to_owned()).or_insert_with(|| StepState {
            action: action.to_owned(),
            status: StepStatus::Running,
            attempts: Vec::new(),
            input: None,
            output: None,
            error: None,
            started_at: at,
            ended_at: None,
            once: false,
            handled: false,
        });
        if step.status.is_final() {
            return Err(RunError::StepAlreadyEnded { run, path: path.to_owned() });
        }
        Ok(step)
    }

    /// The deliveries of the run, in the order in which they were first tried. One that waits for another try has failed
    /// once its step has ended: nobody tries it any more.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let mut all: Vec<Delivery> = Vec::new();
        for path in &self.order {
            let Some(step) = self.steps.get(path) else { continue };
            for attempt in &step.attempts {
                let Some(destination) = &attempt.destination else { continue };
                let known = all.iter_mut().find(|d| d.path == *path && d.destination == *destination);
                match known {
                    Some(delivery) => delivery.take(attempt),
                    None => all.push(Delivery::first(path, destination, attempt)),
                }
            }
            if step.status.is_final() {
                let open = |status| matches!(status, DeliveryStatus::Retrying | DeliveryStatus::Queued);
                for delivery in all.iter_mut().filter(|d| d.path == *path && open(d.status)) {
                    delivery.status = DeliveryStatus::Failed;
                    delivery.next_at = None;
                }
            }
        }
        all
    }
}

/// The status of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Not tried yet.
    Queued,
    /// A try failed; the next one has a time.
    Retrying,
    /// The receiver took it.
    Delivered,
    /// It ran out of tries, or must not be tried again.
    Failed,
    /// It was not sent, and that is right so.
    Suppressed,
}

impl DeliveryStatus {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            DeliveryStatus::Queued => "queued",
            DeliveryStatus::Retrying => "retrying",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Failed => "failed",
            DeliveryStatus::Suppressed => "suppressed",
        }
    }
}

/// Why a delivery is queued.
const PAUSED: &str = "paused";

/// One payload for one destination, as it stands in the run's summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The step that sends it.
    pub path: String,
    /// Where to.
    pub destination: String,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Why it was suppressed, or is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// The status of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// When the last try ended.
    pub last_at: Time,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
}

impl Delivery {
    fn first(path: &str, destination: &str, attempt: &Attempt) -> Delivery {
        let mut delivery = Delivery {
            path: path.to_owned(),
            destination: destination.to_owned(),
            status: DeliveryStatus::Queued,
            reason: None,
            attempts: 0,
            http_status: None,
            last_at: attempt.ended_at,
            next_at: None,
        };
        delivery.take(attempt);
        delivery
    }

    fn take(&mut self, attempt: &Attempt) {
        self.next_at = None;
        self.reason = None;
        self.last_at = attempt.ended_at;
        self.http_status = attempt.http_status;
        self.attempts += 1;
        self.status = match &attempt.outcome {
            AttemptOutcome::Succeeded => DeliveryStatus::Delivered,
            AttemptOutcome::Failed => DeliveryStatus::Failed,
            AttemptOutcome::Retry { at } => {
                self.next_at = Some(*at);
                DeliveryStatus::Retrying
            }
            AttemptOutcome::Held => {
                self.reason = Some(PAUSED.to_owned());
                self.attempts -= 1;
                DeliveryStatus::Queued
            }
            AttemptOutcome::Suppressed { reason } => {
                self.reason = Some(reason.clone());
                self.attempts -= 1;
                DeliveryStatus::Suppressed
            }
        };
    }
}

/// What listings show of a run, and where its history lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Which run.
    pub id: RunId,
    /// The playbook's id.
    pub playbook: String,
    /// The digest of its text.
    pub digest: Digest,
    /// Whose it is.
    pub tenant: String,
    /// The kind of trigger, such as `case.stage_changed`.
    pub trigger: String,
    /// The event that started it.
    pub event: EventId,
    /// The alert it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The case it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// How it stands.
    pub status: RunStatus,
    /// When it was created.
    pub created_at: Time,
    /// When it left the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Why it ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// When there is something to do; meaningful while it is open.
    pub due_at: Time,
    /// How many times it was written; a writer that expects another number is stale.
    pub version: u32,
    /// The entries of its history.
    pub entries: Vec<Seq>,
    /// Its deliveries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
    /// The limit that it is under: it is not due while as many older runs of its group are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

impl RunSummary {
    /// The summary of a run that `start` creates at `now`.
    pub fn new(start: &RunStart, now: Time) -> RunSummary {
        let trigger = start.trigger.get("kind").and_then(Value::as_str).unwrap_or("manual").to_owned();
        RunSummary {
            id: start.id,
            playbook: start.playbook.clone(),
            digest: start.digest,
            tenant: start.tenant.clone(),
            trigger,
            event: start.event,
            alert: start.alert.clone(),
            case: start.case.clone(),
            status: RunStatus::Queued,
            created_at: now,
            started_at: None,
            ended_at: None,
            reason: None,
            retry_of: start.retry_of,
            due_at: now,
            version: 0,
            entries: vec![start.id.seq],
            deliveries: Vec::new(),
            gate: start.gate.clone(),
        }
    }

    /// Brings the summary up to the state after an entry; `due_at` is when there is something to do next.
    pub fn follow(&mut self, state: &RunState, entry: Seq, due_at: Time) {
        self.status = state.status;
        self.started_at = state.started_at;
        self.ended_at = state.ended_at;
        self.reason.clone_from(&state.reason);
        self.due_at = due_at;
        self.version += 1;
        self.entries.push(entry);
        self.deliveries = state.deliveries();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> RunState {
        RunState::new(RunStart {
            id: RunId { seq: Seq(1), n: 0, tag: 7 },
            playbook: "p".into(),
            digest: Digest::of(b"p"),
            trigger: Record::new(),
            tenant: "default".into(),
            event: EventId { seq: Seq(1), tag: 7 },
            alert: None,
            case: None,
            entity: None,
            chain: Vec::new(),
            inputs: Record::new(),
            retry_of: None,
            carried: Vec::new(),
            gate: None,
        })
        .unwrap()
    }

    fn attempt(n: u32, destination: &str, outcome: AttemptOutcome) -> Fact {
        Fact::Attempted {
            path: "send".into(),
            attempt: Attempt {
                n,
                destination: Some(destination.into()),
                started_at: Time::from_millis(1),
                ended_at: Time::from_millis(2),
                outcome,
                http_status: None,
                answer: None,
                error: None,
            },
        }
    }

    fn started() -> Fact {
        Fact::StepStarted {
            path: "send".into(),
            action: "webhook.send".into(),
            at: Time::EPOCH,
            input: None,
            once: false,
        }
    }

    fn ended(status: RunStatus) -> Fact {
        Fact::Ended { status, at: Time::EPOCH, reason: None }
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let mut run = state();
        run.apply(&Fact::Started { at: Time::EPOCH }).unwrap();
        run.apply(&ended(RunStatus::Succeeded)).unwrap();
        for fact in [started(), ended(RunStatus::Failed), Fact::Started { at: Time::EPOCH }] {
            assert!(matches!(run.apply(&fact), Err(RunError::AlreadyEnded { .. })));
        }
        assert_eq!(run.status, RunStatus::Succeeded);
    }

    #[test]
    fn a_run_cannot_end_as_running() {
        let mut run = state();
        assert!(matches!(run.apply(&ended(RunStatus::Waiting)), Err(RunError::NotAnEnd { .. })));
    }

    #[test]
    fn deliveries_follow_their_attempts() {
        let mut run = state();
        run.apply(&Fact::Started { at: Time::EPOCH }).unwrap();
        run.apply(&started()).unwrap();
        run.apply(&attempt(1, "desk", AttemptOutcome::Retry { at: Time::from_millis(9) })).unwrap();
        run.apply(&attempt(1, "siem", AttemptOutcome::Suppressed { reason: "disabled".into() })).unwrap();
        assert_eq!(run.status, RunStatus::Waiting);
        run.apply(&attempt(2, "desk", AttemptOutcome::Succeeded)).unwrap();
        let all: Vec<_> = run.deliveries().into_iter().map(|d| (d.destination, d.status, d.attempts)).collect();
        assert_eq!(
            all,
            [("desk".to_owned(), DeliveryStatus::Delivered, 2), ("siem".to_owned(), DeliveryStatus::Suppressed, 0)]
        );
    }

    #[test]
    fn what_is_open_of_a_run_ends_with_it_and_its_delivery_has_failed() {
        let mut run = state();
        run.apply(&Fact::Started { at: Time::EPOCH }).unwrap();
        run.apply(&started()).unwrap();
        run.apply(&attempt(1, "desk", AttemptOutcome::Retry { at: Time::from_millis(9) })).unwrap();
        for fact in run.ending(RunStatus::Cancelled, Time::from_millis(5), None) {
            run.apply(&fact).unwrap();
        }
        assert_eq!((run.status, run.steps["send"].status), (RunStatus::Cancelled, StepStatus::Cancelled));
        let delivery = &run.deliveries()[0];
        assert_eq!((delivery.status, delivery.next_at), (DeliveryStatus::Failed, None));
    }

    #[test]
    fn a_step_that_must_not_be_repeated_needs_attention_however_its_run_ends() {
        for status in [RunStatus::Cancelled, RunStatus::TimedOut, RunStatus::Failed, RunStatus::NeedsAttention] {
            let mut run = state();
            run.apply(&Fact::Started { at: Time::EPOCH }).unwrap();
            let Fact::StepStarted { path, action, at, input, .. } = started() else { panic!("a start") };
            run.apply(&Fact::StepStarted { path, action, at, input, once: true }).unwrap();
            for fact in run.ending(status, Time::from_millis(5), None) {
                run.apply(&fact).unwrap();
            }
            assert_eq!((run.status, run.steps["send"].status), (status, StepStatus::NeedsAttention));
        }
    }

    #[test]
    fn what_was_rendered_once_stays_when_a_step_begins_again() {
        let mut run = state();
        let first = Input::from(Value::from("the body"));
        let begin = |input: Option<Input>| Fact::StepStarted {
            path: "send".into(),
            action: "webhook.send".into(),
            at: Time::EPOCH,
            input,
            once: false,
        };
        run.apply(&begin(Some(first.clone()))).unwrap();
        run.apply(&begin(None)).unwrap();
        assert_eq!(run.steps["send"].input, Some(first));
    }

    #[test]
    fn an_attempt_of_a_step_that_never_started_is_an_error() {
        let mut run = state();
        let error = run.apply(&attempt(1, "desk", AttemptOutcome::Succeeded)).unwrap_err();
        assert!(matches!(error, RunError::NoSuchStep { .. }));
        assert_eq!(run, state());
    }
}
