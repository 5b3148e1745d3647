//! House rules as tests: which crate may name what, how long files are, what each file begins with, and that what the
//! code lists has its page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Longest file, in lines of code that is not test code.
const LINES_MAX: usize = 400;
/// Longest file whose module doc says why it is longer (a line that begins with `Length:`).
const LINES_MAX_WITH_REASON: usize = 600;

/// Which of our crates each may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("playbook", &["model"]),
    ("store", &["model"]),
    ("engine", &["model", "playbook", "store"]),
    ("sortie", &["engine", "model", "playbook", "store"]),
];
/// Crates of others that only one of ours may name.
const OWNED: &[(&str, &str)] = &[
    ("serde-saphyr", "playbook"),
    ("rhai", "playbook"),
    ("sled", "store"),
    ("reqwest", "engine"),
    ("axum", "sortie"),
    ("clap", "sortie"),
    ("hyper", "sortie"),
    ("hyper-util", "sortie"),
];
/// Crates that neither do I/O nor know of async.
const PURE: &[&str] = &["model", "playbook"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// All files below a folder with one of these extensions, as paths from the root.
fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
            let path = entry.path();
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if extensions.contains(&extension) {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                found.push((path.strip_prefix(&root).unwrap().display().to_string(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing in {folder}");
    found
}

/// The dependencies of one of our crates: of the code, and of its tests.
fn dependencies(name: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let (mut code, mut tests, mut section) = (BTreeSet::new(), BTreeSet::new(), "");
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, _)) = line.split_once('=') {
            let key = key.trim().trim_end_matches(".workspace").to_owned();
            match section {
                "[dependencies]" => code.insert(key),
                "[dev-dependencies]" => tests.insert(key),
                _ => false,
            };
        }
    }
    (code, tests)
}

#[test]
fn the_arrows_between_crates_are_those_of_the_picture() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<String> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        there.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        ours,
        "a crate that the picture does not show"
    );
    for (name, allowed) in ARROWS {
        let (code, tests) = dependencies(name);
        assert!(!code.is_empty(), "{name}");
        for other in code.union(&tests).filter(|other| ours.contains(other.as_str())) {
            assert!(allowed.contains(&other.as_str()), "{name} must not depend on {other}");
        }
    }
}

#[test]
fn what_one_crate_owns_no_other_names() {
    for (name, _) in ARROWS {
        let (code, _) = dependencies(name);
        for (owned, owner) in OWNED {
            assert!(owner == name || !code.contains(*owned), "{name} must not depend on {owned}: only {owner} does");
        }
        if PURE.contains(name) {
            for other in ["tokio", "async-trait", "futures-util", "tracing"] {
                assert!(!code.contains(other), "{name} must not depend on {other}: it is pure");
            }
        }
    }
    for (owned, owner) in OWNED {
        assert!(dependencies(owner).0.contains(*owned), "{owner} no longer depends on {owned}: correct the list");
    }
}

/// Paths of files and folders that are test code, because a `#[cfg(test)] mod NAME;` names them.
fn test_modules(all: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in all {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let Some(name) =
                pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ").and_then(|n| n.strip_suffix(';'))
            else {
                continue;
            };
            let folder = match path.rsplit_once('/').unwrap() {
                (folder, "mod.rs" | "lib.rs" | "main.rs") => folder.to_owned(),
                (folder, file) => format!("{folder}/{}", file.trim_end_matches(".rs")),
            };
            found.push(format!("{folder}/{name}.rs"));
            found.push(format!("{folder}/{name}/"));
        }
    }
    found
}

/// The lines of code before the tests of a file: comments and empty lines do not count.
fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
    let code = &lines[..tests.unwrap_or(lines.len())];
    code.iter().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count()
}

