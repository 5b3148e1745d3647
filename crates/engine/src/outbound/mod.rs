//! The only way out: one client, one policy, one way to sign, to wait and to keep a secret.
//!
//! The walk of a delivery: [`destination`] says where and how → [`secret`]s are placed → [`sign`] → [`Effects::send`]
//! checks the address that is connected and reads a bounded answer → [`retry`] says when again.
//!
//! Invariants: this module is the only place that names the HTTP client, and [`Effects`] the only value through which a
//! playbook reaches it. Every wait and every read is bounded. Redirects
//! are not followed, proxy variables are not read, answers are not decompressed. One key (a destination or a host) has a
//! bounded number of requests in flight, so that one that hangs holds up nobody else.

pub mod address;
pub mod admin;
mod client;
pub mod commitment;
pub mod deliver;
pub mod destination;
pub mod effects;
pub mod gate;
pub mod identity;
mod login;
pub mod mail;
pub mod mask;
mod pinned;
pub mod resolve;
pub mod retry;
pub mod secret;
pub mod sign;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
pub mod vault;

use std::time::Duration;

use bytes::Bytes;
use model::run::Answer;
pub use reqwest::Method;
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub use self::address::{Egress, Network};
pub use self::client::{BuildError, Outbound};
pub use self::destination::{Destination, Destinations};
pub use self::effects::{Answers, Effects, Origin, Planned, Reply, Takes};
pub use self::mask::mask_url;
pub use self::resolve::{Resolver, SystemResolver};
pub use self::secret::{Redactor, Secret, Secrets};
pub use self::target::{Target, UrlProblem};

/// Most requests in flight for one key: a destination, or a host.
pub const IN_FLIGHT_PER_KEY_MAX: usize = 64;
/// How long a connection may take to open, name resolution and TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a whole exchange may take when nothing else is said.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a destination or a step may set the time for a whole exchange to.
pub const TOTAL_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// How often a run that waits for the end of a pause is looked at, should the end itself be missed.
pub const HELD_LOOK: Duration = Duration::from_secs(60);
/// Most headers of an answer.
pub const ANSWER_HEADERS_MAX: usize = 100;
/// Most bytes of the headers of an HTTP/2 answer.
pub const ANSWER_HEADER_BYTES_MAX: u32 = 64 * 1024;

/// What is bounded, and where.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most requests in flight for one key.
    pub in_flight_per_key: usize,
    /// How long a connection may take to open.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { in_flight_per_key: IN_FLIGHT_PER_KEY_MAX, connect: CONNECT_TIMEOUT }
    }
}

/// A forward proxy. It is trusted with the requests; where they go is still checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its URL, such as `http://proxy.example:3128`.
    pub url: String,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub target: Target,
    /// The headers, secrets in them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// What shares a bound of requests in flight: the destination's id, or the host.
    pub key: String,
    /// Whose request it is: tenants take turns for the places of a key.
    pub tenant: String,
    /// How many of them there may be, when it is fewer than for every key.
    pub places: Option<usize>,
    /// Most bytes of the answer that are kept.
    pub keep_bytes: usize,
    /// Whether it must not go over a connection that was used before: such a one may break without saying whether the
    /// request had arrived.
    pub fresh: bool,
    /// The secrets that must not be in what is kept of the answer.
    pub redactor: Redactor,
    /// Who asks for it.
    pub origin: Origin,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The headers of the answer. They may hold secrets: clean what is kept.
    pub headers: HeaderMap,
    /// The beginning of the body, as text, with secrets taken out.
    pub text: String,
    /// How long the body was as far as it was read, in bytes.
    pub bytes: u64,
    /// Whether there was more than what is kept.
    pub truncated: bool,
    /// How long it took.
    pub latency: Duration,
    /// What went wrong. With a status: the answer broke off after its headers.
    pub error: Option<SendError>,
    /// The secrets that were placed in the request, for their commitments.
    pub placed: Vec<(String, Secret)>,
}

impl Sent {
    /// A request that got no answer.
    pub(crate) fn without_answer(error: SendError, latency: Duration) -> Sent {
        Sent {
            status: None,
            headers: HeaderMap::new(),
            text: String::new(),
            bytes: 0,
            truncated: false,
            latency,
            error: Some(error),
            placed: Vec::new(),
        }
    }

    /// A message that a mail server took, with its last word.
    pub(crate) fn taken(said: String, latency: Duration) -> Sent {
        let bytes = said.len() as u64;
        Sent {
            status: Some(250),
            headers: HeaderMap::new(),
            text: said,
            bytes,
            truncated: false,
            latency,
            error: None,
            placed: Vec::new(),
        }
    }

    /// What the history keeps of the answer.
    pub fn answer(&self) -> Option<Answer> {
        self.status?;
        let mut end = self.text.len().min(model::limits::RESPONSE_CAPTURE_BYTES_MAX);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let truncated = self.truncated || end < self.text.len();
        Some(Answer { body: self.text.get(..end).unwrap_or_default().to_owned(), bytes: self.bytes, truncated })
    }

