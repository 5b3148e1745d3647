//! What a product sends, brought into the form that a field has: one text of a list, a list of one text, a number in a
//! text, a time of any kind. Nothing that says nothing stays.

use std::collections::BTreeSet;

use model::Digest;
use model::record::{self, DETECTION, FieldType};
use playbook::{number_of, priority_word, time_of};
use serde_json::{Map, Value};

/// Characters of an id that is made from a detection's content.
const MADE_ID_CHARS: usize = 16;

/// A value in the form of a field; nothing when there is nothing in it that the field could hold.
pub(super) fn fit(ty: FieldType, value: Value) -> Option<Value> {
    match ty {
        FieldType::Text => text(value).map(Value::String),
        FieldType::Number => number_of(&first(value)?).map(Value::Number),
        FieldType::Time => time_of(&first(value)?).map(Value::String),
        FieldType::TextList => {
            let list = texts(value);
            (!list.is_empty()).then(|| list.into_iter().map(Value::String).collect())
        }
        FieldType::Priority => priority(first(value)?),
        FieldType::Stage => text(value).map(Value::String),
        FieldType::Detections => detections(value),
        FieldType::Free => match value {
            Value::Object(fields) => {
                let fields: Map<String, Value> = fields.into_iter().filter(|(_, value)| !is_nothing(value)).collect();
                (!fields.is_empty()).then_some(Value::Object(fields))
            }
            _ => None,
        },
        FieldType::Scores => match value {
            Value::Object(scores) => {
                let number = |(name, score): (String, Value)| Some((name, Value::Number(number_of(&score)?)));
                let scores: Map<String, Value> = scores.into_iter().filter_map(number).collect();
                (!scores.is_empty()).then_some(Value::Object(scores))
            }
            _ => None,
        },
    }
}

/// Whether a value says nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// A value, or the first of a list that says something.
fn first(value: Value) -> Option<Value> {
    match value {
        Value::Array(items) => items.into_iter().find(|item| !is_nothing(item)),
        value => Some(value).filter(|value| !is_nothing(value)),
    }
}

/// A value as text; of a list its first. An object is no text.
pub(super) fn text(value: Value) -> Option<String> {
    match first(value)? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => {
            let text = number.to_string();
            Some(text.strip_suffix(".0").map_or(text.clone(), str::to_owned))
        }
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// All texts of a value, each once, in their order.
fn texts(value: Value) -> Vec<String> {
    let items = match value {
        Value::Array(items) => items,
        value => vec![value],
    };
    let mut seen = BTreeSet::new();
    items.into_iter().filter_map(text).filter(|text| seen.insert(text.clone())).collect()
}

/// A priority by its name here or in the product; another word stays, so that it is seen.
fn priority(value: Value) -> Option<Value> {
    match &value {
        Value::String(text) => {
            let name = record::priority(text).or_else(|| priority_word(&value));
            Some(Value::String(name.map_or_else(|| text.trim().to_owned(), str::to_owned)))
        }
        _ => None,
    }
}

fn detections(value: Value) -> Option<Value> {
    let items = match value {
        Value::Array(items) => items,
        Value::Object(_) => vec![value],
        _ => return None,
    };
    let list: Vec<Value> = items.into_iter().filter_map(detection).collect();
    (!list.is_empty()).then_some(Value::Array(list))
}

fn detection(value: Value) -> Option<Value> {
    let Value::Object(given) = value else { return None };
    let mut fields = Map::new();
    for (name, value) in given {
        let fitted = match DETECTION.iter().find(|field| field.name == name) {
            Some(field) => fit(field.ty, value),
            None => Some(value).filter(|value| !is_nothing(value)),
        };
        fields.extend(fitted.map(|value| (name, value)));
    }
    if fields.is_empty() {
        return None;
    }
    // Detections merge by id: one without an id is known by what it says.
    if !fields.contains_key("id") {
        let digest = Digest::of(Value::Object(fields.clone()).to_string().as_bytes()).to_string();
        let id: String = digest.chars().filter(char::is_ascii_hexdigit).take(MADE_ID_CHARS).collect();
        fields.insert("id".to_owned(), Value::String(id));
    }
    Some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_of_another_type_is_brought_into_the_fields_form_or_left_out() {
        for (ty, given, wanted) in [
            (FieldType::Text, json!(["", " a "]), Some(json!("a"))),
            (FieldType::Text, json!({"a": 1}), None),
            (FieldType::Text, json!(8.0), Some(json!("8"))),
            (FieldType::Number, json!("92%"), Some(json!(92))),
            (FieldType::Number, json!("high"), None),
            (FieldType::Time, json!(1_700_000_000), Some(json!("2023-11-14T22:13:20.000Z"))),
            (FieldType::TextList, json!("alice"), Some(json!(["alice"]))),
            (FieldType::TextList, json!(["a", null, "a", 5, {}]), Some(json!(["a", "5"]))),
            (FieldType::TextList, json!([]), None),
            (FieldType::Priority, json!("SEVERE"), Some(json!("critical"))),
            (FieldType::Priority, json!("odd"), Some(json!("odd"))),
            (FieldType::Priority, json!(3), None),
            (FieldType::Scores, json!({"threat": "55", "x": null}), Some(json!({"threat": 55}))),
            (FieldType::Free, json!({"a": null}), None),
        ] {
            assert_eq!(fit(ty, given.clone()), wanted, "{ty:?} of {given}");
        }
    }

    #[test]
    fn a_detection_without_an_id_gets_one_that_stays_the_same() {
        let made = || fit(FieldType::Detections, json!({"description": "x", "src_users": "alice"})).unwrap();
        assert_eq!(made()[0]["src_users"], json!(["alice"]));
        assert!(made()[0]["id"].as_str().is_some_and(|id| id.len() == MADE_ID_CHARS));
        assert_eq!(made(), made());
    }
}
