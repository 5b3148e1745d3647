//! E-mail over SMTP: the other way out, under the same policy.
//!
//! The walk of a message: the action says who gets what → [`Effects::mail`](super::Effects::mail) → `connect` resolves the server's
//! name, checks the address and connects to it → `session` logs in and hands the message over → each recipient has an
//! outcome of its own.
//!
//! Invariants: the server is the one that the operator named in `smtp:`; nothing that a playbook or an event says decides
//! where a connection goes. A password leaves over TLS only, or over loopback where the operator said so. What goes into a
//! header or into a command was checked to hold no line break. Every reply is read up to a bound and within one deadline.
//!
//! Written here and not taken from a library, because the address must be checked between resolution and connection, the
//! trust is that of the HTTP client, and every read has its bound; what remains is a few lines of RFC 5321.

mod address;
mod connect;
mod message;
mod session;

use std::sync::Arc;
use std::time::Duration;

use model::Time;
use playbook::Retry;

pub use self::address::{Mailbox, MailboxError};
pub use self::connect::Trust;
pub(super) use self::connect::send;
pub use self::message::LetterError;
use super::secret::{Placed, Redactor, SecretError, Secrets};
use super::{Origin, Sent};

/// Most recipients of one message, copies included.
pub const RECIPIENTS_MAX: usize = 50;
/// Longest subject, in characters.
pub const SUBJECT_CHARS_MAX: usize = 400;
/// Longest text, and longest HTML, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Connections to the mail server at the same time.
pub const CONNECTIONS_MAX: usize = 4;
/// How long one message may take when nothing else is said: mail servers may take their time before they answer.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// What the deliveries of messages are listed under: this and the address.
pub const SCHEME: &str = "mailto:";

/// How the connection is made safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (port 465).
    Tls,
    /// TLS after `STARTTLS`, which the server must offer (port 587).
    StartTls,
    /// None at all: to a loopback address only.
    Plain,
}

/// The mail server, as the operator named it.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is made safe.
    pub security: Security,
    /// Who we are there: a user and a password.
    pub login: Option<(String, Placed)>,
    /// Who messages are from.
    pub from: Mailbox,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// How often a message is tried again, when that is said.
    pub retry: Option<Retry>,
    /// How long one message may take.
    pub timeout: Duration,
}

/// A message, and who of its recipients gets it now.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Whom it is addressed to.
    pub to: Vec<Mailbox>,
    /// Who gets a copy.
    pub cc: Vec<Mailbox>,
    /// What it is about.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML, where there is one.
    pub html: Option<String>,
    /// What makes a repeat recognisable: the same on each try.
    pub key: String,
    /// When it was written: the same on each try.
    pub date: Time,
    /// Those of `to` and `cc` who get it with this try.
    pub now: Vec<Mailbox>,
    /// How long this try may take, when the step says.
    pub timeout: Option<Duration>,
    /// Whose it is: tenants take turns for the connections.
    pub tenant: String,
    /// Who asks for it; the recipient is filled in for each.
    pub origin: Origin,
}

impl Letter {
    /// Looks at what an author or an event may have put into it.
    ///
    /// # Errors
    /// [`LetterError`] with what is wrong.
    pub fn check(&self) -> Result<(), LetterError> {
        message::check(self)
    }
}

/// What a delivery to this person is listed under.
pub fn name_of(mailbox: &Mailbox) -> String {
    format!("{SCHEME}{}", mailbox.address())
}

/// The password, if there is one to send; made known to `redactor`.
///
/// # Errors
/// [`SecretError`] when it is missing.
pub(super) fn password(smtp: &Smtp, secrets: &Secrets, redactor: &mut Redactor) -> Result<Option<Login>, SecretError> {
    let Some((user, password)) = &smtp.login else { return Ok(None) };
    let password = password.resolve(secrets, redactor)?;
    // What is sent is not the password alone.
    redactor.hide(&super::Secret::new(format!("\0{user}\0{}", password.expose())));
    Ok(Some(Login { user: user.clone(), password }))
}

/// Who we are at the mail server.
#[derive(Debug, Clone)]
pub(super) struct Login {
    user: String,
    password: super::Secret,
}

/// The settings, shared.
pub type Server = Arc<Smtp>;

/// The outcome for each of [`Letter::now`], in that order.
pub type Outcomes = Vec<Sent>;
