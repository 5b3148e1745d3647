//! One run at work: ask what can be done, do it, record it.
//!
//! What the run decides by itself ([`crate::flow`]) is applied at once; actions are begun, several at a time where the
//! playbook allows it, and their outcomes taken over as they come.
//!
//! Invariants: what has been decided or has come out is on record before another action begins, and what must not be
//! repeated before it begins itself. Rehearsals do one thing after the other, so that they always come out the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::run::{Fact, RunStart, RunState, RunStatus, RunSummary, StepError, StepStatus};
use model::{Event, Record, RunId, Seq, Time, limits};
use playbook::{Body, Playbook, Scope, Step};
use serde_json::Value;
use store::{Expect, Lease, Mark, Window};
use tokio::task::JoinSet;

use super::acting::Acted;
use super::begin::ACTING_MAX;
use super::load::{self, Loaded};
use super::record::{Extra, Halt, fail, send};
use super::{REST, Runner};
use crate::action;
use crate::flow::{self, Follows, Seen, Sight, error};
use crate::next::{self, Frame, Next, Todo, What};
use crate::outbound::HELD_LOOK;
use crate::refusal::Refusal;
use crate::shared::Fresh;
use crate::waits;

/// Signals that were not what is waited for and are kept until there is something else to record.
const SIGNALS_KEPT_MAX: usize = 100;

/// A run at work.
pub(super) struct Work {
    pub(super) lease: Lease,
    pub(super) state: RunState,
    pub(super) summary: RunSummary,
    pub(super) event: Arc<Event>,
    /// Held so that the store finds the object as the event left it in memory.
    pub(super) _record: Option<Arc<Record>>,
    pub(super) playbook: Arc<Playbook>,
    /// For actions at work.
    pub(super) start: Arc<RunStart>,
    pub(super) secrets: Arc<[String]>,
    /// Facts that are applied and not yet recorded.
    pub(super) pending: Vec<Fact>,
    /// Whether what is pending must be recorded before anything acts again.
    pub(super) outcome_pending: bool,
    pub(super) seen: Seen,
    pub(super) acting: JoinSet<Acted>,
    /// The paths of the steps at work.
    pub(super) busy: BTreeSet<String>,
    /// Steps that had to be put off, until when.
    pub(super) held: BTreeMap<String, Time>,
    /// Whether one of them waits for the end of a pause.
    pub(super) paused: bool,
    /// Whether what has come must be looked at.
    pub(super) looks: bool,
    /// Signals that were taken over, to be taken away with the next record.
    pub(super) used: Vec<Mark>,
    /// Windows of deliveries that were cut off, to be released with the next record.
    pub(super) released: Vec<Window>,
    /// Answers that must not have come when the next record is made.
    pub(super) unless: Vec<String>,
}

/// Whether there is more to do at once.
pub(super) enum Turn {
    Go,
    Rest,
}

/// Works on a run until it ends, or there is nothing to do before some time.
pub(super) async fn advance(runner: &Arc<Runner>, lease: Lease) {
    let later = || runner.shared.store.now().plus(REST);
    let mut work = match take_up(runner, lease).await {
        Ok(work) => work,
        Err(load::LoadError::Store(error)) if !matches!(error, store::Error::Corrupt { .. }) => {
            tracing::error!(run = %lease.run, %error, "a run cannot be read now; it is tried again");
            return drop(runner.shared.store.release(lease, later()));
        }
        Err(error) => {
            tracing::error!(run = %lease.run, %error, "a run cannot be resumed; it fails");
            return fail(runner, lease, "cannot_resume", &error.to_string()).await;
        }
    };
    loop {
        match work.turn(runner).await {
            Ok(Turn::Go) => {}
            Ok(Turn::Rest) => return,
            // Giving back a lease that is no longer held does nothing.
            Err(Halt::Stale | Halt::Later) => return drop(runner.shared.store.release(lease, later())),
            Err(Halt::Broken(code, message)) => return fail(runner, lease, code, &message).await,
        }
    }
}

