//! What must hold for a condition to say yes, as far as plain comparisons tell: whether two conditions can hold at once, and
//! whether one can hold at all.
//!
//! Invariant: only what can be proven is said. What is not understood stands as its text, and proves nothing.

use serde_json::Value;

use super::compile::{Code, Condition};
use super::native::{Term, Test};
use super::value::Op;

/// What a path must be.
#[derive(Debug, Clone, PartialEq)]
enum Need {
    Is(Value),
    IsNot(Value),
    Among(Vec<Value>),
    NotAmong(Vec<Value>),
    /// At least, and whether the level itself is too little.
    Above(f64, bool),
    /// At most, and whether the level itself is too much.
    Below(f64, bool),
    Absent,
    Present,
}

/// What must hold for some conditions to say yes together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    known: Vec<(String, Need)>,
    /// What is not understood, as written.
    unknown: Vec<String>,
    never: bool,
}

impl Needs {
    /// Adds what a condition needs.
    pub(crate) fn add(&mut self, condition: &Condition) {
        for (text, code) in condition.codes() {
            match code {
                Code::Native(test) => self.test(test, true, text),
                Code::Constant(Value::Bool(value)) => self.never |= !value,
                _ => self.unknown.push(normal(text)),
            }
        }
    }

    /// Adds that a condition says no; that tells something when the condition is one comparison.
    pub(crate) fn add_not(&mut self, condition: &Condition) {
        let mut codes = condition.codes();
        match (codes.next(), codes.next()) {
            (Some((text, Code::Native(test))), None) => self.test(test, false, text),
            _ => self.unknown.push(format!("!({})", normal(condition.source()))),
        }
    }

    fn test(&mut self, test: &Test, yes: bool, text: &str) {
        match test {
            Test::All(tests) if yes => tests.iter().for_each(|test| self.test(test, yes, text)),
            Test::Any(tests) if !yes => tests.iter().for_each(|test| self.test(test, yes, text)),
            Test::Not(inner) => self.test(inner, !yes, text),
            Test::Truth(Term::Constant(Value::Bool(value))) => self.never |= *value != yes,
            Test::Truth(Term::Path(path)) => self.known.push((path.full(), Need::Is(Value::Bool(yes)))),
            Test::Absence { of, present } => {
                self.known.push((of.full(), if *present == yes { Need::Present } else { Need::Absent }));
            }
            Test::Compare { left: Term::Path(path), op, right: Term::Constant(value) } => {
                self.compare(path.full(), *op, value, yes, text);
            }
            Test::Compare { left: Term::Constant(value), op, right: Term::Path(path) } => {
                self.compare(path.full(), turned(*op), value, yes, text);
            }
            Test::In { needle: Term::Path(path), haystack: Term::Constant(Value::Array(all)) } => {
                let need = if yes { Need::Among(all.clone()) } else { Need::NotAmong(all.clone()) };
                self.known.push((path.full(), need));
            }
            _ => self.unknown.push(if yes { normal(text) } else { format!("!({})", normal(text)) }),
        }
    }

    fn compare(&mut self, path: String, op: Op, value: &Value, yes: bool, text: &str) {
        let op = if yes { op } else { opposite(op) };
        let need = match (op, value.as_f64()) {
            (Op::Eq, _) => Need::Is(value.clone()),
            (Op::Ne, _) => Need::IsNot(value.clone()),
            (Op::Gt, Some(level)) => Need::Above(level, true),
            (Op::Ge, Some(level)) => Need::Above(level, false),
            (Op::Lt, Some(level)) => Need::Below(level, true),
            (Op::Le, Some(level)) => Need::Below(level, false),
            _ => return self.unknown.push(normal(text)),
        };
        self.known.push((path, need));
    }

    /// Whether it asks for what a run only learns on its way: what its steps answered, and what it has set.
    pub(crate) fn learns(&self) -> bool {
        let learned = |text: &str| text.contains("steps.") || text.contains("vars.");
        self.known.iter().any(|(path, _)| learned(path)) || self.unknown.iter().any(|text| learned(text))
    }

    /// The path whose needs contradict each other, if there is one; an empty one when it says `false` itself.
    pub(crate) fn contradiction(&self) -> Option<&str> {
        if self.never {
            return Some("");
        }
        let at = |n: usize| self.known.get(n);
        (0..self.known.len()).find_map(|n| {
            let (path, need) = at(n)?;
            let clash = (0..n).filter_map(at).any(|(other, known)| other == path && contradict(known, need));
            clash.then_some(path.as_str())
        })
    }

