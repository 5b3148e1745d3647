//! The walk over the lists and blocks of a playbook: what is open in them, and how they stand.
//!
//! Invariant: what a walk costs grows with the steps that are open, never with the rounds that have ended.

use model::Time;
use model::run::{AttemptOutcome, RunState, StepState, StepStatus};
use playbook::{Body, Each, Guard, OnError, Repeat, Step, Wait};

use super::frame::{Around, Frame};
use super::{Todo, WAIT_TIMEOUT, What};

/// How a list of steps stands.
pub(super) enum Stand {
    /// All done; whether a failure was handled on the way.
    Done { warned: bool },
    /// Not yet.
    Open,
    /// A step failed and nothing handles it.
    Failed(String),
    /// The run is to stop: the path of the `stop`.
    Stopped(String),
    /// A person must look.
    Attention(String),
}

/// One walk.
pub(super) struct Walk<'a, 's> {
    pub(super) state: &'s RunState,
    pub(super) now: Time,
    /// Whether a step is at work at this moment.
    pub(super) busy: &'s dyn Fn(&str) -> bool,
    /// What can be done now.
    pub(super) todo: Vec<Todo<'a>>,
    /// When there will be more.
    pub(super) at: Option<Time>,
}

impl<'a> Walk<'a, '_> {
    /// How a list stands.
    pub(super) fn list(&mut self, frame: &Frame<'a>) -> Stand {
        let mut warned = false;
        for step in frame.steps() {
            match self.step(step, frame) {
                Stand::Done { warned: also } => warned |= also,
                other => return other,
            }
        }
        Stand::Done { warned }
    }

    /// What is still to be done in a list that was cut off: what stands under `finally` of a `try` that had begun, the
    /// innermost first. Nothing else begins any more.
    pub(super) fn left_over(&mut self, frame: &Frame<'a>) -> Stand {
        for step in frame.steps() {
            let path = frame.path(step);
            // What comes after a step that has not begun has not begun either.
            let Some(at) = self.state.steps.get(&path) else { break };
            if at.status == StepStatus::NeedsAttention {
                return Stand::Attention(needs_attention(&path, at));
            }
            let guard = match &step.body {
                Body::Try(guard) if !at.status.is_final() => Some(guard),
                _ => None,
            };
            for (between, steps) in open_lists(step, at) {
                if guard.is_some() && between == "finally" {
                    continue;
                }
                let around = match &step.body {
                    Body::ForEach(each) => match between.parse() {
                        Ok(index) => Around::Item { var: &each.var, path: path.clone(), index },
                        Err(_) => Around::Nothing,
                    },
                    _ => Around::Nothing,
                };
                let inner = frame.inside(steps, format!("{path}/{between}/"), around);
                if let open @ (Stand::Open | Stand::Attention(_)) = self.left_over(&inner) {
                    return open;
                }
            }
            if let Some(guard) = guard {
                let last = frame.inside(&guard.finally, format!("{path}/finally/"), Around::Nothing);
                if let open @ (Stand::Open | Stand::Attention(_)) = self.list(&last) {
                    return open;
                }
            }
        }
        Stand::Done { warned: true }
    }

    fn step(&mut self, step: &'a Step, frame: &Frame<'a>) -> Stand {
        let path = frame.path(step);
        let Some(at) = self.state.steps.get(&path) else { return self.open(step, path, frame, What::Do) };
        match at.status {
            StepStatus::Running => match &step.body {
                Body::ForEach(each) => self.for_each(each, (step, path), frame, at),
                Body::Parallel { .. } => self.parallel(step, path, frame),
                Body::Switch { .. } => self.switch(step, path, frame, at),
                Body::Repeat(repeat) => self.repeat(repeat, (step, path), frame, at),
                Body::Try(guard) => self.guard(guard, (step, path), frame),
                _ if at.outcome_unknown() && !(self.busy)(&path) => Stand::Attention(unknown_outcome(&path)),
                _ => self.open(step, path, frame, What::Do),
            },
            StepStatus::Retrying => self.when(retry_at(at), step, path, frame),
            StepStatus::Waiting => {
                let until = at.wait.as_ref().and_then(|wait| wait.until);
                match until {
                    Some(until) => self.when(Some(until), step, path, frame),
                    None => Stand::Open,
                }
            }
            StepStatus::Succeeded if matches!(step.body, Body::Stop { .. }) => Stand::Stopped(path),
            StepStatus::Succeeded | StepStatus::Skipped => Stand::Done { warned: at.handled },
            StepStatus::SucceededWithWarnings => Stand::Done { warned: true },
            StepStatus::NeedsAttention => Stand::Attention(needs_attention(&path, at)),
            StepStatus::Failed | StepStatus::TimedOut | StepStatus::Cancelled => self.failed(step, path, frame, at),
        }
    }

    /// A step can be done now.
    fn open(&mut self, step: &'a Step, path: String, frame: &Frame<'a>, what: What) -> Stand {
        if !(self.busy)(&path) {
            self.todo.push(Todo { step, path, frame: frame.clone(), what });
        }
        Stand::Open
    }

    /// A step can be done when its time has come.
    fn when(&mut self, due: Option<Time>, step: &'a Step, path: String, frame: &Frame<'a>) -> Stand {
        match due {
            Some(due) if due > self.now => {
                self.at = Some(self.at.map_or(due, |at| at.min(due)));
                Stand::Open
            }
            _ => self.open(step, path, frame, What::Do),
        }
    }

    fn failed(&mut self, step: &'a Step, path: String, frame: &Frame<'a>, at: &StepState) -> Stand {
        let culprit = at.culprit.clone().unwrap_or_else(|| path.clone());
        if goes_on(step, at) {
            return Stand::Done { warned: true };
        }
        match &step.on_error {
            OnError::Fail => Stand::Failed(culprit),
            OnError::Continue => Stand::Done { warned: true },
            OnError::Steps(steps) => {
                let inner = frame.inside(steps, format!("{path}/on_error/"), Around::Error { path: culprit });
                match self.list(&inner) {
                    Stand::Done { .. } => Stand::Done { warned: true },
                    other => other,
                }
            }
        }
    }

    fn for_each(
        &mut self,
        each: &'a Each,
        (step, path): (&'a Step, String),
        frame: &Frame<'a>,
        at: &StepState,
    ) -> Stand {
        let total = at.items().len();
        let rounds = at.rounds.as_deref();
        if rounds.map_or(0, model::run::Rounds::ended) >= total {
            return self.open(step, path, frame, What::End { culprit: None, warned: false });
        }
        let none = model::run::Rounds::default();
        for index in rounds.unwrap_or(&none).open(total, each.max_parallel) {
            let around = Around::Item { var: &each.var, path: path.clone(), index };
            let inner = frame.inside(&each.steps, format!("{path}/{index}/"), around);
            if let Some(other) = self.round(step, &path, &inner, index) {
                return other;
            }
        }
        Stand::Open
    }

    /// Walks one round of a loop; answers only what ends the whole run.
    fn round(&mut self, step: &'a Step, path: &str, inner: &Frame<'a>, index: u32) -> Option<Stand> {
        let (status, culprit) = match self.list(inner) {
            Stand::Open => return None,
            Stand::Done { warned: false } => (StepStatus::Succeeded, None),
            Stand::Done { warned: true } => (StepStatus::SucceededWithWarnings, None),
            Stand::Failed(culprit) => (StepStatus::Failed, Some(culprit)),
            other => return Some(other),
        };
        let what = What::EndRound { index, status, culprit };
        self.todo.push(Todo { step, path: path.to_owned(), frame: inner.clone(), what });
        None
    }

    fn repeat(
        &mut self,
        repeat: &'a Repeat,
        (step, path): (&'a Step, String),
        frame: &Frame<'a>,
        at: &StepState,
    ) -> Stand {
        let rounds = at.rounds.as_deref();
        if let Some(last) = rounds.and_then(model::run::Rounds::last).filter(|last| last.again.is_none()) {
            let culprit = last.culprit.clone();
            return self.open(step, path, frame, What::End { culprit, warned: false });
        }
        let index = u32::try_from(rounds.map_or(0, |rounds| rounds.ends().len())).unwrap_or(u32::MAX);
        let inner = frame.inside(&repeat.steps, format!("{path}/{index}/"), Around::Nothing);
        self.round(step, &path, &inner, index).unwrap_or(Stand::Open)
    }

    fn parallel(&mut self, step: &'a Step, path: String, frame: &Frame<'a>) -> Stand {
        let Body::Parallel { branches } = &step.body else { return Stand::Open };
        let (mut open, mut warned, mut culprit) = (false, false, None);
        for branch in branches {
            let inner = frame.inside(&branch.steps, format!("{path}/{}/", branch.id), Around::Nothing);
            match self.list(&inner) {
                Stand::Open => open = true,
                Stand::Done { warned: also } => warned |= also,
                Stand::Failed(path) => culprit = culprit.or(Some(path)),
                other => return other,
            }
        }
        if open { Stand::Open } else { self.open(step, path, frame, What::End { culprit, warned }) }
    }

    fn switch(&mut self, step: &'a Step, path: String, frame: &Frame<'a>, at: &StepState) -> Stand {
        let Body::Switch { cases } = &step.body else { return Stand::Open };
        let chosen = at.input.as_ref().and_then(|input| input.value().get("case")?.as_u64());
        let case = chosen.and_then(|n| cases.get(usize::try_from(n).ok()?).map(|case| (n, case)));
        let Some((n, case)) = case else {
            return self.open(step, path, frame, What::End { culprit: None, warned: false });
        };
        let inner = frame.inside(&case.steps, format!("{path}/{n}/"), Around::Nothing);
        let (culprit, warned) = match self.list(&inner) {
            Stand::Done { warned } => (None, warned),
            Stand::Failed(culprit) => (Some(culprit), false),
            other => return other,
        };
        self.open(step, path, frame, What::End { culprit, warned })
    }

    fn guard(&mut self, guard: &'a Guard, (step, path): (&'a Step, String), frame: &Frame<'a>) -> Stand {
        let list = |name: &str, around| frame.inside(guard.list(name), format!("{path}/{name}/"), around);
        let tried = match self.list(&list("try", Around::Nothing)) {
            Stand::Failed(culprit) if !guard.catch.is_empty() => {
                match self.list(&list("catch", Around::Error { path: culprit })) {
                    Stand::Done { .. } => Stand::Done { warned: true },
                    other => other,
                }
            }
            other => other,
        };
        if matches!(tried, Stand::Open | Stand::Attention(_)) {
            return tried;
        }
        let last = self.list(&list("finally", Around::Nothing));
        let (culprit, warned) = match (tried, last) {
            (_, other @ (Stand::Open | Stand::Attention(_) | Stand::Stopped(_))) => return other,
            (stopped @ Stand::Stopped(_), Stand::Done { .. }) => return stopped,
            (_, Stand::Failed(culprit)) | (Stand::Failed(culprit), _) => (Some(culprit), false),
            (Stand::Done { warned }, Stand::Done { warned: also }) => (None, warned | also),
            (other, _) => return other,
        };
        self.open(step, path, frame, What::End { culprit, warned })
    }
}

