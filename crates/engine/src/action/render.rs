//! From a step's parameters to values.
//!
//! Invariants: what all parameters of a step render to is bounded together. A later try takes the values of the first one
//! from its record, so that what is sent again is what was sent before. A secret is found in the parsed template, never
//! in a rendered text: a text that merely looks like a reference stays a text.

use std::time::Duration;

use model::limits::STEP_OUTPUT_BYTES_MAX;
use model::run::StepError;
use model::{Record, period};
use playbook::{ScriptError, Template};
use serde_json::Value;

use super::Call;

/// An error of a step that is not bound to a line.
pub(super) fn error(code: &str, message: impl Into<String>) -> StepError {
    StepError { code: code.to_owned(), message: message.into(), at: None }
}

fn script_error(found: &ScriptError) -> StepError {
    StepError {
        code: found.code.to_owned(),
        message: found.message.clone(),
        at: Some((found.at.line, found.at.column)),
    }
}

/// The parameters of one call.
pub(super) struct Params<'a> {
    call: &'a Call<'a>,
    known: Option<&'a Record>,
    left: usize,
    /// What is recorded of them.
    pub(super) recorded: Record,
}

impl<'a> Params<'a> {
    /// Of a call.
    pub(super) fn of(call: &'a Call<'a>) -> Params<'a> {
        let known = call.state.and_then(|state| state.input.as_ref()).and_then(|input| input.value().as_object());
        Params { call, known, left: STEP_OUTPUT_BYTES_MAX, recorded: Record::new() }
    }

    /// The template of a parameter.
    pub(super) fn template(&self, name: &str) -> Option<&'a Template> {
        self.call.with.get(name)
    }

    /// The value that an earlier try recorded.
    pub(super) fn known(&self, name: &str) -> Option<&'a Value> {
        self.known?.get(name)
    }

    /// Renders a template within what is left of the bound.
    pub(super) fn render(&mut self, template: &Template) -> Result<Value, StepError> {
        template.render(&self.call.ctx.evaluator, self.call.scope, &mut self.left).map_err(|found| script_error(&found))
    }

    /// A parameter, if it is given; recorded.
    pub(super) fn value(&mut self, name: &str) -> Result<Option<Value>, StepError> {
        let value = match (self.known(name), self.template(name)) {
            (Some(known), _) => known.clone(),
            (None, Some(template)) => self.render(template)?,
            (None, None) => return Ok(None),
        };
        self.recorded.insert(name.to_owned(), value.clone());
        Ok(Some(value))
    }

    /// A text, if it is given. Numbers become texts; an absent value (`null`) counts as not given.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, StepError> {
        match self.value(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    /// A text that must be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, StepError> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| self.wrong(name, "a text that is not empty"))
    }

    /// A list of texts; one text alone is a list of one. Empty when it is not given.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, StepError> {
        match self.value(name)? {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text),
                    Value::Number(number) => Ok(number.to_string()),
                    _ => Err(self.wrong(name, "a list of texts")),
                })
                .collect(),
            Some(_) => Err(self.wrong(name, "a list of texts")),
        }
    }

    /// A length of time, if it is given.
    pub(super) fn period(&mut self, name: &str) -> Result<Option<Duration>, StepError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        period::parse(&text).map(Some).map_err(|_| self.wrong(name, "a length of time, such as `6h`"))
    }

    /// Says that a parameter has a value of the wrong kind.
    pub(super) fn wrong(&self, name: &str, expected: &str) -> StepError {
        let at = self.template(name).map(|template| (template.span().line, template.span().column));
        StepError { code: "bad_parameter".to_owned(), message: format!("`{name}` must be {expected}"), at }
    }
}
