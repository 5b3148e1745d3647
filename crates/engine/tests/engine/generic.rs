//! What must hold of every block and of every action, whichever they are: a table of each, and the same tests for all.
//!
//! A block or an action without a case here fails the test that compares the tables with the language.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::approval::Decision;
use engine::source::Incoming;
use model::event::Actor;
use model::{Kind, Record};
use serde_json::{Value, json};
use store::Store;

use crate::world::{Mortal, World, all_runs, gone, key, keyed, plain, snapshot, stand, until, verified};

/// A block in use: its name, the steps, and how the run ends when nothing fails.
struct Case {
    block: &'static str,
    steps: &'static str,
    ends: &'static str,
}

const CASES: &[Case] = &[
    Case {
        block: "for_each",
        steps: "- id: each\n  for_each: { in: [1, 2, 3], as: n, max_parallel: 2, steps: [{ id: a, SEND: 'a ${{ n }}' }, { id: b, SEND: 'b ${{ n }}' }] }\n",
        ends: "succeeded",
    },
    Case {
        block: "parallel",
        steps: "- id: both\n  parallel:\n    branches:\n      - { id: l, steps: [{ id: a, SEND: a }, { id: b, SEND: b }] }\n      - { id: r, steps: [{ id: c, SEND: c }, { wait: { for: 10ms } }, { id: d, SEND: d }] }\n",
        ends: "succeeded",
    },
    Case {
        block: "switch",
        steps: "- id: route\n  switch:\n    - { when: 'event.data.n == 1', steps: [{ id: a, SEND: a }] }\n    - { else: true, steps: [{ id: b, SEND: b }, { id: c, SEND: c }] }\n- { id: d, SEND: '${{ steps.route.output.case }}' }\n",
        ends: "succeeded",
    },
    Case {
        block: "repeat",
        steps: "- id: poll\n  repeat:\n    until: 'vars.turn == 2'\n    every: 100ms\n    max: 3\n    steps: [{ set: { turn: '${{ (vars?.turn ?? 0) + 1 }}' } }, { id: a, SEND: 'a ${{ vars.turn }}' }]\n- { id: b, SEND: b }\n",
        ends: "succeeded",
    },
    Case {
        block: "try",
        steps: "- id: guard\n  try:\n    steps: [{ id: a, SEND: a }, { id: bad, SEND: bad }, { id: never, SEND: never }]\n    catch: [{ id: c, SEND: 'c ${{ error.step }}' }]\n    finally: [{ id: f, SEND: f }]\n- { id: d, SEND: d }\n",
        ends: "succeeded_with_warnings",
    },
    Case {
        block: "call",
        steps: "- { id: sub, call: { playbook: callee, inputs: { n: 7 } } }\n- { id: a, SEND: '${{ steps.sub.output.twice }}' }\n",
        ends: "succeeded",
    },
    Case {
        block: "wait",
        steps: "- { id: pause, wait: { for: 30ms } }\n- { id: a, SEND: a }\n- { id: ping, wait: { event: { type: ping, when: 'event.data.n == 1' }, timeout: 1h } }\n- { id: b, SEND: '${{ steps.ping.output.event.data.by }}' }\n",
        ends: "succeeded",
    },
    Case {
        block: "approve",
        steps: "- { id: a, SEND: a }\n- { id: ask, approve: { ask: 'go on?', deadline: 1h, on_deadline: deny } }\n- { id: b, SEND: '${{ steps.ask.output.decision }}' }\n",
        ends: "succeeded",
    },
    Case {
        block: "set",
        steps: "- set: { x: 1 }\n- { id: a, SEND: '${{ vars.x }}' }\n- set: { x: '${{ vars.x + 1 }}', y: 3 }\n- { id: b, SEND: '${{ vars.x }} ${{ vars.y }}' }\n",
        ends: "succeeded",
    },
    Case {
        block: "stop",
        steps: "- id: each\n  for_each: { in: [1, 2], as: n, steps: [{ id: a, SEND: 'a ${{ n }}' }, { stop: { outcome: succeeded, reason: enough } }] }\n- { id: never, SEND: never }\n",
        ends: "succeeded",
    },
];

