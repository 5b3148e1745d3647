//! Four eyes on enabling: who wrote a text of a playbook does not switch it on.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sample::{alert, decision};
use crate::support::{Answer, Folder, Server, eventually};

fn text(message: &str) -> String {
    format!(
        "triggers: [alert.created, manual]\nsteps:\n  - {{ id: say, action: log, with: {{ message: {message} }} }}\n"
    )
}

/// Does something in git; answers whether it went well.
fn git(folder: &Folder, person: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder.path()).arg("-c").arg(format!("user.name={person} Example"));
    command.arg("-c").arg(format!("user.email={person}@example.com")).args(arguments);
    command.output().is_ok_and(|done| done.status.success())
}

fn commit(folder: &Folder, person: &str) -> bool {
    git(folder, person, &["add", "playbooks"]) && git(folder, person, &["commit", "-qm", "a change"])
}

/// A folder whose one playbook eva has written, and a server; nothing where git is not installed.
fn desk() -> Option<(Folder, Server)> {
    let folder = Folder::and("four_eyes: enabling\n");
    folder.playbook("say", &text("first"));
    if !git(&folder, "eva", &["init", "-q"]) || !commit(&folder, "eva") {
        eprintln!("SKIPPED: git is not installed");
        return None;
    }
    let server = Server::start(&folder);
    Some((folder, server))
}

/// A token of an author of this name.
fn author(folder: &Folder, name: &str) -> String {
    sortie(folder, &["tokens", "create", "--name", name, "--role", "author"]).expect(0).stdout
}

fn enable(server: &Server, token: &str) -> Answer {
    server.client().with_token(token).post("/v1/playbooks/say/enable", &json!({}))
}

fn verdict(server: &Server, id: &str) -> (String, String) {
    let answer = server.accepted(&alert(id, 10));
    let found = decision(&answer, "say");
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("verdict"), text("reason"))
}

fn shown(server: &Server) -> Value {
    server.client().get("/v1/playbooks/say").ok(200)
}

#[test]
fn a_text_starts_nothing_until_somebody_else_than_its_author_switches_it_on() {
    let Some((folder, server)) = desk() else { return };
    let (eva, bob) = (author(&folder, "eva"), author(&folder, "bob"));
    let (said, reason) = verdict(&server, "A-1");
    assert_eq!(said, "disabled");
    assert!(reason.contains("waits for a second person"), "{reason}");
    assert_eq!(shown(&server)["waits_for_second_person"], true);
    let by_hand = server.client().with_token(&eva).post("/v1/playbooks/say/run", &json!({}));
    assert_eq!(by_hand.problem(403), "four_eyes", "neither does it run by hand");
    assert_eq!(enable(&server, &eva).problem(403), "four_eyes");
    let refused = server.items("/v1/audit?action=refused&actor=eva");
    assert!(refused.iter().any(|one| one["detail"]["code"] == "four_eyes"), "{refused:#?}");
    assert_eq!(enable(&server, &bob).ok(200)["enabled"], true);
    assert_eq!(verdict(&server, "A-2").0, "matched");
    let trail = server.items("/v1/audit?object=playbook:say");
    let enabled = &trail[0];
    assert_eq!((&enabled["actor"], &enabled["action"]), (&json!("token:bob"), &json!("playbook enabled")));
    assert_eq!(enabled["detail"]["digest"], shown(&server)["digest"], "which text was switched on");
}

#[test]
fn a_changed_text_waits_again_also_over_a_restart_and_now_for_somebody_else() {
    let Some((folder, server)) = desk() else { return };
    let (eva, bob) = (author(&folder, "eva"), author(&folder, "bob"));
    enable(&server, &bob).expect(200);
    let before = shown(&server)["digest"].clone();
    folder.playbook("say", &text("second"));
    assert!(commit(&folder, "bob"));
    eventually("the change is loaded", || (shown(&server)["digest"] != before).then_some(()));
    assert_eq!(verdict(&server, "A-1").0, "disabled");
    server.stop();
    let server = Server::start(&folder);
    assert_eq!(verdict(&server, "A-2").0, "disabled", "a restart is no second person");
    assert_eq!(enable(&server, &bob).problem(403), "four_eyes");
    enable(&server, &eva).expect(200);
    server.stop();
    let server = Server::start(&folder);
    assert_eq!(verdict(&server, "A-3").0, "matched", "what was switched on stays so");
}

#[test]
fn a_text_that_nobody_is_known_to_have_written_is_switched_on_by_nobody() {
    let Some((folder, server)) = desk() else { return };
    let bob = author(&folder, "bob");
    let before = shown(&server)["digest"].clone();
    folder.playbook("say", &text("unsigned"));
    eventually("the change is loaded", || (shown(&server)["digest"] != before).then_some(()));
    assert_eq!(enable(&server, &bob).problem(403), "author_unknown");
    server.stop();
    let stopped = sortie(&folder, &["playbooks", "enable", "say"]).expect(6);
    assert!(stopped.stderr.contains("four_eyes"), "nor past the server: {}", stopped.stderr);
}
