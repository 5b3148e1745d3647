//! What Sortie keeps secret: encrypted under one master key, so that neither the data folder nor a backup gives it away.
//!
//! Each value is sealed with AES-256-GCM under a nonce of its own and the name under which it is stored, so that no value
//! can be put in another's place. A constant text is sealed beside them: a key that does not open it is the wrong one, and
//! nothing starts with it.
//!
//! Invariants: nothing is ever stored in the clear for want of a key. A value that was stored cannot be read by anybody
//! but the sender of a message.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::secret::{Lookup, Secret};

/// The mark of the store under which the constant text is kept, sealed.
pub const CHECK_MARK: &str = "vault/check";
/// What the marks of secrets begin with; the name of the secret follows.
pub const SECRETS_PREFIX: &str = "secret/";
/// The file of the data folder in which the master key is made when no other is configured.
pub const KEY_FILE: &str = "secrets.key";
/// Longest secret that is kept, in bytes.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;
/// Most secrets that are kept.
pub const SECRETS_MAX: usize = 1_000;

/// Bytes of a master key.
const KEY_BYTES: usize = 32;
/// The first byte of everything sealed: how it is sealed.
const VERSION: u8 = 1;
/// The constant text.
const CHECK_TEXT: &[u8] = b"sortie";
/// Largest file of a master key, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 4 * 1024;

/// Why what is kept secret cannot be opened or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is sealed matter, and no key.
    #[error("the store holds secrets, and their master key is not here")]
    NoKey,
    /// The key is another.
    #[error("the master key is not the one under which the secrets of this store are encrypted")]
    WrongKey,
    /// The text is no key.
    #[error("the master key in {place} is not 32 bytes in base64 or hexadecimal")]
    NotAKey {
        /// Where it stands.
        place: String,
    },
    /// The file of the key cannot be read or made.
    #[error("the master key in {path} cannot be used: {why}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The system gives no random bytes.
    #[error("the system has no source of randomness")]
    Random,
    /// Something sealed was changed, or stands under another name than its own.
    #[error("`{name}` in the store was changed from outside and cannot be opened")]
    Damaged {
        /// Its mark.
        name: String,
    },
}

/// The master key.
#[derive(Clone)]
pub struct MasterKey(Arc<LessSafeKey>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl MasterKey {
    /// Reads a key. `place` says where it stands, for the message.
    ///
    /// # Errors
    /// [`VaultError::NotAKey`].
    pub fn parse(text: &str, place: &str) -> Result<MasterKey, VaultError> {
        let text = text.trim();
        let wrong = || VaultError::NotAKey { place: place.to_owned() };
        let bytes = if text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            (0..KEY_BYTES)
                .map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2).unwrap_or_default(), 16))
                .collect::<Result<Vec<u8>, _>>()
                .map_err(|_| wrong())?
        } else {
            STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| wrong())?
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| wrong())?;
        Ok(MasterKey(Arc::new(LessSafeKey::new(key))))
    }

    /// Reads the key in a file; nothing when there is no such file.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn read(path: &Path) -> Result<Option<MasterKey>, VaultError> {
        let failed = |why: String| VaultError::File { path: path.display().to_string(), why };
        let size = match std::fs::metadata(path) {
            Ok(data) => data.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        if size > KEY_FILE_BYTES_MAX {
            return Err(failed(format!("it is larger than {KEY_FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        MasterKey::parse(&text, &path.display().to_string()).map(Some)
    }

    /// Makes a key and writes it into a file that must not exist yet, for its owner alone.
    fn make(path: &Path) -> Result<MasterKey, VaultError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| VaultError::Random)?;
        let text = STANDARD.encode(bytes);
        let write = || {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(format!("{text}\n").as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error: std::io::Error| VaultError::File {
            path: path.display().to_string(),
            why: error.to_string(),
        })?;
        MasterKey::parse(&text, &path.display().to_string())
    }

    fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::Random)?;
        let mut body = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()), &mut body)
            .map_err(|_| VaultError::Random)?;
        Ok([&[VERSION][..], &nonce, &body].concat())
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let damaged = || VaultError::Damaged { name: name.to_owned() };
        let (version, rest) = sealed.split_first().ok_or_else(damaged)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(damaged());
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = body.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body).map_err(|_| damaged())?;
        Ok(plain.to_vec())
    }
}

