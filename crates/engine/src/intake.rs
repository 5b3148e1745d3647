//! Whose events may wait for the writer: each source of each tenant has a share of its own, so that one that floods takes
//! neither the room nor the time of the others. Whoever has used up his share waits for it, and is told to come back when
//! that takes too long.
//!
//! Invariants: a share is given back when the writer has answered, whatever became of the events. What is counted is
//! bounded: those without anything under way are forgotten.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;
use crate::writer::RETRY_AFTER;

/// Events of one source of one tenant that may wait for the writer: two commits full of them.
const SHARE: usize = 512;
/// Bytes of bodies that count as one event: a whole share is half of the bytes that may wait at all.
const BYTES_PER_UNIT: usize = 64_000;
/// How long an event waits for its share.
const PATIENCE: Duration = Duration::from_secs(2);
/// Shares that are remembered before those without anything under way are forgotten.
const SHARES_MAX: usize = 4_096;

/// A place among those that wait; given back when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// The shares of all sources.
#[derive(Debug, Default)]
pub(crate) struct Intake(Mutex<HashMap<u64, Arc<Semaphore>>>);

impl Intake {
    /// Takes places for so many events and bytes of a source of a tenant.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when its share is used up for too long.
    pub(crate) async fn enter(
        &self,
        source: &str,
        tenant: &str,
        events: usize,
        bytes: usize,
    ) -> Result<Place, Refusal> {
        let units = events.max(bytes / BYTES_PER_UNIT).clamp(1, SHARE);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let share = self.share(source, tenant);
        if let Ok(place) = Arc::clone(&share).try_acquire_many_owned(units) {
            return Ok(place);
        }
        match tokio::time::timeout(PATIENCE, share.acquire_many_owned(units)).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Refusal::Busy { retry_after: RETRY_AFTER }),
        }
    }

    fn share(&self, source: &str, tenant: &str) -> Arc<Semaphore> {
        // Two that meet in one number share one share; that is all.
        let mut hasher = DefaultHasher::new();
        (source, tenant).hash(&mut hasher);
        let key = hasher.finish();
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() >= SHARES_MAX && !shares.contains_key(&key) {
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        Arc::clone(shares.entry(key).or_insert_with(|| Arc::new(Semaphore::new(SHARE))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_floods_uses_up_its_own_share_and_nobody_elses() {
        let intake = Intake::default();
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(intake.enter("generic", "loud", 256, 1_000).await.unwrap());
        }
        assert!(matches!(intake.enter("generic", "loud", 1, 10).await, Err(Refusal::Busy { .. })));
        assert!(intake.enter("generic", "quiet", 1, 10).await.is_ok(), "another tenant");
        assert!(intake.enter("exabeam", "loud", 1, 10).await.is_ok(), "another source");
        held.pop();
        assert!(intake.enter("generic", "loud", 256, 10).await.is_ok(), "what was answered gives its place back");
    }

    #[tokio::test]
    async fn large_bodies_count_for_more_and_no_batch_is_too_large_to_ever_pass() {
        let intake = Intake::default();
        let half = intake.enter("generic", "t", 1, SHARE / 2 * BYTES_PER_UNIT).await.unwrap();
        assert!(intake.enter("generic", "t", 1, (SHARE / 2 + 1) * BYTES_PER_UNIT).await.is_err());
        drop(half);
        assert!(intake.enter("generic", "t", 1_000_000, usize::MAX).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let intake = Intake::default();
        for n in 0..3 * SHARES_MAX {
            drop(intake.enter("generic", &n.to_string(), 1, 1).await.unwrap());
        }
        assert!(intake.0.lock().unwrap().len() <= SHARES_MAX);
    }
}
