//! The strict comparisons for Rhai, by the rules of [`super::value`], and the functions that scripts may call.

use model::limits;
use rhai::{Array, Dynamic, ImmutableString, Map, Module};

use super::scope::Fault;
use super::value::{Op, Operand, compare, contains, whole};
use super::view::{Given, View, raise, to_json};

/// `.name` and `?.name` of everything that is no plain variable.
pub(super) const FIELD: &str = "__field";
/// The same where absence is accepted.
pub(super) const OPTIONAL_FIELD: &str = "__optional_field";
/// `x == ()`.
pub(super) const ABSENT: &str = "__absent";
/// `x != ()`.
pub(super) const PRESENT: &str = "__present";
/// The guard of the value of a `switch`.
pub(super) const SWITCH: &str = "__switch";

/// Registers everything that is ours.
pub(super) fn register(module: &mut Module) {
    comparisons(module);
    fields(module);
    functions(module);
    super::lookup::register(module);
    super::meaning::register(module);
}

fn comparisons(module: &mut Module) {
    macro_rules! exact {
        ($name:expr, $op:expr) => {
            module.set_native_fn($name, |a: ImmutableString, b: ImmutableString| {
                compare($op, Operand::Text(&a), Operand::Text(&b)).map_err(raise)
            });
            module.set_native_fn($name, |a: i64, b: i64| Ok($op.holds(a.cmp(&b))));
            module.set_native_fn($name, |a: f64, b: f64| {
                compare($op, Operand::Float(a), Operand::Float(b)).map_err(raise)
            });
            module.set_native_fn($name, |a: Dynamic, b: Dynamic| compare_any($op, &a, &b).map_err(raise));
        };
    }
    exact!("==", Op::Eq);
    exact!("!=", Op::Ne);
    exact!("<", Op::Lt);
    exact!("<=", Op::Le);
    exact!(">", Op::Gt);
    exact!(">=", Op::Ge);
    module.set_native_fn("!", |value: bool| Ok(!value));
    module.set_native_fn(ABSENT, |value: Dynamic| Ok(is_absent(&value)));
    module.set_native_fn(PRESENT, |value: Dynamic| Ok(!is_absent(&value)));
    module.set_native_fn(SWITCH, switch_guard);
    module.set_native_fn("contains", |hay: Dynamic, needle: Dynamic| contains_any(&hay, &needle).map_err(raise));
    // The package's own for these types would find nothing where the types differ.
    module.set_native_fn("contains", |hay: &mut Array, needle: Dynamic| list_contains(hay, &needle).map_err(raise));
    module.set_native_fn("contains", |hay: std::ops::Range<i64>, needle: i64| Ok(hay.contains(&needle)));
    module.set_native_fn("contains", |hay: std::ops::RangeInclusive<i64>, needle: i64| Ok(hay.contains(&needle)));
}

fn fields(module: &mut Module) {
    module.set_native_fn(FIELD, |view: &mut View, name: ImmutableString| view.field(&name, false));
    module.set_native_fn(OPTIONAL_FIELD, |view: &mut View, name: ImmutableString| view.field(&name, true));
    module.set_native_fn(FIELD, |map: &mut Map, name: ImmutableString| match map.get(name.as_str()) {
        Some(value) => Ok(value.clone()),
        None => Err(raise(Fault::new(
            "missing_key",
            format!("the object has no `{name}`; write `?.{name}` if that is right"),
        ))),
    });
    module.set_native_fn(OPTIONAL_FIELD, |map: &mut Map, name: ImmutableString| {
        Ok(map.get(name.as_str()).cloned().unwrap_or(Dynamic::UNIT))
    });
    for field in [FIELD, OPTIONAL_FIELD] {
        module.set_native_fn(field, |value: Dynamic, name: ImmutableString| -> Given<Dynamic> {
            let fault = if value.is_unit() {
                Fault::new("absent", format!("an absent value has no `{name}`; write `?.{name}` or test `!= ()` first"))
            } else {
                Fault::new("type_mismatch", format!("{} has no `{name}`", describe(&value)))
            };
            Err(raise(fault))
        });
    }
    module.set_native_fn("get", |view: &mut View, name: ImmutableString| view.field(&name, true));
    module.set_native_fn("keys", |view: &mut View| Ok(view.keys().into_iter().map(Dynamic::from).collect::<Array>()));
    module.set_native_fn("values", |view: &mut View| {
        view.keys().iter().map(|key| view.field(key, true)).collect::<Given<Array>>()
    });
    module.set_native_fn("len", |view: &mut View| Ok(i64::try_from(view.keys().len()).unwrap_or(i64::MAX)));
    module.set_native_fn("is_empty", |view: &mut View| Ok(view.keys().is_empty()));
}

