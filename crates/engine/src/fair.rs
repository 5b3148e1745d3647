//! Places that are shared fairly: whoever waits gets one when it is the turn of his share, and shares take turns. One that
//! floods waits for itself; another has the next place that becomes free.
//!
//! Invariants: a place is given back when it is dropped, also when whoever waited for it has gone. Within a share the
//! first to come is the first to go. What waits is bounded.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Who shares: a number made of whatever tells one from another. Two that meet in one number share one share; that is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Share(u64);

impl Share {
    /// The share of what is named so.
    pub(crate) fn of(name: impl Hash) -> Share {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Share(hasher.finish())
    }
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// In each share.
    pub(crate) share: usize,
    /// In all of them together.
    pub(crate) all: usize,
}

/// Places, and who waits for them.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    all: usize,
    free: usize,
    bounds: Bounds,
    /// The shares that have somebody waiting, in the order of their turns.
    turns: VecDeque<Share>,
    waiting: HashMap<Share, VecDeque<Waiter>>,
    /// How often a place was given back.
    moves: u64,
}

#[derive(Debug)]
struct Waiter {
    units: usize,
    turn: oneshot::Sender<Place>,
}

/// One or more places that are held; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    units: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.units > 0 {
            self.places.give_back(self.units);
        }
    }
}

impl Places {
    /// So many places, for which so many may wait.
    pub(crate) fn new(all: usize, bounds: Bounds) -> Places {
        let all = all.max(1);
        let state = State { all, free: all, bounds, turns: VecDeque::new(), waiting: HashMap::new(), moves: 0 };
        Places(Arc::new(Mutex::new(state)))
    }

    /// Whether somebody else has these places at hand, holds one or waits for one.
    pub(crate) fn are_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Takes places at once, where some are free and nobody waits. More than there are count as all of them.
    pub(crate) fn take(&self, units: usize) -> Option<Place> {
        let mut state = self.lock();
        let units = units.clamp(1, state.all);
        if !state.turns.is_empty() || units > state.free {
            return None;
        }
        state.free -= units;
        drop(state);
        Some(Place { places: self.clone(), units })
    }

    /// Takes places, or waits for them: as long as `patience`, and longer for as long as within each such time a place has
    /// been given back to somebody, but never longer than `most`.
    pub(crate) async fn enter(&self, share: Share, units: usize, patience: Duration, most: Duration) -> Option<Place> {
        if let Some(place) = self.take(units) {
            return Some(place);
        }
        let (mut turn, mut moves) = self.wait(share, units)?;
        let mut waited = Duration::ZERO;
        loop {
            if let Ok(place) = tokio::time::timeout(patience, &mut turn).await {
                return place.ok();
            }
            waited += patience;
            let now = self.lock().moves;
            if now == moves || waited >= most {
                return None;
            }
            moves = now;
        }
    }

    fn wait(&self, share: Share, units: usize) -> Option<(oneshot::Receiver<Place>, u64)> {
        let mut state = self.lock();
        let units = units.clamp(1, state.all);
        if !state.has_room(share) {
            // Some of those that wait may have gone.
            state.waiting.values_mut().for_each(|waiting| waiting.retain(|waiter| !waiter.turn.is_closed()));
            if !state.has_room(share) {
                return None;
            }
        }
        let (turn, wait) = oneshot::channel();
        let waiting = state.waiting.entry(share).or_default();
        waiting.push_back(Waiter { units, turn });
        if !state.turns.contains(&share) {
            state.turns.push_back(share);
        }
        let moves = state.moves;
        self.give_turns(&mut state);
        drop(state);
        Some((wait, moves))
    }

    fn give_back(&self, units: usize) {
        let mut state = self.lock();
        state.free += units;
        state.moves = state.moves.wrapping_add(1);
        self.give_turns(&mut state);
    }

