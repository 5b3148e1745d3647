//! Triggers that watch: counts of events, cases that stay in a stage, silence, runs and deliveries that fail. All of it holds
//! over a kill.

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sample::{case, run_id, verdict};
use crate::support::{Folder, Receiver, Reply, Server, eventually, within};

/// A playbook that notes something.
fn noting(folder: &Folder, id: &str, trigger: &str, message: &str) {
    folder.playbook(
        id,
        &format!(
            "triggers:\n  - {trigger}\nsteps:\n  - id: note\n    action: log\n    with: {{ message: \"{message}\" }}\n"
        ),
    );
}

/// Waits for the first run of a playbook, and answers what it noted.
fn noted(server: &Server, id: &str) -> String {
    let run = eventually(&format!("a run of {id}"), || server.items(&format!("/v1/runs?playbook={id}")).pop());
    let run = server.ended_run(run["run_id"].as_str().unwrap());
    run["steps"][0]["input"]["message"].as_str().unwrap_or_else(|| panic!("{run:#}")).to_owned()
}

fn runs(server: &Server, id: &str) -> usize {
    server.items(&format!("/v1/runs?playbook={id}")).len()
}

#[test]
fn five_failures_of_one_user_within_ten_minutes_fire_once_also_over_a_kill() {
    let folder = Folder::new();
    noting(
        &folder,
        "burst",
        "event.count: { type: login.failed, by: event.data.user, at_least: 5, within: 10m }",
        "${{ trigger.key }} ${{ trigger.count }}",
    );
    let server = Server::start(&folder);
    let failure = |minute: u32, user: &str| json!({"type": "login.failed", "time": format!("2026-11-22T08:{minute:02}:00Z"), "data": {"user": user}});
    // Out of order, with another user in between.
    for minute in [8, 0, 4] {
        assert_eq!(verdict(&server.accepted(&failure(minute, "alice")), "burst"), "not_matched");
        assert_eq!(verdict(&server.accepted(&failure(minute + 20, "bob")), "burst"), "not_matched");
    }
    server.kill();
    let server = Server::start(&folder);
    let many = [failure(6, "alice"), failure(2, "alice"), failure(3, "alice"), failure(5, "alice")];
    let answer = server.client().anonymous().post("/v1/in/generic", &json!(many)).ok(202);
    let verdicts: Vec<&str> = answer.as_array().unwrap().iter().map(|one| verdict(one, "burst")).collect();
    assert_eq!(verdicts, ["not_matched", "matched", "not_matched", "not_matched"]);
    assert_eq!(noted(&server, "burst"), "alice 5");
    for minute in [1, 7, 9] {
        assert_ne!(verdict(&server.accepted(&failure(minute, "alice")), "burst"), "matched", "once");
    }
    assert_eq!(runs(&server, "burst"), 1);
}

#[test]
fn a_case_that_stays_in_its_stage_fires_once_and_one_that_leaves_does_not() {
    let folder = Folder::new();
    noting(&folder, "stuck", "case.in_stage: { stage: New, for: 2s }", "${{ case.id }} ${{ trigger.to }}");
    let server = Server::start(&folder);
    let stage = |server: &Server, kind: &str, id: &str, stage: &str| {
        server.accepted(&case(kind, json!({"id": id, "stage": stage, "name": stage})));
    };
    stage(&server, "case.created", "C-1", "New");
    stage(&server, "case.created", "C-2", "New");
    stage(&server, "case.created", "C-3", "Investigation");
    stage(&server, "case.updated", "C-2", "Investigation");
    // The timers are part of what is durable.
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(noted(&server, "stuck"), "C-1 New");
    // C-2 comes back: its time begins anew, and it is the only one left to wait for.
    stage(&server, "case.updated", "C-2", "New");
    eventually("the second", || (runs(&server, "stuck") == 2).then_some(()));
    let all = server.items("/v1/runs?playbook=stuck");
    let cases: Vec<&str> = all.iter().map(|run| run["case_id"].as_str().unwrap()).collect();
    assert_eq!(cases, ["C-2", "C-1"]);
    assert_eq!(all[0]["trigger"], "case.in_stage");
    let history = server.items("/v1/cases/C-1/history");
    assert!(history.iter().any(|moment| moment.to_string().contains("case.in_stage")), "{history:#?}");
    assert!(within(std::time::Duration::from_millis(2500), || (runs(&server, "stuck") > 2).then_some(())).is_none());
}

#[test]
fn a_source_that_falls_silent_is_told_once_until_it_has_spoken_again() {
    let folder = Folder::new();
    noting(&folder, "silent", "source.silent: { source: generic, for: 1s }", "${{ event.data.source }}");
    let server = Server::start(&folder);
    assert_eq!(noted(&server, "silent"), "generic", "never heard of since the playbook was loaded");
    server.kill();
    let server = Server::start(&folder);
    assert!(within(std::time::Duration::from_millis(1500), || (runs(&server, "silent") > 1).then_some(())).is_none());
    server.accepted(&json!({"type": "ping"}));
    eventually("it is silent again", || (runs(&server, "silent") == 2).then_some(()));
}

