//! Imitate a crash by forgetting: the engine dies after each recorded entry, and starts again on the same folder.

use std::sync::Arc;

use engine::Engine;
use model::Kind;
use serde_json::json;
use store::Store;

use crate::world::{Mortal, World, all_runs, gone, key, keyed, plain, quiet, snapshot, stand, stands, until, verified};

const TRIAGE: &str = r#"
playbook: triage
triggers:
  - alert.created: { when: "alert.risk_score >= 90" }
steps:
  - id: tell
    action: webhook.send_threat_details
    with: { to: [desk, siem] }
  - id: tag
    action: alert.add_tags
    with: { tags: [seen] }
  - id: open
    action: case.create_from_alert
    with: {}
  - id: again
    action: webhook.send
    with: { to: siem, body: { case: "${{ steps.open.output.case_id }}" } }
"#;

const FOLLOW: &str = r#"
playbook: follow
triggers:
  - case.created
steps:
  - id: note
    action: case.comment
    with: { text: "opened by automation" }
  - id: tell
    action: webhook.send_threat_details
    with: { to: desk }
"#;

/// The first try of each delivery to the desk is refused.
fn refuse_first(world: &World) {
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    world.receiver.answers(move |request| {
        let first = seen.lock().unwrap().insert(request.id.clone());
        Some(if first && request.path == "/desk" { 503 } else { 200 })
    });
}

/// Sends the alert as a sender does: until it is accepted.
async fn send(engine: &Engine) -> bool {
    let alert = snapshot("alert.created", &json!({ "id": "A-1", "risk_score": 95, "name": "x" }));
    engine.ingest(vec![keyed(alert, "k")]).await.remove(0).is_ok()
}

/// What must be true in the end, whatever happened on the way.
fn check(world: &World, store: &dyn Store, expected: &[String], what: &str) {
    assert_eq!(stands(store), expected, "{what}");
    verified(store);
    let received = world.receiver.received();
    let mut known = Vec::new();
    for run in all_runs(store) {
        for delivery in &run.deliveries {
            let id = format!("{}/{}/{}", run.id, delivery.path, delivery.destination);
            assert_eq!(delivery.status.name(), "delivered", "{what}: {id}");
            let bodies: Vec<&str> = received.iter().filter(|one| one.id == id).map(|one| one.body.as_str()).collect();
            assert!(!bodies.is_empty(), "{what}: {id} never came");
            known.push(id);
        }
    }
    for one in &received {
        assert!(known.contains(&one.id), "{what}: `{}` belongs to no run", one.id);
    }
    let case = store.object(&key(Kind::Case, "case-A-1")).unwrap().unwrap();
    let comments = case.meta.entries.iter().filter(|seq| {
        let entry = store.entry(**seq).unwrap().unwrap().entry.unwrap();
        String::from_utf8_lossy(&entry.payload).contains("\"case.commented\"")
    });
    assert_eq!(comments.count(), 1, "{what}: the comment stands once");
    assert_eq!(store.object(&key(Kind::Alert, "A-1")).unwrap().unwrap().record["tags"], json!(["seen"]));
}

