//! Rows P of the attacks: names that want to be paths, files that are none, and texts that want to be log lines.

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sample::{alert, desk, verdict};
use crate::support::{Folder, Receiver, Server};

#[test]
fn a_playbook_id_is_a_plain_name_or_the_file_is_refused() {
    for id in [
        "../../x",
        "a/b",
        "..%2f",
        "%252e",
        "\\0",
        "CON.",
        "A",
        "ä",
        "a b",
        "",
        "x_y",
        &"a".repeat(65),
        &"a".repeat(4_096),
    ] {
        let folder = Folder::new();
        let text = format!(
            "playbook: {}\ntriggers: [manual]\nsteps:\n  - id: a\n    action: log\n    with: {{ message: hi }}\n",
            json!(id)
        );
        folder.write("playbooks/x.yaml", &text);
        let checked = sortie(&folder, &["check", "playbooks"]);
        assert_eq!(checked.status.code(), Some(3), "{id}");
    }
    let folder = Folder::new();
    folder.playbook(
        &"a".repeat(64),
        "triggers: [manual]\nsteps:\n  - id: a\n    action: log\n    with: { message: hi }\n",
    );
    sortie(&folder, &["check", "playbooks"]).expect(0);
}

#[test]
fn an_id_in_a_path_is_only_ever_looked_up() {
    let server = Server::start(&Folder::new());
    for id in [
        "..%2f..%2fetc%2fpasswd",
        "%252e%252e%252f",
        "%00",
        "a%2fb",
        "%ff",
        "..",
        ".",
        "%c0%ae%c0%ae",
        &"a".repeat(4_096),
    ] {
        for root in
            ["/v1/playbooks/", "/v1/runs/", "/v1/alerts/", "/v1/destinations/", "/v1/events/", "/v1/deliveries/"]
        {
            let answer = server.client().get(&format!("{root}{id}"));
            assert!([400, 404].contains(&answer.status), "{root}{id}: {} {}", answer.status, answer.text());
            answer.problem(answer.status);
        }
    }
}

#[test]
fn a_link_or_device_in_the_playbook_folder_is_not_followed() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.write("elsewhere.yaml", &folder.read("playbooks/tell.yaml").replace("playbook: tell", "playbook: linked"));
    std::os::unix::fs::symlink(folder.path().join("elsewhere.yaml"), folder.path().join("playbooks/linked.yaml"))
        .unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("playbooks/zero.yaml")).unwrap();
    let made =
        std::process::Command::new("mkfifo").arg(folder.path().join("playbooks/pipe.yaml")).status().expect("mkfifo");
    assert!(made.success());
    let checked = sortie(&folder, &["check", "playbooks", "--json"]).expect(3);
    assert_eq!(checked.json().as_array().unwrap().len(), 3, "{}", checked.stdout);
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 92));
    assert_eq!((answer["decisions_total"].as_u64(), verdict(&answer, "tell")), (Some(1), "matched"));
}

#[test]
fn a_text_from_outside_never_makes_a_log_line_of_its_own() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook("log", "triggers:\n  - alert.created\nsteps:\n  - id: say\n    action: log\n    with: { message: \"alert ${{ alert.name }}\", level: warn }\n");
    let server = Server::start(&folder);
    let evil = "x\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\u{1b}]0;title\u{7}\u{202e}\u{2028}";
    let mut event = alert("A-1", 92);
    event["alert"]["name"] = json!(evil);
    server.accepted(&event);
    server.client().request("GET", "/v1/runs/%0d%0aforged%1b[31m", &[("User-Agent", "a\u{1b}[31m")], b"");
    let long = "y".repeat(900_000);
    server.accepted(&json!({"type": "alert.created", "alert": {"id": "A-2", "name": long}}));
    server.log().wait_for("forged");
    receiver.next();
    let (_, log) = server.stop();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_ne!(line["message"], "forged");
        assert!(line.to_string().len() < 20_000, "a line is cut");
    }
    assert!(!log.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{2028}', '\r']), "control characters reach a terminal");
}

#[test]
fn the_command_line_shows_texts_from_outside_on_one_line_in_any_locale() {
    let folder = Folder::new();
    let evil = "x\n\u{1b}[31mred\u{202e}\u{9b}31m\t\u{1F600}";
    let server = Server::start(&folder);
    server.accepted(&json!({"type": "alert.created", "alert": {"id": "A-1", "name": evil, "users": [evil]}}));
    server.accepted(&json!({"type": "case.created", "case": {"id": "C-1", "stage": "New", "name": evil}}));
    for arguments in [["alerts", "list"], ["cases", "list"], ["events", "list"], ["runs", "list"]] {
        let mut command = crate::support::command::command(&folder);
        let ended =
            crate::support::command::run(command.args(arguments).env("LC_ALL", "C").env("LANG", "C"), b"").expect(0);
        assert!(
            !ended.stdout.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}', '\r']),
            "{arguments:?}: {:?}",
            ended.stdout
        );
    }
}

#[test]
fn answers_are_never_taken_for_pages() {
    let server = Server::start(&Folder::new());
    for path in
        ["/v1/runs", "/v1/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/nothing/%3Cimg%20src=x%3E", "/v1/in/%3Cb%3E"]
    {
        let answer = server.client().get(path);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(!answer.header("content-type").unwrap_or_default().contains("html"), "{path}");
        assert!(answer.header("access-control-allow-origin").is_none(), "{path}");
    }
}
