//! `sortie backtest`: past events, their own times as the clock, and nothing that leaves.

use serde_json::{Value, json};

use crate::support::command::{command, run, sortie};
use crate::support::sample::{alert, desk, run_id};
use crate::support::{Folder, Receiver, Server, eventually};

const URGENT: &str = "\
triggers:
  - score.threshold: { of: host, score: urgency, above: 80, dedupe: 6h }
steps:
  - id: warn
    action: webhook.send
    with: { to: [desk, siem], body: { at: \"${{ now }}\" } }
  - id: never
    if: entity.id == \"other\"
    action: webhook.send
    with: { to: [siem], body: x }
";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.playbook("urgent", URGENT);
    folder.playbook(
        "critical",
        "triggers: [case.created]\nwhen: case.priority == \"critical\"\nsteps:\n  - if: case.id == \"C-1\"\n    action: webhook.send_threat_details\n    with: { to: [desk] }\n",
    );
    folder.write(
        "destinations.yaml",
        "destinations:\n  desk: { kind: webhook, url: \"https://desk.example.com/\", dedupe: 1d }\n  siem: { kind: webhook, url: \"https://siem.example.com/\", enabled: false }\n",
    );
    let score = |time: &str, value: u64| json!({"type": "entity.score", "time": time, "entity": {"kind": "host", "id": "ws-17", "scores": {"urgency": value}}});
    let case = |time: &str, id: &str, priority: &str| json!({"type": "case.created", "id": format!("evt-{id}"), "time": time, "case": {"id": id, "priority": priority}});
    let events = [
        score("2026-03-01T08:00:00Z", 83),
        score("2026-03-01T09:00:00Z", 10),
        score("2026-03-01T10:00:00Z", 90),
        score("2026-03-01T11:00:00Z", 10),
        score("2026-03-01T14:00:00Z", 90),
        case("2026-03-02T08:00:00Z", "C-1", "critical"),
        case("2026-03-02T07:00:00Z", "C-2", "low"),
        json!({"type": "case.created", "case": {"id": "C-3", "priority": "urgent"}, "time": "2026-03-02T09:00:00Z"}),
    ];
    folder.write("events.jsonl", &events.map(|event| event.to_string()).join("\n"));
    folder
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verdicts(line: &Value) -> Vec<&str> {
    line["decisions"].as_array().unwrap().iter().map(|one| one["verdict"].as_str().unwrap()).collect()
}

#[test]
fn the_times_of_the_events_are_the_clock_and_windows_hold_back_what_they_should() {
    let folder = folder();
    let arguments = ["backtest", "--playbooks", "playbooks", "--events", "events.jsonl", "--json"];
    let first = sortie(&folder, &arguments).expect(0).stdout;
    let all = lines(&first);
    assert_eq!(all.len(), 9, "{first}");
    let told: Vec<Vec<&str>> = all[..7].iter().map(verdicts).collect();
    let wanted =
        [["matched"], ["not_matched"], ["deduplicated"], ["not_matched"], ["matched"], ["matched"], ["not_matched"]];
    assert_eq!(told, wanted);
    assert_eq!((&all[0]["event_id"], &all[5]["event_id"]), (&json!("line-1"), &json!("evt-C-1")));
    assert_eq!(all[6]["time"], "2026-03-02T08:00:00.000Z", "the clock does not go back");
    let sends = |line: &Value| -> Vec<(String, Value)> {
        let all = line["would_send"].as_array().unwrap().iter();
        all.map(|one| (one["destination"].as_str().unwrap().to_owned(), one["dedupe"].clone())).collect()
    };
    let (desk, siem) = ("desk".to_owned(), "siem".to_owned());
    assert_eq!(sends(&all[0]), [(desk.clone(), Value::Null), (siem.clone(), Value::Null)]);
    assert_eq!(sends(&all[4]), [(desk, json!("held_back")), (siem, Value::Null)], "the desk's own window is a day");
    assert_eq!(all[4]["would_send"][1]["suppressed"], "disabled");
    assert_eq!(all[7]["line"], 8, "{}", all[7]);
    let summary = &all[8]["summary"];
    assert_eq!((&summary["events"], &summary["refused"]), (&json!(7), &json!(1)));
    assert_eq!(summary["by_playbook"]["urgent"], json!({"matched": 2, "not_matched": 2, "deduplicated": 1}));
    assert_eq!(summary["runs_by_day"], json!({"2026-03-01": {"urgent": 2}, "2026-03-02": {"critical": 1}}));
    assert_eq!(summary["would_send"]["desk"], json!({"sent": 2, "held_back": 1}));
    assert_eq!(sortie(&folder, &arguments).expect(0).stdout, first, "the same to the byte");
    assert!(!folder.data().exists(), "nothing is stored");
}

#[test]
fn against_another_version_only_what_is_otherwise_is_shown() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("old")).unwrap();
    folder.write("old/urgent.yaml", &folder.read("playbooks/urgent.yaml").replace("dedupe: 6h", "dedupe: 1h"));
    folder.write("old/critical.yaml", &folder.read("playbooks/critical.yaml"));
    let told =
        sortie(&folder, &["backtest", "--playbooks", "playbooks", "--events", "events.jsonl", "--against", "old"]);
    let told = told.expect(0).stdout;
    let all: Vec<Value> = lines(&told).into_iter().filter(|line| line["error"].is_null()).collect();
    assert_eq!(all.len(), 2, "{told}");
    assert_eq!(all[0]["changed"], json!([{"playbook": "urgent", "before": "matched", "after": "deduplicated"}]));
    let summary = &all[1]["summary"];
    assert_eq!(summary["changed"], 1);
    assert_eq!(summary["before"]["by_playbook"]["urgent"]["matched"], 3);
    assert_eq!(summary["after"]["by_playbook"]["urgent"]["matched"], 2);
}

