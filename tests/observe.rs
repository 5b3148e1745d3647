//! `mode: observe`, and loops through another server.

use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use crate::support::sample::{alert, case, decision, desk, run_id, verdict};
use crate::support::{Folder, Receiver, Server, eventually};

const TELL: &str = "\
triggers:
  - alert.created: { when: alert.risk_score >= 90 }
dedupe: { key: alert.name, window: 6h }
steps:
  - id: tag
    action: alert.add_tags
    with: { tags: [told] }
  - id: send
    action: webhook.send
    with: { to: [desk], body: { text: \"${{ alert.name }}\" } }
";

#[test]
fn what_is_observed_has_a_plan_and_does_nothing_until_it_is_switched_to_act() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook("tell", &format!("mode: observe\n{TELL}"));
    folder.playbook(
        "tagged",
        "triggers:\n  - alert.updated: { changed: tags }\nsteps:\n  - action: log\n    with: { message: x }\n",
    );
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 95));
    assert_eq!(verdict(&answer, "tell"), "observed");
    let run = server.ended_run(&run_id(&answer, "tell"));
    assert_eq!((&run["status"], &run["mode"]), (&json!("succeeded"), &json!("observe")), "{run:#}");
    let plan = &run["plan"];
    assert_eq!(plan["would_send"][0]["body"]["text"], "Impossible travel", "{plan:#}");
    assert_eq!(plan["would_send"][0]["destination"], "desk");
    assert!(plan["would_change"][0]["object"].as_str().unwrap().contains("A-1"), "{plan:#}");
    assert_eq!(run["steps"], json!([]), "no step was done");
    assert_eq!(verdict(&server.accepted(&alert("A-2", 95)), "tell"), "deduplicated", "bounds are observed too");
    assert_eq!(server.client().get("/v1/alerts/A-1").ok(200)["tags"], json!(["vip"]));
    assert!(server.items("/v1/deliveries").is_empty() && server.items("/v1/runs?playbook=tagged").is_empty());
    assert!(receiver.waiting().is_empty());
    assert_eq!(server.client().get("/v1/playbooks/tell").ok(200)["mode"], "observe");

    folder.playbook("tell", &format!("mode: act\n{TELL}"));
    eventually("the playbook acts", || {
        (server.client().get("/v1/playbooks/tell").ok(200)["mode"] == "act").then_some(())
    });
    let answer = server.accepted(&alert("A-3", 95));
    assert_eq!(verdict(&answer, "tell"), "matched", "what was observed silences nothing");
    assert_eq!(server.ended_run(&run_id(&answer, "tell"))["status"], "succeeded");
    receiver.next();
    assert_eq!(server.client().get("/v1/alerts/A-3").ok(200)["tags"], json!(["vip", "told"]));
}

#[test]
fn a_plan_that_cannot_be_made_is_a_failed_run_and_survives_a_kill() {
    let folder = Folder::new();
    folder.playbook("p", "mode: observe\ntriggers: [case.created]\nsteps:\n  - id: note\n    action: log\n    with: { message: \"${{ case.extra.missing }}\" }\n");
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&case("case.created", json!({"id": "C-1"}))), "p");
    assert_eq!(server.ended_run(&id)["status"], "failed");
    server.kill();
    let server = Server::start(&folder);
    let run = server.ended_run(&id);
    assert_eq!(run["plan"]["steps"][0]["status"], "failed", "{run:#}");
}

#[test]
fn a_chain_of_another_server_counts_whoever_says_so() {
    let receiver = Receiver::start();
    let folder =
        Folder::with("sources: { generic: { auth: { bearer: \"${secret:IN}\" } }, exabeam: { auth: none } }\n");
    folder.destinations(&receiver, &["desk"], "timeout: 5s");
    folder.playbook("all", "triggers: [alert.created]\nsteps:\n  - { action: log, with: { message: x } }\n");
    folder.playbook("tell", "triggers:\n  - event: { type: \"*\" }\nsteps:\n  - id: send\n    action: webhook.send\n    with: { to: [desk], body: { text: x } }\n");
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_IN", "known")]);
    let send = |chain: &str| {
        let headers =
            [("authorization", "Bearer known"), ("content-type", "application/json"), ("sortie-chain", chain)];
        let body = json!({"type": "ping"}).to_string();
        server.client().anonymous().request("POST", "/v1/in/generic", &headers, body.as_bytes()).ok(202)
    };
    for (chain, expected) in
        [("9", "matched"), ("10", "loop_guarded"), ("4000000000", "loop_guarded"), ("many", "matched")]
    {
        let answer = send(chain);
        assert_eq!(verdict(&answer, "tell"), expected, "{chain}");
        if expected == "loop_guarded" {
            assert!(decision(&answer, "tell")["reason"].as_str().unwrap().contains("10 long"), "{answer}");
        } else {
            let sent = receiver.next();
            assert_eq!(sent.header("sortie-chain"), Some(if chain == "9" { "10" } else { "1" }));
        }
    }
    let headers = [("content-type", "application/json"), ("sortie-chain", "10")];
    let body = json!({"last_update_time": "2026-11-22T08:00:00Z", "alert_id": "a-9", "alert_name": "x"}).to_string();
    let answer = server.client().anonymous().request("POST", "/v1/in/exabeam", &headers, body.as_bytes()).ok(202);
    assert_eq!(verdict(&answer, "all"), "loop_guarded", "also of a sender whom nobody knows: {answer}");
}

/// An address where nothing listens.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_loop_through_two_servers_ends_after_ten_runs_whichever_way_they_send() {
    let steps = [
        ("webhook.send", "{ to: other, body: { type: ping } }"),
        ("http.request", "{ method: POST, url: \"http://OTHER/v1/in/generic\", body: { type: ping } }"),
    ];
    for (action, with) in steps {
        let addresses = [free(), free()];
        let servers: Vec<Server> = (0..2)
            .map(|n| {
                let other = addresses[1 - n].to_string();
                let folder = Folder::new();
                folder.write("destinations.yaml", &format!("destinations:\n  other: {{ kind: webhook, url: \"http://{other}/v1/in/generic\" }}\n"));
                let with = with.replace("OTHER", &other);
                folder.playbook("echo", &format!("triggers: [{{ event: {{ type: ping }} }}]\ntriggers_itself: allow\nsteps:\n  - {{ id: pass, action: {action}, with: {with} }}\n"));
                Server::try_start_at(&folder, addresses[n]).unwrap()
            })
            .collect();
        servers[0].accepted(&json!({ "type": "ping" }));
        eventually("the chain is at its end", || {
            let last = |server: &Server| {
                let events = server.items("/v1/events?limit=1");
                let id = events.first()?["event_id"].as_str()?.to_owned();
                let event = server.client().get(&format!("/v1/events/{id}")).ok(200);
                event["decisions"].as_array()?.iter().any(|one| one["verdict"] == "loop_guarded").then_some(())
            };
            servers.iter().find_map(last)
        });
        let runs: usize = servers.iter().map(|server| server.items("/v1/runs?limit=100").len()).sum();
        assert_eq!(runs, 10, "{action}");
    }
}