fn functions(module: &mut Module) {
    module.set_native_fn("replace", |text: ImmutableString, from: ImmutableString, to: ImmutableString| {
        replace(&text, &from, &to).map_err(raise)
    });
    module.set_native_fn("trim", |text: ImmutableString| Ok(ImmutableString::from(text.trim())));
    module.set_native_fn("is_empty", |text: ImmutableString| Ok(text.is_empty()));
    module.set_native_fn("join", |list: &mut Array, between: ImmutableString| join(list, &between).map_err(raise));
    module.set_native_fn("to_json", |value: Dynamic| json_text(&value).map_err(raise));
    module.set_native_fn("to_string", |view: &mut View| json_text(&Dynamic::from(view.clone())).map_err(raise));
    module.set_native_fn("to_debug", |view: &mut View| json_text(&Dynamic::from(view.clone())).map_err(raise));
    module.set_native_fn("seconds_between", |from: ImmutableString, to: ImmutableString| {
        seconds_between(&from, &to).map_err(raise)
    });
    macro_rules! pick {
        ($name:expr, $op:expr) => {
            module.set_native_fn($name, |a: Dynamic, b: Dynamic| {
                compare_any($op, &a, &b).map(|first| if first { a } else { b }).map_err(raise)
            });
        };
    }
    pick!("min", Op::Le);
    pick!("max", Op::Ge);
}

/// Whether it is `()`.
fn is_absent(value: &Dynamic) -> bool {
    value.is_unit() || value.read_lock::<View>().is_some_and(|view| matches!(view.operand(), Operand::Absent))
}

/// What it is, in words.
fn describe(value: &Dynamic) -> &'static str {
    with_operand(value, |operand| operand.map_or("a value of another type", |operand| operand.describe()))
}

/// Looks at a value as an operand; nothing for types that cannot be compared.
fn with_operand<T>(value: &Dynamic, then: impl FnOnce(Option<Operand<'_>>) -> T) -> T {
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return then(Some(Operand::Text(&text)));
    }
    if let Some(view) = value.read_lock::<View>() {
        return then(Some(view.operand()));
    }
    if let Ok(int) = value.as_int() {
        return then(Some(Operand::Int(int)));
    }
    if let Ok(float) = value.as_float() {
        return then(Some(Operand::Float(float)));
    }
    if let Ok(value) = value.as_bool() {
        return then(Some(Operand::Bool(value)));
    }
    if let Ok(value) = value.as_char() {
        return then(Some(Operand::Text(value.encode_utf8(&mut [0; 4]))));
    }
    if value.is_unit() {
        return then(Some(Operand::Absent));
    }
    match to_json(value) {
        Ok(json) => then(Some(Operand::of(&json))),
        Err(_) => then(None),
    }
}

fn incomparable(value: &Dynamic) -> Fault {
    Fault::new("type_mismatch", format!("a value of type {} cannot be compared", value.type_name()))
}

/// Compares any two values.
fn compare_any(op: Op, a: &Dynamic, b: &Dynamic) -> Result<bool, Fault> {
    with_operand(a, |left| {
        let left = left.ok_or_else(|| incomparable(a))?;
        with_operand(b, |right| compare(op, left, right.ok_or_else(|| incomparable(b))?))
    })
}