/// A value as it is stored: a mark of the store.
pub type Mark = (String, Option<Vec<u8>>);

#[derive(Default)]
struct Inner {
    key: Option<MasterKey>,
    /// Whether the store holds the constant text.
    checked: bool,
    /// The secrets by name, sealed.
    secrets: BTreeMap<String, Vec<u8>>,
}

/// What Sortie keeps secret.
pub struct Vault {
    inner: RwLock<Inner>,
    /// Where a key is made when one is needed and there is none.
    make: Option<PathBuf>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// Over what a store holds: the sealed constant text, and the marks of the secrets. `make` is where a key is made when
    /// one is needed and there is none; nothing when the key is configured.
    ///
    /// # Errors
    /// [`VaultError::NoKey`] or [`VaultError::WrongKey`] when the store holds what this key does not open.
    pub fn open(
        key: Option<MasterKey>,
        make: Option<PathBuf>,
        check: Option<&[u8]>,
        secrets: Vec<(String, Vec<u8>)>,
    ) -> Result<Vault, VaultError> {
        if let Some(check) = check {
            let key = key.as_ref().ok_or(VaultError::NoKey)?;
            key.open(CHECK_MARK, check).map_err(|_| VaultError::WrongKey)?;
        }
        let named = secrets
            .into_iter()
            .filter_map(|(mark, sealed)| mark.strip_prefix(SECRETS_PREFIX).map(|name| (name.to_owned(), sealed)));
        let inner = Inner { key, checked: check.is_some(), secrets: named.collect() };
        Ok(Vault { inner: RwLock::new(inner), make })
    }

    /// A vault without a key and without a place for one: it keeps nothing.
    pub fn closed() -> Vault {
        Vault { inner: RwLock::default(), make: None }
    }

    /// Seals a value for the mark `name`; what comes back is written in one commit. A key is made when there is none yet.
    ///
    /// # Errors
    /// [`VaultError`] when there is no key and none can be made.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<Mark>, VaultError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let key = match (&inner.key, &self.make) {
            (Some(key), _) => key.clone(),
            (None, Some(path)) => {
                let key = MasterKey::make(path)?;
                tracing::warn!(file = %path.display(), "a master key for secrets was made; keep a copy of it apart from the backups");
                inner.key = Some(key.clone());
                key
            }
            (None, None) => return Err(VaultError::NoKey),
        };
        let mut marks = vec![(name.to_owned(), Some(key.seal(name, plain)?))];
        if !inner.checked {
            marks.push((CHECK_MARK.to_owned(), Some(key.seal(CHECK_MARK, CHECK_TEXT)?)));
        }
        Ok(marks)
    }

    /// Opens what was sealed for the mark `name`.
    ///
    /// # Errors
    /// [`VaultError`] when it was changed, or there is no key.
    pub fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.key.as_ref().ok_or(VaultError::NoKey)?.open(name, sealed)
    }

    /// Takes over what [`Vault::seal`] made, once it is stored; a mark without a value is a secret that was deleted.
    pub fn stored(&self, marks: &[Mark]) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for (mark, value) in marks {
            inner.checked |= mark == CHECK_MARK;
            let Some(name) = mark.strip_prefix(SECRETS_PREFIX) else { continue };
            match value {
                Some(sealed) => inner.secrets.insert(name.to_owned(), sealed.clone()),
                None => inner.secrets.remove(name),
            };
        }
    }

    /// The names of the secrets, in order.
    pub fn names(&self) -> Vec<String> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).secrets.keys().cloned().collect()
    }
}

