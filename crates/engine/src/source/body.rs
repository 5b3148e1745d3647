//! From the bytes of a request to events: splits the body, reads each element, completes it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::event::ReplayKey;
use model::limits::ID_BYTES_MAX;
use model::record::Problem;
use model::{Actor, Digest, Event};
use serde_json::{Value, json};

use super::error::{BodyError, InputError, Position, short, short_list};
use super::json::{self, Bounds, Fault, Split};
use super::{Context, Draft, Help, Incoming, Raw, Reading, Source, Unfit, id};

/// The tenant of everything where none are configured.
const DEFAULT_TENANT: &str = "default";

/// Reads a body into events.
///
/// # Errors
/// [`BodyError`] when nothing of it is taken: its size, its number of events, the syntax of an array, its media type, or
/// a key that cannot be used. What is wrong with one event stands in its place in [`Reading::elements`].
pub fn read(source: &Source, body: Bytes, ctx: &Context<'_>) -> Result<Reading, BodyError> {
    let form = Form::declared(ctx.content_type)?;
    if ctx.header_key.is_some_and(|key| !id::is_usable(key)) {
        return Err(BodyError::Key { limit: ID_BYTES_MAX });
    }
    within(body.len(), ctx.limits.batch_bytes)?;
    let whole = trimmed(&body);
    let reader = Reader { source, ctx, body: &body };
    match form {
        Form::Lines => reader.lines(whole),
        Form::Json if body.get(whole.start) == Some(&b'[') => reader.array(whole),
        Form::Json => {
            within(whole.len(), ctx.limits.event_bytes)?;
            if whole.is_empty() {
                return Err(BodyError::Empty);
            }
            let mut values = ctx.limits.event_values;
            Ok(Reading { batch: false, elements: vec![reader.element(whole, None, &mut values)] })
        }
    }
}

fn within(bytes: usize, limit: usize) -> Result<(), BodyError> {
    if bytes > limit { Err(BodyError::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// What the body is declared to be.
enum Form {
    Json,
    Lines,
}

impl Form {
    fn declared(content_type: Option<&str>) -> Result<Form, BodyError> {
        let Some(declared) = content_type else { return Ok(Form::Json) };
        let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson" | "application/ndjson" => Ok(Form::Lines),
            "" | "application/json" | "text/json" => Ok(Form::Json),
            other if other.starts_with("application/") && other.ends_with("+json") => Ok(Form::Json),
            _ => Err(BodyError::MediaType { declared: short(declared) }),
        }
    }
}

/// The body without a byte order mark and the white space around it.
fn trimmed(body: &[u8]) -> Range<usize> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    trimmed_part(body, start..body.len())
}

fn trimmed_part(body: &[u8], part: Range<usize>) -> Range<usize> {
    let bytes = &body[part.clone()];
    let rest = bytes.trim_ascii_start();
    let start = part.end - rest.len();
    start..start + rest.trim_ascii_end().len()
}

/// Reads the parts of one body.
struct Reader<'a> {
    source: &'a Source,
    ctx: &'a Context<'a>,
    body: &'a Bytes,
}

/// Why an element is no event as it stands.
struct Refused {
    error: InputError,
    /// Whether it is at least sound JSON.
    json: bool,
}

