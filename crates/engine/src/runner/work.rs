//! One run at work: ask what comes next, do it, record it.
//!
//! Length: the one loop that does I/O; every way in which a step can end stands beside the others.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use model::event::Actor;
use model::run::{
    Attempt, AttemptOutcome, Fact, RunStart, RunState, RunStatus, RunSummary, StepError, StepState, StepStatus,
};
use model::{ChainLink, Event, Record, RunId, Seq, Time, limits};
use playbook::{Answer, Body, Budget, Effect, OnError, Playbook, Scope, Step};
use serde_json::Value;
use store::{Expect, Lease, Window};
use tokio::sync::oneshot;

use super::load::{self, Loaded};
use super::{REST, Runner, scope};
use crate::action::{self, Call, LocalChange, Outcome, StepResult};
use crate::next::{self, Next};
use crate::outbound::HELD_LOOK;
use crate::record;
use crate::refusal::Refusal;
use crate::shared::Fresh;
use crate::writer::{Order, Progress};

/// How much longer than its own timeout a try may take before it is cut off from outside.
const OVERTIME: Duration = Duration::from_secs(5);

/// A run at work.
pub(super) struct Work {
    pub lease: Lease,
    pub state: RunState,
    pub summary: RunSummary,
    pub event: Arc<Event>,
    /// Held so that the store finds the object as the event left it in memory.
    _record: Option<Arc<Record>>,
    pub playbook: Arc<Playbook>,
    /// Facts that are applied and not yet recorded.
    pending: Vec<Fact>,
    /// Whether what is pending must be recorded before anything acts again.
    outcome_pending: bool,
}

/// Why work on a run stops before it is done.
enum Halt {
    /// Somebody else ended or changed the run: what was done here no longer counts.
    Stale,
    /// It could not be recorded now; try again later.
    Later,
    /// Something in the run itself is wrong; it fails with this code and message.
    Broken(&'static str, String),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Halt {
        match refusal {
            Refusal::Stale(_) => Halt::Stale,
            Refusal::Busy { .. } | Refusal::Full | Refusal::Stopping | Refusal::Store(_) => Halt::Later,
            // The same would be refused for ever.
            Refusal::Invalid { code, message } => Halt::Broken(code, message),
            other => Halt::Broken("refused", other.to_string()),
        }
    }
}

/// Whether there is more to do at once.
enum Turn {
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
    Ok(Work { lease, state, summary, event, _record: record, playbook, pending: Vec::new(), outcome_pending: false })
}

/// Reads a run where blocking is allowed.
async fn loaded(runner: &Runner, run: RunId) -> Result<Loaded, load::LoadError> {
    let shared = Arc::clone(&runner.shared);
    match tokio::task::spawn_blocking(move || load::load(shared.store.as_ref(), run)).await {
        Ok(loaded) => loaded,
        Err(error) if error.is_panic() => Err(load::LoadError::Panicked(run)),
        // The process is ending; whoever is asked next will find the run as it is.
        Err(_) => std::future::pending().await,
    }
}

/// Ends a run that cannot go on. It failed, unless it had begun what must not be repeated: then a person must look.
pub(super) async fn fail(runner: &Arc<Runner>, lease: Lease, code: &'static str, message: &str) {
    let store = &runner.shared.store;
    let now = store.now();
    let Ok(Some(mut summary)) = store.run(lease.run) else {
        return drop(store.release(lease, now.plus(REST)));
    };
    let expect = Expect::Lease { epoch: lease.epoch, version: summary.version };
    let reason = Some(format!("{message} ({code})"));
    let facts = match loaded(runner, lease.run).await {
        Ok(Loaded { mut state, .. }) => {
            let unknown = state.steps.values().any(StepState::outcome_unknown);
            let status = if unknown { RunStatus::NeedsAttention } else { RunStatus::Failed };
            let facts = state.ending(status, now, reason);
            let _ = facts.iter().try_for_each(|fact| state.apply(fact));
            summary.follow(&state, Seq::default(), now);
            facts
        }
        // What it did cannot be read: all that is known is that it does not go on.
        Err(_) => {
            (summary.status, summary.ended_at) = (RunStatus::Failed, Some(now));
            summary.reason.clone_from(&reason);
            summary.version += 1;
            summary.entries.push(Seq::default());
            vec![Fact::Ended { status: RunStatus::Failed, at: now, reason }]
        }
    };
    let sent = send(runner, summary, expect, false, &facts, Extra::default()).await;
    if let Err(refusal) = sent {
        tracing::warn!(run = %lease.run, %refusal, "the failure of a run could not be recorded");
        let _ = store.release(lease, store.now().plus(REST));
    }
}

