//! Sending to several destinations, against real receivers.

use std::time::Duration;

use model::run::{AttemptOutcome, DeliveryStatus};
use model::{Kind, ObjectKey};
use playbook::{Backoff, Retry};
use serde_json::json;

use super::StepResult;
use super::testing::{Bench, NOW, alert, case, destination, failure};
use crate::outbound::Secret;
use crate::outbound::destination::{Auth, Destination, Sign, TimeFormat};
use crate::outbound::secret::Placed;
use crate::outbound::sign;
use crate::outbound::testing::{Receiver, Reply};

const SEND: &str = "webhook.send_threat_details";

fn about_an_alert() -> Bench {
    Bench::new(json!({"alert": "A-1", "trigger": {"kind": "alert.created"}})).object(
        alert("A-1"),
        json!({"id": "A-1", "name": "Impossible travel", "priority": "medium", "users": ["alice"],
               "created_time": "2025-04-04T01:09:48.934673Z"}),
    )
}

fn quick() -> Retry {
    Retry { max: 3, backoff: Backoff::Exponential, first: Duration::from_secs(1), cap: Duration::from_secs(60) }
}

#[tokio::test]
async fn an_alert_arrives_with_its_id_signed_and_authenticated_and_the_history_holds_no_secret() {
    let mut receiver = Receiver::answering(Reply::Answer(200, Vec::new(), b"thanks canary-s3cret".to_vec())).await;
    let desk = Destination {
        auth: Auth::Header { name: "x-auth".parse().unwrap(), value: Placed::parse("Key ${secret:KEY}").unwrap() },
        sign: Some(Sign::Standard(vec![Placed::parse("${secret:SIGN}").unwrap()])),
        ..destination("desk", &receiver)
    };
    let mut bench = about_an_alert().destinations(vec![desk]).with(json!({"to": "desk"}));
    let outcome = bench.run(SEND).await;
    assert!(matches!(&outcome.result, StepResult::Done { output } if output["delivered"] == 1), "{:?}", outcome.result);
    let got = receiver.next().await;
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/desk"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("x-auth"), Some("Key canary-s3cret"));
    assert_eq!(got.header("webhook-id"), Some("run-0000000007-0-000009/send/desk"));
    assert_eq!(got.header("sortie-chain"), Some("1"));
    let secret = [Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    let parts = (
        got.header("webhook-id").unwrap(),
        got.header("webhook-timestamp").unwrap(),
        got.header("webhook-signature").unwrap(),
    );
    sign::verify_standard(&secret, parts, &got.body, NOW).unwrap();
    let body = got.json();
    assert_eq!((&body["alert_id"], &body["users"], &body["tags"]), (&json!("A-1"), &json!(["alice"]), &json!([])));
    let kept = format!("{outcome:?}{}", serde_json::to_string(&bench.state.steps).unwrap());
    assert!(!kept.contains("canary"), "{kept}");
    assert!(outcome.attempts[0].answer.as_ref().unwrap().body.starts_with("thanks ["));
}

#[tokio::test]
async fn a_failing_receiver_is_tried_four_times_with_the_same_bytes_and_id() {
    let mut receiver = Receiver::answering(Reply::status(503)).await;
    let mut bench = about_an_alert().destinations(vec![destination("desk", &receiver)]).with(json!({"to": ["desk"]}));
    let first = bench.run(SEND).await;
    assert!(matches!(first.result, StepResult::Retry { at } if at > NOW && at <= NOW.plus(Duration::from_secs(1))));
    // What is known of the alert changes between the tries; what is sent does not.
    bench = bench.object(alert("A-1"), json!({"id": "A-1", "name": "changed"}));
    let last = bench.run_to_end(SEND).await;
    let (code, message) = failure(&last);
    assert_eq!((code, message), ("http_status", "desk: the receiver answered HTTP 503 (4 tries)"));
    let got = receiver.so_far();
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|one| one.body == got[0].body && one.header("webhook-id") == got[0].header("webhook-id")));
    assert_eq!(bench.state.deliveries()[0].status, DeliveryStatus::Failed);
}

#[tokio::test]
async fn max_zero_means_one_call_and_a_steps_own_retry_wins() {
    let mut receiver = Receiver::answering(Reply::status(500)).await;
    let desk = Destination { retry: Some(Retry { max: 0, ..quick() }), ..destination("desk", &receiver) };
    let bench = || about_an_alert().destinations(vec![desk.clone()]).with(json!({"to": "desk"}));
    assert_eq!(failure(&bench().run(SEND).await).0, "http_status");
    assert_eq!(receiver.so_far().len(), 1);
    let mut nearer = bench();
    nearer.retry = Some(quick());
    assert!(matches!(nearer.run(SEND).await.result, StepResult::Retry { .. }));
}

