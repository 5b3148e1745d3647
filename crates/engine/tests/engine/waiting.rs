//! What runs wait for: events, people, other runs. All of it over crashes at any moment.

use std::sync::Arc;
use std::time::Duration;

use engine::approval::{Decision, Question};
use engine::{Engine, Refusal};
use model::event::Actor;
use model::{Record, RunId};
use serde_json::{Value, json};
use store::Store;

use crate::world::{Mortal, World, all_runs, eva, gone, plain, quiet, stand, stands, until, verified};

const TICKET: &str = r#"
playbook: ticket
triggers:
  - event: { type: go }
vars: { ticket: 7 }
steps:
  - id: closed
    wait:
      event: { type: ticket.*, when: event.data.number == vars.ticket }
      timeout: TIMEOUT
      on_timeout: THEN
  - { id: after, action: log, with: { message: "${{ steps.closed.output.event?.data?.by ?? \"nobody\" }}" } }
"#;

async fn go(engine: &Engine, data: Value) -> RunId {
    let answer = engine.ingest(vec![plain("go", data)]).await.remove(0).unwrap();
    answer.decisions[0].run_id.unwrap()
}

/// Until a run waits for something, and nobody holds it.
async fn waits(store: &dyn Store, run: RunId) {
    until("the run waits", || store.run(run).unwrap().is_some_and(|run| !run.waits.is_empty())).await;
}

