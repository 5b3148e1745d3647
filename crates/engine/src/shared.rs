//! What the parts of the engine share: the store, the loaded set, what has just begun, the figures.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use model::history::Salt;
use model::record::Vocabulary;
use model::run::{RunStart, RunStatus, RunSummary};
use model::{Event, Object, ObjectKey, Record, RunId, Verdict};
use playbook::{Evaluator, Playbook};
use store::Expect;
use tokio::sync::{Notify, watch};

use crate::brakes::Held;
use crate::evict::Crowded;
use crate::intake::Intake;
use crate::past::Past;
use crate::refusal::Refusal;
use crate::seen::Seen;
use crate::set::Set;
use crate::timer::Timers;
use crate::triage::Triage;
use crate::waits::Waits;
use crate::writer::{Accepted, Progress};

/// Runs whose start is kept in memory until a worker takes them; the others are read from the store.
const FRESH_MAX: usize = 4096;
/// Runs that are remembered as waiting for the end of a pause; more are found when they are looked at.
const PARKED_MAX: usize = 100_000;
/// Bytes of bodies that may wait for the writer.
const WAITING_BYTES_MAX: usize = 64_000_000;
/// Random bytes that are fetched at once.
const RANDOM_POOL_BYTES: usize = 4096;

/// A run that has just been created, with what it was created from.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub start: RunStart,
    pub event: Arc<Event>,
    /// The state that the event left, so that the store need not read it while somebody has it ([`store::Store::object`]).
    pub record: Option<Arc<Record>>,
    pub summary: RunSummary,
}

/// What runs change, where it is to be undone: in a back-test over a history that tells already what runs changed.
#[derive(Debug, Default)]
pub(crate) struct Apart(Mutex<Option<BTreeMap<ObjectKey, Option<Object>>>>);

impl Apart {
    /// Whether what runs change is kept apart.
    pub(crate) fn set(&self, apart: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = apart.then(BTreeMap::new);
    }

    /// Notes an object as it stands before a run changes it; `false` when nothing is kept apart.
    pub(crate) fn note(&self, key: &ObjectKey, object: Option<&Object>) -> bool {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(noted) => {
                noted.entry(key.clone()).or_insert_with(|| object.cloned());
                true
            }
            None => false,
        }
    }

    /// The objects as they stood before runs changed them, since the last call.
    pub(crate) fn take(&self) -> BTreeMap<ObjectKey, Option<Object>> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// What the parts of the engine share.
pub(crate) struct Shared {
    pub store: Arc<dyn store::Store>,
    pub evaluator: Evaluator,
    pub words: Vocabulary,
    pub node: String,
    /// Wakes the runner; lossy, since what is due stands in the store.
    pub wake: Notify,
    /// Groups of runs that may be too full.
    pub crowded: Crowded,
    /// Runs that wait for what others do.
    pub waits: Waits,
    /// When timers are due.
    pub timers: Timers,
    /// The tenants that are configured; none where there is only `default`.
    pub tenants: Vec<String>,
    /// Whether a text of a playbook that is new here waits for a second person.
    pub four_eyes: bool,
    /// What is held up until it is lifted.
    pub brakes: Held,
    pub figures: Figures,
    set: RwLock<Arc<Set>>,
    triage: RwLock<Arc<Triage>>,
    /// Sets of playbooks that were in force before, put together again.
    pub past: Past,
    /// What was read and searched for, and is not written yet.
    pub seen: Seen,
    fresh: Mutex<HashMap<RunId, Fresh>>,
    /// Runs that wait until what leaves is no longer paused; hints, since they are looked at from time to time anyway.
    parked: Mutex<Vec<RunId>>,
    waiting_bytes: AtomicUsize,
    /// Whose events may wait for the writer.
    pub intake: Intake,
    random: Mutex<Chance>,
    /// Whether the time that conditions take is measured. In a simulation it is not: it must come out the same each time.
    timed: bool,
    failed: watch::Sender<Option<String>>,
    /// What runs change, where it is to be undone.
    pub apart: Apart,
}

