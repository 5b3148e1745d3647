//! `http.request` against real receivers.

use std::time::Duration;

use model::run::AttemptOutcome;
use playbook::{Effect, Retry};
use serde_json::{Value, json};

use super::testing::{Bench, failure};
use super::{Outcome, StepResult, find};
use crate::outbound::testing::{Receiver, Reply};

const ASK: &str = "http.request";

fn bench(with: Value) -> Bench {
    Bench::new(json!({})).with(with)
}

fn json_answer(status: u16, body: &Value) -> Reply {
    Reply::Answer(
        status,
        vec![("content-type", "application/json".into()), ("x-internal", "1".into())],
        body.to_string().into_bytes(),
    )
}

fn output(outcome: &Outcome) -> &Value {
    match &outcome.result {
        StepResult::Done { output } => output,
        other => panic!("not done: {other:?}"),
    }
}

#[tokio::test]
async fn a_get_answers_status_headers_and_parsed_body() {
    let mut receiver = Receiver::answering(json_answer(200, &json!({"score": 7}))).await;
    let with = json!({"url": receiver.url("/ip/1.2.3.4"), "query": {"q": "a b&c", "n": [1, 2], "none": null}, "headers": {"x-a": "b"}});
    let outcome = bench(with).run(ASK).await;
    let out = output(&outcome);
    assert_eq!((&out["status"], &out["body"]["score"], &out["truncated"]), (&json!(200), &json!(7), &json!(false)));
    assert_eq!(out["headers"], json!({"content-type": "application/json"}));
    let got = receiver.next().await;
    assert_eq!((got.method.as_str(), got.path.as_str()), ("GET", "/ip/1.2.3.4?n=1&n=2&q=a%20b%26c"));
    assert_eq!((got.header("x-a"), got.header("idempotency-key"), got.header("content-type")), (Some("b"), None, None));
    assert_eq!(outcome.attempts[0].http_status, Some(200));
}

#[tokio::test]
async fn a_post_carries_its_body_and_an_idempotency_key_that_stays() {
    let mut receiver =
        Receiver::start(|n, _| if n == 0 { Reply::status(503) } else { json_answer(201, &json!({"id": 1})) }).await;
    let with = json!({"method": "POST", "url": receiver.url("/tickets"), "body": {"title": "a\"b\n"}});
    let outcome = bench(with).run_to_end(ASK).await;
    assert_eq!(output(&outcome)["body"], json!({"id": 1}));
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.json(), json!({"title": "a\"b\n"}));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("idempotency-key"), Some("run-0000000007-0-000009/send"));
    assert_eq!((first.body, first.headers), (second.body, second.headers));
}

#[tokio::test]
async fn what_happens_twice_follows_from_the_method() {
    let action = find(ASK).unwrap();
    for (method, effect) in [
        (Some("GET"), Effect::Read),
        (Some("head"), Effect::Read),
        (Some("PUT"), Effect::Idempotent),
        (Some("DELETE"), Effect::Idempotent),
        (Some("POST"), Effect::Once),
        (Some("PATCH"), Effect::Once),
        (None, Effect::Read),
    ] {
        let bench = bench(method.map_or_else(|| json!({}), |method| json!({"method": method})));
        assert_eq!(action.effect(&bench.with), effect, "{method:?}");
    }
}

#[tokio::test]
async fn a_post_that_may_have_arrived_unanswered_needs_a_person_and_is_not_repeated() {
    for reply in [Reply::Reset, Reply::Hang] {
        let mut receiver = Receiver::answering(reply).await;
        let mut bench = bench(json!({"method": "POST", "url": receiver.url("/isolate")}));
        bench.timeout = Some(Duration::from_millis(300));
        let outcome = bench.run(ASK).await;
        assert!(
            matches!(&outcome.result, StepResult::Unknown(error) if ["timeout", "connection_lost"].contains(&error.code.as_str()))
        );
        assert!(matches!(outcome.attempts[0].outcome, AttemptOutcome::Failed));
        receiver.next().await;
        assert!(receiver.so_far().is_empty());
    }
}

#[tokio::test]
async fn a_post_that_surely_did_not_arrive_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let outcome = bench(json!({"method": "POST", "url": url})).run(ASK).await;
    assert!(matches!(outcome.result, StepResult::Retry { .. }));
}

