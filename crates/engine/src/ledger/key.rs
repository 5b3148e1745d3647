//! Where the signing key lies: a file that only the server's user may read, made at the first start.
//!
//! Invariants: a key is never replaced silently. When the file is gone although the store knows a key, the loss is told and
//! recorded, and a new key begins; what the old one signed stays verifiable with its public half.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::note::{KEY_BYTES, NoteError, Signer};

/// The name of the file in the data folder.
pub const KEY_FILE: &str = "ledger.key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the signing key {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the file holds is no key.
    #[error("the signing key {}: {source}; put the right file back, or move it away to begin with a new key", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: NoteError,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for a signing key")]
    Random,
}

/// The file of the signing key.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Where it lies.
    pub path: PathBuf,
    /// The name under which a new key signs, such as `sortie/soc-1`.
    pub name: String,
}

impl Keys {
    /// The key; `None` when there is no file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(&self) -> Result<Option<Signer>, KeyError> {
        let path = &self.path;
        match fs::read_to_string(path) {
            Ok(text) => Signer::parse(&text).map(Some).map_err(|source| KeyError::Form { path: path.clone(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::File { path: path.clone(), source }),
        }
    }

    /// Makes a new key. A file that is there is kept under a name that ends in `.old`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn make(&self) -> Result<Signer, KeyError> {
        let mut seed = [0; KEY_BYTES];
        getrandom::fill(&mut seed).map_err(|_| KeyError::Random)?;
        let path = &self.path;
        let signer =
            Signer::from_seed(&self.name, seed).map_err(|source| KeyError::Form { path: path.clone(), source })?;
        let written = self.put_aside().and_then(|()| write_new(path, &signer.to_text()));
        written.map_err(|source| KeyError::File { path: path.clone(), source })?;
        Ok(signer)
    }

    fn put_aside(&self) -> io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let mut old = self.path.clone().into_os_string();
        old.push(".old");
        fs::rename(&self.path, old)
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
