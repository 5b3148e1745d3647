//! The ledger: a record that is whole verifies, and every way to change it is found and named, in the store and in the
//! evidence that was taken away.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sample::{alert, desk, run_id};
use crate::support::{Folder, Receiver, Server};

/// A folder in which alerts were told and the server was stopped, and the last run.
fn told(alerts: usize) -> (Folder, Receiver, String) {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let mut last = String::new();
    for n in 0..alerts {
        last = run_id(&server.accepted(&alert(&format!("A-{n}"), 92)), "tell");
        assert_eq!(server.ended_run(&last)["status"], "succeeded");
    }
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    (folder, receiver, last)
}

/// What verification of the stopped folder says.
fn report(folder: &Folder, more: &[&str], code: i32) -> Value {
    let arguments: Vec<&str> = ["audit", "verify", "--json"].iter().chain(more).copied().collect();
    sortie(folder, &arguments).expect(code).json()
}

fn kinds(report: &Value) -> Vec<(String, Option<u64>)> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|found| (found["kind"].as_str().unwrap().to_owned(), found["entry"].as_u64())).collect()
}

fn named(kind: &str, entry: u64) -> (String, Option<u64>) {
    (kind.to_owned(), Some(entry))
}

#[test]
fn a_record_that_is_whole_verifies_and_is_signed_up_to_its_end() {
    let (folder, _receiver, _) = told(3);
    let report = report(&folder, &[], 0);
    assert_eq!((&report["ok"], &report["unsigned"], &report["findings_total"]), (&json!(true), &json!(0), &json!(0)));
    assert_eq!(report["entries"], report["payloads"]);
    assert!(report["checkpoints"].as_u64().unwrap() >= 1);
    let people = sortie(&folder, &["audit", "verify"]).expect(0);
    assert!(people.stdout.contains("the record is whole"), "{}", people.stdout);
    assert!(people.stderr.contains("kept outside this store"), "{}", people.stderr);
}

#[test]
fn the_key_and_checkpoints_that_were_kept_elsewhere_are_what_counts() {
    let (folder, _receiver, _) = told(1);
    let key = sortie(&folder, &["audit", "key", "show"]).expect(0).stdout.trim().to_owned();
    let kept = sortie(&folder, &["audit", "checkpoint"]).expect(0).stdout;
    let kept = folder.write("kept.txt", &kept);
    let kept = kept.to_str().unwrap();
    let server = Server::start(&folder);
    server.accepted(&alert("A-9", 92));
    server.stop();
    let good = report(&folder, &["--key", &key, "--checkpoint", kept], 0);
    assert_eq!(good["signer_known"], true);
    // A key that is replaced by a person with access to the folder is not the one that was given.
    sortie(&folder, &["audit", "key", "rotate"]).expect(0);
    let server = Server::start(&folder);
    server.accepted(&alert("A-10", 92));
    server.stop();
    assert_eq!(report(&folder, &[], 0)["ok"], true, "its own keys are known to the record");
    let strict = report(&folder, &["--key", &key], 5);
    assert!(kinds(&strict).iter().all(|(kind, _)| kind == "signature"), "{strict:#}");
}

#[test]
fn a_key_that_is_lost_is_made_anew_and_told() {
    let (folder, _receiver, _) = told(1);
    std::fs::remove_file(folder.data().join("ledger.key")).unwrap();
    let server = Server::start(&folder);
    server.log().wait_for("signing key lost");
    let trail = server.items("/v1/audit?object=ledger");
    assert_eq!(trail[0]["action"], "signing key lost and made anew");
    server.stop();
    assert_eq!(report(&folder, &[], 0)["ok"], true);
}

/// The history as it lies in the database of a stopped server, to be changed by someone who knows how.
struct Forge {
    db: sled::Db,
}

/// A group of entries: headers as they are written, salts and payloads.
#[derive(Clone)]
struct Group {
    key: [u8; 9],
    head: Vec<u8>,
    headers: Vec<String>,
    payloads: Vec<(Vec<u8>, Vec<u8>)>,
}

fn expand(stored: &[u8]) -> Vec<u8> {
    let length = u32::from_be_bytes(stored[..4].try_into().unwrap()) as usize;
    lz4_flex::block::decompress(&stored[4..], length).unwrap()
}

