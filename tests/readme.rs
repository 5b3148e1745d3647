//! The README and the shipped files: what they say is so.

use std::path::{Path, PathBuf};

use crate::support::Folder;
use crate::support::command::{command, run, sortie};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("a README")
}

#[test]
fn every_shipped_playbook_passes_the_check() {
    let folder = Folder::new();
    let ended = run(command(&folder).current_dir(root()).args(["check", "playbooks", "--json"]), b"").expect(0);
    let found = ended.json();
    let errors = found.as_array().expect("a list").iter().filter(|one| one["severity"] == "error").count();
    assert_eq!(errors, 0, "{found}");
}

#[test]
fn every_playbook_in_the_documents_passes_the_check() {
    let mut checked = 0;
    let mut files = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    // The pages of error codes show what is wrong on purpose.
    let errors = root().join("docs/errors");
    for file in files.into_iter().filter(|file| !file.starts_with(&errors)) {
        let text = std::fs::read_to_string(&file).unwrap();
        let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let whole =
            |block: &&str| block.lines().any(|line| line.starts_with("playbook: ")) && block.contains("\nsteps:");
        let blocks: Vec<&str> = blocks.filter(whole).collect();
        for block in &blocks {
            let folder = Folder::new();
            std::fs::remove_file(folder.path().join("sortie.yaml")).unwrap();
            folder.write("playbooks/block.yaml", block);
            // What it calls stands on the same page.
            for (n, other) in blocks.iter().enumerate().filter(|(_, other)| block.contains("call:") && *other != block)
            {
                folder.write(&format!("playbooks/other-{n}.yaml"), other);
            }
            let ended = sortie(&folder, &["check", "playbooks"]);
            assert_eq!(ended.status.code(), Some(0), "{}: {block}\n{}", file.display(), ended.stderr);
            checked += 1;
        }
    }
    assert!(checked > 0, "no playbook was found in the documents");
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_help() {
    let help = sortie(&Folder::new(), &["--help"]).expect(0).stdout;
    let readme = readme();
    for line in help.lines().filter_map(|line| line.strip_prefix("Exit codes: ")) {
        for part in line.split(" · ") {
            let (code, meaning) = part.split_once(' ').expect("a code and what it means");
            let row = readme.lines().find(|row| row.starts_with('|') && row.contains(&format!("| {code} |")));
            let row = row.unwrap_or_else(|| panic!("no row for exit code {code} in the README"));
            assert!(row.contains(meaning), "{row} / {meaning}");
        }
    }
}

#[test]
fn every_command_that_the_readme_names_exists() {
    let help = sortie(&Folder::new(), &["--help"]).expect(0).stdout;
    let readme = readme();
    let mut seen = 0;
    for line in readme.lines().filter_map(|line| line.trim().strip_prefix("$ sortie ")) {
        let name = line.split_whitespace().next().unwrap();
        if name.starts_with('-') {
            continue;
        }
        assert!(help.lines().any(|line| line.trim().starts_with(name)), "`sortie {name}` is not in the help");
        seen += 1;
    }
    assert!(seen > 0);
    for path in readme.split(['(', ')']).filter(|part| part.starts_with("docs/") || part.starts_with("playbooks/")) {
        let path = path.split('#').next().unwrap();
        assert!(root().join(path).exists(), "the README points to {path}");
    }
}
