//! Brakes: pauses, mutes, suspensions; they hold over a restart, are recorded, and everybody can see them.

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sample::{TELL, alert, case, decision, desk, run_id, urgency, verdict};
use crate::support::{Folder, Receiver, Server, eventually};

fn status(server: &Server, run: &str) -> String {
    let run = server.client().get(&format!("/v1/runs/{run}")).ok(200);
    run["status"].as_str().unwrap().to_owned()
}

fn pause(server: &Server, scope: &str) {
    server.client().post("/v1/pause", &json!({ "scope": scope, "reason": "a drill" })).ok(200);
}

fn resume(server: &Server) {
    server.client().post("/v1/resume", &json!({})).ok(200);
}

#[test]
fn while_all_is_paused_events_are_decided_and_runs_wait_also_over_a_kill() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook("note", "triggers: [case.created]\nsteps:\n  - action: log\n    with: { message: x }\n");
    let server = Server::start(&folder);
    pause(&server, "all");
    let answer = server.accepted(&alert("A-1", 95));
    assert_eq!(verdict(&answer, "tell"), "matched");
    let runs = [run_id(&answer, "tell"), run_id(&server.accepted(&case("case.created", json!({"id": "C-1"}))), "note")];
    server.kill();
    let server = Server::start(&folder);
    let told = server.client().get("/v1/status").ok(200);
    assert_eq!((&told["paused"]["scope"], &told["paused"]["reason"]), (&json!("all"), &json!("a drill")));
    // Another event takes its whole way while the first ones wait.
    server.accepted(&alert("A-2", 95));
    for run in &runs {
        assert_eq!(status(&server, run), "queued");
    }
    assert!(receiver.waiting().is_empty());
    resume(&server);
    for run in &runs {
        assert_eq!(server.ended_run(run)["status"], "succeeded");
    }
    eventually("both alerts are sent", || (server.items("/v1/deliveries?status=delivered").len() == 2).then_some(()));
    assert_eq!(server.client().get("/v1/status").ok(200)["paused"], Value::Null);
}

#[test]
fn while_what_leaves_is_paused_deliveries_wait_as_queued_and_local_steps_go_on() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk", "siem"], "timeout: 5s");
    folder.playbook("tell", "triggers: [case.created]\nsteps:\n  - id: tag\n    action: case.add_tags\n    with: { tags: [seen] }\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [desk, siem] }\n");
    let url = receiver.url("/ask");
    folder.playbook("ask", &format!("triggers: [case.created]\nsteps:\n  - id: ask\n    action: http.request\n    with: {{ method: POST, url: \"{url}\" }}\n"));
    let server = Server::start(&folder);
    pause(&server, "outbound");
    let answer = server.accepted(&case("case.created", json!({"id": "C-1"})));
    let queued = eventually("two deliveries are queued", || {
        let queued = server.items("/v1/deliveries?status=queued");
        (queued.len() == 2).then_some(queued)
    });
    assert_eq!((&queued[0]["reason"], &queued[0]["attempts"]), (&json!("paused"), &json!(0)));
    assert_eq!(server.client().get("/v1/cases/C-1").ok(200)["tags"], json!(["seen"]), "a local step is done");
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(server.items("/v1/deliveries?status=queued").len(), 2);
    assert!(receiver.waiting().is_empty());
    resume(&server);
    for playbook in ["tell", "ask"] {
        assert_eq!(server.ended_run(&run_id(&answer, playbook))["status"], "succeeded", "{playbook}");
    }
    let delivered = server.items("/v1/deliveries?status=delivered");
    assert_eq!(delivered.iter().map(|one| one["attempts"].clone()).collect::<Vec<_>>(), [json!(1), json!(1)]);
    assert_eq!(receiver.waiting().len(), 3, "each once");
}

