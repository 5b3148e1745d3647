//! Comparisons that can never be answered, or never be true, found before they run.

use rhai::{Expr, Position};

use super::types::Ty;
use super::value::Op;
use super::walk::{Walk, leftmost};
use crate::reader::{did_you_mean, either};

/// Judges a comparison of two sides with what is known of their types.
pub(super) fn comparison(walk: &mut Walk<'_>, left: (&Expr, Ty), op: Op, right: (&Expr, Ty), at: Position) {
    let (a, b) = (left.1.broad(), right.1.broad());
    let known = a != Ty::Any && b != Ty::Any;
    let len = op.name().len();
    if known && a != b {
        let message = format!("this compares {} with {}, which has no answer", left.1.describe(), right.1.describe());
        let help = match (a, b) {
            (Ty::Number, Ty::Text) | (Ty::Text, Ty::Number) => {
                Some("compare values of one type; a number has no quotes".to_owned())
            }
            (Ty::List, _) | (_, Ty::List) => Some("to look into a list write `… in list`".to_owned()),
            _ => None,
        };
        walk.error("PB309", at, len, message, help);
        return;
    }
    if op.orders() && matches!(a, Ty::Bool | Ty::List | Ty::Object | Ty::Absent) {
        walk.error(
            "PB309",
            at,
            len,
            format!("`{}` has no meaning between two values that are {}", op.name(), left.1.describe()),
            None,
        );
        return;
    }
    if op.orders() && [left.1, right.1].contains(&Ty::Priority) {
        let help = "priorities are words; write `case.priority in [\"high\", \"critical\"]`".to_owned();
        walk.error(
            "PB309",
            at,
            len,
            "priorities have no order as text: \"critical\" comes before \"high\"",
            Some(help),
        );
        return;
    }
    word(walk, left.1, right.0);
    word(walk, right.1, left.0);
}

/// A word that a stage or a priority is compared with must be one that it can be.
fn word(walk: &mut Walk<'_>, ty: Ty, other: &Expr) {
    let Expr::StringConstant(text, _) = other else { return };
    let (what, words): (_, Vec<String>) = match ty {
        Ty::Priority => ("a priority", model::record::PRIORITIES.map(str::to_owned).to_vec()),
        Ty::Stage => ("a stage", walk.names.words.stages.clone()),
        _ => return,
    };
    if words.iter().any(|word| word == text.as_str()) {
        return;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let same = words.iter().find(|word| word.eq_ignore_ascii_case(text)).map(|word| format!("write `\"{word}\"`"));
    let help = same
        .or_else(|| did_you_mean(text, words.iter().copied()))
        .unwrap_or_else(|| format!("it is {}", either(&words)));
    walk.error(
        "PB310",
        leftmost(other),
        text.chars().count() + 2,
        format!("`{text}` is never {what}, so this is never true"),
        Some(help),
    );
}