impl Reader<'_> {
    fn lines(&self, whole: Range<usize>) -> Result<Reading, BodyError> {
        let limit = self.ctx.limits.batch_events;
        let mut values = self.ctx.limits.batch_values;
        let mut elements = Vec::new();
        let mut start = whole.start;
        for line in self.body[whole].split_inclusive(|byte| *byte == b'\n') {
            let part = trimmed_part(self.body, start..start + line.len());
            start += line.len();
            if part.is_empty() {
                continue;
            }
            if elements.len() >= limit {
                return Err(BodyError::TooManyEvents { limit });
            }
            elements.push(self.element(part, Some(elements.len()), &mut values));
        }
        if elements.is_empty() { Err(BodyError::Empty) } else { Ok(Reading { batch: true, elements }) }
    }

    fn array(&self, whole: Range<usize>) -> Result<Reading, BodyError> {
        let limit = self.ctx.limits.batch_events;
        let parts = match std::str::from_utf8(&self.body[whole.clone()]) {
            Ok(text) => match json::split(text, limit) {
                Ok(parts) => Ok(ranges(text, &parts, whole.start)),
                Err(Split::TooMany) => return Err(BodyError::TooManyEvents { limit }),
                Err(Split::Syntax(message, byte)) => Err((message, byte)),
            },
            Err(error) => Err((NOT_UTF8.to_owned(), error.valid_up_to())),
        };
        let parts = match parts {
            Ok(parts) if parts.is_empty() => return Err(BodyError::Empty),
            Ok(parts) => parts,
            Err((message, byte)) => return self.broken_array(whole, message, byte),
        };
        let mut values = self.ctx.limits.batch_values;
        let elements =
            parts.into_iter().enumerate().map(|(n, part)| self.element(part, Some(n), &mut values)).collect();
        Ok(Reading { batch: true, elements })
    }

    /// An array that cannot be split: a vendor's is kept as one event, if it is not larger than one may be.
    fn broken_array(&self, whole: Range<usize>, message: String, byte: usize) -> Result<Reading, BodyError> {
        let at = Position::of(self.body, whole.start + byte);
        if !self.source.shape.lenient() || whole.len() > self.ctx.limits.event_bytes {
            return Err(BodyError::Syntax { message, at });
        }
        let refused = Refused { error: InputError::Syntax { message, at }, json: false };
        Ok(Reading { batch: false, elements: vec![self.unreadable(whole, None, refused)] })
    }

    /// Reads one element; `n` is its place in a batch, `values` how many values may still be read.
    fn element(&self, part: Range<usize>, n: Option<usize>, values: &mut usize) -> Result<Incoming, InputError> {
        let limit = self.ctx.limits.event_bytes;
        if part.len() > limit {
            return Err(InputError::TooLarge { bytes: part.len(), limit });
        }
        match self.draft(part.clone(), values) {
            Ok(draft) => {
                let raw = self.body.slice(part);
                Ok(Incoming { event: Arc::new(self.complete(draft, &raw, n)?), raw: Raw::Json(raw) })
            }
            Err(refused) if self.source.shape.lenient() => self.unreadable(part, n, refused),
            Err(refused) => Err(refused.error),
        }
    }

    fn draft(&self, part: Range<usize>, values: &mut usize) -> Result<Draft, Refused> {
        let broken = |error| Refused { error, json: false };
        let at = |byte| Position::of(self.body, part.start + byte);
        let text = std::str::from_utf8(&self.body[part.clone()]).map_err(|error| {
            broken(InputError::Syntax { message: NOT_UTF8.to_owned(), at: at(error.valid_up_to()) })
        })?;
        let bounds = Bounds { depth: self.ctx.limits.depth, values: self.ctx.limits.event_values.min(*values) };
        let value = match json::parse(text, bounds) {
            Ok((value, used)) => {
                *values -= used;
                value
            }
            Err((fault, byte)) => {
                if fault == Fault::TooManyValues {
                    *values -= bounds.values;
                }
                return Err(broken(faulty(fault, at(byte), bounds)));
            }
        };
        let Value::Object(fields) = value else {
            return Err(broken(InputError::NotAnObject { found: found(&value), at: at(0) }));
        };
        let help = Help { words: self.ctx.words, zone: &self.source.timezone };
        self.source.shape.normalise(fields, &help).map_err(|unfit| {
            let problems = match unfit {
                Unfit::Invalid(problems) => problems,
                Unfit::Unreadable(message) => vec![Problem { path: String::new(), message }],
            };
            Refused { error: InputError::invalid(problems), json: true }
        })
    }

    /// What cannot be read is kept, as an event that says why.
    fn unreadable(&self, part: Range<usize>, n: Option<usize>, refused: Refused) -> Result<Incoming, InputError> {
        let error = refused.error;
        let mut data = json!({"code": error.code(), "reason": error.to_string()});
        if let Some(at) = error.position() {
            data["line"] = at.line.into();
            data["column"] = at.column.into();
        }
        let kind = format!("{}.unreadable", self.source.name);
        let warnings = vec![format!("kept as `{kind}`: {error}")];
        let sent = self.body.slice(part);
        let event = self.complete(Draft { kind, data, warnings, ..Draft::default() }, &sent, n)?;
        let raw = match (refused.json, n) {
            (true, _) => Raw::Json(sent),
            (false, Some(_)) => Raw::Bytes(sent),
            // Of what is not even JSON, white space may matter.
            (false, None) => Raw::Bytes(self.body.clone()),
        };
        Ok(Incoming { event: Arc::new(event), raw })
    }

    /// Adds what is the same for all sources.
    fn complete(&self, mut draft: Draft, raw: &[u8], n: Option<usize>) -> Result<Event, InputError> {
        let shape = self.source.shape;
        let tenant = tenant(self.ctx, draft.tenant.take(), &mut draft.warnings)
            .map_err(|problem| InputError::invalid(vec![problem]))?;
        if shape.prefixes_ids()
            && let Some(subject) = draft.subject.as_mut()
        {
            id::prefix(&self.source.name, subject);
        }
        let key = match (self.ctx.header_key, n) {
            (Some(key), Some(n)) => Some(format!("{key}/{n}")),
            (Some(key), None) => Some(key.to_owned()),
            (None, _) => draft.own_id.clone(),
        };
        Ok(Event {
            source: self.source.name.clone(),
            kind: draft.kind,
            own_id: draft.own_id,
            time: draft.time.unwrap_or(self.ctx.now),
            received: self.ctx.now,
            tenant,
            actor: Actor::Source(self.source.name.clone()),
            subject: draft.subject,
            from: draft.from,
            data: draft.data,
            replay: key.map(|key| ReplayKey { key, body: Digest::of(raw) }),
            chain: Vec::new(),
            warnings: short_list(draft.warnings),
            first_sight_creates: shape.first_sight_creates(),
        })
    }
}

