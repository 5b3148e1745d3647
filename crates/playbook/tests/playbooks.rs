//! Whole playbooks: what is read from them, and what they render.

#![expect(clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use model::Time;
use playbook::{
    Answer, Backoff, Body, Budget, Catalog, Checked, Evaluator, Missed, On, OnError, Playbook, Retry, Root, Scope,
    Source, check, compile,
};
use serde_json::{Value, json};

const WHOLE: &str = r#"
playbook: notify-desk
name: Notify the desk
description: Posts details.
order: 50
tenants: [acme]
expires: 2027-06-30T00:00:00Z
triggers:
  - case.stage_changed: { from: new, to: [investigation, Remediation] }
  - alert.created: { when: alert.risk_score >= 90 }
  - alert.updated: { changed: [priority] }
  - score.threshold: { of: host, score: urgency, above: 80, dedupe: 6h }
  - score.threshold: { of: host, all: { threat: 50, certainty: 50 } }
  - schedule: { cron: "0 8 * * MON-FRI", timezone: Europe/Stockholm, missed: all }
  - event: { type: [holm.*, x.y], set: critical-problems }
  - manual
secrets: [VT_KEY]
when: |
  event.tenant == "acme" &&
    "x" in vars.list
timeout: 10m
vars: { desk: soc-desk, list: [x, 2] }
steps:
  - id: send
    action: webhook.send_threat_details
    with: { to: [soc-desk, siem] }
    timeout: 20s
    retry: { max: 0, backoff: linear, first: 2s, cap: 3s }
  - action: http.request
    if: steps.send.succeeded
    with:
      method: POST
      url: https://vt.example/api/${{ alert.name }}?x=1
      headers: { X-Key: "${secret:VT_KEY}", Authorization: "Bearer ${secret:VT_KEY}", X-Desk: "${{ vars.desk }}" }
      body: { id: "${{ alert.id }}", score: "${{ alert.risk_score }}", text: "Score ${{ alert.risk_score }}, ${{ alert.description }}!", list: ["${{ alert.users }}", 5] }
    on_error:
      - id: tell
        action: log
        with: { message: "${{ error.message }}" }
  - id: tag
    action: case.add_tags
    with: { tags: ["a-${{ vars.desk }}"], case: "C-1" }
    on_error: continue
on_failure:
  - action: case.comment
    with: { text: "Failed: ${{ failure.message }}" }
tests:
  - name: it sends
    event: { type: case.stage_changed, from: New, to: Investigation, case: { id: C-1 } }
    expect: { runs: 1, steps: [send, tag], status: succeeded }
triggers_itself: allow
"#;

fn evaluator() -> Evaluator {
    Evaluator::uncounted()
}

fn source(file: &str, text: &str) -> Source {
    Source { file: file.into(), text: text.to_owned() }
}

fn read(text: &str) -> Playbook {
    compile(&source("p.yaml", text), &support::catalog(), &evaluator()).unwrap_or_else(|found| {
        panic!("{}", found.iter().map(|d| d.render(false)).collect::<String>());
    })
}

fn codes(text: &str) -> Vec<&'static str> {
    compile(&source("p.yaml", text), &support::catalog(), &evaluator())
        .map_or_else(|found| found.iter().map(|d| d.code).collect(), |_| Vec::new())
}

fn scope() -> Scope {
    let Value::Object(alert) = json!({"id": "A-1", "name": "a b/ü", "risk_score": 92, "users": ["alice"]}) else {
        panic!("object")
    };
    Scope::new(Time::EPOCH)
        .known(Root::Alert, Some(Arc::new(alert)))
        .free(Root::Vars, Arc::new(json!({"desk": "soc-desk"})))
}

