//! What names mean: the roots of a script, and the values that they lead to.
//!
//! Known records always hold every field of their schema: an absent one is `()`. In free data `.name` on an absent key
//! is a failure and `?.name` is `()`. Nothing is copied to build a [`Scope`]; values are converted where they are used.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use model::record::{self, Field, FieldType};
use model::{Kind, Record, Time};
use serde_json::Value;

use super::value::Operand;

/// The names that a script may start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The event.
    Event,
    /// The alert that it is about.
    Alert,
    /// The case that it is about.
    Case,
    /// The entity that it is about.
    Entity,
    /// The detection that arrived on its own, in the grouping rules of the configuration.
    Detection,
    /// The trigger that fitted.
    Trigger,
    /// The run.
    Run,
    /// The failure, in `on_failure`.
    Failure,
    /// The error, in the steps of `on_error`.
    Error,
    /// The playbook's variables.
    Vars,
    /// What the caller gave.
    Inputs,
    /// The steps so far: an object of ids with `output`, `status`, `succeeded`, `error`.
    Steps,
}

impl Root {
    /// All of them.
    pub const ALL: [Root; 12] = [
        Root::Event,
        Root::Alert,
        Root::Case,
        Root::Entity,
        Root::Detection,
        Root::Trigger,
        Root::Run,
        Root::Failure,
        Root::Error,
        Root::Vars,
        Root::Inputs,
        Root::Steps,
    ];

    /// The name in scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Root::Event => "event",
            Root::Alert => "alert",
            Root::Case => "case",
            Root::Entity => "entity",
            Root::Detection => "detection",
            Root::Trigger => "trigger",
            Root::Run => "run",
            Root::Failure => "failure",
            Root::Error => "error",
            Root::Vars => "vars",
            Root::Inputs => "inputs",
            Root::Steps => "steps",
        }
    }

    /// The root of this name.
    pub fn from_name(name: &str) -> Option<Root> {
        Root::ALL.into_iter().find(|root| root.name() == name)
    }

    /// The root that holds objects of this kind.
    pub const fn of(kind: Kind) -> Root {
        match kind {
            Kind::Alert => Root::Alert,
            Kind::Case => Root::Case,
            Kind::Entity => Root::Entity,
        }
    }

    /// The fields of a known record; nothing for free data.
    pub fn fields(self) -> Option<&'static [Field]> {
        match self {
            Root::Event => Some(record::EVENT),
            Root::Alert => Some(record::ALERT),
            Root::Case => Some(record::CASE),
            Root::Entity => Some(record::ENTITY),
            Root::Detection => Some(record::DETECTION),
            Root::Trigger => Some(record::TRIGGER),
            Root::Run => Some(record::RUN),
            Root::Failure | Root::Error => Some(record::FAILURE),
            Root::Vars | Root::Inputs | Root::Steps => None,
        }
    }

    /// One field of a known record.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields()?.iter().find(|field| field.name == name)
    }
}

/// The fields of `steps.<id>`.
pub(crate) const STEP_FIELDS: [(&str, FieldType); 4] = [
    ("output", FieldType::Free),
    ("status", FieldType::Text),
    ("succeeded", FieldType::Free),
    ("error", FieldType::Free),
];

/// What the names mean in one evaluation. Cheap to build: it holds references to shared values.
#[derive(Debug, Clone)]
pub struct Scope {
    now: Time,
    now_text: OnceLock<String>,
    roots: [Base; Root::ALL.len()],
    locals: Vec<(Arc<str>, Arc<Value>)>,
}

/// What a root holds.
#[derive(Debug, Clone, Default)]
pub(crate) enum Base {
    /// Nothing.
    #[default]
    Nothing,
    /// The fields of a known record.
    Record(Arc<Record>),
    /// Free data.
    Free(Arc<Value>),
    /// Steps by id.
    Steps(Arc<Steps>),
}

/// Steps by id: objects with `output`, `status`, `succeeded`, `error`. One that is not in it has not run.
pub type Steps = BTreeMap<String, Arc<Value>>;

