//! The fields that a query or an order may name: those of the record, what Sortie knows beside them, and pieces of free
//! data.

use model::record::{FieldType, nearest};
use model::{Kind, Object, ObjectKey};
use serde_json::Value;

/// What Sortie knows of an object beside its fields.
const BESIDE: [(&str, Nature); 5] = [
    ("tenant", Nature::Word),
    ("source", Nature::Word),
    ("updated_at", Nature::Time),
    ("first_seen_at", Nature::Time),
    ("version", Nature::Number),
];
/// Texts that are read and not compared.
const PROSE: [&str; 5] = ["name", "description", "threat_summary", "close_supporting_reason", "watched"];

/// What kind of values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Word,
    Prose,
    Number,
    Time,
    Priority,
    Stage,
    Free,
}

/// A field that can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) path: Vec<String>,
    pub(super) nature: Nature,
}

impl Field {
    /// The field of this name.
    ///
    /// # Errors
    /// What is wrong with the name, and what is near.
    pub(super) fn find(kind: Kind, name: &str) -> Result<Field, String> {
        let name = name.to_lowercase();
        let name = match name.as_str() {
            "score" => "risk_score",
            "alert_id" if kind == Kind::Alert => "id",
            "case_id" if kind == Kind::Case => "id",
            other => other,
        };
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        let first = path.first().map_or("", String::as_str);
        if let Some((_, nature)) = BESIDE.iter().find(|(known, _)| *known == name) {
            return Ok(Field { path, nature: *nature });
        }
        let Some(field) = kind.field(first) else {
            let known = kind.fields().iter().map(|field| field.name).chain(BESIDE.iter().map(|(name, _)| *name));
            let hint = nearest(first, known).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(format!("`{first}` is no field of {kind}s{hint}"));
        };
        let nature = match field.ty {
            FieldType::Free | FieldType::Scores | FieldType::Detections => Nature::Free,
            _ if path.len() > 1 => return Err(format!("`{first}` has no parts")),
            FieldType::Number => Nature::Number,
            FieldType::Time => Nature::Time,
            FieldType::Priority => Nature::Priority,
            FieldType::Stage => Nature::Stage,
            FieldType::Text | FieldType::TextList if PROSE.contains(&first) => Nature::Prose,
            FieldType::Text | FieldType::TextList => Nature::Word,
        };
        Ok(Field { path, nature })
    }

    /// Shows each of its values to `visit`; those of a list one by one.
    pub(super) fn each(&self, key: &ObjectKey, object: &Object, visit: &mut dyn FnMut(&Value)) {
        let first = self.path.first().map_or("", String::as_str);
        let beside = match first {
            "tenant" => Some(Value::from(key.tenant.as_str())),
            "source" => Some(Value::from(object.meta.source.as_str())),
            "updated_at" => Some(Value::from(object.meta.updated_at.to_string())),
            "first_seen_at" => Some(Value::from(object.meta.created_at.to_string())),
            "version" => Some(Value::from(object.meta.version)),
            "id" => Some(Value::from(key.id.as_str())),
            _ => None,
        };
        match beside {
            Some(value) => visit(&value),
            None => {
                if let Some(value) = object.record.get(first) {
                    walk(value, self.path.get(1..).unwrap_or_default(), visit);
                }
            }
        }
    }

    /// Its first value.
    pub(super) fn value(&self, key: &ObjectKey, object: &Object) -> Value {
        let mut found = Value::Null;
        self.each(key, object, &mut |value| {
            if found.is_null() {
                found = value.clone();
            }
        });
        found
    }
}

fn walk(value: &Value, path: &[String], visit: &mut dyn FnMut(&Value)) {
    match (value, path.split_first()) {
        (Value::Array(items), _) => items.iter().for_each(|item| walk(item, path, visit)),
        (Value::Object(fields), Some((name, rest))) => {
            if let Some(value) = fields.get(name) {
                walk(value, rest, visit);
            }
        }
        (value, None) => visit(value),
        _ => {}
    }
}
