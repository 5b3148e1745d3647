//! What signing in asks of an identity provider: its description, its keys, and the exchange of a code.
//!
//! Invariants: the same client, policy and checks as everything that goes out; answers are bounded, and a secret that was
//! sent is in nothing that comes back out of here.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::secret::{Redactor, Secret};
use super::{Effects, Origin, Request, SendError, Target, percent_encode};

/// Largest answer of a provider, in bytes: its keys with their certificates.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long a provider may take for one answer: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the client says who it is at the exchange.
#[derive(Debug, Clone)]
pub enum Client {
    /// By its name alone; the verifier of PKCE is what proves it.
    Public,
    /// By name and secret in `Authorization` (RFC 6749, 2.3.1).
    Basic {
        /// The name.
        id: String,
        /// The secret.
        secret: Secret,
    },
    /// By a secret in the body.
    Post {
        /// The secret.
        secret: Secret,
    },
}

/// Why a provider gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It was not reached, or the answer broke off.
    #[error("the identity provider was not reached: {0}")]
    Send(#[from] SendError),
    /// It answered with another status.
    #[error("the identity provider answered with HTTP {0}")]
    Status(u16),
    /// The answer is longer than [`ANSWER_BYTES_MAX`], or is no JSON.
    #[error("the identity provider's answer is no JSON of at most {ANSWER_BYTES_MAX} bytes")]
    Answer,
}

/// Reads a document of the provider.
///
/// # Errors
/// [`IdentityError`].
pub async fn get(effects: &Effects, target: &Target) -> Result<serde_json::Value, IdentityError> {
    ask(effects, Method::GET, target, HeaderMap::new(), Bytes::new(), Redactor::default()).await
}

/// Posts a form to the provider.
///
/// # Errors
/// [`IdentityError`].
pub async fn post(
    effects: &Effects,
    target: &Target,
    form: &[(&str, &str)],
    client: &Client,
) -> Result<serde_json::Value, IdentityError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let mut redactor = Redactor::default();
    let mut body: Vec<String> = form.iter().map(|(name, value)| field(name, value)).collect();
    match client {
        Client::Public => {}
        Client::Post { secret } => {
            redactor.hide(secret);
            body.push(field("client_secret", secret.expose()));
        }
        Client::Basic { id, secret } => {
            let both =
                Secret::new(STANDARD.encode(format!("{}:{}", percent_encode(id), percent_encode(secret.expose()))));
            redactor.hide(secret);
            redactor.hide(&both);
            let mut value =
                HeaderValue::from_str(&format!("Basic {}", both.expose())).map_err(|_| IdentityError::Answer)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    ask(effects, Method::POST, target, headers, body.join("&").into(), redactor).await
}

fn field(name: &str, value: &str) -> String {
    format!("{}={}", percent_encode(name), percent_encode(value))
}

async fn ask(
    effects: &Effects,
    method: Method,
    target: &Target,
    mut headers: HeaderMap,
    body: Bytes,
    redactor: Redactor,
) -> Result<serde_json::Value, IdentityError> {
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let request = Request {
        method,
        target: target.clone(),
        headers,
        body,
        timeout: PATIENCE,
        key: "identity-provider".to_owned(),
        tenant: String::new(),
        places: None,
        keep_bytes: ANSWER_BYTES_MAX,
        fresh: false,
        redactor,
        origin: Origin::default(),
    };
    let sent = effects.send(request).await;
    match (sent.status, sent.error) {
        (Some(status), None) if (200..300).contains(&status) => {}
        (Some(status), None) => return Err(IdentityError::Status(status)),
        (_, Some(error)) => return Err(error.into()),
        (None, None) => return Err(IdentityError::Answer),
    }
    if sent.truncated {
        return Err(IdentityError::Answer);
    }
    serde_json::from_str(&sent.text).map_err(|_| IdentityError::Answer)
}