/// Whether it was a wait for an event that did not come, with `on_timeout: continue`.
fn goes_on(step: &Step, at: &StepState) -> bool {
    at.status == StepStatus::TimedOut
        && matches!(&step.body, Body::Wait(Wait::Event(wait)) if !wait.fails)
        && at.error.as_ref().is_some_and(|error| error.code == WAIT_TIMEOUT)
}

/// The lists in a step that are at work, each with what comes between its own path and theirs.
fn open_lists<'a>(step: &'a Step, at: &StepState) -> Vec<(String, &'a [Step])> {
    let open = !at.status.is_final();
    let rounds = at.rounds.as_deref();
    let all = step.lists().into_iter().filter(|(between, _)| open != (between == "on_error"));
    all.flat_map(|(between, steps)| {
        let numbers: Vec<u32> = match (&step.body, between.as_str()) {
            (Body::ForEach(each), "*") => {
                let none = model::run::Rounds::default();
                rounds.unwrap_or(&none).open(at.items().len(), each.max_parallel).collect()
            }
            (Body::Repeat(_), "*") => {
                u32::try_from(rounds.map_or(0, |rounds| rounds.ends().len())).into_iter().collect()
            }
            _ => return vec![(between, steps)],
        };
        numbers.into_iter().map(|number| (number.to_string(), steps)).collect()
    })
    .collect()
}

