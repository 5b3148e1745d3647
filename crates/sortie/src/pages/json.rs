//! Reading what the API answered: a key that is not there is empty, never a reason to show nothing.

use serde_json::Value;

/// What a page reads out of JSON.
pub(super) trait Read {
    /// A text; empty when there is none.
    fn text(&self, key: &str) -> &str;
    /// A text that is there and not empty.
    fn some(&self, key: &str) -> Option<&str>;
    /// A list; empty when there is none.
    fn list(&self, key: &str) -> &[Value];
    /// A whole number.
    fn number(&self, key: &str) -> Option<u64>;
    /// Whether something is so.
    fn flag(&self, key: &str) -> bool;
    /// A value that is there, not null and not an empty list or object.
    fn full(&self, key: &str) -> Option<&Value>;
}

impl Read for Value {
    fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn some(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Value::as_u64)
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn full(&self, key: &str) -> Option<&Value> {
        self.get(key).filter(|value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => true,
        })
    }
}

/// A value as a person reads it: texts as they are, lists with commas, the rest as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "–".to_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// JSON with line breaks, for reading.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_there_is_empty_and_what_is_there_is_read() {
        let value = json!({ "a": "x", "b": [1], "c": {}, "n": 3, "f": true, "e": "" });
        assert_eq!((value.text("a"), value.text("nothing"), value.some("e")), ("x", "", None));
        assert_eq!((value.list("b").len(), value.list("a").len()), (1, 0));
        assert_eq!((value.number("n"), value.flag("f"), value.flag("a")), (Some(3), true, false));
        assert!(value.full("c").is_none() && value.full("b").is_some());
    }

    #[test]
    fn values_are_written_for_people() {
        assert_eq!(plain(&json!(["a", 2])), "a, 2");
        assert_eq!(plain(&json!({ "a": 1 })), r#"{"a":1}"#);
        assert_eq!(plain(&json!([])), "–");
    }
}