#[test]
fn everything_in_a_playbook_is_read() {
    let playbook = read(WHOLE);
    assert_eq!((&*playbook.id, playbook.name.as_str(), playbook.order), ("notify-desk", "Notify the desk", 50));
    assert_eq!(playbook.tenants, Some(vec!["acme".to_owned()]));
    assert_eq!(playbook.expires, Some(Time::parse("2027-06-30T00:00:00Z").unwrap()));
    assert!(playbook.enabled && playbook.triggers_itself && !playbook.tests.is_empty());
    let on: Vec<&On> = playbook.triggers.iter().map(|trigger| &trigger.on).collect();
    assert!(
        matches!(on[0], On::StageChanged { from, to } if from == &["New"] && to == &["Investigation", "Remediation"])
    );
    assert_eq!(playbook.triggers[1].when.as_ref().unwrap().source(), "alert.risk_score >= 90");
    assert!(matches!(on[2], On::AlertUpdated { changed } if changed == &["priority"]));
    assert!(
        matches!(on[3], On::Score { of, levels, dedupe } if of == "host" && levels == &[("urgency".to_owned(), 80.0)] && *dedupe == Some(Duration::from_secs(21_600)))
    );
    assert!(matches!(on[4], On::Score { levels, .. } if levels.len() == 2));
    assert!(matches!(on[5], On::Schedule(schedule) if schedule.missed == Missed::All));
    assert!(matches!(on[6], On::Event { types } if types == &["holm.*", "x.y", "holm.finished_scan"]));
    assert_eq!(on[7].kind(), "manual");
    let paths: Vec<&str> = playbook.steps.iter().chain(&playbook.on_failure).map(|step| step.path.as_str()).collect();
    assert_eq!(paths, ["send", "#2", "tag", "on_failure/#1"]);
    let OnError::Steps(inner) = &playbook.steps[1].on_error else { panic!("steps") };
    assert_eq!(inner[0].path, "#2/on_error/tell");
    let own = Retry { max: 0, backoff: Backoff::Linear, first: Duration::from_secs(2), cap: Duration::from_secs(3) };
    assert_eq!((playbook.steps[0].retry, playbook.steps[1].retry, playbook.steps[2].retry), (Some(own), None, None));
}

#[test]
fn templates_keep_types_and_put_texts_in() {
    let playbook = read(WHOLE);
    let Body::Action { with, .. } = &playbook.steps[1].body else { panic!("an action") };
    let mut room = 10_000;
    let mut render = |name: &str| with[name].render(&evaluator(), &scope(), &mut room).unwrap();
    assert_eq!(render("body"), json!({"id": "A-1", "score": 92, "text": "Score 92, !", "list": [["alice"], 5]}));
    assert_eq!(render("url"), json!("https://vt.example/api/a%20b%2F%C3%BC?x=1"));
    assert_eq!(
        render("headers"),
        json!({"X-Key": "${secret:VT_KEY}", "Authorization": "Bearer ${secret:VT_KEY}", "X-Desk": "soc-desk"})
    );
    let headers = with["headers"].entries().unwrap();
    let secrets: Vec<_> = headers.iter().map(|(name, template)| (*name, template.secret())).collect();
    assert_eq!(
        secrets,
        [("X-Key", Some(("", "VT_KEY"))), ("Authorization", Some(("Bearer ", "VT_KEY"))), ("X-Desk", None)]
    );
    assert_eq!(with["url"].constant_prefix(), Some("https://vt.example/api/"));
    assert_eq!(with["method"].constant(), Some(&json!("POST")));
}

fn with_condition(when: &str) -> String {
    format!(
        "playbook: p\ntriggers: [alert.created]\nwhen: {when}\nsteps:\n  - action: log\n    with: {{ message: x }}\n"
    )
}

