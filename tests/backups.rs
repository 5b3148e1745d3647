//! Backups under load, and upgrades: what was accepted is there again, and there is a way back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::command::{sortie, sortie_with_input};
use crate::support::sample::{TELL, alert, desk, run_id};
use crate::support::{Folder, Receiver, Server, eventually};

/// Sends alerts one after the other until told to stop; answers the ids of those that were accepted.
fn keep_sending(server: &Server, stop: &AtomicBool) -> Vec<(usize, String)> {
    let mut accepted = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let answer = server.accepted(&alert(&format!("A-{n}"), 92));
        accepted.push((n, run_id(&answer, "tell")));
    }
    accepted
}

#[test]
fn a_backup_taken_under_load_is_whole_elsewhere_and_its_secrets_need_their_key() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "auth: { header: X-Auth, value: \"${secret:DESK}\" }");
    folder.playbook("tell", TELL);
    let server = Server::start(&folder);
    sortie_with_input(&folder, &["secrets", "set", "DESK"], b"s3cret-value").expect(0);
    let before: Vec<String> =
        (0..20).map(|n| run_id(&server.accepted(&alert(&format!("B-{n}"), 92)), "tell")).collect();
    let file = folder.path().join("backup");
    let stop = AtomicBool::new(false);
    let after = std::thread::scope(|scope| {
        let sender = scope.spawn(|| keep_sending(&server, &stop));
        eventually("the load has begun", || {
            let runs = server.items("/v1/runs?limit=100");
            (runs.len() > 25).then_some(())
        });
        sortie(&folder, &["backup", file.to_str().unwrap()]).expect(0);
        stop.store(true, Ordering::SeqCst);
        sender.join().expect("the sender")
    });
    server.stop();
    // Elsewhere: the same files of a person, an empty data folder.
    let other = Folder::new();
    for name in ["destinations.yaml", "playbooks/tell.yaml"] {
        other.write(name, &folder.read(name));
    }
    sortie(&other, &["restore", file.to_str().unwrap()]).expect(0);
    let report = sortie(&other, &["audit", "verify", "--json"]);
    let without_key = Server::try_start(&other, &[]).err().expect("no start without the key of the secrets");
    assert!(without_key.1.contains("master key"), "{}", without_key.1);
    std::fs::copy(folder.data().join("secrets.key"), other.data().join("secrets.key")).unwrap();
    // The token of the first start lies beside the store, as the keys do.
    std::fs::copy(folder.data().join("admin.token"), other.data().join("admin.token")).unwrap();
    assert!(report.status.code() == Some(0) || report.stderr.contains("master key"), "{}", report.stderr);
    let whole = sortie(&other, &["audit", "verify", "--json"]).expect(0).json();
    assert_eq!(whole["ok"], true, "{whole:#}");
    let restored = Server::start(&other);
    for run in &before {
        assert_eq!(restored.ended_run(run)["status"], "succeeded", "acknowledged before the backup");
    }
    // Of what came while it was written there is a beginning, without a hole.
    let there: Vec<bool> =
        after.iter().map(|(_, run)| restored.client().get(&format!("/v1/runs/{run}")).status == 200).collect();
    let count = there.iter().take_while(|there| **there).count();
    assert!(there[count..].iter().all(|there| !there), "no hole: {there:?}");
    for (_, run) in after.iter().take(count) {
        restored.ended_run(run);
    }
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for sent in receiver.waiting() {
        let known = bodies.entry(sent.id()).or_insert_with(|| sent.body.clone());
        assert_eq!(*known, sent.body, "what is sent again carries the same key and the same body");
    }
    assert!(bodies.len() >= before.len() + after.len());
}

#[test]
fn a_store_of_a_newer_version_is_refused_in_one_sentence_and_left_alone() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let run = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    server.ended_run(&run);
    server.stop();
    let format = |bytes: Option<[u8; 8]>| {
        let db = sled::open(folder.data().join("db")).unwrap();
        // The number of the format: one byte that says that the value is whole, then the number.
        let old = db.get(b"!f").unwrap().expect("the number of the format");
        if let Some(bytes) = bytes {
            db.insert(b"!f", [&[0], &bytes[..]].concat()).unwrap();
        }
        db.flush().unwrap();
        <[u8; 8]>::try_from(&old[1..]).unwrap()
    };
    let own = format(None);
    format(Some(9_999_u64.to_be_bytes()));
    for command in [&["runs", "list"][..], &["audit", "verify"], &["serve"]] {
        let refused = sortie(&folder, command).expect(4);
        assert!(refused.stderr.contains("written by a newer version (format 9999"), "{}", refused.stderr);
        assert!(refused.stderr.contains("use the version of Sortie that wrote it"), "{}", refused.stderr);
    }
    assert_eq!(format(Some(own)), 9_999_u64.to_be_bytes(), "nobody wrote over it");
    let server = Server::start(&folder);
    assert_eq!(server.client().get(&format!("/v1/runs/{run}")).ok(200)["status"], "succeeded");
}

#[test]
fn a_store_of_an_older_version_goes_on_with_its_waiting_runs_and_there_is_a_way_back() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook(
        "later",
        "triggers: [case.created]\nsteps:\n  - { id: ask, approve: { ask: \"Go on?\", by: admin, deadline: 4h, on_deadline: deny } }\n  \
         - { id: note, action: log, with: { message: done } }\n",
    );
    let server = Server::start(&folder);
    let case = json!({ "type": "case.created", "case": { "id": "C-1", "stage": "New" } });
    let run = run_id(&server.accepted(&case), "later");
    eventually("it waits", || {
        (server.client().get(&format!("/v1/runs/{run}")).ok(200)["status"] == "waiting").then_some(())
    });
    server.stop();
    let db = sled::open(folder.data().join("db")).unwrap();
    db.insert(b"!f", [&[0], &1_u64.to_be_bytes()[..]].concat()).unwrap();
    db.flush().unwrap();
    drop(db);
    let server = Server::start(&folder);
    server.log().wait_for("upgraded to format");
    assert_eq!(server.client().get(&format!("/v1/runs/{run}")).ok(200)["status"], "waiting");
    server.client().post(&format!("/v1/runs/{run}/cancel"), &json!({})).expect(200);
    assert_eq!(server.ended_run(&run)["status"], "cancelled", "it goes on under the new version");
    server.stop();
    // The way back: how it was, in an empty folder.
    let backup = folder.data().join("before-upgrade-from-1.backup");
    let older = Folder::new();
    sortie(&older, &["restore", backup.to_str().unwrap()]).expect(0);
    let db = sled::open(older.data().join("db")).unwrap();
    assert_eq!(db.get(b"!f").unwrap().unwrap()[1..], 1_u64.to_be_bytes(), "as the older version wrote it");
    drop(db);
    let shown = sortie(&older, &["runs", "show", &run, "--json"]).expect(0).json();
    assert_eq!(shown["status"], "waiting");
}
