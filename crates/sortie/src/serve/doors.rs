//! The sources of the configuration, with their secrets in place.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderName;
use engine::outbound::{Redactor, Secrets};
use playbook::{Diagnostic, Severity};

use crate::auth::sender::{self, Sender};
use crate::config::sources::Secret;
use crate::config::{Config, SenderAuth, Source, codes};
use crate::http::Door;

/// The doors that senders come in by.
///
/// # Errors
/// Everything that is wrong: missing and empty secrets, unknown sources, impossible header names.
pub(super) fn open(config: &Config, secrets: &Secrets) -> Result<BTreeMap<String, Door>, Vec<Diagnostic>> {
    let mut doors = BTreeMap::new();
    let mut found = Vec::new();
    let mut opener = Opener { config, secrets, found: &mut found };
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
    found: &'a mut Vec<Diagnostic>,
}

impl Opener<'_> {
    fn door(&mut self, source: &Source) -> Option<Door> {
        let sender = self.sender(source);
        if source.file.is_some() {
            let help = "use one of the shipped sources, or send the normalised shape to `generic`";
            self.wrong(
                codes::LATER,
                source.span,
                format!("a file for the source `{}` is not built yet", source.name),
                help,
            );
            return None;
        }
        let Some(shape) = engine::source::shape(&source.name) else {
            let names: Vec<&str> = engine::source::shapes().iter().map(|shape| shape.name()).collect();
            let help = format!("the sources are {}", names.join(", "));
            self.wrong(codes::UNKNOWN_SOURCE, source.span, format!("there is no source `{}`", source.name), &help);
            return None;
        };
        let timezone = source.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
        Some(Door {
            source: engine::source::Source { name: source.name.clone(), timezone, shape },
            sender: sender?,
            tenant: None,
        })
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
            SenderAuth::Hmac { header, scheme, secrets } => {
                let (name, secrets) = (self.header(header, source), self.secrets(secrets));
                Sender::Hmac { name: name?, scheme: scheme.clone(), secrets: secrets? }
            }
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
