//! What a redacted value leaves behind: a commitment, so that it can be proved later which value was sent, without it ever
//! having been stored.
//!
//! A commitment is `sha256(salt ‖ value)`. The salt is not stored either: it follows from a key that lies in a file of its
//! own, apart from the store and from every backup and bundle, and from the place of the value (run, step, destination, try,
//! name). Whoever is shown the salt of one place can check a value against that one commitment, and learns nothing about
//! any other.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::history::{Salt, commitment};
use model::run::Redacted;
use model::{Digest, RunId};

use super::secret::Secret;
use super::sign::{Hash, hmac};

/// The file of the data folder in which the key lies.
pub const KEY_FILE: &str = "commitments.key";
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Largest file of a key, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 1_024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key of commitments {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What the file holds is no key.
    #[error("the key of commitments {} is not 64 hexadecimal digits; put the right file back, or move it away to begin with a new key", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for a key of commitments")]
    Random,
}

/// Where a value was placed.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The run.
    pub run: RunId,
    /// The path of the step.
    pub path: &'a str,
    /// The destination, where the step sends to one.
    pub destination: Option<&'a str>,
    /// The number of the try.
    pub n: u32,
}

/// Makes commitments; nothing where there is no key, such as in a simulation.
#[derive(Clone, Default)]
pub struct Commitments(Option<Arc<[u8; KEY_BYTES]>>);

impl std::fmt::Debug for Commitments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commitments")
    }
}

impl Commitments {
    /// With this key.
    pub fn keyed(key: [u8; KEY_BYTES]) -> Commitments {
        Commitments(Some(Arc::new(key)))
    }

    /// Reads the key in a file; nothing when there is no file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(path: &Path) -> Result<Option<Commitments>, KeyFileError> {
        let failed = |source| KeyFileError::File { path: path.to_owned(), source };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(data) if data.len() > KEY_FILE_BYTES_MAX => return Err(KeyFileError::Form { path: path.to_owned() }),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let digest: Digest = text.trim().parse().map_err(|_| KeyFileError::Form { path: path.to_owned() })?;
        Ok(Some(Commitments::keyed(digest.0)))
    }

    /// Makes a key and writes it into a file that must not exist yet, for its owner alone.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn make(path: &Path) -> Result<Commitments, KeyFileError> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|_| KeyFileError::Random)?;
        let write = || {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(format!("{}\n", Digest(key)).as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| KeyFileError::File { path: path.to_owned(), source })?;
        Ok(Commitments::keyed(key))
    }

    /// What tells one key from another, and nothing more about it.
    pub fn fingerprint(&self) -> Option<Digest> {
        self.0.as_ref().map(|key| Digest::of(&[b"sortie commitments\n".as_slice(), key.as_slice()].concat()))
    }

    /// The salt of what stands in a place under a name.
    pub fn salt(&self, place: Place<'_>, name: &str) -> Option<Salt> {
        let key = self.0.as_ref()?;
        let Place { run, path, destination, n } = place;
        let text = format!("{run}\n{path}\n{}\n{n}\n{name}", destination.unwrap_or_default());
        let digest = hmac(Hash::Sha256, key.as_slice(), &[text.as_bytes()]);
        digest.first_chunk().copied()
    }

    /// What the values leave that were placed in a request.
    pub fn of(&self, place: Place<'_>, placed: &[(String, Secret)]) -> Vec<Redacted> {
        let mut left: Vec<Redacted> = Vec::new();
        for (name, value) in placed {
            let Some(salt) = self.salt(place, name) else { continue };
            let commitment = commitment(&salt, value.expose().as_bytes());
            if !left.iter().any(|known| known.secret == *name && known.commitment == commitment) {
                left.push(Redacted { secret: name.clone(), commitment });
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn place(n: u32) -> Place<'static> {
        Place { run: "run-0000000007-0-000009".parse().unwrap(), path: "send", destination: Some("desk"), n }
    }

    #[test]
    fn a_value_is_known_again_by_its_salt_and_another_is_not() {
        let commitments = Commitments::keyed([7; 32]);
        let left = commitments.of(place(1), &[("DESK".to_owned(), Secret::new("s3cret"))]);
        let salt = commitments.salt(place(1), "DESK").unwrap();
        assert_eq!(left[0].commitment, commitment(&salt, b"s3cret"));
        assert_ne!(left[0].commitment, commitment(&salt, b"s3cres"));
        assert_ne!(left[0].commitment, Digest::of(b"s3cret"), "nobody can guess it from the commitment alone");
    }

    #[test]
    fn the_salt_of_one_place_opens_no_other() {
        let commitments = Commitments::keyed([7; 32]);
        let salt = commitments.salt(place(1), "DESK").unwrap();
        assert_ne!(commitments.salt(place(2), "DESK"), Some(salt));
        assert_ne!(commitments.salt(place(1), "OTHER"), Some(salt));
        assert_ne!(commitments.salt(Place { destination: None, ..place(1) }, "DESK"), Some(salt));
        assert_ne!(Commitments::keyed([8; 32]).salt(place(1), "DESK"), Some(salt));
        assert!(Commitments::default().of(place(1), &[("DESK".to_owned(), Secret::new("x"))]).is_empty());
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        assert!(Commitments::read(&path).unwrap().is_none());
        let made = Commitments::make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Commitments::read(&path).unwrap().unwrap().fingerprint(), made.fingerprint());
        assert!(matches!(Commitments::make(&path), Err(KeyFileError::File { .. })), "never written over");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(matches!(Commitments::read(&path), Err(KeyFileError::Form { .. })));
    }
}
