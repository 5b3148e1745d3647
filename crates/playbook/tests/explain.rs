//! Why a condition answered as it did: which operand, if it said the opposite, would turn the answer.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use playbook::{Answer, Budget, Condition, Evaluator, Names, Operand, Root, Says, Scope, ScriptSource};
use serde_json::{Value, json};

fn record(value: Value) -> Option<Arc<model::Record>> {
    Some(Arc::new(value.as_object().unwrap().clone()))
}

/// An alert and a case with something in every kind of field.
fn scope() -> Scope {
    let detection = |rule: &str, case: &str, users: Value| json!({"id": rule, "type": "analytics", "use_case": case, "rules": [rule], "src_users": users});
    Scope::new(model::Time::from_millis(1_767_225_600_000))
        .known(Root::Alert, record(json!({
            "id": "A-1", "name": "Impossible travel", "risk_score": 92, "priority": "high", "tags": ["vip", "emea"],
            "mitres": ["T1078"], "users": ["alice", "bob"],
            "detections": [detection("geo", "travel", json!(["alice"])), detection("brute", "logon", json!(["bob", "eve"]))],
        })))
        .known(Root::Case, record(json!({"id": "C-1", "stage": "New", "priority": "low", "queue": "tier1"})))
}

fn trace(script: &str) -> (Answer, Vec<Operand>) {
    let evaluator = Evaluator::uncounted();
    let condition = Condition::compile(ScriptSource::loose(script), &Names::everything(), &evaluator);
    let condition = condition.unwrap_or_else(|found| panic!("{script}: {found:?}"));
    (condition.answer(&evaluator, &scope(), Budget::STEP), condition.trace(&evaluator, &scope()))
}

fn deciding(operands: &[Operand]) -> Vec<&str> {
    operands.iter().filter(|operand| operand.decides).map(|operand| operand.text.as_str()).collect()
}

/// Conditions, and the operand that decided.
const DECIDED: &[(&str, &str)] = &[
    ("alert.risk_score >= 90", "alert.risk_score >= 90"),
    ("alert.risk_score >= 95", "alert.risk_score >= 95"),
    ("alert.risk_score >= 90 && case.priority == \"high\"", "case.priority == \"high\""),
    ("case.priority == \"high\" && alert.risk_score >= 90", "case.priority == \"high\""),
    ("case.priority == \"high\" || alert.risk_score >= 90", "alert.risk_score >= 90"),
    ("alert.risk_score >= 90 || case.priority == \"high\"", "alert.risk_score >= 90"),
    ("!(alert.risk_score >= 90)", "alert.risk_score >= 90"),
    ("!(alert.risk_score >= 90 && case.stage == \"Closed\")", "case.stage == \"Closed\""),
    ("!(alert.risk_score < 90 || case.stage == \"New\")", "case.stage == \"New\""),
    (
        "alert.risk_score >= 90 && (case.priority == \"high\" || case.stage == \"New\")  && case.queue != \"tier1\"",
        "case.queue != \"tier1\"",
    ),
    (
        "(case.queue == \"tier2\" && case.stage == \"Closed\" || alert.risk_score > 95 && case.stage == \"New\") || !(\"vip\" in alert.tags || \"emea\" in alert.tags)",
        "alert.risk_score > 95",
    ),
    (
        "(alert.risk_score < 10 || \"vip\" in alert.tags) && (case.priority == \"high\" && case.stage == \"New\")",
        "case.priority == \"high\"",
    ),
    ("!(!(case.stage == \"Closed\"))", "case.stage == \"Closed\""),
    ("!(!(\"emea\" in alert.tags && \"apac\" in alert.tags) || case.stage == \"Closed\")", "\"apac\" in alert.tags"),
    ("case.assignee != () && case.assignee == \"eva\"", "case.assignee != ()"),
    (
        "(alert.name.starts_with(\"Impossible\") || alert.name.starts_with(\"x\")) && alert.risk_score > 95",
        "alert.risk_score > 95",
    ),
    (
        "case.stage == \"New\" && (alert.name.ends_with(\"travel\") && case.priority != \"low\")",
        "case.priority != \"low\"",
    ),
    ("alert.users.len() > 2 && alert.risk_score > 90", "alert.users.len() > 2"),
    ("(alert.risk_score + 10) * 2 > 500 && case.stage == \"New\"", "(alert.risk_score + 10) * 2 > 500"),
    (
        "alert.detections.some(|d| d.use_case == \"malware\") && alert.risk_score > 90",
        "alert.detections.some(|d| d.use_case == \"malware\")",
    ),
    ("alert.detections.all(|d| d.type == \"analytics\") && case.queue == \"tier2\"", "case.queue == \"tier2\""),
    (
        "!alert.detections.some(|d| \"eve\" in d.src_users) && alert.risk_score > 1",
        "alert.detections.some(|d| \"eve\" in d.src_users)",
    ),
    ("alert.users.some(|u| u == \"mallory\") || case.stage == \"New\"", "case.stage == \"New\""),
    ("alert.users.all(|u| u != \"mallory\" && u.len() < 10) && case.stage == \"Closed\"", "case.stage == \"Closed\""),
    (
        "case.priority in [\"high\", \"critical\"] || alert.priority in [\"high\", \"critical\"]",
        "alert.priority in [\"high\", \"critical\"]",
    ),
    ("let high = alert.risk_score >= 90; high && case.stage == \"Closed\"", "case.stage == \"Closed\""),
    (
        "alert.risk_score >= 90 && !(case.stage == \"New\" && !(case.queue == \"tier1\"))  && case.priority == \"high\"",
        "case.priority == \"high\"",
    ),
    (
        "(case.stage == \"New\" && (alert.risk_score < 50 || (case.queue == \"tier2\" && \"vip\" in alert.tags))) || alert.risk_score == 92",
        "alert.risk_score == 92",
    ),
    (
        "case.stage == \"New\" && case.queue == \"tier1\" && case.priority == \"low\" && alert.risk_score > 92",
        "alert.risk_score > 92",
    ),
    (
        "!(case.stage == \"New\") || !(case.queue == \"tier1\") || !(\"vip\" in alert.tags) || \"x\" in alert.tags || !(\"emea\" in alert.tags) || !(alert.risk_score > 100)",
        "alert.risk_score > 100",
    ),
];

