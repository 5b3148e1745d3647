//! What is taken away beside bundles: lists as tables, checkpoints for another place, proofs of values.

use serde_json::{Value, json};

use crate::support::command::{sortie, sortie_with_input};
use crate::support::sample::{NOTE, TELL, alert, busy, desk, run_id};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

#[test]
fn a_list_is_taken_away_whole_however_many_pages_it_has() {
    let folder = Folder::new();
    let server = busy(&folder, 2_300);
    let mut evil = alert("A-evil", 10);
    evil["alert"]["name"] = json!("=HYPERLINK(\"http://evil.example\")");
    server.accepted(&evil);
    for (list, rows) in [("runs", 2_301), ("alerts", 2_301), ("events", 2_301)] {
        let table = server.client().get(&format!("/v1/{list}?format=csv")).expect(200);
        assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
        let text = table.text();
        assert_eq!(text.lines().count(), rows + 1, "{list}: a head and every row");
        let mut ids: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows, "{list}: none twice");
        let formula = |cell: &str| cell.trim_start_matches('"').trim_start().starts_with(['=', '+', '@']);
        assert!(!text.split(['\n', ',']).any(formula), "{list}: nothing that a spreadsheet runs");
    }
    let audit = server.client().get("/v1/audit?format=csv&action=run.progressed").expect(200).text();
    assert!(audit.lines().count() > 2_300, "{}", audit.lines().count());
    let few = server.client().get("/v1/runs?format=csv&limit=1500").expect(200).text();
    assert_eq!(few.lines().count(), 1_501, "a limit bounds the rows, not the page");
    assert_eq!(server.client().get("/v1/runs?format=csv&status=nonsense").problem(400), "invalid_query");
    assert_eq!(server.client().get("/v1/runs?format=xlsx").problem(400), "invalid_query");
    let trail = server.items("/v1/audit?action=list%20exported");
    assert_eq!(trail.len(), 5, "what could not be given is not recorded as given: {trail:#?}");
    assert_eq!(trail[4]["object"], "list:runs");
    // The command line writes the same.
    let csv = sortie(&folder, &["runs", "list", "--csv"]).expect(0).stdout;
    assert_eq!(csv.lines().count(), 2_302);
}

#[test]
fn a_table_holds_what_its_reader_may_see_and_nothing_else() {
    let folder = Folder::and("tenants: [acme, globex]\n");
    folder.playbook("note", NOTE);
    let server = Server::start(&folder);
    for (tenant, id) in [("acme", "A-1"), ("globex", "G-1"), ("acme", "A-2")] {
        let mut event = alert(id, 10);
        event["tenant"] = json!(tenant);
        let run = run_id(&server.accepted(&event), "note");
        server.ended_run(&run);
    }
    let made = ["tokens", "create", "--name", "ann", "--role", "auditor", "--tenant", "acme"];
    let ann = server.client().with_token(&sortie(&folder, &made).expect(0).stdout);
    for list in ["runs", "alerts", "events", "audit"] {
        let text = ann.get(&format!("/v1/{list}?format=csv")).expect(200).text();
        assert!(text.contains("A-1") || list == "audit", "{list}: {text}");
        assert!(!text.contains("G-1") && !text.contains("globex"), "{list}: {text}");
        assert_eq!(ann.get(&format!("/v1/{list}?format=csv&tenant=globex")).status, 404, "{list}");
    }
    let made = ["tokens", "create", "--name", "vic", "--role", "viewer"];
    let vic = server.client().with_token(&sortie(&folder, &made).expect(0).stdout);
    vic.get("/v1/audit?format=csv").problem(403);
}

/// A server whose checkpoints go to the receiver.
fn keeping(receiver: &Receiver) -> Folder {
    let folder = Folder::and("ledger: { destination: keeper }\n");
    folder.destinations(receiver, &["keeper"], "timeout: 5s");
    folder.playbook("note", NOTE);
    folder
}

#[test]
fn a_checkpoint_that_was_sent_away_shows_that_the_tail_was_cut_off() {
    let receiver = Receiver::start();
    let folder = keeping(&receiver);
    let server = Server::start(&folder);
    for n in 0..3 {
        server.ended_run(&run_id(&server.accepted(&alert(&format!("A-{n}"), 10)), "note"));
    }
    let signed = server.client().get("/v1/audit/checkpoint").ok(200);
    let size = signed["size"].as_u64().unwrap();
    let mut kept = String::new();
    eventually("the checkpoint arrives", || {
        let mut arrived = false;
        for sent in receiver.waiting() {
            let body = sent.json();
            assert_eq!((sent.path.as_str(), &body["type"]), ("/keeper", &json!("ledger.checkpoint")));
            arrived |= body["size"].as_u64() >= Some(size);
            kept.push_str(&format!("{body}\n"));
        }
        arrived.then_some(())
    });
    let arrived = eventually("the status says so", || {
        let status = server.client().get("/v1/status").ok(200);
        (status["checkpoints"]["arrived_size"].as_u64() >= Some(size)).then_some(status)
    });
    assert!(arrived["checkpoints"]["failing_since"].is_null(), "{arrived:#}");
    let kept = folder.write("kept.jsonl", &kept);
    let kept = kept.to_str().unwrap();
    server.stop();
    sortie(&folder, &["audit", "verify", "--checkpoint", kept]).expect(0);
    // Whoever holds the folder begins anew with an older copy of it.
    let older = Folder::new();
    let server = Server::start(&older);
    server.stop();
    let report = sortie(&older, &["audit", "verify", "--checkpoint", kept, "--json"]).expect(5).json();
    let kinds: Vec<&str> = report["findings"].as_array().unwrap().iter().filter_map(|f| f["kind"].as_str()).collect();
    assert!(kinds.iter().all(|kind| ["signature", "tail_cut", "rewritten"].contains(kind)), "{kinds:?}");
}

