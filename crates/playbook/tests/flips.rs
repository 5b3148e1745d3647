//! `explain` names exactly the operands of which each alone would turn the answer: conditions are grown, and every operand is
//! turned around to see.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, OnceLock};

use model::Time;
use playbook::{Answer, Budget, Condition, Evaluator, Names, Operand, Root, Scope, ScriptSource};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A condition; a leaf is one of [`FORMS`] and what it says.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(usize, bool),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
}

/// How an operand may be written, with the value of its variable for which it says yes, and the one for no.
type Form = (&'static str, fn() -> Value, fn() -> Value);
const FORMS: [Form; 9] = [
    ("vars.N", || json!(true), || json!(false)),
    ("vars.N > 5", || json!(9), || json!(5)),
    ("vars.N == \"high\"", || json!("high"), || json!("low")),
    ("vars.N != ()", || json!(1), || Value::Null),
    ("\"vip\" in vars.N", || json!(["vip"]), || json!([])),
    (
        "vars.N.some(|d| d.a == 1 && !(d.b < 3 || d.c))",
        || json!([{ "a": 1, "b": 4, "c": false }]),
        || json!([{ "a": 1, "b": 2, "c": false }, { "a": 2, "b": 4, "c": false }]),
    ),
    ("vars.N.all(|d| d > 2)", || json!([3, 4]), || json!([3, 1])),
    ("vars.N.filter(|u| u.starts_with(\"a\")).len() >= 1", || json!(["alice"]), || json!(["bob"])),
    ("vars.N.to_lower().contains(\"phish\")", || json!("Phishing"), || json!("")),
];

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (0..FORMS.len(), any::<bool>()).prop_map(|(form, says)| Tree::Leaf(form, says));
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Tree::All),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Tree::Any),
            inner.prop_map(|inner| Tree::Not(Box::new(inner))),
        ]
    })
}

/// Writes the condition, and notes its leaves.
fn write(tree: &Tree, leaves: &mut Vec<(usize, bool)>) -> String {
    let mut row = |all: &[Tree], sign: &str| {
        let parts: Vec<String> = all.iter().map(|one| write(one, leaves)).collect();
        format!("({})", parts.join(sign))
    };
    match tree {
        Tree::All(all) => row(all, " && "),
        Tree::Any(all) => row(all, " || "),
        Tree::Not(inner) => format!("!({})", write(inner, leaves)),
        Tree::Leaf(form, says) => {
            leaves.push((*form, *says));
            FORMS[*form].0.replace('N', &format!("v{}", leaves.len() - 1))
        }
    }
}

fn scope(leaves: &[(usize, bool)]) -> Scope {
    let value = |(form, says): &(usize, bool)| if *says { FORMS[*form].1() } else { FORMS[*form].2() };
    let vars: Map<String, Value> = leaves.iter().enumerate().map(|(n, leaf)| (format!("v{n}"), value(leaf))).collect();
    Scope::new(Time::EPOCH).free(Root::Vars, Arc::new(Value::Object(vars)))
}

fn says(condition: &Condition, leaves: &[(usize, bool)]) -> bool {
    match condition.answer(evaluator(), &scope(leaves), Budget::STEP) {
        Answer::Yes => true,
        Answer::No { .. } => false,
        Answer::Failed { message, .. } => unreachable!("{}: {message}", condition.source()),
    }
}

/// The leaves that alone turn the answer, each tried.
fn turning(condition: &Condition, leaves: &[(usize, bool)]) -> Vec<usize> {
    let now = says(condition, leaves);
    let turned = |at: usize| {
        let mut other = leaves.to_vec();
        other[at].1 = !other[at].1;
        says(condition, &other) != now
    };
    (0..leaves.len()).filter(|at| turned(*at)).collect()
}

/// One for all: building it takes longer than asking it.
fn evaluator() -> &'static Evaluator {
    static ONE: OnceLock<Evaluator> = OnceLock::new();
    ONE.get_or_init(Evaluator::uncounted)
}

fn compiled(text: &str) -> Condition {
    Condition::compile(ScriptSource::loose(text), &Names::everything(), evaluator()).unwrap()
}

/// The operands of a condition that are no operands of closures, which is how they are numbered here.
fn traced(condition: &Condition, leaves: &[(usize, bool)]) -> Vec<Operand> {
    condition.trace(evaluator(), &scope(leaves))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn exactly_the_operands_that_turn_the_answer_are_named(tree in tree()) {
        let mut leaves = Vec::new();
        let text = write(&tree, &mut leaves);
        let condition = compiled(&text);
        let operands = traced(&condition, &leaves);
        prop_assert_eq!(operands.len(), leaves.len(), "{}", &text);
        let named: Vec<usize> = (0..operands.len()).filter(|at| operands[*at].decides).collect();
        prop_assert_eq!(&named, &turning(&condition, &leaves), "{} with {:?}", &text, &leaves);
        if named.is_empty() {
            // None decides alone: those that are named turn it together.
            let now = says(&condition, &leaves);
            let mut other = leaves.clone();
            for at in (0..operands.len()).filter(|at| operands[*at].together) {
                other[at].1 = !other[at].1;
            }
            prop_assert!(says(&condition, &other) != now, "{} with {:?}", &text, &leaves);
        }
    }
}

/// Conditions as people write them, with the answers that their operands have and those that decide.
#[test]
fn for_given_conditions_the_operand_that_decides_is_named() {
    let conditions = [
        "A && B",
        "A || B",
        "!A",
        "!(A && B)",
        "!(A || B)",
        "A && (B || C)",
        "A || (B && C)",
        "(A && B) || (C && D)",
        "(A || B) && (C || D)",
        "!(A && !B)",
        "A && !(B || !C)",
        "!(!(A))",
        "A && B && C && D",
        "A || B || C || D",
        "!(A || (B && !(C || D)))",
    ];
    let mut tried = 0;
    for shape in conditions {
        let names: Vec<char> = shape.chars().filter(char::is_ascii_uppercase).collect();
        for forms in [[0, 1, 2, 3], [4, 5, 6, 7], [8, 0, 5, 6]] {
            let text = names.iter().enumerate().fold(shape.to_owned(), |text, (n, name)| {
                let form = FORMS[forms[n]].0.replace('N', &format!("v{n}"));
                text.replace(*name, &format!("({form})"))
            });
            let condition = compiled(&text);
            for answers in 0..1_usize << names.len() {
                let leaves: Vec<(usize, bool)> = (0..names.len()).map(|n| (forms[n], answers >> n & 1 == 1)).collect();
                let operands = traced(&condition, &leaves);
                let named: Vec<usize> = (0..operands.len()).filter(|at| operands[*at].decides).collect();
                assert_eq!(named, turning(&condition, &leaves), "{text} with {leaves:?}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 300, "{tried}");
}
