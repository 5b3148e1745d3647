//! What a run does next: pure.
//!
//! [`next`] looks at the folded state and the playbook's text and answers one thing. It is asked again after every
//! recorded fact, live and after a crash alike, so that there is no position to lose: what has been recorded is the
//! position. Nested lists of steps are walked the same way; the join of a list is its end.

use model::Time;
use model::run::{AttemptOutcome, RunState, RunStatus, StepError, StepState, StepStatus};
use playbook::{OnError, Playbook, Step};

/// The code of a step that was left out because its `if` said no.
pub const CONDITION: &str = "condition";

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Leave the queue.
    Start,
    /// Do this step: for the first time, or again.
    Step(&'a Step),
    /// Nothing before this time.
    At(Time),
    /// The run is over.
    End {
        /// How.
        status: RunStatus,
        /// Why, where the status alone does not say.
        reason: Option<String>,
    },
}

/// The failure that `on_failure` and the end of the run speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The path of the step.
    pub path: &'a str,
    /// What went wrong.
    pub error: Option<&'a StepError>,
}

/// How a list of steps stands.
enum Walk<'a> {
    /// All done; whether a failure was handled on the way.
    Done { warned: bool },
    /// Not yet.
    Next(Next<'a>),
    /// A step failed and nothing handles it.
    Failed(&'a Step),
}

/// Says what comes next. What is over is over: a run whose steps are all done has not timed out, and a step whose outcome
/// is unknown needs a person whatever the time.
pub fn next<'a>(state: &RunState, playbook: &'a Playbook, now: Time) -> Next<'a> {
    if state.status.is_final() {
        return Next::End { status: state.status, reason: state.reason.clone() };
    }
    if let Some(by) = &state.cancel {
        return Next::End { status: RunStatus::Cancelled, reason: Some(format!("cancelled by {by}")) };
    }
    let Some(started) = state.started_at else { return Next::Start };
    let overdue = playbook.timeout.filter(|timeout| now >= started.plus(*timeout));
    let timed_out = |timeout| {
        let reason = format!("it took longer than {}", model::period::format(timeout));
        Next::End { status: RunStatus::TimedOut, reason: Some(reason) }
    };
    match (walk(&playbook.steps, state, now), overdue) {
        (Walk::Done { warned: false }, _) => Next::End { status: RunStatus::Succeeded, reason: None },
        (Walk::Done { warned: true }, _) => Next::End { status: RunStatus::SucceededWithWarnings, reason: None },
        (Walk::Next(end @ Next::End { .. }), _) => end,
        (Walk::Next(_), Some(timeout)) => timed_out(timeout),
        (Walk::Failed(step), Some(timeout)) if has_status(state, step, StepStatus::TimedOut) => timed_out(timeout),
        (Walk::Next(next), None) => next,
        (Walk::Failed(step), overdue) => match walk(&playbook.on_failure, state, now) {
            Walk::Next(end @ Next::End { .. }) => end,
            Walk::Next(next) if overdue.is_none() => next,
            _ => Next::End { status: RunStatus::Failed, reason: Some(why(state, step)) },
        },
    }
}

fn has_status(state: &RunState, step: &Step, status: StepStatus) -> bool {
    state.steps.get(&step.path).is_some_and(|step| step.status == status)
}

/// When a run must be looked at again even if nothing happens: its deadline.
pub fn deadline(state: &RunState, playbook: &Playbook) -> Option<Time> {
    Some(state.started_at?.plus(playbook.timeout?))
}

/// The failure that makes the run fail, if there is one.
pub fn failure<'a>(state: &'a RunState, playbook: &'a Playbook, now: Time) -> Option<Failure<'a>> {
    match walk(&playbook.steps, state, now) {
        Walk::Failed(step) => {
            let error = state.steps.get(&step.path).and_then(|step| step.error.as_ref());
            Some(Failure { path: &step.path, error })
        }
        Walk::Done { .. } | Walk::Next(_) => None,
    }
}

fn why(state: &RunState, step: &Step) -> String {
    let error = state.steps.get(&step.path).and_then(|step| step.error.as_ref());
    error.map_or_else(
        || format!("step `{}` failed", step.path),
        |error| format!("step `{}` failed: {} ({})", step.path, error.message, error.code),
    )
}

