//! Runs: failures at each step, retries, handlers, deadlines, panics.

use std::time::Duration;

use engine::{RetryFrom, RetryVersion};
use serde_json::json;
use store::Store;

use crate::world::{World, all_runs, eva, plain, quiet, stand, stands, until};

const CHAIN: &str = r#"
playbook: chain
triggers:
  - event: { type: go }
steps:
  - { id: s0, action: webhook.send, with: { to: [desk, siem], body: { step: s0 } } }
  - { id: s1, action: webhook.send, with: { to: [desk, siem], body: { step: s1 } } }
  - { id: s2, action: webhook.send, with: { to: [desk, siem], body: { step: s2 } } }
on_failure:
  - { id: cry, action: webhook.send, with: { to: desk, body: { step: cry, text: "${{ failure.message }}" } } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_step_stops_there_and_a_repeat_goes_on_from_there() {
    for failing in 0..3 {
        let world = World::new(&[CHAIN]).await;
        let bad = format!("\"s{failing}\"");
        world.receiver.answers(move |r| Some(if r.path == "/siem" && r.body.contains(&bad) { 400 } else { 200 }));
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
        quiet(store.as_ref()).await;
        let done: String = (0..failing).map(|n| format!("s{n}=succeeded ")).collect();
        assert_eq!(stands(store.as_ref()), [format!("chain failed: {done}s{failing}=failed on_failure/cry=succeeded")]);
        let cry = world.receiver.received().into_iter().find(|one| one.body.contains("cry")).unwrap();
        assert!(cry.body.contains("HTTP 400"), "{}", cry.body);

        // It fails again, and what is done about a failure is done again.
        let run = all_runs(store.as_ref())[0].id;
        let again = engine.retry(run, RetryFrom::Failed, RetryVersion::Same, eva()).await.unwrap();
        quiet(store.as_ref()).await;
        assert_eq!(
            stand(store.as_ref(), again),
            format!("chain failed: {done}s{failing}=failed on_failure/cry=succeeded")
        );

        world.receiver.answers(|_| Some(200));
        let before = world.receiver.received().len();
        let third = engine.retry(run, RetryFrom::Failed, RetryVersion::Same, eva()).await.unwrap();
        quiet(store.as_ref()).await;
        assert_eq!(stand(store.as_ref(), third), "chain succeeded: s0=succeeded s1=succeeded s2=succeeded");
        let mut sent: Vec<(String, String)> =
            world.receiver.received().drain(before..).map(|one| (one.path, one.body)).collect();
        sent.sort();
        let mut expected = vec![("/siem".to_owned(), format!("{{\"step\":\"s{failing}\"}}"))];
        for step in failing + 1..3 {
            for to in ["/desk", "/siem"] {
                expected.push((to.to_owned(), format!("{{\"step\":\"s{step}\"}}")));
            }
        }
        expected.sort();
        assert_eq!(sent, expected, "only what had not been delivered");
        engine.stop(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_tried_at_most_four_times_with_one_id_and_one_body() {
    let world = World::new(&[CHAIN]).await;
    world.receiver.answers(|r| Some(if r.path == "/siem" { 503 } else { 200 }));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let tries: Vec<_> = world.receiver.received().into_iter().filter(|one| one.path == "/siem").collect();
    assert_eq!(tries.len(), 4);
    assert!(tries.iter().all(|one| *one == tries[0]));
    let desk = world.receiver.received().iter().filter(|r| r.path == "/desk" && r.body.contains("s0")).count();
    assert_eq!(desk, 1, "who took it is not asked again");
    let run = &all_runs(store.as_ref())[0];
    let numbers: Vec<u32> = engine::load::load(store.as_ref(), run.id).unwrap().state.steps["s0"]
        .attempts
        .iter()
        .filter(|attempt| attempt.destination.as_deref() == Some("siem"))
        .map(|attempt| attempt.n)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    engine.stop(Duration::from_secs(1)).await;
}

const HANDLED: &str = r#"
playbook: handled
triggers:
  - event: { type: go }
steps:
  - id: go-on
    action: webhook.send
    with: { to: siem, body: { step: a } }
    on_error: continue
  - id: instead
    action: webhook.send
    with: { to: siem, body: { step: b } }
    on_error:
      - { id: other, action: webhook.send, with: { to: desk, body: { step: other } } }
  - id: never
    if: "steps.instead.succeeded"
    action: log
    with: { message: x }
  - id: last
    action: log
    with: { message: "${{ event.data.word }}" }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handled_failures_leave_a_warning_and_conditions_are_asked_again_by_a_repeat() {
    let world = World::new(&[HANDLED]).await;
    world.receiver.answers(|r| Some(if r.path == "/siem" { 404 } else { 200 }));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({ "word": "hello" }))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let expected = "handled succeeded_with_warnings: go-on=failed instead=failed instead/on_error/other=succeeded \
                    never=skipped last=succeeded";
    let first = all_runs(store.as_ref())[0].id;
    assert_eq!(stand(store.as_ref(), first), expected);
    world.receiver.answers(|_| Some(200));
    let again = engine.retry(first, RetryFrom::Failed, RetryVersion::Same, eva()).await.unwrap();
    quiet(store.as_ref()).await;
    let loaded = engine::load::load(store.as_ref(), again).unwrap();
    assert_eq!(loaded.state.status.name(), "succeeded");
    assert_eq!(loaded.state.steps["never"].status.name(), "succeeded");
    assert_eq!(loaded.summary.retry_of, Some(first));
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_sees_the_event_that_started_the_first_run() {
    let world = World::new(&[HANDLED]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({ "word": "hello" }))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let first = all_runs(store.as_ref())[0].id;
    let again = engine.retry(first, RetryFrom::Start, RetryVersion::Same, eva()).await.unwrap();
    quiet(store.as_ref()).await;
    let loaded = engine::load::load(store.as_ref(), again).unwrap();
    assert_eq!(loaded.state.steps["last"].output.as_ref().unwrap()["message"], "hello");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_over_its_timeout_leaves_nothing_open_and_no_window() {
    const SLOW: &str = r#"
playbook: slow
triggers:
  - event: { type: go }
timeout: 300ms
steps:
  - { id: send, action: webhook.send, with: { to: desk, body: {}, dedupe: 6h } }
"#;
    let mut world = World::new(&[SLOW]).await;
    world.destination = |destination| {
        let retry = destination.retry.as_mut().unwrap();
        (retry.first, retry.cap) = (Duration::from_secs(60), Duration::from_secs(60));
    };
    world.receiver.answers(|_| Some(503));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref()), ["slow timed_out: send=timed_out"]);
    assert_eq!(all_runs(store.as_ref())[0].deliveries[0].status.name(), "failed");
    world.receiver.answers(|_| Some(200));
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref())[1], "slow succeeded: send=succeeded", "the first did not silence the second");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_comes_when_it_is_due_and_not_when_the_runner_wakes_by_chance() {
    let mut world = World::new(&[CHAIN]).await;
    world.destination = |destination| {
        let retry = destination.retry.as_mut().unwrap();
        (retry.first, retry.cap) = (Duration::from_millis(100), Duration::from_millis(100));
    };
    let count = std::sync::atomic::AtomicU32::new(0);
    world.receiver.answers(move |_| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Some(if n == 0 { 503 } else { 200 })
    });
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let began = tokio::time::Instant::now();
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_pinned_to_its_text_while_the_set_changes() {
    let world = World::new(&[CHAIN]).await;
    world.receiver.answers(|r| if r.body.contains("s0") { None } else { Some(200) });
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    until("the first step is at work", || world.receiver.received().len() == 2).await;
    engine.load(vec![world.compile(&CHAIN.replace("s2", "other"))], eva()).await.unwrap();
    gone_and_back(world, engine, store).await;
}

/// After a crash the run goes on with the text it started with, compiled again from the store.
async fn gone_and_back(world: World, engine: engine::Engine, store: std::sync::Arc<store::Sled>) {
    crate::world::gone(engine, store).await;
    world.receiver.answers(|_| Some(200));
    let store = world.open().await;
    let mut setup = world.setup(store.clone());
    setup.playbooks.clear();
    let engine = engine::Engine::start(setup).await.unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref()), ["chain succeeded: s0=succeeded s1=succeeded s2=succeeded"]);
    assert_eq!(store.stats().open_runs, 0);
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_no_set_holds_any_more_goes_and_one_that_is_in_force_stays() {
    let world = World::new(&[CHAIN]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let old = world.compile(CHAIN);
    let new = world.compile(&CHAIN.replace("s2", "other"));
    let before = engine.playbooks().digest();
    engine.load(vec![new.clone()], eva()).await.unwrap();
    assert!(engine.set_of(before).unwrap().is_some(), "the set of before can still be told");
    assert_eq!(engine.forget_texts(model::Time::EPOCH).await.unwrap(), 0, "nothing is that old");
    assert!(store.text(&old.digest).unwrap().is_some());
    assert_eq!(engine.forget_texts(model::Time::MAX).await.unwrap(), 1);
    assert!(store.text(&old.digest).unwrap().is_none());
    assert!(store.text(&new.digest).unwrap().is_some());
    engine.load(vec![old.clone()], eva()).await.unwrap();
    assert!(store.text(&old.digest).unwrap().is_some(), "a text that comes back is kept anew");
    assert_eq!(engine.forget_texts(model::Time::MAX).await.unwrap(), 1, "now the other one");
    engine.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_often_a_step_tries_is_said_by_the_step_then_by_the_destination_then_by_default() {
    const TRIES: &str = r#"
playbook: tries
triggers:
  - event: { type: go }
steps:
  - { id: own, action: webhook.send, with: { to: desk, body: { n: own } }, retry: { max: 1, backoff: fixed, first: 1ms, cap: 1ms }, on_error: continue }
  - { id: never, action: webhook.send, with: { to: desk, body: { n: never } }, retry: { max: 0 }, on_error: continue }
  - { id: theirs, action: webhook.send, with: { to: desk, body: { n: theirs } }, on_error: continue }
"#;
    let mut world = World::new(&[TRIES]).await;
    world.destination = |desk| {
        if let Some(retry) = &mut desk.retry {
            retry.max = 2;
        }
    };
    world.receiver.answers(|_| Some(503));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let received = world.receiver.received();
    let calls = |name: &str| received.iter().filter(|one| one.body.contains(name)).count();
    // The destination says two tries after the first, where the default would be three.
    assert_eq!((calls("own"), calls("never"), calls("theirs")), (2, 1, 3));
    engine.stop(std::time::Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_fails_beyond_those_that_listings_show_is_heard_as_well() {
    const MANY: &str = r#"
playbook: many
triggers:
  - event: { type: go }
steps:
  - id: each
    for_each:
      in: event.data.items
      as: item
      max_parallel: 50
      steps: [{ id: send, action: webhook.send, with: { to: desk, body: { item: "${{ item }}" } } }]
"#;
    const HEAR: &str = "playbook: hear\ntriggers: [delivery.failed: { destination: desk }]\nsteps:\n  - { id: note, action: log, with: { message: '${{ event.data.step }}' } }\n";
    let world = World::new(&[MANY, HEAR]).await;
    world.receiver.answers(|r| Some(if r.body.contains(":239}") { 400 } else { 200 }));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let items: Vec<u32> = (0..240).collect();
    engine.ingest(vec![plain("go", json!({ "items": items }))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let runs = all_runs(store.as_ref());
    assert!(runs[0].deliveries_total as usize > model::limits::SUMMARY_DELIVERIES_MAX);
    let heard: Vec<&str> = runs.iter().filter(|run| run.playbook == "hear").map(|run| run.status.name()).collect();
    assert_eq!(heard, ["succeeded"]);
    let figures = engine.figures();
    assert_eq!(
        (
            figures.deliveries_delivered.load(std::sync::atomic::Ordering::Relaxed),
            figures.deliveries_failed.load(std::sync::atomic::Ordering::Relaxed)
        ),
        (239, 1)
    );
    engine.stop(std::time::Duration::from_secs(1)).await;
}
