//! YAML with a place for every value, and without the parts of YAML that mean something else than they seem to.
//!
//! Refused: tags, anchors, aliases and merge keys, duplicate keys, several documents, an empty or null value for a key
//! that is present, numbers that two readers read differently. Nothing is ever expanded, and reading stops at the first
//! limit, so that a file costs no more than its own size.

mod build;
mod scan;

pub use build::parse;
pub(crate) use build::parse_and_warn;

use crate::diagnostic::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands; of a text of several lines, the first.
    pub span: Span,
    /// What it is.
    pub value: Value,
    /// How a scalar is written.
    pub style: Style,
    /// The byte of the file where its content begins.
    pub offset: usize,
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

impl Value {
    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

impl Node {
    /// Its text, when it is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key, when it is a map.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Float(value) => serde_json::Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        parse(&"t.yaml".into(), text).map_or_else(|found| found.iter().map(|d| d.code).collect(), |_| Vec::new())
    }

    #[test]
    fn values_and_their_places_are_read() {
        let node = parse(&"t.yaml".into(), "a: 1\nb: [x, 2.5, true, null]\nåäö:  {k: 'v'}\n").unwrap();
        assert_eq!(node.to_json(), serde_json::json!({"a": 1, "b": ["x", 2.5, true, null], "åäö": {"k": "v"}}));
        let v = node.get("åäö").unwrap().get("k").unwrap();
        assert_eq!(v.span, Span { line: 3, column: 11, len: 3 });
    }

    #[test]
    fn yaml_that_means_something_else_is_refused() {
        assert_eq!(codes("when: !alert.closed\n"), ["PB002"]);
        assert_eq!(codes("a: !!python/object:os.system x\n"), ["PB002"]);
        assert_eq!(codes("a: !!str 5\n"), ["PB002"]);
        assert_eq!(codes("a: &x 1\nb: *x\n"), ["PB003", "PB003"]);
        assert_eq!(codes("<<: {a: 1}\n"), ["PB003"]);
        assert_eq!(codes("a: 1\na: 2\n"), ["PB004"]);
        assert_eq!(codes("a:\nb: ~\nc: null\nd: ''\n"), ["PB005", "PB005", "PB005"]);
        assert_eq!(codes("a: 1\n---\na: 2\n"), ["PB006"]);
        assert_eq!(codes("{a: 1}: 2\n"), ["PB009"]);
        assert_eq!(codes("a: [1\n"), ["PB010"]);
        assert_eq!(codes("a:\n\tb: 1\n"), ["PB001"]);
    }

    #[test]
    fn scalars_have_the_types_of_yaml_1_2_and_doubtful_ones_are_refused() {
        let node = parse(&"t.yaml".into(), "[no, yes, 12:30, 0o17, 0x1F, 1e3, 1_000, 2026-01-01]").unwrap();
        let wanted = serde_json::json!(["no", "yes", "12:30", 15, 31, 1000.0, "1_000", "2026-01-01"]);
        assert_eq!(node.to_json(), wanted);
        for text in ["a: 007\n", "a: .inf\n", "a: .nan\n", "a: 1e999\n", "a: 99999999999999999999\n"] {
            assert_eq!(codes(text), ["PB008"], "{text}");
        }
    }

    /// Row D1: what grows or nests is refused quickly and without growing.
    #[test]
    fn bombs_are_refused_at_once() {
        let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 0..20 {
            let (this, last) = (char::from(b'b' + n), char::from(b'a' + n));
            laughs.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 9].join(", ")));
        }
        let quadratic = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(20_000));
        let cases = [
            ("laughs", laughs),
            ("quadratic", quadratic),
            ("itself", "a: &a [*a]\n".to_owned()),
            ("brackets", "[".repeat(100_000)),
            ("braces", "{a: ".repeat(50_000)),
            ("dashes", "- ".repeat(100_000)),
            ("keys", (0..20_000).map(|n| format!("k{n}: [\n")).collect::<String>()),
            ("large", "a: 1 #".repeat(100_000)),
            ("question marks", "? ".repeat(100_000)),
        ];
        for (name, text) in cases {
            let start = std::time::Instant::now();
            assert!(parse(&"t.yaml".into(), &text).is_err(), "{name}");
            assert!(start.elapsed().as_millis() < 100 * SLACK, "{name} took {:?}", start.elapsed());
        }
    }

    /// Debug builds on a busy machine are slower than what is promised for release builds.
    const SLACK: u128 = if cfg!(debug_assertions) { 10 } else { 1 };
}
