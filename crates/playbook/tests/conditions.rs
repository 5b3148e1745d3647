//! Conditions answer yes, no, or not at all: never silently no.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use model::Time;
use playbook::{Answer, Budget, Condition, Evaluator, Expression, Names, Root, Scope, ScriptSource};
use serde_json::{Value, json};

/// Enough for a debug build on a busy machine.
const PATIENT: Budget = Budget { operations: 5_000, millis: 5_000 };

fn evaluator() -> Evaluator {
    Evaluator::uncounted()
}

fn names() -> Names {
    Names { steps: vec!["send".into(), "open-ticket".into()], ..Names::everything() }
}

fn scope() -> Scope {
    let record = |value: Value| match value {
        Value::Object(record) => Some(Arc::new(record)),
        _ => None,
    };
    let alert = json!({
        "id": "A-1", "name": "Impossible travel", "risk_score": 92, "priority": "critical", "tags": ["vip", "eu"],
        "mitres": ["T1078"], "users": ["alice", "bob"], "created_time": "2026-11-22T07:59:58.000Z",
        "detections": [
            {"id": "D-1", "type": "analytics", "rules": ["Geo velocity"], "use_case": "Geo velocity", "score": 7},
            {"id": "D-2", "type": "rule", "rules": [], "use_case": "x", "score": 3.5},
        ],
    });
    let event = json!({"id": "evt-1", "type": "alert.created", "data": {"user": {"name": "alice", "age": "92"}, "list": [1, 2], "none": null}});
    let steps = json!({"send": {"output": {"status": 200}, "status": "succeeded", "succeeded": true, "error": null}});
    Scope::new(Time::parse("2026-11-22T08:00:00Z").unwrap())
        .known(Root::Alert, record(alert))
        .known(Root::Event, record(event))
        .known(Root::Case, None)
        .free(Root::Steps, Arc::new(steps))
        .free(Root::Vars, Arc::new(json!({"desk": "soc-desk", "limit": 90})))
}

fn compile(text: &str) -> Result<Condition, Vec<playbook::Diagnostic>> {
    Condition::compile(ScriptSource::loose(text), &names(), &evaluator())
}

fn answer(text: &str) -> Answer {
    let condition = compile(text).unwrap_or_else(|found| panic!("{text}: {found:#?}"));
    condition.answer(&evaluator(), &scope(), PATIENT)
}

/// `yes`, `no`, or the code of the failure.
fn short(text: &str) -> &'static str {
    match answer(text) {
        Answer::Yes => "yes",
        Answer::No { .. } => "no",
        Answer::Failed { code, .. } => code,
    }
}

/// The codes of what is wrong at load.
fn wrong(text: &str) -> Vec<&'static str> {
    compile(text).map_or_else(|found| found.iter().map(|d| d.code).collect(), |_| Vec::new())
}

/// The same question through Rhai: wrapped so that it is no plain comparison any more.
fn scripted(text: &str) -> String {
    format!("let x = 1; x == 1 && ({text})")
}

fn both_ways(text: &str, wanted: &str) {
    assert_eq!(short(text), wanted, "{text}");
    assert_eq!(short(&scripted(text)), wanted, "through Rhai: {text}");
}

#[test]
fn an_object_is_no_condition() {
    for text in ["#{a: 1}", "#{}", "if alert.risk_score > 1 { #{a: 1} } else { #{a: 2} }"] {
        let found = Condition::compile(ScriptSource::loose(text), &Names::everything(), &Evaluator::uncounted());
        let Err(found) = found else { panic!("{text} was accepted") };
        assert!(found.iter().any(|one| one.code == "PB305" && one.message.contains("object")), "{text}: {found:?}");
    }
    let field = Condition::compile(ScriptSource::loose("#{a: true}.a"), &Names::everything(), &Evaluator::uncounted());
    assert!(field.is_ok(), "{field:?}");
}

