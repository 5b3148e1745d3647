//! What holds requests to one destination back: its rate, and the breaker that leaves a destination in peace which keeps
//! failing. Pure but for the lock: time and randomness come in. How many requests are in flight is the client's to bound.
//!
//! The breaker: after so many failures in a row it *opens*, and nothing is sent for a pause. Then it is *half open*: one
//! delivery goes as a probe. If it is taken, the breaker *closes*; if not, the next pause is twice as long. A probe that
//! fails costs its delivery none of its tries, and waiting costs none either, so that what waits for a destination that
//! comes back arrives then.
//!
//! Invariants: all of this is in memory; a new process learns from the deliveries how each destination stood (`recall`). One
//! destination never holds up another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::Time;

use super::destination::{Breaker, Destination, Rate};

/// Longest pause of a breaker.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long others wait for the outcome of a probe, at least; up to twice that.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// How far the ends of waits for one breaker lie apart at most, so that not all come back at once.
const SPREAD_MAX: Duration = Duration::from_secs(30);
/// Most destinations that are remembered before those without anything to remember are forgotten.
const KEPT_MAX: usize = 1_024;

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests go.
    Closed,
    /// Nothing goes before a time.
    Open,
    /// One request may go, to see.
    HalfOpen,
}

impl BreakerState {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// How a destination stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its breaker.
    pub breaker: BreakerState,
    /// Failures in a row.
    pub failures: u32,
    /// Until when nothing goes, while the breaker is open.
    pub until: Option<Time>,
    /// Requests in flight, those that wait for a place among them.
    pub in_flight: usize,
}

/// What a request showed about its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It answers sensibly, be it with a refusal of this one message.
    Alive,
    /// It does not answer, or cannot do what is asked of it now.
    Failing,
    /// Nothing: the request was not sent, or it was told to come later.
    Nothing,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    failures: u32,
    open: Option<Open>,
    /// When the next request would be due if they came evenly (the generic cell rate algorithm).
    due: Option<Time>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Time,
    pause: Duration,
    probing: bool,
}

/// The gates of all destinations.
#[derive(Debug, Default)]
pub struct Gates {
    states: Mutex<HashMap<String, State>>,
}

/// The answer to a request that wants to go.
#[derive(Debug)]
pub enum Entry<'a> {
    /// It may go.
    Go(Pass<'a>),
    /// It may ask again at this time.
    Wait(Time),
}

/// A request that may go. Whoever drops it without a report says nothing about the destination.
#[derive(Debug)]
pub struct Pass<'a> {
    gates: &'a Gates,
    id: String,
    breaker: Option<Breaker>,
    probe: bool,
    reported: bool,
}

