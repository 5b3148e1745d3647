//! The blocks: what each does, what comes of failures in it, and what the steps after it read.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, all_runs, plain, quiet, stands};

/// Runs one playbook for one event; answers how the run stands, and the output of a step.
async fn run(steps: &str, data: Value, refuse: &'static str, output: &str) -> (String, Value, Vec<String>) {
    let world = World::new(&[&format!("playbook: p\ntriggers:\n  - event: {{ type: go }}\n{steps}")]).await;
    world.receiver.answers(move |r| Some(if !refuse.is_empty() && r.body.contains(refuse) { 400 } else { 200 }));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("go", data)]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    let stand = stands(store.as_ref()).remove(0);
    let run = all_runs(store.as_ref())[0].id;
    let state = engine::load::load(store.as_ref(), run).unwrap().state;
    let output = state.steps.get(output).and_then(|step| step.output.clone()).unwrap_or_default();
    engine.stop(Duration::from_secs(1)).await;
    let bodies = world.receiver.received().into_iter().map(|one| one.body).collect();
    (stand.strip_prefix("p ").unwrap().to_owned(), output, bodies)
}

const EACH: &str = r#"
steps:
  - id: each
    for_each:
      in: event.data.users
      as: user
      max_parallel: MOST
      steps:
        - { id: send, action: webhook.send, with: { to: desk, body: { user: "${{ user }}" } } }
        - { id: note, if: 'user != "bob"', action: log, with: { message: "${{ user }} ${{ steps.send.status }}" } }
  - { id: after, action: log, with: { message: "they are ${{ steps.each.output.map(|r| r.status) }}" } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_goes_on_after_an_item_that_failed_and_the_run_says_so() {
    for most in ["1", "3"] {
        let data = json!({ "users": ["ann", "bob", "eve"] });
        let (stand, output, bodies) = run(&EACH.replace("MOST", most), data, "eve", "each").await;
        assert!(stand.starts_with("succeeded_with_warnings: each=succeeded_with_warnings "), "{stand}");
        for (index, note) in [(0, "each/0/note=succeeded"), (1, "each/1/note=skipped")] {
            assert!(stand.contains(&format!("each/{index}/send=succeeded")) && stand.contains(note), "{stand}");
        }
        assert!(stand.contains("each/2/send=failed") && !stand.contains("each/2/note"), "{stand}");
        assert!(stand.ends_with("after=succeeded"), "{stand}");
        let items: Vec<(&str, &str)> = output
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["item"].as_str().unwrap(), one["status"].as_str().unwrap()))
            .collect();
        assert_eq!(items, [("ann", "succeeded"), ("bob", "succeeded"), ("eve", "failed")]);
        assert_eq!(output[0]["output"]["message"], "ann succeeded");
        assert_eq!(output[2]["error"]["code"], "http_status", "{output}");
        assert_eq!(bodies.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_over_nothing_succeeds_and_one_whose_items_all_failed_has_failed() {
    let (stand, output, _) = run(&EACH.replace("MOST", "1"), json!({ "users": [] }), "", "each").await;
    assert_eq!((stand.as_str(), output), ("succeeded: each=succeeded after=succeeded", json!([])));
    let (stand, output, _) = run(&EACH.replace("MOST", "2"), json!({ "users": ["a", "b"] }), "user", "each").await;
    assert!(stand.starts_with("failed: each=failed") && !stand.contains("after"), "{stand}");
    assert_eq!(output.as_array().map(Vec::len), Some(2));
    let (stand, _, _) = run(&EACH.replace("MOST", "1"), json!({ "users": "ann" }), "", "each").await;
    assert_eq!(stand, "failed: each=failed", "text is no list");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_end_on_their_own_and_one_that_failed_fails_the_step() {
    const BOTH: &str = r#"
steps:
  - id: both
    parallel:
      branches:
        - id: left
          steps:
            - { id: a, action: webhook.send, with: { to: desk, body: { n: a } } }
            - { id: b, action: log, with: { message: b } }
        - id: right
          steps:
            - { id: c, action: webhook.send, with: { to: siem, body: { n: c } } }
            - { id: d, action: log, with: { message: d } }
  - { id: after, action: log, with: { message: "${{ steps.b.output.message }} ${{ steps.d.output.message }}" } }
"#;
    let (stand, output, _) = run(BOTH, json!({}), "", "both").await;
    assert!(stand.starts_with("succeeded: both=succeeded") && stand.ends_with("after=succeeded"), "{stand}");
    assert_eq!(output["right"], json!({ "status": "succeeded", "output": { "message": "d" } }));
    let (stand, output, _) = run(BOTH, json!({}), "\"a\"", "both").await;
    assert!(stand.starts_with("failed: both=failed") && stand.contains("both/right/d=succeeded"), "{stand}");
    assert_eq!((&output["left"]["status"], &output["right"]["status"]), (&json!("failed"), &json!("succeeded")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_case_that_says_yes_is_taken() {
    const ROUTE: &str = r#"
steps:
  - id: route
    switch:
      - { when: event.data.n == 1, steps: [{ id: one, action: log, with: { message: one } }] }
      - { when: event.data.n < 5, steps: [{ id: few, action: log, with: { message: few } }] }
      ELSE
  - { id: after, action: log, with: { message: "${{ steps.few.status ?? steps.route.status }}" } }
"#;
    let with_else =
        ROUTE.replace("ELSE", "- { else: true, steps: [{ id: many, action: log, with: { message: many } }] }");
    for (n, steps) in
        [(1, "route=succeeded route/0/one"), (3, "route=succeeded route/1/few"), (9, "route=succeeded route/2/many")]
    {
        let (stand, output, _) = run(&with_else, json!({ "n": n }), "", "route").await;
        assert_eq!(stand, format!("succeeded: {steps}=succeeded after=succeeded"));
        assert!(output["output"]["message"].is_string(), "{output}");
    }
    let (stand, _, _) = run(&ROUTE.replace("ELSE", ""), json!({ "n": 9 }), "", "route").await;
    assert_eq!(stand, "succeeded: route=skipped after=succeeded");
    let (stand, _, _) = run(&with_else, json!({ "n": "many" }), "", "route").await;
    assert_eq!(stand, "failed: route=failed", "a condition without an answer is no `no`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_caught_and_what_is_done_in_any_case_is_done() {
    const GUARD: &str = r#"
steps:
  - id: guard
    try:
      steps:
        - { id: a, action: webhook.send, with: { to: desk, body: { n: a } } }
        - { id: b, action: log, with: { message: b } }
      CATCH
      finally:
        - { id: f, action: log, with: { message: f } }
  - { id: after, action: log, with: { message: after } }
finally:
  - { id: last, action: log, with: { message: "${{ failure?.step ?? \"none\" }}" } }
"#;
    let catch = r#"catch: [{ id: c, action: log, with: { message: "${{ error.step }} ${{ error.code }}" } }]"#;
    let caught = GUARD.replace("CATCH", catch);
    let (stand, _, _) = run(&caught, json!({}), "", "").await;
    assert_eq!(
        stand,
        "succeeded: guard=succeeded guard/try/a=succeeded guard/try/b=succeeded guard/finally/f=succeeded \
         after=succeeded finally/last=succeeded"
    );
    let (stand, output, _) = run(&caught, json!({}), "\"a\"", "guard/catch/c").await;
    assert_eq!(
        stand,
        "succeeded_with_warnings: guard=succeeded_with_warnings guard/try/a=failed guard/catch/c=succeeded \
         guard/finally/f=succeeded after=succeeded finally/last=succeeded"
    );
    assert_eq!(output["message"], "guard/try/a http_status");
    let (stand, output, _) = run(&GUARD.replace("CATCH", ""), json!({}), "\"a\"", "finally/last").await;
    assert_eq!(stand, "failed: guard=failed guard/try/a=failed guard/finally/f=succeeded finally/last=succeeded");
    assert_eq!(output["message"], "guard/try/a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_repeats_until_its_condition_says_yes_or_it_has_done_enough() {
    const POLL: &str = r#"
steps:
  - set: { limit: 2 }
  - id: poll
    repeat:
      until: "steps.ask.output.message == \"3\""
      every: 100ms
      max: MOST
      steps:
        - { set: { count: "${{ (vars?.count ?? 0) + 1 }}" } }
        - { id: ask, action: log, with: { message: "${{ vars.count }}" } }
  - { id: after, action: log, with: { message: "${{ steps.ask.output.message }} of ${{ vars.limit }}" } }
"#;
    let (stand, output, _) = run(&POLL.replace("MOST", "5"), json!({}), "", "after").await;
    assert!(stand.starts_with("succeeded: #1=succeeded poll=succeeded poll/0/#1=succeeded"), "{stand}");
    assert!(stand.contains("poll/2/ask=succeeded after=succeeded") && !stand.contains("poll/3"), "{stand}");
    assert_eq!(output["message"], "3 of 2");
    let (stand, _, _) = run(&POLL.replace("MOST", "2"), json!({}), "", "").await;
    assert!(stand.starts_with("failed: #1=succeeded poll=failed") && !stand.contains("after"), "{stand}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_the_run_as_it_says_and_is_never_greener_than_what_came_before() {
    const STOP: &str = r#"
steps:
  - { id: a, action: webhook.send, with: { to: desk, body: { n: a } }, on_error: continue }
  - id: each
    for_each:
      in: [1, 2]
      as: n
      steps: [{ id: done, if: n == 1, stop: { outcome: OUTCOME, reason: "at ${{ n }}" } }]
  - { id: after, action: log, with: { message: after } }
finally: [{ id: last, action: log, with: { message: last } }]
"#;
    for (outcome, refuse, status) in
        [("succeeded", "", "succeeded"), ("failed", "", "failed"), ("succeeded", "\"a\"", "succeeded_with_warnings")]
    {
        let (stand, output, _) = run(&STOP.replace("OUTCOME", outcome), json!({}), refuse, "each/0/done").await;
        assert!(stand.starts_with(&format!("{status}: ")), "{stand}");
        assert!(
            !stand.contains("after") && !stand.contains("each/1") && stand.ends_with("finally/last=succeeded"),
            "{stand}"
        );
        assert_eq!(output, json!({ "outcome": outcome, "reason": "at 1" }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_takes_its_time_and_one_for_a_time_that_has_passed_takes_none() {
    const PAUSE: &str = r#"
steps:
  - { id: until, wait: { until: "${{ event.data.when }}" } }
  - { id: pause, wait: { for: 150ms } }
  - { id: after, action: log, with: { message: after } }
"#;
    let began = std::time::Instant::now();
    let (stand, _, _) = run(PAUSE, json!({ "when": "2020-01-01T00:00:00Z" }), "", "").await;
    assert_eq!(stand, "succeeded: until=succeeded pause=succeeded after=succeeded");
    assert!(began.elapsed() >= Duration::from_millis(150));
    let (stand, _, _) = run(PAUSE, json!({ "when": "soon" }), "", "").await;
    assert_eq!(stand, "failed: until=failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_whose_results_are_too_large_together_leaves_items_out_and_not_what_came_of_them() {
    const LONG: &str = r#"
steps:
  - id: each
    for_each:
      in: event.data.items
      as: item
      max_parallel: 50
      steps: [{ id: say, action: log, with: { message: "${{ item.len() }}" } }]
  - { id: after, action: log, with: { message: "${{ steps.each.output.filter(|r| r.status == \"succeeded\").len() }}" } }
"#;
    let items: Vec<String> = (0..400).map(|n| format!("{n:-<2430}")).collect();
    let (stand, output, _) = run(LONG, json!({ "items": items }), "", "each").await;
    assert!(stand.starts_with("succeeded: each=succeeded"), "{}", &stand[..100]);
    let results = output.as_array().unwrap();
    assert_eq!(results.len(), 400);
    assert_eq!((results[7].get("item"), &results[399]["status"]), (None, &json!("succeeded")));
    assert_eq!(results[7]["output"]["message"], json!("2430"));
    assert!(output.to_string().len() < model::limits::STEP_OUTPUT_BYTES_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stop_cuts_off_beside_it_is_cancelled_and_has_not_failed() {
    const BESIDE: &str = r#"
steps:
  - id: both
    parallel:
      branches:
        - { id: l, steps: [{ wait: { for: 20ms } }, { id: done, stop: { outcome: OUTCOME, reason: enough } }] }
        - { id: r, steps: [{ id: long, wait: { for: 1h } }, { id: never, action: log, with: { message: never } }] }
finally: [{ id: last, action: log, with: { message: last } }]
"#;
    for outcome in ["succeeded", "failed"] {
        let (stand, _, _) = run(&BESIDE.replace("OUTCOME", outcome), json!({}), "", "").await;
        let expected = format!(
            "{outcome}: both=cancelled both/l/#1=succeeded both/r/long=cancelled both/l/done=succeeded finally/last=succeeded"
        );
        assert_eq!(stand, expected);
    }
}