#[test]
fn comparisons_answer_the_same_natively_and_through_rhai() {
    for (text, wanted) in [
        ("alert.priority == \"critical\"", "yes"),
        ("alert.priority != \"critical\"", "no"),
        ("alert.risk_score >= 90", "yes"),
        ("alert.risk_score >= 92.5", "no"),
        ("90 <= alert.risk_score", "yes"),
        ("alert.risk_score >= vars.limit", "yes"),
        ("\"T1078\" in alert.mitres", "yes"),
        ("\"T1\" in alert.mitres", "no"),
        ("\"T1\" !in alert.mitres", "yes"),
        ("alert.name in [\"a\", \"Impossible travel\"]", "yes"),
        ("\"travel\" in alert.name", "yes"),
        ("\"user\" in event.data", "yes"),
        ("!(\"vip\" in alert.tags)", "no"),
        ("alert.risk_score > 95 || alert.priority == \"critical\"", "yes"),
        ("alert.users[0] == \"alice\"", "yes"),
        ("alert.users[-1] == \"bob\"", "yes"),
        ("alert[\"name\"] == \"Impossible travel\"", "yes"),
        ("event.data.user.name == \"alice\"", "yes"),
        ("event.data[\"user\"].name == \"alice\"", "yes"),
        ("alert.description == ()", "yes"),
        ("alert.description != ()", "no"),
        ("() == alert.description", "yes"),
        ("alert.name != ()", "yes"),
        ("case == ()", "yes"),
        ("alert != ()", "yes"),
        ("event.data.none == ()", "yes"),
        ("event.data?.missing == ()", "yes"),
        ("event.data?.missing?.deeper == ()", "yes"),
        ("event.data?.user.name == \"alice\"", "yes"),
        ("case?.stage == ()", "yes"),
        ("case?.grouped_by.key == ()", "yes"),
        ("steps.send.succeeded", "yes"),
        ("steps.send.output.status == 200", "yes"),
        ("steps[\"open-ticket\"].succeeded", "no"),
        ("steps[\"open-ticket\"].output == ()", "yes"),
        ("alert.created_time < now", "yes"),
        ("event.data.list == [1, 2]", "yes"),
    ] {
        both_ways(text, wanted);
    }
}

#[test]
fn what_cannot_be_answered_fails_natively_and_through_rhai() {
    for (text, wanted) in [
        ("event.data.user.age >= 90", "type_mismatch"),
        ("event.data.user.age == 92", "type_mismatch"),
        ("event.data.user == \"alice\"", "type_mismatch"),
        ("event.data.list == \"x\"", "type_mismatch"),
        ("\"x\" in event.data.list", "type_mismatch"),
        ("1 in event.data.user.age", "type_mismatch"),
        ("event.data.user.age in [92]", "type_mismatch"),
        ("alert.description == \"x\"", "absent"),
        ("alert.description != \"x\"", "absent"),
        ("alert.description < \"x\"", "absent"),
        ("alert.description == alert.link", "absent"),
        ("event.data.none > 5", "absent"),
        ("alert.description in [\"x\"]", "absent"),
        ("\"x\" in alert.products", "absent"),
        ("event.data.usr.name == \"alice\"", "missing_key"),
        ("event.data.none.deeper == 1", "absent"),
        ("event.data.user.name.deeper == 1", "type_mismatch"),
        ("case.stage == \"New\"", "absent"),
        ("alert.users[7] == \"alice\"", "index"),
    ] {
        both_ways(text, wanted);
    }
    assert_eq!(short("event.data.user.name"), "not_boolean");
    assert_eq!(short("event.data.user.age > 5 || true"), "type_mismatch");
    assert_eq!(short("true || event.data.user.age > 5"), "yes");
    assert_eq!(short("false && event.data.user.age > 5"), "no");
}

