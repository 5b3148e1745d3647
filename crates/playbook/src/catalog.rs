//! What exists around playbooks: actions, destinations, event sets, the team's words.

use std::collections::{BTreeMap, BTreeSet};

use model::record::Vocabulary;

/// What happens when an action is done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    Read,
    /// Doing it again changes nothing more.
    Idempotent,
    /// It must not be repeated.
    Once,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamType {
    /// Text; a template may stand in it.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A list of texts; one text alone is a list of one.
    TextList,
    /// Any value.
    Any,
    /// Header names and texts; secrets may stand in them.
    Headers,
    /// How a request is authenticated; secrets may stand in it.
    Auth,
    /// Names and values of a query string.
    Query,
    /// A destination or a list of them.
    Destinations,
    /// A stage.
    Stage,
    /// A priority.
    Priority,
    /// A predefined reason for closing.
    CloseReason,
    /// A queue.
    Queue,
    /// A length of time.
    Duration,
    /// An address; scheme and host must be constant.
    Url,
    /// HTML; what is put into it is escaped.
    Html,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// A parameter of an action.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name under `with`.
    pub name: &'static str,
    /// What it takes.
    pub ty: ParamType,
    /// Whether it must be there.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

impl ActionSpec {
    /// Whether it sends to destinations, so that it has deliveries.
    pub fn delivers(&self) -> bool {
        self.params.iter().any(|param| param.ty == ParamType::Destinations)
    }
}

/// What is known about an action.
#[derive(Debug)]
pub struct ActionSpec {
    /// Its id in YAML, such as `case.set_stage`.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What happens when it is done twice.
    pub effect: Effect,
    /// The object that it acts on.
    pub about: Option<model::Kind>,
    /// Whether it talks to the network: then it is retried by default.
    pub network: bool,
    /// Its parameters.
    pub params: &'static [Param],
    /// What `steps.<id>.output` holds.
    pub output: &'static str,
    /// A step that uses it, in YAML.
    pub example: &'static str,
}

/// What playbooks may name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The actions.
    pub actions: Vec<&'static ActionSpec>,
    /// The destinations; nothing when they are not known and are not checked.
    pub destinations: Option<BTreeSet<String>>,
    /// The event sets with their types.
    pub event_sets: BTreeMap<String, Vec<String>>,
    /// Stages and close reasons.
    pub words: Vocabulary,
    /// The queues; nothing when they are not known and are not checked.
    pub queues: Option<BTreeSet<String>>,
    /// The tenants; nothing when they are not known and are not checked.
    pub tenants: Option<BTreeSet<String>>,
}

impl Catalog {
    /// The action of this id.
    pub fn action(&self, id: &str) -> Option<&'static ActionSpec> {
        self.actions.iter().find(|spec| spec.id == id).copied()
    }
}
