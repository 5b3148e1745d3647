//! Loops, waits, questions and polling with the real binary, killed in the middle of each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::command::{command, run, sortie};
use crate::support::sample::run_id;
use crate::support::{Folder, Receiver, Server, eventually};

fn go(server: &Server, data: Value) -> String {
    run_id(&server.accepted(&json!({ "type": "go", "data": data })), "blocks")
}

fn folder(receiver: &Receiver, steps: &str) -> Folder {
    let folder = Folder::new();
    folder.destinations(receiver, &["desk"], "timeout: 5s");
    folder.playbook("blocks", &format!("triggers: [{{ event: {{ type: go }} }}, manual]\nsteps:\n{steps}"));
    folder
}

/// Each webhook-id with its body, once.
fn sent(receiver: &Receiver) -> BTreeSet<(String, String)> {
    receiver.waiting().iter().map(|one| (one.id(), one.json().to_string())).collect()
}

#[test]
fn a_loop_of_a_thousand_items_that_is_killed_in_its_middle_does_each_item_under_one_key() {
    let receiver = Receiver::start();
    let folder = folder(
        &receiver,
        "  - id: each\n    for_each:\n      in: event.data.items\n      as: item\n      max_parallel: 10\n      steps:\n        \
         - { id: send, action: webhook.send, with: { to: desk, body: { item: \"${{ item }}\" } } }\n",
    );
    let mut server = Server::start(&folder);
    let items: Vec<u32> = (0..1_000).collect();
    let id = go(&server, json!({ "items": items }));
    for part in [200, 600] {
        eventually("a part of the items is sent", || (receiver.connections() >= 1).then_some(()));
        eventually("the loop has come so far", || {
            let run = server.client().get(&format!("/v1/runs/{id}")).ok(200);
            let done = run["steps"].as_array().map_or(0, Vec::len);
            (done >= part || run["status"] != "running").then_some(())
        });
        server.kill();
        server = Server::start(&folder);
    }
    let ended = server.ended_run(&id);
    assert_eq!(ended["status"], "succeeded", "{}", ended["reason"]);
    let all = sent(&receiver);
    assert_eq!(all.len(), 1_000, "each item once, and by its own key");
    let ids: BTreeSet<&String> = all.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1_000, "no key has two bodies");
    assert!(ids.iter().all(|key| key.starts_with(&format!("{id}/each/"))), "{:?}", ids.first());
}

