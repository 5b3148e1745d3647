//! What the tests stand on: a store in a folder, playbooks, a receiver, and engines that start, stop and die over them.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::outbound::{Destination, Destinations, Effects, Egress, Outbound, Secrets, SystemResolver, Target};
use engine::source::{Incoming, Raw};
use engine::{Engine, Setup};
use model::event::{Actor, ReplayKey};
use model::record::Vocabulary;
use model::run::RunSummary;
use model::{Digest, Event, Kind, Object, ObjectKey, RunId, Seq, Subject, Time};
use playbook::{Evaluator, Playbook, Source};
use serde_json::{Value, json};
use store::{
    Claim, Commit, Cursor, Durability, Error, Lease, Options, Page, Retention, RunFilter, Sled, Stats, Store,
    StoredEntry, Swept,
};
use tempfile::TempDir;

use crate::receiver::Receiver;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a slow commit takes.
const DELAY: Duration = Duration::from_millis(150);

/// A folder, playbooks and a receiver with the destinations `desk` and `siem`.
pub(crate) struct World {
    folder: TempDir,
    /// Who gets webhooks.
    pub(crate) receiver: Receiver,
    playbooks: Vec<Arc<Playbook>>,
    /// Changes the destinations `desk` and `siem` before an engine starts.
    pub(crate) destination: fn(&mut Destination),
}

/// A store that stops being one after some entry, as if the process had been killed there.
pub(crate) struct Mortal {
    inner: Arc<Sled>,
    last: AtomicU64,
    silent: AtomicBool,
    panics: AtomicBool,
    slow: AtomicBool,
    full: AtomicBool,
}

impl World {
    /// A world with these playbooks.
    pub(crate) async fn new(playbooks: &[&str]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World { folder, receiver: Receiver::start().await, playbooks: Vec::new(), destination: |_| {} };
        world.playbooks = playbooks.iter().map(|text| world.compile(text)).collect();
        world
    }

    /// Compiles a playbook; `RECEIVER` in it becomes the receiver's address.
    pub(crate) fn compile(&self, text: &str) -> Arc<Playbook> {
        let destinations = self.destinations();
        let catalog = engine::catalog(Some(&destinations), Vocabulary::default(), None, None);
        let text = text.replace("RECEIVER", &self.receiver.address.to_string());
        let source = Source { file: "test.yaml".into(), text };
        match playbook::compile(&source, &catalog, &Evaluator::uncounted()) {
            Ok(playbook) => Arc::new(playbook),
            Err(found) => panic!("{}", found.iter().map(|one| one.render(false)).collect::<String>()),
        }
    }

    /// The folder's store, once whoever had it before has closed it.
    pub(crate) async fn open(&self) -> Arc<Sled> {
        let mut store = None;
        until("the store is free", || {
            store = open(self.folder.path());
            store.is_some()
        })
        .await;
        store.unwrap()
    }

