//! What bounds the runs of a playbook, over kills and restarts: windows, rates, runs at once, fuses.

use serde_json::{Value, json};

use crate::support::sample::{case, decision, run_id, verdict};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

/// A playbook that asks the receiver about each change of a case, with these bounds.
fn asking(receiver: &Receiver, bounds: &str) -> Folder {
    let folder = Folder::new();
    let url = receiver.url("/ask");
    folder.playbook(
        "ask",
        &format!(
            "triggers: [case.created, case.updated]\n{bounds}\nsteps:\n  - id: ask\n    action: http.request\n    with: {{ url: \"{url}\" }}\n    timeout: 60s\n    retry: {{ max: 0 }}\n"
        ),
    );
    folder
}

fn update(server: &Server, id: &str, n: usize) -> Value {
    server.accepted(&case("case.updated", json!({ "id": id, "name": format!("update {n}") })))
}

fn status(server: &Server, run: &str) -> String {
    let run = server.client().get(&format!("/v1/runs/{run}")).ok(200);
    run["status"].as_str().unwrap().to_owned()
}

#[test]
fn runs_for_one_case_wait_for_each_other_also_over_a_kill() {
    let receiver = Receiver::scripted(&[Reply::Hang, Reply::Hang]);
    let folder = asking(&receiver, "concurrency: { key: case.id, max: 1 }");
    let server = Server::start(&folder);
    let answers: Vec<Value> = (0..3).map(|n| update(&server, "C-1", n)).collect();
    let verdicts: Vec<&str> = answers.iter().map(|answer| verdict(answer, "ask")).collect();
    assert_eq!(verdicts, ["matched", "queued", "queued"]);
    assert!(decision(&answers[1], "ask")["reason"].as_str().unwrap().contains("C-1"), "{}", answers[1]);
    let runs: Vec<String> = answers.iter().map(|answer| run_id(answer, "ask")).collect();
    receiver.next();
    let other = update(&server, "C-2", 0);
    assert_eq!(verdict(&other, "ask"), "matched", "another case waits for nobody");
    receiver.next();
    assert_eq!(status(&server, &runs[1]), "queued");

    server.kill();
    let server = Server::start(&folder);
    // The two that had begun ask again; those that wait go on waiting, and then go one after the other.
    for run in &runs {
        assert_eq!(server.ended_run(run)["status"], "succeeded");
    }
    let mut times: Vec<(String, String)> = Vec::new();
    for run in &runs {
        let run = server.ended_run(run);
        times.push((run["started_at"].to_string(), run["ended_at"].to_string()));
    }
    assert!(times[0].1 <= times[1].0 && times[1].1 <= times[2].0, "one after the other: {times:?}");
}

#[test]
fn a_run_that_is_cancelled_makes_room_for_the_next() {
    let receiver = Receiver::scripted(&[Reply::Hang]);
    let server = Server::start(&asking(&receiver, "concurrency: { max: 1, when_full: queue }"));
    let first = run_id(&update(&server, "C-1", 0), "ask");
    let second = update(&server, "C-2", 0);
    assert_eq!(verdict(&second, "ask"), "queued");
    receiver.next();
    server.client().post(&format!("/v1/runs/{first}/cancel"), &json!({})).ok(200);
    assert_eq!(server.ended_run(&run_id(&second, "ask"))["status"], "succeeded");
}

#[test]
fn the_newest_run_takes_the_place_of_the_oldest() {
    let receiver = Receiver::start();
    receiver.otherwise(Reply::Hang);
    let folder = asking(&receiver, "concurrency: { key: case.id, max: 1, when_full: cancel_oldest }");
    let server = Server::start(&folder);
    let first = run_id(&update(&server, "C-1", 0), "ask");
    receiver.next();
    let second = update(&server, "C-1", 1);
    assert_eq!(verdict(&second, "ask"), "matched");
    let gone = server.ended_run(&first);
    assert_eq!(gone["status"], "cancelled");
    assert!(gone["reason"].as_str().unwrap_or_default().contains("newer run"), "{gone:#}");
    receiver.next();
    receiver.otherwise(Reply::Status(200));
    let third = run_id(&update(&server, "C-1", 2), "ask");
    assert_eq!(server.ended_run(&run_id(&second, "ask"))["status"], "cancelled");
    assert_eq!(server.ended_run(&third)["status"], "succeeded");
}