#[test]
fn a_delivery_that_waits_for_the_end_of_a_pause_fails_with_its_run() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    pause(&server, "outbound");
    let run = run_id(&server.accepted(&alert("A-1", 95)), "tell");
    eventually("it is queued", || (server.items("/v1/deliveries?status=queued").len() == 1).then_some(()));
    server.client().post(&format!("/v1/runs/{run}/cancel"), &json!({})).ok(200);
    assert_eq!(server.items("/v1/deliveries?status=failed").len(), 1);
    resume(&server);
    assert_eq!(status(&server, &run), "cancelled");
    assert!(receiver.waiting().is_empty());
}

#[test]
fn the_command_line_pauses_and_resumes_a_running_and_a_stopped_server() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    sortie(&folder, &["pause", "--outbound", "--reason", "firewall change"]).expect(0);
    assert!(sortie(&folder, &["status"]).expect(0).stdout.contains("firewall change"));
    assert!(sortie(&folder, &["doctor"]).expect(0).stdout.contains("firewall change"));
    sortie(&folder, &["pause"]).expect(2);
    server.stop();
    assert!(sortie(&folder, &["doctor"]).expect(0).stdout.contains("firewall change"));
    sortie(&folder, &["resume"]).expect(0);
    let server = Server::start(&folder);
    assert_eq!(server.client().get("/v1/status").ok(200)["pauses"], json!([]));
    let trail = server.items("/v1/audit?object=server");
    let actions: Vec<&str> = trail.iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"paused") && actions.contains(&"resumed"), "{actions:?}");
}

#[test]
fn decisions_about_a_muted_entity_are_skipped_until_the_mute_ends() {
    let folder = Folder::new();
    folder.playbook("warn", "triggers:\n  - score.threshold: { of: host, score: urgency, above: 80 }\nsteps:\n  - action: log\n    with: { message: x }\n");
    folder.playbook("tell", "triggers: [alert.created]\nsteps:\n  - action: log\n    with: { message: x }\n");
    let server = Server::start(&folder);
    let mute = |path: &str, body: &Value| server.client().post(&format!("/v1/entities/{path}"), body);
    mute("host/ws-17/mute", &json!({"until": "2099-01-01T00:00:00Z", "reason": "reinstalled"})).ok(200);
    let answer = server.accepted(&urgency("ws-17", 90.0));
    assert_eq!(verdict(&answer, "warn"), "skipped");
    assert!(decision(&answer, "warn")["reason"].as_str().unwrap().contains("reinstalled"), "{answer}");
    assert_eq!(verdict(&server.accepted(&urgency("ws-18", 90.0)), "warn"), "matched", "another host is another matter");
    let about = |id: &str, users: &[&str], hosts: &[&str]| {
        server.accepted(&json!({"type": "alert.created", "alert": {"id": id, "users": users, "endpoints": hosts}}))
    };
    assert_eq!(verdict(&about("A-1", &[], &["ws-17"]), "tell"), "skipped", "all that it names is muted");
    assert_eq!(verdict(&about("A-2", &["bob"], &["ws-17"]), "tell"), "matched", "bob is not");
    assert_eq!(verdict(&about("A-3", &[], &[]), "tell"), "matched", "it names nobody");
    assert_eq!(server.items("/v1/mutes")[0]["id"], "ws-17");
    mute("host/ws-17/unmute", &json!({})).ok(200);
    server.accepted(&urgency("ws-17", 10.0));
    assert_eq!(verdict(&server.accepted(&urgency("ws-17", 91.0)), "warn"), "matched");
    sortie_mute_ends_by_itself(&server);
    for (path, body, code) in [
        ("laptop/x/mute", json!({"until": "2099-01-01T00:00:00Z", "reason": "r"}), "invalid_kind"),
        ("host/x/mute", json!({"until": "2001-01-01T00:00:00Z", "reason": "r"}), "invalid_value"),
        ("host/x/mute", json!({"until": "soon", "reason": "r"}), "invalid_time"),
        ("host/x/mute", json!({"until": "2099-01-01T00:00:00Z", "reason": " "}), "invalid_value"),
    ] {
        assert_eq!(mute(path, &body).problem(400), code, "{path} {body}");
    }
}