    /// The same, with a clock that the test moves.
    pub(crate) async fn open_at(&self, clock: store::Clock) -> Arc<Sled> {
        let mut found = None;
        until("the store is free", || {
            let options = Options { durability: Durability::Nothing, clock, ..Options::default() };
            found = Sled::open(self.folder.path(), options).ok().map(Arc::new);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    fn destinations(&self) -> Destinations {
        let one = |id: &str| {
            let target = Target::parse(&format!("http://{}/{id}", self.receiver.address), &local()).unwrap();
            let mut destination = Destination {
                retry: Some(playbook::Retry {
                    max: 3,
                    backoff: playbook::Backoff::Fixed,
                    first: Duration::from_millis(2),
                    cap: Duration::from_millis(2),
                }),
                ..Destination::new(id, target)
            };
            (self.destination)(&mut destination);
            (id.to_owned(), Arc::new(destination))
        };
        Destinations { map: [one("desk"), one("siem")].into(), ..Destinations::default() }
    }

    /// What an engine over this store is made of.
    pub(crate) fn setup(&self, store: Arc<dyn Store>) -> Setup {
        let destinations = self.destinations();
        Setup {
            store,
            evaluator: Evaluator::uncounted(),
            words: Vocabulary::default(),
            node: "test".to_owned(),
            effects: Effects::live(
                Outbound::new(local(), engine::outbound::Limits::default(), Arc::new(SystemResolver)).unwrap(),
            ),
            secrets: Secrets::new(Arc::new(std::collections::BTreeMap::new())),
            catalog: engine::catalog(Some(&destinations), Vocabulary::default(), None, None),
            destinations,
            vault: Arc::new(engine::outbound::vault::Vault::closed()),
            destination_rules: engine::registry::DestinationRules::default(),
            triage: engine::triage::Triage::default(),
            public_url: None,
            playbooks: self.playbooks.clone(),
            runs_max: 8,
            retention: Retention { age: Duration::from_secs(86_400), runs: 1_000_000, bytes: u64::MAX },
            four_eyes: false,
        }
    }

    /// An engine over this store.
    pub(crate) async fn start(&self, store: Arc<dyn Store>) -> Engine {
        Engine::start(self.setup(store)).await.unwrap()
    }
}

/// Opens a store that does not wait for the disk; nothing while another has it open.
fn open(folder: &Path) -> Option<Arc<Sled>> {
    match Sled::open(folder, Options { durability: Durability::Nothing, ..Options::default() }) {
        Ok(store) => Some(Arc::new(store)),
        Err(Error::InUse { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn local() -> Egress {
    Egress { allow: vec!["127.0.0.0/8".parse().unwrap()], allow_http: true, ..Egress::default() }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until no run is open.
pub(crate) async fn quiet(store: &dyn Store) {
    until("no run is open", || store.stats().open_runs == 0).await;
}

/// Lets the engine go and waits until nothing holds its store any more.
pub(crate) async fn gone<S>(engine: Engine, store: Arc<S>) {
    drop(engine);
    let weak = Arc::downgrade(&store);
    drop(store);
    until("the engine gives up its store", || weak.strong_count() == 0).await;
}

/// Every run, the oldest first.
pub(crate) fn all_runs(store: &dyn Store) -> Vec<RunSummary> {
    let mut runs = store.runs(&RunFilter::default(), None, 1000).unwrap().items;
    runs.reverse();
    runs
}

/// How every run stands: `playbook status`, then its steps; the oldest first.
pub(crate) fn stands(store: &dyn Store) -> Vec<String> {
    all_runs(store).iter().map(|run| stand(store, run.id)).collect()
}

/// How a run stands: `playbook status: step=status …`.
pub(crate) fn stand(store: &dyn Store, run: RunId) -> String {
    let loaded = engine::load::load(store, run).unwrap();
    let steps = loaded.state.order.iter().map(|path| format!("{path}={}", loaded.state.steps[path].status.name()));
    let steps: Vec<String> = steps.collect();
    format!("{} {}: {}", loaded.summary.playbook, loaded.state.status.name(), steps.join(" "))
}

/// A snapshot of an object, from outside.
pub(crate) fn snapshot(kind: &str, fields: &Value) -> Incoming {
    let Value::Object(record) = fields.clone() else { panic!("an object") };
    let of = match kind.split('.').next() {
        Some("alert") => Kind::Alert,
        Some("case") => Kind::Case,
        _ => Kind::Entity,
    };
    let id = record.get("id").and_then(Value::as_str).unwrap().to_owned();
    let mut incoming = plain(kind, Value::Null);
    Arc::make_mut(&mut incoming.event).subject = Some(Subject { kind: of, id, fields: Arc::new(record) });
    incoming.raw = Raw::Json(fields.to_string().into());
    incoming
}

/// A plain event.
pub(crate) fn plain(kind: &str, data: Value) -> Incoming {
    let raw = Raw::Json(json!({ "type": kind, "data": data }).to_string().into());
    let now = store::wall();
    let event = Event {
        source: "generic".to_owned(),
        kind: kind.to_owned(),
        own_id: None,
        time: now,
        received: now,
        tenant: "default".to_owned(),
        actor: Actor::Source("generic".to_owned()),
        subject: None,
        from: None,
        data,
        replay: None,
        chain: Vec::new(),
        warnings: Vec::new(),
        first_sight_creates: false,
    };
    Incoming { event: Arc::new(event), raw }
}

/// The same with a key that makes a repeat recognisable.
pub(crate) fn keyed(mut incoming: Incoming, key: &str) -> Incoming {
    let body = Digest::of(incoming.raw.bytes());
    Arc::make_mut(&mut incoming.event).replay = Some(ReplayKey::new(key.to_owned(), body));
    incoming
}

/// An object's key in the tenant `default`.
pub(crate) fn key(kind: Kind, id: &str) -> ObjectKey {
    ObjectKey { tenant: "default".to_owned(), kind, id: id.to_owned() }
}

/// A person.
pub(crate) fn eva() -> Actor {
    Actor::Token("eva".to_owned())
}

/// That the sequence has no gap and every entry verifies; answers how many there are.
pub(crate) fn verified(store: &dyn Store) -> u64 {
    let before = store.next_seq();
    let mut count = 0;
    store
        .entries_forward(Seq(1), &mut |stored| {
            count += 1;
            assert_eq!(stored.header.seq, Seq(count), "a gap");
            assert!(stored.entry.is_some_and(|entry| entry.verifies()));
            true
        })
        .unwrap();
    // What the engine notes by itself may have come meanwhile.
    assert!(Seq(count + 1) >= before, "entries at the end are missing");
    count
}

impl Mortal {
    /// A store that lives for ever, until told otherwise.
    pub(crate) fn over(inner: Arc<Sled>) -> Arc<Mortal> {
        let last = AtomicU64::new(u64::MAX);
        Arc::new(Mortal {
            inner,
            last,
            silent: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            full: AtomicBool::new(false),
        })
    }

    /// The commit with this entry is the last; `silent`: not even that it was made is told.
    pub(crate) fn dies_at(&self, entry: u64, silent: bool) {
        self.last.store(entry, Ordering::SeqCst);
        self.silent.store(silent, Ordering::SeqCst);
    }

    /// The commit that would be after the last panics instead of failing.
    pub(crate) fn panics(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// The last commit takes its time and succeeds, and so do those after it.
    pub(crate) fn is_slow(&self) {
        self.slow.store(true, Ordering::SeqCst);
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

impl Store for Mortal {
    fn commit(&self, commit: Commit) -> Result<(), Error> {
        let dead = || Error::Broken { detail: "killed".to_owned() };
        let last = self.last.load(Ordering::SeqCst);
        if self.full.load(Ordering::SeqCst) {
            return Err(Error::Full { free: 0, needed: 1 });
        }
        if self.inner.next_seq().0 > last && self.slow.swap(false, Ordering::SeqCst) {
            std::thread::sleep(DELAY);
            self.last.store(u64::MAX, Ordering::SeqCst);
        } else if self.inner.next_seq().0 > last {
            assert!(!self.panics.load(Ordering::SeqCst), "the commit panics, as the test wants it");
            return Err(dead());
        }
        self.inner.commit(commit)?;
        if self.silent.load(Ordering::SeqCst) && self.inner.next_seq().0 > last { Err(dead()) } else { Ok(()) }
    }

    fn now(&self) -> Time {
        self.inner.now()
    }
    fn next_seq(&self) -> Seq {
        self.inner.next_seq()
    }
    fn object(&self, key: &ObjectKey) -> Result<Option<Object>, Error> {
        self.inner.object(key)
    }
    fn objects(&self, kind: model::Kind, visit: &mut dyn FnMut(ObjectKey, Object) -> bool) -> Result<(), Error> {
        self.inner.objects(kind, visit)
    }
    fn object_block(&self, key: &ObjectKey, first: Seq) -> Result<Vec<Seq>, Error> {
        self.inner.object_block(key, first)
    }
    fn file(&self, key: &ObjectKey, file: u64, n: u32) -> Result<Option<Vec<u8>>, Error> {
        self.inner.file(key, file, n)
    }
    fn claim(&self, key: &[u8; 16], now: Time) -> Result<Option<Claim>, Error> {
        self.inner.claim(key, now)
    }
    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, Error> {
        self.inner.window(key, now)
    }
    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, Error> {
        self.inner.tally(key, now)
    }
    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.inner.mark(name)
    }
    fn marks(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.inner.marks(prefix)
    }
    fn text(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        self.inner.text(digest)
    }
    fn entry(&self, seq: Seq) -> Result<Option<StoredEntry>, Error> {
        self.inner.entry(seq)
    }
    fn entries_back(&self, before: Option<Seq>, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error> {
        self.inner.entries_back(before, visit)
    }
    fn entries_forward(&self, from: Seq, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error> {
        self.inner.entries_forward(from, visit)
    }
    fn run(&self, id: RunId) -> Result<Option<RunSummary>, Error> {
        self.inner.run(id)
    }
    fn runs(&self, filter: &RunFilter, after: Option<Cursor>, limit: usize) -> Result<Page<RunSummary>, Error> {
        self.inner.runs(filter, after, limit)
    }
    fn group(&self, group: &str) -> Result<Vec<RunId>, Error> {
        self.inner.group(group)
    }
    fn hasten(&self, runs: &[RunId], at: Time) -> Result<(), Error> {
        self.inner.hasten(runs, at)
    }
    fn take_due(&self, now: Time, max: usize, lease: Duration) -> Result<Vec<Lease>, Error> {
        self.inner.take_due(now, max, lease)
    }
    fn next_due(&self) -> Option<Time> {
        self.inner.next_due()
    }
    fn prolong(&self, leases: &[Lease], now: Time, lease: Duration) -> Result<Vec<bool>, Error> {
        self.inner.prolong(leases, now, lease)
    }
    fn release(&self, lease: Lease, due_at: Time) -> Result<(), Error> {
        self.inner.release(lease, due_at)
    }
    fn sweep_due(&self, now: Time, keep: &Retention) -> Result<Option<Seq>, Error> {
        self.inner.sweep_due(now, keep)
    }
    fn sweep_before(&self, now: Time, keep: &Retention, before: Seq) -> Result<Swept, Error> {
        self.inner.sweep_before(now, keep, before)
    }
    fn backup(&self, out: &mut dyn Write) -> Result<u64, Error> {
        self.inner.backup(out)
    }
    fn hold(&self, entries: std::collections::BTreeSet<Seq>) {
        self.inner.hold(entries);
    }
    fn ledger(&self) -> store::Ledger {
        self.inner.ledger()
    }
    fn tile(&self, level: u8, index: u64) -> Result<Vec<Digest>, Error> {
        self.inner.tile(level, index)
    }
    fn inspect(&self, visit: &mut dyn FnMut(store::Found) -> bool) -> Result<(), Error> {
        self.inner.inspect(visit)
    }
    fn leaf(&self, seq: Seq) -> Result<Option<Digest>, Error> {
        self.inner.leaf(seq)
    }
    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}
