//! What comes next, in all situations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use model::run::AttemptOutcome;
use model::run::{Attempt, Fact, RunStart};
use model::{Digest, EventId, Record, RunId, Seq};
use playbook::OnError;
use playbook::{Body, Span};
use serde_json::json;

fn step(path: &str, on_error: OnError) -> Step {
    let spec = crate::action::find("log").unwrap().spec();
    Step {
        id: path.into(),
        path: path.into(),
        condition: None,
        body: Body::Action { spec, with: Arc::new(BTreeMap::new()) },
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
        on_failure: vec![step("on_failure/f", OnError::Fail), step("on_failure/g", OnError::Fail)],
        finally: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        step_ids: Vec::new(),
        tests: Vec::new(),
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
        requester: None,
        caller: None,
        carried: Vec::new(),
        gate: None,
        observed: false,
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
    let error = status.is_failure().then(|| StepError { code: "http_status".into(), message: "no".into(), at: None });
    let path = path.to_owned();
    Fact::StepEnded {
        path,
        action: "log".into(),
        status,
        at: at(1),
        output: None,
        error,
        handled: false,
        culprit: None,
    }
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
        redacted: Vec::new(),
    };
    Fact::Attempted { path: path.into(), attempt }
}

/// What comes next at this second, in a few words.
fn says(on_error: OnError, facts: &[Fact], second: i64) -> String {
    let playbook = playbook(on_error);
    match next(&state(facts), &playbook, at(second), &|_| false) {
        Next::Start => "start".to_owned(),
        Next::Work { todo, at } => match (&todo[..], at) {
            ([], Some(time)) => format!("at {}", time.millis() / 1000),
            (todo, _) => todo.iter().map(|todo| todo.path.as_str()).collect::<Vec<_>>().join(" "),
        },
        Next::CutOff { .. } => "timed_out".to_owned(),
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
    let facts = [
        begun(),
        ended("a", Succeeded),
        ended("b", Failed),
        ended("on_failure/f", Succeeded),
        ended("on_failure/g", Succeeded),
    ];
    for (known, expected) in [(3, "on_failure/f"), (4, "on_failure/g"), (5, "failed")] {
        assert_eq!(says(OnError::Fail, &facts[..known], 2), expected);
    }
    let again = [begun(), ended("a", Failed), ended("on_failure/f", Failed)];
    assert_eq!(says(OnError::Fail, &again, 2), "failed", "a failure there ends it");
}

#[test]
fn the_reason_of_a_failed_run_is_the_first_failure() {
    let facts = [begun(), ended("a", StepStatus::Failed), ended("on_failure/f", StepStatus::Failed)];
    let Next::End { reason, .. } = next(&state(&facts), &playbook(OnError::Fail), at(2), &|_| false) else {
        panic!("an end")
    };
    assert_eq!(reason.unwrap(), "step `a` failed: no (http_status)");
    let state = state(&facts);
    let playbook = playbook(OnError::Fail);
    assert_eq!(failure(&state, &playbook, at(2)).unwrap().path.as_deref(), Some("a"));
}

#[test]
fn a_failure_that_is_handled_leaves_a_warning() {
    use StepStatus::{Failed, Succeeded, TimedOut};
    for status in [Failed, TimedOut] {
        let facts = [begun(), ended("a", Succeeded), ended("b", status), ended("c", Succeeded)];
        assert_eq!(says(OnError::Continue, &facts[..3], 2), "c");
        assert_eq!(says(OnError::Continue, &facts, 2), "succeeded_with_warnings");
    }
    let fallback = || OnError::Steps(vec![step("b/on_error/x", OnError::Fail), step("b/on_error/y", OnError::Fail)]);
    let mut facts = vec![begun(), ended("a", Succeeded), ended("b", Failed)];
    for (expected, status) in [("b/on_error/x", Succeeded), ("b/on_error/y", Succeeded), ("c", Succeeded)] {
        assert_eq!(says(fallback(), &facts, 2), expected);
        facts.push(ended(expected, status));
    }
    assert_eq!(says(fallback(), &facts, 2), "succeeded_with_warnings");
    let facts = [begun(), ended("a", Succeeded), ended("b", Failed), ended("b/on_error/x", Failed)];
    assert_eq!(says(fallback(), &facts, 2), "on_failure/f", "a failure of the fallback is not handled");
}

#[test]
fn a_step_whose_server_died_is_done_again_unless_it_must_not_be() {
    assert_eq!(says(OnError::Fail, &[begun(), acting("a", false)], 2), "a");
    assert_eq!(says(OnError::Fail, &[begun(), acting("a", true)], 2), "needs_attention");
    assert_eq!(says(OnError::Fail, &[begun(), acting("a", true)], 99), "needs_attention", "whatever the time");
    assert_eq!(says(OnError::Continue, &[begun(), ended("a", StepStatus::NeedsAttention)], 2), "needs_attention");
    // A failure that is known may be followed by another try, even of what must not be repeated unseen.
    let known = [begun(), acting("a", true), acting("a", false), tried("a", None, AttemptOutcome::Retry { at: at(3) })];
    assert_eq!(says(OnError::Fail, &known, 2), "at 3");
    assert_eq!(says(OnError::Fail, &known, 3), "a");
}

#[test]
fn the_next_try_is_when_the_first_of_the_destinations_is_due() {
    let retry = |second| AttemptOutcome::Retry { at: at(second) };
    let mut facts = vec![begun(), acting("a", false), tried("a", Some("x"), retry(5)), tried("a", Some("y"), retry(7))];
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
        (&[begun(), ended("a", TimedOut)], "on_failure/f"),
        (&[begun(), ended("a", Failed)], "on_failure/f"),
        (&[begun(), ended("a", Failed), ended("on_failure/f", Succeeded), ended("on_failure/g", Succeeded)], "failed"),
        (&[begun(), ended("a", Succeeded), ended("b", Succeeded), ended("c", Succeeded)], "succeeded"),
    ] {
        assert_eq!(says(OnError::Fail, facts, 10), expected, "{facts:?}");
    }
    assert_eq!(says(OnError::Fail, &waiting, 9), "at 30", "just before its timeout");
    assert_eq!(deadlines(&state(&[begun()]), &playbook(OnError::Fail)), Some([at(10), at(310)]));
    assert_eq!(deadlines(&state(&[]), &playbook(OnError::Fail)), None, "the queue does not count");
    assert_eq!(says(OnError::Fail, &[begun(), ended("a", Failed)], 310), "failed", "what comes after has an end too");
}

