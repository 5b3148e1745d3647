//! Whose events may be with the writer: its places are few, and sources and tenants take turns for them, so that one that
//! floods takes neither the room nor the time of the others, and what is accepted does not outrun what follows from it.
//! Whoever waits too long is told to come back.
//!
//! Invariants: a place is given back when the writer has answered, whatever became of the events.

use std::time::Duration;

use crate::fair::{Bounds, Places, Share};
use crate::refusal::Refusal;
use crate::writer::RETRY_AFTER;

pub(crate) use crate::fair::Place;

/// Events that may be with the writer at once, in the commit that is being written or waiting for the next. More would make
/// a commit longer for all that are in it, and leave the runs that follow behind.
const PLACES: usize = 64;
/// Requests that may wait for their turn.
const WAITING: Bounds = Bounds { share: 1_024, all: 8_192 };
/// Bytes of bodies that count as one event: all places are half of the bytes that may wait for the writer.
const BYTES_PER_UNIT: usize = 500_000;
/// How long an event waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// The places of the writer.
#[derive(Debug)]
pub(crate) struct Intake(Places);

impl Default for Intake {
    fn default() -> Intake {
        Intake(Places::new(PLACES, WAITING))
    }
}

impl Intake {
    /// How many places are held: by events that the writer has, and by those on their way to it.
    pub(crate) fn held(&self) -> usize {
        self.0.held()
    }

    /// Takes places for so many events and bytes of a source of a tenant.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when its turn does not come in time.
    pub(crate) async fn enter(
        &self,
        source: &str,
        tenant: &str,
        events: usize,
        bytes: usize,
    ) -> Result<Place, Refusal> {
        let units = events.max(bytes / BYTES_PER_UNIT);
        let place = self.0.enter(Share::of((source, tenant)), units, PATIENCE, PATIENCE).await;
        place.ok_or(Refusal::Busy { retry_after: RETRY_AFTER })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn one_that_floods_waits_for_itself_and_nobody_else_waits_for_it() {
        let intake = Intake::default();
        let mut held = vec![intake.enter("generic", "loud", PLACES / 2, 1_000).await.unwrap()];
        held.push(intake.enter("generic", "loud", PLACES / 2, 1_000).await.unwrap());
        let mut more: Vec<_> = (0..10).map(|_| Box::pin(intake.enter("generic", "loud", PLACES, 10))).collect();
        more.iter_mut().for_each(|one| assert!(one.as_mut().now_or_never().is_none()));
        let mut others =
            [("generic", "quiet"), ("exabeam", "loud")].map(|who| Box::pin(intake.enter(who.0, who.1, 1, 10)));
        others.iter_mut().for_each(|one| assert!(one.as_mut().now_or_never().is_none()));
        held.clear();
        let first = more[0].as_mut().now_or_never().expect("it came first");
        drop(first);
        let [quiet, other] =
            others.map(|one| one.now_or_never().expect("before the second of the other's ten").unwrap());
        assert!(more[1].as_mut().now_or_never().is_none());
        drop((quiet, other));
        assert!(more[1].as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn large_bodies_count_for_more() {
        let intake = Intake::default();
        let _half = intake.enter("generic", "t", 1, PLACES / 2 * BYTES_PER_UNIT).await.unwrap();
        assert!(intake.enter("generic", "t", 1, (PLACES / 2 + 1) * BYTES_PER_UNIT).now_or_never().is_none());
        assert!(intake.enter("generic", "t", 1, PLACES / 2 * BYTES_PER_UNIT).now_or_never().is_some());
    }
}