fn list_contains(items: &[Dynamic], needle: &Dynamic) -> Result<bool, Fault> {
    with_operand(needle, |needle| match needle {
        None | Some(Operand::Absent) => contains(Operand::List(&[]), Operand::Absent),
        Some(needle) => {
            for item in items {
                let found = with_operand(item, |item| compare(Op::Eq, item.unwrap_or(Operand::Absent), needle))?;
                if found {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    })
}

fn contains_any(haystack: &Dynamic, needle: &Dynamic) -> Result<bool, Fault> {
    with_operand(haystack, |hay| {
        let hay = hay.ok_or_else(|| incomparable(haystack))?;
        with_operand(needle, |part| contains(hay, part.ok_or_else(|| incomparable(needle))?))
    })
}

/// The types that the cases of a `switch` have, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cases(pub(super) i64);

impl Cases {
    pub(super) const TEXT: i64 = 1;
    pub(super) const INT: i64 = 2;
    pub(super) const FLOAT: i64 = 4;
    pub(super) const BOOL: i64 = 8;
    pub(super) const UNIT: i64 = 16;
    pub(super) const CHAR: i64 = 32;

    const fn has(self, bits: i64) -> bool {
        self.0 & bits != 0
    }
}

/// Gives back the value of a `switch` in the type of its cases, or fails when no case could ever fit.
fn switch_guard(value: Dynamic, cases: i64) -> Given<Dynamic> {
    let cases = Cases(cases);
    let fits = if value.is_string() {
        cases.has(Cases::TEXT)
    } else if value.is_int() {
        if !cases.has(Cases::INT) && cases.has(Cases::FLOAT) {
            let float = value.as_int().unwrap_or_default() as f64;
            return Ok(float.into());
        }
        cases.has(Cases::INT)
    } else if value.is_float() {
        if let (true, Some(int)) = (cases.has(Cases::INT), value.as_float().ok().and_then(whole)) {
            return Ok(int.into());
        }
        cases.has(Cases::INT | Cases::FLOAT)
    } else if value.is_bool() {
        cases.has(Cases::BOOL)
    } else if value.is_char() {
        cases.has(Cases::CHAR)
    } else {
        value.is_unit() && cases.has(Cases::UNIT)
    };
    if fits {
        return Ok(value);
    }
    let what = describe(&value);
    let code = if value.is_unit() { "absent" } else { "type_mismatch" };
    Err(raise(Fault::new(code, format!("the value of `switch` is {what}, and no case is of that type"))))
}

/// Replaces every `from` by `to`, when the result is not too long.
fn replace(text: &str, from: &str, to: &str) -> Result<ImmutableString, Fault> {
    if from.is_empty() {
        return Err(Fault::new("arithmetic", "`replace` needs a text to look for"));
    }
    let found = text.matches(from).count();
    let longer = to.len().saturating_sub(from.len()).saturating_mul(found);
    too_long(text.len().saturating_add(longer))?;
    Ok(text.replace(from, to).into())
}

fn too_long(bytes: usize) -> Result<(), Fault> {
    if bytes <= limits::SCRIPT_STRING_BYTES_MAX {
        return Ok(());
    }
    let most = limits::SCRIPT_STRING_BYTES_MAX / 1024;
    Err(Fault::new("too_large", format!("a text in a script may have at most {most} KB")))
}

/// Puts the items of a list into one text.
fn join(list: &[Dynamic], between: &str) -> Result<ImmutableString, Fault> {
    let mut out = String::new();
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            out.push_str(between);
        }
        match item.read_lock::<ImmutableString>() {
            Some(text) => out.push_str(&text),
            None if item.is_unit() => {}
            None => out.push_str(&json_text(item)?),
        }
        too_long(out.len())?;
    }
    Ok(out.into())
}

fn json_text(value: &Dynamic) -> Result<ImmutableString, Fault> {
    let text = to_json(value)?.to_string();
    too_long(text.len())?;
    Ok(text.into())
}

/// From one time to a later one, in seconds.
fn seconds_between(from: &str, to: &str) -> Result<f64, Fault> {
    let read = |text: &str| model::Time::parse(text).map_err(|error| Fault::new("type_mismatch", error.to_string()));
    let (from, to) = (read(from)?, read(to)?);
    Ok((i128::from(to.micros()) - i128::from(from.micros())) as f64 / 1e6)
}