#[test]
fn a_wait_and_a_polling_loop_go_on_where_they_were_after_a_kill() {
    let receiver = Receiver::start();
    let folder = folder(
        &receiver,
        "  - { id: pause, wait: { for: 700ms } }\n  - id: poll\n    repeat:\n      until: vars.turns >= 3\n      every: 300ms\n      \
         max: 10\n      steps:\n        - set: { turns: \"${{ (vars?.turns ?? 0) + 1 }}\" }\n        \
         - { id: send, action: webhook.send, with: { to: desk, body: { turn: \"${{ vars.turns }}\" } } }\n  \
         - id: closed\n    wait: { event: { type: closed, when: event.data.n == 7 }, timeout: 1h }\n  \
         - { id: last, action: webhook.send, with: { to: desk, body: { by: \"${{ steps.closed.output.event.data.by }}\" } } }\n",
    );
    let server = Server::start(&folder);
    let id = go(&server, json!({}));
    let waits = |server: &Server, what: &str| {
        eventually(what, || {
            let run = server.client().get(&format!("/v1/runs/{id}")).ok(200);
            let steps = run["steps"].as_array().cloned().unwrap_or_default();
            steps.iter().any(|step| step["path"] == what && step["status"] == "waiting").then_some(())
        });
    };
    waits(&server, "pause");
    server.kill();
    let server = Server::start(&folder);
    waits(&server, "poll");
    server.kill();
    let server = Server::start(&folder);
    waits(&server, "closed");
    let run = server.client().get(&format!("/v1/runs/{id}")).ok(200);
    assert_eq!((&run["status"], &run["waits"][0]["events"]), (&json!("waiting"), &json!(["closed"])));
    server.kill();
    let server = Server::start(&folder);
    server.accepted(&json!({ "type": "closed", "data": { "n": 6, "by": "eve" } }));
    server.accepted(&json!({ "type": "closed", "data": { "n": 7, "by": "ann" } }));
    assert_eq!(server.ended_run(&id)["status"], "succeeded");
    let bodies: Vec<String> = sent(&receiver).into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.len(), 4, "{bodies:?}");
    assert!(bodies.contains(&r#"{"by":"ann"}"#.to_owned()), "{bodies:?}");
}

#[test]
fn a_question_survives_a_kill_and_is_answered_from_the_command_line_by_another_person() {
    let receiver = Receiver::start();
    let folder = folder(
        &receiver,
        "  - id: ask\n    approve:\n      ask: \"Isolate ${{ event.data.host }}?\"\n      fields: { reason: { type: string, required: true } }\n      \
         deadline: 4h\n      on_deadline: deny\n  - { id: act, action: webhook.send, with: { to: desk, body: { why: \"${{ steps.ask.output.fields.reason }}\" } } }\n",
    );
    let server = Server::start(&folder);
    let token = |name: &str, role: &str| {
        sortie(&folder, &["tokens", "create", "--name", name, "--role", role]).expect(0).stdout.trim().to_owned()
    };
    let (ann, eva) = (token("ann", "approver"), token("eva", "admin"));
    let id = go(&server, json!({ "host": "ws-17" }));
    let question =
        |server: &Server| eventually("something is asked", || server.items("/v1/approvals").into_iter().next());
    question(&server);
    server.kill();
    let server = Server::start(&folder);
    let asked = question(&server);
    assert_eq!((&asked["ask"], &asked["run_id"]), (&json!("Isolate ws-17?"), &json!(id)));
    let approval = asked["approval_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/approvals/{approval}");
    let of = |token: &str| server.client().with_token(token);
    of(&token("bob", "analyst")).post(&path, &json!({ "decision": "approve" })).problem(403);
    of(&ann).post(&path, &json!({ "decision": "approve" })).problem(400);
    of(&ann).post(&path, &json!({ "decision": "maybe" })).problem(400);
    of(&ann).post("/v1/approvals/apr-0000000001-0-000000-0", &json!({ "decision": "deny" })).problem(404);
    let mut answer = command(&folder);
    answer.env("SORTIE_TOKEN", &ann).args(["approvals", "approve", &approval, "--field", "reason=seen in the logs"]);
    run(&mut answer, b"").expect(0);
    assert_eq!(of(&eva).post(&path, &json!({ "decision": "deny" })).problem(409), "conflict");
    let ended = server.ended_run(&id);
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(
        sent(&receiver).into_iter().map(|(_, body)| body).collect::<Vec<_>>(),
        [r#"{"why":"seen in the logs"}"#]
    );
    assert!(server.items("/v1/approvals").is_empty());

    // Who starts a run by hand is behind it.
    let started = of(&eva).post("/v1/playbooks/blocks/run", &json!({})).ok(202);
    let failed = server.ended_run(started["run_id"].as_str().unwrap());
    assert_eq!(failed["status"], "failed", "there is no `event.data.host`");
}

#[test]
fn a_loop_over_too_many_items_or_too_large_ones_fails_before_anything_is_done() {
    let receiver = Receiver::start();
    let folder = folder(
        &receiver,
        "  - id: each\n    for_each:\n      in: event.data.items\n      as: item\n      steps:\n        \
         - { id: send, action: webhook.send, with: { to: desk, body: { item: \"${{ item }}\" } } }\n",
    );
    let server = Server::start(&folder);
    let many: Vec<u32> = vec![0; 10_001];
    for (items, code) in
        [(json!(many), "too_many_items"), (json!({ "a": 1 }), "not_a_list"), (json!(null), "not_a_list")]
    {
        let run = server.ended_run(&go(&server, json!({ "items": items })));
        assert_eq!(run["status"], "failed", "{code}");
        assert!(run["reason"].as_str().unwrap().contains(code), "{code}: {}", run["reason"]);
    }
    assert!(sent(&receiver).is_empty());
}