#[test]
fn a_checkpoint_that_does_not_arrive_is_told_once_and_arrives_later() {
    let receiver = Receiver::start();
    receiver.otherwise(Reply::Status(503));
    let folder = keeping(&receiver);
    let server = Server::start(&folder);
    server.client().get("/v1/audit/checkpoint").expect(200);
    let failing = eventually("it is seen to fail", || {
        let status = server.client().get("/v1/status").ok(200);
        status["checkpoints"]["failing_since"].is_string().then_some(status)
    });
    assert!(failing["checkpoints"]["reason"].as_str().unwrap().contains("HTTP 503"), "{failing:#}");
    assert!(server.client().get("/metrics").text().contains("sortie_checkpoints_failing 1"));
    let told = || server.items("/v1/audit?action=checkpoint%20did%20not%20arrive");
    eventually("it is recorded", || (told().len() == 1).then_some(()));
    receiver.otherwise(Reply::Status(204));
    eventually("it arrives", || {
        let again = server.items("/v1/audit?action=checkpoints%20arrive%20again");
        (again.len() == 1).then_some(())
    });
    assert_eq!(told().len(), 1, "once for as long as it lasts");
    assert!(server.client().get("/metrics").text().contains("sortie_checkpoints_failing 0"));
}

#[test]
fn a_value_that_was_never_stored_is_proved_and_another_is_not() {
    const VALUE: &str = "canary-s3cret-value";
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "auth: { header: X-Auth, value: \"${secret:DESK}\" }");
    folder.playbook("tell", TELL);
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_DESK", VALUE)]);
    let run = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    let ended = server.ended_run(&run);
    let left = &ended["steps"][0]["attempts"][0]["redacted"][0];
    assert_eq!(left["secret"], "DESK", "{ended:#}");
    assert_eq!(left["commitment"].as_str().unwrap().len(), 64);
    assert_eq!(receiver.next().header("x-auth"), Some(VALUE));
    let proof = sortie_with_input(&folder, &["audit", "prove-value", &run, "--secret", "DESK"], VALUE.as_bytes());
    let proof = proof.expect(0).stdout;
    assert!(!proof.contains(VALUE), "the proof does not hold the value");
    let path = folder.write("proof.json", &proof);
    let key = sortie(&folder, &["audit", "key", "show"]).expect(0).stdout;
    let check = |value: &str| {
        let value = folder.write("value.txt", value);
        let elsewhere = Folder::new();
        let arguments = ["audit", "verify", path.to_str().unwrap(), "--key", key.trim(), "--value-file"];
        sortie(&elsewhere, &[&arguments[..], &[value.to_str().unwrap()]].concat())
    };
    check(&format!("{VALUE}\n")).expect(0);
    let wrong = check("canary-s3cret-valuf").expect(5);
    assert!(wrong.stdout.contains("the value is not the one"), "{}", wrong.stdout);
    let salt = serde_json::from_str::<Value>(&proof).unwrap()["disclosed"][0]["salt"].as_str().unwrap().to_owned();
    let forged = folder.write("forged.json", &proof.replace(&salt, &"0".repeat(salt.len())));
    let value = folder.write("value.txt", VALUE);
    let arguments = ["audit", "verify", forged.to_str().unwrap(), "--value-file", value.to_str().unwrap()];
    sortie(&folder, &arguments).expect(5);
    // Another value, another run's secret, somebody who is no administrator: nothing.
    let wrong = ["audit", "prove-value", &run, "--secret", "DESK"];
    let refused = sortie_with_input(&folder, &wrong, b"guess").expect(6);
    assert!(refused.stderr.contains("(404)"), "{}", refused.stderr);
    let made = sortie(&folder, &["tokens", "create", "--name", "ann", "--role", "auditor"]).expect(0).stdout;
    let asked = json!({ "secret": "DESK", "value": VALUE });
    server.client().with_token(&made).post(&format!("/v1/audit/runs/{run}/prove-value"), &asked).problem(403);
    let trail = server.items(&format!("/v1/audit?object=run:{run}"));
    let actions: Vec<&str> = trail.iter().filter_map(|item| item["action"].as_str()).collect();
    assert!(actions.contains(&"redacted value proved"), "{actions:?}");
    assert!(actions.contains(&"redacted value not proved"), "a guess is recorded, too: {actions:?}");
    server.stop();
    for (path, bytes) in folder.data_files() {
        let there = bytes.windows(VALUE.len()).any(|part| part == VALUE.as_bytes());
        assert!(!there, "{}", path.display());
    }
}

#[test]
fn a_lost_key_of_commitments_is_told_and_opens_nothing_old() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    Server::start(&folder).stop();
    std::fs::remove_file(folder.data().join("commitments.key")).unwrap();
    let server = Server::start(&folder);
    let trail = server.items("/v1/audit?object=commitments");
    let actions: Vec<&str> = trail.iter().filter_map(|item| item["action"].as_str()).collect();
    assert_eq!(actions, ["key of commitments lost and made anew", "key of commitments made"]);
    server.stop();
    std::fs::write(folder.data().join("commitments.key"), "nonsense\n").unwrap();
    let (status, log) = Server::try_start(&folder, &[]).err().expect("no start");
    assert!(!status.success() && log.contains("commitments.key"), "{log}");
}
