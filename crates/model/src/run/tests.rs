//! What is legal, and what follows from it.

use serde_json::Value;

use super::*;
use crate::id::{Digest, EventId, RunId, Seq};
use crate::input::Input;
use crate::record::Record;
use crate::time::Time;

pub(super) fn state() -> RunState {
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
        requester: None,
        caller: None,
        carried: Vec::new(),
        gate: None,
        observed: false,
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
            redacted: Vec::new(),
        },
    }
}

fn started() -> Fact {
    Fact::StepStarted { path: "send".into(), action: "webhook.send".into(), at: Time::EPOCH, input: None, once: false }
}

fn ended(status: RunStatus) -> Fact {
    Fact::Ended { status, at: Time::EPOCH, reason: None, output: None }
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
    let all: Vec<_> = run.deliveries().iter().map(|d| (d.destination.clone(), d.status, d.attempts)).collect();
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
