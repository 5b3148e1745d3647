//! Runs: steps in their order, what follows a failure, cancelling, retrying, running by hand.

use serde_json::json;

use crate::support::sample::{TELL, alert, case, desk, run_id, step};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

/// A folder with `first` and `second` at two receivers, and a playbook that sends to both, in two steps.
fn two_steps(first: &Receiver, second: &Receiver, rest: &str) -> Folder {
    let folder = Folder::new();
    let a = crate::support::folder::destination("first", &first.url("/first"), "");
    let b = crate::support::folder::destination("second", &second.url("/second"), "");
    folder.write("destinations.yaml", &format!("destinations:\n{a}{b}"));
    folder.playbook(
        "both",
        &format!(
            "triggers:\n  - alert.created\nsteps:\n\
             \x20 - id: one\n    action: webhook.send\n    with: {{ to: [first], body: {{ n: 1, alert: \"${{{{ alert.id }}}}\" }} }}\n    retry: {{ max: 0 }}\n\
             \x20 - id: two\n    action: webhook.send\n    with: {{ to: [second], body: {{ n: 2 }} }}\n    retry: {{ max: 0 }}\n{rest}"
        ),
    );
    folder
}

#[test]
fn a_failed_step_ends_the_run_and_on_failure_hears_why() {
    let (first, second) = (Receiver::scripted(&[Reply::Status(400)]), Receiver::start());
    let rest = "on_failure:\n  - id: say\n    action: alert.comment\n    with: { text: \"it failed: ${{ failure.message }}\" }\n";
    let server = Server::start(&two_steps(&first, &second, rest));
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "both"));
    assert_eq!(run["status"], "failed");
    assert_eq!(step(&run, "one")["status"], "failed");
    assert_eq!(step(&run, "one")["attempts"].as_array().unwrap().len(), 1, "a 400 is not tried again");
    assert_eq!(second.connections(), 0);
    let history = server.client().get("/v1/alerts/A-1/history").ok(200);
    assert!(history.to_string().contains("it failed: "), "{history}");
}

#[test]
fn a_failure_that_is_continued_over_leaves_a_warning() {
    let (first, second) = (Receiver::scripted(&[Reply::Status(400)]), Receiver::start());
    let folder = two_steps(&first, &second, "");
    let text = folder.read("playbooks/both.yaml").replacen(
        "    retry: { max: 0 }\n",
        "    retry: { max: 0 }\n    on_error: continue\n",
        1,
    );
    folder.write("playbooks/both.yaml", &text);
    let server = Server::start(&folder);
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "both"));
    assert_eq!(run["status"], "succeeded_with_warnings");
    assert_eq!(second.next().json(), json!({"n": 2}));
}

#[test]
fn a_retry_from_the_failed_step_is_a_new_run_and_repeats_nothing_that_succeeded() {
    let (first, second) = (Receiver::start(), Receiver::scripted(&[Reply::Status(400)]));
    let server = Server::start(&two_steps(&first, &second, ""));
    let old = run_id(&server.accepted(&alert("A-1", 92)), "both");
    assert_eq!(server.ended_run(&old)["status"], "failed");
    let asked = json!({"from": "failed", "version": "same"});
    let answer = server.client().post(&format!("/v1/runs/{old}/retry"), &asked).ok(202);
    let new = answer["run_id"].as_str().unwrap();
    assert_ne!(new, old);
    let run = server.ended_run(new);
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["retry_of"], old);
    assert_eq!((first.waiting().len(), second.waiting().len()), (1, 2));
}

#[test]
fn a_retry_from_the_start_sends_everything_again_with_the_text_that_was_asked_for() {
    let (first, second) = (Receiver::start(), Receiver::scripted(&[Reply::Status(400)]));
    let folder = two_steps(&first, &second, "");
    let server = Server::start(&folder);
    let old = run_id(&server.accepted(&alert("A-1", 92)), "both");
    let digest = server.ended_run(&old)["playbook_digest"].clone();
    let text = folder.read("playbooks/both.yaml").replace("n: 1", "n: 100");
    folder.write("playbooks/both.yaml", &text);
    eventually("the new text is loaded", || {
        (server.client().get("/v1/playbooks/both").ok(200)["digest"] != digest).then_some(())
    });
    let retry = |version: &str| {
        let asked = json!({"from": "start", "version": version});
        let answer = server.client().post(&format!("/v1/runs/{old}/retry"), &asked).ok(202);
        server.ended_run(answer["run_id"].as_str().unwrap())
    };
    first.waiting();
    assert_eq!(retry("same")["playbook_digest"], digest);
    assert_eq!(first.next().json()["n"], 1);
    assert_ne!(retry("current")["playbook_digest"], digest);
    assert_eq!(first.next().json()["n"], 100);
}

#[test]
fn a_run_that_has_succeeded_or_does_not_exist_cannot_be_retried_from_a_failed_step() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    server.ended_run(&id);
    let asked = json!({"from": "failed"});
    let answer = server.client().post(&format!("/v1/runs/{id}/retry"), &asked);
    assert!([400, 409].contains(&answer.status), "{}", answer.text());
    server.client().post("/v1/runs/run-0-0/retry", &asked).problem(404);
    server.client().post(&format!("/v1/runs/{id}/retry"), &json!({"from": "middle"})).problem(400);
}

