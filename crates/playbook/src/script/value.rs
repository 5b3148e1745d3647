//! Strict comparison: values of different types, and absent values, are never silently unequal.
//!
//! One set of rules for the native tests and for Rhai: numbers compare as numbers, texts by code points (times by
//! instant), lists and objects item by item; everything else is a [`Fault`].

use std::cmp::Ordering;

use model::Record;
use serde_json::Value;

use super::scope::Fault;

/// A value in a comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    Absent,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    List(&'a [Value]),
    Record(&'a Record),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    pub(crate) fn from_name(name: &str) -> Option<Op> {
        Some(match name {
            "==" => Op::Eq,
            "!=" => Op::Ne,
            "<" => Op::Lt,
            "<=" => Op::Le,
            ">" => Op::Gt,
            ">=" => Op::Ge,
            _ => return None,
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Op::Eq => "==",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
        }
    }

    pub(crate) const fn orders(self) -> bool {
        !matches!(self, Op::Eq | Op::Ne)
    }

    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Op::Eq => order.is_eq(),
            Op::Ne => order.is_ne(),
            Op::Lt => order.is_lt(),
            Op::Le => order.is_le(),
            Op::Gt => order.is_gt(),
            Op::Ge => order.is_ge(),
        }
    }
}

/// Most characters of a text that are shown in a reason.
const SHOWN_CHARS_MAX: usize = 60;

impl<'a> Operand<'a> {
    pub(crate) fn of(value: &'a Value) -> Operand<'a> {
        match value {
            Value::Null => Operand::Absent,
            Value::Bool(value) => Operand::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Operand::Int(int),
                None => Operand::Float(number.as_f64().unwrap_or(f64::MAX)),
            },
            Value::String(text) => Operand::Text(text),
            Value::Array(items) => Operand::List(items),
            Value::Object(object) => Operand::Record(object),
        }
    }

    /// The same as JSON.
    pub(crate) fn to_json(self) -> Value {
        match self {
            Operand::Absent => Value::Null,
            Operand::Bool(value) => Value::Bool(value),
            Operand::Int(value) => Value::from(value),
            Operand::Float(value) => serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number),
            Operand::Text(text) => Value::String(text.to_owned()),
            Operand::List(items) => Value::Array(items.to_vec()),
            Operand::Record(record) => Value::Object(record.clone()),
        }
    }

    /// What it is, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Operand::Absent => "absent",
            Operand::Bool(_) => "true or false",
            Operand::Int(_) | Operand::Float(_) => "a number",
            Operand::Text(_) => "text",
            Operand::List(_) => "a list",
            Operand::Record(_) => "an object",
        }
    }

    /// The value itself, shortened.
    pub(crate) fn show(&self) -> String {
        match self {
            Operand::Absent => "absent".to_owned(),
            Operand::Bool(value) => value.to_string(),
            Operand::Int(value) => value.to_string(),
            Operand::Float(value) => value.to_string(),
            Operand::Text(text) => show_text(text),
            Operand::List(items) => {
                let shown: Vec<String> = items.iter().take(5).map(|item| Operand::of(item).show()).collect();
                let more = if items.len() > 5 { ", …" } else { "" };
                format!("[{}{more}]", shown.join(", "))
            }
            Operand::Record(record) => format!("an object of {} keys", record.len()),
        }
    }
}

fn show_text(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

/// Compares two values.
pub(crate) fn compare(op: Op, left: Operand<'_>, right: Operand<'_>) -> Result<bool, Fault> {
    let order = match (left, right) {
        (Operand::Text(a), Operand::Text(b)) if op.orders() => order_texts(a, b),
        (Operand::Text(a), Operand::Text(b)) => a.cmp(b),
        (Operand::Int(a), Operand::Int(b)) => a.cmp(&b),
        (Operand::Float(a), Operand::Float(b)) => order_floats(a, b)?,
        (Operand::Int(a), Operand::Float(b)) => order_mixed(a, b)?,
        (Operand::Float(a), Operand::Int(b)) => order_mixed(b, a)?.reverse(),
        (Operand::Bool(a), Operand::Bool(b)) if !op.orders() => a.cmp(&b),
        (Operand::List(a), Operand::List(b)) if !op.orders() => equal(same_lists(a, b)?),
        (Operand::Record(a), Operand::Record(b)) if !op.orders() => equal(same_records(a, b)?),
        _ => return Err(unequal_types(op, &left, &right)),
    };
    Ok(op.holds(order))
}

fn equal(same: bool) -> Ordering {
    if same { Ordering::Equal } else { Ordering::Less }
}

fn unequal_types(op: Op, left: &Operand<'_>, right: &Operand<'_>) -> Fault {
    for side in [left, right] {
        if matches!(side, Operand::Absent) {
            let other = if std::ptr::eq(side, left) { right } else { left };
            let message = format!(
                "an absent value cannot be compared with {}; say what absence means with `?? …` or test `!= ()` first",
                other.show()
            );
            return Fault::new("absent", message);
        }
    }
    let message = if std::mem::discriminant(left) == std::mem::discriminant(right) {
        format!("`{}` has no meaning between two values that are {}", op.name(), left.describe())
    } else {
        let (a, b) = (left.describe(), right.describe());
        format!("{} is {a} and {} is {b}: `{}` compares values of one type only", left.show(), right.show(), op.name())
    };
    Fault::new("type_mismatch", message)
}

/// Texts by code points; two times in UTC by instant, whatever their number of digits.
fn order_texts(a: &str, b: &str) -> Ordering {
    match (utc(a), utc(b)) {
        (Some(a), Some(b)) => a.cmp(b),
        _ => a.cmp(b),
    }
}

/// The part of a time in UTC before its `Z`, which orders as text.
fn utc(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= 20
        && bytes.get(4) == Some(&b'-')
        && bytes.get(10) == Some(&b'T')
        && bytes.get(13) == Some(&b':');
    text.strip_suffix('Z').filter(|_| shape)
}

fn order_floats(a: f64, b: f64) -> Result<Ordering, Fault> {
    a.partial_cmp(&b).ok_or_else(|| Fault::new("arithmetic", "one of the two is not a number (NaN)"))
}

/// Exactly, also where a float cannot hold the whole number.
fn order_mixed(int: i64, float: f64) -> Result<Ordering, Fault> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return order_floats(float, float);
    }
    if float >= LIMIT {
        return Ok(Ordering::Less);
    }
    if float < -LIMIT {
        return Ok(Ordering::Greater);
    }
    Ok(int.cmp(&(float.floor() as i64)).then(if float > float.floor() { Ordering::Less } else { Ordering::Equal }))
}

