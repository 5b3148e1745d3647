//! YAML with a place for every value, and without the parts of YAML that mean something else than they seem to.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Span};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where its first line stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
    /// How a text is written, for places inside it.
    pub style: Style,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Without quotes.
    #[default]
    Plain,
    /// `'…'`.
    SingleQuoted,
    /// `"…"`.
    DoubleQuoted,
    /// `|`.
    Literal,
    /// `>`.
    Folded,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null` inside a list, or a document without content.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the order of the file, each key once.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Reads one document.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &Arc<str>, _text: &str) -> Result<Node, Vec<Diagnostic>> {
    Err(vec![Diagnostic {
        code: "PB001",
        severity: Severity::Error,
        message: "the reader is not built yet".to_owned(),
        file: file.clone(),
        span: Span { line: 1, column: 1, len: 1 },
        excerpt: String::new(),
        help: None,
    }])
}
