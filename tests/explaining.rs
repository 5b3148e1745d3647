//! `explain` and `dry-run`: why something would run, and what it would do, without a server.

use serde_json::{Value, json};

use crate::support::command::{command, run, sortie};
use crate::support::sample::decision;
use crate::support::{Folder, Server};

const NOTIFY: &str = "\
triggers:
  - case.stage_changed: { to: Closed }
  - alert.created: { when: alert.risk_score >= 90 }
secrets: [REP]
when: |
  alert.priority == \"critical\" &&
  (\"vip\" in alert.tags || alert.detections.some(|d| d.use_case == \"travel\"))
steps:
  - id: ask
    action: http.request
    with: { url: \"https://rep.example.com/${{ alert.id }}\", auth: { bearer: \"${secret:REP}\" } }
  - id: tell
    action: webhook.send
    with: { to: soc-desk, body: { text: \"${{ alert.name }}\" } }
  - id: mark
    action: alert.add_tags
    with: { tags: [told] }
";

fn folder(priority: &str) -> Folder {
    let folder = Folder::new();
    folder.playbook("notify", NOTIFY);
    folder.playbook("other", "triggers: [case.created]\nsteps:\n  - action: log\n    with: { message: x }\n");
    let event = json!({"type": "alert.created", "alert": {"id": "A-1", "name": "Travel", "risk_score": 92, "priority": priority,
        "tags": [], "detections": [{"id": "D-1", "use_case": "logon"}, {"id": "D-2", "use_case": "travel"}]}});
    folder.write("event.json", &event.to_string());
    folder
}

#[test]
fn explain_shows_each_trigger_each_operand_with_its_values_and_which_one_decided() {
    let folder = folder("high");
    let told = sortie(&folder, &["explain", "--event", "event.json", "--json"]).expect(0).json();
    let notify = decision(&told, "notify");
    assert_eq!(notify["verdict"], "not_matched");
    let triggers = notify["triggers"].as_array().unwrap();
    assert_eq!((&triggers[0]["fits"], &triggers[1]["fits"]), (&json!(false), &json!(true)));
    let conditions = &triggers[1]["conditions"];
    assert_eq!((&conditions[0]["answer"], &conditions[1]["answer"]), (&json!("yes"), &json!("no")));
    let operands = conditions[1]["operands"].as_array().unwrap();
    let deciding: Vec<&Value> = operands.iter().filter(|operand| operand["decides"] == true).collect();
    assert_eq!(deciding.len(), 1, "{operands:?}");
    assert_eq!(deciding[0]["text"], "alert.priority == \"critical\"");
    assert_eq!(deciding[0]["values"], json!([{"text": "alert.priority", "value": "high"}]));
    assert_eq!((&deciding[0]["at"]["line"], &deciding[0]["at"]["column"]), (&json!(7), &json!(3)));
    assert_eq!(operands[2]["inside"][1]["operands"][0]["answer"], "yes");
    assert_eq!(told["not_listening"], json!(["other"]));
    let text = sortie(&folder, &["explain", "--event", "event.json"]).expect(0).stdout;
    for part in [
        "alert.priority == \"critical\"  <- decided  playbooks/notify.yaml:7:3",
        "alert.priority is \"high\"",
        "case.stage_changed does not fit: it listens to another kind of event",
        "for d = {",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn dry_run_tells_what_would_be_sent_with_secrets_masked_and_what_would_change() {
    let folder = folder("critical");
    let told = sortie(&folder, &["dry-run", "notify", "--event", "event.json", "--json"]).expect(0).json();
    assert_eq!(
        (&told["decisions"][0]["verdict"], &told["runs"][0]["status"]),
        (&json!("matched"), &json!("succeeded"))
    );
    let sent = told["would_send"].as_array().unwrap();
    assert_eq!(
        (&sent[0]["url"], &sent[0]["headers"]["authorization"]),
        (&json!("https://rep.example.com/A-1"), &json!("Bearer ***"))
    );
    assert_eq!((&sent[1]["destination"], &sent[1]["body"]), (&json!("soc-desk"), &json!({"text": "Travel"})));
    assert_eq!(told["would_change"][0]["change"], "updated tags");
    let text = sortie(&folder, &["dry-run", "playbooks/notify.yaml", "--event", "event.json"]).expect(0).stdout;
    assert!(
        text.contains("would send to soc-desk: POST") && text.contains("would change alert:A-1: updated tags"),
        "{text}"
    );
    assert!(!folder.data().exists(), "nothing is stored");
    sortie(&folder, &["dry-run", "nothing", "--event", "event.json"]).expect(2);
}

/// In a namespace of its own with no network at all; on machines that allow such a thing.
#[test]
fn a_dry_run_needs_no_network() {
    if !std::process::Command::new("unshare").args(["-r", "-n", "true"]).status().is_ok_and(|status| status.success()) {
        return;
    }
    let folder = folder("critical");
    let plain = command(&folder);
    let mut alone = std::process::Command::new("unshare");
    alone.args(["-r", "-n"]).arg(plain.get_program()).args(["dry-run", "notify", "--event", "event.json"]);
    assert!(run(alone.current_dir(folder.path()), b"").expect(0).stdout.contains("would send to soc-desk"));
}

#[test]
fn a_new_folder_is_checked_and_its_tests_pass() {
    let folder = Folder::new();
    sortie(&folder, &["init", "new"]).expect(0);
    for arguments in [&["check", "playbooks"][..], &["test", "playbooks"]] {
        let mut inside = command(&folder);
        run(inside.current_dir(folder.path().join("new")).args(arguments), b"").expect(0);
    }
}

#[test]
fn a_recorded_event_is_explained_operand_by_operand_over_the_state_of_its_time() {
    let folder = Folder::new();
    folder.playbook(
        "loud",
        "triggers: [{ alert.updated: { changed: [risk_score] } }]\nwhen: 'alert.risk_score >= 90 && (\"vip\" in alert.tags || alert.users.some(|u| u == \"eve\"))'\nsteps: [{ id: say, action: log, with: { message: x } }]\n",
    );
    let server = Server::start(&folder);
    let alert = |kind: &str, score: u64, tags: &[&str]| json!({"type": kind, "alert": {"id": "A-1", "risk_score": score, "tags": tags, "users": ["bob"]}});
    server.accepted(&alert("alert.created", 10, &[]));
    let quiet = server.accepted(&alert("alert.updated", 95, &["night"]));
    let loud = server.accepted(&alert("alert.updated", 96, &["vip"]));
    server.accepted(&alert("alert.updated", 1, &["over"]));
    // Another text now: what was decided is explained by the text of that time.
    folder.playbook("loud", "triggers: [alert.created]\nsteps: [{ id: say, action: log, with: { message: y } }]\n");
    let explained = |event: &Value| {
        let id = event["event_id"].as_str().unwrap();
        let told = sortie(&folder, &["explain", "--event-id", id, "--json"]).expect(0).json();
        told["decisions"][0]["triggers"][0].clone()
    };
    let operands = |trigger: &Value| -> Vec<(String, String, bool, bool)> {
        let all = trigger["conditions"][0]["operands"].as_array().cloned().unwrap_or_default();
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        all.iter()
            .map(|one| {
                (text(one, "text"), text(one, "answer"), one["decides"] == true, one["decides_together"] == true)
            })
            .collect()
    };
    let none = explained(&quiet);
    let own = |text: &str, answer: &str, decides: bool, together: bool| {
        (text.to_owned(), answer.to_owned(), decides, together)
    };
    let told = operands(&none);
    assert_eq!(told[0], own("alert.risk_score >= 90", "yes", false, false), "{none:#}");
    assert_eq!(told[1], own("\"vip\" in alert.tags", "no", true, false));
    assert_eq!((&told[2].1, told[2].2), (&"no".to_owned(), true));
    let values = &none["conditions"][0]["operands"];
    assert_eq!(values[0]["values"][0]["value"], 95, "the score of that time");
    assert_eq!(values[1]["values"][0]["value"], json!(["night"]));
    assert_eq!(values[2]["inside"][0]["item"], "bob");
    assert_eq!((&values[1]["at"]["line"], &values[1]["at"]["column"]), (&json!(3), &json!(35)));
    let matched = explained(&loud);
    assert_eq!(operands(&matched)[1], own("\"vip\" in alert.tags", "yes", true, false), "{matched:#}");
    server.kill();
    let stopped = explained(&quiet);
    assert_eq!(stopped, none, "the folder of a stopped server tells the same");
    let id = quiet["event_id"].as_str().unwrap();
    let shown = sortie(&folder, &["explain", "--event-id", id]).expect(0).stdout;
    assert!(shown.contains("\"vip\" in alert.tags  <- decided") && shown.contains("alert.risk_score is 95"), "{shown}");
}
