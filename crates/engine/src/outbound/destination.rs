//! Destinations: named places that receive webhooks, read from `destinations.yaml` or made through the API.
//!
//! Invariants: a [`Destination`] that was read has a URL that passed the policy, and secrets only as references. What is
//! wrong with the file is said all at once, with places.

mod chat;
mod codes;
mod credentials;
mod read;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use playbook::{Diagnostic, Retry};
use reqwest::header::HeaderName;

pub use self::codes::{codes, explain_code};
pub use self::read::{Rules, destination, read, retry};
use super::secret::Placed;
use super::sign::Scheme;
use super::target::Target;

/// How times are written in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// RFC 3339 UTC text.
    #[default]
    Rfc3339,
    /// A number of microseconds since 1970.
    EpochMicros,
}

/// What speaks there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// A program that takes JSON.
    #[default]
    Webhook,
    /// A channel or chat of Microsoft Teams, by a workflow: takes Adaptive Cards. Its URL is a credential.
    Teams,
    /// A channel of Slack, or of what takes the same messages. Its URL is a credential.
    Slack,
}

impl Manner {
    /// Its name in files and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Manner::Webhook => "webhook",
            Manner::Teams => "teams",
            Manner::Slack => "slack",
        }
    }
}

/// Where a destination stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Home {
    /// In `destinations.yaml`: what it is can be changed there only.
    #[default]
    File,
    /// It was made through the API or the command line.
    Made,
}

impl Home {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Home::File => "file",
            Home::Made => "api",
        }
    }
}

/// How many requests a destination takes in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub requests: u32,
    /// In which time.
    pub per: Duration,
}

/// When a destination that keeps failing is left in peace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// After so many failures in a row.
    pub failures: u32,
    /// For so long at first; twice as long after each probe that fails, up to [`gate::PAUSE_MAX`](super::gate::PAUSE_MAX).
    pub pause: Duration,
}

impl Breaker {
    /// What holds when nothing is said: well above the four calls of one delivery, so that a single delivery always gets
    /// all of its tries.
    pub const USUAL: Breaker = Breaker { failures: 20, pause: Duration::from_secs(30) };
}

/// A login that yields a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Where it is asked for.
    pub url: Target,
    /// How it is asked for.
    pub grant: Grant,
    /// The key of the answer under which the token stands.
    pub token_field: String,
    /// The header that carries the token.
    pub header: HeaderName,
    /// What stands before it there.
    pub prefix: String,
}

/// How a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// With `{"username", "password"}` as JSON.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Placed,
    },
    /// As OAuth 2.0 client credentials (RFC 6749, 4.4), as a form.
    Client {
        /// The client's id.
        id: String,
        /// The client's secret.
        secret: Placed,
        /// What the token should be good for.
        scope: Option<String>,
        /// For whom the token should be, where the issuer wants to know.
        audience: Option<String>,
        /// Whether id and secret stand in the body instead of HTTP basic authentication.
        in_body: bool,
    },
}

/// How a receiver knows us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// It does not.
    #[default]
    None,
    /// By a header.
    Header {
        /// Its name.
        name: HeaderName,
        /// Its value.
        value: Placed,
    },
    /// By a user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Placed,
    },
    /// By a bearer token.
    Bearer(Placed),
    /// By a token that is asked for first, kept while it is good, and asked for again when it is refused.
    Login(Box<Login>),
}

/// How a body is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// As Standard Webhooks say; the first secret signs.
    Standard(Vec<Placed>),
    /// By an HMAC in a header; the first secret signs.
    Hmac {
        /// The header.
        header: HeaderName,
        /// How.
        scheme: Scheme,
        /// With what.
        secrets: Vec<Placed>,
    },
}

/// One destination.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its id.
    pub id: String,
    /// What speaks there.
    pub manner: Manner,
    /// Where it is.
    pub target: Target,
    /// How it knows us.
    pub auth: Auth,
    /// How bodies are signed.
    pub sign: Option<Sign>,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// The lowest priority that is sent, as a rank from 0 (`low`).
    pub min_severity: Option<usize>,
    /// What may be sent: `alert`, `case`, `host`, `account`, `user`, `ip`, `event`; nothing means all.
    pub kinds: Option<Vec<String>>,
    /// Whose; nothing means all.
    pub tenants: Option<Vec<String>>,
    /// How long it hears nothing more about the same object.
    pub dedupe: Option<Duration>,
    /// How often a delivery is tried again.
    pub retry: Option<Retry>,
    /// Whether it is tried again after every answer but 2xx, not only after those that may pass.
    pub retry_any: bool,
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// How times are written.
    pub time_format: TimeFormat,
    /// How many requests it takes in a time; nothing means as many as there are.
    pub rate: Option<Rate>,
    /// How many requests may be in flight to it.
    pub concurrency: usize,
    /// Whether deliveries go one at a time, in the order of their runs.
    pub ordered: bool,
    /// When it is left in peace; nothing means never.
    pub breaker: Option<Breaker>,
    /// Where it stands.
    pub home: Home,
}

impl Destination {
    /// A destination with nothing special about it.
    pub fn new(id: &str, target: Target) -> Destination {
        Destination {
            id: id.to_owned(),
            manner: Manner::Webhook,
            target,
            auth: Auth::None,
            sign: None,
            enabled: true,
            min_severity: None,
            kinds: None,
            tenants: None,
            dedupe: None,
            retry: None,
            retry_any: false,
            timeout: None,
            time_format: TimeFormat::Rfc3339,
            rate: None,
            concurrency: super::IN_FLIGHT_PER_KEY_MAX,
            ordered: false,
            breaker: Some(Breaker::USUAL),
            home: Home::File,
        }
    }

    /// Whether a message to it carries a secret of ours: to change where it goes is to send the secret elsewhere.
    pub fn holds_secret(&self) -> bool {
        self.auth != Auth::None || self.sign.is_some()
    }
}

/// All destinations, and the event sets that stand in the same file.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    /// By id.
    pub map: BTreeMap<String, Arc<Destination>>,
    /// Named lists of event types.
    pub event_sets: BTreeMap<String, Vec<String>>,
    /// What a person should look at in the file.
    pub warnings: Vec<Diagnostic>,
}