/// What goes along with progress.
#[derive(Clone, Default)]
struct Extra {
    changes: Vec<LocalChange>,
    chain: Vec<ChainLink>,
    windows: Vec<Window>,
}

/// Has progress recorded; answers with the entry. While the disk is full it waits: what was done is known, and must not
/// be done again for want of a place to write it down.
async fn send(
    runner: &Runner,
    summary: RunSummary,
    expect: Expect,
    keep_lease: bool,
    facts: &[Fact],
    extra: Extra,
) -> Result<Seq, Refusal> {
    let run = summary.id;
    let actor = Actor::Run { playbook: summary.playbook.clone(), run };
    let payload = record::progressed(run, facts)
        .map_err(|error| Refusal::Invalid { code: "internal", message: error.to_string() })?;
    let mut stop = runner.stop.clone();
    loop {
        let (reply, answer) = oneshot::channel();
        let Extra { changes, chain, windows } = extra.clone();
        let (summary, payload, actor) = (summary.clone(), payload.clone(), actor.clone());
        let progress = Progress { summary, expect, keep_lease, payload, actor, changes, chain, windows, reply };
        runner.orders.send(Order::Progress(Box::new(progress))).await?;
        match answer.await.unwrap_or(Err(Refusal::Stopping)) {
            Err(Refusal::Full) => tokio::select! {
                () = tokio::time::sleep(REST) => {}
                _ = stop.wait_for(|stop| *stop) => return Err(Refusal::Full),
            },
            answer => return answer,
        }
    }
}

impl Work {
    async fn turn(&mut self, runner: &Arc<Runner>) -> Result<Turn, Halt> {
        let now = runner.shared.store.now();
        let playbook = Arc::clone(&self.playbook);
        match next::next(&self.state, &playbook, now) {
            Next::Start => {
                self.apply(Fact::Started { at: now })?;
                Ok(Turn::Go)
            }
            Next::Step(_) if *runner.stop.borrow() || runner.shared.brakes.now().all().is_some() => {
                if self.outcome_pending {
                    self.record(runner, now, false, Extra::default()).await?;
                } else {
                    let _ = runner.shared.store.release(self.lease, now);
                }
                Ok(Turn::Rest)
            }
            Next::Step(step) => self.step(runner, step, now).await,
            Next::At(time) => {
                let due = next::deadline(&self.state, &playbook).map_or(time, |deadline| deadline.min(time));
                if self.pending.is_empty() {
                    let _ = runner.shared.store.release(self.lease, due);
                } else {
                    self.record(runner, due, false, Extra::default()).await?;
                }
                Ok(Turn::Rest)
            }
            Next::End { status, reason } => {
                let windows =
                    action::held_windows(&self.state, runner.shared.store.as_ref()).map_err(|_| Halt::Later)?;
                for fact in self.state.ending(status, now, reason) {
                    self.apply(fact)?;
                }
                self.record(runner, now, false, Extra { windows, ..Extra::default() }).await?;
                Ok(Turn::Rest)
            }
        }
    }

    fn apply(&mut self, fact: Fact) -> Result<(), Halt> {
        self.state.apply(&fact).map_err(|error| Halt::Broken("history", error.to_string()))?;
        self.outcome_pending |= matches!(fact, Fact::Attempted { .. } | Fact::StepEnded { .. });
        self.pending.push(fact);
        Ok(())
    }

