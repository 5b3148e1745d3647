//! Ids as the sources send them: text or whole numbers, short, without control characters.

use std::sync::Arc;

use model::limits::ID_BYTES_MAX;
use model::{Kind, Subject};
use serde_json::Value;

/// An id with its source's name in front, such as `holm-4711`, so that the ids of two sources cannot collide.
pub fn prefixed(source: &str, id: &str) -> String {
    format!("{source}-{id}")
}

/// An id as text.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn text(value: &Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
        _ => return Err("it must be text or a whole number".to_owned()),
    };
    if is_usable(&text) {
        Ok(text)
    } else {
        Err(format!("it must have 1 to {ID_BYTES_MAX} bytes and no control characters"))
    }
}

/// Whether a text can serve as an id or key.
pub(super) fn is_usable(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Puts the source's name in front of an object's id; an entity keeps its kind first (`host/vectra-17`).
pub(super) fn prefix(source: &str, subject: &mut Subject) {
    subject.id = match (subject.kind, subject.id.split_once('/')) {
        (Kind::Entity, Some((kind, id))) => format!("{kind}/{}", prefixed(source, id)),
        _ => prefixed(source, &subject.id),
    };
    if let Some(Value::String(id)) = Arc::make_mut(&mut subject.fields).get_mut("id") {
        *id = prefixed(source, id);
    }
}
