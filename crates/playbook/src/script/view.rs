//! Records and free data as Rhai sees them: a place in shared JSON, converted where it is read.
//!
//! Invariant: a [`View`] cannot be changed; scripts read through it and never own what is behind it.

use std::sync::Arc;

use model::limits;
use rhai::{Array, Dynamic, EvalAltResult, ImmutableString, Position};
use serde_json::Value;

use super::scope::{Base, Fault, Here, Root, Step};
use super::value::Operand;

/// What native functions give to Rhai.
pub(super) type Given<T> = Result<T, Box<EvalAltResult>>;

/// A place in shared data.
#[derive(Debug, Clone)]
pub(super) struct View {
    base: Base,
    root: Option<Root>,
    name: Arc<str>,
    steps: Vec<Step>,
}

impl View {
    pub(super) fn new(base: Base, root: Option<Root>, name: Arc<str>) -> View {
        View { base, root, name, steps: Vec::new() }
    }

    fn text(&self) -> String {
        let mut out = self.name.to_string();
        for step in &self.steps {
            match step {
                Step::Field { name, .. } => out.push_str(&format!(".{name}")),
                Step::Index(index) => out.push_str(&format!("[{index}]")),
            }
        }
        out
    }

    /// What is at the place.
    pub(super) fn here(&self) -> Here<'_> {
        let mut here = Here::of(&self.base);
        for (depth, step) in self.steps.iter().enumerate() {
            let next = match step {
                Step::Field { name, .. } => here.field(name, true, self.root, depth, || self.text()),
                Step::Index(index) => here.item(*index, || self.text()),
            };
            here = next.unwrap_or(Here::Absent);
        }
        here
    }

    /// One field further.
    pub(super) fn field(&self, name: &str, optional: bool) -> Given<Dynamic> {
        let depth = self.steps.len();
        let found = self.here().field(name, optional, self.root, depth, || self.text()).map_err(raise)?;
        self.give(found, || Step::Field { name: name.into(), optional: true })
    }

    fn give(&self, found: Here<'_>, step: impl Fn() -> Step) -> Given<Dynamic> {
        Ok(match found {
            Here::Absent => Dynamic::UNIT,
            Here::No => Dynamic::FALSE,
            Here::Record(_) | Here::NotRun | Here::Steps(_) | Here::Value(Value::Object(_)) => {
                let mut view = self.clone();
                view.steps.push(step());
                Dynamic::from(view)
            }
            Here::Value(Value::Array(items)) => {
                let mut view = self.clone();
                view.steps.push(step());
                return view.list(items);
            }
            Here::Value(value) => plain(value),
        })
    }

    /// The items of the list at this place.
    fn list(&self, items: &[Value]) -> Given<Dynamic> {
        if items.len() > limits::SCRIPT_ARRAY_ITEMS_MAX {
            let message = format!(
                "`{}` has {} items; a script reads at most {}",
                self.text(),
                items.len(),
                limits::SCRIPT_ARRAY_ITEMS_MAX
            );
            return Err(raise(Fault::new("too_large", message)));
        }
        let mut list = Array::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            list.push(self.give(Here::Value(item), || Step::Index(index))?);
        }
        Ok(Dynamic::from_array(list))
    }

    /// The whole value for Rhai, when this is the value of a local name or of `vars`.
    pub(super) fn whole(self) -> Given<Dynamic> {
        match self.here() {
            Here::Absent => Ok(Dynamic::UNIT),
            Here::Value(Value::Array(items)) => self.list(items),
            Here::Record(_) | Here::NotRun | Here::Steps(_) | Here::Value(Value::Object(_)) => Ok(Dynamic::from(self)),
            Here::No => Ok(Dynamic::FALSE),
            Here::Value(value) => Ok(plain(value)),
        }
    }

    /// The same as JSON.
    pub(super) fn to_json(&self) -> Value {
        match self.here() {
            Here::Absent | Here::NotRun => Value::Null,
            Here::No => Value::Bool(false),
            Here::Record(record) => Value::Object(record.clone()),
            Here::Value(value) => value.clone(),
            Here::Steps(steps) => steps.iter().map(|(id, step)| (id.clone(), (**step).clone())).collect(),
        }
    }

    pub(super) fn operand(&self) -> Operand<'_> {
        match self.here() {
            Here::NotRun => Operand::Absent,
            here => here.operand(),
        }
    }

    /// Its keys.
    pub(super) fn keys(&self) -> Vec<String> {
        if let Here::Steps(steps) = self.here() {
            return steps.keys().cloned().collect();
        }
        match self.operand() {
            Operand::Record(record) => record.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }
}

/// A value without parts.
fn plain(value: &Value) -> Dynamic {
    match Operand::of(value) {
        Operand::Bool(value) => value.into(),
        Operand::Int(value) => value.into(),
        Operand::Float(value) => value.into(),
        Operand::Text(text) => text.into(),
        _ => Dynamic::UNIT,
    }
}

/// A fault as an error of Rhai.
pub(super) fn raise(fault: Fault) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(fault), Position::NONE))
}

/// A value of Rhai as JSON.
pub(super) fn to_json(value: &Dynamic) -> Result<Value, Fault> {
    if let Some(view) = value.read_lock::<View>() {
        return Ok(view.to_json());
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return Ok(Value::String(text.to_string()));
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(to_json).collect();
    }
    if let Some(map) = value.read_lock::<rhai::Map>() {
        return map.iter().map(|(key, item)| Ok((key.to_string(), to_json(item)?))).collect();
    }
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.as_bool() {
        return Ok(Value::Bool(value));
    }
    if let Ok(value) = value.as_int() {
        return Ok(Value::from(value));
    }
    if let Ok(value) = value.as_char() {
        return Ok(Value::String(value.to_string()));
    }
    match value.as_float().ok().map(serde_json::Number::from_f64) {
        Some(Some(number)) => Ok(Value::Number(number)),
        Some(None) => Err(Fault::new("arithmetic", "the result is not a finite number")),
        None => {
            Err(Fault::new("type_mismatch", format!("a value of type {} cannot leave a script", value.type_name())))
        }
    }
}