#[tokio::test]
async fn a_retry_after_is_honoured_and_another_4xx_is_never_tried_again() {
    let receiver = Receiver::answering(Reply::Answer(429, vec![("retry-after", "3600".into())], Vec::new())).await;
    let mut bench = about_an_alert().destinations(vec![destination("desk", &receiver)]).with(json!({"to": "desk"}));
    let outcome = bench.run(SEND).await;
    assert_eq!(outcome.result, StepResult::Retry { at: NOW.plus(Duration::from_secs(3600)) });
    let hostile =
        Receiver::answering(Reply::Answer(429, vec![("retry-after", "1000000000000".into())], Vec::new())).await;
    let mut bench = about_an_alert().destinations(vec![destination("desk", &hostile)]).with(json!({"to": "desk"}));
    assert_eq!(bench.run(SEND).await.result, StepResult::Retry { at: NOW.plus(Duration::from_secs(3600)) });
    for status in [400, 401, 404, 410, 302] {
        let mut receiver = Receiver::answering(Reply::status(status)).await;
        let mut bench = about_an_alert().destinations(vec![destination("desk", &receiver)]).with(json!({"to": "desk"}));
        assert!(matches!(bench.run(SEND).await.result, StepResult::Failed(_)), "{status}");
        assert_eq!(receiver.so_far().len(), 1);
    }
}

#[tokio::test]
async fn a_reset_is_tried_again_with_the_same_id() {
    let mut receiver = Receiver::start(|n, _| if n == 0 { Reply::Reset } else { Reply::status(200) }).await;
    let mut bench = about_an_alert().destinations(vec![destination("desk", &receiver)]).with(json!({"to": "desk"}));
    let outcome = bench.run_to_end(SEND).await;
    assert!(matches!(outcome.result, StepResult::Done { .. }));
    let got = receiver.so_far();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
}

#[tokio::test]
async fn of_several_destinations_only_those_that_failed_are_tried_again() {
    let mut good = Receiver::answering(Reply::status(200)).await;
    let mut shaky = Receiver::start(|n, _| Reply::status(if n == 0 { 500 } else { 204 })).await;
    let mut gone = Receiver::answering(Reply::status(410)).await;
    let all = vec![destination("good", &good), destination("shaky", &shaky), destination("gone", &gone)];
    let mut bench = about_an_alert().destinations(all).with(json!({"to": ["good", "shaky", "gone", "unknown"]}));
    let outcome = bench.run_to_end(SEND).await;
    let (code, message) = failure(&outcome);
    assert_eq!(code, "http_status");
    assert_eq!(
        message,
        "gone: the receiver answered HTTP 410 (1 try); unknown: there is no destination `unknown` (1 try)"
    );
    assert_eq!((good.so_far().len(), shaky.so_far().len(), gone.so_far().len()), (1, 2, 1));
}

#[tokio::test]
async fn who_does_not_want_it_is_not_sent_it_and_all_of_them_make_the_step_skipped() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let plain = |id: &str| destination(id, &receiver);
    let all = vec![
        Destination { enabled: false, ..plain("off") },
        Destination { min_severity: Some(2), ..plain("high") },
        Destination { kinds: Some(vec!["case".into()]), ..plain("cases") },
        Destination { tenants: Some(vec!["acme".into()]), ..plain("acme") },
        Destination { min_severity: Some(1), ..plain("medium") },
    ];
    let mut bench = about_an_alert().destinations(all.clone()).with(json!({"to": ["off", "high", "cases", "acme"]}));
    let outcome = bench.run(SEND).await;
    assert!(
        matches!(&outcome.result, StepResult::Skipped { reason, .. }
        if reason == "off: disabled; high: below_severity; cases: kind; acme: tenant"),
        "{:?}",
        outcome.result
    );
    assert!(receiver.so_far().is_empty());
    let mut bench = about_an_alert().destinations(all).with(json!({"to": ["off", "medium"]}));
    assert!(matches!(bench.run(SEND).await.result, StepResult::Done { .. }));
    assert_eq!(receiver.so_far().len(), 1);
}