    /// Has what is pending recorded.
    async fn record(&mut self, runner: &Runner, due: Time, keep_lease: bool, extra: Extra) -> Result<(), Halt> {
        let expect = Expect::Lease { epoch: self.lease.epoch, version: self.summary.version };
        let mut summary = self.summary.clone();
        summary.follow(&self.state, Seq::default(), due);
        let seq = send(runner, summary, expect, keep_lease, &self.pending, extra).await?;
        self.summary.follow(&self.state, seq, due);
        self.pending.clear();
        self.outcome_pending = false;
        Ok(())
    }

    async fn step(&mut self, runner: &Arc<Runner>, step: &Step, now: Time) -> Result<Turn, Halt> {
        let Body::Action { spec, with } = &step.body else {
            return Err(Halt::Broken(
                "unsupported",
                format!("step `{}` is of a kind that this version cannot run", step.path),
            ));
        };
        let scope = if scope::is_read(step, with) { scope::of_step(runner, self, now) } else { Ok(Scope::new(now)) };
        let Ok(scope) = scope else { return Err(Halt::Later) };
        if !self.state.steps.contains_key(&step.path)
            && let Some(condition) = &step.condition
        {
            match condition.answer(&runner.shared.evaluator, &scope, Budget::STEP) {
                Answer::Yes => {}
                Answer::No { reason, .. } => return self.skip(step, spec.id, reason, now),
                Answer::Failed { code, message, at } => {
                    let error = StepError { code: code.to_owned(), message, at: Some((at.line, at.column)) };
                    return self.end_step(step, spec.id, StepStatus::Failed, now, Value::Null, Some(error));
                }
            }
        }
        let Some(action) = action::find(spec.id) else {
            return Err(Halt::Broken("no_action", format!("this version has no action `{}`", spec.id)));
        };
        if spec.network && !spec.delivers() && runner.context.effects.is_paused() {
            return self.hold(runner, now).await;
        }
        let once = action.effect(with) == Effect::Once;
        if once {
            let fact =
                Fact::StepStarted { path: step.path.clone(), action: spec.id.to_owned(), at: now, input: None, once };
            self.apply(fact)?;
            self.record(runner, now, true, Extra::default()).await?;
        } else if self.outcome_pending {
            self.record(runner, now, true, Extra::default()).await?;
        }
        let call = Call {
            start: &self.state.start,
            path: &step.path,
            with,
            scope: &scope,
            state: self.state.steps.get(&step.path),
            retry: step.retry.as_ref(),
            timeout: step.timeout,
            secrets: &self.playbook.secrets,
            now,
            random: runner.shared.random(),
            ctx: &runner.context,
        };
        let limit = self.time_left(step, now);
        let acting = AssertUnwindSafe(action.run(call)).catch_unwind();
        let outcome = match tokio::time::timeout(limit, acting).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => broken_off("panic", "the action panicked; see the server's log".to_owned(), once),
            Err(_) => broken_off("timeout", format!("it did not end within {}", model::period::format(limit)), once),
        };
        self.take(runner, step, (spec.id, now), outcome).await
    }

    /// Rests until what leaves is no longer paused.
    async fn hold(&mut self, runner: &Runner, now: Time) -> Result<Turn, Halt> {
        // What is recorded is due at once, so that a restart looks at it again: only here it is known that it waits.
        if !self.pending.is_empty() {
            self.record(runner, now, true, Extra::default()).await?;
        }
        runner.shared.park(self.lease.run);
        let store = &runner.shared.store;
        let _ = store.release(self.lease, now.plus(HELD_LOOK));
        // The pause may have ended in between.
        if !runner.context.effects.is_paused() {
            let _ = store.hasten(&[self.lease.run], now);
            runner.shared.wake.notify_one();
        }
        Ok(Turn::Rest)
    }

    /// How long the action may take before it is cut off from outside.
    fn time_left(&self, step: &Step, now: Time) -> Duration {
        let whole = Duration::from_secs(limits::RUN_ACTIVE_SECONDS_MAX);
        let own = step.timeout.map_or(whole, |timeout| timeout + OVERTIME);
        next::deadline(&self.state, &self.playbook).map_or(own, |deadline| own.min(deadline.since(now)))
    }

    /// Takes over what an action did.
    async fn take(
        &mut self,
        runner: &Runner,
        step: &Step,
        (action, began): (&str, Time),
        outcome: Outcome,
    ) -> Result<Turn, Halt> {
        let now = runner.shared.store.now();
        let Outcome { input, attempts, result, changes, windows } = outcome;
        let known = self.state.steps.get(&step.path);
        // What is rendered for the first try is what is sent with every other; it is written down once.
        let rendered = known.is_some_and(|known| known.input.is_some());
        let intended = known.is_some_and(|known| known.once);
        let before = (!changes.is_empty()).then(|| (self.state.clone(), self.pending.clone()));
        if intended || !(rendered || matches!(result, StepResult::Busy { .. })) {
            let (path, action) = (step.path.clone(), action.to_owned());
            let input = (!rendered).then_some(input);
            self.apply(Fact::StepStarted { path, action, at: began, input, once: false })?;
        }
        if let StepResult::Busy { at } = result {
            if runner.context.effects.is_paused() {
                runner.shared.park(self.lease.run);
            }
            // Nothing was begun. Where that was announced, it is on record now that nothing was.
            if self.pending.is_empty() {
                let _ = runner.shared.store.release(self.lease, at);
            } else {
                let due = if intended { at.max(now.plus(REST)) } else { at };
                self.record(runner, due, false, Extra::default()).await?;
            }
            return Ok(Turn::Rest);
        }
        self.take_result(step, action, (began, now), attempts, result)?;
        if changes.is_empty() && windows.is_empty() {
            return Ok(Turn::Go);
        }
        self.record_changes(runner, step, (action, now), before, (changes, windows)).await
    }

    /// Takes over the tries that were made, and how the step stands after them.
    fn take_result(
        &mut self,
        step: &Step,
        action: &str,
        (began, now): (Time, Time),
        mut attempts: Vec<Attempt>,
        result: StepResult,
    ) -> Result<(), Halt> {
        if attempts.is_empty() {
            attempts.push(self.plain_attempt(step, (began, now), &result));
        }
        for attempt in attempts {
            self.apply(Fact::Attempted { path: step.path.clone(), attempt })?;
        }
        let (status, output, error) = match result {
            StepResult::Done { output } => (StepStatus::Succeeded, output, None),
            StepResult::Skipped { output, reason } => {
                (StepStatus::Skipped, output, Some(StepError { code: "skipped".to_owned(), message: reason, at: None }))
            }
            StepResult::Failed(error) => (StepStatus::Failed, Value::Null, Some(error)),
            StepResult::TimedOut(error) => (StepStatus::TimedOut, Value::Null, Some(error)),
            StepResult::Unknown(error) => (StepStatus::NeedsAttention, Value::Null, Some(error)),
            StepResult::Retry { .. } | StepResult::Busy { .. } => return Ok(()),
        };
        self.end_step(step, action, status, now, output, error).map(drop)
    }

    /// Records a step together with the changes it makes; when they are refused, the step failed and nothing changed.
    async fn record_changes(
        &mut self,
        runner: &Runner,
        step: &Step,
        (action, now): (&str, Time),
        before: Option<(RunState, Vec<Fact>)>,
        (mut changes, windows): (Vec<LocalChange>, Vec<Window>),
    ) -> Result<Turn, Halt> {
        for (n, change) in changes.iter_mut().enumerate() {
            let key = action::idempotency_key(self.state.start.id, &step.path, "");
            change.own_id = Some(if n == 0 { key } else { format!("{key}/{n}") });
        }
        let extra = Extra { changes, chain: chain_of(&self.state.start), windows };
        let expect = Expect::Lease { epoch: self.lease.epoch, version: self.summary.version };
        let mut summary = self.summary.clone();
        summary.follow(&self.state, Seq::default(), now);
        match send(runner, summary.clone(), expect, true, &self.pending, extra).await {
            Ok(seq) => {
                if let Some(last) = summary.entries.last_mut() {
                    *last = seq;
                }
                self.summary = summary;
                self.pending.clear();
                self.outcome_pending = false;
                Ok(Turn::Go)
            }
            Err(refusal @ (Refusal::Conflict(_) | Refusal::NotFound { .. } | Refusal::Invalid { .. })) => {
                if let Some((state, pending)) = before {
                    self.state = state;
                    self.pending = pending;
                }
                let code = if matches!(refusal, Refusal::NotFound { .. }) { "not_found" } else { "refused" };
                let error = StepError { code: code.to_owned(), message: refusal.to_string(), at: place(step) };
                self.end_step(step, action, StepStatus::Failed, now, Value::Null, Some(error))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The one try of an action that has no destinations.
    fn plain_attempt(&self, step: &Step, (began, ended): (Time, Time), result: &StepResult) -> Attempt {
        let known = self.state.steps.get(&step.path).map_or(0, |step| step.attempts.len());
        let (outcome, error) = match result {
            StepResult::Done { .. } => (AttemptOutcome::Succeeded, None),
            StepResult::Skipped { reason, .. } => (AttemptOutcome::Suppressed { reason: reason.clone() }, None),
            StepResult::Retry { at } | StepResult::Busy { at } => (AttemptOutcome::Retry { at: *at }, None),
            StepResult::Failed(error) | StepResult::TimedOut(error) | StepResult::Unknown(error) => {
                (AttemptOutcome::Failed, Some(error.clone()))
            }
        };
        Attempt {
            n: u32::try_from(known).unwrap_or(u32::MAX).saturating_add(1),
            destination: None,
            started_at: began,
            ended_at: ended,
            outcome,
            http_status: None,
            answer: None,
            error,
        }
    }

    fn skip(&mut self, step: &Step, action: &str, reason: String, now: Time) -> Result<Turn, Halt> {
        let error = StepError { code: next::CONDITION.to_owned(), message: reason, at: place(step) };
        self.end_step(step, action, StepStatus::Skipped, now, Value::Null, Some(error))
    }

    fn end_step(
        &mut self,
        step: &Step,
        action: &str,
        status: StepStatus,
        at: Time,
        output: Value,
        error: Option<StepError>,
    ) -> Result<Turn, Halt> {
        let (status, output, error) = bounded(status, output, error);
        let handled = status.is_failure() && !matches!(step.on_error, OnError::Fail);
        let error = error.map(|error| StepError { at: error.at.or_else(|| place(step)), ..error });
        let path = step.path.clone();
        let output = (!output.is_null()).then_some(output);
        self.apply(Fact::StepEnded { path, action: action.to_owned(), status, at, output, error, handled })?;
        Ok(Turn::Go)
    }
}

/// An output over the limit makes the step fail: it could not be kept.
fn bounded(status: StepStatus, output: Value, error: Option<StepError>) -> (StepStatus, Value, Option<StepError>) {
    let max = limits::STEP_OUTPUT_BYTES_MAX;
    let bytes = if output.is_null() { 0 } else { output.to_string().len() };
    if bytes <= max {
        return (status, output, error);
    }
    let message = format!("its output of {bytes} bytes is larger than the limit of {max} bytes");
    (StepStatus::Failed, Value::Null, Some(StepError { code: "output_too_large".to_owned(), message, at: None }))
}

/// An action that ignored its own deadline, or panicked.
fn broken_off(code: &str, message: String, once: bool) -> Outcome {
    let error = StepError { code: code.to_owned(), message, at: None };
    let result = match code {
        _ if once => StepResult::Unknown(error),
        "timeout" => StepResult::TimedOut(error),
        _ => StepResult::Failed(error),
    };
    Outcome::plain(Value::Null, result)
}

/// The chain of runs behind what this run causes.
fn chain_of(start: &RunStart) -> Vec<ChainLink> {
    let mut chain = start.chain.clone();
    chain.push(ChainLink { playbook: start.playbook.clone(), run: start.id });
    chain
}

fn place(step: &Step) -> Option<(u32, u32)> {
    Some((step.span.line, step.span.column))
}
