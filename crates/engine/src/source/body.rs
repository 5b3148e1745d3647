//! From the bytes of a request to events: splits the body, reads each element, completes it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::event::ReplayKey;
use model::limits::ID_BYTES_MAX;
use model::record::Problem;
use model::{Actor, Digest, Event};
use serde_json::{Value, json};

use super::error::{BodyError, InputError, Position, faulty, found, short, short_list};
use super::json::{self, Bounds, Fault, Split};
use super::repair::repair;
use super::whose::tenant;
use super::{Context, Draft, Drafts, Help, Incoming, Raw, Reading, Source, Unfit, id};

/// Reads a body into events.
///
/// # Errors
/// As [`split`].
pub fn read(source: &Source, body: Bytes, ctx: &Context<'_>) -> Result<Reading, BodyError> {
    let mut pieces = split(source, body, ctx)?;
    let elements = pieces.next(source, ctx, usize::MAX).unwrap_or_default();
    Ok(Reading { batch: pieces.is_batch() || elements.len() > 1, elements })
}

/// Splits a body into its elements, which are read piece by piece: what is read of a body takes many times its room.
///
/// # Errors
/// [`BodyError`] when nothing of it is taken: its size, its number of events, the syntax of an array, its media type, or
/// a key that cannot be used. What is wrong with one event stands in its place among the elements.
pub fn split(source: &Source, body: Bytes, ctx: &Context<'_>) -> Result<Pieces, BodyError> {
    let form = Form::declared(ctx.content_type, source)?;
    if ctx.header_key.is_some_and(|key| !id::is_usable(key)) {
        return Err(BodyError::Key { limit: ID_BYTES_MAX });
    }
    within(body.len(), ctx.limits.batch_bytes)?;
    let whole = trimmed(&body);
    let reader = Reader { source, ctx, body: &body, known: Position::START };
    let (parts, batch) = match form {
        Form::Lines => (reader.lines(whole)?, true),
        Form::Json if body.get(whole.start) == Some(&b'[') => reader.array(whole)?,
        Form::Json => {
            within(whole.len(), ctx.limits.event_bytes)?;
            if whole.is_empty() {
                return Err(BodyError::Empty);
            }
            (vec![Part::Whole(whole)], false)
        }
    };
    let values = if batch { ctx.limits.batch_values } else { ctx.limits.event_values };
    Ok(Pieces { body, parts: parts.into_iter(), batch, n: 0, values, at: Position::START })
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub struct Pieces {
    body: Bytes,
    parts: std::vec::IntoIter<Part>,
    batch: bool,
    /// The number of the next element.
    n: usize,
    /// How many values may still be read.
    values: usize,
    /// Where it stands.
    at: Position,
}

/// A part of a body.
#[derive(Debug)]
enum Part {
    /// The body itself.
    Whole(Range<usize>),
    /// An element of a batch.
    Element(Range<usize>),
    /// An array that cannot be split: what is wrong, and where.
    Broken(Range<usize>, String, usize),
}

impl Part {
    fn range(&self) -> Range<usize> {
        let (Part::Whole(range) | Part::Element(range) | Part::Broken(range, ..)) = self;
        range.clone()
    }
}

impl Pieces {
    /// Whether it is an array or NDJSON, so that the answer is an array.
    pub fn is_batch(&self) -> bool {
        self.batch
    }

    /// How many bytes of the body are left to be read, about.
    pub fn left(&self) -> usize {
        let rest = self.parts.as_slice();
        let ends = rest.first().zip(rest.last());
        ends.map_or(0, |(first, last)| last.range().end.saturating_sub(first.range().start))
    }

    /// The next elements: at least one, and as many as there are in about `bytes` of the body. Nothing at its end.
    pub fn next(
        &mut self,
        source: &Source,
        ctx: &Context<'_>,
        bytes: usize,
    ) -> Option<Vec<Result<Incoming, InputError>>> {
        let mut elements = Vec::new();
        let mut taken = 0_usize;
        while taken < bytes {
            let Some(part) = self.parts.next() else { break };
            let range = part.range();
            taken = taken.saturating_add(range.len().max(PART_BYTES_MIN));
            self.at = self.at.after(self.body.get(self.at.byte..range.start).unwrap_or_default());
            let reader = Reader { source, ctx, body: &self.body, known: self.at };
            match part {
                Part::Whole(range) => reader.element(range, None, &mut self.values, &mut elements),
                Part::Element(range) => {
                    reader.element(range, Some(self.n), &mut self.values, &mut elements);
                    self.n += 1;
                }
                Part::Broken(range, message, byte) => elements.push(reader.broken(range, message, byte)),
            }
        }
        (!elements.is_empty()).then_some(elements)
    }
}

/// What an element counts for at least, however short it is, in bytes: reading it takes room of its own.
const PART_BYTES_MIN: usize = 512;

fn within(bytes: usize, limit: usize) -> Result<(), BodyError> {
    if bytes > limit { Err(BodyError::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// What the body is declared to be.
enum Form {
    Json,
    Lines,
}

impl Form {
    fn declared(content_type: Option<&str>, source: &Source) -> Result<Form, BodyError> {
        let Some(declared) = content_type else { return Ok(Form::Json) };
        let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson" | "application/ndjson" => Ok(Form::Lines),
            "" | "application/json" | "text/json" => Ok(Form::Json),
            other if other.starts_with("application/") && other.ends_with("+json") => Ok(Form::Json),
            other if source.shape.accepts(other) => Ok(Form::Json),
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
    /// A place in the body before all that is asked for.
    known: Position,
}

/// Why an element is no event as it stands.
struct Refused {
    error: InputError,
    /// Whether it is at least sound JSON.
    json: bool,
    /// Whether it could be read, and only nothing fitted it.
    unmapped: bool,
}

impl From<Unfit> for Refused {
    fn from(unfit: Unfit) -> Refused {
        let unmapped = matches!(unfit, Unfit::Unmapped(_));
        let problems = match unfit {
            Unfit::Invalid(problems) => problems,
            Unfit::Unreadable(message) | Unfit::Unmapped(message) => vec![Problem { path: String::new(), message }],
        };
        Refused { error: InputError::invalid(problems), json: true, unmapped }
    }
}

/// Where in a request an event stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its element in a batch.
    n: Option<usize>,
    /// Its part of an element that holds several events.
    part: Option<usize>,
}

/// The code of a sound body that nothing in the source's file fits.
const UNMAPPED: &str = "no_mapping";

/// Says in an event that its body was repaired.
fn with_repair(mut draft: Draft, what: &str) -> Draft {
    draft.warnings.push(format!("the body is not valid JSON and was repaired: {what}"));
    if draft.data.is_null() {
        draft.data = json!({});
    }
    if let Value::Object(data) = &mut draft.data {
        data.insert("repaired".to_owned(), what.into());
    }
    draft
}

impl Reader<'_> {
    fn place_of(&self, byte: usize) -> Position {
        self.known.after(self.body.get(self.known.byte..byte.min(self.body.len())).unwrap_or_default())
    }

    fn lines(&self, whole: Range<usize>) -> Result<Vec<Part>, BodyError> {
        let limit = self.ctx.limits.batch_events;
        let mut parts = Vec::new();
        let mut start = whole.start;
        for line in self.body[whole].split_inclusive(|byte| *byte == b'\n') {
            let part = trimmed_part(self.body, start..start + line.len());
            start += line.len();
            if part.is_empty() {
                continue;
            }
            if parts.len() >= limit {
                return Err(BodyError::TooManyEvents { limit });
            }
            parts.push(Part::Element(part));
        }
        if parts.is_empty() { Err(BodyError::Empty) } else { Ok(parts) }
    }

    /// The elements of an array, and whether it is a batch: a vendor's that cannot be split is kept as one event, if it is
    /// not larger than one may be.
    fn array(&self, whole: Range<usize>) -> Result<(Vec<Part>, bool), BodyError> {
        let limit = self.ctx.limits.batch_events;
        let parts = match std::str::from_utf8(&self.body[whole.clone()]) {
            Ok(text) => match json::split(text, limit) {
                Ok(parts) => Ok(ranges(text, &parts, whole.start)),
                Err(Split::TooMany) => return Err(BodyError::TooManyEvents { limit }),
                Err(Split::Syntax(message, byte)) => Err((message, byte)),
            },
            Err(error) => Err((NOT_UTF8.to_owned(), error.valid_up_to())),
        };
        match parts {
            Ok(parts) if parts.is_empty() => Err(BodyError::Empty),
            Ok(parts) => Ok((parts.into_iter().map(Part::Element).collect(), true)),
            Err((message, byte)) if self.source.shape.lenient() && whole.len() <= self.ctx.limits.event_bytes => {
                Ok((vec![Part::Broken(whole, message, byte)], false))
            }
            Err((message, byte)) => Err(BodyError::Syntax { message, at: self.place_of(whole.start + byte) }),
        }
    }

    fn broken(&self, whole: Range<usize>, message: String, byte: usize) -> Result<Incoming, InputError> {
        let at = self.place_of(whole.start + byte);
        let refused = Refused { error: InputError::Syntax { message, at }, json: false, unmapped: false };
        self.unreadable(whole, None, refused)
    }

    /// Reads one element; `n` is its place in a batch, `values` how many values may still be read.
    fn element(
        &self,
        part: Range<usize>,
        n: Option<usize>,
        values: &mut usize,
        out: &mut Vec<Result<Incoming, InputError>>,
    ) {
        let limit = self.ctx.limits.event_bytes;
        if part.len() > limit {
            return out.push(Err(InputError::TooLarge { bytes: part.len(), limit }));
        }
        let (drafts, repaired) = match self.drafts(part.clone(), values) {
            Ok(read) => read,
            Err(refused) => return out.push(self.refused(part, n, refused)),
        };
        let raw = self.body.slice(part.clone());
        let kept = if repaired.is_some() { Raw::Bytes(raw.clone()) } else { Raw::Json(raw.clone()) };
        let take = |draft: Draft, place: Place| {
            let draft = match &repaired {
                Some(what) => with_repair(draft, what),
                None => draft,
            };
            let event = self.complete(draft, &raw, place)?;
            Ok(Incoming { event: Arc::new(event), raw: kept.clone() })
        };
        match drafts {
            Drafts::One(draft) => out.push(take(draft, Place { n, part: None })),
            Drafts::Many(drafts) => {
                let alone = drafts.len() == 1;
                for (i, draft) in drafts.into_iter().enumerate() {
                    let place = Place { n, part: (!alone).then_some(i) };
                    out.push(match draft {
                        Ok(draft) => take(draft, place),
                        Err(unfit) => self.refused(part.clone(), n, unfit.into()),
                    });
                }
            }
        }
    }

    /// What is no event as it stands: a vendor's is kept, ours is refused.
    fn refused(&self, part: Range<usize>, n: Option<usize>, refused: Refused) -> Result<Incoming, InputError> {
        if self.source.shape.lenient() { self.unreadable(part, n, refused) } else { Err(refused.error) }
    }

    /// The drafts of one element, and what had to be repaired to read it.
    fn drafts(&self, part: Range<usize>, values: &mut usize) -> Result<(Drafts, Option<String>), Refused> {
        let (value, repaired) = match self.parse(part.clone(), values) {
            Ok(value) => (value, None),
            Err(refused) => self.parse_repaired(part.clone(), values).ok_or(refused)?,
        };
        let Value::Object(fields) = value else {
            let at = self.place_of(part.start);
            return Err(Refused {
                error: InputError::NotAnObject { found: found(&value), at },
                json: false,
                unmapped: false,
            });
        };
        let help = Help {
            words: self.ctx.words,
            zone: &self.source.timezone,
            now: self.ctx.now,
            headers: self.ctx.headers,
            events_max: self.ctx.limits.batch_events,
        };
        Ok((self.source.shape.normalise(fields, &help)?, repaired))
    }

    /// One element as strict JSON.
    fn parse(&self, part: Range<usize>, values: &mut usize) -> Result<Value, Refused> {
        let broken = |error| Refused { error, json: false, unmapped: false };
        let at = |byte| self.place_of(part.start + byte);
        let text = std::str::from_utf8(&self.body[part.clone()]).map_err(|error| {
            broken(InputError::Syntax { message: NOT_UTF8.to_owned(), at: at(error.valid_up_to()) })
        })?;
        let bounds = self.bounds(values);
        match json::parse(text, bounds) {
            Ok((value, used)) => {
                *values -= used;
                Ok(value)
            }
            Err((fault, byte)) => {
                if fault == Fault::TooManyValues {
                    *values -= bounds.values;
                }
                Err(broken(faulty(fault, at(byte), bounds)))
            }
        }
    }

    fn bounds(&self, values: &usize) -> Bounds {
        Bounds { depth: self.ctx.limits.depth, values: self.ctx.limits.event_values.min(*values) }
    }

    /// A vendor's element that is nearly JSON, with what was repaired.
    fn parse_repaired(&self, part: Range<usize>, values: &mut usize) -> Option<(Value, Option<String>)> {
        if !self.source.shape.lenient() {
            return None;
        }
        let (text, words) = repair(&self.body[part])?;
        let (value, used) = json::parse(&text, self.bounds(values)).ok()?;
        *values -= used;
        Some((value, Some(words)))
    }

    /// What cannot be read is kept, as an event that says why.
    fn unreadable(&self, part: Range<usize>, n: Option<usize>, refused: Refused) -> Result<Incoming, InputError> {
        let error = refused.error;
        let code = if refused.unmapped { UNMAPPED } else { error.code() };
        let mut data = json!({"code": code, "reason": error.to_string()});
        if let Some(at) = error.position() {
            data["line"] = at.line.into();
            data["column"] = at.column.into();
        }
        let kind = format!("{}.unreadable", self.source.name);
        let warnings = vec![format!("kept as `{kind}`: {error}")];
        let sent = self.body.slice(part);
        let place = Place { n, part: None };
        let event = self.complete(Draft { kind, data, warnings, ..Draft::default() }, &sent, place)?;
        let raw = match (refused.json, n) {
            (true, _) => Raw::Json(sent),
            (false, Some(_)) => Raw::Bytes(sent),
            // Of what is not even JSON, white space may matter.
            (false, None) => Raw::Bytes(self.body.clone()),
        };
        Ok(Incoming { event: Arc::new(event), raw })
    }

    /// Adds what is the same for all sources.
    fn complete(&self, mut draft: Draft, raw: &[u8], place: Place) -> Result<Event, InputError> {
        let shape = &self.source.shape;
        let tenant = tenant(self.source, self.ctx, draft.tenant.take(), &mut draft.warnings)
            .map_err(|problem| InputError::invalid(vec![problem]))?;
        if shape.prefixes_ids()
            && let Some(subject) = draft.subject.as_mut()
        {
            id::prefix(&self.source.name, subject);
        }
        let key = match (self.ctx.header_key, place.n) {
            (Some(key), Some(n)) => Some(format!("{key}/{n}")),
            (Some(key), None) => Some(key.to_owned()),
            (None, _) => draft.own_id.clone(),
        };
        let key = match place.part {
            Some(i) => key.map(|key| format!("{key}/{i}")),
            None => key,
        };
        let replay = self.replay(key, place, Digest::of(raw));
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
            replay,
            chain: Vec::new(),
            warnings: short_list(draft.warnings),
            first_sight_creates: shape.first_sight_creates(),
        })
    }

    /// What makes a repeat recognisable: the key that was given, and what the signature covers.
    fn replay(&self, key: Option<String>, place: Place, body: Digest) -> Option<ReplayKey> {
        let signed = self.ctx.signed_key.map(|signed| {
            let mut text = signed.text.to_owned();
            for n in place.n.into_iter().chain(place.part) {
                text.push_str(&format!("/{n}"));
            }
            (text, signed.seconds)
        });
        match (key, signed) {
            (None, None) => None,
            (None, Some((key, seconds))) => Some(ReplayKey { key, seconds, signed: None, body }),
            (Some(key), signed) => {
                let signed = signed.filter(|(signed, _)| *signed != key).map(Box::new);
                Some(ReplayKey { signed, ..ReplayKey::new(key, body) })
            }
        }
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
