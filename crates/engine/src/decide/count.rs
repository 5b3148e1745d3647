//! `event.count`: so many events within a time.
//!
//! What counts is when the events happened, by their senders, so that it makes no difference in which order and how late
//! they arrive; a time in the future counts as now. An alarm uses up what it counted, and the silence after it is one of
//! the store's clock, like every window.

use std::time::Duration;

use model::{Time, Verdict, period};
use playbook::{Count, Playbook};
use serde_json::Value;
use store::Tally;

use super::bounds::{plain, value_of};
use super::hearing::{Hearing, Turn};
use crate::trigger::{Fit, Silence};

/// How much later than others an event may arrive and still count with them.
const LATE_MAX: Duration = Duration::from_secs(3600);
/// Times that are kept for each that is needed: what is late must find those it belongs to.
const KEPT_PER_NEEDED: usize = 4;
/// Times that are kept at least.
const KEPT_MIN: usize = 64;

impl Hearing<'_> {
    /// Counts the event; nothing when there are enough, and else how that turns out.
    pub(super) fn count(
        &mut self,
        playbook: &Playbook,
        fit: &mut Fit,
        count: &Count,
    ) -> Result<Option<Turn>, store::Error> {
        let span = playbook.triggers[fit.index].span;
        let scope = self.scope(playbook, fit)?;
        let key = match count.by.as_ref().map(|by| value_of(by, self.means, &scope)) {
            None => String::new(),
            Some(Ok(Some(value))) => value,
            Some(Ok(None)) => {
                let reason = "what it is counted by is absent, so that it does not count".to_owned();
                return Ok(Some(Turn::Other(Verdict::NotMatched, reason, span)));
            }
            Some(Err((reason, at))) => {
                return Ok(Some(Turn::Other(Verdict::Failed, format!("`by`: {reason}"), at)));
            }
        };
        let name = format!("count/{}/{}/{}/{}", playbook.id, count.digest, self.event.tenant, plain(&key));
        let mut times = self.view.tally(&name, self.at.now)?;
        let counted = add(&mut times, self.event.time.min(self.at.now), count);
        let until = self.at.now.plus(count.within + LATE_MAX);
        self.out.tallies.push(Tally { key: name.clone(), times, until });
        let by = if count.by.is_some() { format!(" for `{key}`") } else { String::new() };
        let within = period::format(count.within);
        let said = format!("{counted} of {} events within {within}{by}", count.at_least);
        if counted < count.at_least as usize {
            return Ok(Some(Turn::Other(Verdict::NotMatched, said, span)));
        }
        fit.reason = said;
        fit.facts.insert("count".to_owned(), Value::from(counted));
        fit.facts.insert("key".to_owned(), if count.by.is_some() { Value::from(key) } else { Value::Null });
        fit.silence = Some(Silence { window: format!("silence/{name}"), period: count.dedupe });
        fit.uses_up = Some(name);
        Ok(None)
    }
}

/// Adds a time to those that were counted, and forgets what is too old to matter. Answers the most of them that lie within
/// the time together with the new one.
fn add(times: &mut Vec<Time>, time: Time, count: &Count) -> usize {
    let at = times.partition_point(|other| *other <= time);
    times.insert(at, time);
    let most = together(times, at, count.within);
    let newest = times.last().copied().unwrap_or(time);
    times.retain(|time| newest < time.plus(count.within + LATE_MAX));
    let needed = count.at_least as usize;
    let kept = (needed * KEPT_PER_NEEDED).clamp(KEPT_MIN, store::TALLY_TIMES_MAX);
    let over = times.len().saturating_sub(kept);
    times.drain(..over);
    most
}

/// The most times that lie within a period, that at `at` among them. The times are in order.
fn together(times: &[Time], at: usize, within: Duration) -> usize {
    let Some(own) = times.get(at) else { return 0 };
    let mut most = 0;
    let mut first = 0;
    for (last, end) in times.iter().enumerate().skip(at).take_while(|(_, end)| **end < own.plus(within)) {
        while times[first].plus(within) <= *end {
            first += 1;
        }
        if first <= at {
            most = most.max(last - first + 1);
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Time {
        Time::from_millis(minute * 60_000)
    }

    fn count(at_least: u32) -> Count {
        let within = Duration::from_secs(600);
        Count { types: Vec::new(), by: None, at_least, within, dedupe: within, digest: String::new() }
    }

    /// Adds times in this order; answers what each of them came to.
    fn counted(minutes: &[i64]) -> Vec<usize> {
        let mut times = Vec::new();
        minutes.iter().map(|minute| add(&mut times, at(*minute), &count(5))).collect()
    }

    #[test]
    fn it_makes_no_difference_in_which_order_times_arrive() {
        assert_eq!(counted(&[0, 2, 4, 6, 8]), [1, 2, 3, 4, 5]);
        assert_eq!(counted(&[8, 0, 6, 2, 4]).last(), Some(&5));
        assert_eq!(counted(&[4, 8, 6, 2, 0]).last(), Some(&5));
    }

    #[test]
    fn the_window_slides_and_is_half_open() {
        assert_eq!(counted(&[0, 2, 4, 6, 10]), [1, 2, 3, 4, 4], "the first is ten minutes older than the last");
        assert_eq!(counted(&[0, 9, 10, 19]), [1, 2, 2, 2]);
        assert_eq!(counted(&[0, 11, 22, 33, 44]), [1; 5]);
    }

    #[test]
    fn a_late_one_counts_with_those_it_belongs_to_and_not_with_others() {
        assert_eq!(counted(&[0, 1, 2, 3, 40, 41, 4]).last(), Some(&5), "the fifth of the first ten minutes, late");
        assert_eq!(counted(&[0, 1, 40, 41, 42, 20]).last(), Some(&1));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut times = Vec::new();
        for n in 0..10_000 {
            add(&mut times, Time::from_millis(n), &count(5));
        }
        assert_eq!(times.len(), KEPT_MIN);
        assert_eq!(add(&mut times, Time::from_millis(10_000), &count(5)), KEPT_MIN + 1);
    }
}