async fn take_up(runner: &Arc<Runner>, lease: Lease) -> Result<Work, load::LoadError> {
    let (loaded, record) = match runner.shared.take_fresh(lease.run) {
        Some(Fresh { start, event, record, summary }) => {
            (Loaded { state: RunState::new(start)?, summary, event }, record)
        }
        None => (loaded(runner, lease.run).await?, None),
    };
    let playbook = runner.playbook(&loaded.summary.playbook, loaded.summary.digest)?;
    let Loaded { state, summary, event } = loaded;
    Ok(Work {
        lease,
        start: Arc::new(state.start.clone()),
        secrets: playbook.secrets.as_slice().into(),
        state,
        summary,
        event,
        _record: record,
        playbook,
        pending: Vec::new(),
        outcome_pending: false,
        seen: Seen::default(),
        acting: JoinSet::new(),
        busy: BTreeSet::new(),
        held: BTreeMap::new(),
        paused: false,
        looks: true,
        used: Vec::new(),
        released: Vec::new(),
        unless: Vec::new(),
    })
}

/// Reads a run where blocking is allowed.
pub(super) async fn loaded(runner: &Runner, run: RunId) -> Result<Loaded, load::LoadError> {
    let shared = Arc::clone(&runner.shared);
    match tokio::task::spawn_blocking(move || load::load(shared.store.as_ref(), run)).await {
        Ok(loaded) => loaded,
        Err(error) if error.is_panic() => Err(load::LoadError::Panicked(run)),
        // The process is ending; whoever is asked next will find the run as it is.
        Err(_) => std::future::pending().await,
    }
}

/// Whether what is to be done looks at anything: most actions only have constants, and then nothing need be put together
/// for them.
fn reads(todo: &Todo<'_>) -> bool {
    match &todo.step.body {
        Body::Action { with, .. } => {
            todo.step.condition.is_some() || with.values().any(|template| template.constant().is_none())
        }
        _ => todo.what == What::Do || matches!(todo.what, What::EndRound { .. }),
    }
}

impl Work {
    async fn turn(&mut self, runner: &Arc<Runner>) -> Result<Turn, Halt> {
        if self.state.start.observed && runner.context.effects.is_live() {
            return self.observe(runner).await;
        }
        let now = runner.shared.store.now();
        let playbook = Arc::clone(&self.playbook);
        if self.state.waiting().next().is_some() {
            self.looks |= runner.shared.waits.take_woken(self.lease.run);
            if std::mem::take(&mut self.looks) {
                self.hear(runner, now)?;
            }
        }
        if let Some(status) = self.orphaned(runner)? {
            return self.end(runner, status, Some("the run that called it has ended".to_owned()), now).await;
        }
        let next = next::next(&self.state, &playbook, now, &|path| self.busy.contains(path));
        match next {
            Next::Start => {
                self.apply(Fact::Started { at: now })?;
                Ok(Turn::Go)
            }
            Next::Work { todo, at } => self.work(runner, todo, at, now).await,
            Next::CutOff { reason } => self.cut_off(runner, reason, now),
            Next::End { status, reason } => self.end(runner, status, reason, now).await,
        }
    }