/// A float without a fraction as a whole number, when it fits.
pub(crate) fn whole(float: f64) -> Option<i64> {
    (float.fract() == 0.0 && float.abs() < 9e18).then_some(float as i64)
}

fn same_lists(a: &[Value], b: &[Value]) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b) {
        if !same(a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn same_records(a: &Record, b: &Record) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, a) in a {
        let Some(b) = b.get(key) else { return Ok(false) };
        if !same(a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn same(a: &Value, b: &Value) -> Result<bool, Fault> {
    match (a, b) {
        (Value::Null, Value::Null) => Ok(true),
        _ => compare(Op::Eq, Operand::of(a), Operand::of(b)),
    }
}

/// `needle in haystack`.
pub(crate) fn contains(haystack: Operand<'_>, needle: Operand<'_>) -> Result<bool, Fault> {
    match (haystack, needle) {
        (_, Operand::Absent) => Err(Fault::new(
            "absent",
            "an absent value cannot be looked for with `in`; say what absence means with `?? …`",
        )),
        (Operand::List(items), needle) => {
            for item in items {
                if compare(Op::Eq, Operand::of(item), needle)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Operand::Text(text), Operand::Text(part)) => Ok(text.contains(part)),
        (Operand::Record(record), Operand::Text(key)) => Ok(record.contains_key(key)),
        (Operand::Absent, _) => Err(Fault::new("absent", "the right side of `in` is absent; write `in (… ?? [])`")),
        (haystack, needle) => {
            let message =
                format!("`in` looks for {} in {}, which is not possible", needle.describe(), haystack.describe());
            Err(Fault::new("type_mismatch", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(left: Value, op: &str, right: Value) -> Result<bool, &'static str> {
        compare(Op::from_name(op).unwrap(), Operand::of(&left), Operand::of(&right)).map_err(|fault| fault.code)
    }

    #[test]
    fn different_types_and_absent_values_have_no_answer() {
        for op in ["==", "!=", "<", "<=", ">", ">="] {
            assert_eq!(ask(json!("92"), op, json!(90)), Err("type_mismatch"), "{op}");
            assert_eq!(ask(json!(null), op, json!(90)), Err("absent"), "{op}");
            assert_eq!(ask(json!([1]), op, json!({})), Err("type_mismatch"), "{op}");
        }
        assert_eq!(ask(json!(true), "<", json!(false)), Err("type_mismatch"));
        assert_eq!(ask(json!([1]), "<", json!([2])), Err("type_mismatch"));
        assert_eq!(ask(json!(["a"]), "==", json!([1])), Err("type_mismatch"));
    }

    #[test]
    fn numbers_compare_exactly_whole_or_not() {
        assert_eq!(ask(json!(92), ">=", json!(91.5)), Ok(true));
        assert_eq!(ask(json!(92.0), "==", json!(92)), Ok(true));
        assert_eq!(ask(json!(-1.5), "<", json!(-1)), Ok(true));
        assert_eq!(ask(json!(-2), "<", json!(-1.5)), Ok(true));
        assert_eq!(ask(json!(9_007_199_254_740_993_i64), "==", json!(9_007_199_254_740_992.0)), Ok(false));
        assert_eq!(ask(json!(i64::MAX), "<", json!(1e300)), Ok(true));
        assert_eq!(ask(json!(i64::MIN), ">", json!(-1e300)), Ok(true));
    }

    #[test]
    fn times_order_by_instant_whatever_their_digits() {
        assert_eq!(ask(json!("2026-11-22T08:00:00.100Z"), "<", json!("2026-11-22T08:00:00.100001Z")), Ok(true));
        assert_eq!(ask(json!("2026-11-22T08:00:00Z"), "<", json!("2026-11-22T08:00:00.001Z")), Ok(true));
        assert_eq!(ask(json!("b"), ">", json!("a")), Ok(true));
    }

    #[test]
    fn lists_and_objects_are_equal_item_by_item() {
        assert_eq!(ask(json!([1, {"a": "x"}]), "==", json!([1.0, {"a": "x"}])), Ok(true));
        assert_eq!(ask(json!([1]), "!=", json!([1, 2])), Ok(true));
        assert_eq!(ask(json!({"a": 1}), "==", json!({"b": 1})), Ok(false));
    }
}