#[test]
fn lists_are_looked_into_with_closures() {
    for (text, wanted) in [
        ("alert.users.some(|u| u == \"bob\")", "yes"),
        ("alert.users.all(|u| u.len() == 3)", "no"),
        ("alert.users.filter(|u| u.starts_with(\"a\")).len() == 1", "yes"),
        ("alert.users.map(|u| u.to_upper()) == [\"ALICE\", \"BOB\"]", "yes"),
        ("alert.users.find(|u| u.len() > 9) == ()", "yes"),
        ("alert.users.index_of(\"bob\") == 1", "yes"),
        ("alert.users.join(\", \") == \"alice, bob\"", "yes"),
        ("alert.detections.some(|d| d.type == \"rule\" && d.score < 4)", "yes"),
        ("alert.detections.map(|d| d.score).reduce(|sum, n| sum + n, 0) == 10.5", "yes"),
        ("alert.detections.some(|d| d.rules.some(|r| r == d.use_case))", "yes"),
        ("alert.users.some(|u| alert.users.contains(u) && u == event.data.user.name)", "yes"),
        ("let n = 4; alert.users.some(|u| u.len() > n)", "yes"),
        ("let n = 0; alert.users.map(|u| { n = n + 1; n }); n == 0", "yes"),
        ("alert.detections.some(|d| d.missing == 1)", "missing_key"),
        ("alert.detections.some(|d| d?.missing == ())", "yes"),
        ("alert.detections.some(|d| d.score > \"a\")", "type_mismatch"),
        ("alert.users.some(|u| u)", "not_boolean"),
        ("alert.detections[0].type == \"analytics\"", "yes"),
        ("alert.detections.filter(|d, at| at > 0)[0].id == \"D-2\"", "yes"),
    ] {
        assert_eq!(short(text), wanted, "{text}: {:?}", answer(text));
    }
}

#[test]
fn scripts_may_use_let_if_switch_and_functions() {
    for (text, wanted) in [
        ("let high = alert.risk_score > 90; high && alert.users.len() == 2", "yes"),
        (
            "if alert.risk_score > 95 { true } else if alert.risk_score > 90 { \"vip\" in alert.tags } else { false }",
            "yes",
        ),
        ("switch alert.priority { \"high\" | \"critical\" => true, _ => false }", "yes"),
        ("switch event.data.user.age { 92 => true, _ => false }", "type_mismatch"),
        ("switch alert.description { \"x\" => true, _ => false }", "absent"),
        ("switch alert.risk_score { 0..50 => false, 50..=100 => true, _ => false }", "yes"),
        ("switch alert.detections[1].score { 3.5 => true, _ => false }", "yes"),
        ("switch alert.priority { \"high\" => true }", "not_boolean"),
        ("(alert.assignee_or ?? \"x\") == \"x\"", "PB303"),
        ("(alert.description ?? \"none\") == \"none\"", "yes"),
        ("alert.name.to_lower().contains(\"travel\")", "yes"),
        ("alert.name.replace(\"travel\", \"x\") == \"Impossible x\"", "yes"),
        ("\" a \".trim() == \"a\"", "yes"),
        ("seconds_between(alert.created_time, now) == 2.0", "yes"),
        ("parse_int(event.data.user.age) >= 90", "yes"),
        ("max(alert.risk_score, 95) == 95", "yes"),
        ("alert.risk_score in 0..100", "yes"),
        ("return alert.risk_score > 1;", "yes"),
        ("alert.description.to_lower() == \"x\"", "absent"),
        ("'critical'.len() == 1", "PB301"),
        ("`${alert.name}!` == \"Impossible travel!\"", "yes"),
        ("#{a: 1}.a == 1 && #{a: 1}?.b == ()", "yes"),
        ("event.data.user.keys().len() == 2", "yes"),
        ("event.data.get(\"nothing\") == ()", "yes"),
        ("let a = alert; a.risk_score > 90", "yes"),
        ("let a = alert; a.risk_scroe > 90", "PB303"),
    ] {
        let got = match compile(text) {
            Ok(_) => short(text),
            Err(found) => found[0].code,
        };
        assert_eq!(got, wanted, "{text}");
    }
}