impl Shared {
    pub(crate) fn new(
        store: Arc<dyn store::Store>,
        evaluator: Evaluator,
        words: Vocabulary,
        node: String,
        set: Set,
        chance: Chance,
        timed: bool,
    ) -> Shared {
        Shared {
            store,
            evaluator,
            words,
            node,
            wake: Notify::new(),
            crowded: Crowded::default(),
            waits: Waits::default(),
            timers: Timers::default(),
            tenants: Vec::new(),
            four_eyes: false,
            brakes: Held::default(),
            parked: Mutex::default(),
            figures: Figures::default(),
            set: RwLock::new(Arc::new(set)),
            triage: RwLock::default(),
            past: Past::default(),
            seen: Seen::default(),
            fresh: Mutex::default(),
            waiting_bytes: AtomicUsize::new(0),
            intake: Intake::default(),
            random: Mutex::new(chance),
            timed,
            failed: watch::Sender::new(None),
            apart: Apart::default(),
        }
    }

    /// The playbooks in force.
    pub(crate) fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another set in force.
    pub(crate) fn swap(&self, set: Arc<Set>) {
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = set;
    }

    /// What the team has said about its alerts and cases.
    pub(crate) fn triage(&self) -> Arc<Triage> {
        Arc::clone(&self.triage.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts something else in its place.
    pub(crate) fn swap_triage(&self, triage: Arc<Triage>) {
        *self.triage.write().unwrap_or_else(PoisonError::into_inner) = triage;
    }

    /// Remembers runs that are about to become durable.
    pub(crate) fn remember(&self, runs: Vec<Fresh>) {
        if runs.is_empty() {
            return;
        }
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for run in runs {
            if fresh.len() >= FRESH_MAX {
                break;
            }
            fresh.insert(run.start.id, run);
        }
    }

    /// Forgets runs that did not become durable, or that will never be worked on.
    pub(crate) fn forget(&self, runs: &[RunId]) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for run in runs {
            fresh.remove(run);
        }
    }

    /// Takes what is remembered of a run.
    pub(crate) fn take_fresh(&self, run: RunId) -> Option<Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).remove(&run)
    }

    /// The tenants for which a playbook does what no event has asked for.
    pub(crate) fn tenants_of(&self, playbook: &Playbook) -> Vec<String> {
        match &playbook.tenants {
            Some(tenants) => tenants.clone(),
            None if self.tenants.is_empty() => vec!["default".to_owned()],
            None => self.tenants.clone(),
        }
    }

    /// Notes that a run waits until what leaves is no longer paused.
    pub(crate) fn park(&self, run: RunId) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if parked.len() < PARKED_MAX {
            parked.push(run);
        }
    }

    /// Takes the runs that wait for the end of a pause.
    pub(crate) fn take_parked(&self) -> Vec<RunId> {
        std::mem::take(&mut *self.parked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes room for bodies that wait for the writer; `false` when there is none.
    pub(crate) fn reserve_bytes(&self, bytes: usize) -> bool {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before + bytes > WAITING_BYTES_MAX {
            self.release_bytes(bytes);
            return false;
        }
        true
    }

    /// Gives room back.
    pub(crate) fn release_bytes(&self, bytes: usize) {
        let _ = self
            .waiting_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| Some(all.saturating_sub(bytes)));
    }

    /// Random bytes for the commitment of an entry.
    pub(crate) fn salt(&self) -> Salt {
        let mut salt = Salt::default();
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if !random.fill(&mut salt) {
            // Without a source of randomness commitments could be guessed: stop rather than go on.
            self.failed.send_replace(Some("the system has no source of randomness".to_owned()));
        }
        salt
    }

    /// Whether time passes here by itself; in a simulation it does not.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed
    }

    /// How long the conditions of an event have taken since `began`.
    pub(crate) fn spent(&self, began: Instant) -> Duration {
        if self.timed { began.elapsed() } else { Duration::ZERO }
    }

    /// A random number for jitter.
    pub(crate) fn random(&self) -> u64 {
        let salt = self.salt();
        u64::from_be_bytes([salt[0], salt[1], salt[2], salt[3], salt[4], salt[5], salt[6], salt[7]])
    }

    /// Says that the engine failed in a way that does not mend itself.
    pub(crate) fn fail(&self, why: &str) {
        tracing::error!(why, "the engine failed; the server stops accepting and ends");
        self.failed.send_replace(Some(why.to_owned()));
    }

    /// Whether and why the engine has failed.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }
}

