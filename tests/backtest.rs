//! `sortie backtest`: past events, their own times as the clock, and nothing that leaves.

use serde_json::{Value, json};

use crate::support::command::{command, run, sortie};
use crate::support::sample::{alert, desk, run_id};
use crate::support::{Folder, Receiver, Server};

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
fn a_back_test_needs_no_network() {
    if !std::process::Command::new("unshare").args(["-r", "-n", "true"]).status().is_ok_and(|status| status.success()) {
        return;
    }
    let folder = folder();
    let plain = command(&folder);
    let mut alone = std::process::Command::new("unshare");
    alone.args(["-r", "-n"]).arg(plain.get_program()).args(["backtest", "--events", "events.jsonl"]);
    let told = run(alone.current_dir(folder.path()), b"").expect(0).stdout;
    assert_eq!(lines(&told).len(), 9);
}
