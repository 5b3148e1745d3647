//! Destinations: named places that receive webhooks, read from `destinations.yaml`.
//!
//! Invariants: a [`Destination`] that was read has a URL that passed the policy, and secrets only as references. What is
//! wrong with the file is said all at once, with places.

mod codes;
mod credentials;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use playbook::{Diagnostic, Retry};
use reqwest::header::HeaderName;

pub use self::codes::{codes, explain_code};
pub use self::read::{destination, read};
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
}

/// How a body is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// As Standard Webhooks say; every secret signs.
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
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// How times are written.
    pub time_format: TimeFormat,
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
