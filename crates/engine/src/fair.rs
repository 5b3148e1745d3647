//! Places that are shared fairly: whoever waits gets one when it is the turn of his share, and shares take turns. One that
//! floods waits for itself; another has the next place that becomes free. While others are about, no share takes more than a
//! part of the places, so that there is mostly one free.
//!
//! Invariants: a place is given back when it is dropped, also when whoever waited for it has gone. Within a share the
//! first to come is the first to go. What waits is bounded.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// While others are about, a share holds at most one part in so many.
const PART: usize = 4;
/// Another is about when he has taken a place within so many times that places were taken.
const ABOUT: u64 = 1_024;

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
    /// What each share holds.
    held: HashMap<Share, usize>,
    /// How often a place was given back.
    moves: u64,
    /// How often places were taken; who took them last, and who before him, and when.
    taken: u64,
    last: Option<(Share, u64)>,
    before: Option<(Share, u64)>,
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
    share: Share,
    units: usize,
}

impl Place {
    /// How many places.
    pub(crate) fn units(&self) -> usize {
        self.units
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.units > 0 {
            self.places.give_back(self.share, self.units);
        }
    }
}

impl Places {
    /// So many places, for which so many may wait.
    pub(crate) fn new(all: usize, bounds: Bounds) -> Places {
        let all = all.max(1);
        let state = State {
            all,
            free: all,
            bounds,
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            held: HashMap::new(),
            moves: 0,
            taken: 0,
            last: None,
            before: None,
        };
        Places(Arc::new(Mutex::new(state)))
    }

    /// Whether somebody else has these places at hand, holds one or waits for one.
    pub(crate) fn are_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Takes places at once, where some are free and nobody waits. More than there are count as all of them.
    pub(crate) fn take(&self, share: Share, units: usize) -> Option<Place> {
        let mut state = self.lock();
        let units = units.clamp(1, state.all);
        if !state.turns.is_empty() || units > state.free || !state.may_hold(share, units) {
            return None;
        }
        state.hold(share, units);
        drop(state);
        Some(Place { places: self.clone(), share, units })
    }

    /// How many places are held.
    pub(crate) fn held(&self) -> usize {
        let state = self.lock();
        state.all - state.free
    }

    /// Takes places, or waits for them: as long as `patience`, and longer for as long as within each such time a place has
    /// been given back to somebody, but never longer than `most`.
    pub(crate) async fn enter(&self, share: Share, units: usize, patience: Duration, most: Duration) -> Option<Place> {
        if let Some(place) = self.take(share, units) {
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

    fn give_back(&self, share: Share, units: usize) {
        let mut state = self.lock();
        state.free += units;
        if let Some(held) = state.held.get_mut(&share) {
            *held -= units;
            if *held == 0 {
                state.held.remove(&share);
            }
        }
        state.moves = state.moves.wrapping_add(1);
        self.give_turns(&mut state);
    }

    /// Gives what is free to those whose turn it is.
    fn give_turns(&self, state: &mut State) {
        let mut passed = 0;
        while passed < state.turns.len()
            && let Some(share) = state.turns.pop_front()
        {
            let Some(waiting) = state.waiting.get_mut(&share) else { continue };
            while waiting.front().is_some_and(|waiter| waiter.turn.is_closed()) {
                waiting.pop_front();
            }
            let Some(units) = waiting.front().map(|first| first.units) else {
                state.waiting.remove(&share);
                continue;
            };
            if units > state.free {
                return state.turns.push_front(share);
            }
            if !state.may_hold(share, units) {
                state.turns.push_back(share);
                passed += 1;
                continue;
            }
            let Some(waiter) = state.next(share) else { continue };
            passed = 0;
            match waiter.turn.send(Place { places: self.clone(), share, units }) {
                Ok(()) => state.hold(share, units),
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
    /// Takes the first of those who wait in a share, and puts the share behind the others.
    fn next(&mut self, share: Share) -> Option<Waiter> {
        let waiting = self.waiting.get_mut(&share)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&share);
        } else {
            self.turns.push_back(share);
        }
        first
    }

    fn hold(&mut self, share: Share, units: usize) {
        self.free -= units;
        *self.held.entry(share).or_default() += units;
        self.taken += 1;
        if self.last.is_some_and(|(last, _)| last != share) {
            self.before = self.last;
        }
        self.last = Some((share, self.taken));
    }

    /// Whether a share may hold so many more. One that holds nothing always may.
    fn may_hold(&self, share: Share, units: usize) -> bool {
        let other = [self.last, self.before].into_iter().flatten().find(|(other, _)| *other != share);
        let crowded = other.is_some_and(|(_, at)| self.taken - at <= ABOUT);
        let most = if crowded { self.all / PART } else { self.all };
        self.held.get(&share).is_none_or(|held| held + units <= most)
    }

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
        let held = places.take(Share::of("held"), 1).unwrap();
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
        assert!(places.take(Share::of("end"), 1).is_some());
    }

    #[tokio::test]
    async fn who_has_gone_leaves_no_place_taken() {
        let places = Places::new(2, MANY);
        let held = places.take(Share::of("held"), 2).unwrap();
        let mut gone = Box::pin(places.enter(Share::of(1), 2, LONG, LONG));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut given = Box::pin(places.enter(Share::of(2), 2, LONG, LONG));
        assert!(given.as_mut().now_or_never().is_none());
        drop(gone);
        drop(held);
        // It was given its place, and goes without having looked.
        drop(given);
        assert!(places.take(Share::of("end"), 2).is_some());
        assert!(places.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn more_than_there_is_counts_as_all_and_no_share_waits_without_bound() {
        let places = Places::new(4, Bounds { share: 2, all: 3 });
        let all = places.take(Share::of(1), 1_000).unwrap();
        assert!(places.take(Share::of("end"), 1).is_none());
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
        assert!(places.take(Share::of("end"), 3).is_none() && places.take(Share::of("end"), 2).is_some());
        drop(held);
    }

    #[tokio::test]
    async fn who_waits_where_nothing_moves_gives_up_and_leaves_nothing_behind() {
        let places = Places::new(1, MANY);
        let held = places.take(Share::of("held"), 1).unwrap();
        assert!(places.enter(Share::of(1), 1, Duration::from_millis(1), LONG).await.is_none());
        drop(held);
        assert!(places.enter(Share::of(2), 1, LONG, LONG).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn while_others_are_about_one_share_leaves_them_room() {
        let places = Places::new(8, MANY);
        let take = |share: &str| places.take(Share::of(share), 1);
        let all: Vec<_> = (0..8).map(|_| take("loud").expect("alone it may have all")).collect();
        drop(all);
        drop(take("quiet").unwrap());
        let part = [take("loud").unwrap(), take("loud").unwrap()];
        assert!(take("loud").is_none(), "a quarter is its part now");
        let mut more = Box::pin(places.enter(Share::of("loud"), 1, LONG, LONG));
        assert!(more.as_mut().now_or_never().is_none());
        let quiet = places.enter(Share::of("quiet"), 1, LONG, LONG).now_or_never().flatten();
        assert!(quiet.is_some(), "though another waits");
        drop(part);
        assert!(more.as_mut().now_or_never().flatten().is_some());
        assert!(
            places.take(Share::of("third"), 8).is_none() && places.take(Share::of("third"), 7).is_some(),
            "quiet holds one"
        );
        for _ in 0..=ABOUT {
            drop(take("loud").unwrap());
        }
        let all: Vec<_> = (0..7).map(|_| take("loud").expect("the others have gone long ago")).collect();
        assert_eq!((all.len(), places.held()), (7, 8));
    }
}
