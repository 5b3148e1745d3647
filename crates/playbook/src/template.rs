//! Values with `${{ … }}` in them, parsed once. What is put in is never looked at again.

use serde_json::Value;

use crate::diagnostic::Span;
use crate::script::{Evaluator, Expression, Scope, ScriptError};

/// A value with expressions in it.
#[derive(Debug, Clone)]
pub struct Template {
    span: Span,
    node: Tree,
}

#[derive(Debug, Clone)]
enum Tree {
    Constant(Value),
    Value(Expression),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
    Secret { prefix: String, name: String },
}

impl Template {
    /// A value without expressions.
    pub fn of(value: Value, span: Span) -> Template {
        Template { span, node: Tree::Constant(value) }
    }

    /// Puts the values in. `budget_bytes` is what the rendered values may still take; it is reduced.
    ///
    /// # Errors
    /// [`ScriptError`] when an expression has no value or the budget is used up.
    pub fn render(&self, evaluator: &Evaluator, scope: &Scope, budget_bytes: &mut usize) -> Result<Value, ScriptError> {
        match &self.node {
            Tree::Constant(value) => Ok(value.clone()),
            Tree::Value(expression) => expression.value(evaluator, scope, crate::script::Budget::STEP),
            Tree::List(items) => items.iter().map(|item| item.render(evaluator, scope, budget_bytes)).collect(),
            Tree::Map(entries) => entries
                .iter()
                .map(|(name, item)| Ok((name.clone(), item.render(evaluator, scope, budget_bytes)?)))
                .collect(),
            Tree::Secret { prefix, name } => Ok(Value::String(format!("{prefix}${{secret:{name}}}"))),
        }
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The constant prefix and the name of the secret that it places.
    pub fn secret(&self) -> Option<(&str, &str)> {
        match &self.node {
            Tree::Secret { prefix, name } => Some((prefix, name)),
            _ => None,
        }
    }

    /// Its entries, when it is a map.
    pub fn entries(&self) -> Option<Vec<(&str, &Template)>> {
        match &self.node {
            Tree::Map(entries) => Some(entries.iter().map(|(name, item)| (name.as_str(), item)).collect()),
            _ => None,
        }
    }

    /// Its items, when it is a list.
    pub fn items(&self) -> Option<&[Template]> {
        match &self.node {
            Tree::List(items) => Some(items),
            _ => None,
        }
    }

    /// Its value, when nothing has to be put in.
    pub fn constant(&self) -> Option<&Value> {
        match &self.node {
            Tree::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The text that it always begins with.
    pub fn constant_prefix(&self) -> Option<&str> {
        self.constant().and_then(Value::as_str)
    }
}
