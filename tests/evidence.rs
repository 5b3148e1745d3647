//! What is taken away: lists, checkpoints and values as evidence, backups; and what a hostile bundle achieves.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::command::{sortie, sortie_with_input};
use crate::support::sample::{TELL, alert, desk, run_id};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

/// A playbook that runs for each alert and sends nothing.
const NOTE: &str = "triggers: [alert.created]\nsteps:\n  - { id: note, action: log, with: { message: hi } }\n";

/// A folder with a server on which so many alerts were told in batches.
fn busy(folder: &Folder, alerts: usize) -> Server {
    folder.playbook("note", NOTE);
    let server = Server::start(folder);
    let all: Vec<usize> = (0..alerts).collect();
    for part in all.chunks(500) {
        let lines: String = part.iter().map(|n| format!("{}\n", alert(&format!("A-{n}"), 10))).collect();
        let headers = [("Content-Type", "application/x-ndjson")];
        server.client().anonymous().request("POST", "/v1/in/generic", &headers, lines.as_bytes()).expect(202);
    }
    eventually("all runs have ended", || {
        let status = server.client().get("/v1/status").ok(200);
        (status["runs_open"] == 0 && status["runs_ended"].as_u64() >= Some(alerts as u64)).then_some(())
    });
    server
}

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

/// The files of a bundle.
fn unpacked(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..zip.len() {
        let mut file = zip.by_index(at).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let name = file.name().unwrap().into_owned();
        files.insert(name, bytes);
    }
    files
}

