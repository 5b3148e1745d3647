//! What is known about the type of a value before a script runs.

use model::record::FieldType;

use super::scope::Root;

/// A type, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    /// Not known.
    Any,
    /// `()`.
    Absent,
    Bool,
    Number,
    Text,
    Time,
    Priority,
    Stage,
    List,
    Object,
    /// A known record.
    Record(Root),
    /// `steps.<id>`.
    Step,
}

impl Ty {
    pub(crate) const fn of(field: FieldType) -> Ty {
        match field {
            FieldType::Text => Ty::Text,
            FieldType::Number => Ty::Number,
            FieldType::Time => Ty::Time,
            FieldType::TextList | FieldType::Detections => Ty::List,
            FieldType::Priority => Ty::Priority,
            FieldType::Stage => Ty::Stage,
            FieldType::Free | FieldType::Scores => Ty::Any,
        }
    }

    /// The type for comparisons: kinds of text are text, records are objects.
    pub(crate) const fn broad(self) -> Ty {
        match self {
            Ty::Time | Ty::Priority | Ty::Stage => Ty::Text,
            Ty::Record(_) | Ty::Step => Ty::Object,
            other => other,
        }
    }

    /// In words, for messages.
    pub(crate) const fn describe(self) -> &'static str {
        match self.broad() {
            Ty::Absent => "`()`",
            Ty::Bool => "true or false",
            Ty::Number => "a number",
            Ty::Text => "text",
            Ty::List => "a list",
            Ty::Object => "an object",
            _ => "of unknown type",
        }
    }

    /// Whether it can be true or false.
    pub(crate) fn may_be_bool(self) -> bool {
        matches!(self, Ty::Any | Ty::Bool)
    }

    /// The type of a value that is one or the other.
    pub(crate) fn or(self, other: Ty) -> Ty {
        if self == other { self } else { Ty::Any }
    }
}
