//! `mode: observe`, and loops through another server.

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
fn a_chain_of_another_server_counts_when_its_sender_is_known() {
    let receiver = Receiver::start();
    let folder =
        Folder::with("sources: { generic: { auth: { bearer: \"${secret:IN}\" } }, exabeam: { auth: none } }\n");
    folder.destinations(&receiver, &["desk"], "timeout: 5s");
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
    let body = json!({"alertId": "A-9", "alertName": "x"}).to_string();
    let answer = server.client().anonymous().request("POST", "/v1/in/exabeam", &headers, body.as_bytes()).ok(202);
    assert!(
        !answer["decisions"].to_string().contains("loop_guarded"),
        "a sender whom nobody knows is not believed: {answer}"
    );
}