#[test]
fn the_events_of_a_store_are_replayed_as_they_were_recorded() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let accepted = server.accepted(&alert("A-1", 92));
    server.accepted(&alert("A-2", 10));
    server.ended_run(&run_id(&accepted, "tell"));
    server.kill();
    let connections = receiver.connections();
    let told = sortie(&folder, &["backtest", "--playbooks", "playbooks", "--since", "1d"]).expect(0).stdout;
    let all = lines(&told);
    assert_eq!(all[0]["event_id"], accepted["event_id"]);
    assert_eq!((verdicts(&all[0]), verdicts(&all[1])), (vec!["matched"], vec!["not_matched"]), "{told}");
    assert_eq!(all[0]["would_send"][0]["destination"], "desk");
    assert_eq!(receiver.connections(), connections, "something was sent");
    sortie(&folder, &["backtest", "--since", "soon"]).expect(2);
    sortie(&folder, &["backtest"]).expect(2);
}

/// In a namespace of its own with no network at all; on machines that allow such a thing.
#[test]
fn back_tests_tests_and_dry_runs_need_no_network() {
    if !std::process::Command::new("unshare").args(["-r", "-n", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this machine allows no network namespaces of one's own");
        return;
    }
    let folder = folder();
    let event =
        json!({"type": "case.created", "time": "2026-03-02T08:00:00Z", "case": {"id": "C-1", "priority": "critical"}});
    folder.write("event.json", &event.to_string());
    let critical = folder.read("playbooks/critical.yaml");
    let test = "tests:\n  - name: it is told\n    event: { type: case.created, case: { id: C-1, priority: critical } }\n    expect: { runs: 1, status: succeeded }\n";
    folder.write("playbooks/critical.yaml", &format!("{critical}{test}"));
    let plain = command(&folder);
    let alone = |arguments: &[&str]| {
        let mut alone = std::process::Command::new("unshare");
        alone.args(["-r", "-n"]).arg(plain.get_program()).args(arguments);
        run(alone.current_dir(folder.path()), b"").expect(0).stdout
    };
    // The namespace has no way out, not even to itself.
    let mut route = std::process::Command::new("unshare");
    let devices = run(route.args(["-r", "-n", "cat", "/proc/net/route"]), b"").expect(0).stdout;
    assert_eq!(devices.lines().skip(1).count(), 0, "{devices}");
    assert_eq!(lines(&alone(&["backtest", "--events", "events.jsonl"])).len(), 9);
    assert!(alone(&["test", "playbooks"]).contains("1 passed, 0 failed"));
    let told = alone(&["dry-run", "playbooks/critical.yaml", "--event", "event.json", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["would_send"][0]["destination"], "desk", "{told:#}");
}

/// What a folder of playbooks does while time passes: an instant of a schedule, a case that stays, a source that falls
/// silent, a wait, a call, so many events within a time.
fn clockwork() -> Folder {
    let folder = Folder::new();
    let say = |to: &str| {
        format!("steps: [{{ id: say, action: webhook.send, with: {{ to: [{to}], body: \"${{{{ now }}}}\" }} }}]\n")
    };
    folder.playbook("daily", &format!("triggers: [{{ schedule: {{ cron: \"0 8 * * *\" }} }}]\n{}", say("morning")));
    folder.playbook("stays", &format!("triggers: [{{ case.in_stage: {{ stage: New, for: 4h }} }}]\n{}", say("stays")));
    folder.playbook(
        "silent",
        &format!("triggers: [{{ source.silent: {{ source: generic, for: 1d }} }}]\n{}", say("silent")),
    );
    folder.playbook("burst", &format!("triggers: [{{ event.count: {{ type: login.failed, by: event.data.user, at_least: 3, within: 10m }} }}]\n{}", say("burst")));
    folder.playbook(
        "waits",
        "triggers: [case.created]\nsteps:\n  - { id: first, action: webhook.send, with: { to: [first], body: x } }\n  - { id: pause, wait: { for: 90m } }\n  - { id: sub, call: { playbook: callee, inputs: { who: \"${{ case.id }}\" } } }\n",
    );
    folder.playbook(
        "callee",
        "triggers: [manual]\ninputs: { who: { type: string, required: true } }\nsteps: [{ id: tell, action: webhook.send, with: { to: [called], body: \"${{ inputs.who }}\" } }]\n",
    );
    folder
}

#[test]
fn what_comes_due_between_events_is_done_at_its_time() {
    let folder = clockwork();
    let failed = |at: &str| json!({"type": "login.failed", "time": at, "data": {"user": "eve"}});
    let events = [
        json!({"type": "case.created", "id": "one", "time": "2026-03-01T06:00:00Z", "case": {"id": "C-1", "stage": "New"}}),
        failed("2026-03-01T07:00:00Z"),
        failed("2026-03-01T07:01:00Z"),
        failed("2026-03-01T07:02:00Z"),
        json!({"type": "case.updated", "time": "2026-03-01T12:00:00Z", "case": {"id": "C-1", "stage": "Closed"}}),
        json!({"type": "other.thing", "time": "2026-03-03T09:00:00Z", "data": {}}),
    ];
    folder.write("events.jsonl", &events.map(|event| event.to_string()).join("\n"));
    let arguments = ["backtest", "--playbooks", "playbooks", "--events", "events.jsonl"];
    let first = sortie(&folder, &arguments).expect(0).stdout;
    let all = lines(&first);
    let sent: Vec<(String, String, bool)> = all
        .iter()
        .flat_map(|line| {
            let sends = line["would_send"].as_array().cloned().unwrap_or_default();
            sends.into_iter().map(move |one| {
                let at = line["time"].as_str().unwrap().to_owned();
                (at, one["destination"].as_str().unwrap().to_owned(), line["later"] == true)
            })
        })
        .collect();
    let wanted = [
        ("2026-03-01T06:00:00.000Z", "first", false),
        ("2026-03-01T07:02:00.000Z", "burst", false),
        ("2026-03-01T07:30:00.000Z", "called", true),
        ("2026-03-01T08:00:00.000Z", "morning", false),
        ("2026-03-01T10:00:00.000Z", "stays", false),
        ("2026-03-02T08:00:00.000Z", "morning", false),
        ("2026-03-02T12:00:00.000Z", "silent", false),
        ("2026-03-03T08:00:00.000Z", "morning", false),
    ];
    assert_eq!(sent, wanted.map(|(at, to, later)| (at.to_owned(), to.to_owned(), later)), "{first}");
    let called = all.iter().find(|line| line["later"] == true).unwrap();
    assert_eq!(called["event_id"], "one", "what a run does later is told with the event that started it");
    let summary = &all.last().unwrap()["summary"];
    assert_eq!((&summary["events"], &summary["runs"]["waits"]["succeeded"]), (&json!(6), &json!(1)), "{summary:#}");
    assert_eq!(sortie(&folder, &arguments).expect(0).stdout, first, "the same to the byte");
    let cut = sortie(&folder, &[&arguments[..], &["--until", "2026-03-01T09:00:00Z"]].concat()).expect(0).stdout;
    assert_eq!(lines(&cut).last().unwrap()["summary"]["events"], 4);
    assert!(cut.contains("morning") && !cut.contains("stays\""), "{cut}");
}

#[test]
fn what_a_run_changes_is_seen_by_what_follows() {
    let folder = Folder::new();
    folder.playbook("raise", "triggers: [alert.created]\nwhen: alert.risk_score > 90\nsteps:\n  - { id: make, action: case.create_from_alert, with: { priority: critical } }\n");
    folder.playbook("tell", "triggers: [case.created]\nwhen: 'case.priority == \"critical\"'\nsteps:\n  - { id: say, action: webhook.send_threat_details, with: { to: [desk] } }\n");
    let event = json!({"type": "alert.created", "id": "A", "time": "2026-03-01T06:00:00Z", "alert": {"id": "A-1", "risk_score": 95}});
    folder.write("events.jsonl", &event.to_string());
    let all = lines(&sortie(&folder, &["backtest", "--events", "events.jsonl"]).expect(0).stdout);
    assert_eq!((all[0]["event_id"].as_str(), verdicts(&all[0])), (Some("A"), vec!["matched"]));
    assert_eq!((all[1]["type"].as_str(), &all[1]["caused_by"]), (Some("case.created"), &json!("A")), "{all:#?}");
    assert_eq!(all[1]["would_send"][0]["destination"], "desk");
}

#[test]
fn the_events_of_a_running_server_are_replayed_and_its_runs_change_nothing() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook(
        "mark",
        "triggers: [alert.created]\nsteps:\n  - { id: tag, action: alert.add_tags, with: { tags: [seen] } }\n",
    );
    folder.playbook("marked", "triggers: [{ alert.updated: { changed: [tags] } }]\nsteps:\n  - { id: say, action: webhook.send, with: { to: [desk], body: marked } }\n");
    let server = Server::start(&folder);
    let accepted = server.accepted(&alert("A-1", 92));
    server.ended_run(&run_id(&accepted, "mark"));
    eventually("the run of `marked` ends", || {
        let runs = server.items("/v1/runs?playbook=marked&status=succeeded");
        (runs.len() == 1).then_some(())
    });
    let live = sortie(&folder, &["backtest", "--since", "1d"]).expect(0).stdout;
    let all = lines(&live);
    assert_eq!(all[0]["event_id"], accepted["event_id"], "{live}");
    let marked: Vec<&Value> = all.iter().filter(|line| line["type"] == "alert.updated").collect();
    assert_eq!(marked.len(), 1, "the change is replayed as it was recorded, and not made again: {live}");
    assert_eq!(marked[0]["would_send"][0]["destination"], "desk");
    let until = sortie(&folder, &["backtest", "--since", "2d", "--until", "1d"]).expect(0).stdout;
    assert_eq!(lines(&until)[0]["summary"]["events"], 0);
    server.kill();
    let stopped = sortie(&folder, &["backtest", "--since", "1d"]).expect(0).stdout;
    assert_eq!(stopped, live, "the server tells what its folder holds");
}
