//! Reads JSON strictly: bounded in depth and in number of values, and no key twice.
//!
//! serde_json by itself keeps the last of two equal keys, allows 128 levels, and its own `Value` takes an object with a
//! certain key for JSON inside text. Here a value is built by our own visitor, in one pass over the text.
//!
//! Invariant: recursion is never deeper than the limit of levels.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, map};

use super::error::short;

/// Keys with which serde_json marks its own wrappers. Stored and read again, such an object would become something else.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// What an object with entries takes beside them, in values: its smallest node has room for eleven entries.
const OBJECT_VALUES: usize = 9;

/// What one text may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Deepest nesting of arrays and objects, in levels.
    pub(super) depth: usize,
    /// Most values, in all levels together; an object with entries counts as ten.
    pub(super) values: usize,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not JSON.
    Syntax(String),
    /// A key stands twice in one object.
    DuplicateKey(String),
    /// A key that the reader takes as its own.
    ReservedKey(String),
    /// Nested too deeply.
    TooDeep,
    /// Too many values.
    TooManyValues,
}

/// Reads one value. On success also says how many values were counted in it.
///
/// # Errors
/// What is wrong, and at which byte of `text`.
pub(super) fn parse(text: &str, bounds: Bounds) -> Result<(Value, usize), (Fault, usize)> {
    let state = State { bounds, values: Cell::new(0), fault: RefCell::new(None) };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Node { state: &state, depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map(|value| (value, state.values.get())).map_err(|error| {
        let byte = byte_of(text, &error);
        let fault = state.fault.take().map_or_else(|| Fault::Syntax(message_of(&error)), Found::finish);
        (fault, byte)
    })
}

/// The elements of an array, each as it is written. Depth and keys are not looked at.
///
/// # Errors
/// [`Split`] when it is not an array in valid JSON or has more than `limit` elements.
pub(super) fn split(text: &str, limit: usize) -> Result<Vec<&str>, Split> {
    let over = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_str(text);
    let read =
        reader.deserialize_seq(Elements { limit, over: &over }).and_then(|elements| reader.end().map(|()| elements));
    read.map_err(
        |error| {
            if over.get() { Split::TooMany } else { Split::Syntax(message_of(&error), byte_of(text, &error)) }
        },
    )
}

/// Why an array cannot be split.
pub(super) enum Split {
    /// What is wrong, and at which byte.
    Syntax(String, usize),
    /// More elements than allowed.
    TooMany,
}

/// The message without the place, which is told apart from it.
fn message_of(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    short(message.strip_suffix(&place).unwrap_or(&message))
}

fn byte_of(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let start: usize = lines.map(str::len).sum();
    (start + error.column().saturating_sub(1)).min(text.len())
}

struct State {
    bounds: Bounds,
    values: Cell<usize>,
    fault: RefCell<Option<Found>>,
}

/// A fault whose path is put together while the calls return, the innermost part first.
struct Found {
    fault: Fault,
    path: Vec<String>,
}

impl Found {
    fn finish(self) -> Fault {
        let mut path = String::new();
        for part in self.path.iter().rev() {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        match self.fault {
            Fault::DuplicateKey(_) => Fault::DuplicateKey(short(&path)),
            Fault::ReservedKey(_) => Fault::ReservedKey(short(&path)),
            other => other,
        }
    }
}

impl State {
    fn count<E: serde::de::Error>(&self, more: usize) -> Result<(), E> {
        let values = self.values.get() + more;
        if values > self.bounds.values {
            return Err(self.fail(Fault::TooManyValues, None));
        }
        self.values.set(values);
        Ok(())
    }

    fn fail<E: serde::de::Error>(&self, fault: Fault, key: Option<&str>) -> E {
        let path = key.map(short).into_iter().collect();
        *self.fault.borrow_mut() = Some(Found { fault, path });
        E::custom("refused")
    }

    /// Adds the outer part of a path while a fault is on its way out.
    fn within(&self, part: impl FnOnce() -> String) {
        if let Some(found) = self.fault.borrow_mut().as_mut() {
            found.path.push(part());
        }
    }
}

/// Reads one value at some depth.
#[derive(Clone, Copy)]
struct Node<'s> {
    state: &'s State,
    depth: usize,
}

impl Node<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= self.state.bounds.depth {
            return Err(self.state.fail(Fault::TooDeep, None));
        }
        Ok(Node { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.state.count(1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        loop {
            match access.next_element_seed(inner) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    self.state.within(|| format!("[{}]", items.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if fields.is_empty() {
                self.state.count(OBJECT_VALUES)?;
            }
            if key.starts_with(RESERVED_PREFIX) {
                return Err(self.state.fail(Fault::ReservedKey(String::new()), Some(&key)));
            }
            match fields.entry(key) {
                map::Entry::Occupied(entry) => {
                    return Err(self.state.fail(Fault::DuplicateKey(String::new()), Some(entry.key())));
                }
                map::Entry::Vacant(entry) => match access.next_value_seed(inner) {
                    Ok(value) => {
                        entry.insert(value);
                    }
                    Err(error) => {
                        self.state.within(|| short(entry.key()));
                        return Err(error);
                    }
                },
            }
        }
        Ok(Value::Object(fields))
    }
}

struct Elements<'s> {
    limit: usize,
    over: &'s Cell<bool>,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<&'de str>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element::<&'de RawValue>()? {
            if elements.len() >= self.limit {
                self.over.set(true);
                return Err(A::Error::custom("too many events"));
            }
            elements.push(element.get());
        }
        Ok(elements)
    }
}