    async fn work(
        &mut self,
        runner: &Arc<Runner>,
        todo: Vec<Todo<'_>>,
        at: Option<Time>,
        now: Time,
    ) -> Result<Turn, Halt> {
        if *runner.stop.borrow() || runner.shared.brakes.now().all().is_some() {
            return self.stop(runner, now).await;
        }
        let mut actions = Vec::new();
        let mut decided = false;
        for todo in todo {
            if self.state.order.len() + actions.len() >= limits::RUN_STEPS_MAX {
                let message = format!("a run does at most {} steps", limits::RUN_STEPS_MAX);
                return Err(Halt::Broken("too_many_steps", message));
            }
            if self.held.get(&todo.path).is_some_and(|until| *until > now) {
                continue;
            }
            let scope = if reads(&todo) { self.scope(runner, &todo.frame, now) } else { Ok(Scope::new(now)) };
            let Ok(scope) = scope else { return Err(Halt::Later) };
            let waits = self.state.steps.get(&todo.path).is_some_and(|step| step.status == StepStatus::Waiting);
            match self.decide(runner, &todo, &scope, now) {
                Follows::Facts(facts) => {
                    decided = true;
                    if waits && matches!(todo.step.body, Body::Approve(_)) {
                        // An answer that came just in time counts: without it, the time is over.
                        self.unless.push(waits::answer_signal(self.lease.run, &todo.path));
                    }
                    facts.into_iter().try_for_each(|fact| self.apply(fact))?;
                }
                Follows::Act if self.is_held_up(runner, todo.step) => {
                    self.held.insert(todo.path, now.plus(HELD_LOOK));
                }
                Follows::Act => actions.push((todo, scope)),
                Follows::Call { playbook, inputs } => {
                    decided = true;
                    self.call(runner, &todo, (&playbook, inputs), now).await?;
                }
            }
        }
        if decided {
            return Ok(Turn::Go);
        }
        actions.truncate(ACTING_MAX.saturating_sub(self.busy.len()));
        if actions.is_empty() { self.rest(runner, at, now).await } else { self.act(runner, actions, now).await }
    }

    fn decide(&self, runner: &Runner, todo: &Todo<'_>, scope: &Scope, now: Time) -> Follows {
        let evaluator = &runner.shared.evaluator;
        let means = flow::Means { state: &self.state, playbook: &self.playbook, evaluator, scope, now };
        flow::decide(todo, &means)
    }

    pub(super) fn scope(&mut self, runner: &Runner, frame: &Frame<'_>, now: Time) -> Result<Scope, store::Error> {
        let store = &runner.shared.store;
        let look = |key: &model::ObjectKey| Ok(store.object(key)?.map(|object| object.record));
        let sight = Sight { playbook: &self.playbook, event: &self.event, look: &look };
        flow::scope(&self.state, frame, sight, &mut self.seen, now)
    }

    /// The server is stopping: what is at work may end, nothing begins.
    async fn stop(&mut self, runner: &Arc<Runner>, now: Time) -> Result<Turn, Halt> {
        if self.next_acted(runner, None).await? {
            return Ok(Turn::Go);
        }
        if self.outcome_pending {
            self.record(runner, now, false, Extra::default()).await?;
        } else {
            let _ = runner.shared.store.release(self.lease, now);
        }
        Ok(Turn::Rest)
    }

    /// Nothing can be begun: waits for what is at work, or gives the run back until there is something to do.
    async fn rest(&mut self, runner: &Arc<Runner>, at: Option<Time>, now: Time) -> Result<Turn, Halt> {
        self.held.retain(|_, until| *until > now);
        let due = at.into_iter().chain(self.held.values().copied());
        let ends = next::deadlines(&self.state, &self.playbook).into_iter().flatten().filter(|end| *end > now);
        let due = due.chain(ends).min().unwrap_or(now);
        if self.next_acted(runner, Some(due.since(now))).await? {
            return Ok(Turn::Go);
        }
        if !self.busy.is_empty() {
            return Ok(Turn::Go);
        }
        if self.paused {
            return self.park(runner, due, now).await;
        }
        self.listen(runner, now);
        if self.pending.is_empty() && self.used.len() < SIGNALS_KEPT_MAX {
            let _ = runner.shared.store.release(self.lease, due);
        } else {
            self.record(runner, due, false, Extra::default()).await?;
        }
        // Something may have come in between.
        if runner.shared.waits.is_woken(self.lease.run) {
            let _ = runner.shared.store.hasten(&[self.lease.run], now);
        }
        Ok(Turn::Rest)
    }