#[test]
fn runs_and_deliveries_that_fail_are_heard_by_those_that_listen_and_nobody_hears_himself() {
    let receiver = Receiver::start();
    receiver.otherwise(Reply::Status(400));
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk", "siem"], "timeout: 5s, retry: { max: 0 }");
    folder.playbook("tell", "triggers: [case.created]\nsteps:\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [desk] }\n");
    noting(
        &folder,
        "failed",
        "run.failed: { playbook: tell }",
        "${{ event.data.playbook }} ${{ event.data.status }} ${{ event.data.case_id }}",
    );
    noting(&folder, "other", "run.failed: { playbook: [alarm] }", "x");
    noting(
        &folder,
        "lost",
        "delivery.failed: { destination: desk }",
        "${{ event.data.destination }} ${{ event.data.http_status }}",
    );
    noting(&folder, "elsewhere", "delivery.failed: { destination: siem }", "x");
    // It fails as well: it hears of itself, and the chain of runs stops it.
    folder.playbook("alarm", "triggers: [run.failed]\nsteps:\n  - id: send\n    action: webhook.send\n    with: { to: [siem], body: { text: x } }\n    on_error: fail\n");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1"})));
    assert_eq!(noted(&server, "failed"), "tell failed C-1");
    assert_eq!(noted(&server, "lost"), "desk 400");
    assert_eq!(noted(&server, "elsewhere"), "x", "the alarm's own delivery failed");
    assert_eq!(noted(&server, "other"), "x", "the alarm failed");
    let events = eventually("the alarm's failure", || {
        let events = server.items("/v1/events?type=run.failed");
        (events.len() == 2).then_some(events)
    });
    let shown = server.client().get(&format!("/v1/events/{}", events[0]["event_id"].as_str().unwrap())).ok(200);
    assert_eq!(verdict(&shown, "alarm"), "loop_guarded", "{shown:#}");
    assert_eq!(runs(&server, "alarm"), 1);
    // What others post is not taken for it.
    server.accepted(&json!({"type": "run.failed", "data": {"playbook": "tell"}}));
    assert_eq!(runs(&server, "failed"), 1);
}

#[test]
fn a_run_that_needs_a_person_is_heard() {
    let receiver = Receiver::scripted(&[Reply::Hang]);
    let folder = Folder::new();
    let url = receiver.url("/isolate");
    folder.playbook("isolate", &format!("triggers: [alert.created]\nfuse: {{ runs: 10, per: 1h }}\nsteps:\n  - id: isolate\n    action: http.request\n    with: {{ method: POST, url: \"{url}\" }}\n    timeout: 50s\n"));
    noting(&folder, "look", "run.needs_attention", "${{ event.data.playbook }}");
    let server = Server::start(&folder);
    let run = run_id(&server.accepted(&json!({"type": "alert.created", "alert": {"id": "A-1"}})), "isolate");
    receiver.next();
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(server.ended_run(&run)["status"], "needs_attention");
    assert_eq!(noted(&server, "look"), "isolate");
}

#[test]
fn a_playbook_that_runs_too_rarely_is_told_after_each_period() {
    let folder = Folder::new();
    noting(&folder, "report", "event: { type: tick }\nexpect: { runs: 2, per: 2s }", "x");
    folder.playbook("report", "triggers:\n  - event: { type: tick }\nexpect: { runs: 2, per: 2s }\nsteps:\n  - action: log\n    with: { message: x }\n");
    noting(
        &folder,
        "quiet",
        "playbook.silent: { playbook: report }",
        "${{ event.data.runs }} of ${{ event.data.expected }}",
    );
    let server = Server::start(&folder);
    server.accepted(&json!({"type": "tick"}));
    assert_eq!(noted(&server, "quiet"), "1 of 2");
    server.kill();
    let server = Server::start(&folder);
    eventually("the next period is silent as well", || (runs(&server, "quiet") >= 2).then_some(()));
    // While there are enough of them nothing is said.
    let before = eventually("a period with enough runs", || {
        let before = runs(&server, "quiet");
        let quiet = within(std::time::Duration::from_millis(2600), || {
            server.accepted(&json!({"type": "tick"}));
            (runs(&server, "quiet") > before).then_some(())
        });
        quiet.is_none().then_some(before)
    });
    assert!(before >= 2);
}

#[test]
fn a_schedule_of_several_tenants_fires_for_each_of_them() {
    let folder = Folder::and("tenants: [acme, other, third]\n");
    folder.playbook("tick", "tenants: [acme, other]\ntriggers:\n  - schedule: { cron: \"* * * * * *\" }\nsteps:\n  - action: log\n    with: { message: x }\n");
    folder.playbook(
        "all",
        "triggers:\n  - schedule: { cron: \"* * * * * *\" }\nsteps:\n  - action: log\n    with: { message: x }\n",
    );
    let server = Server::start(&folder);
    for (playbook, expected) in [("tick", &["acme", "other"][..]), ("all", &["acme", "other", "third"])] {
        let runs = eventually("one instant", || {
            let runs = server.items(&format!("/v1/runs?playbook={playbook}&limit=1000"));
            (runs.len() >= expected.len()).then_some(runs)
        });
        let mut tenants: Vec<&str> =
            runs.iter().rev().take(expected.len()).map(|run| run["tenant"].as_str().unwrap()).collect();
        tenants.sort_unstable();
        assert_eq!(tenants, expected, "{playbook}");
    }
}

#[test]
fn what_cannot_be_watched_is_refused_with_its_place() {
    let folder = Folder::new();
    noting(&folder, "p", "event.count: { type: a.b, at_least: 3 }", "x");
    noting(&folder, "q", "case.in_stage: { stage: Nwe, for: 1h }", "x");
    noting(&folder, "r", "run.failed: { playbok: p }", "x");
    let found: Value = sortie(&folder, &["check", "playbooks", "--json"]).expect(3).json();
    let codes: Vec<(&str, u64)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["code"].as_str().unwrap(), one["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(codes, [("PB102", 3), ("PB206", 3), ("PB101", 3)], "{found:#}");
}
