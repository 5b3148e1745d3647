//! One message to one destination: headers, authentication, signature, sending.
//!
//! Invariant: secrets are looked up here, after everything that is recorded was rendered, and whatever comes back is
//! cleaned of them.

use std::time::Duration;

use bytes::Bytes;
use model::Time;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::destination::{Auth, Destination, Login, Manner, Sign};
use super::login::{self, Asked, NoToken};
use super::secret::{Placed, Redactor, Secret, SecretError, Secrets};
use super::sign::{self, KeyError};
use super::{Effects, LoginError, Origin, Request, SendError, Sent, TOTAL_TIMEOUT};

/// How long the chain of runs behind a message is, for a receiver that guards against loops of its own, such as another Sortie:
/// what an authenticated source sends is read for it.
pub const CHAIN_HEADER: HeaderName = HeaderName::from_static("sortie-chain");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whose run it is of.
    pub tenant: String,
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

/// Sends a message to a destination once. Where a login stands before it and the receiver refuses the token, it is sent once
/// more with a new one: that is still the same try.
///
/// # Errors
/// [`PrepareError`] when it cannot be put together; what goes wrong on the way is in [`Sent`].
pub async fn deliver(
    effects: &Effects,
    secrets: &Secrets,
    destination: &Destination,
    message: Message,
) -> Result<Sent, PrepareError> {
    let timeout = match (message.timeout, destination.timeout) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b).unwrap_or(TOTAL_TIMEOUT),
    };
    let began = Instant::now();
    let Auth::Login(login) = &destination.auth else {
        let request = request(secrets, destination, &message, timeout, None)?;
        return Ok(effects.send(request).await);
    };
    let mut refused: Option<Secret> = None;
    loop {
        let left = timeout.saturating_sub(began.elapsed());
        let asked = Asked { login, secrets, key: &destination.id, timeout: left };
        let token = match login::token(effects, &asked, refused.as_ref()).await {
            Ok(token) => token,
            Err(NoToken::Prepare(error)) => return Err(error),
            Err(NoToken::Send(error)) => return Ok(Sent::without_answer(error, began.elapsed())),
        };
        let left = timeout.saturating_sub(began.elapsed());
        let request = request(secrets, destination, &message, left, Some((login, &token)))?;
        let sent = effects.send(request).await;
        if sent.status != Some(401) || refused.is_some() {
            return Ok(sent);
        }
        refused = Some(token);
    }
}

/// Asks the login of a destination for a new token, and nothing else.
///
/// # Errors
/// [`PrepareError`] when the request cannot be put together; the [`SendError`] when it yields none.
pub async fn log_in(
    effects: &Effects,
    secrets: &Secrets,
    destination: &Destination,
) -> Result<Option<super::SendError>, PrepareError> {
    let Auth::Login(login) = &destination.auth else { return Ok(None) };
    let timeout = destination.timeout.unwrap_or(TOTAL_TIMEOUT);
    let asked = Asked { login, secrets, key: &destination.id, timeout };
    let known = login::token(effects, &asked, None).await;
    // What is kept may be old: it is the credentials that are asked about.
    let fresh = match known {
        Ok(kept) => login::token(effects, &asked, Some(&kept)).await,
        Err(error) => Err(error),
    };
    match fresh {
        Ok(_) => Ok(None),
        Err(NoToken::Prepare(error)) => Err(error),
        Err(NoToken::Send(error)) => Ok(Some(error)),
    }
}

fn request(
    secrets: &Secrets,
    destination: &Destination,
    message: &Message,
    timeout: Duration,
    token: Option<(&Login, &Secret)>,
) -> Result<Request, PrepareError> {
    let mut redactor = Redactor::default();
    let mut headers = headers(secrets, destination, message, &mut redactor)?;
    if let Some((login, token)) = token {
        redactor.hide(token);
        let (name, value) = login::carried(login, token)?;
        headers.insert(name, value);
    }
    if destination.manner != Manner::Webhook {
        // The URL of a chat is a credential, and its answer may name it.
        let url = destination.target.url();
        redactor
            .hide(&Secret::new(url.as_str().get(url.origin().ascii_serialization().len() + 1..).unwrap_or_default()));
    }
    Ok(Request {
        method: Method::POST,
        target: destination.target.clone(),
        headers,
        body: message.body.clone(),
        timeout,
        key: destination.id.clone(),
        tenant: message.tenant.clone(),
        places: Some(destination.concurrency),
        keep_bytes: model::limits::RESPONSE_CAPTURE_BYTES_MAX,
        fresh: false,
        redactor,
        origin: Origin { destination: Some(destination.id.clone()), ..message.origin.clone() },
    })
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
            let key = first(all, secrets, redactor)?;
            let value = sign::standard(&[key], &message.id, seconds, &message.body).map_err(|e| unusable(all, e))?;
            headers.insert(WEBHOOK_SIGNATURE, hidden(&WEBHOOK_SIGNATURE, &Secret::new(value))?);
        }
        Some(Sign::Hmac { header: name, scheme, secrets: all }) => {
            let key = first(all, secrets, redactor)?;
            let value = scheme.sign(&key, seconds, &message.body).map_err(|e| unusable(all, e))?;
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
        // The token of a login is put in by whoever asked for it.
        Auth::None | Auth::Login(_) => return Ok(()),
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

/// The secret that signs: the first. The others are still good at the receiver's; here they are not looked for.
fn first(all: &[Placed], secrets: &Secrets, redactor: &mut Redactor) -> Result<Secret, SecretError> {
    all.first().ok_or_else(|| unusable(all, KeyError::Empty))?.resolve(secrets, redactor)
}

fn unusable(all: &[Placed], error: KeyError) -> SecretError {
    let name = all.iter().find_map(|placed| placed.secret.clone()).unwrap_or_default();
    let why = match error {
        KeyError::Empty => "it is empty",
        KeyError::NotBase64 => "after `whsec_` it is not base64",
    };
    SecretError::Unusable { name, why }
}

/// What a person who tests a destination is told: precisely what went wrong.
pub fn test_message(sent: &Sent) -> String {
    match (sent.status, &sent.error) {
        (Some(_), _) if sent.accepted() => "The destination accepted the test message.".to_owned(),
        (Some(status), _) => returned(status),
        (None, Some(SendError::Login(LoginError::Status(status)))) => returned(*status),
        (None, Some(SendError::Login(LoginError::Send(error)))) if !is_unknown(error) => UNABLE.to_owned(),
        (None, Some(error)) if !is_unknown(error) => UNABLE.to_owned(),
        (None, _) => UNKNOWN_ERROR.to_owned(),
    }
}

fn returned(status: u16) -> String {
    format!("Webhook endpoint returned `HTTP {status}`.")
}

const UNABLE: &str = "Unable to connect to webhook endpoint.";
/// What is said when a test failed for a reason that is neither the way there nor the answer.
pub const UNKNOWN_ERROR: &str = "Unknown error sending test message to endpoint.";

fn is_unknown(error: &SendError) -> bool {
    matches!(error, SendError::Invalid | SendError::Busy | SendError::Login(_))
}

/// What to look at when a test failed.
pub fn test_hint(sent: &Sent) -> &'static str {
    match test_message(sent).as_str() {
        UNABLE => "check that the firewall lets HTTPS on port 443 out to the endpoint",
        UNKNOWN_ERROR => "contact support, with the detail",
        _ => "check that the URL was copied whole and that nothing was added when it was pasted",
    }
}
