//! The parameters of an action: known, complete, of the right type, and naming only what exists.

use std::collections::BTreeMap;

use model::record::{self, PRIORITIES};
use serde_json::Value;

use super::Checker;
use super::triggers::unknown_stage;
use crate::catalog::{ActionSpec, Param, ParamType};
use crate::diagnostic::Span;
use crate::reader::{did_you_mean, either};
use crate::script::{Names, Root};
use crate::template::{Encode, Rules, Template};
use crate::yaml::Node;

impl Checker<'_> {
    /// Reads `with`.
    pub(super) fn params(
        &mut self,
        spec: &'static ActionSpec,
        at: Span,
        with: Option<&Node>,
        names: &Names,
        secrets: &[String],
    ) -> BTreeMap<String, Template> {
        let mut found = BTreeMap::new();
        let what = format!("the action `{}`", spec.id);
        if let Some(mut fields) = with.and_then(|node| self.reader.map(node, "`with`")) {
            for (key, node) in fields.free() {
                let Some(param) = spec.params.iter().find(|param| param.name == key.text) else {
                    let known: Vec<&str> = spec.params.iter().map(|param| param.name).collect();
                    let help = did_you_mean(&key.text, known.iter().copied()).unwrap_or_else(|| {
                        if known.is_empty() {
                            "it takes none".to_owned()
                        } else {
                            format!("it takes {}", known.join(", "))
                        }
                    });
                    self.reader.error("PB202", key.span, format!("{what} has no parameter `{}`", key.text), Some(help));
                    continue;
                };
                let template = self.param(param, node, names, secrets);
                found.insert(key.text.clone(), template);
            }
        }
        for param in spec.params.iter().filter(|param| param.required && !found.contains_key(param.name)) {
            let help = format!("`{}`: {}", param.name, param.doc);
            self.reader.error("PB203", at, format!("{what} needs `{}`", param.name), Some(help));
        }
        self.about(spec, at, &found, names);
        found
    }

    /// An action on a case needs a trigger that can bring one, unless it names the case itself.
    fn about(&mut self, spec: &ActionSpec, at: Span, with: &BTreeMap<String, Template>, names: &Names) {
        let Some(kind) = spec.about else { return };
        let root = Root::of(kind);
        if !names.has(root) && !with.contains_key(kind.name()) {
            let message = format!("the action `{}` needs {} to act on", spec.id, article(kind.name()));
            let help = format!("{}, or say which with `with: {{ {}: … }}`", Names::why_not(root), kind.name());
            self.reader.error("PB213", at, message, Some(help));
        }
    }

    fn param(&mut self, param: &Param, node: &Node, names: &Names, secrets: &[String]) -> Template {
        let places_secrets = matches!(param.ty, ParamType::Headers | ParamType::Auth);
        let encode = match param.ty {
            ParamType::Url => Some(Encode::Percent),
            ParamType::Html => Some(Encode::Html),
            _ => None,
        };
        let rules = Rules { secrets: places_secrets.then_some(secrets), encode };
        let template = Template::compile(&mut self.reader, node, names, self.evaluator, rules);
        if !template.is_expression() {
            self.param_type(param, &template, node);
        }
        template
    }

    /// What is constant must be of the parameter's type.
    fn param_type(&mut self, param: &Param, template: &Template, node: &Node) {
        match param.ty {
            ParamType::Any | ParamType::Query | ParamType::Auth => {}
            ParamType::Text | ParamType::Html => {
                self.must(param, node, "text", template.constant(), |v| v.is_string() || v.is_number())
            }
            ParamType::Number => self.must(param, node, "a number", template.constant(), Value::is_number),
            ParamType::Bool => self.must(param, node, "`true` or `false`", template.constant(), Value::is_boolean),
            ParamType::TextList => {
                self.must(param, node, "a text or a list of texts", template.constant(), |v| each_text(v).is_some());
            }
            ParamType::Headers => {
                if template.entries().is_none() {
                    self.wrong(param, node, "a map of names and texts");
                }
            }
            ParamType::Url => self.url(template, node.span),
            _ => self.words(param, template, node),
        }
    }

    fn must(&mut self, param: &Param, node: &Node, what: &str, value: Option<&Value>, fits: impl Fn(&Value) -> bool) {
        if value.is_some_and(|value| !fits(value)) {
            self.wrong(param, node, what);
        }
    }

    fn wrong(&mut self, param: &Param, node: &Node, what: &str) {
        let message = format!("`{}` must be {what}; this is {}", param.name, node.value.describe());
        self.reader.error("PB204", node.span, message, Some(param.doc.to_owned()));
    }

    /// Parameters whose values are names of something.
    fn words(&mut self, param: &Param, template: &Template, node: &Node) {
        let lists = param.ty == ParamType::Destinations;
        let items = match (template.items(), lists) {
            (Some(items), true) => {
                items.iter().filter_map(|item| Some((item.constant()?.clone(), item.span()))).collect()
            }
            _ => template.constant().map(|value| (value.clone(), node.span)).into_iter().collect::<Vec<_>>(),
        };
        for (value, span) in items {
            match value.as_str() {
                Some(text) => self.word(param, text, span),
                None => {
                    let what = if lists { "a destination or a list of them" } else { "text" };
                    self.wrong(param, node, what);
                }
            }
        }
    }

    fn word(&mut self, param: &Param, text: &str, span: Span) {
        let words = &self.catalog.words;
        let reader = &mut self.reader;
        match param.ty {
            ParamType::Stage if words.stage(text).is_none() => unknown_stage(reader, words, text, span),
            ParamType::Priority if record::priority(text).is_none() => {
                let help = did_you_mean(text, PRIORITIES).unwrap_or_else(|| format!("it is {}", either(&PRIORITIES)));
                reader.error("PB207", span, format!("there is no priority `{text}`"), Some(help));
            }
            ParamType::CloseReason if words.close_reason(text).is_none() => {
                let reasons: Vec<&str> = words.close_reasons.iter().map(String::as_str).collect();
                let help = did_you_mean(text, reasons.iter().copied())
                    .unwrap_or_else(|| format!("it is {}", either(&reasons)));
                reader.error("PB208", span, format!("there is no close reason `{text}`"), Some(help));
            }
            ParamType::Destinations => {
                known("PB205", "destination", self.catalog.destinations.as_ref(), reader, text, span)
            }
            ParamType::Queue => known("PB209", "queue", self.catalog.queues.as_ref(), reader, text, span),
            ParamType::Duration => {
                if let Err(error) = model::period::parse(text) {
                    reader.error("PB105", span, error.to_string(), None);
                }
            }
            ParamType::OneOf(words) if !words.contains(&text) => {
                let help = did_you_mean(text, words.iter().copied());
                let message = format!("`{}` must be {}; this is `{text}`", param.name, either(words));
                reader.error("PB204", span, message, help);
            }
            _ => {}
        }
    }

    /// Scheme and host must stand in the constant beginning, so that no event can choose where a request goes.
    fn url(&mut self, template: &Template, span: Span) {
        let prefix = template.constant_prefix().unwrap_or_default();
        let whole = template.constant().is_some();
        let problem = match prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://")) {
            None => Some("the address must begin with `https://` and a constant host"),
            Some(rest) => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if !whole && host.len() == rest.len() {
                    Some("the host must be constant: only what comes after it may be computed")
                } else if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
                    Some("the address has no host")
                } else if host.contains('@') {
                    Some("the address must not hold a user or a password; use `auth`")
                } else {
                    None
                }
            }
        };
        if let Some(problem) = problem {
            let help =
                "write `https://host.example/${{ … }}`; for other hosts use one step each, or a destination".to_owned();
            self.reader.error("PB214", span, problem, Some(help));
        }
    }
}

fn known(
    code: &'static str,
    what: &str,
    names: Option<&std::collections::BTreeSet<String>>,
    reader: &mut crate::reader::Reader,
    text: &str,
    span: Span,
) {
    let Some(names) = names.filter(|names| !names.contains(text)) else { return };
    let help = did_you_mean(text, names.iter().map(String::as_str)).or_else(|| {
        let shown: Vec<&str> = names.iter().map(String::as_str).take(10).collect();
        (!shown.is_empty()).then(|| format!("there are {}", shown.join(", ")))
    });
    reader.error(code, span, format!("there is no {what} `{text}`"), help);
}

fn each_text(value: &Value) -> Option<()> {
    match value {
        Value::String(_) => Some(()),
        Value::Array(items) => items.iter().all(Value::is_string).then_some(()),
        _ => None,
    }
}

fn article(word: &str) -> String {
    let an = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if an { "an" } else { "a" })
}
