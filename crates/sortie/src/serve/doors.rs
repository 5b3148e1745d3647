//! The sources of the configuration, with their secrets in place.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderName;
use engine::outbound::{Redactor, Secrets};
use engine::source::file::Mapped;
use playbook::{Diagnostic, Evaluator, Severity};

use crate::auth::sender::{self, Sender};
use crate::config::sources::Secret;
use crate::config::{Config, SenderAuth, Source, codes};
use crate::http::Door;
use crate::source_file;

/// The doors that senders come in by.
///
/// # Errors
/// Everything that is wrong: missing and empty secrets, unknown sources, impossible header names.
pub(super) fn open(
    config: &Config,
    secrets: &Secrets,
    evaluator: &Evaluator,
) -> Result<BTreeMap<String, Door>, Vec<Diagnostic>> {
    let mut doors = BTreeMap::new();
    let mut found = Vec::new();
    let mut opener = Opener { config, secrets, evaluator, found: &mut found };
    for source in &config.sources {
        if let Some(door) = opener.door(source) {
            doors.insert(source.name.clone(), door);
        }
    }
    if found.is_empty() { Ok(doors) } else { Err(found) }
}

struct Opener<'a> {
    config: &'a Config,
    secrets: &'a Secrets,
    evaluator: &'a Evaluator,
    found: &'a mut Vec<Diagnostic>,
}

impl Opener<'_> {
    fn door(&mut self, source: &Source) -> Option<Door> {
        let sender = self.sender(source);
        let whole: Arc<str> =
            self.config.file.as_ref().map_or_else(String::new, |file| file.display().to_string()).into();
        let file = match source_file::load(source, &whole, self.evaluator) {
            Ok(file) => file,
            Err(found) => {
                self.found.extend(found);
                return None;
            }
        };
        self.tenants(source);
        let timezone = source.timezone.clone().or_else(|| file.timezone.clone()).unwrap_or_else(|| "UTC".to_owned());
        let shape = Arc::new(Mapped::new(file, self.evaluator.clone()));
        Some(Door {
            source: engine::source::Source {
                name: source.name.clone(),
                timezone,
                shape,
                tenants: source.tenants.clone(),
            },
            sender: sender?,
            allow: source.allow.clone(),
            tenant: source.tenant.clone(),
            unreadable: Arc::default(),
            heard: Arc::default(),
        })
    }

    /// The tenants that a source names must be tenants.
    fn tenants(&mut self, source: &Source) {
        let named = source.tenant.iter().chain(source.tenants.iter().flat_map(|all| all.values().flatten()));
        let unknown: Vec<&String> = named.filter(|name| !self.config.tenants.contains(name)).collect();
        for name in unknown {
            let message =
                format!("the source `{}` names the tenant `{name}`, which is not one of `tenants`", source.name);
            self.wrong(codes::WORDS, source.span, message, "add it to `tenants: [ … ]`, or correct the name");
        }
    }

    fn sender(&mut self, source: &Source) -> Option<Sender> {
        Some(match &source.auth {
            SenderAuth::None => Sender::Anyone,
            SenderAuth::Bearer { tokens } => Sender::Bearer(self.secrets(tokens)?),
            SenderAuth::Basic { user, passwords } => {
                Sender::Basic { user: user.clone(), password: self.secrets(passwords)? }
            }
            SenderAuth::Header { name, values } => {
                let (name, value) = (self.header(name, source), self.secrets(values));
                Sender::Header { name: name?, value: value? }
            }
            SenderAuth::Hmac { header, scheme, secrets, timestamp, key, replay } => {
                let (name, timestamp) = (self.header(header, source), self.header(timestamp, source));
                let secrets = self.secrets(secrets);
                let key = key.map(HeaderName::from_static);
                let (scheme, replay_seconds) = (scheme.clone(), replay.as_secs());
                Sender::Hmac { name: name?, scheme, secrets: secrets?, timestamp: timestamp?, key, replay_seconds }
            }
            SenderAuth::PathToken { tokens } => Sender::PathToken(self.secrets(tokens)?),
            SenderAuth::StandardWebhooks { secrets } => Sender::StandardWebhooks(self.secrets(secrets)?),
        })
    }

    fn header(&mut self, name: &str, source: &Source) -> Option<HeaderName> {
        let read = name.parse().ok();
        if read.is_none() {
            let message = format!("`{name}` cannot be the name of a header");
            self.wrong(codes::UNREADABLE_VALUE, source.span, message, "use letters, digits and `-`");
        }
        read
    }

    fn secrets(&mut self, all: &[Secret]) -> Option<sender::Secrets> {
        let mut values = Vec::new();
        for secret in all {
            match secret.text.resolve(self.secrets, &mut Redactor::default()) {
                Ok(value) => values.push(value),
                Err(error) => self.wrong(codes::NO_SECRET, secret.span, error.to_string(), NO_SECRET_HELP),
            }
        }
        if values.len() < all.len() {
            return None;
        }
        let Ok(secrets) = sender::Secrets::new(values) else {
            let span = all.first().map(|secret| secret.span).unwrap_or_default();
            self.wrong(codes::NO_SECRET, span, "a secret is empty".to_owned(), NO_SECRET_HELP);
            return None;
        };
        Some(secrets)
    }

    fn wrong(&mut self, code: &'static str, span: playbook::Span, message: String, help: &str) {
        let file = self.config.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        // The line is read again only to be shown.
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let excerpt = text.lines().nth((span.line as usize).saturating_sub(1)).unwrap_or_default().to_owned();
        let file: Arc<str> = file.into();
        let help = Some(help.to_owned());
        self.found.push(Diagnostic { code, severity: Severity::Error, message, file, span, excerpt, help });
    }
}

const NO_SECRET_HELP: &str = "the server does not start without it: an open door would be worse";
