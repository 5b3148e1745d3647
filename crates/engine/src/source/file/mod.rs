//! A source as a file of data: how a product's body becomes events, with samples that are its tests.
//!
//! The walk: [`read`] checks the text and compiles its expressions → [`SourceFile`] → a [`Mapped`] shape reads bodies by
//! it (`map`), and `samples` runs its own samples through the very same way.
//!
//! Invariants: a file can read what the sender sent and nothing else; what its expressions may use is one budget for each
//! body; a value that does not fit is left out with a warning, and never loses the event.

mod codes;
mod coerce;
mod describe;
mod map;
mod read;
mod samples;
mod shipped;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::Kind;
use model::record::Field;
use playbook::{Condition, Diagnostic, Evaluator, Expression, Span, Template};
use serde_json::{Map, Value};

use super::{Drafts, Help, Shape, Unfit};

pub use codes::{NAME, UNREADABLE, codes, explain_code};
pub use describe::{page, table};
pub use read::{looks_like_one, read};
pub use samples::{NORMAL, Ran, filled, normal, run as run_samples};
pub use shipped::{names, shipped, text};

/// What a file of a source says.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its name, as in `/v1/in/NAME`.
    pub name: String,
    /// The product, for people.
    pub title: String,
    /// What it takes, in a sentence or two.
    pub about: String,
    /// What to set up in the product, in a sentence or two.
    pub setup: String,
    /// The `auth:` that fits it, as it is written in `sortie.yaml`.
    pub auth: Option<String>,
    /// Who makes the product: the `vendors` of its alerts.
    pub vendor: Option<String>,
    /// The product: the `products` of its alerts.
    pub product: Option<String>,
    /// Where its vendor describes what it sends.
    pub docs: Option<String>,
    /// Whether the ids of its objects are used as they are, without the source's name in front.
    pub own_ids: bool,
    /// Whether the first sight of an object is `created`.
    pub first_sight_creates: bool,
    /// The zone of times without an offset, where the configuration does not say.
    pub timezone: Option<String>,
    /// The headers that expressions may read, in small letters.
    pub headers: Vec<String>,
    /// The media types that its product sends beside JSON.
    pub accepts: Vec<String>,
    /// How its sender asks whether the address is meant for it.
    pub handshake: Option<Handshake>,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// What a person should look at.
    pub warnings: Vec<Diagnostic>,
    reads: Reads,
}

/// A question that a sender asks before it sends events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// `OPTIONS` with `WebHook-Request-Origin` (the webhook specification of CloudEvents).
    CloudEvents,
    /// `?validationToken=…`, which is sent back as text (Microsoft Graph).
    ValidationToken,
    /// A body of type `url_verification` whose `challenge` is sent back (Slack).
    UrlVerification,
    /// A body of type `SubscriptionConfirmation` whose `SubscribeURL` is visited (AWS SNS).
    SubscribeUrl,
}

impl Handshake {
    /// All of them with their names.
    pub const ALL: [(&'static str, Handshake); 4] = [
        ("cloudevents", Handshake::CloudEvents),
        ("validation_token", Handshake::ValidationToken),
        ("url_verification", Handshake::UrlVerification),
        ("subscribe_url", Handshake::SubscribeUrl),
    ];
}

/// How bodies become events.
#[derive(Debug, Clone)]
enum Reads {
    /// By a mapping in code: the two on the hot path.
    Native(&'static dyn super::Shape),
    /// By expressions.
    Rules(Rules),
}

/// A mapping by expressions.
#[derive(Debug, Clone, Default)]
struct Rules {
    /// Where the message lies inside what was sent; each that is there is followed, in order.
    unwrap: Vec<String>,
    /// Where a list lies of which each item is an event; the first that is there.
    each: Vec<String>,
    /// Named values, in their order.
    lets: Vec<(String, Expression)>,
    /// The first that fits makes the event.
    events: Vec<Rule>,
}

/// What one kind of body becomes.
#[derive(Debug, Clone)]
struct Rule {
    when: Option<Condition>,
    kind: Template,
    id: Option<Expression>,
    time: Option<Expression>,
    tenant: Option<Expression>,
    from: Option<Expression>,
    about: Option<About>,
    /// The fields of a detection that arrives on its own.
    detection: Option<Vec<(&'static Field, Given)>>,
    data: Option<Given>,
}

/// The object that an event is about.
#[derive(Debug, Clone)]
struct About {
    kind: Kind,
    fields: Vec<(&'static Field, Given)>,
}

/// What a field is given.
#[derive(Debug, Clone)]
enum Given {
    Constant(Value),
    One(Expression),
    Map(Vec<(String, Given)>),
}

/// A body with what must come of it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What it shows.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// The headers that come with it.
    pub headers: Vec<(String, String)>,
    /// The body as it is sent.
    pub body: String,
    /// What each event must be, as far as it is said.
    pub expect: Vec<Value>,
}

/// Reads bodies by a file.
#[derive(Debug, Clone)]
pub struct Mapped {
    file: Arc<SourceFile>,
    evaluator: Evaluator,
}

impl Mapped {
    /// For a file.
    pub fn new(file: Arc<SourceFile>, evaluator: Evaluator) -> Mapped {
        Mapped { file, evaluator }
    }
}

impl Shape for Mapped {
    fn name(&self) -> &str {
        &self.file.name
    }

    fn prefixes_ids(&self) -> bool {
        match &self.file.reads {
            Reads::Native(shape) => shape.prefixes_ids() && !self.file.own_ids,
            Reads::Rules(_) => !self.file.own_ids,
        }
    }

    fn lenient(&self) -> bool {
        match &self.file.reads {
            Reads::Native(shape) => shape.lenient(),
            Reads::Rules(_) => true,
        }
    }

    fn first_sight_creates(&self) -> bool {
        match &self.file.reads {
            Reads::Native(shape) => shape.first_sight_creates(),
            Reads::Rules(_) => self.file.first_sight_creates,
        }
    }

    fn accepts(&self, media_type: &str) -> bool {
        self.file.accepts.iter().any(|known| known == media_type)
    }

    fn file(&self) -> Option<&SourceFile> {
        Some(&self.file)
    }

    fn normalise(&self, body: Map<String, Value>, help: &Help<'_>) -> Result<Drafts, Unfit> {
        match &self.file.reads {
            Reads::Native(shape) => shape.normalise(body, help),
            Reads::Rules(rules) => map::drafts(&self.file, rules, &self.evaluator, body, help),
        }
    }
}
