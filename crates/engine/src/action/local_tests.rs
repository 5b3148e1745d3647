//! What the verbs of cases and alerts want to change.

use serde_json::{Value, json};

use super::testing::{Bench, alert, case, failure, record};
use super::{If, Outcome, StepResult};

fn about_a_case(fields: Value) -> Bench {
    let mut whole = json!({"id": "C-1", "stage": "New"});
    whole.as_object_mut().unwrap().extend(record(fields));
    Bench::new(json!({"case": "C-1", "trigger": {"kind": "case.created"}})).object(case("C-1"), whole)
}

fn about_an_alert(fields: Value) -> Bench {
    let mut whole = json!({"id": "A-1"});
    whole.as_object_mut().unwrap().extend(record(fields));
    Bench::new(json!({"alert": "A-1", "trigger": {"kind": "alert.created"}})).object(alert("A-1"), whole)
}

fn only_change(outcome: &Outcome) -> &super::LocalChange {
    assert!(matches!(outcome.result, StepResult::Done { .. }), "{:?}", outcome.result);
    assert_eq!(outcome.changes.len(), 1);
    &outcome.changes[0]
}

#[tokio::test]
async fn names_are_taken_without_case_and_become_canonical() {
    for (action, with, fields) in [
        ("case.set_stage", json!({"stage": "INVESTIGATION"}), json!({"stage": "Investigation"})),
        ("case.set_priority", json!({"priority": "CRITICAL"}), json!({"priority": "critical"})),
        ("case.set_queue", json!({"queue": "Tier 2"}), json!({"queue": "Tier 2"})),
        ("case.assign", json!({"assignee": "alice"}), json!({"assignee": "alice"})),
    ] {
        let outcome = about_a_case(json!({})).with(with).run(action).await;
        let change = only_change(&outcome);
        assert_eq!((&change.object, change.kind.as_str()), (&case("C-1"), "case.updated"));
        assert_eq!(change.fields, record(fields), "{action}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_known_fails_and_says_what_is() {
    for (action, with, part) in [
        ("case.set_stage", json!({"stage": "Triage"}), "New, Investigation, Remediation, Closed"),
        ("case.set_priority", json!({"priority": "huge"}), "low, medium, high, critical"),
        ("case.close", json!({"reason": "Because"}), "False Positive or Duplicate"),
        ("case.comment", json!({"text": ""}), "not empty"),
    ] {
        let outcome = about_a_case(json!({})).with(with).run(action).await;
        let (code, message) = failure(&outcome);
        assert!(code == "bad_parameter" && message.contains(part), "{action}: {message}");
        assert!(outcome.changes.is_empty());
    }
}

#[tokio::test]
async fn a_case_is_closed_with_a_predefined_reason_and_only_once() {
    let with = json!({"reason": "low risk", "supporting_reason": "known scanner"});
    let outcome = about_a_case(json!({})).with(with.clone()).run("case.close").await;
    let change = only_change(&outcome);
    let fields = json!({"stage": "Closed", "closed_reason": "Low Risk", "close_supporting_reason": "known scanner"});
    assert_eq!((&change.fields, change.if_object), (&record(fields), If::Open));
    let outcome = about_a_case(json!({"stage": "Closed"})).with(with).run("case.close").await;
    assert_eq!(failure(&outcome).0, "already_closed");
}

#[tokio::test]
async fn reopening_moves_a_closed_case_and_leaves_an_open_one_alone() {
    let outcome = about_a_case(json!({"stage": "Closed"})).run("case.reopen").await;
    assert_eq!(only_change(&outcome).fields, record(json!({"stage": "New"})));
    let outcome = about_a_case(json!({})).run("case.reopen").await;
    assert!(outcome.changes.is_empty() && matches!(outcome.result, StepResult::Done { .. }));
    let outcome = about_a_case(json!({"stage": "Closed"})).with(json!({"stage": "closed"})).run("case.reopen").await;
    assert_eq!(failure(&outcome).0, "bad_parameter");
}

#[tokio::test]
async fn an_assignee_must_be_a_member_of_the_queue() {
    let queues =
        || [("Tier 1".to_owned(), vec!["alice".to_owned()]), ("Tier 2".to_owned(), vec!["bob".to_owned()])].into();
    let mut bench = about_a_case(json!({"queue": "Tier 1"})).with(json!({"assignee": "bob"}));
    bench.ctx.queues = queues();
    let outcome = bench.run("case.assign").await;
    assert_eq!(only_change(&outcome).fields, record(json!({"assignee": null})));
    assert!(matches!(&outcome.result, StepResult::Done { output } if output["assignee"].is_null()));
    let mut bench = about_a_case(json!({"queue": "Tier 1", "assignee": "alice"})).with(json!({"queue": "Tier 2"}));
    bench.ctx.queues = queues();
    let outcome = bench.run("case.set_queue").await;
    assert_eq!(only_change(&outcome).fields, record(json!({"queue": "Tier 2", "assignee": null})));
    let mut bench = about_a_case(json!({})).with(json!({"queue": "Tier 9"}));
    bench.ctx.queues = queues();
    assert_eq!(failure(&bench.run("case.set_queue").await).0, "bad_parameter");
}

#[tokio::test]
async fn lists_are_added_to_and_taken_from_by_name() {
    let outcome = about_a_case(json!({})).with(json!({"tags": ["vip", "vip", ""]})).run("case.add_tags").await;
    assert_eq!(only_change(&outcome).add, [("tags", vec!["vip".to_owned()])]);
    let outcome = about_an_alert(json!({})).with(json!({"use_cases": "Phishing"})).run("alert.remove_use_cases").await;
    let change = only_change(&outcome);
    assert_eq!((&change.object, &change.remove), (&alert("A-1"), &vec![("use_cases", vec!["Phishing".to_owned()])]));
}

#[tokio::test]
async fn a_comment_goes_along_as_data() {
    let outcome = about_an_alert(json!({})).with(json!({"text": "seen"})).run("alert.comment").await;
    let change = only_change(&outcome);
    assert_eq!((change.kind.as_str(), &change.data), ("alert.commented", &json!({"text": "seen"})));
    assert!(change.fields.is_empty());
}

#[tokio::test]
async fn without_a_case_the_step_fails_with_its_code_unless_one_is_named_or_the_alert_has_one() {
    let outcome = about_an_alert(json!({})).with(json!({"text": "x"})).run("case.comment").await;
    assert_eq!(failure(&outcome).0, "no_case");
    let outcome = about_an_alert(json!({})).with(json!({"text": "x", "case": "C-9"})).run("case.comment").await;
    assert_eq!(only_change(&outcome).object, case("C-9"));
    let outcome = about_an_alert(json!({"case_id": "C-7"})).with(json!({"text": "x"})).run("case.comment").await;
    assert_eq!(only_change(&outcome).object, case("C-7"));
    let outcome = about_a_case(json!({})).with(json!({"text": "x"})).run("alert.comment").await;
    assert_eq!(failure(&outcome).0, "no_alert");
}

#[tokio::test]
async fn an_alert_becomes_one_case_however_often_it_is_asked() {
    let fields = json!({"name": "Impossible travel", "priority": "high", "users": ["alice"], "risk_score": 92,
                        "created_time": "2026-11-22T08:00:00.000Z", "detections": [{"id": "D"}]});
    let outcome =
        about_an_alert(fields.clone()).with(json!({"priority": "critical"})).run("case.create_from_alert").await;
    assert!(
        matches!(&outcome.result, StepResult::Done { output } if *output == json!({"case_id": "case-A-1", "created": true}))
    );
    let [made, linked] = outcome.changes.as_slice() else { panic!("two changes") };
    assert_eq!((&made.object, made.kind.as_str(), made.if_object), (&case("case-A-1"), "case.created", If::Missing));
    for (name, value) in [
        ("name", json!("Impossible travel")),
        ("priority", json!("critical")),
        ("stage", json!("New")),
        ("alert_id", json!("A-1")),
        ("alert_created_time", json!("2026-11-22T08:00:00.000Z")),
        ("detections", json!([{"id": "D"}])),
    ] {
        assert_eq!(made.fields.get(name), Some(&value), "{name}");
    }
    assert_eq!((&linked.object, &linked.fields), (&alert("A-1"), &record(json!({"case_id": "case-A-1"}))));
    let outcome = about_an_alert(json!({"case_id": "case-A-1"})).run("case.create_from_alert").await;
    assert!(outcome.changes.is_empty());
    assert!(
        matches!(&outcome.result, StepResult::Done { output } if *output == json!({"case_id": "case-A-1", "created": false}))
    );
}

#[tokio::test]
async fn a_log_line_answers_its_text() {
    let outcome =
        about_a_case(json!({})).with(json!({"message": "hello\n\u{1b}[31m", "level": "warn"})).run("log").await;
    assert!(matches!(&outcome.result, StepResult::Done { output } if output["message"] == "hello\n\u{1b}[31m"));
    let outcome = about_a_case(json!({})).with(json!({"message": "x", "level": "loud"})).run("log").await;
    assert_eq!(failure(&outcome).0, "bad_parameter");
}
