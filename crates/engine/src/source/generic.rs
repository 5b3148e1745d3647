//! `generic`: the normalised shape itself. The contract is ours, so what is wrong is refused with its path.
//!
//! Invariant: unknown keys are never a reason to refuse; they stay in the raw body and are named in the warnings.

use std::sync::Arc;

use model::record::{self, ENTITY_KINDS, Problem, Record, Strictness};
use model::{Kind, Subject, Time};
use serde_json::{Map, Value};

use super::{Draft, Drafts, Help, STATE_TYPES, Shape, TYPE_CHARS_MAX, Unfit, carries, id, is_type};
use crate::triage::DETECTION_CREATED;

/// The keys of an event.
const KEYS: [&str; 11] = ["type", "id", "time", "tenant", "alert", "case", "entity", "detection", "from", "to", "data"];

/// The normalised shape.
#[derive(Debug)]
pub(super) struct Generic;

impl Shape for Generic {
    fn name(&self) -> &str {
        "generic"
    }

    fn prefixes_ids(&self) -> bool {
        false
    }

    fn lenient(&self) -> bool {
        false
    }

    fn normalise(&self, body: Map<String, Value>, help: &Help<'_>) -> Result<Drafts, Unfit> {
        let mut reading = Reading { help, problems: Vec::new(), draft: Draft::default(), to: None };
        reading.take(body);
        if reading.problems.is_empty() { Ok(Drafts::One(reading.draft)) } else { Err(Unfit::Invalid(reading.problems)) }
    }
}

struct Reading<'a> {
    help: &'a Help<'a>,
    problems: Vec<Problem>,
    draft: Draft,
    /// The stage after, as the event says beside the case.
    to: Option<String>,
}

