//! Functions that look into what somebody else sent: absence, other types and odd nesting are taken for granted there.
//!
//! A path is names with dots between them: `evidence.user.name`. A list on the way means each of its items (`[]` after a
//! name may say so), `*` means every key, `[0]` one item. A name is compared exactly first and then without case; a key
//! that itself has dots in it is found, too. What is not there is nothing, never an error.
//!
//! Invariant: what is found together is bounded; the paths stand in the script and the values are bounded by their body.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use model::limits;
use rhai::{Array, Dynamic, ImmutableString, Map, Module};
use serde_json::Value;

use super::scope::{Base, Fault, Here};
use super::view::{Given, View, raise, to_json};

/// Registers them.
pub(super) fn register(module: &mut Module) {
    module.set_native_fn("pick", |value: Dynamic, paths: Dynamic| pick(&value, &paths).map_err(raise));
    module.set_native_fn("gather", |value: Dynamic, paths: Dynamic| gather(&value, &paths).map_err(raise));
    module.set_native_fn("items", |value: Dynamic, paths: Dynamic| items(&value, &paths));
    module.set_native_fn("has", |value: Dynamic, paths: Dynamic| has(&value, &paths).map_err(raise));
}

/// The paths of a call: one text or a list of them.
fn paths_of(paths: &Dynamic) -> Result<Vec<ImmutableString>, Fault> {
    let one = |path: &Dynamic| {
        let text = path.read_lock::<ImmutableString>().map(|text| text.clone());
        text.ok_or_else(|| Fault::new("type_mismatch", "a path is text, such as `\"alert.name\"`, or a list of texts"))
    };
    match paths.read_lock::<Array>() {
        Some(list) => list.iter().map(one).collect(),
        None => Ok(vec![one(paths)?]),
    }
}

/// Looks at a value of Rhai as JSON, without copying what lies behind a [`View`].
pub(super) fn with_json<T>(value: &Dynamic, then: impl FnOnce(&Value) -> T) -> Result<T, Fault> {
    if let Some(view) = value.read_lock::<View>()
        && let Here::Value(value) = view.here()
    {
        return Ok(then(value));
    }
    Ok(then(&to_json(value)?))
}

/// Whether a value says nothing: `null`, or text without content.
pub(super) fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// The first value that lies at a path.
pub fn look<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut found = None;
    let _ = visit(value, path, &mut |value| {
        found = Some(value);
        ControlFlow::Break(())
    });
    found
}

/// Visits what lies at a path, in order, until told to stop.
fn visit<'v>(value: &'v Value, path: &str, found: &mut dyn FnMut(&'v Value) -> ControlFlow<()>) -> ControlFlow<()> {
    let path = path.trim_start_matches('.');
    if let Some(rest) = path.strip_prefix("[]") {
        return visit(value, rest, found);
    }
    if path.is_empty() {
        return found(value);
    }
    if let Some((index, rest)) = path.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let item = value.as_array().and_then(|items| items.get(index.parse::<usize>().ok()?));
        return item.map_or(ControlFlow::Continue(()), |item| visit(item, rest, found));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| visit(item, path, found)),
        Value::Object(object) => match path.strip_prefix('*') {
            Some(rest) => object.values().try_for_each(|value| visit(value, rest, found)),
            None => match step(object, path) {
                Some((value, rest)) => visit(value, rest, found),
                None => ControlFlow::Continue(()),
            },
        },
        _ => ControlFlow::Continue(()),
    }
}

/// The value of the first name of a path and the rest of the path. The longest name counts, because keys may have dots.
fn step<'v, 'p>(object: &'v serde_json::Map<String, Value>, path: &'p str) -> Option<(&'v Value, &'p str)> {
    let mut end = path.len();
    loop {
        let name = path.get(..end)?;
        if let Some(value) = object.get(name).or_else(|| without_case(object, name)) {
            return Some((value, path.get(end..)?));
        }
        end = name.rfind(['.', '['])?;
    }
}

