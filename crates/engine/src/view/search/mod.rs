//! Finding alerts and cases: `priority:critical AND NOT stage:Closed "impossible travel"`.
//!
//! The walk: text → [`parse`] → [`Query::fits`] for each object. A query is small, and looks only at what the object
//! itself holds; whoever asks sees of it what a listing would show anyway.

mod field;
mod parse;
pub mod sort;

use model::record::priority_rank;
use model::{Object, ObjectKey, Time};
use serde_json::Value;

use field::{Field, Nature};
pub use parse::parse;

/// Longest query, in characters.
pub const QUERY_CHARS_MAX: usize = 1_000;
/// Most terms in a query.
pub const TERMS_MAX: usize = 50;
/// Deepest nesting of parentheses.
pub const DEPTH_MAX: usize = 16;

/// Why a query cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {message}")]
pub struct QueryError {
    /// Where, in characters from 1.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

/// A query that can be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    node: Node,
    now: Time,
}

/// A piece of a query.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// A plain word: somewhere in the object, in lower case.
    Word(String),
    Term {
        field: Field,
        op: Op,
        wanted: Wanted,
    },
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Is,
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    /// Anything at all.
    Present,
    /// A text in lower case, its pieces between `*`.
    Text(Vec<String>),
    Number(f64),
    Time(Time),
    /// A rank of priority.
    Rank(usize),
}

impl Query {
    /// Whether an object is meant.
    pub fn fits(&self, key: &ObjectKey, object: &Object) -> bool {
        self.node.fits(key, object)
    }

    /// When it was asked.
    pub fn asked_at(&self) -> Time {
        self.now
    }
}

impl Node {
    fn fits(&self, key: &ObjectKey, object: &Object) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.fits(key, object)),
            Node::Any(nodes) => nodes.iter().any(|node| node.fits(key, object)),
            Node::Not(node) => !node.fits(key, object),
            Node::Word(word) => {
                key.id.to_lowercase().contains(word) || object.record.values().any(|value| mentions(value, word))
            }
            Node::Term { field, op, wanted } => {
                let mut found = false;
                field.each(key, object, &mut |value| found = found || compares(field, *op, wanted, value));
                found
            }
        }
    }
}

/// Whether a text stands somewhere in a value.
fn mentions(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => contains(text, word),
        Value::Number(number) => number.to_string() == word,
        Value::Array(items) => items.iter().any(|item| mentions(item, word)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, word)),
        _ => false,
    }
}

/// Whether a text holds another, which is in lower case.
fn contains(text: &str, lower: &str) -> bool {
    if text.is_ascii() && lower.is_ascii() {
        // The usual case needs no copy of the text.
        let (text, lower) = (text.as_bytes(), lower.as_bytes());
        return lower.is_empty() || text.windows(lower.len()).any(|window| window.eq_ignore_ascii_case(lower));
    }
    text.to_lowercase().contains(lower)
}

fn compares(field: &Field, op: Op, wanted: &Wanted, value: &Value) -> bool {
    if value.is_null() {
        return false;
    }
    match wanted {
        Wanted::Present => !matches!(value, Value::Array(items) if items.is_empty()),
        Wanted::Number(number) => value.as_f64().is_some_and(|value| ordered(op, value.total_cmp(number))),
        Wanted::Time(time) => {
            let value = value.as_str().and_then(|text| Time::parse(text).ok());
            value.is_some_and(|value| ordered(op, value.cmp(time)))
        }
        Wanted::Rank(rank) => value.as_str().and_then(priority_rank).is_some_and(|value| ordered(op, value.cmp(rank))),
        Wanted::Text(pieces) => match value {
            Value::String(text) => fits_text(field.nature, text, pieces),
            Value::Number(number) => fits_text(Nature::Word, &number.to_string(), pieces),
            Value::Bool(truth) => fits_text(Nature::Word, &truth.to_string(), pieces),
            other => pieces.iter().all(|piece| mentions(other, piece)),
        },
    }
}

fn ordered(op: Op, order: std::cmp::Ordering) -> bool {
    match op {
        Op::Is => order.is_eq(),
        Op::Above => order.is_gt(),
        Op::AtLeast => order.is_ge(),
        Op::Below => order.is_lt(),
        Op::AtMost => order.is_le(),
    }
}

/// Prose holds a text; a name is it, or is it but for what `*` leaves open.
fn fits_text(nature: Nature, text: &str, pieces: &[String]) -> bool {
    if nature == Nature::Prose {
        return pieces.iter().all(|piece| contains(text, piece));
    }
    let text = text.to_lowercase();
    // The day of a time, and any other beginning of it.
    if nature == Nature::Time {
        return pieces.first().is_some_and(|piece| text.starts_with(piece.as_str()));
    }
    let Some((first, rest)) = pieces.split_first() else { return false };
    let Some((last, between)) = rest.split_last() else { return text == *first };
    let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
    for piece in between {
        match left.find(piece.as_str()) {
            Some(at) => left = left.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last.as_str())
}

#[cfg(test)]
mod tests;