fn walk<'a>(steps: &'a [Step], state: &RunState, now: Time) -> Walk<'a> {
    let mut warned = false;
    for step in steps {
        let Some(at) = state.steps.get(&step.path) else { return Walk::Next(Next::Step(step)) };
        match at.status {
            StepStatus::Running if at.outcome_unknown() => return Walk::Next(unknown_outcome(step)),
            StepStatus::Running => return Walk::Next(Next::Step(step)),
            StepStatus::Retrying => return Walk::Next(retry(step, at, now)),
            StepStatus::Succeeded | StepStatus::Skipped => {}
            StepStatus::NeedsAttention => return Walk::Next(needs_attention(step, at)),
            StepStatus::Failed | StepStatus::TimedOut | StepStatus::Cancelled => match &step.on_error {
                OnError::Fail => return Walk::Failed(step),
                OnError::Continue => warned = true,
                OnError::Steps(fallback) => match walk(fallback, state, now) {
                    Walk::Done { .. } => warned = true,
                    other => return other,
                },
            },
        }
    }
    Walk::Done { warned }
}

/// The earliest time at which a try is due, or the step itself when that time has come. A destination that was not tried
/// yet, because it was busy or all that leaves is paused, waits for no other: the action says when to ask again.
fn retry<'a>(step: &'a Step, at: &StepState, now: Time) -> Next<'a> {
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
    match due.min() {
        Some(due) if due > now && !held && !is_untried(at, &latest) => Next::At(due),
        _ => Next::Step(step),
    }
}

/// Whether one of the destinations of a step has not been tried at all.
fn is_untried(at: &StepState, tried: &[(&Option<String>, &AttemptOutcome)]) -> bool {
    let to = at.input.as_ref().and_then(|input| input.value().get("to")?.as_array());
    let known = |id: &str| tried.iter().any(|(destination, _)| destination.as_deref() == Some(id));
    to.is_some_and(|to| to.iter().filter_map(serde_json::Value::as_str).any(|id| !known(id)))
}

/// A step that must not be repeated was begun and its outcome was never recorded: the server died in between.
fn unknown_outcome<'a>(step: &Step) -> Next<'a> {
    let reason = format!("step `{}` was begun and its outcome is unknown; it must not be repeated unseen", step.path);
    Next::End { status: RunStatus::NeedsAttention, reason: Some(reason) }
}