#[tokio::test]
async fn a_get_that_broke_off_is_asked_again() {
    let mut receiver = Receiver::start(|n, _| match n {
        0 => Reply::Reset,
        1 => Reply::Raw(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf".to_vec()),
        _ => json_answer(200, &json!({"ok": true})),
    })
    .await;
    let outcome = bench(json!({"url": receiver.url("/")})).run_to_end(ASK).await;
    assert_eq!(output(&outcome)["body"], json!({"ok": true}));
    assert_eq!((receiver.so_far().len(), outcome.attempts[0].n), (3, 3));
}

#[tokio::test]
async fn an_answer_is_a_known_outcome_and_another_4xx_ends_it() {
    let mut receiver = Receiver::answering(Reply::status(404)).await;
    let outcome = bench(json!({"method": "POST", "url": receiver.url("/")})).run(ASK).await;
    assert_eq!(failure(&outcome), ("http_status", "the receiver answered HTTP 404"));
    assert!(matches!(outcome.result, StepResult::Failed(_)));
    assert_eq!(receiver.so_far().len(), 1);
}

#[tokio::test]
async fn expected_statuses_are_a_success_and_others_are_not() {
    for (expect, status, good) in [
        (json!(404), 404, true),
        (json!([200, 404]), 404, true),
        (json!("4xx"), 404, true),
        (json!(["2xx", 301]), 301, true),
        (json!(201), 200, false),
        (json!("2XX"), 200, true),
    ] {
        let receiver = Receiver::answering(Reply::status(status)).await;
        let mut bench = bench(json!({"url": receiver.url("/"), "expect": expect}));
        bench.retry = Some(Retry { max: 0, ..Retry::NETWORK });
        let outcome = bench.run(ASK).await;
        assert_eq!(matches!(outcome.result, StepResult::Done { .. }), good, "{expect} {status}: {:?}", outcome.result);
    }
    for expect in [json!([]), json!("all"), json!(0), json!(["2xx", {}]), json!("9xx")] {
        let outcome = bench(json!({"url": "http://127.0.0.1:9/", "expect": expect})).run(ASK).await;
        assert_eq!(failure(&outcome).0, "bad_parameter", "{expect}");
    }
}

#[tokio::test]
async fn blocked_addresses_and_bad_urls_are_typed_failures_without_a_try() {
    for (url, code) in [
        ("http://10.0.0.1/", "blocked_address"),
        ("http://169.254.169.254/latest", "blocked_address"),
        ("http://2130706433:22/", "blocked_address"),
        ("ftp://h.example/", "bad_url"),
        ("http://u:p@h.example/", "bad_url"),
        ("http://h.example/a/../b", "bad_url"),
        ("http://h.example/a/%2E%2e/b", "bad_url"),
    ] {
        let outcome = bench(json!({"url": url})).run(ASK).await;
        assert_eq!(failure(&outcome).0, code, "{url}");
        assert!(outcome.attempts.is_empty());
    }
}

#[tokio::test]
async fn a_line_break_in_a_header_is_refused_and_nothing_is_sent() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    for value in ["a\r\nx-evil: 1", "a\nb", "a\0b"] {
        let outcome = bench(json!({"url": receiver.url("/"), "headers": {"x-a": value}})).run(ASK).await;
        assert_eq!(failure(&outcome).0, "bad_header", "{value:?}");
    }
    for name in ["x a", "x\r\ny", "", "Host", "Transfer-Encoding"] {
        let outcome = bench(json!({"url": receiver.url("/"), "headers": {name: "v"}})).run(ASK).await;
        assert_eq!(failure(&outcome).0, "bad_header", "{name:?}");
    }
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn a_text_that_looks_like_a_secret_is_sent_as_it_is() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let with = json!({"url": receiver.url("/"), "headers": {"x-a": "${secret:KEY}"}});
    bench(with).run(ASK).await;
    assert_eq!(receiver.next().await.header("x-a"), Some("${secret:KEY}"));
}

#[tokio::test]
async fn a_long_answer_is_cut_and_says_so() {
    let receiver = Receiver::answering(Reply::Answer(200, Vec::new(), vec![b'x'; 600_000])).await;
    let outcome = bench(json!({"url": receiver.url("/")})).run(ASK).await;
    let out = output(&outcome);
    assert_eq!((out["body"].as_str().unwrap().len(), &out["truncated"]), (256 * 1024, &json!(true)));
    let answer = outcome.attempts[0].answer.as_ref().unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (model::limits::RESPONSE_CAPTURE_BYTES_MAX, true));
}

#[tokio::test]
async fn deeply_nested_json_is_a_text_and_no_crash() {
    let receiver = Receiver::answering(Reply::Answer(200, Vec::new(), "[".repeat(100_000).into_bytes())).await;
    let outcome = bench(json!({"url": receiver.url("/")})).run(ASK).await;
    assert!(output(&outcome)["body"].is_string());
}
