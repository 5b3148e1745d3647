//! What is asked of the provider: its description (OpenID Connect Discovery), its keys, and the exchange of a code.
//!
//! Invariants: the description must name the issuer of the configuration, letter for letter; description and keys are kept
//! for [`KEPT`], and asked for again when a token names a key that is not there, at most once in [`PAUSE`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::outbound::identity::{self, Client, IdentityError};
use engine::outbound::secret::{Redactor, SecretError};
use engine::outbound::{Effects, Secrets, Target};
use serde_json::Value;

use super::id_token::{self, Expected, Refused};
use super::{Flow, Provider};

/// How long description and keys are kept.
const KEPT: Duration = Duration::from_secs(3_600);
/// How long keys are not asked for again, whatever a token names.
const PAUSE: Duration = Duration::from_secs(60);
/// Longest code that is exchanged, in bytes.
const CODE_BYTES_MAX: usize = 4_096;

/// Why nobody can be signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The provider did not answer as it should.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its description is not what it must be.
    #[error("the description of the identity provider is wrong: {0}")]
    Description(&'static str),
    /// The secret is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The code is none.
    #[error("the identity provider sent no code that can be exchanged")]
    Code,
    /// The ID token is missing or wrong.
    #[error("the ID token is refused: {0}")]
    Token(#[from] Refused),
}

/// What is known of the provider.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Where people sign in.
    pub(crate) authorization: Target,
    token: Target,
    keys_at: Target,
    keys: Arc<Value>,
    /// Whether the secret goes into the body.
    post: bool,
    at: Instant,
}

/// What is kept of the provider.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<Known>>);

impl Kept {
    fn get(&self) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, known: Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

/// Asks on behalf of one sign-in.
pub(crate) struct Asker<'a> {
    /// The configuration.
    pub(crate) provider: &'a Provider,
    /// What is kept.
    pub(crate) kept: &'a Kept,
    /// The way out.
    pub(crate) effects: &'a Effects,
    /// Where secrets are.
    pub(crate) secrets: &'a Secrets,
}

impl Asker<'_> {
    /// The provider's description and keys.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn known(&self, now: Instant) -> Result<Known, Error> {
        match self.kept.get() {
            Some(known) if now.duration_since(known.at) < KEPT => Ok(known),
            _ => self.ask(now).await,
        }
    }

    async fn ask(&self, now: Instant) -> Result<Known, Error> {
        let place = format!("{}/.well-known/openid-configuration", self.provider.issuer.trim_end_matches('/'));
        let place = self.target(&place, "its issuer is no address that may be asked")?;
        let description = identity::get(self.effects, &place).await?;
        let text = |name: &str| description.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("issuer") != self.provider.issuer {
            return Err(Error::Description("it names another issuer"));
        }
        let keys_at = self.target(text("jwks_uri"), "`jwks_uri`")?;
        let ways = description.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let offers = |way: &str| ways.is_none_or(|ways| ways.iter().any(|one| one == way));
        let known = Known {
            authorization: self.target(text("authorization_endpoint"), "`authorization_endpoint`")?,
            token: self.target(text("token_endpoint"), "`token_endpoint`")?,
            keys: Arc::new(identity::get(self.effects, &keys_at).await?),
            keys_at,
            // Without a list, Basic is what every provider takes.
            post: !offers("client_secret_basic") && offers("client_secret_post"),
            at: now,
        };
        self.kept.put(known.clone());
        Ok(known)
    }

    fn target(&self, text: &str, what: &'static str) -> Result<Target, Error> {
        Target::parse(text, self.effects.egress()).map_err(|_| Error::Description(what))
    }

    fn client(&self, known: &Known) -> Result<Client, Error> {
        let Some(placed) = &self.provider.client_secret else { return Ok(Client::Public) };
        let secret = placed.resolve(self.secrets, &mut Redactor::default())?;
        let id = self.provider.client_id.clone();
        Ok(if known.post { Client::Post { secret } } else { Client::Basic { id, secret } })
    }

    /// Exchanges a code and checks the ID token; answers its claims. `seconds` is the time since 1970.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn claims(
        &self,
        flow: &Flow,
        code: &str,
        callback: &str,
        now: Instant,
        seconds: i64,
    ) -> Result<Value, Error> {
        if code.is_empty() || code.len() > CODE_BYTES_MAX {
            return Err(Error::Code);
        }
        let known = self.known(now).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback),
            ("client_id", self.provider.client_id.as_str()),
            ("code_verifier", flow.verifier.as_str()),
        ];
        let answer = identity::post(self.effects, &known.token, &form, &self.client(&known)?).await?;
        let token = answer.get("id_token").and_then(Value::as_str).ok_or(Refused::Form)?;
        let expected = Expected {
            issuer: &self.provider.issuer,
            client_id: &self.provider.client_id,
            nonce: &flow.nonce,
            now: seconds,
        };
        match id_token::claims(token, &known.keys, expected) {
            // It may have changed its keys since they were asked for.
            Err(Refused::Key) if now.duration_since(known.at) >= PAUSE => {
                let keys = Arc::new(identity::get(self.effects, &known.keys_at).await?);
                let known = Known { keys, at: now, ..known };
                self.kept.put(known.clone());
                Ok(id_token::claims(token, &known.keys, expected)?)
            }
            other => Ok(other?),
        }
    }
}