    /// How the run ends when the run that called it has ended without it.
    fn orphaned(&self, runner: &Runner) -> Result<Option<RunStatus>, Halt> {
        let Some(caller) = &self.state.start.caller else { return Ok(None) };
        if self.state.status.is_final() {
            return Ok(None);
        }
        let caller = runner.shared.store.run(caller.run).map_err(|_| Halt::Later)?;
        Ok(caller.is_none_or(|caller| caller.status.is_final()).then_some(RunStatus::Cancelled))
    }

    /// Whether an action cannot be begun since all that leaves is paused. Deliveries look themselves, each destination on
    /// its own.
    fn is_held_up(&mut self, runner: &Runner, step: &Step) -> bool {
        let Body::Action { spec, .. } = &step.body else { return false };
        let held = spec.network && !spec.delivers() && runner.context.effects.is_paused();
        self.paused |= held;
        held
    }

    /// Rests until what leaves is no longer paused.
    async fn park(&mut self, runner: &Runner, due: Time, now: Time) -> Result<Turn, Halt> {
        // What is recorded is due at once, so that a restart looks at it again: only here it is known that it waits.
        if !self.pending.is_empty() {
            self.record(runner, now, true, Extra::default()).await?;
        }
        runner.shared.park(self.lease.run);
        let store = &runner.shared.store;
        let _ = store.release(self.lease, due);
        // The pause may have ended in between.
        if !runner.context.effects.is_paused() {
            let _ = store.hasten(&[self.lease.run], now);
            runner.shared.wake.notify_one();
        }
        Ok(Turn::Rest)
    }

    /// Takes over the next outcome of what is at work, if it comes within this time; `false` when there is none.
    async fn next_acted(&mut self, runner: &Runner, within: Option<Duration>) -> Result<bool, Halt> {
        if self.busy.is_empty() {
            return Ok(false);
        }
        let limit = within.unwrap_or(Duration::from_secs(limits::RUN_ACTIVE_SECONDS_MAX));
        let mut stirred = runner.shared.waits.stirred();
        let waits = self.state.waiting().next().is_some();
        let acted = tokio::select! {
            acted = self.acting.join_next() => acted,
            () = tokio::time::sleep(limit) => None,
            _ = stirred.changed(), if waits => None,
        };
        let Some(acted) = acted else { return Ok(false) };
        let acted = acted.map_err(|_| Halt::Later)?;
        self.busy.remove(&acted.path);
        self.take(runner, acted).await?;
        Ok(true)
    }

    /// The time of the run is over: what is open of its steps ends, and what is at work is dropped.
    fn cut_off(&mut self, runner: &Runner, reason: String, now: Time) -> Result<Turn, Halt> {
        self.acting.abort_all();
        self.acting = JoinSet::new();
        self.busy.clear();
        self.held.clear();
        let held = action::held_windows(&self.state, runner.shared.store.as_ref()).map_err(|_| Halt::Later)?;
        self.released.extend(held);
        self.state.cut_off(now, reason).into_iter().try_for_each(|fact| self.apply(fact))?;
        Ok(Turn::Go)
    }