#[test]
fn a_condition_fails_where_it_stands_in_the_file() {
    let playbook = read(&with_condition("|\n  alert.risk_score > 5 &&\n    event.data.x == 1"));
    let Value::Object(event) = json!({"data": {"y": 1}}) else { panic!("object") };
    let scope = scope().known(Root::Event, Some(Arc::new(event)));
    let answer = playbook.when.unwrap().answer(&evaluator(), &scope, Budget { millis: 5_000, ..Budget::WHEN });
    let Answer::Failed { code, at, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((code, at.line, at.column), ("missing_key", 5, 5));
}

/// Row T1: what data looks like is never looked at again.
#[test]
fn data_that_looks_like_a_template_stays_text() {
    let text = "playbook: p\ntriggers: [alert.created]\nsteps:\n  - action: log\n    with: { message: \"${{ alert.name }} and ${{ alert.id }}\" }\n";
    let playbook = read(text);
    let Value::Object(alert) = json!({"name": "${{ vars.desk }} ${secret:X} {{x}}", "id": "${secret:VT_KEY}"}) else {
        panic!("object")
    };
    let scope = Scope::new(Time::EPOCH).known(Root::Alert, Some(Arc::new(alert)));
    let Body::Action { with, .. } = &playbook.steps[0].body else { panic!("an action") };
    let message = with["message"].render(&evaluator(), &scope, &mut 10_000).unwrap();
    assert_eq!(message, json!("${{ vars.desk }} ${secret:X} {{x}} and ${secret:VT_KEY}"));
    assert_eq!(with["message"].secret(), None);
}

/// Row T6: rendering stops at its budget.
#[test]
fn a_rendering_that_grows_too_large_is_an_error() {
    let placeholders = "${{ alert.name }}".repeat(5_000);
    let playbook = read(&format!(
        "playbook: p\ntriggers: [alert.created]\nsteps:\n  - action: log\n    with: {{ message: \"{placeholders}\" }}\n"
    ));
    let Value::Object(alert) = json!({"name": "x".repeat(64_000)}) else { panic!("object") };
    let scope = Scope::new(Time::EPOCH).known(Root::Alert, Some(Arc::new(alert)));
    let Body::Action { with, .. } = &playbook.steps[0].body else { panic!("an action") };
    let error = with["message"].render(&evaluator(), &scope, &mut 1_000_000).unwrap_err();
    assert_eq!(error.code, "too_large");
}

#[test]
fn two_files_with_one_id_are_both_reported_and_neither_is_used() {
    let text = with_condition("alert.risk_score > 5");
    let other = text.replace("playbook: p", "playbook: other");
    let sources = [source("a.yaml", &text), source("b.yaml", &text), source("c.yaml", &other)];
    let Checked { playbooks, diagnostics, .. } = check(&sources, &support::catalog(), &evaluator());
    assert_eq!(playbooks.iter().map(|p| &*p.id).collect::<Vec<_>>(), ["other"]);
    assert_eq!(
        diagnostics.iter().map(|d| (d.code, &*d.file)).collect::<Vec<_>>(),
        [("PB107", "a.yaml"), ("PB107", "b.yaml")]
    );
}

#[test]
fn playbooks_come_by_order_and_id() {
    let make = |id: &str, order: i64| {
        source(id, &with_condition("true").replace("playbook: p", &format!("playbook: {id}\norder: {order}")))
    };
    let sources = [make("b", 100), make("c", 5), make("a", 100)];
    let checked = check(&sources, &support::catalog(), &evaluator());
    assert_eq!(checked.playbooks.iter().map(|p| &*p.id).collect::<Vec<_>>(), ["c", "a", "b"]);
}

#[test]
fn what_is_not_known_is_not_checked() {
    let text = "playbook: p\ntenants: [nowhere]\ntriggers: [case.created]\nsteps:\n  - action: webhook.send_threat_details\n    with: { to: nobody }\n  - action: case.set_queue\n    with: { queue: none }\n";
    assert_eq!(codes(text), ["PB210", "PB205", "PB209"]);
    let catalog = Catalog { destinations: None, queues: None, tenants: None, ..support::catalog() };
    assert!(compile(&source("p.yaml", text), &catalog, &evaluator()).is_ok());
}

/// Row D13: limits at load.
#[test]
fn a_playbook_has_at_most_so_many_steps_and_bytes() {
    let step = "  - action: log\n    with: { message: x }\n";
    let text = |n: usize| format!("playbook: p\ntriggers: [manual]\nsteps:\n{}", step.repeat(n));
    assert_eq!(codes(&text(500)), Vec::<&str>::new());
    assert_eq!(codes(&text(501)), ["PB111"]);
    assert_eq!(codes(&text(100_000)), ["PB007"]);
}

#[test]
fn playbooks_that_start_each_other_are_warned_about() {
    let make = |id: &str, on: &str, to: &str| {
        source(
            id,
            &format!(
                "playbook: {id}\ntriggers:\n  - case.stage_changed: {{ to: {on} }}\nsteps:\n  - action: case.set_stage\n    with: {{ stage: {to} }}\n"
            ),
        )
    };
    let ring = check(&[make("a", "New", "Closed"), make("b", "Closed", "New")], &support::catalog(), &evaluator());
    assert_eq!(ring.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["PB130"]);
    assert_eq!(ring.playbooks.len(), 2);
    let line =
        check(&[make("a", "New", "Closed"), make("b", "Closed", "Remediation")], &support::catalog(), &evaluator());
    assert!(line.diagnostics.is_empty());
}
