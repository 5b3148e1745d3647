//! Clocks that jump while something is at work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::Time;
use serde_json::json;
use store::Store as _;

use crate::world::{World, plain, quiet, stands};

/// How long an answer is held back at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far the clock of these tests is ahead, in milliseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn clock() -> Time {
    Time::from_millis(store::wall().millis() + AHEAD.load(Ordering::SeqCst))
}

const ACT: &str = r#"
playbook: act
triggers:
  - event: { type: go }
steps:
  - { id: once, action: http.request, with: { method: POST, url: "http://RECEIVER/once" } }
  - { id: pause, wait: { for: 1h } }
  - { id: send, action: webhook.send, with: { to: desk, body: { n: 1 } } }
"#;

/// It ends only when the runner has taken what is due after the jump.
const OTHER: &str = r#"
playbook: other
triggers:
  - event: { type: other }
steps:
  - { id: say, action: log, with: { message: done } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_takes_no_run_from_who_is_at_work_on_it_and_ends_no_wait_twice() {
    let world = World::new(&[ACT, OTHER]).await;
    let (go_on, gone_on) = std::sync::mpsc::channel::<()>();
    let gone_on = Mutex::new(gone_on);
    // While the request is at work the clock jumps by two hours, so that every lease looks as if it had ended, and it is
    // looked for what is due.
    world.receiver.answers(move |request| {
        if request.path == "/once" {
            AHEAD.fetch_add(7_200_000, Ordering::SeqCst);
            tokio::task::block_in_place(|| gone_on.lock().unwrap().recv_timeout(PATIENCE)).unwrap();
        }
        Some(200)
    });
    let store = world.open_at(clock).await;
    let engine = world.start(store.clone()).await;
    let before = store.now();
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    // Others come meanwhile, so that the runner takes what is due.
    let shows = |part: &str| stands(store.as_ref()).iter().any(|stand| stand.contains(part));
    crate::world::until("the clock has jumped", || AHEAD.load(Ordering::SeqCst) > 0).await;
    engine.ingest(vec![plain("other", json!({}))]).await.remove(0).unwrap();
    crate::world::until("the other run has ended", || shows("other succeeded")).await;
    go_on.send(()).unwrap();
    crate::world::until("it waits", || shows("pause=waiting")).await;
    assert_eq!(world.receiver.paths(), ["/once"], "nobody else began it again");
    // Back by an hour: the store's time stands still at most, and the wait ends when its time has come, once.
    AHEAD.fetch_sub(3_600_000, Ordering::SeqCst);
    assert!(store.now() >= before.plus(Duration::from_secs(7_200)));
    AHEAD.fetch_add(3 * 3_600_000, Ordering::SeqCst);
    quiet(store.as_ref()).await;
    assert!(shows("act succeeded: once=succeeded pause=succeeded send=succeeded"), "{:?}", stands(store.as_ref()));
    assert_eq!(world.receiver.paths(), ["/once", "/desk"]);
    let runs = crate::world::all_runs(store.as_ref());
    let run = runs.iter().find(|run| run.playbook == "act").unwrap();
    let lasted = run.ended_at.unwrap().since(run.started_at.unwrap());
    assert!(lasted >= Duration::from_secs(3_600), "no wait ends early: {lasted:?}");
    engine.stop(Duration::from_secs(1)).await;
}

/// A clock of its own: tests run beside each other.
static LATER: AtomicI64 = AtomicI64::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_that_all_came_due_while_the_server_was_down_ring_once_each_and_share_commits() {
    const STALE: &str = r#"
playbook: stale
triggers:
  - case.in_stage: { stage: New, for: 1h }
steps:
  - { id: note, action: log, with: { message: "${{ case.id }}" } }
"#;
    const CASES: usize = 400;
    let clock: store::Clock = || Time::from_millis(store::wall().millis() + LATER.load(Ordering::SeqCst));
    let world = World::new(&[STALE]).await;
    let store = world.open_at(clock).await;
    let engine = world.start(store.clone()).await;
    let cases: Vec<_> = (0..CASES)
        .map(|n| {
            crate::world::snapshot("case.created", &json!({ "id": format!("C-{n}"), "name": "c", "stage": "New" }))
        })
        .collect();
    for some in cases.chunks(50) {
        engine.ingest(some.to_vec()).await.into_iter().for_each(|one| drop(one.unwrap()));
    }
    crate::world::gone(engine, store).await;
    LATER.fetch_add(2 * 3_600_000, Ordering::SeqCst);
    let store = world.open_at(clock).await;
    let before = store.stats().commits;
    let engine = world.start(store.clone()).await;
    let count = || store.stats().ended_runs;
    crate::world::until("all have rung and are worked off", || count() == CASES as u64).await;
    let mut cases = std::collections::BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.runs(&store::RunFilter::default(), after, 500).unwrap();
        cases.extend(page.items.into_iter().map(|run| run.case.unwrap()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(cases.len(), CASES, "each case once");
    // One for each run that ends, and few for all that rang.
    let commits = store.stats().commits - before;
    assert!(commits < CASES as u64 + CASES as u64 / 4, "{commits} commits");
    assert!(store.marks("timer/").unwrap().is_empty());
    engine.stop(Duration::from_secs(1)).await;
}
