//! Tokens that are asked for: a login URL with user and password, or OAuth 2.0 client credentials.
//!
//! Invariants: a token is kept in memory only, and never longer than its issuer says. However many messages want one, it
//! is asked for once. A token that a receiver refused is not presented again. What the login answers is recorded nowhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::Digest;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::deliver::{PrepareError, header};
use super::destination::{Grant, Login};
use super::secret::{Redactor, Secret, Secrets};
use super::{Effects, LoginError, Origin, Request, SendError, percent_encode};

/// Most tokens that are kept.
const TOKENS_MAX: usize = 256;
/// How long a token is kept whose issuer does not say how long it is good.
const KEPT_UNSAID: Duration = Duration::from_secs(3_600);
/// Longest that a token is kept (1 day).
const KEPT_MAX: Duration = Duration::from_secs(86_400);
/// How long before its end a token is no longer presented.
const MARGIN: Duration = Duration::from_secs(30);
/// Most bytes of the answer of a login.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What stands for a token where nothing is sent.
const REHEARSED: &str = "token";

/// The token of one login, while it is good. Whoever asks for it holds the lock, so that others wait for the same answer.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

#[derive(Clone)]
struct Token {
    value: Secret,
    until: Instant,
}

/// All tokens.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Digest, Slot>>);

/// Why there is no token.
#[derive(Debug)]
pub(super) enum NoToken {
    /// The request for it cannot be put together.
    Prepare(PrepareError),
    /// The request for it failed.
    Send(SendError),
}

impl From<PrepareError> for NoToken {
    fn from(error: PrepareError) -> NoToken {
        NoToken::Prepare(error)
    }
}

impl Tokens {
    fn slot(&self, key: Digest) -> Slot {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TOKENS_MAX && !all.contains_key(&key) {
            all.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(all.entry(key).or_default())
    }
}

/// What a login is asked with.
pub(super) struct Asked<'a> {
    /// The login.
    pub(super) login: &'a Login,
    /// The secrets.
    pub(super) secrets: &'a Secrets,
    /// The destination's id, whose bound of requests in flight counts.
    pub(super) key: &'a str,
    /// How long it may take.
    pub(super) timeout: Duration,
}

/// The token of a login: the one that is known, unless it is the one that was `refused`, else a new one.
///
/// # Errors
/// [`NoToken`].
pub(super) async fn token(effects: &Effects, asked: &Asked<'_>, refused: Option<&Secret>) -> Result<Secret, NoToken> {
    let (headers, body) = message(asked)?;
    // Another password or another URL is another login.
    let identity = [asked.login.url.url().as_str().as_bytes(), b"\n", &body, b"\n", authorization(&headers)].concat();
    // What is only rehearsed asks nobody for a token.
    let Some(tokens) = effects.tokens() else { return Ok(Secret::new(REHEARSED)) };
    let slot = tokens.slot(Digest::of(&identity));
    let late = || NoToken::Send(SendError::Login(LoginError::Send(Box::new(SendError::Timeout))));
    let mut held = tokio::time::timeout(asked.timeout, slot.lock()).await.map_err(|_| late())?;
    if let Some(token) = held.as_ref().filter(|token| token.until > Instant::now())
        && refused.is_none_or(|refused| *refused != token.value)
    {
        return Ok(token.value.clone());
    }
    *held = None;
    let token = ask(effects, asked, headers, body).await.map_err(|error| match error {
        // Nothing is wrong with the login: it was not asked.
        LoginError::Send(error) if matches!(*error, SendError::Paused | SendError::Busy) => NoToken::Send(*error),
        error => NoToken::Send(SendError::Login(error)),
    })?;
    let value = token.value.clone();
    *held = Some(token);
    Ok(value)
}

fn authorization(headers: &HeaderMap) -> &[u8] {
    headers.get(AUTHORIZATION).map_or(b"", HeaderValue::as_bytes)
}

/// The header that carries a token.
///
/// # Errors
/// [`PrepareError`] when the token cannot stand in a header.
pub(super) fn carried(login: &Login, token: &Secret) -> Result<(HeaderName, HeaderValue), PrepareError> {
    let mut value = header(&login.header, &Secret::new(format!("{}{}", login.prefix, token.expose())))?;
    value.set_sensitive(true);
    Ok((login.header.clone(), value))
}

/// The request for a token.
fn message(asked: &Asked<'_>) -> Result<(HeaderMap, Bytes), PrepareError> {
    // The answer is kept nowhere, so nothing needs to be taken out of it.
    let mut redactor = Redactor::default();
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let body = match &asked.login.grant {
        Grant::Password { user, password } => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let password = password.resolve(asked.secrets, &mut redactor)?;
            json!({ "username": user, "password": password.expose() }).to_string()
        }
        Grant::Client { id, secret, scope, audience, in_body } => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            let secret = secret.resolve(asked.secrets, &mut redactor)?;
            let (id, secret) = (percent_encode(id), percent_encode(secret.expose()));
            let mut form = "grant_type=client_credentials".to_owned();
            for (name, value) in [("scope", scope), ("audience", audience)] {
                if let Some(value) = value {
                    form.push_str(&format!("&{name}={}", percent_encode(value)));
                }
            }
            if *in_body {
                form.push_str(&format!("&client_id={id}&client_secret={secret}"));
            } else {
                let basic = Secret::new(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
                let mut value = header(&AUTHORIZATION, &basic)?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            form
        }
    };
    Ok((headers, body.into()))
}

async fn ask(effects: &Effects, asked: &Asked<'_>, headers: HeaderMap, body: Bytes) -> Result<Token, LoginError> {
    let request = Request {
        method: Method::POST,
        target: asked.login.url.clone(),
        headers,
        body,
        timeout: asked.timeout,
        // Of its own: the messages that wait for the token hold the places of the destination.
        key: format!("{} login", asked.key),
        tenant: String::new(),
        places: None,
        keep_bytes: ANSWER_BYTES_MAX,
        fresh: false,
        redactor: Redactor::default(),
        origin: Origin { destination: Some(asked.key.to_owned()), ..Origin::default() },
    };
    let began = Instant::now();
    let sent = effects.send(request).await;
    match (sent.status, sent.error.clone()) {
        (None, error) => Err(LoginError::Send(Box::new(error.unwrap_or(SendError::Lost)))),
        (Some(_), Some(error)) if sent.accepted() => Err(LoginError::Send(Box::new(error))),
        (Some(status), _) if !sent.accepted() => Err(LoginError::Status(status)),
        (Some(_), _) => read(&sent.text, asked.login, began),
    }
}

/// The token in an answer, and how long it is good.
fn read(text: &str, login: &Login, began: Instant) -> Result<Token, LoginError> {
    let missing = || LoginError::NoToken(login.token_field.clone());
    let answer: Value = serde_json::from_str(text).map_err(|_| missing())?;
    let found = login.token_field.split('.').try_fold(&answer, |value, name| value.get(name));
    let token = found.and_then(Value::as_str).filter(|token| !token.trim().is_empty()).ok_or_else(missing)?;
    let said = match answer.get("expires_in") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_f64().filter(|seconds| *seconds >= 0.0),
        None => None,
    };
    let good = said.map_or(KEPT_UNSAID, |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(KEPT_MAX));
    let until = began + good.min(KEPT_MAX).saturating_sub(MARGIN);
    Ok(Token { value: Secret::new(token), until })
}