#[test]
fn mistakes_are_found_at_load() {
    for (text, wanted) in [
        ("alert.risk_scroe > 5", "PB303"),
        ("alrt.risk_score > 5", "PB302"),
        ("risk_score > 5", "PB302"),
        ("steps.snd.succeeded", "PB212"),
        ("steps.send.done", "PB303"),
        ("alert.priority", "PB305"),
        ("alert.users.len()", "PB305"),
        ("\"text\"", "PB305"),
        ("alert.name && true", "PB305"),
        ("!alert.name", "PB305"),
        ("alert.priority == 5", "PB309"),
        ("alert.users == \"alice\"", "PB309"),
        ("alert.priority >= \"high\"", "PB309"),
        ("alert.priority == \"Critical\"", "PB310"),
        ("case.stage == \"Closd\"", "PB310"),
        ("alert.priority = \"critical\"", "PB306"),
        ("alert.users.lenn() > 1", "PB308"),
        ("alert.users.len > 1", "PB303"),
        ("alert.name ==", "PB301"),
        ("", "PB301"),
        ("alert.a & alert.b", "PB303"),
        ("true & false", "PB306"),
        ("alert?[\"name\"] == \"x\"", "PB307"),
        ("let alert = 5; alert == 5", "PB306"),
        ("alert.users.some(|case| case == \"x\")", "PB306"),
        ("alert.users.some(|u| usr == \"x\")", "PB302"),
        ("true and false", "PB301"),
    ] {
        assert_eq!(wrong(text).first().copied(), Some(wanted), "{text}: {:?}", compile(text));
    }
}

#[test]
fn a_no_says_which_part_and_what_it_saw() {
    let Answer::No { reason, at } = answer("alert.risk_score > 10 && alert.priority == \"high\" && true") else {
        panic!("no")
    };
    assert_eq!(reason, "`alert.priority == \"high\"` is false: alert.priority is \"critical\"");
    assert_eq!((at.line, at.column, at.len), (1, 26, 24));
    let Answer::No { reason, .. } = answer("alert.users.some(|u| u == \"eve\") && true") else { panic!("no") };
    assert_eq!(reason, "`alert.users.some(|u| u == \"eve\")` is false: alert.users is [\"alice\", \"bob\"]");
    let Answer::Failed { message, at, .. } = answer("true &&\n  event.data.usr.name == 1") else { panic!("failed") };
    assert_eq!(message, "`event.data` has no `usr`; did you mean `user`?");
    assert_eq!((at.line, at.column), (2, 3));
}

#[test]
fn plain_comparisons_need_no_rhai() {
    assert_eq!(
        compile("alert.risk_score > 90 && \"vip\" in alert.tags && alert.priority == \"critical\"")
            .unwrap()
            .scripted_parts(),
        0
    );
    assert_eq!(compile("alert.risk_score > 90 && alert.users.len() > 1").unwrap().scripted_parts(), 1);
}

#[test]
fn an_expression_keeps_the_type_of_its_value() {
    let value = |text: &str| {
        Expression::compile(ScriptSource::loose(text), &names(), &evaluator())
            .unwrap()
            .value(&evaluator(), &scope(), PATIENT)
            .unwrap()
    };
    assert_eq!(value("alert.users"), json!(["alice", "bob"]));
    assert_eq!(value("alert.risk_score + 1"), json!(93));
    assert_eq!(value("alert.description"), Value::Null);
    assert_eq!(value("event.data.user"), json!({"name": "alice", "age": "92"}));
    assert_eq!(
        value("alert.detections.filter(|d| d.score > 5)"),
        json!([{"id": "D-1", "type": "analytics", "rules": ["Geo velocity"], "use_case": "Geo velocity", "score": 7}])
    );
    assert_eq!(value("#{a: [1, ()], b: alert.name}"), json!({"a": [1, null], "b": "Impossible travel"}));
    assert_eq!(value("vars.limit"), json!(90));
}