fn packed(path: PathBuf, files: &BTreeMap<String, Vec<u8>>) -> PathBuf {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in files {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}

/// A bundle over several tiles of the tree, in a folder without a store, and the key that signed it.
fn bundle() -> (Folder, BTreeMap<String, Vec<u8>>, String) {
    let folder = Folder::new();
    let server = busy(&folder, 300);
    let path = folder.path().join("evidence.zip");
    sortie(&folder, &["audit", "export", "--out", path.to_str().unwrap()]).expect(0);
    let key = sortie(&folder, &["audit", "key", "show"]).expect(0).stdout.trim().to_owned();
    server.stop();
    let files = unpacked(&path);
    let elsewhere = Folder::new();
    std::fs::copy(&path, elsewhere.path().join("evidence.zip")).unwrap();
    (elsewhere, files, key)
}

fn lines(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<String> {
    String::from_utf8(files[name].clone()).unwrap().lines().map(str::to_owned).collect()
}

fn bytes(lines: &[String]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

#[test]
fn whatever_is_done_to_a_bundle_is_named_and_nothing_of_it_is_believed() {
    let (folder, files, key) = bundle();
    let says = |files: &BTreeMap<String, Vec<u8>>, more: &[&str]| {
        let path = packed(folder.path().join("changed.zip"), files);
        let arguments = [&["audit", "verify", path.to_str().unwrap(), "--json"], more].concat();
        let ended = sortie(&folder, &arguments);
        let code = ended.status.code().unwrap_or(-1);
        let kinds: Vec<String> = if code == 5 || code == 0 {
            let report = ended.json();
            let found = report["findings"].as_array().unwrap().iter();
            found.map(|one| format!("{}@{}", one["kind"].as_str().unwrap(), one["entry"])).collect()
        } else {
            vec![ended.stderr]
        };
        (code, kinds)
    };
    assert_eq!(says(&files, &["--key", &key]), (0, vec![]), "untouched it is whole");
    let entries = lines(&files, "entries.jsonl");
    let with = |name: &str, content: Vec<u8>| {
        let mut changed = files.clone();
        changed.insert(name.to_owned(), content);
        changed
    };
    let without = |name: &str| {
        let mut changed = files.clone();
        changed.remove(name);
        changed
    };
    // Two entries of different tiles of the tree.
    let mut swapped = entries.clone();
    swapped.swap(10, 300);
    let (code, kinds) = says(&with("entries.jsonl", bytes(&swapped)), &[]);
    assert!(code == 5 && kinds.contains(&"reordered@11".to_owned()), "{kinds:?}");
    let mut twice = entries.clone();
    twice.insert(20, entries[19].clone());
    let (code, kinds) = says(&with("entries.jsonl", bytes(&twice)), &[]);
    assert!(code == 5 && !kinds.is_empty(), "an entry that stands twice: {kinds:?}");
    // A leaf that was changed so that it fits the entry that was changed.
    let mut edited = entries.clone();
    edited[30] = edited[30].replacen("\"node\":\"", "\"node\":\"x", 1);
    let mut leaves = lines(&files, "leaves.txt");
    leaves[30] = format!("31 {}", "0".repeat(64));
    let mut changed = with("entries.jsonl", bytes(&edited));
    changed.insert("leaves.txt".to_owned(), bytes(&leaves));
    let (code, kinds) = says(&changed, &[]);
    assert!(code == 5 && kinds.iter().any(|kind| kind.starts_with("rewritten")), "{kinds:?}");
    // What lies beside the entries.
    let page = String::from_utf8(files["summary.html"].clone()).unwrap().replacen("matched", "did nothing", 1);
    assert_eq!(says(&with("summary.html", page.into_bytes()), &[]), (5, vec!["edited@null".to_owned()]));
    let text = files.keys().find(|name| name.starts_with("playbooks/")).unwrap().clone();
    assert_eq!(says(&with(&text, b"playbook: other\n".to_vec()), &[]), (5, vec!["edited@null".to_owned()]));
    for name in ["../../etc/cron.d/evil", "/etc/passwd", "C:\\evil.txt", "notes.txt"] {
        let (code, kinds) = says(&with(name, b"x".to_vec()), &[]);
        assert_eq!((code, kinds), (5, vec!["inserted@null".to_owned()]), "{name}");
    }
    assert!(!folder.path().join("../../etc/cron.d/evil").exists());
    // Pieces that are missing, cut short or nonsense.
    for name in ["checkpoint.txt", "leaves.txt", "entries.jsonl", "proofs.json", "summary.html"] {
        let (code, said) = says(&without(name), &[]);
        assert!(code == 3 && said[0].contains(name), "{name}: {said:?}");
        let half = files[name][..files[name].len() / 2].to_vec();
        let (code, said) = says(&with(name, half), &[]);
        assert!([3, 5].contains(&code) && !said.is_empty(), "half of {name}: {code} {said:?}");
        let (code, said) = says(&with(name, vec![0xff; 4_096]), &[]);
        assert!([3, 5].contains(&code) && !said.is_empty(), "nonsense in {name}: {code} {said:?}");
    }
    // The right bundle under another key, or another ledger's checkpoint in it.
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(says(&files, &["--key", other]), (5, vec!["signature@null".to_owned()]));
}

#[test]
fn a_bomb_in_a_bundle_is_stopped_and_half_a_file_is_no_bundle() {
    let (folder, files, _) = bundle();
    for name in ["leaves.txt", "entries.jsonl", "proofs.json", "checkpoint.txt"] {
        let mut changed = files.clone();
        // 200 MB that pack into a few hundred kilobytes.
        changed.insert(name.to_owned(), vec![b' '; 200_000_000]);
        let path = packed(folder.path().join("bomb.zip"), &changed);
        let limited = crate::support::command::shell(&folder, "ulimit -v 2000000");
        let mut limited = limited;
        let ended = limited.args(["audit", "verify", path.to_str().unwrap()]).output().unwrap();
        let code = ended.status.code();
        assert!(matches!(code, Some(3 | 5)), "{name}: {code:?} {}", String::from_utf8_lossy(&ended.stderr));
    }
    let whole = std::fs::read(folder.path().join("evidence.zip")).unwrap();
    for cut in [0, 1, 30, whole.len() / 2, whole.len() - 1] {
        let path = folder.path().join("cut.zip");
        std::fs::write(&path, &whole[..cut]).unwrap();
        let ended = sortie(&folder, &["audit", "verify", path.to_str().unwrap()]).expect(3);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[test]
fn a_program_that_knows_nothing_of_sortie_verifies_a_bundle() {
    let python = Command::new("python3").arg("--version").output().is_ok_and(|done| done.status.success());
    if !python {
        eprintln!("SKIPPED: python3 is not installed");
        return;
    }
    let (folder, files, key) = bundle();
    let script = folder.write("verify_bundle.py", include_str!("support/verify_bundle.py"));
    let verify = |bundle: &Path| {
        let mut command = Command::new("python3");
        command.arg(&script).arg(bundle).arg(&key).output().expect("python3")
    };
    let good = verify(&folder.path().join("evidence.zip"));
    let said = format!("{}{}", String::from_utf8_lossy(&good.stdout), String::from_utf8_lossy(&good.stderr));
    assert!(good.status.success() && said.contains("lead to the root"), "{said}");
    let mut changed = files.clone();
    let text = String::from_utf8(changed["entries.jsonl"].clone()).unwrap().replacen("generic", "genuine", 1);
    changed.insert("entries.jsonl".to_owned(), text.into_bytes());
    assert!(!verify(&packed(folder.path().join("changed.zip"), &changed)).status.success(), "it can say no");
}

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
    let there: Vec<bool> = after
        .iter()
        .map(|(_, run)| restored.client().get(&format!("/v1/runs/{run}")).status == 200)
        .collect();
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
