//! From a body to drafts, by the rules of a file.

use std::sync::Arc;

use model::record::{self, DETECTION, ENTITY_KINDS, Field, FieldType, Record, Strictness};
use model::{Kind, Subject, Time, limits};
use playbook::{Answer, Budget, Evaluator, Expression, Purse, Scope, Span, look};
use serde_json::{Map, Value, json};

use super::coerce::{self, fit};
use super::{About, Given, Rule, Rules, SourceFile};
use crate::source::{Draft, Drafts, Help, Unfit, carries, id};
use crate::triage::DETECTION_CREATED;

/// What all expressions of one body may use together.
const BODY: Budget = Budget { operations: 40 * limits::SCRIPT_OPERATIONS_MAX, millis: 20 * limits::SCRIPT_MILLIS_MAX };
/// Most levels of wrapping that are taken off.
const WRAPPINGS_MAX: usize = 8;

/// Maps one body.
pub(super) fn drafts(
    file: &SourceFile,
    rules: &Rules,
    evaluator: &Evaluator,
    body: Map<String, Value>,
    help: &Help<'_>,
) -> Result<Drafts, Unfit> {
    let envelope = Arc::new(Value::Object(body));
    let body = unwrap(&envelope, &rules.unwrap);
    let items = rules.each.iter().find_map(|path| look(&body, path)?.as_array().filter(|list| !list.is_empty()));
    let scope = Scope::new(help.now)
        .local("envelope", Arc::clone(&envelope))
        .local("body", Arc::clone(&body))
        .local("headers", Arc::new(headers(file, help)));
    let mut mapping = Mapping { file, rules, evaluator, help, purse: Purse::new(BODY), warnings: Vec::new() };
    match items {
        None => mapping.draft(scope.local("item", body)).map(Drafts::One),
        Some(items) if items.len() > help.events_max => {
            Err(Unfit::Unreadable(format!("it holds more than {} events", help.events_max)))
        }
        Some(items) => {
            let one = |item: &Value| mapping.draft(scope.clone().local("item", Arc::new(item.clone())));
            Ok(Drafts::Many(items.iter().map(one).collect()))
        }
    }
}

/// The message inside what was sent: every path that leads to an object, or to an object as text, is followed.
fn unwrap(envelope: &Arc<Value>, paths: &[String]) -> Arc<Value> {
    let mut body = Arc::clone(envelope);
    for path in paths.iter().cycle().take(paths.len().saturating_mul(2).min(WRAPPINGS_MAX)) {
        let inner = match look(&body, path) {
            Some(Value::Object(inner)) => Some(Value::Object(inner.clone())),
            Some(Value::String(text)) => serde_json::from_str(text.trim()).ok().filter(Value::is_object),
            _ => None,
        };
        if let Some(inner) = inner {
            body = Arc::new(inner);
        }
    }
    body
}

/// The headers that the file names. Credentials cannot be named.
fn headers(file: &SourceFile, help: &Help<'_>) -> Value {
    let Some(given) = help.headers else { return json!({}) };
    let named = |name: &str| {
        file.headers.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => known == name,
        })
    };
    let pairs = given.iter().filter(|(name, _)| named(name.as_str()));
    let pairs = pairs.filter_map(|(name, value)| Some((name.as_str().to_owned(), json!(value.to_str().ok()?))));
    Value::Object(pairs.collect())
}

/// The detection that an alert of a product without detections is itself: what takes part in it, and how severe it is.
fn own_detection(source: &str, fields: &Record) -> Value {
    const SAME: [(&str, &str); 10] = [
        ("id", "id"),
        ("description", "name"),
        ("severity", "priority"),
        ("score", "risk_score"),
        ("rules", "rules"),
        ("approx_log_time", "created_time"),
        ("src_users", "users"),
        ("src_hosts", "endpoints"),
        ("src_ips", "src_ips"),
        ("dest_ips", "dest_ips"),
    ];
    let mut detection = Map::new();
    detection.insert("type".to_owned(), json!(source));
    let use_case = fields.get("use_cases").and_then(|cases| cases.get(0));
    detection.extend(use_case.map(|case| ("use_case".to_owned(), case.clone())));
    detection.extend(SAME.iter().filter_map(|(theirs, ours)| Some(((*theirs).to_owned(), fields.get(*ours)?.clone()))));
    Value::Object(detection)
}

/// Whether there is nothing in a value, however it is nested.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(says_nothing),
        Value::Object(fields) => fields.values().all(says_nothing),
        value => coerce::is_nothing(value),
    }
}

