//! The state of a run, folded from its facts, and the transitions that are legal.
//!
//! Invariants: folding a fact costs nothing that grows with the number of steps and facts before it; the status of a run
//! follows from the steps that act and those that rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::delivery::{Deliveries, Delivery, DeliveryStatus};
use super::fact::{Attempt, AttemptOutcome, Fact, RunStart, StepError, Wait, WaitOn};
use super::rounds::{RoundEnd, Rounds};
use super::status::{RunStatus, StepStatus};
use super::summary::Awaited;
use crate::id::RunId;
use crate::input::Input;
use crate::limits;
use crate::record::Record;
use crate::time::Time;

/// The kinds of block whose work is that of the steps in them.
pub const BLOCKS: [&str; 5] = ["for_each", "parallel", "switch", "repeat", "try"];
/// The kind of step that gives names to values for the rest of the run.
pub const SET: &str = "set";

/// The kind of step that ends the run.
pub const STOP: &str = "stop";

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
    /// Of a block that failed: the path of the step in it that did.
    pub culprit: Option<String>,
    /// What it waits for.
    pub wait: Option<Box<Wait>>,
    /// Of a loop: its rounds.
    pub rounds: Option<Box<Rounds>>,
}

impl StepState {
    /// Whether it must not be repeated, was begun, and nothing says how that ended.
    pub fn outcome_unknown(&self) -> bool {
        self.once && self.status == StepStatus::Running
    }

