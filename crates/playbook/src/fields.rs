//! Typed access to the keys of a YAML map. What is wrong is noted on the [`Reader`], and reading goes on.
//!
//! ```
//! use playbook::{Reader, yaml};
//! let file: std::sync::Arc<str> = "sortie.yaml".into();
//! let text = "listen: 127.0.0.1:7300\nlimt: 5\n";
//! let node = yaml::parse(&file, text).unwrap();
//! let mut reader = Reader::new(file, text);
//! let mut fields = reader.map(&node, "the configuration").unwrap();
//! assert_eq!(fields.opt_text(&mut reader, "listen").as_deref(), Some("127.0.0.1:7300"));
//! assert_eq!(fields.int(&mut reader, "limit", 1..=100), None);
//! fields.finish(&mut reader);
//! assert_eq!(reader.finish()[0].help.as_deref(), Some("did you mean `limit`?"));
//! ```

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::diagnostic::Span;
use crate::reader::{Reader, did_you_mean, either};
use crate::yaml::{Key, Node, Value};

impl Reader {
    /// Reads a map; anything else is noted. `what` names it in messages, such as "a playbook".
    pub fn map<'a>(&mut self, node: &'a Node, what: &str) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            let message = format!("{what} must be a map of keys and values; this is {}", node.value.describe());
            self.error("PB103", node.span, message, None);
            return None;
        };
        let used = vec![false; entries.len()];
        Some(Fields { what: what.to_owned(), span: node.span, entries, used, asked: Vec::new() })
    }

    /// The items of a list; anything else is noted.
    pub fn list<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a [Node]> {
        let Value::List(items) = &node.value else {
            let message = format!("{what} must be a list; this is {}", node.value.describe());
            self.error("PB103", node.span, message, Some("write each item on its own line, after `- `".to_owned()));
            return None;
        };
        Some(items)
    }

    /// Notes that a value is of the wrong type.
    pub fn wrong_type(&mut self, node: &Node, name: &str, wanted: &str) {
        let help = match &node.value {
            Value::Text(text) if ["yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str()) => {
                Some("write `true` or `false`; this is read as text".to_owned())
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) if wanted.contains("text") => {
                Some("quote this to make it text".to_owned())
            }
            _ => None,
        };
        let message = format!("`{name}` must be {wanted}; this is {}", node.value.describe());
        self.error("PB103", node.span, message, help);
    }

    /// A length of time; anything else is noted.
    pub fn period(&mut self, node: &Node, name: &str) -> Option<Duration> {
        let Value::Text(text) = &node.value else {
            match &node.value {
                Value::Int(number) => {
                    let message = format!("`{name}` is a length of time, and `{number}` has no unit");
                    let help = format!("write `{number}s`, `{number}m`, `{number}h` or `{number}d`");
                    self.error("PB105", node.span, message, Some(help));
                }
                _ => self.wrong_type(node, name, "a length of time such as `20s`, `10m` or `6h`"),
            }
            return None;
        };
        match model::period::parse(text) {
            Ok(period) => Some(period),
            Err(error) => {
                let help = as_period(text).map(|meant| format!("did you mean `{meant}`?"));
                self.error("PB105", node.span, error.to_string(), help);
                None
            }
        }
    }
}