fn said(store: &dyn Store, run: RunId, step: &str) -> Value {
    let state = engine::load::load(store, run).unwrap().state;
    state.steps[step].output.clone().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_an_event_goes_on_when_the_right_one_comes() {
    let world = World::new(&[&TICKET.replace("TIMEOUT", "1d").replace("THEN", "fail")]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = go(&engine, json!({})).await;
    waits(store.as_ref(), run).await;
    for (kind, data) in [
        ("ticket.closed", json!({ "number": 8, "by": "bob" })),
        ("ticket.closed", json!({ "other": true })),
        ("tickets", json!({ "number": 7 })),
    ] {
        engine.ingest(vec![plain(kind, data)]).await.remove(0).unwrap();
    }
    // Over a restart, in which the condition is forgotten and asked anew.
    gone(engine, store).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![plain("ticket.closed", json!({ "number": 9, "by": "eve" }))]).await.remove(0).unwrap();
    assert_eq!(store.run(run).unwrap().unwrap().waits.len(), 1);
    engine.ingest(vec![plain("ticket.closed", json!({ "number": 7, "by": "ann" }))]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(stand(store.as_ref(), run), "ticket succeeded: closed=succeeded after=succeeded");
    assert_eq!(said(store.as_ref(), run, "after")["message"], "ann");
    assert!(store.marks("signal/").unwrap().is_empty(), "nothing is left over");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_an_event_that_never_comes_ends_as_the_playbook_says() {
    for (then, expected) in [
        ("fail", "ticket failed: closed=timed_out"),
        ("continue", "ticket succeeded_with_warnings: closed=timed_out after=succeeded"),
    ] {
        let world = World::new(&[&TICKET.replace("TIMEOUT", "200ms").replace("THEN", then)]).await;
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        let run = go(&engine, json!({})).await;
        quiet(store.as_ref()).await;
        assert_eq!(stand(store.as_ref(), run), expected);
        assert_eq!(said(store.as_ref(), run, "closed"), json!({ "event": null, "timed_out": true }));
        engine.stop(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_judges_its_event_by_the_state_that_the_event_found_and_not_by_what_was_or_what_comes() {
    const READY: &str = r#"
playbook: ready
triggers:
  - case.created
steps:
  - id: ready
    wait: { event: { type: [ping, case.updated], when: 'case.priority == "critical"' }, timeout: 1d }
  - { id: after, action: log, with: { message: "${{ steps.ready.output.event.type }}" } }
"#;
    let case = |kind: &str, priority: &str| {
        crate::world::snapshot(kind, &json!({ "id": "C-1", "name": "c", "priority": priority }))
    };
    let ping = || plain("ping", json!({}));
    for restarts in [false, true] {
        for events in [
            vec![ping(), case("case.updated", "critical"), case("case.updated", "low"), ping()],
            vec![
                ping(),
                case("case.updated", "high"),
                ping(),
                case("case.updated", "critical"),
                case("case.updated", "low"),
            ],
        ] {
            let world = World::new(&[READY]).await;
            let mut store = world.open().await;
            let mut engine = world.start(store.clone()).await;
            let answer = engine.ingest(vec![case("case.created", "low")]).await.remove(0).unwrap();
            let run = answer.decisions[0].run_id.unwrap();
            waits(store.as_ref(), run).await;
            if restarts {
                // What the run looks at is not known yet: what it needs to judge later is kept.
                gone(engine, store).await;
                store = world.open().await;
                engine = world.start(store.clone()).await;
            }
            engine.ingest(events).await.into_iter().for_each(|one| drop(one.unwrap()));
            quiet(store.as_ref()).await;
            assert_eq!(said(store.as_ref(), run, "after")["message"], "case.updated", "restarts: {restarts}");
            engine.stop(Duration::from_secs(1)).await;
        }
    }
}

const ASK: &str = r#"
playbook: ask
triggers:
  - event: { type: go }
steps:
  - id: ask
    approve:
      ask: "Isolate ${{ event.data.host }}?"
      by: approver
      fields: { reason: { type: string, required: true } }
      deadline: DEADLINE
      on_deadline: THEN
  - { id: act, action: webhook.send, with: { to: desk, body: { reason: "${{ steps.ask.output.fields?.reason }}" } } }
"#;

fn person(name: &str) -> Actor {
    Actor::Token(name.to_owned())
}

async fn question(engine: &Engine) -> Question {
    until("something is asked", || !engine.questions().is_empty()).await;
    engine.questions().remove(0)
}

fn reason(value: Value) -> Record {
    json!({ "reason": value }).as_object().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_once_by_somebody_else_than_who_asked() {
    let world = World::new(&[&ASK.replace("DEADLINE", "4h").replace("THEN", "deny")]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let mut event = plain("go", json!({ "host": "ws-17" }));
    Arc::make_mut(&mut event.event).actor = eva();
    let run = engine.ingest(vec![event]).await.remove(0).unwrap().decisions[0].run_id.unwrap();
    let asked = question(&engine).await;
    assert_eq!((asked.ask.ask.as_str(), asked.ask.requester.as_deref()), ("Isolate ws-17?", Some("eva")));
    let answer = |who: &'static str, fields: Record| {
        let engine = engine.clone();
        async move { engine.answer(asked.id, Decision::Approve, (Some("go".to_owned()), fields), person(who)).await }
    };
    let code = |refusal: Refusal| match refusal {
        Refusal::Invalid { code, .. } => code,
        Refusal::Conflict(_) => "conflict",
        other => panic!("{other:?}"),
    };
    assert_eq!(code(answer("eva", reason(json!("x"))).await.unwrap_err()), "own_request");
    assert_eq!(code(answer("ann", Record::new()).await.unwrap_err()), "fields");
    assert_eq!(code(answer("ann", reason(json!(5))).await.unwrap_err()), "fields");
    answer("ann", reason(json!("seen in the logs"))).await.unwrap();
    assert_eq!(code(answer("bob", reason(json!("me too"))).await.unwrap_err()), "conflict");
    quiet(store.as_ref()).await;
    assert_eq!(stand(store.as_ref(), run), "ask succeeded: ask=succeeded act=succeeded");
    let output = said(store.as_ref(), run, "ask");
    assert_eq!(
        (&output["decision"], &output["by"], &output["comment"]),
        (&json!("approve"), &json!("ann"), &json!("go"))
    );
    assert_eq!(world.receiver.received()[0].body, r#"{"reason":"seen in the logs"}"#);
    assert_eq!(code(answer("ann", reason(json!("x"))).await.unwrap_err()), "conflict", "it is over");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_and_a_deadline_keep_what_follows_from_being_done() {
    for (deadline, then, denied, expected) in [
        ("4h", "approve", true, "ask failed: ask=failed"),
        ("200ms", "deny", false, "ask failed: ask=failed"),
        ("200ms", "fail", false, "ask failed: ask=timed_out"),
        ("200ms", "approve", false, "ask succeeded: ask=succeeded act=succeeded"),
    ] {
        let world = World::new(&[&ASK.replace("DEADLINE", deadline).replace("THEN", then)]).await;
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        let run = go(&engine, json!({ "host": "x" })).await;
        if denied {
            let asked = question(&engine).await;
            engine.answer(asked.id, Decision::Deny, (None, Record::new()), person("ann")).await.unwrap();
        }
        quiet(store.as_ref()).await;
        assert_eq!(stand(store.as_ref(), run), expected, "{deadline} {then}");
        engine.stop(Duration::from_secs(1)).await;
    }
}

const CALLER: &str = r#"
playbook: caller
triggers:
  - event: { type: go }
steps:
  - { id: sub, call: { playbook: enrich, inputs: { user: "${{ event.data.user }}" } } }
  - { id: after, action: log, with: { message: "score ${{ steps.sub.output.score }}" } }
"#;

const CALLEE: &str = r#"
playbook: enrich
triggers: [manual]
inputs:
  user: { type: string, required: true }
  extra: { type: number, default: 2 }
outputs:
  score: "${{ steps.ask.output.message.len() + inputs.extra }}"
steps:
  - { id: ask, action: log, with: { message: "${{ inputs.user }}" } }
  - { id: tell, action: webhook.send, with: { to: desk, body: { user: "${{ inputs.user }}", of: "${{ event.type }}" } } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playbook_that_is_called_is_a_run_of_its_own_and_its_failure_is_seen() {
    let world = World::new(&[CALLER, CALLEE]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = go(&engine, json!({ "user": "alice" })).await;
    quiet(store.as_ref()).await;
    assert_eq!(
        stands(store.as_ref()),
        ["caller succeeded: sub=succeeded after=succeeded", "enrich succeeded: ask=succeeded tell=succeeded"]
    );
    assert_eq!(said(store.as_ref(), run, "after")["message"], "score 7");
    assert_eq!(all_runs(store.as_ref())[1].caller, Some(run));
    assert_eq!(world.receiver.received()[0].body, r#"{"of":"go","user":"alice"}"#);

    let run = go(&engine, json!({ "user": 5 })).await;
    quiet(store.as_ref()).await;
    assert_eq!(stand(store.as_ref(), run), "caller failed: sub=failed", "the input has another type");
    world.receiver.answers(|_| Some(400));
    let run = go(&engine, json!({ "user": "bob" })).await;
    quiet(store.as_ref()).await;
    assert_eq!(stand(store.as_ref(), run), "caller failed: sub=failed");
    let state = engine::load::load(store.as_ref(), run).unwrap().state;
    let error = state.steps["sub"].error.clone().unwrap();
    assert_eq!(error.code, "callee_failed");
    assert!(error.message.contains("step `tell` failed"), "{}", error.message);
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_caller_is_cancelled_is_cancelled_too() {
    let slow = CALLEE.replace("  - { id: ask,", "  - { wait: { for: 1h } }\n  - { id: ask,");
    let world = World::new(&[CALLER, &slow]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = go(&engine, json!({ "user": "alice" })).await;
    waits(store.as_ref(), run).await;
    until("the callee waits", || stands(store.as_ref())[1] == "enrich waiting: #1=waiting").await;
    engine.cancel(run, eva()).await.unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(stands(store.as_ref()), ["caller cancelled: sub=cancelled", "enrich cancelled: #1=cancelled"]);
    engine.stop(Duration::from_secs(1)).await;
}

/// All blocks in one, each of which sends something.
const WHOLE: &str = r#"
playbook: whole
triggers:
  - event: { type: go }
steps:
  - { id: keep, set: { n: "${{ event.data.users.len() }}" } }
  - id: each
    for_each:
      in: event.data.users
      as: user
      max_parallel: 2
      steps: [{ id: send, action: webhook.send, with: { to: desk, body: { user: "${{ user }}" } } }]
  - id: both
    parallel:
      branches:
        - id: left
          steps: [{ id: l, action: webhook.send, with: { to: desk, body: { n: l } } }]
        - id: right
          steps: [{ id: pause, wait: { for: 20ms } }, { id: r, action: webhook.send, with: { to: siem, body: { n: "${{ vars.n }}" } } }]
  - id: poll
    repeat:
      until: "vars.turns >= 2"
      every: 100ms
      max: 3
      steps:
        - { id: turn, set: { turns: "${{ (vars?.turns ?? 0) + 1 }}" } }
        - { id: p, action: webhook.send, with: { to: desk, body: { turn: "${{ vars.turns }}" } } }
  - id: guard
    try:
      steps: [{ id: bad, action: webhook.send, with: { to: siem, body: { bad: true } } }]
      catch: [{ id: c, action: webhook.send, with: { to: desk, body: { code: "${{ error.code }}" } } }]
  - { id: sub, call: { playbook: enrich, inputs: { user: alice } } }
finally:
  - { id: last, action: webhook.send, with: { to: desk, body: { last: "${{ steps.sub.output.score }}" } } }
"#;

const GOES: &str = "whole succeeded_with_warnings";

fn answers(world: &World) {
    world.receiver.answers(|r| Some(if r.body.contains("bad") { 400 } else { 200 }));
}

/// What was sent, each id with its one body, and how the runs ended.
fn outcome(world: &World, store: &dyn Store, what: &str) -> Vec<String> {
    verified(store);
    let mut sent: Vec<String> = world
        .receiver
        .received()
        .into_iter()
        .map(|one| format!("{} {}", one.id.split_once('/').map_or("", |(_, step)| step), one.body))
        .collect();
    sent.sort();
    sent.dedup();
    let ids: std::collections::BTreeSet<String> = world.receiver.received().into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), sent.len(), "{what}: the same id with another body, or two ids for one thing");
    for run in all_runs(store) {
        let state = engine::load::load(store, run.id).unwrap().state;
        assert_eq!(state.status, run.status, "{what}");
        assert!(state.steps.values().all(|step| step.status.is_final()), "{what}: {}", stand(store, run.id));
        sent.push(format!("{} {}", run.playbook, run.status.name()));
    }
    sent
}

async fn die_at(entry: u64, silent: bool, expected: &[String]) {
    let what = format!("after entry {entry}, silent: {silent}");
    let world = World::new(&[WHOLE, CALLEE]).await;
    answers(&world);
    let store = Mortal::over(world.open().await);
    store.dies_at(entry, silent);
    let event = || crate::world::keyed(plain("go", json!({ "users": ["a", "b", "c"] })), "k");
    if let Ok(engine) = Engine::start(world.setup(store.clone())).await {
        let accepted = engine.ingest(vec![event()]).await.remove(0).is_ok();
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
    engine.ingest(vec![event()]).await.remove(0).unwrap();
    quiet(store.as_ref()).await;
    assert_eq!(outcome(&world, store.as_ref(), &what), expected, "{what}");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_survive_a_crash_after_any_entry_with_the_same_keys() {
    let world = World::new(&[WHOLE, CALLEE]).await;
    answers(&world);
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    go(&engine, json!({ "users": ["a", "b", "c"] })).await;
    quiet(store.as_ref()).await;
    let expected = outcome(&world, store.as_ref(), "without a crash");
    assert_eq!(expected.iter().filter(|line| line.starts_with(GOES)).count(), 1, "{expected:#?}");
    assert_eq!(expected.len(), 13, "{expected:#?}");
    let entries = verified(store.as_ref());
    assert!(entries > 12, "{entries} entries");
    for entry in 3..=entries {
        die_at(entry, entry % 2 == 0, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_step_of_any_block_is_seen_and_leaves_nothing_open() {
    for (failing, status) in [
        ("/each/1/send/", "succeeded_with_warnings"),
        ("/each/", "failed"),
        ("/both/left/l/", "failed"),
        ("/both/right/r/", "failed"),
        ("/poll/0/p/", "failed"),
        ("/poll/1/p/", "failed"),
        ("/guard/catch/c/", "failed"),
        ("/tell/", "failed"),
        ("/finally/last/", "failed"),
    ] {
        let world = World::new(&[WHOLE, CALLEE]).await;
        world.receiver.answers(move |r| Some(if r.body.contains("bad") || r.id.contains(failing) { 400 } else { 200 }));
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        let run = go(&engine, json!({ "users": ["a", "b", "c"] })).await;
        quiet(store.as_ref()).await;
        outcome(&world, store.as_ref(), failing);
        let state = engine::load::load(store.as_ref(), run).unwrap().state;
        assert_eq!(state.status.name(), status, "{failing}: {}", stand(store.as_ref(), run));
        let done = state.steps.get("finally/last").map(|step| step.status.name());
        // What it sends reads an output that is not there when the call was not reached.
        assert!(done.is_some(), "{failing}: what is done in any case was done");
        assert_eq!(done == Some("succeeded"), status != "failed", "{failing}: {done:?}");
        engine.stop(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_and_a_wait_are_there_after_a_crash_and_an_answer_that_was_taken_counts() {
    let world = World::new(&[&ASK.replace("DEADLINE", "4h").replace("THEN", "deny")]).await;
    let store = Mortal::over(world.open().await);
    let engine = world.start(store.clone()).await;
    let run = go(&engine, json!({ "host": "x" })).await;
    let asked = question(&engine).await;
    // The answer is on disk; the run never gets to look at it.
    let next = store.next_seq().0;
    store.dies_at(next, false);
    engine.answer(asked.id, Decision::Approve, (None, reason(json!("r"))), person("ann")).await.unwrap();
    engine.failed().await;
    gone(engine, store).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    quiet(store.as_ref()).await;
    assert_eq!(stand(store.as_ref(), run), "ask succeeded: ask=succeeded act=succeeded");
    engine.stop(Duration::from_secs(1)).await;
}

/// The playbooks of a page of the documentation.
fn shown(page: &str) -> Vec<String> {
    let path = format!("{}/../../docs/how-to/{page}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.filter(|block| block.starts_with("playbook:")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_playbooks_of_the_pages_about_blocks_do_what_the_pages_say() {
    let mut all = shown("loops-branches-and-waits");
    all.extend(shown("ask-a-person"));
    // Nobody waits for ten minutes here.
    let quick: Vec<String> = all.iter().map(|text| text.replace("10m", "10ms").replace("2d", "50ms")).collect();
    let texts: Vec<&str> = quick.iter().map(String::as_str).collect();
    let world = World::new(&texts).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let alert =
        json!({ "id": "A-1", "name": "x", "priority": "high", "users": ["ann", "bob"], "endpoints": ["ws-17"] });
    engine.ingest(vec![crate::world::snapshot("alert.created", &alert)]).await.remove(0).unwrap();
    let asked = question(&engine).await;
    engine.answer(asked.id, Decision::Approve, (None, reason(json!("r"))), person("ann")).await.unwrap();
    quiet(store.as_ref()).await;
    let ends: Vec<String> =
        all_runs(store.as_ref()).iter().map(|run| format!("{} {}", run.playbook, run.status.name())).collect();
    assert_eq!(ends.len(), all.len(), "{ends:#?}");
    let warned = "wait-for-the-ticket succeeded_with_warnings";
    assert!(ends.iter().all(|end| end.ends_with(" succeeded") || end == warned), "{ends:#?}");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_over_a_thousand_items_is_done_once_over_a_crash_in_its_middle_and_stays_quick() {
    const MANY: &str = r#"
playbook: many
triggers:
  - event: { type: go }
steps:
  - id: each
    for_each:
      in: event.data.items
      as: item
      max_parallel: 20
      steps: [{ id: send, action: webhook.send, with: { to: desk, body: { item: "${{ item }}" } } }]
"#;
    let world = World::new(&[MANY]).await;
    let store = Mortal::over(world.open().await);
    let engine = world.start(store.clone()).await;
    let items: Vec<u32> = (0..1_000).collect();
    let run = go(&engine, json!({ "items": items })).await;
    until("half of it is done", || world.receiver.received().len() >= 500).await;
    store.dies_at(store.next_seq().0, true);
    engine.failed().await;
    gone(engine, store).await;
    let before = world.receiver.received().len();
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    quiet(store.as_ref()).await;
    let summary = store.run(run).unwrap().unwrap();
    assert_eq!((summary.status.name(), summary.deliveries_total), ("succeeded", 1_000));
    assert_eq!(summary.deliveries.len(), model::limits::SUMMARY_DELIVERIES_MAX);
    let output = said(store.as_ref(), run, "each");
    assert_eq!(output.as_array().map(Vec::len), Some(1_000));
    let received = world.receiver.received();
    let ids: std::collections::BTreeSet<(String, String)> =
        received.iter().map(|one| (one.id.clone(), one.body.clone())).collect();
    assert_eq!(ids.len(), 1_000, "each item once, by its own id and body");
    // What was in flight when it died may come again, and nothing else.
    assert!(received.len() <= 1_000 + 20 + 20, "{} requests, {before} before the crash", received.len());
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_from_the_failed_step_keeps_what_blocks_did() {
    const TWO: &str = r#"
playbook: two
triggers:
  - event: { type: go }
steps:
  - id: each
    for_each: { in: [1, 2], as: n, steps: [{ id: a, action: webhook.send, with: { to: desk, body: { n: "${{ n }}" } } }] }
  - id: route
    switch: [{ else: true, steps: [{ id: b, action: log, with: { message: kept } }] }]
  - { id: bad, action: webhook.send, with: { to: siem, body: { read: "${{ steps.b.output.message }}" } } }
"#;
    let world = World::new(&[TWO]).await;
    world.receiver.answers(|r| Some(if r.path == "/siem" { 400 } else { 200 }));
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let run = go(&engine, json!({})).await;
    quiet(store.as_ref()).await;
    assert!(stand(store.as_ref(), run).starts_with("two failed: each=succeeded"));
    world.receiver.answers(|_| Some(200));
    let again = engine.retry(run, engine::RetryFrom::Failed, engine::RetryVersion::Same, eva()).await.unwrap();
    quiet(store.as_ref()).await;
    assert!(stand(store.as_ref(), again).starts_with("two succeeded: "), "{}", stand(store.as_ref(), again));
    let desk = world.receiver.received().iter().filter(|one| one.path == "/desk").count();
    assert_eq!(desk, 2, "the loop was not done again");
    assert_eq!(world.receiver.received().last().unwrap().body, r#"{"read":"kept"}"#);
    engine.stop(Duration::from_secs(1)).await;
}