    /// Gives what is free to those whose turn it is.
    fn give_turns(&self, state: &mut State) {
        while let Some(share) = state.turns.pop_front() {
            let Some(waiting) = state.waiting.get_mut(&share) else { continue };
            while waiting.front().is_some_and(|waiter| waiter.turn.is_closed()) {
                waiting.pop_front();
            }
            let Some(first) = waiting.front() else {
                state.waiting.remove(&share);
                continue;
            };
            if first.units > state.free {
                return state.turns.push_front(share);
            }
            let Some(Waiter { units, turn }) = waiting.pop_front() else { continue };
            if waiting.is_empty() {
                state.waiting.remove(&share);
            } else {
                state.turns.push_back(share);
            }
            match turn.send(Place { places: self.clone(), units }) {
                Ok(()) => state.free -= units,
                // Gone in this moment. It held nothing yet, and gives nothing back.
                Err(mut place) => place.units = 0,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, share: Share) -> bool {
        self.waiting.get(&share).map_or(0, VecDeque::len) < self.bounds.share
            && self.waiting.values().map(VecDeque::len).sum::<usize>() < self.bounds.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const MANY: Bounds = Bounds { share: 100, all: 100 };
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn shares_take_turns_whoever_came_first() {
        let places = Places::new(1, MANY);
        let held = places.take(1).unwrap();
        let mut loud: VecDeque<_> = (0..50).map(|_| Box::pin(places.enter(Share::of("loud"), 1, LONG, LONG))).collect();
        loud.iter_mut().for_each(|one| assert!(one.as_mut().now_or_never().is_none()));
        let mut quiet = Box::pin(places.enter(Share::of("quiet"), 1, LONG, LONG));
        assert!(quiet.as_mut().now_or_never().is_none());
        drop(held);
        let first = loud.pop_front().unwrap().now_or_never().flatten().expect("it was first");
        assert!(loud[0].as_mut().now_or_never().is_none() && quiet.as_mut().now_or_never().is_none());
        drop(first);
        let mine = quiet.now_or_never().flatten().expect("its turn comes before the other's second");
        assert!(loud[0].as_mut().now_or_never().is_none());
        drop(mine);
        for one in loud {
            drop(one.now_or_never().flatten().expect("in their order, one after the other"));
        }
        assert!(places.take(1).is_some());
    }

    #[tokio::test]
    async fn who_has_gone_leaves_no_place_taken() {
        let places = Places::new(2, MANY);
        let held = places.take(2).unwrap();
        let mut gone = Box::pin(places.enter(Share::of(1), 2, LONG, LONG));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut given = Box::pin(places.enter(Share::of(2), 2, LONG, LONG));
        assert!(given.as_mut().now_or_never().is_none());
        drop(gone);
        drop(held);
        // It was given its place, and goes without having looked.
        drop(given);
        assert!(places.take(2).is_some());
        assert!(places.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn more_than_there_is_counts_as_all_and_no_share_waits_without_bound() {
        let places = Places::new(4, Bounds { share: 2, all: 3 });
        let all = places.take(1_000).unwrap();
        assert!(places.take(1).is_none());
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(places.enter(Share::of(1), 1, LONG, LONG))).collect();
        waiting.iter_mut().for_each(|one| assert!(one.as_mut().now_or_never().is_none()));
        assert!(places.enter(Share::of(1), 1, LONG, LONG).now_or_never().unwrap().is_none(), "two wait already");
        let mut third = Box::pin(places.enter(Share::of(2), 1, LONG, LONG));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(places.enter(Share::of(3), 1, LONG, LONG).now_or_never().unwrap().is_none(), "three in all");
        drop(third);
        assert!(places.enter(Share::of(3), 1, LONG, LONG).now_or_never().is_none(), "one has gone");
        drop(all);
        let held: Vec<_> = waiting.into_iter().map(|one| one.now_or_never().flatten().unwrap()).collect();
        assert!(places.take(3).is_none() && places.take(2).is_some());
        drop(held);
    }

    #[tokio::test]
    async fn who_waits_where_nothing_moves_gives_up_and_leaves_nothing_behind() {
        let places = Places::new(1, MANY);
        let held = places.take(1).unwrap();
        assert!(places.enter(Share::of(1), 1, Duration::from_millis(1), LONG).await.is_none());
        drop(held);
        assert!(places.enter(Share::of(2), 1, LONG, LONG).now_or_never().flatten().is_some());
    }
}