#[test]
fn no_file_is_longer_than_one_job_needs() {
    let all = files("crates", &["rs"]);
    let tests = test_modules(&all);
    let is_test = |path: &str| path.contains("/tests/") || tests.iter().any(|known| path.starts_with(known.as_str()));
    let mut long = BTreeMap::new();
    for (path, text) in all.iter().filter(|(path, _)| !is_test(path)) {
        let reason =
            text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with("//! Length:"));
        let max = if reason { LINES_MAX_WITH_REASON } else { LINES_MAX };
        let lines = code_lines(text);
        if lines > max {
            long.insert(path, lines);
        }
    }
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:#?}");
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let mut all = files("crates", &["rs"]);
    all.extend(files("tests", &["rs"]));
    let bare: Vec<&String> = all.iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(bare.is_empty(), "no module doc: {bare:#?}");
}

#[test]
fn nothing_is_put_off_and_nothing_names_the_place_where_it_was_written() {
    // In two pieces, so that this list does not find itself.
    let words = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X "),
        ("for n", "ow"),
        ("#[al", "low("),
        ("#![al", "low("),
        ("/work", "/"),
        ("../sha", "red"),
    ];
    let mut all = files("crates", &["rs", "toml"]);
    for folder in ["tests", "docs", "playbooks"] {
        all.extend(files(folder, &["rs", "md", "yaml", "json", "sh"]));
    }
    let mut found = Vec::new();
    for (path, text) in &all {
        for (n, line) in text.lines().enumerate() {
            for word in words.iter().map(|(a, b)| format!("{a}{b}")).filter(|word| line.contains(word.as_str())) {
                found.push(format!("{path}:{}: {word}", n + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn files_that_a_reader_looks_for_first_are_there() {
    let names = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "SECURITY.md",
        "docs/architecture.md",
        "docs/glossary.md",
        ".ci/run",
    ];
    let missing: Vec<_> = names.iter().filter(|name| !root().join(name).is_file()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    assert!(text.lines().count() <= 250, "docs/architecture.md is longer than a reader takes in");
}

#[test]
fn the_architecture_names_files_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("the architecture");
    let crates: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut named = 0;
    for word in text.split('`').skip(1).step_by(2) {
        let Some((first, rest)) = word.split_once('/').filter(|_| !word.contains(char::is_whitespace)) else {
            continue;
        };
        let place = match first {
            "crates" => root().join(word),
            name if crates.contains(&name) => root().join(format!("crates/{name}/src/{rest}")),
            _ => continue,
        };
        // Some lie beside the code, some are a file where a folder may come.
        let beside = root().join(format!("crates/{word}"));
        let there = [place.clone(), place.with_extension("rs"), beside];
        let whole = |path: &PathBuf| match path.to_str().and_then(|path| path.split_once('*')) {
            Some((folder, _)) => Path::new(folder).exists(),
            None => path.exists(),
        };
        assert!(there.iter().any(whole), "docs/architecture.md names `{word}`, which is not there");
        named += 1;
    }
    assert!(named > 30, "{named}");
}

#[test]
fn every_code_action_and_source_has_its_page() {
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_sortie")).arg("explain-code").output().expect("sortie");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let codes: Vec<&str> = listed.split_whitespace().filter(|word| is_code(word)).collect();
    assert!(codes.len() > 30, "{listed}");
    let is_there = |path: String| root().join(&path).is_file().then_some(()).ok_or(path);
    let pages = codes.iter().map(|code| format!("docs/errors/{code}.md"));
    let actions = engine::action::actions().iter().map(|one| format!("docs/reference/actions/{}.md", one.spec().id));
    let sources = engine::source::file::names().map(|name| format!("docs/reference/sources/{name}.md"));
    let missing: Vec<String> = pages.chain(actions).chain(sources).filter_map(|path| is_there(path).err()).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    // And the other way round: a page whose code is gone says so nowhere.
    for entry in std::fs::read_dir(root().join("docs/errors")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let code = name.trim_end_matches(".md");
        assert!(!is_code(code) || codes.contains(&code), "docs/errors/{name} is about a code that there is not");
    }
}

/// Two letters and three digits.
fn is_code(word: &str) -> bool {
    let (letters, digits) = word.split_at_checked(2).unwrap_or_default();
    let upper = letters.len() == 2 && letters.chars().all(|c| c.is_ascii_uppercase());
    upper && digits.len() == 3 && digits.chars().all(|c| c.is_ascii_digit())
}