fn sortie_mute_ends_by_itself(server: &Server) {
    let until = server.client().get("/v1/status").ok(200)["time"].as_str().unwrap().to_owned();
    let soon = model_time(&until).plus(std::time::Duration::from_millis(700)).to_string();
    let body = json!({"until": soon, "reason": "for a moment"});
    server.client().post("/v1/entities/host/ws-1/mute", &body).ok(200);
    let mut n = 0;
    eventually("the mute ends", || {
        n += 1;
        server.accepted(&urgency("ws-1", 10.0));
        (verdict(&server.accepted(&urgency("ws-1", 90.0 + f64::from(n % 5))), "warn") == "matched").then_some(())
    });
}

fn model_time(text: &str) -> model::Time {
    model::Time::parse(text).unwrap()
}

#[test]
fn a_token_of_one_tenant_cannot_pause_all_of_them() {
    let folder = Folder::and("tenants: [acme, other]\n");
    let server = Server::start(&folder);
    let made = sortie(&folder, &["tokens", "create", "--name", "a", "--role", "analyst", "--tenant", "acme"]).expect(0);
    let acme = server.client().with_token(made.stdout.trim());
    acme.post("/v1/pause", &json!({"scope": "all", "reason": "x"})).problem(403);
    let wish = json!({"until": "2099-01-01T00:00:00Z", "reason": "x"});
    assert_eq!(acme.post("/v1/entities/host/h/mute", &wish).ok(200)["tenant"], "acme");
    acme.post("/v1/entities/host/h/mute?tenant=other", &wish).problem(404);
    server.client().post("/v1/entities/host/h/mute", &wish).problem(400);
}

#[test]
fn a_playbook_that_is_over_its_budget_again_and_again_is_suspended_loudly() {
    let folder = Folder::new();
    let slow = "triggers: [case.created]\nwhen: 'case.extra.n.map(|i| case.extra.n.map(|j| i * j)).len() > 5'\nsteps:\n  - action: log\n    with: { message: x }\n";
    folder.playbook("slow", slow);
    folder.playbook("alarm", "triggers:\n  - event: { type: playbook.suspended }\nsteps:\n  - action: log\n    with: { message: \"${{ event.data.playbook }}\" }\n");
    let server = Server::start(&folder);
    let numbers: Vec<u32> = (0..400).collect();
    let event =
        |n: u32| server.accepted(&case("case.created", json!({"id": format!("C-{n}"), "extra": {"n": numbers}})));
    let verdicts: Vec<String> = (0..12).map(|n| verdict(&event(n), "slow").to_owned()).collect();
    assert_eq!(&verdicts[..10], ["failed"; 10]);
    assert_eq!(&verdicts[10..], ["disabled"; 2]);
    assert!(decision(&event(12), "slow")["reason"].as_str().unwrap().contains("suspended"));
    assert_eq!(server.items("/v1/runs?playbook=alarm").len(), 1);
    let shown = server.client().get("/v1/playbooks/slow").ok(200);
    assert_eq!(shown["enabled"], false);
    assert!(shown["suspended"]["reason"].as_str().unwrap().contains("budget"), "{shown}");
    assert!(server.log().text().contains("the playbook is suspended"));
    server.kill();
    let server = Server::start(&folder);
    let event = |n: u32| server.accepted(&case("case.created", json!({"id": format!("C-{n}"), "extra": {"n": [1]}})));
    assert_eq!(verdict(&event(20), "slow"), "disabled", "it holds over a restart");
    assert_eq!(server.client().get("/v1/status").ok(200)["suspended"][0]["playbook"], "slow");
    sortie(&folder, &["playbooks", "enable", "slow"]).expect(0);
    assert_eq!(verdict(&event(21), "slow"), "not_matched");
}

#[test]
fn a_pause_is_not_asked_for_without_a_reason() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook("tell", TELL);
    let server = Server::start(&folder);
    for body in
        [json!({"scope": "all"}), json!({"scope": "all", "reason": ""}), json!({"scope": "some", "reason": "x"})]
    {
        server.client().post("/v1/pause", &body).problem(400);
    }
    assert_eq!(server.client().get("/v1/status").ok(200)["pauses"], json!([]));
}
