//! Runs that repeat another from its failed step: what was done well is not done again, however deep it stands.

use std::time::Duration;

use engine::{Engine, RetryFrom, RetryVersion};
use model::RunId;
use serde_json::json;
use store::Store;

use crate::world::{World, all_runs, eva, plain, quiet, stand};

/// Runs a playbook while some bodies are refused, then repeats the run while none is; answers how the second stands, and
/// what each of them sent.
async fn twice(steps: &str, refused: &'static [&'static str]) -> (String, Vec<String>, Vec<String>) {
    let world = World::new(&[&format!("playbook: p\ntriggers:\n  - event: {{ type: go }}\n{steps}")]).await;
    world.receiver.answers(move |r| Some(if refused.iter().any(|one| r.body.contains(one)) { 400 } else { 200 }));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", json!({}))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let run = all_runs(store.as_ref())[0].id;
    let first = sent(&world, run);
    world.receiver.answers(|_| Some(200));
    let again = retry(&engine, run).await;
    quiet(store.as_ref()).await;
    let stand = stand(store.as_ref() as &dyn Store, again).strip_prefix("p ").unwrap().to_owned();
    let second = sent(&world, again);
    engine.stop(Duration::from_secs(1)).await;
    (stand, first, second)
}

async fn retry(engine: &Engine, run: RunId) -> RunId {
    engine.retry(run, RetryFrom::Failed, RetryVersion::Same, eva()).await.unwrap()
}

fn sent(world: &World, run: RunId) -> Vec<String> {
    let received = world.receiver.received().into_iter();
    received.filter(|one| one.id.starts_with(&format!("{run}/"))).map(|one| one.body).collect()
}

