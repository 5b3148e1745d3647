//! Actions under real templates: what comes out of an event stays data.

use std::collections::BTreeMap;
use std::sync::Arc;

use playbook::{Body, Catalog, Evaluator, Root, Scope, Source, Template};
use serde_json::{Value, json};

use super::testing::{Bench, NOW, destination, failure, record};
use super::{StepResult, actions};
use crate::outbound::testing::{Receiver, Reply};

fn compile(step: &str) -> Result<BTreeMap<String, Template>, String> {
    let step: String = step.lines().map(|line| format!("  {line}\n")).collect();
    let text =
        format!("playbook: p\ntriggers: [alert.created, case.created]\nsecrets: [KEY, REPUTATION]\nsteps:\n{step}");
    let catalog = Catalog { actions: actions().iter().map(|action| action.spec()).collect(), ..Catalog::default() };
    let source = Source { file: Arc::from("p.yaml"), text };
    let playbook = playbook::compile(&source, &catalog, &Evaluator::uncounted())
        .map_err(|found| found.iter().map(|one| one.render(false)).collect::<String>())?;
    let Body::Action { with, .. } = &playbook.steps[0].body else { return Err("no action".to_owned()) };
    Ok((**with).clone())
}

/// A run about an alert with this name, whose step has these lines.
fn bench(step: &str, name: &str) -> Bench {
    let mut bench = Bench::new(json!({"alert": "A-1", "trigger": {"kind": "alert.created"}}));
    bench.with = compile(step).unwrap();
    bench.secrets = vec!["KEY".to_owned()];
    let alert = record(json!({"id": "A-1", "name": name, "risk_score": 92}));
    bench.scope = Scope::new(NOW).known(Root::Alert, Some(Arc::new(alert)));
    bench
}

#[test]
fn the_example_of_every_action_is_a_valid_step() {
    for action in actions() {
        if let Err(found) = compile(action.spec().example) {
            panic!("{}:\n{found}", action.spec().id);
        }
    }
}

#[tokio::test]
async fn a_value_in_a_path_is_percent_encoded_and_cannot_lead_elsewhere() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let step = format!(
        "- id: send\n  action: http.request\n  with: {{ url: \"{}/u/${{{{ alert.name }}}}/x\" }}\n",
        receiver.url("")
    );
    for (name, path) in [
        ("a b", "/u/a%20b/x"),
        ("../admin?x=1#y", "/u/..%2Fadmin%3Fx%3D1%23y/x"),
        ("@evil.example", "/u/%40evil.example/x"),
    ] {
        let outcome = bench(&step, name).run("http.request").await;
        assert!(matches!(outcome.result, StepResult::Done { .. }), "{:?}", outcome.result);
        assert_eq!(receiver.next().await.path, path);
    }
    assert_eq!(failure(&bench(&step, "..").run("http.request").await).0, "bad_url");
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn a_host_out_of_an_event_is_refused_at_load_or_when_it_runs() {
    for url in ["https://${{ alert.name }}/x", "${{ alert.name }}", "https://api.example.com${{ alert.name }}/x"] {
        let step = format!("- id: send\n  action: http.request\n  with: {{ url: \"{url}\" }}\n");
        if compile(&step).is_ok() {
            let outcome = bench(&step, "evil.example").run("http.request").await;
            assert!(["dynamic_host", "bad_url"].contains(&failure(&outcome).0), "{url}");
        }
    }
}

#[tokio::test]
async fn a_line_break_out_of_an_event_does_not_get_into_a_header() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let step = format!(
        "- id: send\n  action: http.request\n  with: {{ url: \"{}\", headers: {{ x-name: \"n ${{{{ alert.name }}}}\" }} }}\n",
        receiver.url("/")
    );
    assert_eq!(failure(&bench(&step, "a\r\nx-evil: 1").run("http.request").await).0, "bad_header");
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn a_declared_secret_is_sent_and_never_recorded_and_text_of_an_alert_is_no_reference() {
    let mut receiver =
        Receiver::start(|_, got| Reply::Answer(200, Vec::new(), format!("{:?}", got.headers).into_bytes())).await;
    let step = format!(
        "- id: send\n  action: http.request\n  with:\n    url: \"{}\"\n    auth: {{ bearer: \"${{secret:KEY}}\" }}\n    headers: {{ x-key: \"Key ${{secret:KEY}}\", x-name: \"${{{{ alert.name }}}}\" }}\n",
        receiver.url("/")
    );
    let mut bench = bench(&step, "${secret:KEY}");
    let outcome = bench.run("http.request").await;
    assert!(matches!(outcome.result, StepResult::Done { .. }), "{:?}", outcome.result);
    let got = receiver.next().await;
    assert_eq!(got.header("authorization"), Some("Bearer canary-s3cret"));
    assert_eq!(got.header("x-key"), Some("Key canary-s3cret"));
    assert_eq!(got.header("x-name"), Some("${secret:KEY}"));
    assert_eq!(outcome.input.value()["auth"], json!({"bearer": "${secret:KEY}"}));
    assert_eq!(outcome.input.value()["headers"]["x-key"], "Key ${secret:KEY}");
    let kept = format!("{outcome:?}{}", serde_json::to_string(&bench.state.steps).unwrap());
    assert!(!kept.contains("canary"), "{kept}");
}

#[tokio::test]
async fn a_secret_that_the_playbook_does_not_declare_is_not_sent() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let step = format!(
        "- id: send\n  action: http.request\n  with: {{ url: \"{}\", auth: {{ bearer: \"${{secret:KEY}}\" }} }}\n",
        receiver.url("/")
    );
    let mut bench = bench(&step, "x");
    bench.secrets = Vec::new();
    assert_eq!(failure(&bench.run("http.request").await).0, "secret");
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn hostile_text_in_a_body_stays_valid_json() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let step = "- id: send\n  action: webhook.send\n  with: { to: desk, body: { title: \"x ${{ alert.name }}\", score: \"${{ alert.risk_score }}\" } }\n";
    let name = "\"},{\"a\":\u{0}\n\u{2028}${{ alert.id }}";
    let outcome = bench(step, name).destinations(vec![destination("desk", &receiver)]).run("webhook.send").await;
    assert!(matches!(outcome.result, StepResult::Done { .. }), "{:?}", outcome.result);
    assert_eq!(receiver.next().await.json(), json!({"title": format!("x {name}"), "score": 92}));
}

#[tokio::test]
async fn what_renders_larger_than_the_limit_is_a_typed_failure() {
    let items: String = (0..100).map(|_| "\"${{ alert.name }}\", ").collect();
    let step = format!("- id: send\n  action: webhook.send\n  with: {{ to: desk, body: [{items}] }}\n");
    let outcome = bench(&step, &"x".repeat(60_000)).run("webhook.send").await;
    assert_eq!(failure(&outcome).0, "too_large");
    assert!(!matches!(outcome.input.value().get("body"), Some(Value::Array(_))));
}