    async fn end(
        &mut self,
        runner: &Runner,
        status: RunStatus,
        reason: Option<String>,
        now: Time,
    ) -> Result<Turn, Halt> {
        // What is at work may end, unless the run is cut off.
        if !matches!(status, RunStatus::Cancelled | RunStatus::TimedOut) && self.next_acted(runner, None).await? {
            return Ok(Turn::Go);
        }
        self.acting.abort_all();
        let windows = action::held_windows(&self.state, runner.shared.store.as_ref()).map_err(|_| Halt::Later)?;
        let output = self.outputs(runner, status, now);
        for fact in self.state.ending(status, now, reason) {
            let fact = match (fact, &output) {
                (Fact::Ended { at, .. }, Err(why)) => {
                    let reason = Some(format!("its outputs: {} ({})", why.message, why.code));
                    Fact::Ended { status: RunStatus::Failed, at, reason, output: None }
                }
                (Fact::Ended { status, at, reason, .. }, Ok(output)) => {
                    Fact::Ended { status, at, reason, output: output.clone() }
                }
                (fact, _) => fact,
            };
            self.apply(fact)?;
        }
        if self.playbook.all_steps().iter().any(|step| matches!(step.body, Body::Wait(_) | Body::Approve(_))) {
            let left = runner.shared.store.marks(&waits::signals_of(self.lease.run)).map_err(|_| Halt::Later)?;
            self.used.extend(left.into_iter().map(|(name, _)| (name, None)));
        }
        self.record(runner, now, false, Extra { windows, ..Extra::default() }).await?;
        Ok(Turn::Rest)
    }

    /// What the run gives to a caller, when it ends well.
    fn outputs(&mut self, runner: &Runner, status: RunStatus, now: Time) -> Result<Option<Value>, StepError> {
        if self.playbook.outputs.is_empty()
            || !matches!(status, RunStatus::Succeeded | RunStatus::SucceededWithWarnings)
        {
            return Ok(None);
        }
        let playbook = Arc::clone(&self.playbook);
        let frame = Frame::top(&playbook.steps, "");
        let scope = self.scope(runner, &frame, now).map_err(|problem| error("store", problem.to_string()))?;
        let evaluator = &runner.shared.evaluator;
        flow::outputs(&flow::Means { state: &self.state, playbook: &playbook, evaluator, scope: &scope, now })
    }

    /// Has what is pending recorded, if anything is.
    pub(super) async fn record_now(&mut self, runner: &Runner, now: Time) -> Result<(), Halt> {
        if self.pending.is_empty() { Ok(()) } else { self.record(runner, now, true, Extra::default()).await }
    }

    pub(super) fn apply(&mut self, fact: Fact) -> Result<(), Halt> {
        self.state.apply(&fact).map_err(|error| Halt::Broken("history", error.to_string()))?;
        // What a block has decided counts as an outcome: its steps are done by it.
        self.outcome_pending |= match &fact {
            Fact::Started { .. } => false,
            Fact::StepStarted { action, .. } => action::find(action).is_none(),
            _ => true,
        };
        self.pending.push(fact);
        Ok(())
    }

    /// Has what is pending recorded.
    pub(super) async fn record(
        &mut self,
        runner: &Runner,
        due: Time,
        keep_lease: bool,
        extra: Extra,
    ) -> Result<(), Halt> {
        Ok(self.try_record(runner, due, keep_lease, extra).await?)
    }

    pub(super) async fn try_record(
        &mut self,
        runner: &Runner,
        due: Time,
        keep_lease: bool,
        mut extra: Extra,
    ) -> Result<(), Refusal> {
        extra.marks.extend(self.used.iter().cloned());
        extra.unless.extend(self.unless.iter().cloned());
        extra.windows.extend(self.released.iter().cloned());
        extra.failed = self.state.failed_by(&self.pending);
        if self.state.status.is_final() {
            extra.delivered = self.state.delivered();
        }
        let expect = Expect::Lease { epoch: self.lease.epoch, version: self.summary.version };
        let mut summary = self.summary.clone();
        summary.follow(&self.state, Seq::default(), due);
        let seq = send(runner, summary, expect, keep_lease, &self.pending, extra).await?;
        self.summary.follow(&self.state, seq, due);
        self.pending.clear();
        self.used.clear();
        self.released.clear();
        self.unless.clear();
        self.outcome_pending = false;
        // What waits beside something that is at work looks at what that has done.
        if !self.busy.is_empty() && self.state.waiting().next().is_some() {
            self.listen(runner, runner.shared.store.now());
        }
        Ok(())
    }
}