fn needs_attention<'a>(step: &Step, at: &StepState) -> Next<'a> {
    let what = at.error.as_ref().map_or("its outcome is unknown", |error| error.message.as_str());
    Next::End { status: RunStatus::NeedsAttention, reason: Some(format!("step `{}`: {what}", step.path)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use model::run::{Attempt, Fact, RunStart};
    use model::{Digest, EventId, Record, RunId, Seq};
    use playbook::{Body, Span};
    use serde_json::json;

    fn step(path: &str, on_error: OnError) -> Step {
        let spec = crate::action::find("log").unwrap().spec();
        Step {
            id: path.into(),
            path: path.into(),
            condition: None,
            body: Body::Action { spec, with: BTreeMap::new() },
            timeout: None,
            retry: None,
            on_error,
            span: Span { line: 1, column: 1, len: 1 },
        }
    }

    /// Steps `a`, `b` (with `on_error`), `c`; on failure `f`, `g`; ten seconds.
    fn playbook(on_error: OnError) -> Playbook {
        Playbook {
            id: "p".into(),
            name: "p".into(),
            description: String::new(),
            enabled: true,
            order: 100,
            tenants: None,
            expires: None,
            triggers: Vec::new(),
            secrets: Vec::new(),
            when: None,
            vars: Arc::new(json!({})),
            control: playbook::Control::default(),
            timeout: Some(Duration::from_secs(10)),
            steps: vec![step("a", OnError::Fail), step("b", on_error), step("c", OnError::Fail)],
            on_failure: vec![step("f", OnError::Fail), step("g", OnError::Fail)],
            tests: None,
            triggers_itself: false,
            file: "p.yaml".into(),
            text: "".into(),
            digest: Digest::of(b""),
        }
    }

    fn state(facts: &[Fact]) -> RunState {
        let mut state = RunState::new(RunStart {
            id: RunId { seq: Seq(1), n: 0, tag: 7 },
            playbook: "p".into(),
            digest: Digest::of(b""),
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
        .unwrap();
        for fact in facts {
            state.apply(fact).unwrap();
        }
        state
    }

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn begun() -> Fact {
        Fact::Started { at: at(0) }
    }

    fn ended(path: &str, status: StepStatus) -> Fact {
        let error =
            status.is_failure().then(|| StepError { code: "http_status".into(), message: "no".into(), at: None });
        let path = path.to_owned();
        Fact::StepEnded { path, action: "log".into(), status, at: at(1), output: None, error, handled: false }
    }

    fn acting(path: &str, once: bool) -> Fact {
        Fact::StepStarted { path: path.into(), action: "log".into(), at: at(1), input: None, once }
    }

    fn tried(path: &str, destination: Option<&str>, outcome: AttemptOutcome) -> Fact {
        let attempt = Attempt {
            n: 1,
            destination: destination.map(str::to_owned),
            started_at: at(1),
            ended_at: at(1),
            outcome,
            http_status: None,
            answer: None,
            error: None,
        };
        Fact::Attempted { path: path.into(), attempt }
    }

    /// What comes next at this second, in a few words.
    fn says(on_error: OnError, facts: &[Fact], second: i64) -> String {
        let playbook = playbook(on_error);
        match next(&state(facts), &playbook, at(second)) {
            Next::Start => "start".to_owned(),
            Next::Step(step) => step.path.clone(),
            Next::At(time) => format!("at {}", time.millis() / 1000),
            Next::End { status, .. } => status.name().to_owned(),
        }
    }

    #[test]
    fn steps_follow_each_other_until_the_end() {
        use StepStatus::{Skipped, Succeeded};
        let facts = [begun(), ended("a", Succeeded), ended("b", Skipped), ended("c", Succeeded)];
        for (known, expected) in [(0, "start"), (1, "a"), (2, "b"), (3, "c"), (4, "succeeded")] {
            assert_eq!(says(OnError::Fail, &facts[..known], 2), expected);
        }
    }

    #[test]
    fn a_failure_is_followed_by_what_is_done_about_it_and_the_run_has_failed() {
        use StepStatus::{Failed, Succeeded};
        let facts = [begun(), ended("a", Succeeded), ended("b", Failed), ended("f", Succeeded), ended("g", Succeeded)];
        for (known, expected) in [(3, "f"), (4, "g"), (5, "failed")] {
            assert_eq!(says(OnError::Fail, &facts[..known], 2), expected);
        }
        let again = [begun(), ended("a", Failed), ended("f", Failed)];
        assert_eq!(says(OnError::Fail, &again, 2), "failed", "a failure there ends it");
    }

    #[test]
    fn the_reason_of_a_failed_run_is_the_first_failure() {
        let facts = [begun(), ended("a", StepStatus::Failed), ended("f", StepStatus::Failed)];
        let Next::End { reason, .. } = next(&state(&facts), &playbook(OnError::Fail), at(2)) else { panic!("an end") };
        assert_eq!(reason.unwrap(), "step `a` failed: no (http_status)");
        let state = state(&facts);
        let playbook = playbook(OnError::Fail);
        assert_eq!(failure(&state, &playbook, at(2)).unwrap().path, "a");
    }

    #[test]
    fn a_failure_that_is_handled_leaves_a_warning() {
        use StepStatus::{Failed, Succeeded, TimedOut};
        for status in [Failed, TimedOut] {
            let facts = [begun(), ended("a", Succeeded), ended("b", status), ended("c", Succeeded)];
            assert_eq!(says(OnError::Continue, &facts[..3], 2), "c");
            assert_eq!(says(OnError::Continue, &facts, 2), "succeeded_with_warnings");
        }
        let fallback = || OnError::Steps(vec![step("b/x", OnError::Fail), step("b/y", OnError::Fail)]);
        let mut facts = vec![begun(), ended("a", Succeeded), ended("b", Failed)];
        for (expected, status) in [("b/x", Succeeded), ("b/y", Succeeded), ("c", Succeeded)] {
            assert_eq!(says(fallback(), &facts, 2), expected);
            facts.push(ended(expected, status));
        }
        assert_eq!(says(fallback(), &facts, 2), "succeeded_with_warnings");
        let facts = [begun(), ended("a", Succeeded), ended("b", Failed), ended("b/x", Failed)];
        assert_eq!(says(fallback(), &facts, 2), "f", "a failure of the fallback is not handled");
    }

    #[test]
    fn a_step_whose_server_died_is_done_again_unless_it_must_not_be() {
        assert_eq!(says(OnError::Fail, &[begun(), acting("a", false)], 2), "a");
        assert_eq!(says(OnError::Fail, &[begun(), acting("a", true)], 2), "needs_attention");
        assert_eq!(says(OnError::Fail, &[begun(), acting("a", true)], 99), "needs_attention", "whatever the time");
        assert_eq!(says(OnError::Continue, &[begun(), ended("a", StepStatus::NeedsAttention)], 2), "needs_attention");
        // A failure that is known may be followed by another try, even of what must not be repeated unseen.
        let known =
            [begun(), acting("a", true), acting("a", false), tried("a", None, AttemptOutcome::Retry { at: at(3) })];
        assert_eq!(says(OnError::Fail, &known, 2), "at 3");
        assert_eq!(says(OnError::Fail, &known, 3), "a");
    }

    #[test]
    fn the_next_try_is_when_the_first_of_the_destinations_is_due() {
        let retry = |second| AttemptOutcome::Retry { at: at(second) };
        let mut facts =
            vec![begun(), acting("a", false), tried("a", Some("x"), retry(5)), tried("a", Some("y"), retry(7))];
        assert_eq!(says(OnError::Fail, &facts, 4), "at 5");
        assert_eq!(says(OnError::Fail, &facts, 5), "a");
        facts.push(tried("a", Some("x"), AttemptOutcome::Succeeded));
        assert_eq!(says(OnError::Fail, &facts, 5), "at 7", "only the last try of each counts");
    }

    #[test]
    fn a_run_that_takes_too_long_has_timed_out_unless_it_is_over() {
        use StepStatus::{Failed, Succeeded, TimedOut};
        let waiting = [begun(), acting("a", false), tried("a", None, AttemptOutcome::Retry { at: at(30) })];
        for (facts, expected) in [
            (&[begun()][..], "timed_out"),
            (&waiting, "timed_out"),
            (&[begun(), ended("a", TimedOut)], "timed_out"),
            (&[begun(), ended("a", Failed)], "failed"),
            (&[begun(), ended("a", Failed), ended("f", Succeeded), ended("g", Succeeded)], "failed"),
            (&[begun(), ended("a", Succeeded), ended("b", Succeeded), ended("c", Succeeded)], "succeeded"),
        ] {
            assert_eq!(says(OnError::Fail, facts, 10), expected, "{facts:?}");
        }
        assert_eq!(says(OnError::Fail, &waiting, 9), "at 30", "just before its timeout");
        assert_eq!(deadline(&state(&[begun()]), &playbook(OnError::Fail)), Some(at(10)));
        assert_eq!(deadline(&state(&[]), &playbook(OnError::Fail)), None, "the queue does not count");
    }

    #[test]
    fn a_cancelled_run_does_nothing_more() {
        let cancel = Fact::CancelRequested { by: "token:eva".into(), at: at(1) };
        assert_eq!(says(OnError::Fail, std::slice::from_ref(&cancel), 2), "cancelled");
        assert_eq!(says(OnError::Fail, &[begun(), acting("a", false), cancel], 2), "cancelled");
    }

    #[test]
    fn what_is_taken_over_from_another_run_is_not_done_again() {
        let mut start = state(&[]).start;
        start.carried = vec![
            ended("a", StepStatus::Succeeded),
            acting("b", false),
            tried("b", Some("x"), AttemptOutcome::Succeeded),
        ];
        let mut state = RunState::new(start).unwrap();
        let playbook = playbook(OnError::Fail);
        assert_eq!(state.status, RunStatus::Queued);
        assert!(matches!(next(&state, &playbook, at(0)), Next::Start));
        state.apply(&begun()).unwrap();
        assert!(matches!(next(&state, &playbook, at(0)), Next::Step(step) if step.path == "b"));
    }
}
