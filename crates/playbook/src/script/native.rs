//! Tests that need no Rhai: comparisons of paths and constants, evaluated on the shared JSON itself by the same rules.

use rhai::{Expr, FnCallExpr};
use serde_json::Value;

use super::chain::path_of;
use super::scope::{Fault, Path, Scope};
use super::value::{Op, Operand, compare, contains};

/// One side of a comparison.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Path(Path),
    Constant(Value),
}

/// A test.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Compare {
        left: Term,
        op: Op,
        right: Term,
    },
    In {
        needle: Term,
        haystack: Term,
    },
    /// `x == ()`, or `x != ()` when `present`.
    Absence {
        of: Path,
        present: bool,
    },
    Truth(Term),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
}

impl Term {
    fn value<'s>(&'s self, scope: &'s Scope) -> Result<Operand<'s>, Fault> {
        match self {
            Term::Path(path) => scope.find(path),
            Term::Constant(value) => Ok(Operand::of(value)),
        }
    }

    /// What an expression is, when it is a path or a constant.
    pub(super) fn of(expr: &Expr, locals: &[String]) -> Option<Term> {
        path_of(expr, locals).map(Term::Path).or_else(|| constant(expr).map(Term::Constant))
    }
}

/// The value of a constant expression.
pub(super) fn constant(expr: &Expr) -> Option<Value> {
    Some(match expr {
        Expr::BoolConstant(value, _) => Value::Bool(*value),
        Expr::IntegerConstant(value, _) => Value::from(*value),
        Expr::FloatConstant(value, _) => Value::Number(serde_json::Number::from_f64(**value)?),
        Expr::StringConstant(text, _) => Value::String(text.to_string()),
        Expr::CharConstant(value, _) => Value::String(value.to_string()),
        Expr::Array(items, _) => items.iter().map(constant).collect::<Option<Value>>()?,
        _ => return None,
    })
}

impl Test {
    /// The test that an expression makes, when it needs no Rhai.
    pub(super) fn of(expr: &Expr, locals: &[String]) -> Option<Test> {
        let all = |items: &[Expr]| items.iter().map(|item| Test::of(item, locals)).collect::<Option<Vec<Test>>>();
        match expr {
            Expr::And(items, _) => all(items).map(Test::All),
            Expr::Or(items, _) => all(items).map(Test::Any),
            Expr::FnCall(call, _) => Test::of_call(call, locals),
            Expr::BoolConstant(..) | Expr::Variable(..) | Expr::Dot(..) | Expr::Index(..) => {
                Term::of(expr, locals).map(Test::Truth)
            }
            _ => None,
        }
    }

    fn of_call(call: &FnCallExpr, locals: &[String]) -> Option<Test> {
        match (call.name.as_str(), &call.args[..]) {
            ("!", [inner]) => Some(Test::Not(Box::new(Test::of(inner, locals)?))),
            ("contains", [haystack, needle]) => {
                Some(Test::In { needle: Term::of(needle, locals)?, haystack: Term::of(haystack, locals)? })
            }
            (name, [path, Expr::Unit(_)] | [Expr::Unit(_), path]) if matches!(name, "==" | "!=") => {
                Some(Test::Absence { of: path_of(path, locals)?, present: name == "!=" })
            }
            (name, [left, right]) => {
                let op = Op::from_name(name)?;
                Some(Test::Compare { left: Term::of(left, locals)?, op, right: Term::of(right, locals)? })
            }
            _ => None,
        }
    }

    /// The answer, from left to right and no further than needed.
    pub(super) fn holds(&self, scope: &Scope) -> Result<bool, Fault> {
        match self {
            Test::Compare { left, op, right } => {
                compare(*op, left.value(scope)?, right.value(scope)?).map_err(|fault| self.name_sides(fault, scope))
            }
            Test::In { needle, haystack } => {
                let needle = needle.value(scope)?;
                contains(haystack.value(scope)?, needle).map_err(|fault| self.name_sides(fault, scope))
            }
            Test::Absence { of, present } => Ok(matches!(scope.find(of)?, Operand::Absent) != *present),
            Test::Truth(term) => match term.value(scope)? {
                Operand::Bool(value) => Ok(value),
                other => {
                    let message = format!("this is {}, not true or false", other.describe());
                    Err(self.name_sides(Fault::new("not_boolean", message), scope))
                }
            },
            Test::Not(inner) => Ok(!inner.holds(scope)?),
            Test::All(tests) => {
                for test in tests {
                    if !test.holds(scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Test::Any(tests) => {
                for test in tests {
                    if test.holds(scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Adds what the paths hold to an error.
    fn name_sides(&self, fault: Fault, scope: &Scope) -> Fault {
        let mut paths = Vec::new();
        self.paths(&mut paths);
        let sides = describe_paths(&paths, scope);
        if sides.is_empty() { fault } else { Fault::new(fault.code, format!("{sides}: {}", fault.message)) }
    }

    /// The paths that it looks at.
    pub(super) fn paths<'t>(&'t self, out: &mut Vec<&'t Path>) {
        let mut term = |term: &'t Term| {
            if let Term::Path(path) = term {
                out.push(path);
            }
        };
        match self {
            Test::Compare { left, right, .. } => {
                term(left);
                term(right);
            }
            Test::In { needle, haystack } => {
                term(needle);
                term(haystack);
            }
            Test::Absence { of, .. } => out.push(of),
            Test::Truth(of) => term(of),
            Test::Not(inner) => inner.paths(out),
            Test::All(tests) | Test::Any(tests) => tests.iter().for_each(|test| test.paths(out)),
        }
    }
}

/// Most paths that a reason names.
const PATHS_SHOWN_MAX: usize = 3;

/// `case.priority is "high", case.stage is "New"`.
pub(super) fn describe_paths(paths: &[&Path], scope: &Scope) -> String {
    let mut shown: Vec<String> = Vec::new();
    for path in paths {
        let value = match scope.find(path) {
            Ok(value) => value.show(),
            Err(_) => continue,
        };
        let text = format!("{} is {value}", path.full());
        if !shown.contains(&text) {
            shown.push(text);
        }
        if shown.len() == PATHS_SHOWN_MAX {
            break;
        }
    }
    shown.join(", ")
}
