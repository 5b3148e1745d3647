//! Signs checkpoints: every minute in which something was recorded, every ten thousand entries, and at stop; and keeps a
//! copy of each where the store cannot reach it.
//!
//! A checkpoint is no entry of the history: it vouches for the entries and would otherwise vouch for itself for ever. The
//! newest of each day stay for good, of the last two days all.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::event::Actor;
use model::tree::TILE;
use model::{Digest, Time};
use serde_json::json;
use store::{Commit, Error, Ledger, Store};
use tokio::sync::watch;

use super::checkpoint::Checkpoint;
use super::courier::{Carried, Signed};
use super::key::{KeyError, Keys};
use super::note::{Signer, Verifier};
use crate::engine::Engine;

/// The marks under which signed checkpoints are kept, by their size.
pub const CHECKPOINT_PREFIX: &str = "ledger/checkpoint/";
/// The marks under which the public keys are kept, in their order.
pub const KEY_PREFIX: &str = "ledger/key/";
/// The mark of the leaves of the unfinished tile, as of the newest checkpoint.
const EDGE: &str = "ledger/edge";
/// How often there is a look whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A checkpoint is due after this time, when there is anything new.
const EVERY: Duration = Duration::from_secs(60);
/// And after so many entries.
const EVERY_ENTRIES: u64 = 10_000;
/// For how long all checkpoints are kept; after it one of each day.
const ALL_KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// What signs and keeps.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file of the key.
    pub keys: Keys,
    /// A file that each checkpoint is appended to; best on another disk.
    pub copies: Option<PathBuf>,
    /// A destination that each checkpoint is sent to.
    pub destination: Option<String>,
}

/// Signs the tree of one store.
pub(crate) struct Keeper {
    settings: Settings,
    signer: Mutex<Arc<Signer>>,
    last: Mutex<Option<(Time, u64)>>,
    newest: watch::Sender<Option<Signed>>,
    carried: Mutex<Carried>,
}

