//! Runs whose time is over: what is cut off, and what is still done about it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Mortal, World, all_runs, gone, plain, quiet, stand, stands, until, verified};

/// A run that is cut off in the middle of nested blocks.
const LONG: &str = r#"
playbook: long
triggers:
  - event: { type: go }
timeout: 400ms
steps:
  - id: guard
    try:
      steps:
        - id: both
          parallel:
            branches:
              - id: left
                steps:
                  - id: inner
                    try:
                      steps: [{ id: l, wait: { for: 1h } }, { id: never, action: log, with: { message: never } }]
                      catch: [{ id: not, action: log, with: { message: not } }]
                      finally: [{ id: fl, action: webhook.send, with: { to: desk, body: { undo: left } } }]
              - id: right
                steps:
                  - id: each
                    for_each:
                      in: [1, 2, 3]
                      as: n
                      max_parallel: 2
                      steps: [{ id: r, wait: { for: 1h }, on_error: continue }, { id: no, action: log, with: { message: no } }]
      finally: [{ id: f, action: webhook.send, with: { to: desk, body: { undo: all } } }]
  - { id: after, action: log, with: { message: after } }
on_failure:
  - { id: tell, action: webhook.send, with: { to: siem, body: { why: "${{ failure.message }}", step: "${{ failure.step }}", code: "${{ failure.code }}" } } }
finally:
  - { id: last, action: webhook.send, with: { to: siem, body: { last: true } } }
"#;

fn bodies(world: &World) -> Vec<String> {
    let mut all: Vec<(String, String)> = world.receiver.received().into_iter().map(|one| (one.id, one.body)).collect();
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|(id, _)| seen.insert(id.clone()));
    all.into_iter().map(|(_, body)| body).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cut_off_does_what_its_blocks_and_its_playbook_do_in_any_case_and_has_timed_out() {
    let world = World::new(&[LONG]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let run = &all_runs(store.as_ref())[0];
    let state = engine::load::load(store.as_ref(), run.id).unwrap().state;
    assert_eq!((run.status.name(), run.reason.as_deref()), ("timed_out", Some("it took longer than 400ms")));
    for (path, status) in [
        ("guard", "timed_out"),
        ("guard/try/both/left/inner/try/l", "timed_out"),
        ("guard/try/both/left/inner/finally/fl", "succeeded"),
        ("guard/try/both/right/each/0/r", "timed_out"),
        ("guard/finally/f", "succeeded"),
        ("on_failure/tell", "succeeded"),
        ("finally/last", "succeeded"),
    ] {
        assert_eq!(state.steps[path].status.name(), status, "{path}");
    }
    let stand = stand(store.as_ref(), run.id);
    for absent in ["never", "/not", "each/2", "/no=", "after"] {
        assert!(!stand.contains(absent), "{absent} in {stand}");
    }
    let why =
        json!({ "why": "it took longer than 400ms", "step": "guard/try/both/left/inner/try/l", "code": "timeout" });
    assert_eq!(
        bodies(&world),
        [r#"{"undo":"left"}"#.to_owned(), r#"{"undo":"all"}"#.to_owned(), sorted(&why), r#"{"last":true}"#.to_owned()]
    );
    engine.stop(Duration::from_secs(1)).await;
}

fn sorted(value: &Value) -> String {
    value.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_about_a_timeout_survives_a_crash_after_any_entry() {
    let world = World::new(&[LONG]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let (expected, entries) = (bodies(&world), verified(store.as_ref()));
    engine.stop(Duration::from_secs(1)).await;
    for entry in 4..=entries {
        let world = World::new(&[LONG]).await;
        let store = Mortal::over(world.open().await);
        let engine = world.start(store.clone()).await;
        store.dies_at(entry, entry % 2 == 0);
        let accepted = engine.ingest(vec![plain("go", json!({}))]).await.remove(0).is_ok();
        tokio::select! {
            _ = engine.failed() => {}
            () = quiet(store.as_ref()), if accepted => {}
        }
        gone(engine, store).await;
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        quiet(store.as_ref()).await;
        if let Some(run) = all_runs(store.as_ref()).first() {
            assert_eq!(run.status.name(), "timed_out", "entry {entry}");
            assert_eq!(bodies(&world), expected, "entry {entry}");
        }
        engine.stop(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_at_work_when_the_time_is_over_is_cut_off_and_what_must_not_be_repeated_needs_a_person() {
    const HANG: &str = r#"
playbook: hang
triggers:
  - event: { type: go }
timeout: 300ms
steps:
  - { id: act, action: http.request, with: { method: METHOD, url: "http://RECEIVER/hang" } }
on_failure:
  - { id: tell, action: webhook.send, with: { to: desk, body: { why: "${{ failure.message }}" } } }
"#;
    for (method, expected, told) in [
        ("GET", "hang timed_out: act=timed_out on_failure/tell=succeeded", 1),
        ("POST", "hang needs_attention: act=needs_attention", 0),
    ] {
        let world = World::new(&[&HANG.replace("METHOD", method)]).await;
        world.receiver.answers(|r| if r.path == "/hang" { None } else { Some(200) });
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
        quiet(store.as_ref()).await;
        assert_eq!(stands(store.as_ref()), [expected]);
        let paths = world.receiver.paths();
        assert_eq!(paths.iter().filter(|path| *path == "/desk").count(), told, "{paths:?}");
        engine.stop(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_in_what_comes_after_a_timeout_hears_its_event() {
    const WAIT: &str = r#"
playbook: late
triggers:
  - event: { type: go }
timeout: 200ms
steps:
  - { id: pause, wait: { for: 1h } }
on_failure:
  - { id: ack, wait: { event: { type: ack, when: "event.data.of == failure.step" }, timeout: 1m } }
  - { id: tell, action: log, with: { message: "${{ steps.ack.output.event.data.by }}" } }
"#;
    let world = World::new(&[WAIT]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    until("it waits for the acknowledgement", || stands(store.as_ref())[0].contains("ack=waiting")).await;
    engine.ingest(vec![plain("ack", json!({ "of": "else", "by": "bob" }))]).await.remove(0).unwrap();
    engine.ingest(vec![plain("ack", json!({ "of": "pause", "by": "ann" }))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(
        stands(store.as_ref()),
        ["late timed_out: pause=timed_out on_failure/ack=succeeded on_failure/tell=succeeded"]
    );
    let run = all_runs(store.as_ref())[0].id;
    let state = engine::load::load(store.as_ref(), run).unwrap().state;
    assert_eq!(state.steps["on_failure/tell"].output, Some(json!({ "message": "ann" })));
    engine.stop(Duration::from_secs(1)).await;
}
