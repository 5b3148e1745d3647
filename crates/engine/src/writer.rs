//! The one writer: takes everything that waits, decides it in order, commits it at once, and then answers.
//!
//! Invariants: nothing is answered before it is durable. Every order sees the state that the orders before it will
//! commit ([`crate::batch`]). An order whose view turns out to be stale, or a value that is too large, fails alone: the
//! batch is tried again order by order, and an order of several events event by event. The writer is a plain thread,
//! since a commit blocks; should it ever panic, the engine has failed and says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use model::event::Actor;
use model::history::EntryKind;
use model::run::{Delivery, RunStart, RunSummary};
use model::{Decision, Digest, Event, EventId, RunId, Seq, Time, Transition, limits};
use serde_json::Value;
use store::{Expect, Window};
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{mpsc, oneshot};

use crate::approval::Reply;
use crate::attach::Part;
use crate::batch::Batch;
use crate::change::LocalChange;
use crate::intake::Place;
use crate::refusal::Refusal;
use crate::seen::Reading;
use crate::set::Set;
use crate::shared::Shared;
use crate::source::Incoming;
use crate::trigger::Fit;

/// Orders that may wait: twice the connections that are busy at once on a large installation; more would only wait longer.
pub(crate) const ORDERS_MAX: usize = 1024;
/// When a caller that found no room should come back.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Events in one order; larger batches of a sender are split. Two such orders fit into the writer's places.
pub(crate) const ORDER_EVENTS_MAX: usize = 32;

/// How long the writer waits for events that have their places and are on their way, and how often at most. They come when
/// many were answered at once: two small commits cost nearly twice as much as one.
const GATHER: Duration = Duration::from_micros(50);
const GATHER_LOOKS: usize = 4;

/// What the answer to an event says.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The event's id; for a repeat that of the first.
    pub event_id: EventId,
    /// Whether it is a repeat.
    pub duplicate: bool,
    /// The first decisions, at most [`limits::ANSWER_DECISIONS_MAX`].
    pub decisions: Vec<Decision>,
    /// How many there are.
    pub decisions_total: usize,
    /// What changed.
    pub transitions: Vec<Transition>,
    /// What was noticed.
    pub warnings: Vec<String>,
    /// The alert that a detection belongs to.
    pub alert: Option<String>,
}

/// The answers to the events of one order, in their order.
pub(crate) type Answers = Vec<Result<Accepted, Refusal>>;

/// The way to the writer.
#[derive(Clone)]
pub(crate) enum Orders {
    /// To its thread.
    Thread(mpsc::Sender<Order>),
    /// Carried out at once by whoever gives the order: in a simulation there is nobody else.
    Here(Arc<Shared>),
}

impl Orders {
    /// Gives an order, however long the way to the writer is full.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] when there is no writer any more.
    pub(crate) async fn send(&self, order: Order) -> Result<(), Refusal> {
        match self {
            Orders::Thread(orders) => orders.send(order).await.map_err(|_| Refusal::Stopping),
            Orders::Here(shared) => {
                write(shared, vec![order]);
                Ok(())
            }
        }
    }

    /// Gives an order if there is room, or will be within `patience`.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when there was no room, [`Refusal::Stopping`].
    pub(crate) async fn offer(&self, order: Order, patience: Duration) -> Result<(), Refusal> {
        let busy = Refusal::Busy { retry_after: RETRY_AFTER };
        match self {
            Orders::Thread(orders) if patience.is_zero() => orders.try_send(order).map_err(|error| match error {
                TrySendError::Full(_) => busy,
                TrySendError::Closed(_) => Refusal::Stopping,
            }),
            Orders::Thread(orders) => orders.send_timeout(order, patience).await.map_err(|error| match error {
                SendTimeoutError::Timeout(_) => busy,
                SendTimeoutError::Closed(_) => Refusal::Stopping,
            }),
            Orders::Here(_) => self.send(order).await,
        }
    }

    /// How many orders wait.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Orders::Thread(orders) => ORDERS_MAX - orders.capacity(),
            Orders::Here(_) => 0,
        }
    }
}

/// The answers, and what was answered: events go back to who made them, so that taking them apart does not cost the one
/// writer its time.
pub(crate) struct Answered {
    pub answers: Answers,
    pub incoming: Vec<Incoming>,
}

