//! A plain comparison is answered natively; the same question put to Rhai must have the same answer, whatever it is.

#![expect(clippy::panic, reason = "tests")]

use std::sync::Arc;

use model::Time;
use playbook::{Answer, Budget, Condition, Evaluator, Names, Root, Scope, ScriptSource};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

const PATHS: [&str; 14] = [
    "event.data.text",
    "event.data.int",
    "event.data.float",
    "event.data.bool",
    "event.data.none",
    "event.data.list",
    "event.data.numbers",
    "event.data.object",
    "event.data.object.key",
    "event.data.missing",
    "event.data?.missing",
    "event.data.list[0]",
    "event.data.list[9]",
    "now",
];
const CONSTANTS: [&str; 10] = ["\"b\"", "\"\"", "5", "-1", "2.5", "true", "()", "[\"a\", \"b\"]", "[1, 2.5]", "[]"];

const OPERATORS: [&str; 8] = ["==", "!=", "<", "<=", ">", ">=", "in", "!in"];

fn scope() -> Scope {
    let data = json!({
        "text": "b", "int": 5, "float": 2.5, "bool": true, "none": null, "list": ["a", "b"], "numbers": [5, 2.5],
        "object": {"key": "b"},
    });
    let Value::Object(event) = json!({"id": "e", "data": data}) else { panic!("an object") };
    Scope::new(Time::EPOCH).known(Root::Event, Some(Arc::new(event)))
}

fn side() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => proptest::sample::select(&PATHS[..]).prop_map(str::to_owned),
        2 => proptest::sample::select(&CONSTANTS[..]).prop_map(str::to_owned),
    ]
}

fn test() -> impl Strategy<Value = String> {
    let plain =
        (side(), proptest::sample::select(&OPERATORS[..]), side()).prop_map(|(a, op, b)| format!("{a} {op} {b}"));
    plain.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

/// Yes, no, or failed; nothing when the mistake is found at load.
fn ask(text: &str, evaluator: &Evaluator) -> Option<Option<bool>> {
    let condition = Condition::compile(ScriptSource::loose(text), &Names::everything(), evaluator).ok()?;
    let budget = Budget { operations: 50_000, millis: 10_000 };
    Some(match condition.answer(evaluator, &scope(), budget) {
        Answer::Yes => Some(true),
        Answer::No { .. } => Some(false),
        Answer::Failed { .. } => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn native_and_scripted_answers_agree(text in test()) {
        let evaluator = EVALUATOR.with(Clone::clone);
        let native = ask(&text, &evaluator);
        let scripted = ask(&format!("let unused = 1; {text}"), &evaluator);
        prop_assert_eq!(native, scripted, "{}", text);
    }
}

thread_local! {
    static EVALUATOR: Evaluator = Evaluator::uncounted();
}

#[test]
fn the_questions_have_all_three_answers() {
    let evaluator = Evaluator::uncounted();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [0_u32; 4];
    for _ in 0..400 {
        let text = test().new_tree(&mut runner).unwrap().current();
        let at = match ask(&text, &evaluator) {
            None => 0,
            Some(None) => 1,
            Some(Some(false)) => 2,
            Some(Some(true)) => 3,
        };
        seen[at] += 1;
    }
    assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
}
