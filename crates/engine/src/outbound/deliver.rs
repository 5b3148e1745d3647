//! One message to one destination: headers, authentication, signature, sending.
//!
//! Invariant: secrets are looked up here, after everything that is recorded was rendered, and whatever comes back is
//! cleaned of them.

use bytes::Bytes;
use model::Time;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::destination::{Auth, Destination, Sign};
use super::secret::{Placed, Redactor, Secret, SecretError, Secrets};
use super::sign::{self, KeyError};
use super::{Effects, Origin, Request, Sent, TOTAL_TIMEOUT};

/// How long the chain of runs behind a message is, for a receiver that guards against loops of its own. What comes in is not
/// read for it.
pub const CHAIN_HEADER: HeaderName = HeaderName::from_static("sortie-chain");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its `webhook-id`: the same on each try.
    pub id: String,
    /// Its body, the same on each try.
    pub body: Bytes,
    /// What the body is.
    pub content_type: &'static str,
    /// Further headers; those of the destination win.
    pub headers: Vec<(HeaderName, Placed)>,
    /// How many runs are behind it, this one included; 0 when it was sent by hand.
    pub chain: usize,
    /// How long one try may take, when the sender says.
    pub timeout: Option<std::time::Duration>,
    /// What time it is.
    pub now: Time,
    /// Who asks for it; the destination is filled in here.
    pub origin: Origin,
}

/// Why a message cannot be put together. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// A secret is missing or not usable.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A header cannot hold its value.
    #[error("the value of the header `{name}` holds a line break or another character that a header cannot hold")]
    Header {
        /// Its name.
        name: String,
    },
}

impl PrepareError {
    /// The code in the history.
    pub const fn code(&self) -> &'static str {
        match self {
            PrepareError::Secret(_) => "secret",
            PrepareError::Header { .. } => "bad_header",
        }
    }
}

/// Sends a message to a destination once.
///
/// # Errors
/// [`PrepareError`] when it cannot be put together; what goes wrong on the way is in [`Sent`].
pub async fn deliver(
    effects: &Effects,
    secrets: &Secrets,
    destination: &Destination,
    message: Message,
) -> Result<Sent, PrepareError> {
    let mut redactor = Redactor::default();
    let headers = headers(secrets, destination, &message, &mut redactor)?;
    let timeout = match (message.timeout, destination.timeout) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b).unwrap_or(TOTAL_TIMEOUT),
    };
    let request = Request {
        method: Method::POST,
        target: destination.target.clone(),
        headers,
        body: message.body,
        timeout,
        key: destination.id.clone(),
        keep_bytes: model::limits::RESPONSE_CAPTURE_BYTES_MAX,
        fresh: false,
        redactor,
        origin: Origin { destination: Some(destination.id.clone()), ..message.origin },
    };
    Ok(effects.send(request).await)
}

fn headers(
    secrets: &Secrets,
    destination: &Destination,
    message: &Message,
    redactor: &mut Redactor,
) -> Result<HeaderMap, PrepareError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(message.content_type));
    for (name, placed) in &message.headers {
        headers.insert(name.clone(), header(name, &placed.resolve(secrets, redactor)?)?);
    }
    let seconds = message.now.millis().div_euclid(1000);
    headers.insert(WEBHOOK_ID, header(&WEBHOOK_ID, &Secret::new(message.id.as_str()))?);
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(seconds));
    if message.chain > 0 {
        headers.insert(CHAIN_HEADER, HeaderValue::from(message.chain));
    }
    authenticate(&destination.auth, secrets, &mut headers, redactor)?;
    match &destination.sign {
        None => {}
        Some(Sign::Standard(all)) => {
            let keys = resolve_all(all, secrets, redactor)?;
            let value = sign::standard(&keys, &message.id, seconds, &message.body).map_err(|e| unusable(all, e))?;
            headers.insert(WEBHOOK_SIGNATURE, hidden(&WEBHOOK_SIGNATURE, &Secret::new(value))?);
        }
        Some(Sign::Hmac { header: name, scheme, secrets: all }) => {
            let keys = resolve_all(all, secrets, redactor)?;
            let first = keys.first().ok_or_else(|| unusable(all, KeyError::Empty))?;
            let value = scheme.sign(first, seconds, &message.body).map_err(|e| unusable(all, e))?;
            headers.insert(name.clone(), hidden(name, &Secret::new(value))?);
        }
    }
    Ok(headers)
}

/// Puts the authentication into the headers.
pub(crate) fn authenticate(
    auth: &Auth,
    secrets: &Secrets,
    headers: &mut HeaderMap,
    redactor: &mut Redactor,
) -> Result<(), PrepareError> {
    let (name, value) = match auth {
        Auth::None => return Ok(()),
        Auth::Header { name, value } => (name.clone(), value.resolve(secrets, redactor)?),
        Auth::Bearer(token) => {
            let token = token.resolve(secrets, redactor)?;
            (AUTHORIZATION, Secret::new(format!("Bearer {}", token.expose())))
        }
        Auth::Basic { user, password } => {
            let password = password.resolve(secrets, redactor)?;
            let both = Secret::new(STANDARD.encode(format!("{user}:{}", password.expose())));
            redactor.hide(&both);
            (AUTHORIZATION, Secret::new(format!("Basic {}", both.expose())))
        }
    };
    let value = hidden(&name, &value)?;
    headers.insert(name, value);
    Ok(())
}

/// Whether a header is set by Sortie or by HTTP itself, and by nobody else.
pub fn is_reserved(name: &HeaderName) -> bool {
    const NAMES: [&str; 13] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "sortie-chain",
    ];
    NAMES.contains(&name.as_str())
}

/// A header's value. Line breaks and other control characters are refused, not taken out.
pub(crate) fn header(name: &HeaderName, value: &Secret) -> Result<HeaderValue, PrepareError> {
    HeaderValue::from_bytes(value.expose().as_bytes()).map_err(|_| PrepareError::Header { name: name.to_string() })
}

/// The value of a header that nobody is shown.
fn hidden(name: &HeaderName, value: &Secret) -> Result<HeaderValue, PrepareError> {
    let mut value = header(name, value)?;
    value.set_sensitive(true);
    Ok(value)
}

fn resolve_all(all: &[Placed], secrets: &Secrets, redactor: &mut Redactor) -> Result<Vec<Secret>, SecretError> {
    all.iter().map(|placed| placed.resolve(secrets, redactor)).collect()
}

fn unusable(all: &[Placed], error: KeyError) -> SecretError {
    let name = all.iter().find_map(|placed| placed.secret.clone()).unwrap_or_default();
    let why = match error {
        KeyError::Empty => "it is empty",
        KeyError::NotBase64 => "after `whsec_` it is not base64",
    };
    SecretError::Unusable { name, why }
}

/// What a person who tests a destination is told: precisely what went wrong, and what to look at.
pub fn test_message(sent: &Sent) -> String {
    match (sent.status, &sent.error) {
        (Some(_), _) if sent.accepted() => "The destination accepted the test message.".to_owned(),
        (Some(status), _) => format!("Webhook endpoint returned `HTTP {status}`."),
        (None, Some(super::SendError::Invalid | super::SendError::Busy) | None) => {
            "Unknown error sending test message to endpoint.".to_owned()
        }
        (None, Some(_)) => "Unable to connect to webhook endpoint.".to_owned(),
    }
}