/// Something to be made true.
pub(crate) enum Order {
    /// Events from outside, with their place among those that wait.
    Events { incoming: Vec<Incoming>, reply: oneshot::Sender<Answered>, place: Place },
    /// A change by a person.
    Change { change: LocalChange, actor: Actor, reply: oneshot::Sender<Result<Accepted, Refusal>> },
    /// A run went on.
    Progress(Box<Progress>),
    /// A run is started without a trigger: by hand, or as a repeat of another.
    Start(Box<Start>),
    /// A schedule's instant has come.
    Fire(Box<Fire>),
    /// A timer is due.
    Tick(Box<Tick>),
    /// A window is claimed by an idempotency key; answers whether it was free, or claimed by the same key.
    Claim { window: String, by: String, until: Time, reply: oneshot::Sender<Result<bool, Refusal>> },
    /// A person answers a question.
    Answer(Box<Answer>),
    /// Something is noted in the history, with the settings that it changes.
    Note(Box<Note>),
    /// Texts that nothing can need any more are dropped, with the marks that told so.
    Forget { texts: Vec<Digest>, marks: Vec<store::Mark>, reply: oneshot::Sender<Result<(), Refusal>> },
    /// Alerts and cases were read, and searches made.
    Seen { readings: Vec<Reading>, marks: Vec<store::Mark>, reply: oneshot::Sender<Result<(), Refusal>> },
    /// A file is put to an alert or a case, piece by piece, or taken off.
    Attach { part: Part, reply: oneshot::Sender<Result<(), Refusal>> },
}

/// What a run did.
pub(crate) struct Progress {
    /// The summary as it stands afterwards; its last entry is filled in here.
    pub summary: RunSummary,
    /// What must hold.
    pub expect: Expect,
    /// Whether the lease is kept.
    pub keep_lease: bool,
    /// The payload of `run.progressed`.
    pub payload: Vec<u8>,
    /// Who is behind it.
    pub actor: Actor,
    /// Changes to alerts and cases that the step makes, with the chain of runs behind them.
    pub changes: Vec<LocalChange>,
    /// The runs behind it, itself included.
    pub chain: Vec<model::ChainLink>,
    /// Windows that begin or end.
    pub windows: Vec<Window>,
    /// Named values that change.
    pub marks: Vec<store::Mark>,
    /// The deliveries that failed with it, with their numbers.
    pub failed: Vec<(u32, Delivery)>,
    /// When the run ends by itself: how many of its deliveries were taken, and how many failed.
    pub delivered: [u64; 2],
    /// Names of values that must not be there; the order is stale otherwise.
    pub unless: Vec<String>,
    /// Answers with the entry that records it.
    pub reply: oneshot::Sender<Result<Seq, Refusal>>,
}

/// A run to be started.
pub(crate) struct Start {
    /// The event that records it.
    pub event: Arc<Event>,
    /// The run; its id, and its event where it has none of its own, are filled in here.
    pub start: RunStart,
    /// Answers with the run.
    pub reply: oneshot::Sender<Result<RunId, Refusal>>,
}

/// An answer to a question.
pub(crate) struct Answer {
    /// The run that asks.
    pub run: RunId,
    /// The path of its step.
    pub path: String,
    /// The answer.
    pub answered: Reply,
    /// Who gives it.
    pub actor: Actor,
    /// Answers when it is recorded.
    pub reply: oneshot::Sender<Result<Seq, Refusal>>,
}

/// An instant of a schedule.
pub(crate) struct Fire {
    /// The event that records it; each tenant has its own.
    pub event: Event,
    /// The tenants for which it fires.
    pub tenants: Vec<String>,
    /// Which playbook.
    pub playbook: Arc<playbook::Playbook>,
    /// Which trigger of it.
    pub fit: Fit,
    /// The cursor of the schedule: its name and the instant that it moves to. An instant that the cursor has passed is
    /// not fired again.
    pub cursor: (String, Time),
    /// Whether a run is started, or the instant only passed over (`missed: skip`).
    pub starts: bool,
    /// Answers when it is recorded.
    pub reply: oneshot::Sender<Result<(), Refusal>>,
}

