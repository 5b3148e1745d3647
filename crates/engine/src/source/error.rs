//! Why a body, or one event in it, is refused.
//!
//! Invariants: every refusal has a fixed code and says where; messages are short whatever was sent, hold no control
//! characters, and quote no more of the body than the names of its keys.

use std::fmt;

use model::record::Problem;
use serde_json::Value;

use super::json::{Bounds, Fault};

/// Most characters of one message about what somebody sent.
const MESSAGE_CHARS_MAX: usize = 300;
/// Most problems or warnings that are listed for one event.
pub(super) const NOTES_MAX: usize = 50;

/// A place in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The byte in the body, from 0.
    pub byte: usize,
}

impl Position {
    /// The beginning of a body.
    pub(super) const START: Position = Position { line: 1, column: 1, byte: 0 };

    /// The place after some more of the body. Asked from the last place that is known: a batch in which every element is
    /// broken is not looked through from its beginning for each of them.
    pub(super) fn after(self, more: &[u8]) -> Position {
        // Every byte but those that continue a character.
        let chars = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        let byte = self.byte + more.len();
        match more.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => {
                let lines = more.iter().filter(|byte| **byte == b'\n').count();
                Position { line: self.line + lines, column: 1 + chars(&more[last + 1..]), byte }
            }
            None => Position { column: self.column + chars(more), byte, ..self },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why one event is refused. An answer of 400 to a single event; in a batch the others stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It is not JSON in UTF-8.
    #[error("the body is not valid JSON at {at}: {message}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Where.
        at: Position,
    },
    /// It is JSON, but not an object.
    #[error("an event must be a JSON object, not {found}, at {at}")]
    NotAnObject {
        /// What it is, with an article.
        found: &'static str,
        /// Where.
        at: Position,
    },
    /// The same key stands twice in one object, so that readers could disagree about its value.
    #[error("the key `{path}` stands twice, the second time at {at}")]
    DuplicateKey {
        /// Which.
        path: String,
        /// Where the second one stands.
        at: Position,
    },
    /// A key that our JSON reader takes as its own.
    #[error("the key `{path}` at {at} is reserved")]
    ReservedKey {
        /// Which.
        path: String,
        /// Where.
        at: Position,
    },
    /// Arrays and objects are nested too deeply.
    #[error("the body is nested deeper than {limit} levels at {at}")]
    TooDeep {
        /// The limit, in levels.
        limit: usize,
        /// Where the first level too many starts.
        at: Position,
    },
    /// It holds too many values.
    #[error("the event, or the batch up to it, holds more than {limit} values")]
    TooManyValues {
        /// The limit that was met, in values.
        limit: usize,
    },
    /// It is too large.
    #[error("the event has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// Its size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// It is a JSON object that is not an event of this source.
    #[error("{}", listed(problems))]
    Invalid {
        /// What is wrong; at least one.
        problems: Vec<Problem>,
    },
}

impl InputError {
    /// The fixed name of this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            InputError::Syntax { .. } => "invalid_json",
            InputError::NotAnObject { .. } => "not_an_object",
            InputError::DuplicateKey { .. } => "duplicate_key",
            InputError::ReservedKey { .. } => "reserved_key",
            InputError::TooDeep { .. } => "too_deep",
            InputError::TooManyValues { .. } => "too_many_values",
            InputError::TooLarge { .. } => "too_large",
            InputError::Invalid { .. } => "invalid_event",
        }
    }

    /// Where in the body, if it is one place.
    pub const fn position(&self) -> Option<Position> {
        match self {
            InputError::Syntax { at, .. }
            | InputError::NotAnObject { at, .. }
            | InputError::DuplicateKey { at, .. }
            | InputError::ReservedKey { at, .. }
            | InputError::TooDeep { at, .. } => Some(*at),
            InputError::TooManyValues { .. } | InputError::TooLarge { .. } | InputError::Invalid { .. } => None,
        }
    }

    /// The path of the first thing that is wrong, such as `alert.risk_score`.
    pub fn path(&self) -> Option<&str> {
        match self {
            InputError::DuplicateKey { path, .. } | InputError::ReservedKey { path, .. } => Some(path),
            InputError::Invalid { problems } => problems.first().map(|problem| problem.path.as_str()),
            _ => None,
        }
    }

    /// Everything that is wrong with the fields; empty when the body could not be read that far.
    pub fn problems(&self) -> &[Problem] {
        match self {
            InputError::Invalid { problems } => problems,
            _ => &[],
        }
    }

    /// [`InputError::Invalid`] with messages and their number cut to what an answer may hold.
    pub(super) fn invalid(mut problems: Vec<Problem>) -> InputError {
        problems.truncate(NOTES_MAX);
        for problem in &mut problems {
            problem.path = short(&problem.path);
            problem.message = short(&problem.message);
        }
        InputError::Invalid { problems }
    }
}