/// Why no checkpoint could be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The copy could not be written.
    #[error("the copy of the checkpoint in {}: {source}", path.display())]
    Copy {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What became of the key at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyNews {
    /// It is the one the store knows.
    Known,
    /// The store had none yet.
    First,
    /// The store knows another.
    Changed,
    /// The file was gone; this is a new one.
    Lost,
}

impl Keeper {
    /// Reads the key, or makes one where there is none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(settings: Settings, store: &dyn Store) -> Result<(Keeper, KeyNews), OpenError> {
        let known = super::verify::own_keys(store)?;
        let (signer, found) = match settings.keys.read()? {
            Some(signer) => (signer, true),
            None => (settings.keys.make()?, false),
        };
        let news = match known.last() {
            None => KeyNews::First,
            Some(last) if last == signer.verifier() => KeyNews::Known,
            Some(_) if found => KeyNews::Changed,
            Some(_) => KeyNews::Lost,
        };
        let carried = Carried { destination: settings.destination.clone().unwrap_or_default(), ..Carried::default() };
        let keeper = Keeper {
            settings,
            signer: Mutex::new(Arc::new(signer)),
            last: Mutex::new(None),
            newest: watch::Sender::new(None),
            carried: Mutex::new(carried),
        };
        Ok((keeper, news))
    }

    fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.signer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The public key.
    pub(crate) fn verifier(&self) -> Verifier {
        self.signer().verifier().clone()
    }

    /// Replaces the key by a new one.
    ///
    /// # Errors
    /// [`KeyError`].
    pub(crate) fn rotate(&self) -> Result<Verifier, KeyError> {
        let signer = Arc::new(self.settings.keys.make()?);
        let verifier = signer.verifier().clone();
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) = signer;
        Ok(verifier)
    }

    /// Whether a checkpoint is due.
    fn is_due(&self, ledger: &Ledger, now: Time) -> bool {
        match *self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            None => ledger.size > 0,
            Some((at, size)) => ledger.size >= size + EVERY_ENTRIES || (ledger.size > size && now >= at.plus(EVERY)),
        }
    }

    /// Signs the tree as it stands, and keeps the checkpoint; the one there is when nothing is new.
    ///
    /// # Errors
    /// [`SignError`].
    pub(crate) fn sign(&self, store: &dyn Store) -> Result<(Checkpoint, String), SignError> {
        // One at a time: two of the same size would be two answers to one question.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (ledger, now, signer) = (store.ledger(), store.now(), self.signer());
        if let Some(kept) = kept(store, ledger.size, signer.verifier())? {
            return Ok(kept);
        }
        let Ledger { base, size, root } = ledger;
        let checkpoint = Checkpoint { origin: signer.verifier().name().to_owned(), size, root, time: now, base };
        let note = signer.sign(&checkpoint.text());
        let mut marks = vec![(mark(size), Some(note.clone().into_bytes()))];
        marks.push((EDGE.to_owned(), Some(edge(store, size)?)));
        marks.extend(too_many(store, now)?.into_iter().map(|name| (name, None)));
        // Without entries it has no place in the sequence, so it need not go through the writer.
        store.commit(Commit { marks, ..Commit::default() })?;
        *last = Some((now, size));
        drop(last);
        let copied = self.settings.copies.as_ref().map(|path| (path, append(path, &note)));
        // A copy that cannot be written is no reason to keep the checkpoint from the other place.
        self.newest.send_replace(Some((checkpoint.clone(), note.clone())));
        if let Some((path, Err(source))) = copied {
            return Err(SignError::Copy { path: path.clone(), source });
        }
        Ok((checkpoint, note))
    }

    /// The destination that checkpoints are sent to.
    pub(crate) fn destination(&self) -> Option<&str> {
        self.settings.destination.as_deref()
    }

    /// Tells of each checkpoint that is signed.
    pub(crate) fn newest(&self) -> watch::Receiver<Option<Signed>> {
        self.newest.subscribe()
    }

    /// How checkpoints get to their destination; nothing when they go nowhere.
    pub(crate) fn carried(&self) -> Option<Carried> {
        self.destination()?;
        Some(self.carried.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Whether the destination has no checkpoint of this size yet.
    pub(crate) fn lacks(&self, size: u64) -> bool {
        self.carried().is_some_and(|carried| carried.arrived.is_none_or(|(arrived, _)| arrived < size))
    }

    /// Notes that a checkpoint arrived; answers whether it was not so before.
    pub(crate) fn note_arrived(&self, size: u64, now: Time) -> bool {
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        carried.arrived = Some((size, now));
        carried.failing.take().is_some()
    }

    /// Notes that a checkpoint did not arrive; answers whether that is news.
    pub(crate) fn note_failing(&self, now: Time, reason: &str) -> bool {
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        let since = carried.failing.as_ref().map(|(since, _)| *since);
        carried.failing = Some((since.unwrap_or(now), reason.to_owned()));
        since.is_none()
    }
}

/// Why the ledger cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The leaves of the unfinished tile as of a size, behind that size: until the tile is full they stand nowhere else, and
/// without them an edited header could be seen but not named.
fn edge(store: &dyn Store, size: u64) -> Result<Vec<u8>, Error> {
    let count = usize::try_from(size % TILE as u64).unwrap_or(0);
    let hashes = if count == 0 { Vec::new() } else { store.tile(0, size / TILE as u64)? };
    let mut value = size.to_be_bytes().to_vec();
    value.extend(hashes.iter().take(count).flat_map(|hash| hash.0));
    Ok(value)
}

/// Reads what is kept of the unfinished tile: the size of the tree, and the leaves.
pub(super) fn kept_edge(store: &dyn Store) -> Result<Option<(u64, Vec<Digest>)>, Error> {
    let value = store.mark(EDGE)?;
    Ok(value.as_deref().and_then(<[u8]>::split_first_chunk::<8>).map(|(size, rest)| {
        let hashes = rest.chunks_exact(32).filter_map(|chunk| chunk.try_into().ok().map(Digest)).collect();
        (u64::from_be_bytes(*size), hashes)
    }))
}

fn mark(size: u64) -> String {
    // Names in the order of sizes.
    format!("{CHECKPOINT_PREFIX}{size:020}")
}

/// The checkpoint of this size, when this key has signed one.
fn kept(store: &dyn Store, size: u64, key: &Verifier) -> Result<Option<(Checkpoint, String)>, Error> {
    let Some(value) = store.mark(&mark(size))? else { return Ok(None) };
    let note = String::from_utf8_lossy(&value).into_owned();
    let root = store.ledger().root;
    Ok(Checkpoint::open(&note, [key]).ok().filter(|(known, _)| known.root == root).map(|(known, _)| (known, note)))
}

/// The checkpoints that need not be kept any more: older than two days, and not the last of their day.
fn too_many(store: &dyn Store, now: Time) -> Result<Vec<String>, Error> {
    let cut = now.minus(ALL_KEPT);
    let mut drop = Vec::new();
    let mut before: Option<(String, i64)> = None;
    for (name, value) in store.marks(CHECKPOINT_PREFIX)? {
        let Ok((checkpoint, _)) = Checkpoint::open(&String::from_utf8_lossy(&value), []) else { continue };
        if checkpoint.time >= cut {
            break;
        }
        let day = checkpoint.time.millis().div_euclid(24 * 3600 * 1000);
        if let Some((earlier, _)) = before.replace((name, day)).filter(|(_, of)| *of == day) {
            drop.push(earlier);
        }
    }
    Ok(drop)
}

fn append(path: &std::path::Path, note: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{note}\n").as_bytes())?;
    file.sync_data()
}

/// Records what became of the key, and keeps its public half.
pub(crate) async fn record_key(engine: &Engine, verifier: &Verifier, news: &KeyNews) -> Result<(), crate::Refusal> {
    let what = match news {
        KeyNews::Known => return Ok(()),
        KeyNews::First => "signing key made",
        KeyNews::Changed => "signing key changed",
        KeyNews::Lost => "signing key lost and made anew",
    };
    if *news != KeyNews::First {
        tracing::warn!(key = %verifier, "{what}: tell those who verify the history");
    }
    let at = engine.store().next_seq();
    let marks = vec![(format!("{KEY_PREFIX}{:020}", at.0), Some(verifier.to_string().into_bytes()))];
    let payload = json!({ "what": what, "key": verifier.to_string() });
    engine.set_marks(marks, "ledger".to_owned(), payload, Actor::System).await.map(drop)
}

/// Signs until the server stops.
pub(crate) async fn run(keeper: Arc<Keeper>, store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let (keeper, store) = (Arc::clone(&keeper), Arc::clone(&store));
        let signed = tokio::task::spawn_blocking(move || {
            if keeper.is_due(&store.ledger(), store.now()) { keeper.sign(store.as_ref()).map(drop) } else { Ok(()) }
        });
        if let Ok(Err(error)) = signed.await {
            tracing::error!(%error, "no checkpoint of the history could be signed");
        }
    }
}