/// A timer that is due.
pub(crate) struct Tick {
    /// The mark of the timer.
    pub timer: String,
    /// Answers when it is dealt with.
    pub reply: oneshot::Sender<Result<(), Refusal>>,
}

/// A note in the history.
pub(crate) struct Note {
    /// What kind of fact.
    pub kind: EntryKind,
    /// Who is behind it.
    pub actor: Actor,
    /// What it is about.
    pub object: String,
    /// What there is to say.
    pub payload: Value,
    /// Settings that change.
    pub marks: Vec<(String, Option<Vec<u8>>)>,
    /// Texts that are kept.
    pub texts: Vec<(Digest, Vec<u8>)>,
    /// The playbooks that are in force from now on.
    pub set: Option<Arc<Set>>,
    /// Answers when it is recorded.
    pub reply: oneshot::Sender<Result<Seq, Refusal>>,
}

/// What an order turned into, to be answered once it is durable.
pub(crate) enum Staged {
    Events(Answers),
    Change(Result<Accepted, Refusal>),
    Progress(Result<Seq, Refusal>),
    Start(Result<RunId, Refusal>),
    Fire(Result<(), Refusal>),
    Tick(Result<(), Refusal>),
    Claim(Result<bool, Refusal>),
    Answer(Result<Seq, Refusal>),
    Note(Result<Seq, Refusal>),
    Seen(Result<(), Refusal>),
    Attach(Result<(), Refusal>),
    Forget(Result<(), Refusal>),
}

/// Runs the writer until every handle is gone.
pub(crate) fn run(shared: &Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    while let Some(first) = orders.blocking_recv() {
        let mut batch = vec![first];
        let (mut events, mut bytes) = batch[0].weight();
        let mut looks = 0;
        while events < limits::COMMIT_EVENTS_MAX && bytes < limits::COMMIT_BYTES_MAX {
            let Ok(order) = orders.try_recv() else {
                if looks < GATHER_LOOKS && more_to_come(shared, &batch) {
                    looks += 1;
                    std::thread::sleep(GATHER);
                    continue;
                }
                break;
            };
            let (more_events, more_bytes) = order.weight();
            events += more_events;
            bytes += more_bytes;
            batch.push(order);
        }
        // Deciding is guarded order by order; what panics here is the store or the writer itself.
        if catch_unwind(AssertUnwindSafe(|| write(shared, batch))).is_err() {
            return shared.fail("the writer panicked; see the server's log");
        }
    }
}

/// Whether at least as many events are on their way as there are already.
fn more_to_come(shared: &Shared, batch: &[Order]) -> bool {
    let here = batch.iter().map(|order| if let Order::Events { place, .. } = order { place.units() } else { 0 });
    shared.intake.held() >= 2 * here.sum::<usize>().max(1)
}

impl Order {
    /// How many events and how many bytes of payload.
    fn weight(&self) -> (usize, usize) {
        match self {
            Order::Events { incoming, .. } => (incoming.len(), incoming.iter().map(|i| i.raw.bytes().len()).sum()),
            Order::Progress(progress) => (1, progress.payload.len()),
            Order::Seen { readings, .. } => (readings.len(), 256 * readings.len()),
            Order::Attach { part: Part::Piece { bytes, .. }, .. } => (1, bytes.as_ref().map_or(0, Vec::len)),
            _ => (1, 256),
        }
    }
}

/// Commits orders together, or one by one when one of them is stale, and answers them.
fn write(shared: &Arc<Shared>, orders: Vec<Order>) {
    match commit(shared, |batch| orders.iter().map(|order| batch.stage(order)).collect::<Vec<Staged>>()) {
        Ok(staged) => {
            for (order, staged) in orders.into_iter().zip(staged) {
                answer(shared, order, staged);
            }
        }
        Err(error) if concerns_one(&error) && orders.len() > 1 => {
            for order in orders {
                write(shared, vec![order]);
            }
        }
        Err(error) => {
            for order in orders {
                let staged = match &order {
                    Order::Events { incoming, .. } if concerns_one(&error) && incoming.len() > 1 => {
                        Staged::Events(event_by_event(shared, incoming))
                    }
                    order => order.refused(&refuse(shared, &error)),
                };
                answer(shared, order, staged);
            }
        }
    }
}

