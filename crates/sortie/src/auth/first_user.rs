//! The first start makes the user `admin` with a one-time password, which it keeps in the data folder, mode 0600, until
//! another is chosen. It is made once: who deletes all users later, because people sign in by other means, stays without.
//!
//! Invariant: the file is written before the user is known to the store, as for the first token.

use std::path::Path;

use engine::Engine;
use model::event::Actor;

use super::Role;
use super::first::{self, Error};
use super::user::{self, Kept, MADE_BYTES, User, Users};

/// The file in the data folder.
pub(crate) const FILE: &str = "admin.password";
/// The user's name.
pub(crate) const NAME: &str = "admin";
/// The mark that says that the first user was made.
const MADE: &str = "first-user";
/// Longest password in the file that is taken for one, in bytes.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 20..=64;

/// Loads the users; makes the first one at the first start of a server that asks who somebody is.
///
/// # Errors
/// [`Error`] when they cannot be read, or the first one cannot be made.
pub(crate) async fn start(engine: &Engine, users: &Users, data: &Path, asks: bool) -> Result<(), Error> {
    let store = engine.store();
    users.load(store.marks(user::MARKS)?)?;
    if !asks || !users.list().is_empty() || store.mark(MADE)?.is_some() {
        return Ok(());
    }
    let path = data.join(FILE);
    let kept = match first::read_line(&path)?.filter(|text| PASSWORD_BYTES.contains(&text.len())) {
        Some(password) => Kept::of_made(&password),
        None => {
            let mut random = [0; MADE_BYTES];
            getrandom::fill(&mut random)?;
            let (password, kept) = Kept::made(&random);
            first::write(&path, &password)?;
            kept
        }
    };
    let user = User {
        name: NAME.to_owned(),
        role: Role::Admin,
        tenant: None,
        password: kept,
        created_at: store.now(),
        created_by: "system".to_owned(),
    };
    let (name, bytes) = user.mark()?;
    let what = serde_json::json!({ "action": "user.created", "name": user.name, "role": user.role.name() });
    let marks = vec![(name, Some(bytes)), (MADE.to_owned(), Some(b"made".to_vec()))];
    engine.set_marks(marks, format!("user:{NAME}"), what, Actor::System).await?;
    tracing::info!(file = %path.display(), "made the user admin with a one-time password");
    users.load(store.marks(user::MARKS)?)?;
    Ok(())
}

/// Takes the file away once its password opens nothing any more.
pub(crate) fn forget(data: &Path) {
    let path = data.join(FILE);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // The password in it is void; the file is only untidy.
        Err(error) => tracing::warn!(file = %path.display(), %error, "the file of a password that is void stays"),
    }
}