/// The length of time that someone meant who wrote `10 minutes`, `1.5h` or `PT15M`.
fn as_period(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix("pt").unwrap_or(&text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (text.get(..end)?.parse::<f64>().ok()?, text.get(end..)?.trim());
    let millis = match unit {
        "ms" | "milliseconds" | "millis" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "w" | "week" | "weeks" => 604_800_000.0,
        _ => return None,
    };
    let meant = Duration::try_from_secs_f64(number * millis / 1_000.0).ok()?;
    let meant = Duration::from_millis(u64::try_from(meant.as_millis()).ok()?);
    (!meant.is_zero()).then(|| model::period::format(meant))
}

/// The keys of one map. Ask for each known key, then [`Fields::finish`] names the others.
#[derive(Debug)]
pub struct Fields<'a> {
    what: String,
    span: Span,
    entries: &'a [(Key, Node)],
    used: Vec<bool>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// A map without keys, for settings that may be left out.
    pub fn none(what: &str, span: Span) -> Fields<'a> {
        Fields { what: what.to_owned(), span, entries: &[], used: Vec::new(), asked: Vec::new() }
    }

    /// Where the map stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What the map is, for messages.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Whether a key is there. Does not count as asking for it.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.text == name)
    }

    /// The value of a key, if it is there. Does not count as asking for it.
    pub fn peek(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// Makes keys known that are not read.
    pub fn pass(&mut self, names: impl IntoIterator<Item = &'static str>) {
        for name in names {
            let _ = self.entry(name);
        }
    }

    /// A key and its value, if it is there.
    pub fn entry(&mut self, name: &'static str) -> Option<(&'a Key, &'a Node)> {
        self.asked.push(name);
        let at = self.entries.iter().position(|(key, _)| key.text == name)?;
        if let Some(used) = self.used.get_mut(at) {
            *used = true;
        }
        self.entries.get(at).map(|(key, node)| (key, node))
    }

    /// The value of a key, if it is there.
    pub fn opt_node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// The value of a key that must be there.
    pub fn node(&mut self, reader: &mut Reader, name: &'static str) -> Option<&'a Node> {
        let node = self.opt_node(name);
        if node.is_none() {
            let near =
                self.entries.iter().zip(&self.used).filter(|(_, used)| !**used).map(|((key, _), _)| key.text.as_str());
            let help = model::record::nearest(name, near).map(|near| format!("is `{near}` meant to be `{name}`?"));
            reader.error("PB102", self.span, format!("{} needs `{name}`", self.what), help);
        }
        node
    }

    /// A text that must be there.
    pub fn text(&mut self, reader: &mut Reader, name: &'static str) -> Option<String> {
        let node = self.node(reader, name)?;
        text_of(reader, node, name)
    }

    /// A text, if it is there.
    pub fn opt_text(&mut self, reader: &mut Reader, name: &'static str) -> Option<String> {
        let node = self.opt_node(name)?;
        text_of(reader, node, name)
    }

    /// `true` or `false`, if it is there.
    pub fn bool(&mut self, reader: &mut Reader, name: &'static str) -> Option<bool> {
        let node = self.opt_node(name)?;
        let Value::Bool(value) = node.value else {
            reader.wrong_type(node, name, "`true` or `false`");
            return None;
        };
        Some(value)
    }

    /// A whole number between two bounds, if it is there.
    pub fn int(&mut self, reader: &mut Reader, name: &'static str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let node = self.opt_node(name)?;
        let Value::Int(value) = node.value else {
            reader.wrong_type(node, name, "a whole number");
            return None;
        };
        if !bounds.contains(&value) {
            let message = format!("`{name}` must be from {} to {}; this is {value}", bounds.start(), bounds.end());
            reader.error("PB104", node.span, message, None);
            return None;
        }
        Some(value)
    }

    /// A number, if it is there.
    pub fn number(&mut self, reader: &mut Reader, name: &'static str) -> Option<f64> {
        let node = self.opt_node(name)?;
        number_of(reader, node, name)
    }

    /// A length of time, such as `10m`, if it is there.
    pub fn duration(&mut self, reader: &mut Reader, name: &'static str) -> Option<Duration> {
        let node = self.opt_node(name)?;
        reader.period(node, name)
    }

    /// A list of texts, if it is there. Where `one` is set, one text alone is a list of one.
    pub fn text_list(&mut self, reader: &mut Reader, name: &'static str, one: bool) -> Option<Vec<(String, Span)>> {
        let node = self.opt_node(name)?;
        match &node.value {
            Value::Text(text) if one => Some(vec![(text.clone(), node.span)]),
            Value::List(items) => Some(
                items.iter().filter_map(|item| text_of(reader, item, name).map(|text| (text, item.span))).collect(),
            ),
            _ => {
                reader.wrong_type(node, name, if one { "a text or a list of texts" } else { "a list of texts" });
                None
            }
        }
    }

    /// One of some words, if it is there.
    pub fn one_of(&mut self, reader: &mut Reader, name: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let node = self.opt_node(name)?;
        let text = text_of(reader, node, name)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let help = did_you_mean(&text, words.iter().copied());
            let message = format!("`{name}` must be {}; this is `{text}`", either(words));
            reader.error("PB104", node.span, message, help);
        }
        found
    }

    /// A map, if it is there.
    pub fn fields(&mut self, reader: &mut Reader, name: &'static str) -> Option<Fields<'a>> {
        let node = self.opt_node(name)?;
        reader.map(node, &format!("`{name}`"))
    }

    /// All entries, where the keys are names of the writer's choice.
    pub fn free(&mut self) -> impl Iterator<Item = (&'a Key, &'a Node)> + use<'a> {
        self.used.fill(true);
        self.entries.iter().map(|(key, node)| (key, node))
    }

    /// Names the keys that were not asked for.
    pub fn finish(self, reader: &mut Reader) {
        for ((key, _), used) in self.entries.iter().zip(&self.used) {
            if *used {
                continue;
            }
            let help = did_you_mean(&key.text, self.asked.iter().copied()).or_else(|| {
                let known: Vec<&str> = self.asked.iter().copied().take(KEYS_SHOWN_MAX).collect();
                (!known.is_empty()).then(|| format!("known keys: {}", known.join(", ")))
            });
            reader.error("PB101", key.span, format!("unknown key `{}` in {}", key.text, self.what), help);
        }
    }
}

/// Most keys that a help lists.
const KEYS_SHOWN_MAX: usize = 24;

/// The text of a node; anything else is noted.
pub(crate) fn text_of(reader: &mut Reader, node: &Node, name: &str) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => {
            reader.wrong_type(node, name, "text");
            None
        }
    }
}

/// The number of a node; anything else is noted.
pub(crate) fn number_of(reader: &mut Reader, node: &Node, name: &str) -> Option<f64> {
    match node.value {
        Value::Float(value) => Some(value),
        Value::Int(value) => i32::try_from(value).ok().map(f64::from).or_else(|| value.to_string().parse().ok()),
        _ => {
            reader.wrong_type(node, name, "a number");
            None
        }
    }
}