impl Scope {
    /// At this time, nothing else known.
    pub fn new(now: Time) -> Scope {
        Scope { now, now_text: OnceLock::new(), roots: Default::default(), locals: Vec::new() }
    }

    /// What `now` is: RFC 3339 in UTC.
    pub fn now(&self) -> &str {
        self.now_text.get_or_init(|| self.now.to_string())
    }

    /// The same at another time.
    #[must_use]
    pub fn at(self, now: Time) -> Scope {
        Scope { now, now_text: OnceLock::new(), ..self }
    }

    /// Sets a record; nothing when there is none.
    #[must_use]
    pub fn known(mut self, root: Root, record: Option<Arc<Record>>) -> Scope {
        self.set(root, record.map_or(Base::Nothing, Base::Record));
        self
    }

    /// Sets a free value.
    #[must_use]
    pub fn free(mut self, root: Root, value: Arc<Value>) -> Scope {
        self.set(root, Base::Free(value));
        self
    }

    /// Sets what is known of the steps.
    #[must_use]
    pub fn steps(mut self, steps: Arc<Steps>) -> Scope {
        self.set(Root::Steps, Base::Steps(steps));
        self
    }

    /// Sets a name of the playbook's own, such as the variable of a loop.
    #[must_use]
    pub fn local(mut self, name: &str, value: Arc<Value>) -> Scope {
        self.locals.retain(|(known, _)| &**known != name);
        self.locals.push((name.into(), value));
        self
    }

    fn set(&mut self, root: Root, base: Base) {
        if let Some(slot) = self.roots.get_mut(root as usize) {
            *slot = base;
        }
    }

    pub(crate) fn base(&self, root: Root) -> &Base {
        self.roots.get(root as usize).unwrap_or(&Base::Nothing)
    }

    pub(crate) fn local_value(&self, name: &str) -> Option<&Arc<Value>> {
        self.locals.iter().find(|(known, _)| &**known == name).map(|(_, value)| value)
    }

    /// What a path leads to.
    pub(crate) fn find<'s>(&'s self, path: &Path) -> Result<Operand<'s>, Fault> {
        let (mut here, root) = match &path.start {
            Start::Now => return Ok(Operand::Text(self.now())),
            Start::Root(root) => (Here::of(self.base(*root)), Some(*root)),
            Start::Local(name) => (self.local_value(name).map_or(Here::Absent, |value| Here::Value(value)), None),
        };
        for (depth, step) in path.steps.iter().enumerate() {
            here = match (step, here) {
                (Step::Field { optional: true, .. }, Here::Absent) => return Ok(Operand::Absent),
                (Step::Field { name, optional }, here) => {
                    here.field(name, *optional, root, depth, || path.text(depth))?
                }
                (Step::Index(index), here) => here.item(*index, || path.text(depth))?,
            };
        }
        Ok(here.operand())
    }
}

/// Why a script has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into() }
    }
}

