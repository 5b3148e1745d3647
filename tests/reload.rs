//! Reload: what is loaded while the server runs, and what is not.

use serde_json::{Value, json};

use crate::support::command::signal;
use crate::support::sample::{TELL, alert, desk, run_id, step, verdict};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

fn digest(server: &Server, id: &str) -> Option<Value> {
    let answer = server.client().get(&format!("/v1/playbooks/{id}"));
    (answer.status == 200).then(|| answer.json()["digest"].clone())
}

#[test]
fn a_changed_file_is_taken_up_and_a_new_one_and_a_removed_one() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let first = digest(&server, "tell").expect("loaded");
    folder.playbook("tell", &TELL.replace(">= 90", ">= 10"));
    folder
        .playbook("more", "triggers: [alert.created]\nsteps:\n  - id: a\n    action: log\n    with: { message: hi }\n");
    eventually("both are loaded", || {
        (digest(&server, "tell")? != first && digest(&server, "more").is_some()).then_some(())
    });
    let answer = server.accepted(&alert("A-1", 50));
    assert_eq!((verdict(&answer, "tell"), verdict(&answer, "more")), ("matched", "matched"));
    std::fs::remove_file(folder.path().join("playbooks/more.yaml")).unwrap();
    eventually("it is gone", || digest(&server, "more").is_none().then_some(()));
    assert_eq!(server.accepted(&alert("A-2", 50))["decisions_total"], 1);
}

#[test]
fn a_broken_file_never_replaces_the_loaded_one_not_even_over_a_restart() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let first = digest(&server, "tell").expect("loaded");
    folder.playbook("tell", &TELL.replace("alert.risk_score >= 90", "alert.risk_scor >= 90"));
    server.log().wait_for("tell.yaml");
    assert_eq!(digest(&server, "tell"), Some(first.clone()));
    assert_eq!(verdict(&server.accepted(&alert("A-1", 92)), "tell"), "matched");
    receiver.next();
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(digest(&server, "tell"), Some(first), "the last good text comes from the store");
    assert!(server.log().text().contains("tell.yaml"), "and it is said");
    assert_eq!(verdict(&server.accepted(&alert("A-2", 92)), "tell"), "matched");
    receiver.next();
}

#[test]
fn of_two_files_with_one_id_the_loaded_one_stays() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let first = digest(&server, "tell");
    folder.write("playbooks/copy.yaml", &folder.read("playbooks/tell.yaml").replace(">= 90", ">= 1"));
    server.log().wait_for("copy.yaml");
    assert_eq!(digest(&server, "tell"), first);
    assert_eq!(verdict(&server.accepted(&alert("A-1", 50)), "tell"), "not_matched");
}

#[test]
fn an_edit_does_not_touch_runs_that_have_started() {
    let receiver = Receiver::scripted(&[Reply::Status(500), Reply::Hang]);
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "timeout: 20s");
    let text = |what: &str| {
        format!(
            "triggers: [alert.created]\nsteps:\n  - id: one\n    action: webhook.send\n    with: {{ to: [desk], body: {{ n: 1 }} }}\n    retry: {{ max: 3, first: 100ms }}\n  \
             - id: two\n    action: webhook.send\n    with: {{ to: [desk], body: {{ said: {what} }} }}\n"
        )
    };
    folder.playbook("two", &text("old"));
    let server = Server::start(&folder);
    let first = digest(&server, "two").expect("loaded");
    let id = run_id(&server.accepted(&alert("A-1", 1)), "two");
    receiver.next();
    receiver.next();
    folder.playbook("two", &text("new"));
    eventually("the new text is loaded", || (digest(&server, "two")? != first).then_some(()));
    receiver.release();
    receiver.next();
    assert_eq!(receiver.next().json(), json!({"said": "old"}));
    let run = server.ended_run(&id);
    assert_eq!((&run["status"], &run["playbook_digest"]), (&json!("succeeded"), &first));
    assert!(run["playbook_text"].as_str().unwrap().contains("said: old"));
    assert_eq!(step(&run, "two")["status"], "succeeded");
}

#[test]
fn a_deleted_playbook_ends_the_runs_it_has_started() {
    let receiver = Receiver::scripted(&[Reply::Hang]);
    let folder = desk(&receiver);
    folder.destinations(&receiver, &["desk"], "timeout: 2s");
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    receiver.next();
    std::fs::remove_file(folder.path().join("playbooks/tell.yaml")).unwrap();
    eventually("it is gone", || digest(&server, "tell").is_none().then_some(()));
    // Over a restart, too: the text is in the store.
    server.kill();
    let server = Server::start(&folder);
    receiver.next();
    assert_eq!(server.ended_run(&id)["status"], "succeeded");
}

#[test]
fn sighup_reloads_where_the_folder_is_not_watched() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.write("sortie.yaml", &folder.read("sortie.yaml").replace("watch: true", "watch: false"));
    let server = Server::start(&folder);
    let first = digest(&server, "tell").expect("loaded");
    folder.playbook("tell", &TELL.replace(">= 90", ">= 10"));
    signal(server.id(), "HUP");
    eventually("the new text is loaded", || (digest(&server, "tell")? != first).then_some(()));
}