const CALLEE: &str = "playbook: callee\ntriggers: [manual]\ninputs: { n: { type: number, required: true } }\noutputs: { twice: '${{ inputs.n * 2 }}' }\nsteps:\n  - { id: in, SEND: 'in ${{ inputs.n }}' }\n";

/// `SEND: text` is a step that sends a text to the desk.
fn written(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("SEND: ") {
        let end = match after.strip_prefix('\'') {
            Some(quoted) => quoted.find('\'').map(|at| at + 2),
            None => after.find(" }"),
        };
        let (value, left) = after.split_at(end.unwrap());
        out.push_str(&format!("{before}action: webhook.send, with: {{ to: desk, body: {{ t: {value} }} }}"));
        rest = left;
    }
    out + rest
}

fn texts(case: &Case) -> [String; 2] {
    let tail = "on_failure: [{ id: told, SEND: told }]\nfinally: [{ id: last, SEND: last }]\n";
    let head = "playbook: whole\ntriggers:\n  - event: { type: go }\nsteps:\n";
    let steps: String = case.steps.lines().map(|line| format!("  {line}\n")).collect();
    [written(&format!("{head}{steps}{tail}")), written(CALLEE)]
}

async fn world(case: &Case, refused: Option<String>) -> World {
    let [text, callee] = texts(case);
    let world = World::new(&[&text, &callee]).await;
    world.receiver.answers(move |request| {
        let bad =
            request.body.contains(r#""bad""#) || refused.as_ref().is_some_and(|step| step_of(&request.id) == *step);
        Some(if bad { 400 } else { 200 })
    });
    world
}

/// A `webhook-id` without the run, which differs from one test to the next.
fn step_of(id: &str) -> String {
    id.split_once('/').map_or(String::new(), |(_, step)| step.to_owned())
}

fn event() -> Incoming {
    keyed(plain("go", json!({ "n": 9 })), "k")
}

fn ann() -> Actor {
    Actor::Token("ann".to_owned())
}

/// Does what others do for a run until none is open: answers questions, sends what is waited for.
async fn settle(engine: &Engine, store: &dyn Store) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while store.stats().open_runs > 0 {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {:?}", all_runs(store));
        for asked in engine.questions() {
            let _ = engine.answer(asked.id, Decision::Approve, (None, Record::new()), ann()).await;
        }
        if all_runs(store).iter().any(|run| run.waits.iter().any(|wait| wait.path == "ping")) {
            for n in [0, 1] {
                let _ = engine.ingest(vec![plain("ping", json!({ "n": n, "by": "bob" }))]).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What was sent, each step with its one body, and how the runs ended. What is stored folds to what is shown.
fn outcome(world: &World, store: &dyn Store, what: &str) -> Vec<String> {
    verified(store);
    let received = world.receiver.received();
    let sent: BTreeSet<(String, String)> = received.iter().map(|one| (step_of(&one.id), one.body.clone())).collect();
    let ids: BTreeSet<&String> = received.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), sent.len(), "{what}: one id, one body");
    let mut all: Vec<String> = sent.into_iter().map(|(step, body)| format!("{step} {body}")).collect();
    for run in all_runs(store) {
        let state = engine::load::load(store, run.id).unwrap().state;
        assert_eq!((state.status, &state.reason), (run.status, &run.reason), "{what}");
        assert!(state.steps.values().all(|step| step.status.is_final()), "{what}: {}", stand(store, run.id));
        all.push(format!("{} {}", run.playbook, run.status.name()));
    }
    all
}

/// One life without a crash; answers what came of it, and how many entries it wrote.
async fn life(case: &Case, refused: Option<String>) -> (Vec<String>, u64) {
    let world = world(case, refused).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.ingest(vec![event()]).await.remove(0).unwrap();
    settle(&engine, store.as_ref()).await;
    let all = outcome(&world, store.as_ref(), case.block);
    let entries = verified(store.as_ref());
    engine.stop(Duration::from_secs(1)).await;
    (all, entries)
}

#[test]
fn every_block_and_every_action_has_a_case() {
    let blocks: Vec<&str> = CASES.iter().map(|case| case.block).collect();
    let known: BTreeSet<&str> = playbook::block_names().collect();
    assert_eq!(blocks.iter().copied().collect::<BTreeSet<_>>(), known);
    let actions: BTreeSet<&str> = ACTIONS.iter().map(|(id, _)| *id).chain(ELSEWHERE).collect();
    let known: BTreeSet<&str> = engine::action::actions().iter().map(|action| action.spec().id).collect();
    assert_eq!(actions, known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_comes_to_the_same_after_a_crash_at_any_entry() {
    for case in CASES {
        let (expected, entries) = life(case, None).await;
        let ends = format!("whole {}", case.ends);
        assert!(expected.contains(&ends), "{}: {expected:#?}", case.block);
        for entry in 3..=entries {
            let what = format!("{}, after entry {entry}", case.block);
            let world = world(case, None).await;
            let store = Mortal::over(world.open().await);
            // A commit that fails, one whose success is never told, one that panics, and one that takes its time.
            store.dies_at(entry, entry % 4 == 1);
            match entry % 4 {
                2 => store.panics(),
                3 => store.is_slow(),
                _ => {}
            }
            if let Ok(engine) = Engine::start(world.setup(store.clone())).await {
                let accepted = engine.ingest(vec![event()]).await.remove(0).is_ok();
                tokio::select! {
                    _ = engine.failed() => {}
                    () = settle(&engine, store.as_ref()), if accepted => {}
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
            settle(&engine, store.as_ref()).await;
            assert_eq!(outcome(&world, store.as_ref(), &what), expected, "{what}");
            engine.stop(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_step_of_any_block_is_seen_and_what_is_done_in_any_case_is_done() {
    for case in CASES {
        let (all, _) = life(case, None).await;
        let steps: Vec<String> = all.iter().filter_map(|line| Some(line.split_once(" {")?.0.to_owned())).collect();
        assert!(steps.len() > 1, "{}: {all:#?}", case.block);
        for step in steps {
            let what = format!("{} fails at {step}", case.block);
            let (after, _) = life(case, Some(step.clone())).await;
            assert!(after.iter().any(|line| line.starts_with("finally/last/desk")), "{what}: {after:#?}");
            let status = after.iter().find_map(|line| line.strip_prefix("whole ")).unwrap();
            // A loop goes on after an item that failed; what `catch` takes has been taken; all else fails the run.
            let taken = step.starts_with("each/") || step.starts_with("guard/try/") || step == "guard/try/bad/desk";
            let expected = if taken { "succeeded_with_warnings" } else { "failed" };
            assert_eq!(status, expected, "{what}: {after:#?}");
            let told = after.iter().any(|line| line.starts_with("on_failure/told/desk"));
            assert_eq!(told, expected == "failed" && !step.starts_with("finally/"), "{what}: {after:#?}");
        }
    }
}

/// What is tried again in a scenario, beside the mail server that it needs: `tests/email.rs`.
const ELSEWHERE: [&str; 1] = ["email.send"];

/// Every other action, with parameters for this world.
const ACTIONS: &[(&str, &str)] = &[
    ("webhook.send_threat_details", "{ to: [desk, siem] }"),
    ("webhook.send", "{ to: desk, body: { n: 1 } }"),
    ("http.request", "{ method: POST, url: \"http://RECEIVER/api\", body: { n: 1 } }"),
    ("case.set_stage", "{ stage: Remediation }"),
    ("case.set_priority", "{ priority: critical }"),
    ("case.set_queue", "{ queue: night }"),
    ("case.assign", "{ assignee: ann }"),
    ("case.add_tags", "{ tags: [vip, new] }"),
    ("case.remove_tags", "{ tags: [old] }"),
    ("case.add_use_cases", "{ use_cases: [Malware] }"),
    ("case.remove_use_cases", "{ use_cases: [Phishing] }"),
    ("case.comment", "{ text: seen }"),
    ("case.close", "{ reason: Low Risk }"),
    ("case.reopen", "{ stage: Investigation }"),
    ("case.create_from_alert", "{ name: opened }"),
    ("alert.set_priority", "{ priority: critical }"),
    ("alert.add_tags", "{ tags: [vip, new] }"),
    ("alert.remove_tags", "{ tags: [old] }"),
    ("alert.add_use_cases", "{ use_cases: [Malware] }"),
    ("alert.remove_use_cases", "{ use_cases: [Phishing] }"),
    ("alert.comment", "{ text: seen }"),
    ("log", "{ message: hello }"),
];

/// What an action has left behind: the object, how many entries of its history, what was sent, how the run ended.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    objects: BTreeMap<&'static str, Value>,
    entries: usize,
    sent: BTreeSet<(String, String)>,
    status: String,
}

fn left(world: &World, store: &dyn Store) -> Left {
    let mut objects = BTreeMap::new();
    let mut entries = 0;
    for (kind, id) in [(Kind::Case, "C-1"), (Kind::Alert, "A-1"), (Kind::Case, "case-A-1")] {
        let Some(object) = store.object(&key(kind, id)).unwrap() else { continue };
        let mut record = (*object.record).clone();
        // When it happened differs from one life to the next.
        record.retain(|name, _| !name.ends_with("_time"));
        entries += object.meta.entries.len();
        objects.insert(id, Value::Object(record));
    }
    let received = world.receiver.received();
    let timeless = |body: &str| {
        let mut body: Record = serde_json::from_str(body).unwrap();
        body.retain(|name, _| !name.ends_with("_time"));
        Value::Object(body).to_string()
    };
    let sent: BTreeSet<(String, String)> =
        received.into_iter().map(|one| (step_of(&one.id), timeless(&one.body))).collect();
    let status = all_runs(store).iter().map(|run| run.status.name()).collect();
    Left { objects, entries, sent, status }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_action_that_is_done_twice_has_one_effect_under_one_key_or_asks_a_person() {
    let fields = |id: &str| json!({ "id": id, "name": "x", "priority": "low", "tags": ["old"], "use_cases": ["Phishing"], "stage": "New" });
    for (id, with) in ACTIONS {
        let of_alert = id.starts_with("alert.") || *id == "case.create_from_alert";
        let (kind, object) = if of_alert { ("alert.created", "A-1") } else { ("case.created", "C-1") };
        let mut fields = fields(object);
        if of_alert {
            fields.as_object_mut().unwrap().remove("stage");
        }
        if *id == "case.reopen" {
            fields["stage"] = json!("Closed");
        }
        let text = format!("playbook: p\ntriggers: [{kind}]\nsteps:\n  - {{ id: act, action: {id}, with: {with} }}\n");
        let event = || keyed(snapshot(kind, &fields), "k");
        let world = World::new(&[&text]).await;
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        engine.ingest(vec![event()]).await.remove(0).unwrap();
        settle(&engine, store.as_ref()).await;
        let (once, entries) = (left(&world, store.as_ref()), verified(store.as_ref()));
        assert_eq!(once.status, "succeeded", "{id}: {}", stand(store.as_ref(), all_runs(store.as_ref())[0].id));
        engine.stop(Duration::from_secs(1)).await;
        // The engine dies before the outcome is on disk: what was done is done again. The silent deaths are those after it.
        for (entry, silent) in (3..=entries).flat_map(|entry| [(entry, false), (entry, true)]) {
            let what = format!("{id}, after entry {entry}, silent: {silent}");
            let world = World::new(&[&text]).await;
            let store = Mortal::over(world.open().await);
            let engine = world.start(store.clone()).await;
            store.dies_at(entry, silent);
            let accepted = engine.ingest(vec![event()]).await.remove(0).is_ok();
            tokio::select! {
                _ = engine.failed() => {}
                () = settle(&engine, store.as_ref()), if accepted => {}
            }
            gone(engine, store).await;
            let store = world.open().await;
            let engine = world.start(store.clone()).await;
            engine.ingest(vec![event()]).await.remove(0).unwrap();
            settle(&engine, store.as_ref()).await;
            let twice = left(&world, store.as_ref());
            if twice.status == "needs_attention" {
                assert_eq!(*id, "http.request", "{what}: only what must not be repeated asks a person");
                let calls = world.receiver.received().len();
                assert!(calls <= 1, "{what}: {calls} calls");
            } else {
                assert_eq!(twice, once, "{what}");
            }
            engine.stop(Duration::from_secs(1)).await;
        }
    }
}
