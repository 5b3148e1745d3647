//! Evidence bundles against whoever changes them, and against a program that knows nothing of Sortie.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Folder;
use crate::support::command::{shell, sortie};
use crate::support::sample::busy;

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
        let mut limited = shell(&folder, "ulimit -v 2000000");
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
