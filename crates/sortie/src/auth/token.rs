//! Tokens: 256 random bits, shown once, kept as a SHA-256 digest.
//!
//! A plain fast digest is enough because the secret is not chosen by a person: there is nothing to guess in 2^256, so a
//! slow password hash would only slow every request down.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Digest, Time};
use serde::{Deserialize, Serialize};

use super::Role;

/// What every token starts with, so that secret scanners know one when they see it.
pub(crate) const PREFIX: &str = "sortie_";
/// Random bytes in a token.
pub(crate) const RANDOM_BYTES: usize = 32;
/// Longest name of a token, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Most tokens.
pub(crate) const TOKENS_MAX: usize = 1_000;
/// The prefix of the store's marks that hold tokens.
pub(crate) const MARKS: &str = "token/";
/// The name of the token that the first start makes.
pub(crate) const FIRST: &str = "admin";

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Its name, by which the history knows its holder.
    pub(crate) name: String,
    /// What the holder may do.
    pub(crate) role: Role,
    /// The only tenant that the holder sees; nothing means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// The digest of the secret.
    pub(crate) digest: Digest,
    /// When it was made.
    pub(crate) created_at: Time,
    /// Who made it.
    pub(crate) created_by: String,
}

/// A stored token that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored token `{name}` cannot be read: {detail}")]
pub(crate) struct Unreadable {
    name: String,
    detail: String,
}

impl Token {
    /// A new token and its secret, which is kept nowhere else.
    pub(crate) fn make(
        name: &str,
        role: Role,
        tenant: Option<String>,
        by: &str,
        now: Time,
        random: &[u8; RANDOM_BYTES],
    ) -> (String, Token) {
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        (secret.clone(), Token::of(&secret, name, role, tenant, by, now))
    }

    /// The token of a secret that exists already.
    pub(crate) fn of(secret: &str, name: &str, role: Role, tenant: Option<String>, by: &str, now: Time) -> Token {
        let digest = Digest::of(secret.as_bytes());
        Token { name: name.to_owned(), role, tenant, digest, created_at: now, created_by: by.to_owned() }
    }

    /// The mark of the store that keeps it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn mark(&self) -> Result<(String, Vec<u8>), serde_json::Error> {
        Ok((format!("{MARKS}{}", self.name), serde_json::to_vec(self)?))
    }
}

/// Whether a token may have this name.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'))
}

/// Whether a text has the form of a secret.
pub(crate) fn is_secret(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| URL_SAFE_NO_PAD.decode(rest).is_ok_and(|b| b.len() == RANDOM_BYTES))
}

/// All tokens, by digest.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    by_digest: RwLock<Arc<HashMap<Digest, Arc<Token>>>>,
}

impl Tokens {
    /// Takes over what the store holds.
    ///
    /// # Errors
    /// [`Unreadable`] when one of them cannot be read; then nothing changes.
    pub(crate) fn load(&self, marks: Vec<(String, Vec<u8>)>) -> Result<(), Unreadable> {
        let mut all = HashMap::with_capacity(marks.len());
        for (name, bytes) in marks {
            let token: Token =
                serde_json::from_slice(&bytes).map_err(|e| Unreadable { name, detail: e.to_string() })?;
            all.insert(token.digest, Arc::new(token));
        }
        *self.by_digest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        Ok(())
    }

    /// The token of a secret. A map's lookup by digest leaks nothing that helps: whoever could steer a digest towards a
    /// stored one would have broken SHA-256.
    pub(crate) fn find(&self, secret: &str) -> Option<Arc<Token>> {
        self.all().get(&Digest::of(secret.as_bytes())).cloned()
    }

    /// The token with this digest, if it still is one.
    pub(crate) fn of(&self, digest: &Digest) -> Option<Arc<Token>> {
        self.all().get(digest).cloned()
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<Arc<Token>> {
        let mut list: Vec<_> = self.all().values().cloned().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    fn all(&self) -> Arc<HashMap<Digest, Arc<Token>>> {
        self.by_digest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_secret_and_kept_without_it() {
        let (secret, token) = Token::make("alice", Role::Analyst, None, "system", Time::EPOCH, &[7; RANDOM_BYTES]);
        assert!(is_secret(&secret));
        let (name, bytes) = token.mark().unwrap();
        assert_eq!(name, "token/alice");
        assert!(!String::from_utf8(bytes.clone()).unwrap().contains(&secret));
        let tokens = Tokens::default();
        tokens.load(vec![(name, bytes)]).unwrap();
        assert_eq!(tokens.find(&secret).unwrap().name, "alice");
        assert!(tokens.find("sortie_x").is_none());
        tokens.load(Vec::new()).unwrap();
        assert!(tokens.find(&secret).is_none(), "a deleted token opens nothing");
    }

    #[test]
    fn a_token_that_cannot_be_read_changes_nothing() {
        let tokens = Tokens::default();
        let (secret, token) = Token::make("a", Role::Viewer, None, "system", Time::EPOCH, &[1; RANDOM_BYTES]);
        tokens.load(vec![token.mark().unwrap()]).unwrap();
        assert!(tokens.load(vec![("token/b".into(), b"{}".to_vec())]).is_err());
        assert!(tokens.find(&secret).is_some());
    }

    #[test]
    fn names_are_short_and_plain() {
        assert!(is_name("ci-bot") && is_name("a.b@example.com"));
        for bad in ["", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
