//! The state that decisions read.

use std::sync::Arc;

use model::{Object, ObjectKey, RunId, Time};
use store::Store;

use crate::brakes::{Brakes, Mute, Suspension};

/// The state that a decision reads.
pub trait View {
    /// An object as it stands.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    fn object(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error>;

    /// Until when a window is silent, if it is at `now`.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, store::Error>;

    /// The times of a tally; none when nobody wants to know at `now` any more.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, store::Error> {
        let _ = (key, now);
        Ok(Vec::new())
    }

    /// The open runs of a group ([`model::run::Gate::group`]), the oldest first.
    ///
    /// # Errors
    /// [`store::Error`] when they cannot be read.
    fn group(&self, group: &str) -> Result<Vec<RunId>, store::Error> {
        let _ = group;
        Ok(Vec::new())
    }

    /// A small named value; a state that keeps none has none.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    fn mark(&self, _name: &str) -> Result<Option<Vec<u8>>, store::Error> {
        Ok(None)
    }

    /// The mute of an entity that holds at `now`.
    fn muted(&self, key: &ObjectKey, now: Time) -> Option<Mute> {
        let _ = (key, now);
        None
    }

    /// Whether any entity is muted: asked before anything is looked up.
    fn mutes(&self) -> bool {
        false
    }

    /// Why a playbook is suspended, if it is.
    fn suspended(&self, playbook: &str) -> Option<Suspension> {
        let _ = playbook;
        None
    }
}

/// A state that knows nothing: for `explain --event`, dry runs of the mapping and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl View for Nothing {
    fn object(&self, _key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error> {
        Ok(None)
    }

    fn window(&self, _key: &str, _now: Time) -> Result<Option<Time>, store::Error> {
        Ok(None)
    }
}

/// The state as it stands in the store, for decisions that change nothing.
pub(crate) struct Stored<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) brakes: Arc<Brakes>,
}

impl View for Stored<'_> {
    fn object(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error> {
        Ok(self.store.object(key)?.map(Arc::new))
    }

    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, store::Error> {
        self.store.window(key, now)
    }

    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, store::Error> {
        self.store.tally(key, now)
    }

    fn group(&self, group: &str) -> Result<Vec<RunId>, store::Error> {
        self.store.group(group)
    }

    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, store::Error> {
        self.store.mark(name)
    }

    fn muted(&self, key: &ObjectKey, now: Time) -> Option<Mute> {
        self.brakes.muted(key, now).cloned()
    }

    fn mutes(&self) -> bool {
        !self.brakes.mutes.is_empty()
    }

    fn suspended(&self, playbook: &str) -> Option<Suspension> {
        self.brakes.suspended.get(playbook).cloned()
    }
}
