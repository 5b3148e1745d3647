//! People who sign in with a name and a password.
//!
//! A password that a person chose is kept as Argon2id over a random salt. One that Sortie made has 120 random bits and is
//! used once, to choose another: a plain digest is enough for it, as for tokens.
//!
//! Invariants: a password is never kept, logged or recorded; an unknown name costs as much time as a wrong password; at
//! most [`HASHES_MAX`] passwords are hashed at once, so that guessing cannot take the machine.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Digest, Time};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::Role;

/// The prefix of the store's marks that hold users.
pub(crate) const MARKS: &str = "user/";
/// Most users.
pub(crate) const USERS_MAX: usize = 1_000;
/// Shortest password that a person may choose, in characters.
pub(crate) const PASSWORD_CHARS_MIN: usize = 12;
/// Longest password, in bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;
/// Random bytes of a password that Sortie makes.
pub(crate) const MADE_BYTES: usize = 15;
/// Random bytes of a salt.
pub(crate) const SALT_BYTES: usize = 16;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Passwords that are hashed at once; each takes 19 MiB.
const HASHES_MAX: usize = 2;
/// The work of one hash: 19 MiB, two passes, one lane, as OWASP recommends for Argon2id.
const WORK: Work = Work { memory_kib: 19_456, passes: 2, lanes: 1 };

/// The work of a hash, kept with it so that it can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Work {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A password as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kept {
    /// One that Sortie made: it opens nothing but the page where another is chosen.
    OneTime {
        /// Its digest.
        digest: Digest,
    },
    /// One that a person chose.
    Argon2id {
        /// Base64 of the salt.
        salt: String,
        /// Base64 of the hash.
        hash: String,
        /// How it was made.
        #[serde(flatten)]
        work: WorkKept,
    },
}

/// [`Work`] under a name that can stand in a public place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct WorkKept(Work);

/// Why a password cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    /// It is too short or too long.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes")]
    Length,
    /// It is the name.
    #[error("a password is not the name of its user")]
    Name,
    /// The hash cannot be made.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

fn argon2id(password: &str, salt: &[u8], work: Work) -> Result<[u8; HASH_BYTES], PasswordError> {
    let failed = |error: argon2::Error| PasswordError::Hash(error.to_string());
    let params = Params::new(work.memory_kib, work.passes, work.lanes, Some(HASH_BYTES)).map_err(failed)?;
    let mut out = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut out)
        .map_err(failed)?;
    Ok(out)
}

impl Kept {
    /// A password that Sortie makes, and how it is kept.
    pub(crate) fn made(random: &[u8; MADE_BYTES]) -> (String, Kept) {
        let password = URL_SAFE_NO_PAD.encode(random);
        let kept = Kept::of_made(&password);
        (password, kept)
    }

    /// How a password is kept that Sortie made before.
    pub(crate) fn of_made(password: &str) -> Kept {
        Kept::OneTime { digest: Digest::of(password.as_bytes()) }
    }

    /// How a password is kept that a person has chosen. Takes tens of milliseconds of work.
    ///
    /// # Errors
    /// [`PasswordError`] when it is too short, too long or the name itself.
    pub(crate) fn chosen(password: &str, name: &str, salt: &[u8; SALT_BYTES]) -> Result<Kept, PasswordError> {
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::Length);
        }
        if password.eq_ignore_ascii_case(name) {
            return Err(PasswordError::Name);
        }
        let hash = argon2id(password, salt, WORK)?;
        Ok(Kept::Argon2id {
            salt: URL_SAFE_NO_PAD.encode(salt),
            hash: URL_SAFE_NO_PAD.encode(hash),
            work: WorkKept(WORK),
        })
    }

    /// Whether it was made by Sortie, so that another must be chosen.
    pub(crate) const fn is_one_time(&self) -> bool {
        matches!(self, Kept::OneTime { .. })
    }

    /// Whether this is the password. Takes tens of milliseconds of work.
    fn is(&self, password: &str) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        match self {
            Kept::OneTime { digest } => Digest::of(password.as_bytes()).0.ct_eq(&digest.0).into(),
            Kept::Argon2id { salt, hash, work } => {
                let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
                // A stored hash that cannot be made again opens nothing.
                argon2id(password, &bytes(salt), work.0).is_ok_and(|made| made.ct_eq(&bytes(hash)).into())
            }
        }
    }
}

/// A user as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    /// The name, by which the history knows the person.
    pub(crate) name: String,
    /// What the person may do.
    pub(crate) role: Role,
    /// The only tenant that the person sees; nothing means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// The password.
    pub(crate) password: Kept,
    /// When the user was made.
    pub(crate) created_at: Time,
    /// Who made it.
    pub(crate) created_by: String,
}

impl User {
    /// The mark of the store that keeps it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn mark(&self) -> Result<(String, Vec<u8>), serde_json::Error> {
        Ok((format!("{MARKS}{}", self.name), serde_json::to_vec(self)?))
    }
}