const NOT_UTF8: &str = "it is not UTF-8";

/// Where the parts of `text` lie in the body, in which `text` starts at `start`.
fn ranges(text: &str, parts: &[&str], start: usize) -> Vec<Range<usize>> {
    let base = text.as_ptr() as usize;
    let range = |part: &&str| {
        let from = start + (part.as_ptr() as usize - base);
        from..from + part.len()
    };
    parts.iter().map(range).collect()
}

fn faulty(fault: Fault, at: Position, bounds: Bounds) -> InputError {
    match fault {
        Fault::Syntax(message) => InputError::Syntax { message, at },
        Fault::DuplicateKey(path) => InputError::DuplicateKey { path, at },
        Fault::ReservedKey(path) => InputError::ReservedKey { path, at },
        Fault::TooDeep => InputError::TooDeep { limit: bounds.depth, at },
        Fault::TooManyValues => InputError::TooManyValues { limit: bounds.values },
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Whose event it is: what the source or token is bound to, else what the event says.
fn tenant(ctx: &Context<'_>, said: Option<String>, warnings: &mut Vec<String>) -> Result<String, Problem> {
    let problem = |message: String| Problem { path: "tenant".to_owned(), message };
    let Some(known) = ctx.tenants else {
        if let Some(said) = said.filter(|said| said != DEFAULT_TENANT) {
            warnings.push(format!("`tenant` {said} is not used: no tenants are configured"));
        }
        return Ok(DEFAULT_TENANT.to_owned());
    };
    let name = match (ctx.tenant, said) {
        (Some(bound), Some(said)) if bound != said => {
            return Err(problem("it is not the tenant of this source".to_owned()));
        }
        (Some(bound), _) => bound.to_owned(),
        (None, Some(said)) => said,
        (None, None) => return Err(problem("it is missing, and tenants are configured".to_owned())),
    };
    if known.contains(&name) { Ok(name) } else { Err(problem("there is no such tenant".to_owned())) }
}