#[test]
fn exactly_the_operand_that_would_turn_the_answer_is_named() {
    for (script, wanted) in DECIDED {
        let (answer, operands) = trace(script);
        assert!(!matches!(answer, Answer::Failed { .. }), "{script}: {answer:?}");
        assert_eq!(deciding(&operands), [*wanted], "{script}: {operands:#?}");
        assert!(operands.iter().any(|operand| operand.decides && operand.reached), "{script}");
    }
}

#[test]
fn inside_a_closure_the_operand_and_the_item_are_named() {
    let (_, operands) = trace("alert.detections.all(|d| d.type == \"analytics\" && d.use_case == \"travel\")");
    let inside = &operands[0].inside;
    assert_eq!(inside.len(), 2);
    assert_eq!((inside[1].name.as_str(), &inside[1].item["id"]), ("d", &json!("brute")));
    assert_eq!(deciding(&inside[1].operands), ["d.use_case == \"travel\""]);
    assert_eq!(inside[1].operands[1].values, [("d.use_case".to_owned(), json!("logon"))]);
    let (_, nested) = trace("alert.detections.some(|d| d.src_users.some(|u| u == \"eve\" && d.id != alert.id))");
    let inner = &nested[0].inside[1].operands[0].inside[1];
    assert_eq!((inner.name.as_str(), &inner.item), ("u", &json!("eve")));
    assert_eq!(inner.operands[1].values, [("d.id".to_owned(), json!("brute")), ("alert.id".to_owned(), json!("A-1"))]);
}

#[test]
fn where_none_decides_alone_those_that_do_together_are_named() {
    let (answer, operands) = trace("case.stage == \"Closed\" && case.queue == \"tier2\" && alert.risk_score > 1");
    assert!(matches!(answer, Answer::No { .. }));
    let together: Vec<bool> = operands.iter().map(|operand| operand.together).collect();
    assert_eq!((deciding(&operands), together), (Vec::new(), vec![true, true, false]));
    assert_eq!(operands.iter().map(|operand| operand.reached).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn an_operand_that_cannot_be_answered_is_the_one_that_decided() {
    let (answer, operands) = trace("alert.risk_score > 1 && case.assignee > \"b\" && case.stage == \"New\"");
    assert!(matches!(answer, Answer::Failed { .. }), "{answer:?}");
    assert_eq!(deciding(&operands), ["case.assignee > \"b\""]);
    assert!(matches!(operands[1].says, Says::Failed { .. }) && !operands[2].reached);
}

#[test]
fn what_an_operand_sees_and_where_it_stands_are_told() {
    let (_, operands) = trace("alert.risk_score >= 90 &&\n  case.priority == \"high\"");
    assert_eq!(operands[0].values, [("alert.risk_score".to_owned(), json!(92))]);
    assert_eq!(operands[1].values, [("case.priority".to_owned(), json!("low"))]);
    assert_eq!((operands[1].at.line, operands[1].at.column), (2, 3));
}