    /// Whether the receiver took it.
    pub fn accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// Why there is no answer, or not a whole one. For people; never with a secret, and never with more about a refused
/// address than that it is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The egress policy refuses the address.
    #[error("the address is not allowed by the server's egress policy (`egress.allow`)")]
    Blocked,
    /// Too many requests to the same place are in flight; nothing was sent.
    #[error("too many requests to the same place are in flight")]
    Busy,
    /// A person has paused all that leaves; nothing was sent.
    #[error("all that leaves is paused (`sortie pause`)")]
    Paused,
    /// The name has no address.
    #[error("the host name cannot be resolved")]
    Dns,
    /// No connection; nothing was sent.
    #[error("unable to connect: {0}")]
    Connect(ConnectError),
    /// No trusted connection; nothing was sent.
    #[error("the TLS connection is not trusted: {0}")]
    Tls(&'static str),
    /// No answer in time; it may have arrived.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection ended before the answer did; it may have arrived.
    #[error("the connection was closed before the answer was complete")]
    Lost,
    /// It cannot be put into HTTP; nothing was sent.
    #[error("the request cannot be put into HTTP")]
    Invalid,
    /// The login that should yield a token failed; nothing was sent.
    #[error("no token from the login: {0}")]
    Login(LoginError),
    /// The mail server did not take a message.
    #[error(transparent)]
    Smtp(#[from] SmtpError),
}

/// Why a mail server did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpError {
    /// There is none.
    #[error("no mail server is configured (`smtp:` in sortie.yaml)")]
    Absent,
    /// It will perhaps take it later.
    #[error("the mail server answered {0}")]
    Later(String),
    /// It will not take it.
    #[error("the mail server refused: {0}")]
    Refused(String),
    /// It does not offer TLS where TLS is asked for, or it is not on this machine where none is.
    #[error("the mail server offers no TLS; without it nothing is sent (`smtp.tls`)")]
    NoTls,
    /// It offers no way to log in that is known here.
    #[error("the mail server offers neither PLAIN nor LOGIN to log in with")]
    NoLogin,
    /// It does not speak SMTP.
    #[error("what answers there does not speak SMTP")]
    Garbled,
}

impl SmtpError {
    /// The code in the history.
    const fn code(&self) -> &'static str {
        match self {
            SmtpError::Absent => "no_smtp",
            SmtpError::Later(_) => "smtp_later",
            SmtpError::Refused(_) => "smtp_refused",
            SmtpError::NoTls => "smtp_no_tls",
            SmtpError::NoLogin => "smtp_no_login",
            SmtpError::Garbled => "smtp_garbled",
        }
    }
}

/// Why a login yields no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// It answered with an error.
    #[error("it answered HTTP {0}")]
    Status(u16),
    /// Its answer holds no token where one should stand.
    #[error("its answer is no JSON with a token under `{0}`")]
    NoToken(String),
    /// There is no answer.
    #[error("{0}")]
    Send(Box<SendError>),
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Nothing answers there.
    #[error("no answer")]
    TimedOut,
    /// There is no way there.
    #[error("host or network unreachable")]
    Unreachable,
    /// The other side hung up.
    #[error("connection closed")]
    Closed,
    /// Something else.
    #[error("network error")]
    Other,
}

impl ConnectError {
    /// What an error of the system means.
    pub(crate) const fn of(kind: std::io::ErrorKind) -> ConnectError {
        match kind {
            std::io::ErrorKind::ConnectionRefused => ConnectError::Refused,
            std::io::ErrorKind::TimedOut => ConnectError::TimedOut,
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => ConnectError::Unreachable,
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof => ConnectError::Closed,
            _ => ConnectError::Other,
        }
    }
}

impl SendError {
    /// The code in the history.
    pub const fn code(&self) -> &'static str {
        match self {
            SendError::Blocked => "blocked_address",
            SendError::Busy => "busy",
            SendError::Paused => "paused",
            SendError::Dns => "dns",
            SendError::Connect(_) => "connect",
            SendError::Tls(_) => "tls",
            SendError::Timeout => "timeout",
            SendError::Lost => "connection_lost",
            SendError::Invalid => "bad_request",
            SendError::Login(_) => "login",
            SendError::Smtp(error) => error.code(),
        }
    }

    /// Whether another try may go better.
    pub fn is_transient(&self) -> bool {
        match self {
            SendError::Blocked | SendError::Invalid | SendError::Login(LoginError::NoToken(_)) => false,
            SendError::Login(LoginError::Status(status)) => retry::retryable(Some(*status), None),
            SendError::Login(LoginError::Send(error)) => error.is_transient(),
            SendError::Smtp(error) => matches!(error, SmtpError::Later(_) | SmtpError::Garbled),
            _ => true,
        }
    }

    /// Whether the receiver may have got the request.
    pub const fn may_have_arrived(&self) -> bool {
        matches!(self, SendError::Timeout | SendError::Lost)
    }
}

/// Writes every byte but letters, digits and `-._~` as `%XX`.
pub fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