impl Lookup for Vault {
    fn find(&self, name: &str) -> Option<Secret> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let sealed = inner.secrets.get(name)?;
        match inner.key.as_ref()?.open(&format!("{SECRETS_PREFIX}{name}"), sealed) {
            Ok(plain) => String::from_utf8(plain).ok().map(Secret::new),
            Err(error) => {
                tracing::error!(%error, "a secret cannot be opened");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::parse(&STANDARD.encode([byte; KEY_BYTES]), "test").unwrap()
    }

    type Stored = Vec<(String, Vec<u8>)>;

    fn split(marks: Vec<Mark>) -> (Option<Vec<u8>>, Stored) {
        let all: Vec<_> = marks.into_iter().map(|(name, value)| (name, value.unwrap())).collect();
        let check = all.iter().find(|(name, _)| name == CHECK_MARK).map(|(_, value)| value.clone());
        (check, all)
    }

    #[test]
    fn a_secret_is_found_again_under_the_same_key_and_stands_nowhere_in_the_clear() {
        let vault = Vault::open(Some(key(1)), None, None, Vec::new()).unwrap();
        let marks = vault.seal("secret/DESK", b"canary-s3cret").unwrap();
        assert!(vault.find("DESK").is_none(), "what is not stored does not exist");
        vault.stored(&marks);
        assert_eq!(vault.find("DESK").unwrap().expose(), "canary-s3cret");
        assert_eq!(vault.names(), ["DESK"]);
        let again = vault.seal("secret/OTHER", b"x").unwrap();
        assert_eq!(again.len(), 1, "the constant text is sealed once");
        let (check, all) = split(marks);
        assert!(all.iter().all(|(_, bytes)| !bytes.windows(6).any(|part| part == b"canary")));
        let later = Vault::open(Some(key(1)), None, check.as_deref(), all).unwrap();
        assert_eq!(later.find("DESK").unwrap().expose(), "canary-s3cret");
        later.stored(&[("secret/DESK".to_owned(), None)]);
        assert!(later.find("DESK").is_none());
    }

    #[test]
    fn another_key_or_none_opens_nothing_and_is_refused_at_once() {
        let vault = Vault::open(Some(key(1)), None, None, Vec::new()).unwrap();
        let (check, all) = split(vault.seal("secret/DESK", b"x").unwrap());
        let open = |key| Vault::open(key, None, check.as_deref(), all.clone()).unwrap_err();
        assert_eq!(open(Some(key(2))), VaultError::WrongKey);
        assert_eq!(open(None), VaultError::NoKey);
    }

    #[test]
    fn a_value_that_was_changed_or_put_under_another_name_is_not_opened() {
        let vault = Vault::open(Some(key(1)), None, None, Vec::new()).unwrap();
        let sealed = vault.seal("secret/A", b"value").unwrap()[0].1.clone().unwrap();
        assert_eq!(vault.unseal("secret/A", &sealed).unwrap(), b"value");
        assert!(matches!(vault.unseal("secret/B", &sealed), Err(VaultError::Damaged { .. })));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.unseal("secret/A", &changed).is_err(), "byte {at}");
        }
        assert!(vault.unseal("secret/A", b"").is_err());
        assert_ne!(vault.seal("secret/A", b"value").unwrap()[0].1.clone().unwrap(), sealed, "never the same nonce");
    }

    #[test]
    fn a_key_is_32_bytes_in_base64_or_hexadecimal() {
        for good in [STANDARD.encode([7; 32]), format!(" {}\n", STANDARD_NO_PAD.encode([7; 32])), "07".repeat(32)] {
            assert!(MasterKey::parse(&good, "x").is_ok(), "{good}");
        }
        for bad in ["", "password", &STANDARD.encode([7; 31]), &"0g".repeat(32), &"07".repeat(31)] {
            assert_eq!(MasterKey::parse(bad, "x").unwrap_err(), VaultError::NotAKey { place: "x".into() }, "{bad}");
        }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        assert!(MasterKey::read(&path).unwrap().is_none());
        let vault = Vault::open(None, Some(path.clone()), None, Vec::new()).unwrap();
        let sealed = vault.seal("secret/A", b"1").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (check, all) = split(sealed);
        let later = Vault::open(MasterKey::read(&path).unwrap(), Some(path), check.as_deref(), all).unwrap();
        assert_eq!(later.find("A").unwrap().expose(), "1");
        assert_eq!(Vault::closed().seal("secret/A", b"1"), Err(VaultError::NoKey));
    }
}