    /// Whether it is certain that nothing stands in the way of both at once, once the one that asks for more says yes.
    pub(crate) fn can_hold_with(&self, other: &Needs) -> bool {
        let both = Needs {
            known: self.known.iter().chain(&other.known).cloned().collect(),
            unknown: Vec::new(),
            never: self.never || other.never,
        };
        let within = |one: &Needs, more: &Needs| one.unknown.iter().all(|text| more.unknown.contains(text));
        both.contradiction().is_none() && (within(self, other) || within(other, self))
    }
}

/// A script without what only a reader sees.
fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn turned(op: Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::Le => Op::Ge,
        Op::Gt => Op::Lt,
        Op::Ge => Op::Le,
        same => same,
    }
}

fn opposite(op: Op) -> Op {
    match op {
        Op::Eq => Op::Ne,
        Op::Ne => Op::Eq,
        Op::Lt => Op::Ge,
        Op::Le => Op::Gt,
        Op::Gt => Op::Le,
        Op::Ge => Op::Lt,
    }
}

/// Whether one thing cannot be both.
fn contradict(one: &Need, other: &Need) -> bool {
    one_way(one, other) || one_way(other, one)
}

fn one_way(one: &Need, other: &Need) -> bool {
    match (one, other) {
        (Need::Is(value), other) => !holds(other, value),
        (Need::Among(values), other) => values.iter().all(|value| !holds(other, value)),
        (Need::Above(low, low_out), Need::Below(high, high_out)) => {
            low > high || (low >= high && (*low_out || *high_out))
        }
        (Need::Absent, other) => matches!(other, Need::Present | Need::Above(..) | Need::Below(..)),
        _ => false,
    }
}

/// Whether a value is what is needed; where types differ the comparison fails, and so never says yes.
fn holds(need: &Need, value: &Value) -> bool {
    let number = value.as_f64();
    match need {
        Need::Is(other) => same(value, other),
        Need::IsNot(other) => !same(value, other),
        Need::Among(all) => all.iter().any(|other| same(value, other)),
        Need::NotAmong(all) => !all.iter().any(|other| same(value, other)),
        Need::Above(level, out) => number.is_some_and(|number| number > *level || (!out && number >= *level)),
        Need::Below(level, out) => number.is_some_and(|number| number < *level || (!out && number <= *level)),
        Need::Absent => false,
        Need::Present => true,
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Evaluator, Names, ScriptSource};

    fn needs(text: &str) -> Needs {
        let condition =
            Condition::compile(ScriptSource::loose(text), &Names::everything(), &Evaluator::uncounted()).unwrap();
        let mut needs = Needs::default();
        needs.add(&condition);
        needs
    }

    #[test]
    fn what_can_never_hold_is_named_with_its_path() {
        for (text, path) in [
            ("alert.risk_score > 90 && alert.risk_score < 50", "alert.risk_score"),
            ("alert.risk_score >= 90 && 90 > alert.risk_score", "alert.risk_score"),
            ("case.priority == \"low\" && case.queue == \"a\" && case.priority == \"high\"", "case.priority"),
            ("case.priority in [\"low\", \"medium\"] && case.priority == \"high\"", "case.priority"),
            ("case.assignee == () && case.assignee != ()", "case.assignee"),
            ("alert.risk_score == () && alert.risk_score > 5", "alert.risk_score"),
            ("!(case.priority == \"low\") && case.priority == \"low\"", "case.priority"),
            ("false", ""),
        ] {
            assert_eq!(needs(text).contradiction(), Some(path), "{text}");
        }
    }

    #[test]
    fn what_may_hold_is_left_alone() {
        for text in [
            "alert.risk_score >= 90 && alert.risk_score <= 90",
            "alert.risk_score != () && alert.risk_score > 60 && alert.risk_score < 80",
            "case.priority == \"low\" || case.priority == \"high\"",
            "case.priority in [\"low\", \"high\"] && case.priority != \"low\"",
            "\"a\" in alert.tags && \"b\" in alert.tags",
            "alert.tags.some(|t| t == \"a\") && alert.risk_score > 1",
            "case.assignee == () || case.assignee == \"eve\"",
        ] {
            assert_eq!(needs(text).contradiction(), None, "{text}");
        }
    }

    #[test]
    fn two_can_hold_at_once_only_where_that_is_certain() {
        let both = |a: &str, b: &str| needs(a).can_hold_with(&needs(b));
        assert!(both("alert.risk_score >= 80", "alert.risk_score >= 90"));
        assert!(both("case.stage == \"New\"", "alert.tags.some(|t| t == \"vip\")"));
        assert!(both("alert.name.contains( \"x\" )", "alert.risk_score > 3 && alert.name.contains( \"x\" )"));
        assert!(!both("alert.risk_score < 60", "alert.risk_score >= 60"));
        assert!(!both("alert.name.contains(\"x\")", "alert.name.contains(\"y\")"));
    }
}
