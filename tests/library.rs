//! The shipped playbooks: each by its own tests shows that it does what it says, with what a product sends, and with a
//! delivery or a request that fails; no two do the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Fewest playbooks that are shipped.
const PLAYBOOKS_MIN: usize = 30;
/// Fewest tests of each.
const TESTS_MIN: usize = 3;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
}

/// The shipped playbooks by their files.
fn library() -> BTreeMap<String, Value> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks"), &mut found);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let node = playbook::yaml::parse(&"p.yaml".into(), &text).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), node.to_json())
    };
    found.into_iter().map(read).collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a test begins with a message as a product sends it.
fn is_of_a_vendor(test: &Value) -> bool {
    let sent = |event: &Value| event["source"].as_str().is_some_and(|source| source != "generic");
    sent(&test["event"]) || list(test, "events").iter().any(sent)
}

/// Whether something in a test fails on the outside.
fn has_a_failure(test: &Value) -> bool {
    let fails = |answer: &Value| {
        let status = answer.as_u64().or_else(|| answer["status"].as_u64());
        status.is_some_and(|status| status >= 400) || !answer["fails"].is_null()
    };
    let any = |answers: &Value| answers.as_array().map_or_else(|| fails(answers), |all| all.iter().any(fails));
    ["destinations", "responses"].iter().any(|key| test[key].as_object().is_some_and(|all| all.values().any(any)))
}

#[test]
fn every_shipped_playbook_is_documented_and_tested_with_a_vendors_message_and_a_failure() {
    let library = library();
    assert!(library.len() >= PLAYBOOKS_MIN, "{} playbooks", library.len());
    let mut wanting = Vec::new();
    for (file, playbook) in &library {
        let tests = list(playbook, "tests");
        let mut need = |holds: bool, what: &str| {
            if !holds {
                wanting.push(format!("{file}: {what}"));
            }
        };
        need(playbook["description"].as_str().is_some_and(|text| text.len() > 20), "no description");
        need(tests.len() >= TESTS_MIN, "too few tests");
        need(tests.iter().any(is_of_a_vendor), "no test with the message of a product");
        need(tests.iter().any(has_a_failure), "no test in which something fails");
    }
    assert!(wanting.is_empty(), "{}", wanting.join("\n"));
}

#[test]
fn no_two_shipped_playbooks_have_the_same_list_of_steps() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (file, playbook) in library() {
        let steps = playbook["steps"].to_string();
        if let Some(other) = seen.insert(steps, file.clone()) {
            panic!("{file} has the steps of {other}");
        }
    }
}
