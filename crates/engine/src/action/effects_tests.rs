//! What is only rehearsed leaves nothing outside, and says exactly what would have been sent.

use std::sync::Arc;

use serde_json::{Value, json};

use super::StepResult;
use super::testing::{Bench, alert, destination, failure};
use crate::outbound::destination::{Auth, Destination, Sign};
use crate::outbound::secret::Placed;
use crate::outbound::testing::{Receiver, Reply};
use crate::outbound::{self, Answers, Planned, SendError, Takes};

fn rehearsal(mut bench: Bench, answers: impl Answers + 'static) -> Bench {
    bench.ctx = bench.ctx.rehearsing(Box::new(answers), Arc::clone(&bench.world) as Arc<dyn super::Windows>);
    bench
}

fn about_an_alert() -> Bench {
    Bench::new(json!({"alert": "A-1", "trigger": {"kind": "alert.created"}}))
        .object(alert("A-1"), json!({"id": "A-1", "name": "Impossible travel", "priority": "high"}))
}

#[tokio::test]
async fn a_rehearsed_delivery_is_taken_and_reaches_nobody() {
    let mut receiver = Receiver::answering(Reply::status(500)).await;
    let desk = Destination {
        auth: Auth::Header { name: "x-auth".parse().unwrap(), value: Placed::parse("Key ${secret:KEY}").unwrap() },
        sign: Some(Sign::Standard(vec![Placed::parse("${secret:SIGN}").unwrap()])),
        ..destination("desk", &receiver)
    };
    let mut bench = rehearsal(about_an_alert().destinations(vec![desk]).with(json!({"to": "desk"})), Takes);
    let outcome = bench.run("webhook.send_threat_details").await;
    assert!(matches!(&outcome.result, StepResult::Done { output } if output["delivered"] == 1), "{:?}", outcome.result);
    assert!(receiver.so_far().is_empty(), "the receiver heard of it");
    let planned = bench.ctx.effects.planned();
    let [Planned { origin, method, body, headers, .. }] = planned.as_slice() else { panic!("one: {planned:?}") };
    assert_eq!((origin.step.as_str(), origin.destination.as_deref()), ("send", Some("desk")));
    assert_eq!((method.as_str(), &body["alert_name"]), ("POST", &json!("Impossible travel")));
    assert_eq!((headers["x-auth"].as_str(), headers["webhook-signature"].as_str()), ("***", "***"));
    assert_eq!(headers["webhook-id"], "run-0000000007-0-000009/send/desk");
    assert!(!format!("{planned:?}").contains("canary"), "{planned:?}");
}

#[tokio::test]
async fn a_rehearsed_request_gets_the_answer_that_was_said_and_shows_no_secret() {
    struct Says;
    impl Answers for Says {
        fn answer(&self, asked: &Planned) -> outbound::Reply {
            match asked.url.as_str() {
                "https://rep.example.com/ip/203.0.113.9" => outbound::Reply::answer(200, r#"{"score": 80}"#),
                _ => outbound::Reply::Nothing(SendError::Dns),
            }
        }
    }
    let with = json!({"url": "https://rep.example.com/ip/203.0.113.9", "auth": {"bearer": "${secret:KEY}"}});
    let mut bench = rehearsal(about_an_alert().with(with), Says);
    bench.secrets = vec!["KEY".to_owned()];
    let outcome = bench.run("http.request").await;
    let StepResult::Done { output } = &outcome.result else { panic!("{:?}", outcome.result) };
    assert_eq!(output["body"], json!({"score": 80}));
    let planned = bench.ctx.effects.planned();
    assert_eq!((planned[0].headers["authorization"].as_str(), &planned[0].body), ("Bearer ***", &Value::Null));

    let mut bench = rehearsal(about_an_alert().with(json!({"url": "https://other.example.com/"})), Says);
    bench.retry = Some(playbook::Retry { max: 0, ..playbook::Retry::NETWORK });
    assert_eq!(failure(&bench.run("http.request").await).0, "dns");
}

#[tokio::test]
async fn a_rehearsal_keeps_to_the_egress_policy() {
    let mut bench = rehearsal(about_an_alert().with(json!({"url": "https://169.254.169.254/latest"})), Takes);
    assert_eq!(failure(&bench.run("http.request").await).0, "blocked_address");
    assert!(bench.ctx.effects.planned().is_empty());
}