/// One body being mapped.
struct Mapping<'a> {
    file: &'a SourceFile,
    rules: &'a Rules,
    evaluator: &'a Evaluator,
    help: &'a Help<'a>,
    purse: Purse,
    warnings: Vec<String>,
}

impl Mapping<'_> {
    fn draft(&mut self, mut scope: Scope) -> Result<Draft, Unfit> {
        self.warnings.clear();
        for (name, expression) in &self.rules.lets {
            let value = self.value(&scope, expression, name).unwrap_or_default();
            scope = scope.local(name, Arc::new(value));
        }
        for rule in &self.rules.events {
            let fits = match &rule.when {
                None => true,
                Some(when) => match when.answer(self.evaluator, &scope, Budget::STEP) {
                    Answer::Yes => true,
                    Answer::No { .. } => false,
                    Answer::Failed { message, at, .. } => {
                        self.note(at, "`when` has no answer", &message);
                        false
                    }
                },
            };
            if fits {
                return self.by(rule, &scope);
            }
        }
        let why = self.warnings.first().map_or(String::new(), |first| format!(" ({first})"));
        Err(Unfit::Unmapped(format!("no mapping of the source `{}` fits this body{why}", self.file.name)))
    }

    /// The event that a rule makes.
    fn by(&mut self, rule: &Rule, scope: &Scope) -> Result<Draft, Unfit> {
        let kind = self.kind(rule, scope)?;
        let mut draft = Draft {
            own_id: self.text(scope, rule.id.as_ref(), "id").filter(|text| id::is_usable(text)),
            tenant: self.text(scope, rule.tenant.as_ref(), "tenant").filter(|text| id::is_usable(text)),
            from: self.text(scope, rule.from.as_ref(), "from"),
            ..Draft::default()
        };
        let said = rule.time.as_ref().and_then(|time| self.value(scope, time, "time"));
        draft.time = said.and_then(|value| fit(FieldType::Time, value)).and_then(|time| self.instant(&time));
        if let Some(about) = &rule.about {
            draft.subject = Some(self.subject(about, scope)?);
        }
        if let Some(data) = &rule.data {
            draft.data = self.given(scope, data, "data").unwrap_or_default();
            if !draft.data.is_object() && !draft.data.is_null() {
                draft.data = json!({"value": draft.data});
            }
        }
        if let Some(fields) = &rule.detection {
            let detection = self.detection(fields, scope);
            if !draft.data.is_object() {
                draft.data = json!({});
            }
            draft.data["detection"] = Value::Object(detection);
        }
        draft.kind = kind;
        draft.warnings = std::mem::take(&mut self.warnings);
        Ok(draft)
    }

    /// The event's type: what is not allowed in one is left out of it.
    fn kind(&mut self, rule: &Rule, scope: &Scope) -> Result<String, Unfit> {
        if let Some(Value::String(kind)) = rule.kind.constant() {
            return Ok(kind.clone());
        }
        let mut room = limits::SCRIPT_STRING_BYTES_MAX;
        let rendered = rule.kind.render(self.evaluator, scope, &mut room);
        let text = rendered.map_err(|error| Unfit::Unreadable(format!("its type: {}", error.message)))?;
        let kind: String = text.as_str().unwrap_or_default().to_ascii_lowercase();
        let kind = kind.trim_matches('.');
        let kind = if kind.contains('.') { kind.to_owned() } else { format!("{}.other", self.file.name) };
        // A plain event must not look like one that carries state, or a detection.
        let plain = carries(&kind).is_none() && kind != DETECTION_CREATED;
        if crate::source::is_type(&kind) && (plain || rule.about.is_some()) {
            Ok(kind)
        } else {
            Ok(format!("{}.other", self.file.name))
        }
    }

    fn subject(&mut self, about: &About, scope: &Scope) -> Result<Subject, Unfit> {
        let kind = about.kind;
        let mut fields = self.record(kind.name(), &about.fields, scope);
        self.defaults(about, &mut fields);
        let own = fields.get("id").ok_or_else(|| Unfit::Unreadable(format!("it says no id for the {kind}")))?;
        let own = id::text(own).map_err(|message| Unfit::Unreadable(format!("`{kind}.id`: {message}")))?;
        let subject = match kind {
            Kind::Entity => {
                let said = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
                let known = ENTITY_KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(said));
                let known = known.ok_or_else(|| {
                    Unfit::Unreadable(format!(
                        "`{said}` is not a kind of entity; it is one of {}",
                        ENTITY_KINDS.join(", ")
                    ))
                })?;
                fields.insert("kind".to_owned(), json!(known));
                format!("{known}/{own}")
            }
            Kind::Alert | Kind::Case => own,
        };
        let how = Strictness::Lenient { zone: self.help.zone };
        let (_, noticed) = record::normalise(kind, &mut fields, self.help.words, how);
        self.warnings.extend(noticed);
        Ok(Subject { kind, id: subject, fields: Arc::new(fields) })
    }

    /// What a map of fields gives; what does not fit is left out and noted.
    fn record(&mut self, of: &str, all: &[(&'static Field, Given)], scope: &Scope) -> Record {
        let mut fields = Record::new();
        for (field, given) in all {
            let path = || format!("{of}.{}", field.name);
            let Some(value) = self.given(scope, given, &path()) else { continue };
            match fit(field.ty, value.clone()) {
                Some(value) => {
                    fields.insert(field.name.to_owned(), value);
                }
                None if says_nothing(&value) => {}
                None => self.warnings.push(format!("`{}` is left out: what was sent does not fit it", path())),
            }
        }
        fields
    }

    /// A detection that arrives on its own. Products number theirs alike, and an alert may hold those of several: unless
    /// the source's ids are its own, they get its name in front, as those of alerts do.
    fn detection(&mut self, all: &[(&'static Field, Given)], scope: &Scope) -> Record {
        let mut fields = self.record("detection", all, scope);
        if let Some(Value::String(own)) = fields.get("id").filter(|_| !self.file.own_ids) {
            let prefixed = format!("{}-{own}", self.file.name);
            fields.insert("id".to_owned(), Value::String(prefixed));
        }
        if !fields.contains_key("type") {
            fields.insert("type".to_owned(), json!(self.file.name));
        }
        let how = Strictness::Lenient { zone: self.help.zone };
        let (_, noticed) = record::normalise_detection(&mut fields, self.help.words, how);
        self.warnings.extend(noticed);
        fields
    }

    /// What follows from the product when the mapping does not say it.
    fn defaults(&self, about: &About, fields: &mut Record) {
        let kind = about.kind;
        for (name, value) in [("vendors", &self.file.vendor), ("products", &self.file.product)] {
            if let (Some(value), Some(_), false) = (value, kind.field(name), fields.contains_key(name)) {
                fields.insert(name.to_owned(), json!([value]));
            }
        }
        let mapped = about.fields.iter().any(|(field, _)| field.name == "detections");
        if kind != Kind::Entity && !mapped && fields.contains_key("name") {
            fields.insert("detections".to_owned(), json!([own_detection(&self.file.name, fields)]));
        }
        if let Some(Value::Array(detections)) = fields.get_mut("detections") {
            for detection in detections.iter_mut().filter_map(Value::as_object_mut) {
                detection.retain(|name, _| DETECTION.iter().any(|field| field.name == name));
            }
        }
    }

    fn given(&mut self, scope: &Scope, given: &Given, path: &str) -> Option<Value> {
        match given {
            Given::Constant(value) => Some(value.clone()),
            Given::One(expression) => self.value(scope, expression, path),
            Given::Map(entries) => {
                let mut map = Map::new();
                for (name, given) in entries {
                    let value = self.given(scope, given, &format!("{path}.{name}"));
                    // A name that is there and holds nothing can be asked for; one that is not there cannot.
                    map.insert(name.clone(), value.unwrap_or_default());
                }
                Some(Value::Object(map))
            }
        }
    }

    /// The value of an expression; one that fails is noted and gives nothing.
    fn value(&mut self, scope: &Scope, expression: &Expression, path: &str) -> Option<Value> {
        match expression.value_within(self.evaluator, scope, &mut self.purse) {
            Ok(Value::Null) => None,
            Ok(value) => Some(value),
            Err(error) => {
                self.note(error.at, &format!("`{path}` is left out"), &error.message);
                None
            }
        }
    }

    fn text(&mut self, scope: &Scope, expression: Option<&Expression>, path: &str) -> Option<String> {
        let value = self.value(scope, expression?, path)?;
        coerce::text(value)
    }

    fn instant(&mut self, value: &Value) -> Option<Time> {
        match Time::parse_in_zone(value.as_str()?, self.help.zone) {
            Ok(time) => Some(time),
            Err(error) => {
                self.warnings.push(format!("`time` is left out: {error}"));
                None
            }
        }
    }

    fn note(&mut self, at: Span, what: &str, message: &str) {
        self.warnings.push(format!("{what} (line {} of the source's file): {message}", at.line));
    }
}
