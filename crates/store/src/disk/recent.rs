//! Objects that were committed last, for as long as somebody else has their fields in memory anyway.
//!
//! A run that begins reads the object that its event has just changed. Read from the tree it would be parsed again, field by
//! field; here it is found whole. Only the small part is kept, the fields by a weak reference: what nobody holds any more
//! costs nothing.
//!
//! Invariants: what is found is what was committed last; bounded by its number of places, whatever the objects' size.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Weak;

use model::object::Meta;
use model::{Object, ObjectKey, Record};

/// Places. Each key has one; two keys with the same place push each other out.
const PLACES: usize = 4096;

struct Known {
    key: ObjectKey,
    meta: Meta,
    record: Weak<Record>,
}

/// See the module.
pub(super) struct Recent {
    hasher: RandomState,
    places: Vec<Option<Known>>,
}

impl Recent {
    /// Knows nothing.
    pub(super) fn new() -> Recent {
        Recent { hasher: RandomState::new(), places: std::iter::repeat_with(|| None).take(PLACES).collect() }
    }

    fn place(&self, key: &ObjectKey) -> usize {
        usize::try_from(self.hasher.hash_one(key) % PLACES as u64).unwrap_or_default()
    }

    /// An object that was committed, if its fields are still in memory.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Object> {
        let known = self.places.get(self.place(key))?.as_ref().filter(|known| known.key == *key)?;
        Some(Object { record: known.record.upgrade()?, meta: known.meta.clone() })
    }

    /// Takes over what was committed.
    pub(super) fn put(&mut self, key: ObjectKey, object: Object) {
        let place = self.place(&key);
        let known = Known { key, meta: object.meta, record: std::sync::Arc::downgrade(&object.record) };
        if let Some(place) = self.places.get_mut(place) {
            *place = Some(known);
        }
    }

    /// Forgets everything, after objects were dropped.
    pub(super) fn forget(&mut self) {
        self.places.fill_with(|| None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use model::Kind;

    fn key(id: &str) -> ObjectKey {
        ObjectKey { tenant: "default".to_owned(), kind: Kind::Alert, id: id.to_owned() }
    }

    fn object(version: u64) -> Object {
        Object { record: Arc::default(), meta: Meta { version, ..Meta::default() } }
    }

    #[test]
    fn what_was_put_last_is_found_while_somebody_holds_its_fields() {
        let mut recent = Recent::new();
        let (first, second) = (object(1), object(2));
        recent.put(key("A"), first.clone());
        recent.put(key("A"), second.clone());
        assert_eq!(recent.get(&key("A")), Some(second.clone()));
        assert_eq!(recent.get(&key("B")), None);
        drop(second);
        assert_eq!(recent.get(&key("A")), None, "and never the one before");
        recent.put(key("A"), first.clone());
        recent.forget();
        assert_eq!(recent.get(&key("A")), None);
    }
}
