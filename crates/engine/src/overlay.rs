//! A map of what will be true after a commit, laid over what is stored, that can be taken back to an earlier point.
//!
//! Invariant: after [`Overlay::roll_back`] the map is exactly what it was at the point that [`Overlay::point`] answered.
//! Keeping a point costs nothing; only changes do, so that an event in a large batch is not dearer than one alone.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The map, and what its changes replaced.
#[derive(Debug)]
pub(crate) struct Overlay<K, V> {
    map: HashMap<K, V>,
    replaced: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Overlay<K, V> {
    fn default() -> Self {
        Overlay { map: HashMap::new(), replaced: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Overlay<K, V> {
    /// What will be true of `key`, if this differs from what is stored.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.map.get(key)
    }

    /// Makes something true.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let before = self.map.insert(key.clone(), value);
        self.replaced.push((key, before));
    }

    /// A point to come back to.
    pub(crate) fn point(&self) -> usize {
        self.replaced.len()
    }

    /// Takes back every change since `point`.
    pub(crate) fn roll_back(&mut self, point: usize) {
        for (key, before) in self.replaced.drain(point.min(self.replaced.len())..).rev() {
            match before {
                Some(value) => self.map.insert(key, value),
                None => self.map.remove(&key),
            };
        }
    }

    /// Everything that differs from what is stored.
    pub(crate) fn into_changes(self) -> impl Iterator<Item = (K, V)> {
        self.map.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rolled_back_leaves_nothing() {
        let mut all = Overlay::default();
        all.insert("a", 1);
        let point = all.point();
        all.insert("a", 2);
        all.insert("b", 3);
        all.insert("a", 4);
        all.roll_back(point);
        assert_eq!((all.get("a"), all.get("b")), (Some(&1), None));
        all.roll_back(0);
        assert_eq!(all.into_changes().count(), 0);
    }
}