impl Reading<'_> {
    fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), message: message.into() });
    }

    fn take(&mut self, mut body: Map<String, Value>) {
        match body.remove("type") {
            Some(Value::String(kind)) if is_type(&kind) => self.draft.kind = kind,
            Some(Value::String(_)) => {
                self.problem("type", format!("it must be 1 to {TYPE_CHARS_MAX} of a-z, 0-9, `_`, `.`, `-`"));
            }
            Some(Value::Null) | None => self.problem("type", "it is missing"),
            Some(_) => self.problem("type", "it must be text"),
        }
        let carried = carries(&self.draft.kind);
        let (mut subject, mut detection) = (None, None);
        for (key, value) in body {
            if value.is_null() && KEYS.contains(&key.as_str()) {
                continue;
            }
            match key.as_str() {
                "id" => self.draft.own_id = self.id_of("id", &value),
                "tenant" => self.draft.tenant = self.id_of("tenant", &value),
                "time" => self.draft.time = self.time_of(&value),
                "from" => self.draft.from = self.stage_of("from", carried, value),
                "to" => self.to = self.stage_of("to", carried, value),
                "data" if value.is_object() => self.draft.data = value,
                "detection" => match value {
                    Value::Object(fields) if self.draft.kind == DETECTION_CREATED => detection = Some(fields),
                    Value::Object(_) => self.unused(&key),
                    _ => self.problem(key, "it must be an object"),
                },
                "alert" | "case" | "entity" => match value {
                    Value::Object(fields) if carried.is_some_and(|kind| kind.name() == key) => subject = Some(fields),
                    Value::Object(_) => self.unused(&key),
                    _ => self.problem(key, "it must be an object"),
                },
                "data" => self.problem(key, "it must be an object"),
                _ => self.unknown(&key),
            }
        }
        if let Some(kind) = carried {
            self.draft.subject = self.subject(kind, subject);
        }
        if self.draft.kind == DETECTION_CREATED {
            self.detection(detection);
        }
    }

    /// A detection on its own stands in the data under its name, in its one form.
    fn detection(&mut self, fields: Option<Record>) {
        let Some(mut fields) = fields else {
            return self.problem("detection", format!("it is missing, and `{DETECTION_CREATED}` needs it"));
        };
        let (problems, warnings) = record::normalise_detection(&mut fields, self.help.words, Strictness::Strict);
        self.problems.extend(problems);
        self.draft.warnings.extend(warnings);
        if !self.draft.data.is_object() {
            self.draft.data = Value::Object(Map::new());
        }
        self.draft.data["detection"] = Value::Object(fields);
    }

    /// A known key that events of this type do not have; perhaps the type is mistyped.
    fn unused(&mut self, key: &str) {
        let kind = &self.draft.kind;
        let near = record::nearest(kind, STATE_TYPES.iter().map(|(name, _)| *name)).filter(|near| near != kind);
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        self.draft.warnings.push(format!("`{key}` is kept and not used: events of type `{kind}` do not have it{hint}"));
    }

    fn unknown(&mut self, key: &str) {
        let hint = record::nearest(key, KEYS.into_iter()).map_or(String::new(), |k| format!("; did you mean `{k}`?"));
        self.draft.warnings.push(format!("unknown key `{key}` is kept and not used{hint}"));
    }

    fn id_of(&mut self, path: &str, value: &Value) -> Option<String> {
        id::text(value).map_err(|message| self.problem(path, message)).ok()
    }

    fn time_of(&mut self, value: &Value) -> Option<Time> {
        let Value::String(text) = value else {
            self.problem("time", "it must be an RFC 3339 time");
            return None;
        };
        Time::parse(text).map_err(|error| self.problem("time", error.to_string())).ok()
    }

    /// The canonical stage that `from` or `to` names; of a case only.
    fn stage_of(&mut self, key: &str, carried: Option<Kind>, value: Value) -> Option<String> {
        let Value::String(text) = value else {
            self.problem(key, "it must be text");
            return None;
        };
        if carried != Some(Kind::Case) {
            self.unused(key);
            return None;
        }
        let stage = self.help.words.stage(&text).map(str::to_owned);
        if stage.is_none() {
            let known = self.help.words.stages.join(", ");
            self.problem(key, format!("`{text}` is not a stage; use one of {known}"));
        }
        stage
    }

    fn subject(&mut self, kind: Kind, fields: Option<Record>) -> Option<Subject> {
        let Some(mut fields) = fields else {
            self.problem(kind.name(), format!("it is missing, and `{}` needs it", self.draft.kind));
            return None;
        };
        let own = match fields.get("id") {
            None | Some(Value::Null) => {
                self.problem(format!("{kind}.id"), "it is missing");
                None
            }
            Some(value) => {
                let value = value.clone();
                self.id_of(&format!("{kind}.id"), &value)
            }
        };
        let id = match kind {
            Kind::Entity => self.entity_kind(&mut fields).zip(own.as_deref()).map(|(kind, id)| format!("{kind}/{id}")),
            Kind::Alert | Kind::Case => own.clone(),
        };
        if let Some(own) = own {
            fields.insert("id".to_owned(), Value::String(own));
        }
        if kind == Kind::Case {
            self.stage_from_to(&mut fields);
        }
        let (problems, warnings) = record::normalise(kind, &mut fields, self.help.words, Strictness::Strict);
        // What is wrong with the ids was said above.
        let said = |path: &str| self.problems.iter().any(|p| p.path == path);
        let new: Vec<Problem> = problems.into_iter().filter(|p| !said(&p.path)).collect();
        self.problems.extend(new);
        self.draft.warnings.extend(warnings);
        Some(Subject { kind, id: id?, fields: Arc::new(fields) })
    }

    /// Brings the kind of an entity into its canonical form.
    fn entity_kind(&mut self, fields: &mut Record) -> Option<&'static str> {
        let path = "entity.kind";
        match fields.get("kind") {
            None | Some(Value::Null) => self.problem(path, "it is missing"),
            Some(Value::String(text)) => match ENTITY_KINDS.into_iter().find(|kind| kind.eq_ignore_ascii_case(text)) {
                Some(kind) => {
                    fields.insert("kind".to_owned(), Value::String(kind.to_owned()));
                    return Some(kind);
                }
                None => {
                    let message = format!("`{text}` is not a kind of entity; use one of {}", ENTITY_KINDS.join(", "));
                    self.problem(path, message);
                }
            },
            Some(_) => self.problem(path, "it must be text"),
        }
        None
    }

    /// A missing `stage` is what `to` says; where both stand, the case counts.
    fn stage_from_to(&mut self, fields: &mut Record) {
        let Some(to) = self.to.take() else { return };
        match fields.get("stage") {
            None | Some(Value::Null) => {
                fields.insert("stage".to_owned(), Value::String(to));
            }
            Some(Value::String(stage)) if !stage.eq_ignore_ascii_case(&to) => {
                self.draft.warnings.push(format!("`to` is `{to}`, `case.stage` says otherwise and counts"));
            }
            Some(_) => {}
        }
    }
}