impl Gates {
    /// Whether a request to this destination may go now. `random` is a number from 0 to 1.
    pub fn enter<'a>(&'a self, destination: &Destination, now: Time, random: f64) -> Entry<'a> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if states.len() >= KEPT_MAX && !states.contains_key(&destination.id) {
            states.retain(|_, state| state.in_flight > 0 || state.failures > 0);
        }
        let state = states.entry(destination.id.clone()).or_default();
        if destination.breaker.is_none() {
            state.open = None;
        }
        if let Some(open) = state.open {
            if now < open.until {
                return Entry::Wait(open.until.plus(open.pause.min(SPREAD_MAX).mul_f64(random)));
            }
            if open.probing {
                return Entry::Wait(now.plus(PROBE_WAIT + PROBE_WAIT.mul_f64(random)));
            }
        }
        if let Some(wait) = destination.rate.and_then(|rate| pace(state, rate, now)) {
            return Entry::Wait(now.plus(wait + wait.mul_f64(random)));
        }
        state.in_flight += 1;
        let probe = state.open.as_mut().is_some_and(|open| {
            open.probing = true;
            true
        });
        let breaker = destination.breaker;
        Entry::Go(Pass { gates: self, id: destination.id.clone(), breaker, probe, reported: false })
    }

    /// How a destination stands.
    pub fn standing(&self, id: &str, now: Time) -> Standing {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get(id) else {
            return Standing { breaker: BreakerState::Closed, failures: 0, until: None, in_flight: 0 };
        };
        let (breaker, until) = match state.open {
            None => (BreakerState::Closed, None),
            Some(open) if now < open.until => (BreakerState::Open, Some(open.until)),
            Some(_) => (BreakerState::HalfOpen, None),
        };
        Standing { breaker, failures: state.failures, until, in_flight: state.in_flight }
    }

    /// Learns how a destination stood before this process began: failures in a row, and requests within the time of its rate.
    /// A breaker that they would have opened begins half open.
    pub(crate) fn recall(&self, destination: &Destination, failures: u32, recent: u32, now: Time) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(destination.id.clone()).or_default();
        if let Some(rate) = destination.rate {
            let each = rate.per / rate.requests.max(1);
            state.due = Some(now.plus(each.saturating_mul(recent).min(rate.per)));
        }
        if let Some(breaker) = destination.breaker.filter(|breaker| failures >= breaker.failures) {
            state.failures = failures;
            state.open = Some(Open { until: now, pause: breaker.pause, probing: false });
        }
    }

    /// Forgets what is known of a destination: it was changed, and deserves another try.
    pub fn forget(&self, id: &str) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get_mut(id) {
            (state.failures, state.open, state.due) = (0, None, None);
        }
    }

    fn left(&self, id: &str, breaker: Option<Breaker>, probe: bool, report: Option<(News, Time)>) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get_mut(id) else { return };
        state.in_flight = state.in_flight.saturating_sub(1);
        if let (true, Some(open)) = (probe, &mut state.open) {
            open.probing = false;
        }
        let (Some((news, now)), Some(breaker)) = (report, breaker) else { return };
        match news {
            News::Nothing => {}
            News::Alive => (state.failures, state.open) = (0, None),
            News::Failing => {
                state.failures = state.failures.saturating_add(1);
                state.open = match state.open {
                    Some(open) if probe => {
                        let pause = open.pause.saturating_mul(2).min(PAUSE_MAX);
                        Some(Open { until: now.plus(pause), pause, probing: false })
                    }
                    // A request from before it opened: the pause stays what it is.
                    Some(open) => Some(open),
                    None if state.failures >= breaker.failures => {
                        tracing::warn!(
                            destination = id,
                            failures = state.failures,
                            "a destination keeps failing: its breaker opens"
                        );
                        Some(Open { until: now.plus(breaker.pause), pause: breaker.pause, probing: false })
                    }
                    None => None,
                };
            }
        }
    }
}

/// Takes a place in the rate, or says how long to wait for one.
fn pace(state: &mut State, rate: Rate, now: Time) -> Option<Duration> {
    let each = rate.per / rate.requests.max(1);
    let due = state.due.unwrap_or(now).max(now);
    let ahead = due.since(now);
    // A burst may take what the whole time allows, then requests go evenly.
    if ahead + each > rate.per {
        return Some((ahead + each).saturating_sub(rate.per).max(Duration::from_millis(1)));
    }
    state.due = Some(due.plus(each));
    None
}