#[test]
fn a_cancelled_run_ends_before_its_next_step() {
    let (first, second) = (Receiver::scripted(&[Reply::Hang]), Receiver::start());
    let server = Server::start(&two_steps(&first, &second, ""));
    let id = run_id(&server.accepted(&alert("A-1", 92)), "both");
    first.next();
    server.client().post(&format!("/v1/runs/{id}/cancel"), &json!({})).ok(200);
    first.release();
    let run = server.ended_run(&id);
    assert_eq!(run["status"], "cancelled");
    assert_eq!(second.connections(), 0);
    server.client().post(&format!("/v1/runs/{id}/cancel"), &json!({})).problem(409);
}

#[test]
fn a_run_by_hand_needs_something_to_be_about_and_takes_inputs() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook("by-hand", &TELL.replace("alert.created: { when: alert.risk_score >= 90 }", "manual"));
    let server = Server::start(&folder);
    server.accepted(&alert("A-1", 10));
    let run = |body: serde_json::Value| server.client().post("/v1/playbooks/by-hand/run", &body);
    let started = run(json!({"alert": "A-1"}));
    assert!([200, 201, 202].contains(&started.status), "{}", started.text());
    let ended = server.ended_run(started.json()["run_id"].as_str().unwrap());
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(receiver.next().json()["alert_id"], "A-1");
    run(json!({"alert": "A-404"})).problem(404);
    run(json!({"alert": "A-1", "unknown": 1})).problem(400);
    server.client().post("/v1/playbooks/nobody/run", &json!({})).problem(404);
}

#[test]
fn an_action_about_a_case_fails_with_a_code_where_there_is_none() {
    let folder = Folder::new();
    folder.playbook(
        "tag-case",
        "triggers:\n  - alert.created\nsteps:\n  - id: tag\n    action: case.add_tags\n    with: { tags: [x] }\n",
    );
    let server = Server::start(&folder);
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tag-case"));
    assert_eq!(run["status"], "failed");
    assert_eq!(step(&run, "tag")["error"]["code"], "no_case");
}

#[test]
fn a_case_is_made_from_an_alert_once_however_often_it_is_asked_for() {
    let folder = Folder::new();
    folder.playbook(
        "open",
        "triggers:\n  - alert.created\n  - alert.updated\nsteps:\n  - id: open\n    action: case.create_from_alert\n    with: { priority: high, stage: New }\n  \
         - id: tag\n    action: case.add_tags\n    with: { tags: [\"from-${{ alert.id }}\"] }\n",
    );
    let server = Server::start(&folder);
    let first = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "open"));
    assert_eq!(first["status"], "succeeded", "{first:#}");
    let case_id = step(&first, "open")["output"]["case_id"].as_str().expect("a case").to_owned();
    let second = server.ended_run(&run_id(&server.accepted(&alert("A-1", 95)), "open"));
    assert_eq!(step(&second, "open")["output"]["case_id"], case_id.as_str());
    assert_eq!(server.items("/v1/cases").len(), 1);
    let made = server.client().get(&format!("/v1/cases/{case_id}")).ok(200);
    assert_eq!(
        (&made["priority"], &made["stage"], &made["tags"]),
        (&json!("high"), &json!("New"), &json!(["vip", "from-A-1"]))
    );
}

#[test]
fn the_actions_on_a_case_change_it_and_each_change_stands_in_its_history() {
    let folder = Folder::and("queues: { Tier 1 Analyst: { members: [alice] } }\n");
    let actions = [
        "case.set_stage\n    with: { stage: Investigation }",
        "case.set_priority\n    with: { priority: low }",
        "case.set_queue\n    with: { queue: Tier 1 Analyst }",
        "case.assign\n    with: { assignee: alice }",
        "case.add_tags\n    with: { tags: [a, b] }",
        "case.remove_tags\n    with: { tags: [a] }",
        "case.add_use_cases\n    with: { use_cases: [Malware] }",
        "case.comment\n    with: { text: looked at }",
        "case.close\n    with: { reason: \"False Positive or Duplicate\", supporting_reason: known }",
    ];
    let steps: String =
        actions.iter().enumerate().map(|(n, action)| format!("  - id: s{n}\n    action: {action}\n")).collect();
    folder.playbook("work", &format!("triggers:\n  - case.created\nsteps:\n{steps}"));
    let server = Server::start(&folder);
    let event = case("case.created", json!({"id": "C-1", "stage": "New", "priority": "high"}));
    let run = server.ended_run(&run_id(&server.accepted(&event), "work"));
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let kept = server.client().get("/v1/cases/C-1").ok(200);
    assert_eq!(kept["stage"], "Closed");
    assert_eq!(kept["priority"], "low");
    assert_eq!((&kept["queue"], &kept["assignee"]), (&json!("Tier 1 Analyst"), &json!("alice")));
    assert_eq!((&kept["tags"], &kept["use_cases"]), (&json!(["b"]), &json!(["Malware"])));
    assert_eq!(kept["closed_reason"], "False Positive or Duplicate");
    assert!(kept["closed_time"].is_string(), "{kept}");
    let history = server.client().get("/v1/cases/C-1/history?limit=100").ok(200);
    let changes = history["items"].as_array().unwrap().iter().filter(|item| item["type"] != "read");
    assert_eq!(changes.count(), 1 + actions.len(), "{history:#}");
    assert!(history.to_string().contains("automation:work"), "{history:#}");
}
