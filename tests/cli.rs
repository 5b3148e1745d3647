//! The command line: exit codes, data on stdout, and the same answers with and without a server.

use serde_json::{Value, json};

use crate::support::command::{command, run, sortie, sortie_with_input};
use crate::support::sample::{alert, case, desk, run_id, verdict};
use crate::support::{Folder, Receiver, Server};

#[test]
fn check_names_every_mistake_with_its_place_and_a_code_that_can_be_explained() {
    let folder = Folder::new();
    folder.playbook(
        "bad",
        "triggers:\n  - alert.creatd\nwhen: alert.risk_scor >= 90\nsteps:\n  - id: a\n    action: webhook.sendd\n    with: { to: [x] }\n  - id: a\n    action: log\n    with: { message: hi, colour: red }\n",
    );
    let checked = sortie(&folder, &["check", "playbooks", "--json"]).expect(3);
    let found = checked.json();
    let found = found.as_array().expect("a list");
    assert!(found.len() >= 4, "all at once: {found:?}");
    for one in found {
        for key in ["code", "severity", "message", "file"] {
            assert!(one[key].is_string(), "{key} in {one}");
        }
        assert!(one["line"].is_u64() && one["column"].is_u64(), "{one}");
        let page = sortie(&folder, &["explain-code", one["code"].as_str().unwrap()]).expect(0);
        assert!(page.stdout.contains(one["code"].as_str().unwrap()), "{}", page.stdout);
    }
    let text = sortie(&folder, &["check", "playbooks"]).expect(3);
    for part in ["bad.yaml:3:", "alert.created", "risk_score", "webhook.send", "message"] {
        assert!(text.stderr.contains(part) || text.stdout.contains(part), "{part}: {}{}", text.stdout, text.stderr);
    }
    let good = Folder::new();
    good.playbook("good", "triggers: [manual]\nsteps:\n  - id: a\n    action: log\n    with: { message: hi }\n");
    let checked = sortie(&good, &["check", "playbooks", "--json"]).expect(0);
    assert_eq!(checked.json(), json!([]));
    sortie(&good, &["check", "nowhere"]).expect(3);
    sortie(&good, &["explain-code", "XX999"]).expect(2);
}

#[test]
fn explain_says_the_same_without_a_server_as_the_server_decides() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let event = alert("A-1", 92);
    folder.write("event.json", &event.to_string());
    let offline = sortie(&folder, &["explain", "--event", "event.json", "--json"]).expect(0).json();
    let offline = if offline.is_array() { offline[0].clone() } else { offline };
    assert_eq!(verdict(&offline, "tell"), "matched");
    let low =
        sortie_with_input(&folder, &["explain", "--event", "-", "--json"], alert("A-1", 1).to_string().as_bytes());
    assert!(low.expect(0).stdout.contains("not_matched"));
    assert!(!folder.data().exists(), "nothing is stored");

    let server = Server::start(&folder);
    let answer = server.accepted(&event);
    let id = answer["event_id"].as_str().unwrap().to_owned();
    let through_server = sortie(&folder, &["explain", "--event-id", &id, "--json"]).expect(0);
    assert!(through_server.stdout.contains("matched"), "{}", through_server.stdout);
    server.ended_run(&run_id(&answer, "tell"));
    server.kill();
    let on_the_folder = sortie(&folder, &["explain", "--event-id", &id, "--json"]).expect(0);
    assert_eq!(on_the_folder.json(), through_server.json());
    sortie(&folder, &["explain", "--event-id", "evt-9999999999-ffffff"]).expect(6);
    folder.write("event.json", "{\"type\": 1");
    sortie(&folder, &["explain", "--event", "event.json"]).expect(3);
}

#[test]
fn listings_say_the_same_through_the_server_and_on_the_folder() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 92));
    let id = run_id(&answer, "tell");
    server.ended_run(&id);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let event = answer["event_id"].as_str().unwrap();
    let commands: Vec<Vec<&str>> = vec![
        vec!["runs", "list"],
        vec!["runs", "show", &id],
        vec!["events", "list"],
        vec!["events", "show", event],
        vec!["alerts", "list"],
        vec!["alerts", "show", "A-1"],
        vec!["cases", "list"],
        vec!["cases", "show", "C-1"],
        vec!["deliveries", "list"],
        vec!["destinations", "list"],
        vec!["playbooks", "list"],
        vec!["playbooks", "show", "tell"],
    ];
    let ask = |arguments: &[&str]| sortie(&folder, &[arguments, &["--json"]].concat()).expect(0).json();
    let through_server: Vec<Value> = commands.iter().map(|arguments| ask(arguments)).collect();
    for arguments in &commands {
        let plain = sortie(&folder, arguments).expect(0);
        assert!(plain.stdout.lines().count() >= 2, "{arguments:?}: {}", plain.stdout);
        assert!(!plain.stdout.contains('\u{1b}'), "no colours where nobody looks: {arguments:?}");
    }
    server.stop();
    for (arguments, expected) in commands.iter().zip(through_server) {
        assert_eq!(ask(arguments), expected, "{arguments:?}");
    }
    sortie(&folder, &["runs", "show", "run-1-1-1"]).expect(6);
}