    /// The items of a `for_each`, as they were when it began.
    pub fn items(&self) -> &[Value] {
        let items = self.input.as_ref().and_then(|input| input.value().get("items"));
        items.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn acts(&self) -> bool {
        self.status == StepStatus::Running && !BLOCKS.contains(&self.action.as_str())
    }

    fn rests(&self) -> bool {
        matches!(self.status, StepStatus::Retrying | StepStatus::Waiting)
    }
}

/// That a run ran out of its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// When that was noticed.
    pub at: Time,
    /// What was over.
    pub reason: String,
    /// The first step that was cut off.
    pub step: Option<String>,
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
    /// What it gives to a caller.
    pub output: Option<Value>,
    /// Who asked to stop it.
    pub cancel: Option<String>,
    /// That its time is over, if it is.
    pub overdue: Option<Overdue>,
    /// How long it has been active: an action of it was at work.
    pub active: Duration,
    /// Its steps by path.
    pub steps: BTreeMap<String, StepState>,
    /// The paths in the order in which the steps started.
    pub order: Vec<String>,
    /// The names that `set` gave to values.
    pub vars: Record,
    /// How many facts were applied.
    pub version: u32,
    /// Up to when its active time is counted.
    active_until: Time,
    deliveries: Deliveries,
    /// The paths of the steps that wait.
    waiting: BTreeSet<String>,
    /// How many steps act.
    acting: u32,
    /// How many steps wait or are tried again.
    resting: u32,
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
    /// The loop has no such round, or it has ended.
    #[error("round {index} of step `{path}` of run {run} has already ended, or cannot be")]
    NoSuchRound {
        /// Which run.
        run: RunId,
        /// Which step.
        path: String,
        /// Which round.
        index: u32,
    },
    /// A run cannot end with a status that is not final.
    #[error("run {run} cannot end as {}", status.name())]
    NotAnEnd {
        /// Which run.
        run: RunId,
        /// The status.
        status: RunStatus,
    },
    /// A run runs out of its time once, and not before it has started.
    #[error("run {run} has not started, or has run out of its time before")]
    NotOverdue {
        /// Which run.
        run: RunId,
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
            output: None,
            cancel: None,
            overdue: None,
            active: Duration::ZERO,
            active_until: Time::EPOCH,
            steps: BTreeMap::new(),
            order: Vec::new(),
            vars: Record::new(),
            version: 0,
            deliveries: Deliveries::default(),
            waiting: BTreeSet::new(),
            acting: 0,
            resting: 0,
        };
        for fact in &carried {
            state.apply(fact)?;
        }
        state.status = RunStatus::Queued;
        (state.active, state.active_until) = (Duration::ZERO, Time::EPOCH);
        Ok(state)
    }

    /// The paths of the steps that wait, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(String::as_str)
    }

    /// What it waits for besides a time.
    pub(super) fn awaited(&self) -> Vec<Awaited> {
        let waits = self.waiting.iter().filter_map(|path| {
            let wait = self.steps.get(path)?.wait.as_deref()?;
            (wait.on != WaitOn::Time).then_some((path, wait))
        });
        let number = |path: &String| self.order.iter().position(|known| known == path);
        let awaited = |(path, wait): (&String, &Wait)| Awaited {
            path: path.clone(),
            index: number(path).and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX),
            wait: wait.clone(),
        };
        waits.map(awaited).collect()
    }

    /// The deliveries of the run, in the order in which they were first tried. One that waits for another try has failed
    /// once its step has ended: nobody tries it any more.
    pub fn deliveries(&self) -> &[Delivery] {
        self.deliveries.all()
    }

    /// The deliveries that failed with these facts, which were the last, with their numbers.
    pub fn failed_by(&self, facts: &[Fact]) -> Vec<(u32, Delivery)> {
        let mut failed: BTreeMap<usize, &Delivery> = BTreeMap::new();
        for fact in facts {
            match fact {
                Fact::Attempted { path, attempt } if attempt.outcome == AttemptOutcome::Failed => {
                    failed.extend(self.deliveries.failed(path, attempt.destination.as_deref()));
                }
                Fact::StepEnded { path, .. } => {
                    let last = |one: &Delivery| {
                        let attempts = self.steps.get(path).map_or(&[][..], |step| &step.attempts);
                        let own =
                            attempts.iter().rev().find(|try_| try_.destination.as_deref() == Some(&one.destination));
                        own.map(|attempt| attempt.outcome.clone())
                    };
                    // Those that failed by a try were told with that.
                    let given_up = |one: &Delivery| last(one).is_some_and(|outcome| outcome != AttemptOutcome::Failed);
                    failed.extend(self.deliveries.failed(path, None).filter(|(_, one)| given_up(one)));
                }
                _ => {}
            }
        }
        failed.into_iter().filter_map(|(at, one)| Some((u32::try_from(at).ok()?, one.clone()))).collect()
    }

    /// How many deliveries were taken, and how many failed.
    pub fn delivered(&self) -> [u64; 2] {
        [DeliveryStatus::Delivered, DeliveryStatus::Failed]
            .map(|status| self.deliveries().iter().filter(|one| one.status == status).count() as u64)
    }

    /// Folds one fact in. What is legal:
    ///
    /// | fact | legal when |
    /// |---|---|
    /// | started | queued |
    /// | step started, waiting, step ended | not ended, and the step has not ended |
    /// | attempted | not ended, and the step has started and not ended |
    /// | round ended | not ended, the loop has started and not ended, and the round has not ended |
    /// | overdue | started, not ended, not overdue |
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
                self.follow_steps();
            }
            Fact::StepStarted { path, action, at, input, once } => self.change(path, Some((action, *at)), |step| {
                if input.is_some() {
                    step.input.clone_from(input);
                }
                step.once = *once;
                step.wait = None;
                step.status = StepStatus::Running;
                true
            })?,
            Fact::Attempted { path, attempt } => {
                self.change(path, None, |step| {
                    step.attempts.push(attempt.clone());
                    if let AttemptOutcome::Retry { .. } | AttemptOutcome::Held = attempt.outcome {
                        step.status = StepStatus::Retrying;
                    }
                    true
                })?;
                self.deliveries.take(path, attempt);
                self.spend(attempt.started_at, attempt.ended_at);
            }
            Fact::Waiting { path, wait, .. } => self.change(path, None, |step| {
                step.status = StepStatus::Waiting;
                step.wait = Some(Box::new(wait.clone()));
                true
            })?,
            Fact::RoundEnded { path, index, end } => self.change(path, None, |step| end_round(step, *index, end))?,
            Fact::StepEnded { .. } => self.end_step(fact)?,
            Fact::Overdue { at, reason, step } => {
                if self.started_at.is_none() || self.overdue.is_some() {
                    return Err(RunError::NotOverdue { run });
                }
                self.overdue = Some(Overdue { at: *at, reason: reason.clone(), step: step.clone() });
            }
            Fact::CancelRequested { by, .. } => self.cancel = Some(by.clone()),
            Fact::Redelivered { path, attempt, .. } => {
                let step =
                    self.steps.get_mut(path).ok_or_else(|| RunError::NoSuchStep { run, path: path.to_owned() })?;
                step.attempts.push(attempt.clone());
                self.deliveries.take(path, attempt);
            }
            Fact::Ended { status, at, reason, output } => {
                if !status.is_final() {
                    return Err(RunError::NotAnEnd { run, status: *status });
                }
                self.status = *status;
                self.ended_at = Some(*at);
                self.reason.clone_from(reason);
                self.output.clone_from(output);
            }
        }
        self.version += 1;
        Ok(())
    }

    fn end_step(&mut self, fact: &Fact) -> Result<(), RunError> {
        let Fact::StepEnded { path, action, status, at, output, error, handled, culprit } = fact else { return Ok(()) };
        self.change(path, Some((action, *at)), |step| {
            step.status = *status;
            step.output.clone_from(output);
            step.error.clone_from(error);
            step.ended_at = Some(*at);
            step.handled = *handled;
            step.culprit.clone_from(culprit);
            step.wait = None;
            true
        })?;
        self.deliveries.end(path);
        if let (SET, Some(Value::Object(values))) = (action.as_str(), output) {
            self.vars.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Ok(())
    }

    /// Changes a step that has not ended; `begins` makes one that is not known yet. `change` answers whether it fits.
    fn change(
        &mut self,
        path: &str,
        begins: Option<(&String, Time)>,
        change: impl FnOnce(&mut StepState) -> bool,
    ) -> Result<(), RunError> {
        let run = self.start.id;
        let new = !self.steps.contains_key(path);
        let step = match begins {
            Some((action, at)) if new => self.steps.entry(path.to_owned()).or_insert_with(|| begun(action, at)),
            _ => self.steps.get_mut(path).ok_or_else(|| RunError::NoSuchStep { run, path: path.to_owned() })?,
        };
        if step.status.is_final() {
            return Err(RunError::StepAlreadyEnded { run, path: path.to_owned() });
        }
        let before = if new { (false, false, false) } else { standing(step) };
        if !change(step) {
            let index = step.rounds.as_ref().map_or(0, |rounds| u32::try_from(rounds.ended()).unwrap_or(u32::MAX));
            return Err(RunError::NoSuchRound { run, path: path.to_owned(), index });
        }
        let after = standing(step);
        self.acting = self.acting + u32::from(after.0) - u32::from(before.0);
        self.resting = self.resting + u32::from(after.1) - u32::from(before.1);
        match (before.2, after.2) {
            (false, true) => drop(self.waiting.insert(path.to_owned())),
            (true, false) => drop(self.waiting.remove(path)),
            _ => {}
        }
        if new {
            self.order.push(path.to_owned());
        }
        if self.started_at.is_some() {
            self.follow_steps();
        }
        Ok(())
    }

    /// Counts a try towards the active time; what overlaps with one that is counted already counts once.
    fn spend(&mut self, from: Time, to: Time) {
        let from = from.max(self.active_until);
        if to > from {
            self.active += to.since(from);
            self.active_until = to;
        }
    }

    /// The status that follows from the steps.
    fn follow_steps(&mut self) {
        self.status = if self.acting == 0 && self.resting > 0 { RunStatus::Waiting } else { RunStatus::Running };
    }
}

/// Takes over the end of a round; answers whether the loop has such a round, and it was open.
fn end_round(step: &mut StepState, index: u32, end: &RoundEnd) -> bool {
    let most = if step.input.is_some() { step.items().len() } else { limits::LOOP_ROUNDS_MAX };
    if usize::try_from(index).is_ok_and(|index| index >= most) {
        return false;
    }
    let noted = step.rounds.get_or_insert_default().note(index, end.clone());
    if let Some(again) = end.again.filter(|_| noted) {
        step.status = StepStatus::Waiting;
        step.wait = Some(Box::new(Wait { on: WaitOn::Time, until: Some(again) }));
    }
    noted
}

/// A step that begins.
fn begun(action: &str, at: Time) -> StepState {
    StepState {
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
        culprit: None,
        wait: None,
        rounds: None,
    }
}

/// Whether a step acts, rests, waits.
fn standing(step: &StepState) -> (bool, bool, bool) {
    (step.acts(), step.rests(), step.status == StepStatus::Waiting)
}