#[test]
fn where_there_is_no_room_a_run_may_be_left_out() {
    let receiver = Receiver::scripted(&[Reply::Hang]);
    let server = Server::start(&asking(&receiver, "concurrency: { max: 1, when_full: skip }"));
    update(&server, "C-1", 0);
    receiver.next();
    let answer = update(&server, "C-2", 0);
    assert_eq!(verdict(&answer, "ask"), "skipped");
    assert!(decision(&answer, "ask")["at"]["line"].as_u64() == Some(3), "{answer}");
    receiver.release();
    let mut n = 0;
    eventually("there is room again", || {
        n += 1;
        (verdict(&update(&server, "C-2", n), "ask") == "matched").then_some(())
    });
}

#[test]
fn windows_and_rates_hold_over_a_kill() {
    let receiver = Receiver::start();
    let folder = asking(&receiver, "dedupe: { key: case.id, window: 6h }\nthrottle: { count: 2, per: 1h }");
    let server = Server::start(&folder);
    assert_eq!(verdict(&update(&server, "C-1", 0), "ask"), "matched");
    assert_eq!(verdict(&update(&server, "C-1", 1), "ask"), "deduplicated");
    assert_eq!(verdict(&update(&server, "C-2", 0), "ask"), "matched");
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(verdict(&update(&server, "C-1", 2), "ask"), "deduplicated");
    let answer = update(&server, "C-3", 0);
    assert_eq!(verdict(&answer, "ask"), "throttled");
    assert!(decision(&answer, "ask")["reason"].as_str().unwrap().contains("2 runs"), "{answer}");
}

#[test]
fn events_of_one_batch_see_each_other() {
    let receiver = Receiver::start();
    let server = Server::start(&asking(
        &receiver,
        "fuse: { runs: 3, per: 1h }\nconcurrency: { key: case.id, max: 1, when_full: skip }",
    ));
    let many: Vec<Value> = (0..8)
        .map(|n| case("case.updated", json!({ "id": format!("C-{}", n / 2), "name": format!("update {n}") })))
        .collect();
    let answer = server.client().anonymous().post("/v1/in/generic", &json!(many)).ok(202);
    let verdicts: Vec<&str> = answer.as_array().unwrap().iter().map(|one| verdict(one, "ask")).collect();
    assert_eq!(
        verdicts,
        ["matched", "skipped", "matched", "skipped", "matched", "throttled", "throttled", "throttled"]
    );
}

#[test]
fn a_fuse_that_blows_raises_one_alarm_that_playbooks_hear() {
    let receiver = Receiver::start();
    let folder = asking(&receiver, "fuse: { runs: 2, per: 1h }");
    folder.playbook("alarm", "triggers:\n  - event: { type: playbook.fuse_blown }\nsteps:\n  - id: note\n    action: log\n    with: { message: \"${{ event.data.playbook }}\" }\n");
    let server = Server::start(&folder);
    let verdicts: Vec<String> =
        (0..6).map(|n| verdict(&update(&server, &format!("C-{n}"), n), "ask").to_owned()).collect();
    assert_eq!(verdicts, ["matched", "matched", "throttled", "throttled", "throttled", "throttled"]);
    let alarms = server.items("/v1/runs?playbook=alarm");
    assert_eq!(alarms.len(), 1);
    let run = server.ended_run(alarms[0]["run_id"].as_str().unwrap());
    assert_eq!(run["steps"][0]["input"]["message"], "ask", "{run:#}");
    assert_eq!(server.items("/v1/events?type=playbook.fuse_blown").len(), 1);
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(verdict(&update(&server, "C-9", 0), "ask"), "throttled");
    assert_eq!(server.items("/v1/runs?playbook=alarm").len(), 1);
}

#[test]
fn a_bound_that_makes_no_sense_is_refused_before_anything_runs() {
    let folder = Folder::new();
    folder.playbook("p", "triggers: [case.created]\nconcurrency: { key: alert.id, max: 0, when_ful: skip }\nsteps:\n  - action: log\n    with: { message: x }\n");
    let found = crate::support::command::sortie(&folder, &["check", "playbooks", "--json"]).expect(3).json();
    let codes: Vec<&str> = found.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["PB304", "PB104", "PB101"], "{found:#}");
}