#[test]
fn what_the_playbook_does_about_a_failure_is_done_when_its_time_is_over_too() {
    let overdue = || Fact::Overdue { at: at(10), reason: "it took longer than 10s".into(), step: Some("a".into()) };
    let mut facts = vec![begun(), ended("a", StepStatus::TimedOut), overdue()];
    for expected in ["on_failure/f", "on_failure/g"] {
        assert_eq!(says(OnError::Continue, &facts, 20), expected);
        assert_eq!(says(OnError::Continue, &facts, 310), "timed_out", "with an end");
        facts.push(ended(expected, StepStatus::Succeeded));
    }
    assert_eq!(says(OnError::Continue, &facts, 20), "timed_out");
    let told = failure(&state(&facts), &playbook(OnError::Continue), at(20)).unwrap();
    assert_eq!((told.path.as_deref(), told.error.unwrap().message.as_str()), (Some("a"), "it took longer than 10s"));
}

#[test]
fn a_run_is_active_for_a_day_at_most_and_its_rests_do_not_count() {
    let day = i64::try_from(model::limits::RUN_ACTIVE_SECONDS_MAX).unwrap();
    let spent = |path: &str, from: i64, to: i64| {
        let Fact::Attempted { path, attempt } = tried(path, None, AttemptOutcome::Succeeded) else { panic!("a try") };
        let attempt = Attempt { started_at: at(from), ended_at: at(to), ..attempt };
        Fact::Attempted { path, attempt }
    };
    let mut slow = playbook(OnError::Fail);
    slow.timeout = None;
    let says = |facts: &[Fact], second: i64| match next(&state(facts), &slow, at(second), &|_| false) {
        Next::Work { todo, .. } => todo[0].path.clone(),
        Next::CutOff { reason } => reason,
        other => format!("{other:?}"),
    };
    // Two tries overlap, the second begins long after the first.
    let half =
        [begun(), acting("a", false), spent("a", 0, day / 2), spent("a", 1, day / 2), spent("a", day * 9, day * 9 + 1)];
    assert_eq!(says(&half, day * 9 + 1), "a", "half a day and a second");
    let whole = [&half[..], &[spent("a", day * 20, day * 20 + day / 2), ended("a", StepStatus::Succeeded)]].concat();
    assert_eq!(says(&whole, day * 21), "it was active for longer than 1d");
    assert_eq!(active_left(&state(&half), false).as_secs(), model::limits::RUN_ACTIVE_SECONDS_MAX / 2 - 1);
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
    start.carried =
        vec![ended("a", StepStatus::Succeeded), acting("b", false), tried("b", Some("x"), AttemptOutcome::Succeeded)];
    let mut state = RunState::new(start).unwrap();
    let playbook = playbook(OnError::Fail);
    assert_eq!(state.status, RunStatus::Queued);
    assert!(matches!(next(&state, &playbook, at(0), &|_| false), Next::Start));
    state.apply(&begun()).unwrap();
    assert!(matches!(next(&state, &playbook, at(0), &|_| false), Next::Work { todo, .. } if todo[0].path == "b"));
}
