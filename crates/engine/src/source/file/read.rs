//! Reads the file of a source: every key is known, every expression compiles, every mistake has its place.

use std::sync::Arc;

use model::Kind;
use model::record::{DETECTION, Field, FieldType, nearest};
use playbook::template::Rules as TemplateRules;
use playbook::yaml::{Key, Node, Value};
use playbook::{Condition, Diagnostic, Evaluator, Expression, Fields, Names, Reader, ScriptSource, Template, yaml};

use super::{About, Given, Handshake, Reads, Rule, Rules, Sample, SourceFile, codes};
use crate::source::{STATE_TYPES, carries, is_type, native};
use crate::triage::DETECTION_CREATED;

/// Most rules of a file.
const RULES_MAX: usize = 200;
/// Most samples of a file.
const SAMPLES_MAX: usize = 200;
/// Headers that no expression may read, because they are credentials.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
/// The names that expressions start with.
const NAMES: [&str; 4] = ["body", "item", "envelope", "headers"];

/// Whether a YAML text is meant to be the file of a source: its first key is `source`.
pub fn looks_like_one(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| line.starts_with("source:"))
}

/// Reads a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(file: &Arc<str>, text: &str, evaluator: &Evaluator) -> Result<SourceFile, Vec<Diagnostic>> {
    let node = yaml::parse(file, text)?;
    let mut reader = Reader::new(file.clone(), text);
    let read = reader.map(&node, "the file of a source").and_then(|fields| {
        let mut reading = Reading { reader: &mut reader, evaluator, names: names() };
        reading.source(fields)
    });
    let failed = reader.failed();
    let found = reader.finish();
    match read {
        Some(mut source) if !failed => {
            source.warnings = found;
            Ok(source)
        }
        _ => Err(found),
    }
}

fn names() -> Names {
    Names { locals: NAMES.map(str::to_owned).to_vec(), ..Names::default() }
}

struct Reading<'a> {
    reader: &'a mut Reader,
    evaluator: &'a Evaluator,
    names: Names,
}