/// Where random bytes come from.
pub(crate) enum Chance {
    /// The system.
    System {
        /// What was fetched and not used yet.
        pool: Vec<u8>,
    },
    /// A number: the same bytes each time, for simulations.
    Seeded(u64),
}

impl Chance {
    pub(crate) const fn system() -> Chance {
        Chance::System { pool: Vec::new() }
    }

    /// Fills `out`; `false` when there is no source of randomness.
    fn fill(&mut self, out: &mut Salt) -> bool {
        match self {
            Chance::System { pool } => {
                let mut good = true;
                if pool.len() < out.len() {
                    pool.resize(RANDOM_POOL_BYTES, 0);
                    good = getrandom::fill(pool).is_ok();
                }
                let at = pool.len() - out.len();
                out.copy_from_slice(&pool[at..]);
                pool.truncate(at);
                good
            }
            Chance::Seeded(state) => {
                for chunk in out.chunks_mut(8) {
                    let bytes = split_mix(state).to_be_bytes();
                    chunk.copy_from_slice(&bytes[..chunk.len()]);
                }
                true
            }
        }
    }
}

/// The next number of SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Counters since the start, for `/metrics`.
#[derive(Debug, Default)]
pub struct Figures {
    /// Events that were accepted.
    pub events_accepted: AtomicU64,
    /// Events that were repeats.
    pub events_repeated: AtomicU64,
    /// Events that were refused by the engine.
    pub events_refused: AtomicU64,
    /// Decisions that started a run.
    pub decisions_matched: AtomicU64,
    /// Decisions whose condition could not be answered.
    pub decisions_failed: AtomicU64,
    /// Runs that ended without a failure.
    pub runs_succeeded: AtomicU64,
    /// Runs that failed or ran out of time.
    pub runs_failed: AtomicU64,
    /// Runs that need a person.
    pub runs_need_attention: AtomicU64,
    /// Deliveries that were taken by their receivers.
    pub deliveries_delivered: AtomicU64,
    /// Deliveries that finally failed.
    pub deliveries_failed: AtomicU64,
    /// Runs at work at this moment.
    pub runs_at_work: AtomicU64,
}

impl Figures {
    pub(crate) fn answered(&self, answers: &[Result<Accepted, Refusal>]) {
        let add = |counter: &AtomicU64, n: usize| {
            if n > 0 {
                counter.fetch_add(n as u64, Ordering::Relaxed);
            }
        };
        let accepted = || answers.iter().filter_map(|answer| answer.as_ref().ok());
        add(&self.events_refused, answers.iter().filter(|answer| answer.is_err()).count());
        add(&self.events_repeated, accepted().filter(|answer| answer.duplicate).count());
        add(&self.events_accepted, accepted().filter(|answer| !answer.duplicate).count());
        let verdicts = |verdict: Verdict| {
            accepted().filter(|a| !a.duplicate).flat_map(|a| &a.decisions).filter(|d| d.verdict == verdict).count()
        };
        add(&self.decisions_matched, verdicts(Verdict::Matched));
        add(&self.decisions_failed, verdicts(Verdict::Failed));
    }

    /// Counts a run that has ended, and its deliveries. What people do to a run, such as sending a delivery again, is not its end.
    pub(crate) fn progressed(&self, progress: &Progress) {
        let summary = &progress.summary;
        if matches!(progress.expect, Expect::Version(_)) {
            return;
        }
        let counter = match summary.status {
            RunStatus::Succeeded | RunStatus::SucceededWithWarnings => &self.runs_succeeded,
            RunStatus::Failed | RunStatus::TimedOut => &self.runs_failed,
            RunStatus::NeedsAttention => &self.runs_need_attention,
            RunStatus::Queued | RunStatus::Running | RunStatus::Waiting | RunStatus::Cancelled => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let [delivered, failed] = progress.delivered;
        self.deliveries_delivered.fetch_add(delivered, Ordering::Relaxed);
        self.deliveries_failed.fetch_add(failed, Ordering::Relaxed);
    }
}
