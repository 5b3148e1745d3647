//! The slot of a run at work, which it gives up while it only waits for its turn at a destination: what waits for one that
//! has much to do must not keep others from working.
//!
//! Invariants: a run holds one slot or one seat in the lobby for as long as it is at work, and both are bounded. Where the
//! lobby is full, it keeps its slot.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

tokio::task_local! {
    static SLOT: Slot;
}

/// A slot, or the seat that was taken for it.
pub(crate) struct Slot {
    held: Mutex<Held>,
    lobby: Arc<Semaphore>,
}

enum Held {
    Slot { _permit: OwnedSemaphorePermit },
    Seat { _permit: OwnedSemaphorePermit },
}

impl Slot {
    /// A slot that may be given up for a seat in the lobby.
    pub(crate) fn new(permit: OwnedSemaphorePermit, lobby: Arc<Semaphore>) -> Slot {
        Slot { held: Mutex::new(Held::Slot { _permit: permit }), lobby }
    }

    fn lend(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*held, Held::Slot { .. })
            && let Ok(seat) = Arc::clone(&self.lobby).try_acquire_owned()
        {
            *held = Held::Seat { _permit: seat };
        }
    }
}

/// Works with a slot; it, or the seat, is given back when the work is done.
pub(crate) async fn within<F: Future>(slot: Slot, work: F) -> F::Output {
    SLOT.scope(slot, work).await
}

/// Gives up the slot that this task works with, if it has one.
pub(crate) fn lend() {
    let _ = SLOT.try_with(Slot::lend);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_is_given_up_while_there_is_a_seat_and_a_seat_with_the_work() {
        let (slots, lobby) = (Arc::new(Semaphore::new(2)), Arc::new(Semaphore::new(1)));
        let take = || Slot::new(Arc::clone(&slots).try_acquire_owned().unwrap(), Arc::clone(&lobby));
        within(take(), async {
            assert_eq!(slots.available_permits(), 1);
            lend();
            lend();
            assert_eq!((slots.available_permits(), lobby.available_permits()), (2, 0));
            within(take(), async {
                lend();
                assert_eq!(slots.available_permits(), 1, "the lobby is full");
            })
            .await;
        })
        .await;
        lend();
        assert_eq!((slots.available_permits(), lobby.available_permits()), (2, 1));
    }
}