/// The earliest time at which a try is due. Nothing when there is something to do anyway: a destination that was not tried
/// yet, because it was busy or all that leaves is paused, waits for no other; the action says when to ask again.
fn retry_at(at: &StepState) -> Option<Time> {
    let mut latest: Vec<(&Option<String>, &AttemptOutcome)> = Vec::new();
    for attempt in &at.attempts {
        match latest.iter_mut().find(|(destination, _)| **destination == attempt.destination) {
            Some(known) => known.1 = &attempt.outcome,
            None => latest.push((&attempt.destination, &attempt.outcome)),
        }
    }
    let due = latest.iter().filter_map(|(_, outcome)| match outcome {
        AttemptOutcome::Retry { at } => Some(*at),
        _ => None,
    });
    let held = latest.iter().any(|(_, outcome)| matches!(outcome, AttemptOutcome::Held));
    due.min().filter(|_| !held && !is_untried(at, &latest))
}

/// Whether one of the destinations of a step has not been tried at all.
fn is_untried(at: &StepState, tried: &[(&Option<String>, &AttemptOutcome)]) -> bool {
    let to = at.input.as_ref().and_then(|input| input.value().get("to")?.as_array());
    let known = |id: &str| tried.iter().any(|(destination, _)| destination.as_deref() == Some(id));
    to.is_some_and(|to| to.iter().filter_map(serde_json::Value::as_str).any(|id| !known(id)))
}

/// A step that must not be repeated was begun and its outcome was never recorded: the server died in between.
fn unknown_outcome(path: &str) -> String {
    format!("step `{path}` was begun and its outcome is unknown; it must not be repeated unseen")
}

fn needs_attention(path: &str, at: &StepState) -> String {
    let what = at.error.as_ref().map_or("its outcome is unknown", |error| error.message.as_str());
    format!("step `{path}`: {what}")
}
