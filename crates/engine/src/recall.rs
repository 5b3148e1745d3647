//! What the gates of destinations knew before a restart, read again from the deliveries.
//!
//! A breaker that was open must not let everything that waits go at once because the process is new, and a rate is one of
//! the destination, not of the process. Nothing of its own is kept for that: the newest deliveries tell how each
//! destination stood. Where they say that it was failing, its breaker begins half open: one delivery goes as a probe.

use std::collections::BTreeMap;

use model::Time;
use model::run::{Delivery, DeliveryStatus};
use store::{RunFilter, Store};

use crate::outbound::Destinations;
use crate::outbound::gate::Gates;

/// Runs that are read at once.
const STEP: usize = 200;
/// Most pages that are read; what lies further back tells nothing of now.
const STEPS_MAX: usize = 20;

/// What the newest deliveries say about one destination.
#[derive(Debug, Default)]
struct Told {
    /// Tries that failed, after the last that was taken.
    failures: u32,
    /// Whether one that was taken has been seen.
    alive: bool,
    /// Tries within the time of its rate.
    recent: u32,
}

/// Lets the gates know.
///
/// # Errors
/// [`store::Error`] when the store fails.
pub(crate) fn gates(
    store: &dyn Store,
    destinations: &Destinations,
    gates: &Gates,
    now: Time,
) -> Result<(), store::Error> {
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    let mut after = None;
    for _ in 0..STEPS_MAX {
        let page = store.runs(&RunFilter::default(), after, STEP)?;
        for delivery in page.items.iter().flat_map(|run| run.deliveries.iter().rev()) {
            let Some(destination) = destinations.map.get(&delivery.destination) else { continue };
            let told = told.entry(delivery.destination.clone()).or_default();
            let rate = destination.rate.map(|rate| rate.per).unwrap_or_default();
            told.hear(delivery, delivery.last_at > Time::from_micros(now.micros().saturating_sub(micros(rate))));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for (id, Told { failures, recent, .. }) in &told {
        if let Some(destination) = destinations.map.get(id) {
            gates.recall(destination, *failures, *recent, now);
        }
    }
    Ok(())
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl Told {
    fn hear(&mut self, delivery: &Delivery, recent: bool) {
        if recent && delivery.attempts > 0 {
            self.recent = self.recent.saturating_add(1);
        }
        // A refusal of one message is the answer of a destination that is alive; too many requests say neither.
        let answered = delivery.http_status.is_some_and(|status| !matches!(status, 408 | 429 | 500..=599));
        match delivery.status {
            DeliveryStatus::Delivered => self.alive = true,
            DeliveryStatus::Failed if answered => self.alive = true,
            DeliveryStatus::Failed | DeliveryStatus::Retrying if !self.alive && delivery.http_status != Some(429) => {
                self.failures = self.failures.saturating_add(delivery.attempts);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(all: &[(DeliveryStatus, u32, Option<u16>)]) -> Told {
        let mut told = Told::default();
        for (status, attempts, http_status) in all {
            let delivery = Delivery {
                path: "send".to_owned(),
                destination: "desk".to_owned(),
                status: *status,
                reason: None,
                attempts: *attempts,
                http_status: *http_status,
                last_at: Time::EPOCH,
                next_at: None,
            };
            told.hear(&delivery, true);
        }
        told
    }

    #[test]
    fn failures_count_back_to_the_last_that_was_taken() {
        use DeliveryStatus::{Delivered, Failed, Retrying, Suppressed};
        let failing = [(Retrying, 3, Some(503)), (Failed, 4, None), (Suppressed, 1, None), (Retrying, 2, Some(429))];
        assert_eq!(heard(&failing).failures, 7);
        let before = [&failing[..], &[(Delivered, 1, Some(200)), (Failed, 4, Some(500))]].concat();
        assert_eq!(heard(&before).failures, 7, "what failed before it was taken counts no more");
        assert_eq!(heard(&[(Failed, 1, Some(404)), (Failed, 4, Some(500))]).failures, 0, "a refusal is an answer");
    }
}