fn compressed(raw: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(raw.len()).unwrap().to_be_bytes().to_vec();
    out.extend(lz4_flex::block::compress(raw));
    out
}

impl Forge {
    fn open(folder: &Folder) -> Forge {
        Forge { db: sled::open(folder.data().join("db")).unwrap() }
    }

    fn groups(&self) -> Vec<Group> {
        self.db.scan_prefix(b"h").map(|found| self.group(&found.unwrap())).collect()
    }

    fn group(&self, (key, value): &(sled::IVec, sled::IVec)) -> Group {
        let key: [u8; 9] = key.as_ref().try_into().unwrap();
        let stored = self.db.get(payload_key(key)).unwrap().unwrap();
        assert_eq!((value[0], stored[0]), (0, 0), "small groups lie in one piece");
        let headers = String::from_utf8(expand(&value[34..])).unwrap();
        let raw = expand(&stored[6..]);
        let mut payloads = Vec::new();
        let mut rest = raw.as_slice();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[16..20].try_into().unwrap()) as usize;
            payloads.push((rest[..16].to_vec(), rest[20..20 + length].to_vec()));
            rest = &rest[20 + length..];
        }
        let headers = headers.lines().map(str::to_owned).collect();
        Group { key, head: value[..34].to_vec(), headers, payloads }
    }

    fn put(&self, group: &Group) {
        let mut headers = group.head.clone();
        headers.extend(compressed(group.headers.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes()));
        let mut raw = Vec::new();
        for (salt, payload) in &group.payloads {
            raw.extend_from_slice(salt);
            raw.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
            raw.extend_from_slice(payload);
        }
        let mut payloads = vec![0, 1];
        payloads.extend_from_slice(&u32::try_from(group.payloads.len()).unwrap().to_be_bytes());
        payloads.extend(compressed(&raw));
        self.db.insert(group.key, headers).unwrap();
        self.db.insert(payload_key(group.key), payloads).unwrap();
    }

    /// The group of the first event about this alert, and the entry.
    fn about(&self, alert: &str) -> (Group, u64) {
        let wanted = format!("\"object\":\"alert:{alert}\"");
        let found = self.groups().into_iter().find(|group| group.headers[0].contains(&wanted)).unwrap();
        let entry = u64::from_be_bytes(found.key[1..].try_into().unwrap());
        (found, entry)
    }

    fn close(self) {
        self.db.flush().unwrap();
    }
}