/// One life that ends with this entry, and one after it.
async fn die_at(entry: u64, silent: bool, expected: &[String]) {
    let what = format!("after entry {entry}, silent: {silent}");
    let world = World::new(&[TRIAGE, FOLLOW]).await;
    refuse_first(&world);
    let store = Mortal::over(world.open().await);
    store.dies_at(entry, silent);
    let mut accepted = false;
    if let Ok(engine) = Engine::start(world.setup(store.clone())).await {
        accepted = send(&engine).await;
        tokio::select! {
            _ = engine.failed() => {}
            () = quiet(store.as_ref()), if accepted => {}
        }
        gone(engine, store).await;
    } else {
        let weak = Arc::downgrade(&store);
        drop(store);
        until("the store is closed", || weak.strong_count() == 0).await;
    }
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    assert!(send(&engine).await, "{what}");
    if accepted {
        assert!(!all_runs(store.as_ref()).is_empty(), "{what}: what was accepted is there");
    }
    quiet(store.as_ref()).await;
    check(&world, store.as_ref(), expected, &what);
    engine.stop(std::time::Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_entry_loses_nothing_and_doubles_no_change() {
    let world = World::new(&[TRIAGE, FOLLOW]).await;
    refuse_first(&world);
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    assert!(send(&engine).await);
    quiet(store.as_ref()).await;
    let expected = stands(store.as_ref());
    assert_eq!(
        expected,
        [
            "triage succeeded: tell=succeeded tag=succeeded open=succeeded again=succeeded",
            "follow succeeded: note=succeeded tell=succeeded",
        ]
    );
    check(&world, store.as_ref(), &expected, "without a crash");
    let entries = verified(store.as_ref());
    assert!(entries > 10, "{entries} entries");
    for entry in 1..=entries {
        for silent in [false, true] {
            die_at(entry, silent, &expected).await;
        }
    }
}

const ISOLATE: &str = r#"
playbook: isolate
triggers:
  - event: { type: isolate }
steps:
  - id: act
    action: http.request
    with: { method: POST, url: "http://RECEIVER/isolate", body: { host: ws-17 } }
  - id: then
    action: log
    with: { message: done }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_repeated_and_was_begun_needs_a_person_after_a_crash() {
    let world = World::new(&[ISOLATE]).await;
    world.receiver.answers(|_| None);
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("isolate", json!({}))]).await.remove(0).unwrap();
    until("the request is out", || world.receiver.paths() == ["/isolate"]).await;
    gone(engine, store).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref()), ["isolate needs_attention: act=needs_attention"]);
    assert_eq!(world.receiver.paths(), ["/isolate"], "it was not repeated");
    engine.stop(std::time::Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_makes_a_run_wait_with_what_it_did() {
    let world = World::new(&[ISOLATE]).await;
    let store = Mortal::over(world.open().await);
    let filling = store.clone();
    // The disk fills while the receiver is at work: the outcome is known and cannot be written down.
    world.receiver.answers(move |_| {
        filling.is_full(true);
        Some(200)
    });
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("isolate", json!({}))]).await.remove(0).unwrap();
    until("the request is out", || world.receiver.paths() == ["/isolate"]).await;
    let refused = engine.ingest(vec![plain("isolate", json!({}))]).await.remove(0).unwrap_err();
    assert_eq!(refused, engine::Refusal::Full);
    store.is_full(false);
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref()), ["isolate succeeded: act=succeeded then=succeeded"]);
    assert_eq!(world.receiver.paths(), ["/isolate"], "it was done once");
    engine.stop(std::time::Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_ends_readiness() {
    let world = World::new(&[]).await;
    let store = Mortal::over(world.open().await);
    let engine = world.start(store.clone()).await;
    assert_eq!(engine.ready(), Ok(()));
    store.dies_at(0, false);
    let refused = engine.ingest(vec![plain("x", json!({}))]).await.remove(0).unwrap_err();
    assert!(matches!(refused, engine::Refusal::Store(_)), "{refused:?}");
    assert!(engine.ready().unwrap_err().contains("killed"));
    engine.failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_begins_no_further_step_and_the_next_start_goes_on_without_a_repeat() {
    const TWO: &str = r#"
playbook: two
triggers:
  - event: { type: go }
steps:
  - id: first
    action: webhook.send
    with: { to: desk, body: { n: 1 } }
  - id: second
    action: webhook.send
    with: { to: siem, body: { n: 2 } }
"#;
    let world = World::new(&[TWO]).await;
    let (asked, wait) = std::sync::mpsc::channel::<()>();
    let (arrived, has_arrived) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    world.receiver.answers(move |request| {
        if request.path == "/desk" {
            arrived.send(()).unwrap();
            // The thread waits; what else the runtime has for it must not.
            let _ = tokio::task::block_in_place(|| wait.lock().unwrap().recv());
        }
        Some(200)
    });
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap().decisions[0].run_id.unwrap();
    until("the first step is at work", || has_arrived.try_recv().is_ok()).await;
    let stopping = tokio::spawn({
        let engine = engine.clone();
        async move { engine.stop(std::time::Duration::from_secs(10)).await }
    });
    until("the engine is stopping", || engine.ready().is_err()).await;
    asked.send(()).unwrap();
    stopping.await.unwrap();
    assert_eq!(stand(store.as_ref(), run), "two running: first=succeeded");
    gone(engine, store).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    quiet(store.as_ref()).await;
    assert_eq!(world.receiver.paths(), ["/desk", "/siem"]);
    engine.stop(std::time::Duration::from_secs(1)).await;
}
