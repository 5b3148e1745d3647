//! Rules that group detections: how one is written, and those that people made through the API.
//!
//! Invariants: a rule is read by one reader, wherever it stands. Those of the configuration come first, in its order; those
//! of people follow by their `order` and name. A name is used once, since the windows of a rule are kept under it.

use std::sync::Arc;
use std::time::Duration;

use model::period;
use model::record::Vocabulary;
use playbook::{Condition, Evaluator, Fields, Names, Reader, Root, ScriptSource, yaml};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Store;

use super::{ATTRIBUTES, Grouping};

/// The mark under which rules that people made are kept; the name follows.
const PREFIX: &str = "grouping/";
/// Most rules, those of the configuration included.
pub const GROUPINGS_MAX: usize = 200;
/// Longest window of a rule.
pub const WINDOW_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Longest name of a rule, in characters.
const NAME_CHARS_MAX: usize = 64;
/// Longest condition of a rule that people made, in bytes.
const WHEN_BYTES_MAX: usize = 4 * 1024;
/// Where a rule stands among those of people when nothing is said.
pub const ORDER: i64 = 100;

/// The codes under which mistakes in a rule are told.
#[derive(Debug, Clone, Copy)]
pub struct Codes {
    /// A value means nothing.
    pub value: &'static str,
    /// Values do not fit together.
    pub words: &'static str,
}

/// Reads one rule.
pub fn read(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    words: &Vocabulary,
    evaluator: &Evaluator,
    codes: Codes,
) -> Option<Grouping> {
    let span = fields.span();
    let name = fields.text(reader, "name");
    fields.node(reader, "by");
    let by = fields.one_of(reader, "by", &ATTRIBUTES);
    fields.node(reader, "window");
    let window = fields.duration(reader, "window");
    let tenant = fields.opt_text(reader, "tenant");
    let when = match fields.opt_node("when") {
        None => None,
        Some(node) if node.as_text().is_none() => {
            reader.error(codes.value, node.span, "`when` is a condition, written as text", None);
            return None;
        }
        Some(node) => {
            let roots = vec![Root::Event, Root::Detection];
            let names = Names { roots, words: words.clone(), ..Names::default() };
            match Condition::compile(ScriptSource::of(reader, node), &names, evaluator) {
                Ok(condition) => Some(Arc::new(condition)),
                // A condition that is wrong is told; the rule must not apply to everything instead.
                Err(found) => {
                    reader.extend(found);
                    return None;
                }
            }
        }
    };
    let (name, by, window) = (name?, by?, window?);
    if window > WINDOW_MAX || window.is_zero() {
        reader.error(codes.words, span, "`window` is longer than nothing and at most 30 days", None);
        return None;
    }
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        reader.error(codes.words, span, format!("`name` has 1 to {NAME_CHARS_MAX} characters, in one line"), None);
        return None;
    }
    Some(Grouping { name, by: by.to_owned(), window, when, tenant })
}

/// A rule as people write and keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// The attribute by which detections belong together.
    pub by: String,
    /// How long an alert takes more of them, such as `1h`.
    pub window: String,
    /// Which detections it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whose; of everybody's when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Where it stands among those that people made: lower first.
    pub order: i64,
    /// Who made it; nobody when it stands in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<String>,
}