#[tokio::test]
async fn within_its_window_a_destination_hears_nothing_more_and_a_failed_delivery_gives_the_window_back() {
    let mut receiver = Receiver::start(|n, _| Reply::status(if n == 0 { 404 } else { 200 })).await;
    let desk = Destination { dedupe: Some(Duration::from_secs(6 * 3600)), ..destination("desk", &receiver) };
    let mut bench = about_an_alert().destinations(vec![desk]).with(json!({"to": "desk"}));
    let outcome = bench.run(SEND).await;
    assert_eq!(outcome.windows.len(), 1);
    assert_eq!((outcome.windows[0].key.as_str(), outcome.windows[0].until), ("dest/desk/alert:A-1", None));
    let again = |bench: &mut Bench, seq: u64| {
        bench.start.id.seq = model::Seq(seq);
        bench.state = model::run::RunState::new(bench.start.clone()).unwrap();
    };
    again(&mut bench, 8);
    assert!(matches!(bench.run(SEND).await.result, StepResult::Done { .. }));
    again(&mut bench, 9);
    assert!(
        matches!(bench.run(SEND).await.result, StepResult::Skipped { reason, .. } if reason == "desk: deduplicated")
    );
    // The run that holds the window was lost in a crash after it claimed it: it is not held back by itself.
    again(&mut bench, 8);
    assert!(matches!(bench.run(SEND).await.result, StepResult::Done { .. }));
    assert_eq!(receiver.so_far().len(), 3);
}

#[tokio::test]
async fn a_steps_own_window_wins_over_the_destinations() {
    let receiver = Receiver::answering(Reply::status(200)).await;
    let mut bench =
        about_an_alert().destinations(vec![destination("desk", &receiver)]).with(json!({"to": "desk", "dedupe": "1h"}));
    bench.run(SEND).await;
    bench.start.id.seq = model::Seq(8);
    bench.state = model::run::RunState::new(bench.start.clone()).unwrap();
    assert!(matches!(bench.run(SEND).await.result, StepResult::Skipped { .. }));
}

#[tokio::test]
async fn times_are_written_as_each_destination_wants_them() {
    let mut text = Receiver::answering(Reply::status(200)).await;
    let mut number = Receiver::answering(Reply::status(200)).await;
    let all = vec![
        destination("text", &text),
        Destination { time_format: TimeFormat::EpochMicros, ..destination("number", &number) },
    ];
    let mut bench = about_an_alert().destinations(all).with(json!({"to": ["text", "number"]}));
    bench.run(SEND).await;
    assert_eq!(text.next().await.json()["alert_created_time"], json!("2025-04-04T01:09:48.934673Z"));
    assert_eq!(number.next().await.json()["alert_created_time"], json!(1_743_728_988_934_673_i64));
}

#[tokio::test]
async fn a_run_about_a_case_sends_the_case_and_one_about_a_host_its_scores() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let desk = || vec![destination("desk", &receiver)];
    let mut bench = Bench::new(json!({"alert": "A-1", "case": "C-1", "trigger": {"kind": "case.stage_changed"}}))
        .object(case("C-1"), json!({"id": "C-1", "number": "7", "stage": "Investigation"}))
        .destinations(desk())
        .with(json!({"to": "desk"}));
    bench.run(SEND).await;
    let host = ObjectKey { tenant: "default".into(), kind: Kind::Entity, id: "host/ws-17".into() };
    let mut scored = Bench::new(json!({"entity": "host/ws-17", "trigger": {"kind": "score.threshold"}}))
        .object(host, json!({"id": "ws-17", "kind": "host", "scores": {"urgency": 83}}))
        .destinations(desk())
        .with(json!({"to": "desk", "dedupe": "6h"}));
    scored.run(SEND).await;
    let body = receiver.next().await.json();
    assert_eq!((&body["case_id"], &body["case_number"], body.get("alert_id")), (&json!("C-1"), &json!("7"), None));
    let body = receiver.next().await.json();
    assert_eq!(
        (&body["entity_id"], &body["endpoints"], &body["scores"]["urgency"]),
        (&json!("ws-17"), &json!(["ws-17"]), &json!(83))
    );
}

#[tokio::test]
async fn a_run_about_nothing_fails_and_says_so() {
    let receiver = Receiver::answering(Reply::status(200)).await;
    let mut bench =
        Bench::new(json!({})).destinations(vec![destination("desk", &receiver)]).with(json!({"to": "desk"}));
    assert_eq!(failure(&bench.run(SEND).await).0, "no_subject");
}

#[tokio::test]
async fn a_missing_secret_is_a_failure_that_names_it_and_nothing_is_sent() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let desk = Destination {
        auth: Auth::Bearer(Placed::parse("${secret:ABSENT}").unwrap()),
        ..destination("desk", &receiver)
    };
    let mut bench = about_an_alert().destinations(vec![desk]).with(json!({"to": "desk"}));
    let outcome = bench.run(SEND).await;
    let (code, message) = failure(&outcome);
    assert!(code == "secret" && message.contains("`ABSENT`"), "{message}");
    assert!(receiver.so_far().is_empty());
    assert!(matches!(outcome.attempts[0].outcome, AttemptOutcome::Failed));
}