fn listed(problems: &[Problem]) -> String {
    let said = |problem: &Problem| match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("`{path}`: {}", problem.message),
    };
    problems.iter().map(said).collect::<Vec<_>>().join("; ")
}

/// Why a whole body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is too large: 413.
    #[error("the body has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// Its size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// It holds too many events: 413.
    #[error("the batch holds more than {limit} events")]
    TooManyEvents {
        /// The limit, in events.
        limit: usize,
    },
    /// It starts as an array and is not one: 400.
    #[error("the array is not valid JSON at {at}: {message}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Where.
        at: Position,
    },
    /// It holds no event at all: 400.
    #[error("the body holds no event")]
    Empty,
    /// It is declared as something that is not read here: 415.
    #[error("events are sent as `application/json` or `application/x-ndjson`, not as `{declared}`")]
    MediaType {
        /// What the header says.
        declared: String,
    },
    /// The `Idempotency-Key` or `webhook-id` cannot be used: 400.
    #[error("the key of the event must have 1 to {limit} bytes and no control characters")]
    Key {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl BodyError {
    /// The fixed name of this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            BodyError::TooLarge { .. } => "too_large",
            BodyError::TooManyEvents { .. } => "too_many_events",
            BodyError::Syntax { .. } => "invalid_json",
            BodyError::Empty => "empty_body",
            BodyError::MediaType { .. } => "unsupported_media_type",
            BodyError::Key { .. } => "invalid_key",
        }
    }

    /// Where in the body, if it is one place.
    pub const fn position(&self) -> Option<Position> {
        match self {
            BodyError::Syntax { at, .. } => Some(*at),
            _ => None,
        }
    }
}

/// What somebody sent, cut to what a message may hold and without control characters.
pub(super) fn short(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut cut: String = chars.by_ref().take(MESSAGE_CHARS_MAX).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

/// The warnings of one event, cut in length and number.
pub(super) fn short_list(mut warnings: Vec<String>) -> Vec<String> {
    let more = warnings.len().saturating_sub(NOTES_MAX);
    warnings.truncate(NOTES_MAX);
    for warning in &mut warnings {
        if warning.len() > MESSAGE_CHARS_MAX || warning.chars().any(char::is_control) {
            *warning = short(warning);
        }
    }
    if more > 0 {
        warnings.push(format!("and {more} more"));
    }
    warnings
}

/// A fault of the JSON reader, at its place in the body.
pub(super) fn faulty(fault: Fault, at: Position, bounds: Bounds) -> InputError {
    match fault {
        Fault::Syntax(message) => InputError::Syntax { message, at },
        Fault::DuplicateKey(path) => InputError::DuplicateKey { path, at },
        Fault::ReservedKey(path) => InputError::ReservedKey { path, at },
        Fault::TooDeep => InputError::TooDeep { limit: bounds.depth, at },
        Fault::TooManyValues => InputError::TooManyValues { limit: bounds.values },
    }
}

/// What a value is, for people.
pub(super) fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