/// A stored user that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored user `{name}` cannot be read: {detail}")]
pub(crate) struct Unreadable {
    name: String,
    detail: String,
}

/// All users, by name.
#[derive(Debug)]
pub(crate) struct Users {
    by_name: RwLock<Arc<BTreeMap<String, Arc<User>>>>,
    hashes: Semaphore,
}

impl Default for Users {
    fn default() -> Users {
        Users { by_name: RwLock::default(), hashes: Semaphore::new(HASHES_MAX) }
    }
}

/// What an unknown name is compared with, so that it takes as long as a known one.
static NOBODY: LazyLock<Kept> = LazyLock::new(|| Kept::Argon2id {
    salt: URL_SAFE_NO_PAD.encode([0; SALT_BYTES]),
    hash: URL_SAFE_NO_PAD.encode([0; HASH_BYTES]),
    work: WorkKept(WORK),
});

impl Users {
    /// Takes over what the store holds.
    ///
    /// # Errors
    /// [`Unreadable`] when one of them cannot be read; then nothing changes.
    pub(crate) fn load(&self, marks: Vec<(String, Vec<u8>)>) -> Result<(), Unreadable> {
        let mut all = BTreeMap::new();
        for (name, bytes) in marks {
            let user: User = serde_json::from_slice(&bytes).map_err(|e| Unreadable { name, detail: e.to_string() })?;
            all.insert(user.name.clone(), Arc::new(user));
        }
        *self.by_name.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        Ok(())
    }

    /// The user of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<User>> {
        self.all().get(name).cloned()
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<Arc<User>> {
        self.all().values().cloned().collect()
    }

    /// The user of this name and password.
    pub(crate) async fn check(&self, name: &str, password: &str) -> Option<Arc<User>> {
        let user = self.find(name);
        let kept = user.as_ref().map_or_else(|| NOBODY.clone(), |user| user.password.clone());
        let password = password.to_owned();
        let right = self.work(move || kept.is(&password)).await.unwrap_or(false);
        user.filter(|_| right)
    }

    /// Hashes a password that a person has chosen, away from the threads that answer.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub(crate) async fn hash(&self, password: &str, name: &str, salt: [u8; SALT_BYTES]) -> Result<Kept, PasswordError> {
        let (password, name) = (password.to_owned(), name.to_owned());
        let made = self.work(move || Kept::chosen(&password, &name, &salt)).await;
        made.unwrap_or_else(|| Err(PasswordError::Hash("the work ended early".to_owned())))
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _turn = self.hashes.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }

    fn all(&self) -> Arc<BTreeMap<String, Arc<User>>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(password: Kept) -> User {
        User {
            name: "alice".to_owned(),
            role: Role::Analyst,
            tenant: None,
            password,
            created_at: Time::EPOCH,
            created_by: "system".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_user_is_known_by_name_and_password_together_and_kept_without_the_password() {
        let kept = Kept::chosen("correct horse battery", "alice", &[7; SALT_BYTES]).unwrap();
        let (name, bytes) = user(kept).mark().unwrap();
        assert_eq!(name, "user/alice");
        assert!(!String::from_utf8(bytes.clone()).unwrap().contains("horse"));
        let users = Users::default();
        users.load(vec![(name, bytes)]).unwrap();
        assert_eq!(users.check("alice", "correct horse battery").await.unwrap().name, "alice");
        for (name, password) in [("alice", "correct horse batterY"), ("alice", ""), ("bob", "correct horse battery")] {
            assert!(users.check(name, password).await.is_none(), "{name}");
        }
        assert!(users.check("alice", &"x".repeat(PASSWORD_BYTES_MAX + 1)).await.is_none());
    }

    #[tokio::test]
    async fn a_password_that_sortie_made_opens_and_says_that_another_must_be_chosen() {
        let (password, kept) = Kept::made(&[9; MADE_BYTES]);
        assert!(kept.is_one_time() && password.len() == 20);
        let users = Users::default();
        users.load(vec![user(kept).mark().unwrap()]).unwrap();
        assert!(users.check("alice", &password).await.unwrap().password.is_one_time());
        assert!(users.check("alice", "x").await.is_none());
    }

    #[test]
    fn short_passwords_and_names_are_refused() {
        let chosen = |password: &str| Kept::chosen(password, "alice.anderson", &[1; SALT_BYTES]);
        assert_eq!(chosen("elevenchars"), Err(PasswordError::Length));
        assert_eq!(chosen(&"x".repeat(PASSWORD_BYTES_MAX + 1)), Err(PasswordError::Length));
        assert_eq!(chosen("Alice.Anderson"), Err(PasswordError::Name));
        assert!(chosen("zwölf Zeichen").is_ok());
    }

    #[test]
    fn the_same_password_is_kept_differently_for_two_users() {
        let kept = |salt: u8| Kept::chosen("correct horse battery", "alice", &[salt; SALT_BYTES]).unwrap();
        assert_ne!(kept(1), kept(2));
    }
}