#[test]
fn a_case_is_sent_from_the_command_line() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    sortie(&folder, &["send", "--case", "C-1", "--to", "desk"]).expect(0);
    assert_eq!(receiver.next().json()["case_id"], "C-1");
    sortie(&folder, &["send", "--case", "C-404", "--to", "desk"]).expect(6);
    sortie(&folder, &["send", "--to", "desk"]).expect(2);
}

#[test]
fn a_backup_made_while_the_server_runs_is_restored_on_another_folder() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 92));
    let run_of = run_id(&answer, "tell");
    let before = server.ended_run(&run_of);
    sortie(&folder, &["backup", "store.backup"]).expect(0);
    server.accepted(&alert("A-2", 92));
    let again = sortie(&folder, &["backup", "store.backup"]);
    assert_ne!(again.status.code(), Some(0), "a backup is never written over");

    let other = desk(&receiver);
    std::fs::copy(folder.path().join("store.backup"), other.path().join("store.backup")).unwrap();
    sortie(&other, &["restore", "store.backup"]).expect(0);
    let refused = sortie(&other, &["restore", "store.backup"]);
    assert_eq!(refused.status.code(), Some(4), "only an empty folder is filled: {}", refused.stderr);
    let restored = Server::start(&other);
    let token = std::fs::read_to_string(folder.data().join("admin.token")).unwrap();
    let client = restored.client().with_token(&token);
    client.get("/v1/alerts/A-1").expect(200);
    client.get("/v1/alerts/A-2").expect(404);
    let after = client.get(&format!("/v1/runs/{run_of}")).ok(200);
    assert_eq!(after["history"], before["history"]);
    std::fs::write(other.path().join("torn"), &std::fs::read(other.path().join("store.backup")).unwrap()[..200])
        .unwrap();
    let third = Folder::new();
    std::fs::copy(other.path().join("torn"), third.path().join("torn")).unwrap();
    let torn = sortie(&third, &["restore", "torn"]);
    assert!([Some(3), Some(4)].contains(&torn.status.code()), "{}", torn.stderr);
}

#[test]
fn doctor_is_content_with_a_good_folder_and_names_what_is_wrong_with_a_bad_one() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    sortie(&folder, &["doctor"]).expect(0);
    let server = Server::start(&folder);
    sortie(&folder, &["doctor"]).expect(0);
    server.stop();
    sortie(&folder, &["doctor", "--json"]).expect(0);
    folder.playbook("bad", "triggers: [nothing]\n");
    let unwell = sortie(&folder, &["doctor"]).expect(3);
    assert!(unwell.stdout.contains("bad.yaml"), "{}", unwell.stdout);
}

#[test]
fn compact_keeps_everything() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    for n in 0..20 {
        server.ended_run(&run_id(&server.accepted(&alert(&format!("A-{n}"), 92)), "tell"));
    }
    let refused = sortie(&folder, &["compact"]);
    assert_eq!(refused.status.code(), Some(4), "a running server's store is left alone");
    let before = server.client().get("/v1/runs?limit=100").ok(200);
    server.stop();
    sortie(&folder, &["compact"]).expect(0);
    let server = Server::start(&folder);
    assert_eq!(server.client().get("/v1/runs?limit=100").ok(200), before);
}

#[test]
fn init_makes_a_folder_that_is_good_and_serves() {
    let folder = Folder::new();
    sortie(&folder, &["init", "soc"]).expect(0);
    let inside = folder.path().join("soc");
    assert_eq!(run(command(&folder).current_dir(&inside).args(["check", "playbooks"]), b"").status.code(), Some(0));
    assert_eq!(run(command(&folder).current_dir(&inside).args(["doctor"]), b"").status.code(), Some(0));
    assert_ne!(sortie(&folder, &["init", "soc"]).status.code(), Some(0), "it writes over nothing");
}

#[test]
fn usage_has_exit_code_two_and_help_names_every_code() {
    let folder = Folder::new();
    for arguments in
        [&["nonsense"][..], &["runs"], &["serve", "--listen", "x"], &["runs", "list", "--limit", "5000"], &[]]
    {
        sortie(&folder, arguments).expect(2);
    }
    let help = sortie(&folder, &["--help"]).expect(0);
    for code in ["0 ok", "3 ", "6 "] {
        assert!(help.stdout.contains(code), "{}", help.stdout);
    }
    sortie(&folder, &["--version"]).expect(0);
}

#[test]
fn a_server_that_cannot_be_reached_or_refuses_is_exit_code_six() {
    let folder = Folder::new();
    let ended = sortie(&folder, &["runs", "list", "--server", "http://127.0.0.1:1"]).expect(6);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
}

#[test]
fn a_broken_configuration_is_exit_code_three_with_every_mistake() {
    let folder = Folder::with("lisen: 1\nstore: postgres://x\ndurability: maybe\n");
    let ended = sortie(&folder, &["serve"]).expect(3);
    for part in ["listen", "PostgreSQL", "durability"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}