fn without_case<'v>(object: &'v serde_json::Map<String, Value>, name: &str) -> Option<&'v Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Visits what lies at any of some paths, a list there item by item.
fn each(
    value: &Dynamic,
    paths: &Dynamic,
    mut found: impl FnMut(&Value) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Fault> {
    let paths = paths_of(paths)?;
    with_json(value, |value| {
        paths.iter().try_for_each(|path| {
            visit(value, path, &mut |value| match value {
                Value::Array(items) => items.iter().try_for_each(&mut found),
                value => found(value),
            })
        })
    })
}

/// The first text, number, `true` or `false` at one of the paths; `()` when there is none.
fn pick(value: &Dynamic, paths: &Dynamic) -> Result<Dynamic, Fault> {
    let mut picked = Dynamic::UNIT;
    let _ = each(value, paths, |value| {
        match value {
            value if is_blank(value) => return ControlFlow::Continue(()),
            Value::String(text) => picked = text.trim().into(),
            Value::Bool(value) => picked = (*value).into(),
            Value::Number(number) => {
                picked = match (number.as_i64(), number.as_f64()) {
                    (Some(int), _) => int.into(),
                    (None, Some(float)) => float.into(),
                    (None, None) => return ControlFlow::Continue(()),
                };
            }
            _ => return ControlFlow::Continue(()),
        }
        ControlFlow::Break(())
    })?;
    Ok(picked)
}

/// The texts and numbers at all of the paths, as texts, each once, in their order.
fn gather(value: &Dynamic, paths: &Dynamic) -> Result<Array, Fault> {
    let mut seen = HashSet::new();
    let mut list = Array::new();
    let stopped = each(value, paths, |value| {
        let Some(text) = scalar_text(value) else { return ControlFlow::Continue(()) };
        if seen.insert(text.clone()) {
            if list.len() >= limits::SCRIPT_ARRAY_ITEMS_MAX {
                return ControlFlow::Break(());
            }
            list.push(text.into());
        }
        ControlFlow::Continue(())
    })?;
    if stopped.is_break() { Err(too_many()) } else { Ok(list) }
}

/// The objects and values at all of the paths, a list there item by item.
fn items(value: &Dynamic, paths: &Dynamic) -> Given<Array> {
    let mut found = Vec::new();
    let stopped = each(value, paths, |value| {
        if value.is_null() {
            return ControlFlow::Continue(());
        }
        if found.len() >= limits::SCRIPT_ARRAY_ITEMS_MAX {
            return ControlFlow::Break(());
        }
        found.push(value.clone());
        ControlFlow::Continue(())
    });
    match stopped.map_err(raise)? {
        ControlFlow::Break(()) => Err(raise(too_many())),
        ControlFlow::Continue(()) => found.into_iter().map(given).collect(),
    }
}

/// Whether something lies at one of the paths: not `null`, not text without content, not an empty list.
fn has(value: &Dynamic, paths: &Dynamic) -> Result<bool, Fault> {
    let found = |value: &Value| if is_blank(value) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    Ok(each(value, paths, found)?.is_break())
}

/// A value for Rhai to look at.
pub(super) fn given(value: Value) -> Given<Dynamic> {
    View::new(Base::Free(Arc::new(value)), None, "item".into()).whole()
}

/// A text or number as text; nothing for anything else and for text without content.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned),
        Value::Number(number) => Some(number_text(number)),
        _ => None,
    }
}

/// A number as people write it: without `.0`.
fn number_text(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn too_many() -> Fault {
    Fault::new("too_large", format!("more than {} values lie there", limits::SCRIPT_ARRAY_ITEMS_MAX))
}

/// A map for Rhai. (Only functions of this folder build one.)
pub(super) fn map_of(entries: impl IntoIterator<Item = (String, Dynamic)>) -> Map {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}
