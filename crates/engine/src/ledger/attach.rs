//! The ledger of a running engine: begun at its start, signed while it runs and when it stops.

use std::sync::Arc;

use model::event::Actor;
use serde_json::json;

use super::checkpoint::Checkpoint;
use super::courier::{self, Carried};
use super::keeper::{self, KEY_PREFIX, Keeper, OpenError, Settings, SignError};
use super::key::KeyError;
use super::note::Verifier;
use crate::engine::Engine;
use crate::refusal::Refusal;

/// Why the ledger is not signed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The key or the store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// It could not be recorded.
    #[error("what concerns the signing key could not be recorded: {0}")]
    Refused(#[from] Refusal),
    /// The engine was started without a ledger.
    #[error("this engine signs nothing: it was opened for one command without its key")]
    Absent,
    /// The system gives no thread.
    #[error("the system gives no thread to work in")]
    Thread,
}

impl Engine {
    /// Signs the history from now on, with the key of `settings`, made where there is none.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn sign_with(&self, settings: Settings) -> Result<(), LedgerError> {
        let store = Arc::clone(self.store());
        let opened = tokio::task::spawn_blocking(move || Keeper::open(settings, store.as_ref()));
        let (keeper, news) = opened.await.map_err(|_| LedgerError::Thread)??;
        let keeper = Arc::new(keeper);
        self.keep(Arc::clone(&keeper));
        keeper::record_key(self, &keeper.verifier(), &news).await?;
        if keeper.destination().is_some() {
            self.also(courier::run(self.downgrade(), Arc::clone(&keeper), self.stopping()));
        }
        self.also(keeper::run(keeper, Arc::clone(self.store()), self.stopping()));
        Ok(())
    }

    /// A signed checkpoint over everything that is recorded now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn checkpoint(&self) -> Result<(Checkpoint, String), LedgerError> {
        let keeper = Arc::clone(self.keeper().ok_or(LedgerError::Absent)?);
        let store = Arc::clone(self.store());
        let signed = tokio::task::spawn_blocking(move || keeper.sign(store.as_ref()));
        Ok(signed.await.map_err(|_| LedgerError::Thread)??)
    }

    /// How checkpoints get to their destination; nothing when they go nowhere.
    pub fn carried_checkpoints(&self) -> Option<Carried> {
        self.keeper().and_then(|keeper| keeper.carried())
    }

    /// The public half of the signing key.
    ///
    /// # Errors
    /// [`LedgerError::Absent`].
    pub fn signing_key(&self) -> Result<Verifier, LedgerError> {
        Ok(self.keeper().ok_or(LedgerError::Absent)?.verifier())
    }

    /// Signs once more with the present key, then begins a new one. The old file stays beside it, its name ending in
    /// `.old`; what it signed stays verifiable.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn rotate_signing_key(&self, actor: Actor) -> Result<Verifier, LedgerError> {
        let keeper = Arc::clone(self.keeper().ok_or(LedgerError::Absent)?);
        self.checkpoint().await?;
        let before = keeper.verifier();
        let rotated = tokio::task::spawn_blocking(move || keeper.rotate());
        let verifier = rotated.await.map_err(|_| LedgerError::Thread)??;
        let at = self.store().next_seq();
        let marks = vec![(format!("{KEY_PREFIX}{:020}", at.0), Some(verifier.to_string().into_bytes()))];
        let payload =
            json!({ "what": "signing key rotated", "before": before.to_string(), "key": verifier.to_string() });
        self.set_marks(marks, "ledger".to_owned(), payload, actor).await?;
        Ok(verifier)
    }
}
