//! Every mistake, as a person sees it: `tests/diagnostics/CODE.yaml` must give exactly `CODE.err`.
//!
//! `BLESS=1 cargo test -p playbook --test diagnostics` writes the `.err` files anew; read what changed.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use playbook::{Evaluator, Source, check, codes, explain_code};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

/// The files of each case, by its name: `PB107.1.yaml` and `PB107.2.yaml` belong together.
fn cases() -> BTreeMap<String, Vec<Source>> {
    let mut cases: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "yaml")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let case = name.split('.').next().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        cases.entry(case).or_default().push(Source { file: name.into(), text });
    }
    cases
}

#[test]
fn every_message_is_as_it_was_written_down() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut different = Vec::new();
    for (case, sources) in cases() {
        let checked = check(&sources, &support::catalog(), &Evaluator::uncounted());
        let shown: Vec<String> = checked.diagnostics.iter().map(|found| found.render(false)).collect();
        let shown = shown.join("\n");
        let path = folder().join(format!("{case}.err"));
        if bless {
            std::fs::write(&path, &shown).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            different.push(format!("--- {case}\n{shown}"));
        }
        let code = case.split('-').next().unwrap();
        if !checked.diagnostics.iter().any(|found| found.code == code) {
            different.push(format!("--- {case} does not show {code}\n{shown}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn there_are_enough_broken_playbooks() {
    assert!(cases().len() >= 120, "{} broken playbooks", cases().len());
}

#[test]
fn every_code_has_a_page_and_an_example_and_nothing_else_has() {
    let cases = cases();
    for (code, title) in codes() {
        let page = explain_code(code).unwrap();
        assert!(page.starts_with(&format!("# {code}: {title}\n")), "the page of {code} begins otherwise");
        assert!(cases.keys().any(|case| case.split('-').next() == Some(code)), "{code} has no example");
    }
    for case in cases.keys() {
        assert!(explain_code(case.split('-').next().unwrap()).is_some(), "{case} has no page");
    }
}

#[test]
fn every_code_that_the_source_names_is_in_the_table() {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("\"PB") {
                let code = &text[at + 1..at + 6];
                assert!(explain_code(code).is_some(), "{} names {code}, which has no page", path.display());
            }
        }
    }
}

#[test]
fn colours_are_used_only_when_asked_for_and_control_characters_never_reach_the_terminal() {
    let source = Source { file: "x\u{1b}[2J.yaml".into(), text: "playbook: p\nenabld: \"\u{1b}[2J\"\n".into() };
    let checked = check(&[source], &support::catalog(), &Evaluator::uncounted());
    for found in &checked.diagnostics {
        assert!(!found.render(false).contains('\u{1b}'));
        assert!(found.render(true).contains("\u{1b}[1;31m") && !found.render(true).contains("[2J\u{1b}"));
        assert_eq!(found.place().line, found.span.line);
    }
    assert!(checked.failed());
}