impl Pass<'_> {
    /// Whether it is the probe of a breaker that is half open.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// Says what the request showed.
    pub fn report(mut self, news: News, now: Time) {
        self.reported = true;
        self.gates.left(&self.id, self.breaker, self.probe, Some((news, now)));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.reported {
            self.gates.left(&self.id, self.breaker, self.probe, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::{Egress, Target};

    fn destination(change: impl FnOnce(&mut Destination)) -> Destination {
        let mut one = Destination::new("d", Target::parse("https://d.example/", &Egress::default()).unwrap());
        change(&mut one);
        one
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(1_000_000).plus(Duration::from_secs(seconds))
    }

    fn go<'a>(gates: &'a Gates, one: &Destination, now: Time) -> Pass<'a> {
        match gates.enter(one, now, 0.5) {
            Entry::Go(pass) => pass,
            Entry::Wait(until) => panic!("it must wait until {until}"),
        }
    }

    fn waits(gates: &Gates, one: &Destination, now: Time, random: f64) -> Time {
        match gates.enter(one, now, random) {
            Entry::Go(_) => panic!("it may go"),
            Entry::Wait(until) => until,
        }
    }

    fn broken() -> Destination {
        destination(|one| one.breaker = Some(Breaker { failures: 3, pause: Duration::from_secs(30) }))
    }

    #[test]
    fn the_breaker_opens_after_failures_in_a_row_and_probes_with_growing_pauses() {
        let (gates, one) = (Gates::default(), broken());
        for _ in 0..2 {
            go(&gates, &one, at(0)).report(News::Failing, at(0));
        }
        go(&gates, &one, at(0)).report(News::Alive, at(0));
        for _ in 0..3 {
            go(&gates, &one, at(0)).report(News::Failing, at(0));
        }
        assert_eq!(gates.standing("d", at(29)).breaker, BreakerState::Open);
        assert_eq!(waits(&gates, &one, at(1), 0.0), at(30));
        assert!(waits(&gates, &one, at(1), 1.0) == at(60), "waits end apart from each other");
        assert_eq!(gates.standing("d", at(30)).breaker, BreakerState::HalfOpen);
        let mut now = at(30);
        for pause in [60, 120, 240, 300, 300] {
            let probe = go(&gates, &one, now);
            assert!(probe.is_probe());
            assert!(waits(&gates, &one, now, 0.0) > now, "one probe at a time");
            probe.report(News::Failing, now);
            assert_eq!(gates.standing("d", now).until, Some(now.plus(Duration::from_secs(pause))));
            now = now.plus(Duration::from_secs(pause));
        }
        go(&gates, &one, now).report(News::Alive, now);
        assert_eq!(gates.standing("d", now).breaker, BreakerState::Closed);
        assert!(!go(&gates, &one, now).is_probe());
    }

    #[test]
    fn a_probe_that_is_given_up_lets_another_go() {
        let (gates, one) = (Gates::default(), broken());
        for _ in 0..3 {
            go(&gates, &one, at(0)).report(News::Failing, at(0));
        }
        drop(go(&gates, &one, at(30)));
        assert!(go(&gates, &one, at(30)).is_probe());
    }

    #[test]
    fn what_was_sent_before_it_opened_neither_closes_nor_prolongs_the_pause() {
        let (gates, one) = (Gates::default(), broken());
        let late = go(&gates, &one, at(0));
        for _ in 0..3 {
            go(&gates, &one, at(0)).report(News::Failing, at(0));
        }
        late.report(News::Failing, at(20));
        assert_eq!(gates.standing("d", at(20)).until, Some(at(30)));
    }

    #[test]
    fn a_destination_without_a_breaker_is_always_tried() {
        let (gates, one) = (Gates::default(), destination(|one| one.breaker = None));
        for _ in 0..100 {
            go(&gates, &one, at(0)).report(News::Failing, at(0));
        }
    }

    #[test]
    fn no_more_go_in_a_time_than_it_takes() {
        let rate = Rate { requests: 6, per: Duration::from_secs(60) };
        let (gates, one) = (Gates::default(), destination(|one| one.rate = Some(rate)));
        let mut sent = Vec::new();
        for second in 0..600 {
            while let Entry::Go(pass) = gates.enter(&one, at(second), 0.0) {
                pass.report(News::Alive, at(second));
                sent.push(second);
            }
        }
        assert_eq!(sent.iter().filter(|second| **second < 10).count(), 6, "a burst first");
        assert!((60..=66).contains(&sent.len()), "{}", sent.len());
        assert!(sent.windows(7).all(|part| part[6] - part[0] >= 10), "then evenly: {sent:?}");
    }

    #[test]
    fn a_destination_that_was_changed_begins_anew() {
        let (gates, one) = (Gates::default(), broken());
        for _ in 0..3 {
            go(&gates, &one, at(0)).report(News::Failing, at(0));
        }
        gates.forget("d");
        assert!(!go(&gates, &one, at(0)).is_probe());
    }
}
