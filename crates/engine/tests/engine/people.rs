//! What people do: cancel, send again, switch, change.

use std::time::Duration;

use engine::change::LocalChange;
use engine::{Refusal, What};
use model::{DeliveryId, Kind};
use serde_json::{Value, json};
use store::Store;

use crate::world::{World, all_runs, eva, key, plain, quiet, snapshot, stand, stands, until};

const SEND: &str = r#"
playbook: send
triggers:
  - event: { type: go }
  - alert.created
steps:
  - { id: send, action: webhook.send, with: { to: desk, body: { x: 1 }, dedupe: 6h } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_is_over_at_once_and_nothing_of_it_stays_open() {
    let world = World::new(&[SEND]).await;
    world.receiver.answers(|_| None);
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap().decisions[0].run_id.unwrap();
    until("it is being sent", || world.receiver.received().len() == 1).await;
    engine.cancel(run, eva()).await.unwrap();
    assert!(stand(store.as_ref(), run).starts_with("send cancelled:"));
    until("its task is gone", || engine.load_now().0 == 0).await;
    let again = engine.cancel(run, eva()).await.unwrap_err();
    assert!(matches!(again, Refusal::Conflict(_)), "{again:?}");
    assert_eq!(store.stats().open_runs, 0);
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_cancelled_between_two_tries_gives_its_window_back() {
    let mut world = World::new(&[SEND]).await;
    world.destination = |destination| {
        let retry = destination.retry.as_mut().unwrap();
        (retry.first, retry.cap) = (Duration::from_secs(60), Duration::from_secs(60));
    };
    world.receiver.answers(|_| Some(503));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap().decisions[0].run_id.unwrap();
    until("it waits", || all_runs(store.as_ref())[0].status.name() == "waiting").await;
    engine.cancel(run, eva()).await.unwrap();
    assert_eq!(stand(store.as_ref(), run), "send cancelled: send=cancelled");
    assert_eq!(all_runs(store.as_ref())[0].deliveries[0].status.name(), "failed");
    world.receiver.answers(|_| Some(200));
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref())[1], "send succeeded: send=succeeded");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_delivery_is_sent_again_with_the_same_id_whatever_window_stands() {
    let world = World::new(&[SEND]).await;
    world.receiver.answers(|_| Some(400));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap().decisions[0].run_id.unwrap();
    quiet(store.as_ref()).await;
    world.receiver.answers(|_| Some(200));
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref()), ["send failed: send=failed", "send succeeded: send=succeeded"]);
    let id = DeliveryId { run, index: 0 };
    assert_eq!(engine.redeliver(id, eva()).await, Ok(true));
    let received = world.receiver.received();
    assert_eq!(received.len(), 3);
    assert_eq!(received[0], received[2], "the same id and body");
    let delivery = &store.run(run).unwrap().unwrap().deliveries[0];
    assert_eq!((delivery.status.name(), delivery.attempts), ("delivered", 2));
    assert_eq!(stand(store.as_ref(), run), "send failed: send=failed", "what the run did stays");
    assert!(matches!(engine.redeliver(id, eva()).await, Err(Refusal::Conflict(_))));
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_that_are_thrown_together_all_hold_now_and_after_a_restart() {
    let texts: Vec<String> = (0..8).map(|n| SEND.replace("playbook: send", &format!("playbook: send-{n}"))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let world = World::new(&texts).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let mut switches = tokio::task::JoinSet::new();
    for n in 0..8 {
        let engine = engine.clone();
        switches.spawn(async move { engine.toggle(&format!("send-{n}"), false, eva()).await });
    }
    while let Some(done) = switches.join_next().await {
        done.unwrap().unwrap();
    }
    let verdicts = |accepted: engine::Accepted| -> Vec<&'static str> {
        accepted.decisions.iter().map(|decision| decision.verdict.name()).collect()
    };
    let now = engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    assert_eq!(verdicts(now), ["disabled"; 8]);
    assert!(matches!(engine.toggle("nobody", true, eva()).await, Err(Refusal::NotFound { .. })));
    crate::world::gone(engine, store).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.toggle("send-3", true, eva()).await.unwrap();
    let later = engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    assert_eq!(later.decisions[3].verdict.name(), "matched");
    assert_eq!(verdicts(later).iter().filter(|verdict| **verdict == "disabled").count(), 7);
    quiet(store.as_ref()).await;
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_what_is_not_there_is_refused_and_leaves_no_trace() {
    let world = World::new(&[]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let before = store.next_seq();
    let change =
        LocalChange { data: json!({ "text": "x" }), ..LocalChange::of(key(Kind::Case, "C-9"), "case.commented") };
    assert!(matches!(engine.change(change, eva()).await, Err(Refusal::NotFound { .. })));
    let alert = snapshot("alert.created", &json!({ "id": "A-1" }));
    engine.ingest(vec![alert]).await.remove(0).unwrap();
    for wrong in [json!({ "risk_score": "high" }), json!({ "id": "A-2" })] {
        let Value::Object(fields) = wrong.clone() else { panic!("an object") };
        let refused = engine.patch(key(Kind::Alert, "A-1"), fields, None, eva()).await;
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{wrong}: {refused:?}");
    }
    assert_eq!(store.next_seq().0, before.0 + 1, "the alert alone was recorded");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_by_hand_about_an_event_sees_that_event() {
    const TELL: &str = r#"
playbook: tell
triggers: [manual]
steps:
  - { id: note, action: log, with: { message: "${{ event.data.word }}" } }
"#;
    let world = World::new(&[TELL]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let event = engine.ingest(vec![plain("x", json!({ "word": "hello" }))]).await.remove(0).unwrap().event_id;
    let run = engine.run_by_hand("tell", What::Event(event), model::Record::new(), "default", eva()).await.unwrap();
    quiet(store.as_ref()).await;
    let loaded = engine::load::load(store.as_ref(), run).unwrap();
    assert_eq!(loaded.state.steps["note"].output.as_ref().unwrap()["message"], "hello");
    engine.stop(Duration::from_secs(1)).await;
}
