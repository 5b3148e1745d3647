//! The rendered parameters of a step, as they are recorded.
//!
//! A message that was put together as text is recorded as that text: it is not taken apart to be written again. Whoever
//! wants to look into it gets a value, made when the first one asks.
//!
//! Invariant: the text is JSON. Both forms are written alike, and two inputs are equal when their values are.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Input(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Option<Box<RawValue>>,
    value: OnceLock<Value>,
}

impl Input {
    /// The value.
    pub fn value(&self) -> &Value {
        let read = |text: &RawValue| serde_json::from_str(text.get()).unwrap_or_default();
        self.0.value.get_or_init(|| self.0.text.as_deref().map(read).unwrap_or_default())
    }
}

impl From<Value> for Input {
    fn from(value: Value) -> Input {
        Input(Arc::new(Inner { text: None, value: OnceLock::from(value) }))
    }
}

impl From<Box<RawValue>> for Input {
    fn from(text: Box<RawValue>) -> Input {
        Input(Arc::new(Inner { text: Some(text), value: OnceLock::new() }))
    }
}

impl PartialEq for Input {
    fn eq(&self, other: &Input) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.value() == other.value()
    }
}

impl Serialize for Input {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.text {
            Some(text) => text.serialize(serializer),
            None => self.value().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Input {
    /// Facts are told apart by a key among their fields, so that what is read here was read into values already.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Input, D::Error> {
        Value::deserialize(deserializer).map(Input::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    #[test]
    fn both_forms_are_the_same_to_whoever_looks() {
        let value = json!({"body": {"a": [1, "x"]}, "to": ["desk"]});
        let (as_text, as_value) = (Input::from(to_raw_value(&value).unwrap()), Input::from(value.clone()));
        assert_eq!(serde_json::to_string(&as_text).unwrap(), serde_json::to_string(&as_value).unwrap());
        assert_eq!((as_text.value(), &as_text), (&value, &as_value));
        assert_ne!(as_text, Input::from(json!({})));
        let read: Input = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(read, as_text);
    }
}