/// Commits what is staged, all of it or nothing.
fn commit<T>(shared: &Arc<Shared>, stage: impl FnOnce(&mut Batch<'_>) -> T) -> Result<T, store::Error> {
    let mut batch = Batch::new(shared);
    let staged = stage(&mut batch);
    batch.commit()?;
    Ok(staged)
}

/// Commits the events of one order each by itself: one of them cannot be kept, and the others must not suffer for it.
fn event_by_event(shared: &Arc<Shared>, incoming: &[Incoming]) -> Answers {
    let alone = |one| commit(shared, |batch| batch.events(std::slice::from_ref(one)));
    let answers = incoming.iter().map(|one| alone(one).unwrap_or_else(|error| vec![Err(refuse(shared, &error))]));
    answers.flatten().collect()
}

/// What those who asked are told; a store that cannot go on ends the engine.
fn refuse(shared: &Shared, error: &store::Error) -> Refusal {
    let refusal = Refusal::from(error);
    if matches!(refusal, Refusal::Store(_)) {
        shared.fail(&error.to_string());
    }
    refusal
}

/// Whether one order alone is to blame, such as one whose view of the state was out of date.
fn concerns_one(error: &store::Error) -> bool {
    use store::Error;
    matches!(error, Error::Fenced { .. } | Error::AlreadyEnded { .. } | Error::Claimed { .. } | Error::TooLarge { .. })
}

impl Order {
    fn refused(&self, refusal: &Refusal) -> Staged {
        let refusal = refusal.clone();
        match self {
            Order::Events { incoming, .. } => Staged::Events(incoming.iter().map(|_| Err(refusal.clone())).collect()),
            Order::Change { .. } => Staged::Change(Err(refusal)),
            Order::Progress(_) => Staged::Progress(Err(refusal)),
            Order::Start(_) => Staged::Start(Err(refusal)),
            Order::Fire(_) => Staged::Fire(Err(refusal)),
            Order::Tick(_) => Staged::Tick(Err(refusal)),
            Order::Claim { .. } => Staged::Claim(Err(refusal)),
            Order::Answer(_) => Staged::Answer(Err(refusal)),
            Order::Note(_) => Staged::Note(Err(refusal)),
            Order::Seen { .. } => Staged::Seen(Err(refusal)),
            Order::Attach { .. } => Staged::Attach(Err(refusal)),
            Order::Forget { .. } => Staged::Forget(Err(refusal)),
        }
    }
}

/// Tells the one who asked. Nobody may be there any more; what was done stays done.
fn answer(shared: &Shared, order: Order, staged: Staged) {
    match (order, staged) {
        (Order::Events { incoming, reply, place }, Staged::Events(answers)) => {
            drop(place);
            shared.figures.answered(&answers);
            shared.release_bytes(incoming.iter().map(|i| i.raw.bytes().len()).sum());
            let _ = reply.send(Answered { answers, incoming });
        }
        (Order::Change { reply, .. }, Staged::Change(answer)) => drop(reply.send(answer)),
        (Order::Progress(progress), Staged::Progress(answer)) => {
            if answer.is_ok() {
                shared.figures.progressed(&progress);
            }
            let _ = progress.reply.send(answer);
        }
        (Order::Start(start), Staged::Start(answer)) => drop(start.reply.send(answer)),
        (Order::Fire(fire), Staged::Fire(answer)) => drop(fire.reply.send(answer)),
        (Order::Tick(tick), Staged::Tick(answer)) => drop(tick.reply.send(answer)),
        (Order::Claim { reply, .. }, Staged::Claim(answer)) => drop(reply.send(answer)),
        (Order::Answer(order), Staged::Answer(answer)) => drop(order.reply.send(answer)),
        (Order::Seen { reply, .. }, Staged::Seen(answer))
        | (Order::Attach { reply, .. }, Staged::Attach(answer))
        | (Order::Forget { reply, .. }, Staged::Forget(answer)) => {
            drop(reply.send(answer));
        }
        (Order::Note(note), Staged::Note(answer)) => {
            if let (Ok(_), Some(set)) = (&answer, note.set) {
                shared.swap(set);
            }
            let _ = note.reply.send(answer);
        }
        _ => {}
    }
}