/// A value on the way along a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Here<'s> {
    /// Nothing.
    Absent,
    /// The top of a known record.
    Record(&'s Record),
    /// Anything in JSON.
    Value(&'s Value),
    /// All steps.
    Steps(&'s Steps),
    /// `steps.<id>` of a step that has not run.
    NotRun,
    /// `steps.<id>.succeeded` of a step that has not run.
    No,
}

impl<'s> Here<'s> {
    pub(crate) fn of(base: &'s Base) -> Here<'s> {
        match base {
            Base::Nothing => Here::Absent,
            Base::Record(record) => Here::Record(record),
            Base::Free(value) => Here::Value(value),
            Base::Steps(steps) => Here::Steps(steps),
        }
    }

    /// One field further. `depth` counts the steps from the root, `path` names what has been reached so far.
    pub(crate) fn field(
        self,
        name: &str,
        optional: bool,
        root: Option<Root>,
        depth: usize,
        path: impl Fn() -> String,
    ) -> Result<Here<'s>, Fault> {
        let found = match self {
            Here::Record(record) => match record.get(name) {
                None if root.is_some_and(|root| root.field(name).is_some()) => return Ok(Here::Absent),
                found => found,
            },
            Here::Value(Value::Object(object)) => match object.get(name) {
                None if root == Some(Root::Steps) && depth == 0 => return Ok(Here::NotRun),
                None if root == Some(Root::Steps) && depth == 1 => return Ok(Here::of_step(name)),
                found => found,
            },
            Here::NotRun => return Ok(Here::of_step(name)),
            Here::Steps(steps) => return Ok(steps.get(name).map_or(Here::NotRun, |step| Here::Value(step))),
            Here::Absent | Here::Value(Value::Null) => {
                let message = format!(
                    "`{0}` is absent, so it has no `{name}`; write `{0}?.{name}` or test `{0} != ()` first",
                    path()
                );
                return Err(Fault::new("absent", message));
            }
            Here::Value(value) => {
                let message = format!("`{}` is {}, which has no `{name}`", path(), Operand::of(value).describe());
                return Err(Fault::new("type_mismatch", message));
            }
            Here::No => {
                return Err(Fault::new(
                    "type_mismatch",
                    format!("`{}` is true or false, which has no `{name}`", path()),
                ));
            }
        };
        match found {
            Some(Value::Null) => Ok(Here::Absent),
            Some(value) => Ok(Here::Value(value)),
            None if optional => Ok(Here::Absent),
            None => Err(self.missing(name, &path())),
        }
    }

    fn of_step(name: &str) -> Here<'s> {
        if name == "succeeded" { Here::No } else { Here::Absent }
    }

    fn missing(self, name: &str, path: &str) -> Fault {
        let keys: Vec<&str> = match self {
            Here::Record(record) => record.keys().map(String::as_str).collect(),
            Here::Value(Value::Object(object)) => object.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let hint = record::nearest(name, keys.iter().copied()).map_or_else(
            || format!("write `{path}?.{name}` if that is right"),
            |near| format!("did you mean `{near}`?"),
        );
        Fault::new("missing_key", format!("`{path}` has no `{name}`; {hint}"))
    }

    /// One item further; a negative index counts from the end.
    pub(crate) fn item(self, index: i64, path: impl Fn() -> String) -> Result<Here<'s>, Fault> {
        let items = match self {
            Here::Value(Value::Array(items)) => items,
            Here::Absent => return Err(Fault::new("absent", format!("`{}` is absent, so it has no items", path()))),
            other => {
                let message = format!("`{}` is {}, which has no items", path(), other.operand().describe());
                return Err(Fault::new("type_mismatch", message));
            }
        };
        let at = usize::try_from(index)
            .ok()
            .or_else(|| items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?));
        match at.and_then(|at| items.get(at)) {
            Some(Value::Null) => Ok(Here::Absent),
            Some(value) => Ok(Here::Value(value)),
            None => {
                let message = format!("`{}` has {} items, so there is no item {index}", path(), items.len());
                Err(Fault::new("index", message))
            }
        }
    }

    pub(crate) fn operand(self) -> Operand<'s> {
        match self {
            Here::Absent => Operand::Absent,
            Here::Record(record) => Operand::Record(record),
            Here::Value(value) => Operand::of(value),
            Here::NotRun | Here::Steps(_) => Operand::Absent,
            Here::No => Operand::Bool(false),
        }
    }
}

/// Where a path starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    Root(Root),
    Local(Arc<str>),
}

/// A way to a value that is known when a script is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) start: Start,
    pub(crate) steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Field { name: Arc<str>, optional: bool },
    Index(i64),
}

impl Path {
    /// The first `steps` steps as written.
    pub(crate) fn text(&self, steps: usize) -> String {
        let mut out = match &self.start {
            Start::Now => "now".to_owned(),
            Start::Root(root) => root.name().to_owned(),
            Start::Local(name) => name.to_string(),
        };
        for step in self.steps.iter().take(steps) {
            match step {
                Step::Field { name, optional } => {
                    out.push_str(if *optional { "?." } else { "." });
                    out.push_str(name);
                }
                Step::Index(index) => out.push_str(&format!("[{index}]")),
            }
        }
        out
    }

    /// The whole path as written.
    pub(crate) fn full(&self) -> String {
        self.text(self.steps.len())
    }
}
