//! What a playbook is given and gives: `inputs` and `outputs`, and the fields of answers.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::Checker;
use super::blocks::is_var;
use crate::fields::Fields;
use crate::inputs::{Input, ValueType};
use crate::yaml::{Node, Value};

/// The names of the types.
const TYPES: [&str; 5] = ["string", "number", "boolean", "list", "object"];

impl Checker<'_> {
    /// The inputs; nothing when none are declared.
    pub(super) fn inputs(&mut self, fields: &mut Fields<'_>) -> Option<Vec<Input>> {
        let node = fields.opt_node("inputs")?;
        Some(self.declared(node, "`inputs`"))
    }

    /// Declared values: by name `{type, required, default, description}`.
    pub(super) fn declared(&mut self, node: &Node, what: &str) -> Vec<Input> {
        let Some(mut all) = self.reader.map(node, what) else { return Vec::new() };
        let mut found = Vec::new();
        for (key, node) in all.free() {
            if !is_var(&key.text) {
                let help = "use letters, digits and `_`, a letter first".to_owned();
                let message = format!("`{}` cannot be the name of a value", key.text);
                self.reader.error("PB106", key.span, message, Some(help));
            }
            found.extend(self.one_declared(&key.text, node));
        }
        found
    }

    fn one_declared(&mut self, name: &str, node: &Node) -> Option<Input> {
        let mut fields = self.reader.map(node, &format!("`{name}`"))?;
        fields.node(&mut self.reader, "type");
        let ty = fields.one_of(&mut self.reader, "type", &TYPES);
        let ty = ty.and_then(|word| ValueType::ALL.iter().find(|(known, _)| *known == word)).map(|(_, ty)| *ty);
        let required = fields.bool(&mut self.reader, "required").unwrap_or(false);
        let description = fields.opt_text(&mut self.reader, "description").unwrap_or_default();
        let given = fields.opt_node("default");
        fields.finish(&mut self.reader);
        let ty = ty?;
        let default = given.map(Node::to_json);
        if let (Some(node), Some(value)) = (given, &default)
            && !ty.takes(value)
        {
            self.reader.wrong_type(node, "default", &format!("of type {}", ty.name()));
        }
        Some(Input { name: name.to_owned(), ty, required, default, description })
    }
}

/// The inputs with a value of their type each, for checks of scripts; `null` for what may be absent.
pub(super) fn sample(inputs: &[Input]) -> Arc<Json> {
    let one = |input: &Input| match input.ty {
        _ if !input.required && input.default.is_none() => Json::Null,
        ValueType::String => json!(""),
        ValueType::Number => json!(0),
        ValueType::Boolean => json!(false),
        ValueType::List => json!([]),
        ValueType::Object => json!({}),
    };
    let all: Map<String, Json> = inputs.iter().map(|input| (input.name.clone(), one(input))).collect();
    Arc::new(Json::Object(all))
}

/// The names that `set` gives anywhere in these lists of steps.
pub(super) fn names_set(lists: &[&Node]) -> Vec<String> {
    let mut found = Vec::new();
    lists.iter().for_each(|list| collect_set(list, &mut found, 0));
    found
}

/// Deeper than any list of steps can stand.
const DEPTH_MAX: usize = 64;

fn collect_set(node: &Node, found: &mut Vec<String>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| collect_set(item, found, depth + 1)),
        Value::Map(entries) => {
            for (key, node) in entries {
                match (key.text.as_str(), &node.value) {
                    ("set", Value::Map(names)) => found.extend(names.iter().map(|(name, _)| name.text.clone())),
                    ("with" | "inputs", _) => {}
                    _ => collect_set(node, found, depth + 1),
                }
            }
        }
        _ => {}
    }
}