fn payload_key(key: [u8; 9]) -> [u8; 9] {
    let mut payload = key;
    payload[0] = b'p';
    payload
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn an_edited_payload_is_found_at_its_entry() {
    let (folder, _receiver, _) = told(3);
    let forge = Forge::open(&folder);
    let (mut group, entry) = forge.about("A-1");
    group.payloads[0].1 = replaced(&group.payloads[0].1, "Impossible travel", "Permitted travel!");
    forge.put(&group);
    forge.close();
    assert_eq!(kinds(&report(&folder, &[], 5)), [named("edited", entry)]);
}

#[test]
fn an_edited_header_is_found_at_its_entry_even_when_its_payload_fits() {
    let (folder, _receiver, _) = told(3);
    let forge = Forge::open(&folder);
    let (mut group, entry) = forge.about("A-1");
    group.headers[0] = group.headers[0].replacen("generic", "someone", 1);
    forge.put(&group);
    forge.close();
    let found = kinds(&report(&folder, &[], 5));
    assert!(found.contains(&named("edited", entry)), "{found:?}");
    assert!(found.iter().any(|(kind, _)| kind == "rewritten"), "the root is not the signed one: {found:?}");
}

#[test]
fn entries_that_were_swapped_are_found() {
    let (folder, _receiver, _) = told(3);
    let forge = Forge::open(&folder);
    let ((mut one, first), (mut other, _)) = (forge.about("A-0"), forge.about("A-1"));
    std::mem::swap(&mut one.headers[0], &mut other.headers[0]);
    one.payloads.swap_with_slice(&mut other.payloads);
    forge.put(&one);
    forge.put(&other);
    forge.close();
    let found = kinds(&report(&folder, &[], 5));
    assert_eq!(found.iter().find(|(kind, _)| kind == "reordered"), Some(&named("reordered", first)), "{found:?}");
}

#[test]
fn a_deleted_entry_refuses_the_store_and_is_named() {
    let (folder, _receiver, _) = told(3);
    let forge = Forge::open(&folder);
    let (group, entry) = forge.about("A-1");
    forge.db.remove(group.key).unwrap();
    forge.db.remove(payload_key(group.key)).unwrap();
    forge.close();
    let refused = sortie(&folder, &["audit", "verify"]).expect(4);
    assert!(refused.stderr.contains(&format!("history is missing before entry {}", entry + 1)), "{}", refused.stderr);
}

/// Cuts the tail off, with everything beside the database that could tell.
fn cut(folder: &Folder) -> u64 {
    let forge = Forge::open(folder);
    let groups = forge.groups();
    let (_, from) = forge.about("A-2");
    for group in groups.iter().filter(|group| u64::from_be_bytes(group.key[1..].try_into().unwrap()) >= from) {
        forge.db.remove(group.key).unwrap();
        forge.db.remove(payload_key(group.key)).unwrap();
    }
    forge.close();
    std::fs::write(folder.data().join("witness"), format!("{{\"next_seq\":{from}}}")).unwrap();
    std::fs::remove_file(folder.data().join("witness.now")).unwrap();
    from
}

#[test]
fn a_tail_that_was_cut_off_is_found_against_the_last_checkpoint() {
    let (folder, _receiver, _) = told(3);
    let from = cut(&folder);
    assert!(kinds(&report(&folder, &[], 5)).contains(&named("tail_cut", from)));
}

#[test]
fn a_record_that_was_computed_anew_is_found_against_a_checkpoint_kept_elsewhere_and_only_there() {
    let (folder, _receiver, _) = told(3);
    let kept = sortie(&folder, &["audit", "checkpoint"]).expect(0).stdout;
    let kept = folder.write("kept.txt", &kept);
    // Whoever holds the folder changes an entry, takes all checkpoints away and lets the server sign anew.
    let forge = Forge::open(&folder);
    let (mut group, _) = forge.about("A-1");
    group.headers[0] = group.headers[0].replacen("generic", "someone", 1);
    forge.put(&group);
    for key in forge.db.scan_prefix(b"mledger/checkpoint/").keys() {
        forge.db.remove(key.unwrap()).unwrap();
    }
    forge.close();
    Server::start(&folder).stop();
    assert_eq!(report(&folder, &[], 0)["ok"], true, "nothing inside can tell");
    let found = kinds(&report(&folder, &["--checkpoint", kept.to_str().unwrap()], 5));
    assert_eq!(found[0].0, "rewritten", "{found:?}");
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

fn packed(folder: &Folder, name: &str, files: &BTreeMap<String, Vec<u8>>) -> PathBuf {
    let path = folder.path().join(name);
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in files {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}

fn exported(folder: &Folder, more: &[&str]) -> PathBuf {
    let path = folder.path().join("evidence.zip");
    let arguments: Vec<&str> =
        ["audit", "export", "--out", path.to_str().unwrap()].iter().chain(more).copied().collect();
    sortie(folder, &arguments).expect(0);
    path
}

/// What a machine that never saw the server says of a bundle.
fn elsewhere(path: &Path, more: &[&str], code: i32) -> Value {
    let empty = Folder::new();
    let arguments: Vec<&str> =
        ["audit", "verify", path.to_str().unwrap(), "--json"].iter().chain(more).copied().collect();
    sortie(&empty, &arguments).expect(code).json()
}

#[test]
fn evidence_verifies_on_a_machine_that_never_saw_the_server() {
    let (folder, _receiver, _) = told(3);
    let key = sortie(&folder, &["audit", "key", "show"]).expect(0).stdout.trim().to_owned();
    let bundle = exported(&folder, &[]);
    let files = unpacked(&bundle);
    for name in ["entries.jsonl", "proofs.json", "checkpoint.txt", "summary.html"] {
        assert!(files.contains_key(name), "{name} in {:?}", files.keys());
    }
    assert!(files.keys().any(|name| name.starts_with("playbooks/tell-")), "{:?}", files.keys());
    let whole = elsewhere(&bundle, &["--key", &key], 0);
    assert_eq!((&whole["ok"], &whole["signer_known"]), (&json!(true), &json!(true)), "{whole:#}");
    assert_eq!(whole["entries"], whole["size"], "everything up to the checkpoint");
    let page = String::from_utf8(files["summary.html"].clone()).unwrap();
    assert!(page.contains("alert.created from generic; tell: matched"), "{page}");
    // Each line is canonical and one entry.
    let lines = String::from_utf8(files["entries.jsonl"].clone()).unwrap();
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value.to_string().len(), line.len(), "no space and no other order: {line}");
    }
}

#[test]
fn every_change_of_a_bundle_is_found_and_named() {
    let (folder, _receiver, _) = told(3);
    let bundle = exported(&folder, &[]);
    let files = unpacked(&bundle);
    let lines: Vec<String> =
        String::from_utf8(files["entries.jsonl"].clone()).unwrap().lines().map(str::to_owned).collect();
    let says = |name: &str, lines: &[String]| {
        let mut changed = files.clone();
        changed.insert(
            "entries.jsonl".to_owned(),
            lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes(),
        );
        kinds(&elsewhere(&packed(&folder, name, &changed), &[], 5))
    };
    let mut edited = lines.clone();
    edited[4] = edited[4].replacen("\"payload\":\"{", "\"payload\":\"{ ", 1);
    assert_eq!(says("edited.zip", &edited), [named("edited", 5)]);
    let mut header = lines.clone();
    header[4] = header[4].replacen("\"node\":\"", "\"node\":\"x", 1);
    assert_eq!(says("header.zip", &header), [named("edited", 5)]);
    let mut deleted = lines.clone();
    deleted.remove(4);
    assert_eq!(says("deleted.zip", &deleted), [named("deleted", 5)]);
    let mut inserted = lines.clone();
    inserted.insert(4, header[4].clone());
    assert_eq!(says("inserted.zip", &inserted), [named("inserted", 5)]);
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    assert_eq!(says("swapped.zip", &swapped), [named("reordered", 5)]);
    let mut short = lines.clone();
    short.truncate(lines.len() - 2);
    assert_eq!(says("short.zip", &short), [named("tail_cut", lines.len() as u64 - 1)]);
    let mut torn = lines.clone();
    torn[4].truncate(20);
    assert_eq!(says("torn.zip", &torn)[0], named("unreadable", 5));
    // A checkpoint, leaves or proofs that were changed do not lead to each other any more.
    for (file, from, to) in
        [("leaves.txt", " ", " 0"), ("checkpoint.txt", "time 2", "time 3"), ("proofs.json", "cover", "cower")]
    {
        let mut changed = files.clone();
        let text = String::from_utf8(changed[file].clone()).unwrap().replacen(from, to, 1);
        changed.insert(file.to_owned(), text.into_bytes());
        let path = packed(&folder, "changed.zip", &changed);
        let ended = sortie(&Folder::new(), &["audit", "verify", path.to_str().unwrap()]);
        let code = ended.status.code();
        assert!(matches!(code, Some(3 | 5)), "{file}: {code:?} {}", ended.stderr);
    }
}

#[test]
fn evidence_about_one_case_or_run_or_time_holds_that_and_verifies() {
    let (folder, _receiver, run) = told(3);
    let whole = unpacked(&exported(&folder, &[]));
    let all = String::from_utf8(whole["entries.jsonl"].clone()).unwrap().lines().count() as u64;
    for more in [["--alert", "A-1"], ["--run", &run]] {
        std::fs::remove_file(folder.path().join("evidence.zip")).unwrap();
        let bundle = exported(&folder, &more);
        let report = elsewhere(&bundle, &[], 0);
        let entries = report["entries"].as_u64().unwrap();
        assert!(entries >= 2 && entries < all, "{entries} of {all}");
        let lines = String::from_utf8(unpacked(&bundle)["entries.jsonl"].clone()).unwrap();
        assert!(!lines.contains("A-0"), "nothing of another alert: {lines}");
    }
    std::fs::remove_file(folder.path().join("evidence.zip")).unwrap();
    let bundle = exported(&folder, &["--since", "2001-01-01T00:00:00Z", "--until", "2001-01-02T00:00:00Z"]);
    let report = elsewhere(&bundle, &[], 0);
    assert_eq!(report["entries"], 1, "the entry after it shows that nothing was recorded in that day: {report:#}");
}

#[test]
fn a_run_is_proved_by_itself() {
    let (folder, _receiver, run) = told(2);
    let key = sortie(&folder, &["audit", "key", "show"]).expect(0).stdout.trim().to_owned();
    let proof = sortie(&folder, &["audit", "prove", &run]).expect(0).stdout;
    let path = folder.write("proof.json", &proof);
    let good = elsewhere(&path, &["--key", &key], 0);
    assert!(good["entries"].as_u64().unwrap() >= 2);
    let path = folder.write("false.json", &proof.replacen("Impossible", "Irrelevant", 1));
    assert_eq!(elsewhere(&path, &["--key", &key], 5)["findings"][0]["kind"], "edited");
    sortie(&folder, &["audit", "prove", "run-1-0-00000000"]).expect(6);
}

#[test]
fn who_took_evidence_is_in_the_trail_and_a_spreadsheet_runs_nothing_of_it() {
    let (folder, _receiver, _) = told(1);
    exported(&folder, &["--alert", "A-0"]);
    let server = Server::start(&folder);
    let trail = server.items("/v1/audit?action=audit.exported");
    assert_eq!((trail.len(), &trail[0]["detail"]["about"]), (1, &json!("alert:A-0")));
    let mut evil = alert("A-66", 10);
    evil["alert"]["id"] = json!("=cmd|' /C calc'!A0");
    server.accepted(&evil);
    let table = server.client().get("/v1/audit?format=csv&limit=5").expect(200);
    assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(table.text().starts_with("seq,time,actor,action,kind,object,detail\r\n"), "{}", table.text());
    let cells = table.text();
    assert!(!cells.split(['\n', ',']).any(|cell| cell.trim_start_matches('"').starts_with('=')), "{cells}");
}

#[test]
fn what_is_in_force_is_recorded_with_its_digests_and_the_commit_it_comes_from() {
    let folder = Folder::new();
    folder.playbook("log", "triggers: [manual]\nsteps:\n  - { id: say, action: log, with: { message: hello } }\n");
    let git = |arguments: &[&str]| {
        let done = std::process::Command::new("git").arg("-C").arg(folder.path()).args(arguments).output();
        done.is_ok_and(|done| done.status.success())
    };
    let there = git(&["init", "-q"])
        && git(&["add", "playbooks"])
        && git(&["-c", "user.name=Eva", "-c", "user.email=eva@example.com", "commit", "-qm", "first"]);
    let server = Server::start(&folder);
    let trail = server.items("/v1/audit?action=files%20read");
    let detail = &trail[0]["detail"];
    let files = detail["files"].as_object().unwrap();
    assert!(files.keys().any(|name| name.ends_with("sortie.yaml")), "{detail:#}");
    assert_eq!(detail["version"], env!("CARGO_PKG_VERSION"));
    if there {
        assert_eq!(detail["git"]["author"], "Eva <eva@example.com>");
        assert_eq!(detail["git"]["commit"].as_str().unwrap().len(), 40);
    } else {
        println!("skipped the commit: git is not installed");
    }
}

#[test]
fn a_hold_is_placed_listed_and_lifted_and_each_is_recorded() {
    let (folder, _receiver, _) = told(1);
    sortie(&folder, &["audit", "hold", "place", "alert:A-0", "--reason", "claim 114"]).expect(0);
    let listed = sortie(&folder, &["audit", "hold", "list", "--json"]).expect(0).json();
    assert_eq!(
        (&listed["items"][0]["object"], &listed["items"][0]["reason"]),
        (&json!("alert:A-0"), &json!("claim 114"))
    );
    sortie(&folder, &["audit", "hold", "lift", "alert:A-0"]).expect(0);
    sortie(&folder, &["audit", "hold", "lift", "alert:A-0"]).expect(6);
    sortie(&folder, &["audit", "hold", "place", "alert:A-77", "--reason", "x"]).expect(6);
    let server = Server::start(&folder);
    let trail = server.items("/v1/audit?object=alert:A-0");
    let actions: Vec<&str> = trail.iter().take(2).map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["hold lifted", "hold placed"]);
}