/// A step that sends its name.
fn step(name: &str) -> String {
    format!("{{ id: {name}, action: webhook.send, with: {{ to: desk, body: {{ n: {name} }} }} }}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_goes_on_with_the_items_that_did_not_succeed_at_the_step_that_failed() {
    const EACH: &str = r#"
steps:
  - id: each
    for_each:
      in: [1, 2, 3, 4]
      as: n
      max_parallel: 2
      steps:
        - { id: a, action: webhook.send, with: { to: desk, body: { a: "${{ n }}" } } }
        - { set: { last: "${{ n }}" } }
        - { id: b, action: webhook.send, with: { to: siem, body: { b: "${{ n }}" } } }
  - { id: bad, action: webhook.send, with: { to: desk, body: { all: "${{ steps.each.output.map(|r| r.status) }}" } } }
"#;
    // Items 2 and 3 fail, at their first and their second step; then what comes after the loop.
    let (stand, first, second) = twice(EACH, &[r#""a":2"#, r#""b":3"#, "all"]).await;
    assert!(stand.starts_with("succeeded: each=succeeded"), "{stand}");
    assert_eq!(first.len(), 4 + 3 + 1, "{first:?}");
    assert_eq!(second.len(), 4, "{second:?}");
    for body in [r#"{"a":2}"#, r#"{"b":2}"#, r#"{"b":3}"#] {
        assert!(second.contains(&body.to_owned()), "{body} in {second:?}");
    }
    assert_eq!(second.last().unwrap(), r#"{"all":["succeeded","succeeded","succeeded","succeeded"]}"#);
    // All of them failed, so that the loop itself did.
    let (stand, _, second) = twice(EACH, &[r#""b":"#]).await;
    assert!(stand.starts_with("succeeded: "), "{stand}");
    assert_eq!(second.iter().filter(|body| body.starts_with(r#"{"a""#)).count(), 0, "{second:?}");
    assert_eq!(second.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_go_on_at_the_step_in_them_that_failed() {
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(step);
    let parallel = format!(
        "steps:\n  - id: both\n    parallel:\n      branches:\n        - id: l\n          steps: [{a}, {b}]\n        \
         - id: r\n          steps: [{c}, {d}]\n  - {e}\n"
    );
    let switch = format!(
        "steps:\n  - set: {{ n: 1 }}\n  - id: route\n    switch:\n      - when: vars.n == 1\n        steps: [{a}, {b}, {c}]\n  - {e}\n"
    );
    let caught = format!(
        "steps:\n  - id: guard\n    try:\n      steps: [{a}, {b}]\n      catch: [{c}]\n      finally: [{d}]\n  - {e}\n"
    );
    let repeat = "steps:\n  - id: poll\n    repeat:\n      until: vars.turn >= 3\n      every: 100ms\n      max: 5\n      steps:\n        \
                  - { set: { turn: \"${{ (vars?.turn ?? 0) + 1 }}\" } }\n        \
                  - { id: a, action: webhook.send, with: { to: desk, body: { a: \"${{ vars.turn }}\" } } }\n        \
                  - { id: b, action: webhook.send, with: { to: siem, body: { b: \"${{ vars.turn }}\" } } }\n";
    let nested = format!(
        "steps:\n  - id: guard\n    try:\n      steps:\n        - id: each\n          for_each:\n            in: [1, 2]\n            as: n\n            \
         steps:\n              - id: both\n                parallel:\n                  branches:\n                    - id: l\n                      \
         steps: [{{ id: a, action: webhook.send, with: {{ to: desk, body: {{ l: \"${{{{ n }}}}\" }} }} }}]\n                    - id: r\n                      \
         steps: [{{ id: b, action: webhook.send, with: {{ to: desk, body: {{ r: \"${{{{ n }}}}\" }} }} }}]\n        - {c}\n      finally: [{d}]\n"
    );
    for (what, steps, refused, expected) in [
        ("a branch", &*parallel, &[r#""b""#][..], &[r#"{"n":"b"}"#, r#"{"n":"e"}"#][..]),
        (
            "both branches",
            &parallel,
            &[r#""a""#, r#""d""#],
            &[r#"{"n":"a"}"#, r#"{"n":"b"}"#, r#"{"n":"d"}"#, r#"{"n":"e"}"#],
        ),
        ("a case", &switch, &[r#""b""#], &[r#"{"n":"b"}"#, r#"{"n":"c"}"#, r#"{"n":"e"}"#]),
        ("after a case", &switch, &[r#""e""#], &[r#"{"n":"e"}"#]),
        ("try and catch", &caught, &[r#""b""#, r#""c""#], &[r#"{"n":"b"}"#, r#"{"n":"d"}"#, r#"{"n":"e"}"#]),
        ("finally", &caught, &[r#""d""#], &[r#"{"n":"d"}"#, r#"{"n":"e"}"#]),
        ("caught, and what comes after", &caught, &[r#""b""#, r#""e""#], &[r#"{"n":"e"}"#]),
        ("the second turn", repeat, &[r#""b":2"#], &[r#"{"b":2}"#, r#"{"a":3}"#, r#"{"b":3}"#]),
        ("deep down", &nested, &[r#""r":2"#, r#""c""#], &[r#"{"r":2}"#, r#"{"n":"c"}"#, r#"{"n":"d"}"#]),
    ] {
        let (stand, first, mut second) = twice(steps, refused).await;
        assert!(stand.starts_with("succeeded"), "{what}: {stand}, first {first:?}");
        if what.contains("branches") {
            second.sort();
        }
        assert_eq!(second, expected, "{what}: {stand}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_turned_in_vain_and_a_stop_are_done_again() {
    const VAIN: &str = r#"
steps:
  - id: poll
    repeat:
      until: "false"
      every: 100ms
      max: 2
      steps: [{ id: a, action: webhook.send, with: { to: desk, body: { a: 1 } } }]
"#;
    let (stand, first, second) = twice(VAIN, &[]).await;
    assert!(stand.starts_with("failed: poll=failed"), "{stand}");
    assert_eq!((first.len(), second.len()), (2, 2), "all turns again");
    const STOP: &str = r#"
steps:
  - { id: a, action: webhook.send, with: { to: desk, body: { a: 1 } }, on_error: continue }
  - { id: done, if: "!steps.a.succeeded", stop: { outcome: failed, reason: "no desk" } }
  - { id: b, action: webhook.send, with: { to: desk, body: { b: 1 } } }
"#;
    let (stand, first, second) = twice(STOP, &[r#""a""#]).await;
    assert_eq!(stand, "succeeded: a=succeeded done=skipped b=succeeded");
    assert_eq!((first.len(), second.len()), (1, 2));
}