impl Reading<'_> {
    fn source(&mut self, mut fields: Fields<'_>) -> Option<SourceFile> {
        let name = fields.text(self.reader, "source");
        if let (Some(name), Some(node)) = (&name, fields.opt_node("source"))
            && !model::id::is_name(name)
        {
            let help = Some("use lower-case letters, digits and `-`, at most 64".to_owned());
            self.reader.error(codes::NAME, node.span, format!("`{name}` is not a source's name"), help);
        }
        let title = fields.text(self.reader, "title");
        let about = fields.opt_text(self.reader, "about").unwrap_or_default();
        let setup = fields.opt_text(self.reader, "setup").unwrap_or_default();
        let auth = fields.opt_text(self.reader, "auth");
        let vendor = fields.opt_text(self.reader, "vendor");
        let product = fields.opt_text(self.reader, "product");
        let docs = fields.opt_text(self.reader, "docs");
        let ids = fields.one_of(self.reader, "ids", &["prefixed", "own"]);
        let created = fields.one_of(self.reader, "created", &["said", "first_sight"]);
        let timezone = fields.opt_text(self.reader, "timezone");
        let headers = self.headers(&mut fields);
        let accepts = self.list(&mut fields, "accepts");
        let handshake = self.handshake(&mut fields);
        let reads = self.reads(&mut fields);
        let samples = self.samples(&mut fields);
        fields.finish(self.reader);
        Some(SourceFile {
            name: name?,
            title: title?,
            about: about.trim().to_owned(),
            setup: setup.trim().to_owned(),
            auth,
            vendor,
            product,
            docs,
            own_ids: ids == Some("own"),
            first_sight_creates: created == Some("first_sight"),
            timezone,
            headers,
            accepts,
            handshake,
            samples,
            warnings: Vec::new(),
            reads: reads?,
        })
    }

    fn list(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Vec<String> {
        let list = fields.text_list(self.reader, name, true).unwrap_or_default();
        list.into_iter().map(|(text, _)| text).collect()
    }

    fn headers(&mut self, fields: &mut Fields<'_>) -> Vec<String> {
        let list = fields.text_list(self.reader, "headers", true).unwrap_or_default();
        for (name, span) in &list {
            let bare = name.trim_end_matches('*');
            if bare.is_empty() || SECRET_HEADERS.iter().any(|secret| secret.starts_with(&bare.to_ascii_lowercase())) {
                let help = Some("name the headers that say what the event is, such as `x-github-event`".to_owned());
                let message = format!("`{name}` may hold credentials, which never become part of an event");
                self.reader.error(codes::VALUE, *span, message, help);
            }
        }
        list.into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
    }

    fn handshake(&mut self, fields: &mut Fields<'_>) -> Option<Handshake> {
        let words = Handshake::ALL.map(|(name, _)| name);
        let word = fields.one_of(self.reader, "handshake", &words)?;
        Handshake::ALL.iter().find(|(name, _)| *name == word).map(|(_, handshake)| *handshake)
    }

    fn reads(&mut self, fields: &mut Fields<'_>) -> Option<Reads> {
        if let Some((_, node)) = fields.entry("like") {
            let shape = node.as_text().and_then(native);
            if shape.is_none() {
                let help = Some("it is `generic` or `exabeam`; any other shape is told by `events`".to_owned());
                self.reader.error(codes::VALUE, node.span, "`like` names a shape that is built in", help);
            }
            return shape.map(Reads::Native);
        }
        let unwrap = self.list(fields, "unwrap");
        let each = self.list(fields, "each");
        let lets = self.lets(fields);
        let node = fields.node(self.reader, "events")?;
        let items = self.reader.list(node, "`events`")?;
        if items.is_empty() || items.len() > RULES_MAX {
            self.reader.error(codes::VALUE, node.span, format!("`events` has 1 to {RULES_MAX} entries"), None);
        }
        let events = items.iter().filter_map(|item| self.rule(item)).collect();
        Some(Reads::Rules(Rules { unwrap, each, lets, events }))
    }

    /// Named values: each may read those before it.
    fn lets(&mut self, fields: &mut Fields<'_>) -> Vec<(String, Expression)> {
        let Some(mut named) = fields.fields(self.reader, "let") else { return Vec::new() };
        let mut lets = Vec::new();
        for (key, node) in named.free() {
            let usable = key.text.starts_with(|c: char| c.is_ascii_lowercase())
                && key.text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && !self.names.locals.contains(&key.text)
                && playbook::Root::from_name(&key.text).is_none()
                && key.text != "now";
            if !usable {
                let help = Some("use a new name of small letters, digits and `_`".to_owned());
                self.reader.error(
                    codes::VALUE,
                    key.span,
                    format!("`{}` cannot be the name of a value", key.text),
                    help,
                );
                continue;
            }
            if let Some(expression) = self.expression(node, &key.text) {
                lets.push((key.text.clone(), expression));
            }
            self.names.locals.push(key.text.clone());
        }
        lets
    }

    fn expression(&mut self, node: &Node, name: &str) -> Option<Expression> {
        if node.as_text().is_none() {
            self.reader.wrong_type(node, name, "text that holds an expression");
            return None;
        }
        let source = ScriptSource::of(self.reader, node);
        match Expression::compile(source, &self.names, self.evaluator) {
            Ok(expression) => Some(expression),
            Err(found) => {
                self.reader.extend(found);
                None
            }
        }
    }

    fn optional(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<Expression> {
        let node = fields.opt_node(name)?;
        self.expression(node, name)
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        let mut fields = self.reader.map(node, "an entry of `events`")?;
        let when = fields.opt_node("when").and_then(|node| {
            let compiled = Condition::compile(ScriptSource::of(self.reader, node), &self.names, self.evaluator);
            compiled.map_err(|found| self.reader.extend(found)).ok()
        });
        let kind_node = fields.node(self.reader, "type");
        let kind = kind_node
            .map(|node| Template::compile(self.reader, node, &self.names, self.evaluator, TemplateRules::default()));
        let id = self.optional(&mut fields, "id");
        let time = self.optional(&mut fields, "time");
        let tenant = self.optional(&mut fields, "tenant");
        let from = self.optional(&mut fields, "from");
        let about = Kind::ALL.into_iter().filter_map(|kind| {
            let node = fields.opt_node(kind.name())?;
            self.about(kind, node)
        });
        let mut about: Vec<About> = about.collect();
        if about.len() > 1 {
            self.reader.error(codes::TYPE, node.span, "an event is about one of alert, case and entity", None);
        }
        let about = about.pop();
        let detection = fields.opt_node("detection").and_then(|node| {
            let Value::Map(entries) = &node.value else {
                self.reader.wrong_type(node, "detection", "a map of fields and expressions");
                return None;
            };
            Some(self.fields("detection", DETECTION, entries))
        });
        let data = fields.opt_node("data").and_then(|node| self.given(node, "data"));
        fields.finish(self.reader);
        let (kind, kind_node) = (kind?, kind_node?);
        self.check_type(&kind, kind_node, about.as_ref());
        self.check_detection(&kind, kind_node, detection.is_some());
        Some(Rule { when, kind, id, time, tenant, from, about, detection, data })
    }

    /// A detection on its own has its type, and nothing else has.
    fn check_detection(&mut self, kind: &Template, node: &Node, has: bool) {
        let is = kind.constant().and_then(serde_json::Value::as_str) == Some(DETECTION_CREATED);
        if is != has {
            let message = if is {
                format!("an event of type `{DETECTION_CREATED}` says what was detected under `detection:`")
            } else {
                format!("`detection:` belongs to events of type `{DETECTION_CREATED}`")
            };
            self.reader.error(codes::TYPE, node.span, message, None);
        }
    }

    /// The type must be one, and must fit what the event is about.
    fn check_type(&mut self, kind: &Template, node: &Node, about: Option<&About>) {
        let Some(constant) = kind.constant() else {
            if about.is_some() {
                let help = Some(format!("write one of {}", STATE_TYPES.map(|(name, _)| name).join(", ")));
                let message = "an event about an alert, a case or an entity has a type that is not computed";
                self.reader.error(codes::TYPE, node.span, message, help);
            }
            return;
        };
        let text = constant.as_str().unwrap_or_default();
        if !is_type(text) {
            let help = Some("use small letters, digits, `_`, `-` and `.`, such as `acme.finding`".to_owned());
            self.reader.error(codes::TYPE, node.span, format!("`{text}` cannot be the type of an event"), help);
        } else if carries(text) != about.map(|about| about.kind) {
            let message = match carries(text) {
                Some(kind) => format!("an event of type `{text}` says what it knows under `{kind}:`"),
                None => format!("an event of type `{text}` is a plain one; what it knows stands under `data:`"),
            };
            self.reader.error(codes::TYPE, node.span, message, None);
        }
    }

    fn about(&mut self, kind: Kind, node: &Node) -> Option<About> {
        let Value::Map(entries) = &node.value else {
            self.reader.wrong_type(node, kind.name(), "a map of fields and expressions");
            return None;
        };
        let fields = self.fields(kind.name(), kind.fields(), entries);
        let needed = if kind == Kind::Entity { ["id", "kind"].as_slice() } else { &["id"] };
        for name in needed.iter().filter(|name| !entries.iter().any(|(key, _)| key.text == **name)) {
            self.reader.error(codes::FIELD, node.span, format!("`{kind}` needs `{name}`"), None);
        }
        Some(About { kind, fields })
    }

    /// The fields of a record that a map gives.
    fn fields(&mut self, of: &str, known: &'static [Field], entries: &[(Key, Node)]) -> Vec<(&'static Field, Given)> {
        let mut fields = Vec::new();
        for (key, node) in entries {
            let Some(field) = self.field(of, known, key) else { continue };
            if let Some(given) = self.field_value(field, node) {
                fields.push((field, given));
            }
        }
        fields
    }

    fn field(&mut self, of: &str, known: &'static [Field], key: &Key) -> Option<&'static Field> {
        let found = known.iter().find(|field| field.name == key.text);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|field| field.name).collect();
            let near = nearest(&key.text, names.iter().copied());
            let place = if names.contains(&"extra") { "extra" } else { "data" };
            let help = near.map_or_else(
                || format!("what has no field of its own goes under `{place}`; `{of}` has {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.reader.error(codes::FIELD, key.span, format!("`{of}` has no field `{}`", key.text), Some(help));
        }
        found
    }

    fn field_value(&mut self, field: &Field, node: &Node) -> Option<Given> {
        let free = matches!(field.ty, FieldType::Free | FieldType::Scores);
        match &node.value {
            Value::Map(_) if !free => {
                self.reader.wrong_type(node, field.name, "text that holds an expression");
                None
            }
            _ => self.given(node, field.name),
        }
    }

    /// A value: a text is an expression, a map holds values, numbers and truths stand for themselves.
    fn given(&mut self, node: &Node, name: &str) -> Option<Given> {
        match &node.value {
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => Some(Given::Constant(node.to_json())),
            Value::Map(entries) => {
                let all =
                    entries.iter().filter_map(|(key, node)| Some((key.text.clone(), self.given(node, &key.text)?)));
                Some(Given::Map(all.collect()))
            }
            _ => self.expression(node, name).map(Given::One),
        }
    }

    fn samples(&mut self, fields: &mut Fields<'_>) -> Vec<Sample> {
        let Some(node) = fields.opt_node("samples") else { return Vec::new() };
        let Some(items) = self.reader.list(node, "`samples`") else { return Vec::new() };
        if items.len() > SAMPLES_MAX {
            self.reader.error(codes::VALUE, node.span, format!("there are more than {SAMPLES_MAX} samples"), None);
        }
        items.iter().take(SAMPLES_MAX).filter_map(|item| self.sample(item)).collect()
    }

    fn sample(&mut self, node: &Node) -> Option<Sample> {
        let mut fields = self.reader.map(node, "a sample")?;
        let name = fields.text(self.reader, "name");
        let headers = fields.fields(self.reader, "headers").map(|mut named| {
            let pairs =
                named.free().map(|(key, node)| (key.text.clone(), node.as_text().unwrap_or_default().to_owned()));
            pairs.collect()
        });
        let body = fields.node(self.reader, "body").map(|node| match node.as_text() {
            Some(text) => text.to_owned(),
            None => node.to_json().to_string(),
        });
        let expect = fields.node(self.reader, "expect").map(|node| match node.to_json() {
            serde_json::Value::Array(items) => items,
            one => vec![one],
        });
        fields.finish(self.reader);
        Some(Sample {
            name: name?,
            span: node.span,
            headers: headers.unwrap_or_default(),
            body: body?,
            expect: expect?,
        })
    }
}