/// Why a rule cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Written {
    /// What it means.
    ///
    /// # Errors
    /// [`Unfit`] with everything that is wrong.
    pub fn compiled(&self, words: &Vocabulary, evaluator: &Evaluator) -> Result<Grouping, Unfit> {
        if self.when.as_ref().is_some_and(|when| when.len() > WHEN_BYTES_MAX) {
            return Err(Unfit(format!("`when` has at most {WHEN_BYTES_MAX} bytes")));
        }
        // JSON is YAML: the reader of the configuration says what is wrong.
        let mut keys = json!({ "name": self.name, "by": self.by, "window": self.window });
        for (key, value) in [("when", &self.when), ("tenant", &self.tenant)] {
            if let Some(value) = value {
                keys[key] = json!(value);
            }
        }
        let (file, text) = (Arc::from("request"), keys.to_string());
        let told = |found: Vec<playbook::Diagnostic>| {
            Unfit(found.into_iter().map(|one| one.message).collect::<Vec<_>>().join("; "))
        };
        let node = yaml::parse(&file, &text).map_err(told)?;
        let mut reader = Reader::new(file, text.as_str());
        let codes = Codes { value: "invalid_value", words: "invalid_value" };
        let made = reader.map(&node, "a grouping rule").and_then(|mut fields| {
            let made = read(&mut reader, &mut fields, words, evaluator, codes);
            fields.finish(&mut reader);
            made
        });
        let failed = reader.failed();
        let found = reader.finish();
        made.filter(|_| !failed).ok_or_else(|| told(found))
    }

    /// One of the configuration.
    fn of(rule: &Grouping) -> Written {
        Written {
            name: rule.name.clone(),
            by: rule.by.clone(),
            window: period::format(rule.window),
            when: rule.when.as_ref().map(|when| when.source().trim().to_owned()),
            tenant: rule.tenant.clone(),
            order: 0,
            made_by: None,
            made_at: None,
        }
    }

    /// The mark that keeps it.
    pub(crate) fn mark(&self) -> store::Mark {
        (mark_of(&self.name), serde_json::to_vec(self).ok())
    }
}

/// The name of a rule's mark.
pub(crate) fn mark_of(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Those that people made, in their order.
fn made(store: &dyn Store) -> Result<Vec<Written>, store::Error> {
    let marks = store.marks(PREFIX)?;
    let mut all: Vec<Written> = marks.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect();
    all.sort_by(|a: &Written, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    Ok(all)
}

/// All rules, those of the configuration first. One that a person made under a name that the configuration has since taken
/// is not in force, and not listed.
///
/// # Errors
/// [`store::Error`] when they cannot be read.
pub fn all(file: &[Grouping], store: &dyn Store) -> Result<Vec<Written>, store::Error> {
    let mut all: Vec<Written> = file.iter().map(Written::of).collect();
    all.extend(made(store)?.into_iter().filter(|one| !file.iter().any(|known| known.name == one.name)));
    Ok(all)
}

/// The rules in force.
pub(crate) fn in_force(
    file: &[Grouping],
    store: &dyn Store,
    words: &Vocabulary,
    evaluator: &Evaluator,
) -> Result<Vec<Grouping>, store::Error> {
    let mut rules = file.to_vec();
    for one in made(store)?.into_iter().filter(|one| !file.iter().any(|known| known.name == one.name)) {
        match one.compiled(words, evaluator) {
            Ok(rule) => rules.push(rule),
            Err(why) => {
                tracing::error!(rule = one.name, %why, "this grouping rule cannot be read any more; it is not in force")
            }
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(by: &str, window: &str, when: Option<&str>) -> Written {
        Written {
            name: "n".to_owned(),
            by: by.to_owned(),
            window: window.to_owned(),
            when: when.map(str::to_owned),
            tenant: None,
            order: ORDER,
            made_by: None,
            made_at: None,
        }
    }

    #[test]
    fn what_cannot_be_a_rule_is_told_in_words() {
        let compile = |one: &Written| one.compiled(&Vocabulary::default(), &Evaluator::uncounted());
        let good = compile(&written("users", "90m", Some("detection.severity == \"high\""))).unwrap();
        assert_eq!((good.by.as_str(), good.window), ("users", Duration::from_secs(5400)));
        for (one, part) in [
            (written("colour", "1h", None), "by"),
            (written("users", "soon", None), "soon"),
            (written("users", "31d", None), "30 days"),
            (written("users", "0s", None), "30 days"),
            (written("users", "1h", Some("detection.colour == 1")), "colour"),
            (written("users", "1h", Some("1 + 1")), "yes or no"),
            (Written { name: "a\nb".to_owned(), ..written("users", "1h", None) }, "one line"),
            (Written { name: String::new(), ..written("users", "1h", None) }, "name"),
            (written("users", "1h", Some(&"x".repeat(WHEN_BYTES_MAX + 1))), "bytes"),
        ] {
            let why = compile(&one).unwrap_err().0;
            assert!(why.contains(part), "{one:?}: {why}");
        }
    }
}
