//! The first start makes a token for the administrator and keeps it in the data folder, mode 0600, so that the command
//! line of the same machine can use it and nothing is open.
//!
//! Invariant: the file is written before the token is known to the store. After a crash between the two the next start
//! takes the token of the file over; there is never a token that nobody has.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use engine::Engine;
use model::event::Actor;

use super::Role;
use super::token::{self, FIRST, MARKS, RANDOM_BYTES, Token, Tokens, is_secret};

/// The file in the data folder.
pub(crate) const FILE: &str = "admin.token";

/// Why the tokens are not there at the start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The store failed.
    #[error("the tokens cannot be read: {0}")]
    Store(#[from] store::Error),
    /// What it holds is damaged.
    #[error(transparent)]
    Unreadable(#[from] token::Unreadable),
    /// A stored user is damaged.
    #[error(transparent)]
    UnreadableUser(#[from] super::user::Unreadable),
    /// The engine refused to keep the token.
    #[error("the first token cannot be kept: {0}")]
    Refused(#[from] engine::Refusal),
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// It cannot be written as JSON.
    #[error("a token or a user cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// Loads the tokens; makes the first one when there is none.
///
/// # Errors
/// [`Error`] when they cannot be read, or the first one cannot be made.
pub(crate) async fn start(engine: &Engine, tokens: &Tokens, data: &Path) -> Result<(), Error> {
    let store = engine.store();
    tokens.load(store.marks(MARKS)?)?;
    if !tokens.list().is_empty() {
        return Ok(());
    }
    let path = data.join(FILE);
    let now = store.now();
    let token = match read(&path)? {
        Some(secret) => Token::of(&secret, FIRST, Role::Admin, None, "system", now),
        None => {
            let mut random = [0; RANDOM_BYTES];
            getrandom::fill(&mut random)?;
            let (secret, token) = Token::make(FIRST, Role::Admin, None, "system", now, &random);
            write(&path, &secret)?;
            token
        }
    };
    let (name, bytes) = token.mark()?;
    let what = serde_json::json!({ "action": "token.created", "name": token.name, "role": token.role.name() });
    engine.set_marks(vec![(name, Some(bytes))], format!("token:{FIRST}"), what, Actor::System).await?;
    tracing::info!(file = %path.display(), "made a token for the administrator");
    tokens.load(store.marks(MARKS)?)?;
    Ok(())
}

/// The token of the file, if there is one.
fn read(path: &Path) -> Result<Option<String>, Error> {
    Ok(read_line(path)?.filter(|text| is_secret(text)))
}

/// What the file holds; nothing when there is none.
///
/// # Errors
/// [`Error::File`].
pub(super) fn read_line(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

/// Writes the file for its owner alone, on disk when this returns.
///
/// # Errors
/// [`Error::File`].
pub(super) fn write(path: &Path, secret: &str) -> Result<(), Error> {
    let make = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        writeln!(file, "{secret}")?;
        file.sync_all()
    };
    make().map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_for_its_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert!(read(&path).unwrap().is_none());
        let (secret, _) = Token::make(FIRST, Role::Admin, None, "system", model::Time::EPOCH, &[3; RANDOM_BYTES]);
        write(&path, &secret).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(secret.as_str()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_holds_no_token_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, "admin\n").unwrap();
        assert!(read(&path).unwrap().is_none());
    }
}
