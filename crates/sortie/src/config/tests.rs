//! Reading the configuration, from whole texts to what holds.

use std::time::Duration;

use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), text).unwrap();
    load(&Flags::default(), dir.path(), &nothing).map(|loaded| loaded.config)
}

fn codes_of(text: &str) -> Vec<&'static str> {
    read(text).unwrap_err().iter().map(|d| d.code).collect()
}

#[test]
fn without_a_file_the_defaults_hold() {
    let dir = tempfile::tempdir().unwrap();
    let config = load(&Flags::default(), dir.path(), &nothing).unwrap().config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:7300");
    assert_eq!(config.data, dir.path().join("data"));
    assert_eq!(config.durability, Durability::Power);
    assert!(config.auth_required);
    assert!(config.sources.is_empty());
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let flags = Flags { config: Some("missing.yaml".into()), ..Flags::default() };
    assert_eq!(load(&flags, dir.path(), &nothing).unwrap_err()[0].code, codes::UNREADABLE);
}

#[test]
fn paths_in_the_file_are_relative_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/s.yaml"), "data: store\nplaybooks: ../books\n").unwrap();
    let flags = Flags { config: Some("etc/s.yaml".into()), ..Flags::default() };
    let config = load(&flags, dir.path(), &nothing).unwrap().config;
    assert_eq!(config.data, dir.path().join("etc/store"));
    assert_eq!(config.playbooks, dir.path().join("etc/../books"));
    assert_eq!(config.destinations, dir.path().join("etc/destinations.yaml"));
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), "listen: 127.0.0.1:1000\ndata: one\n").unwrap();
    let environment = |name: &str| match name {
        "SORTIE_LISTEN" => Some("127.0.0.1:2000".to_owned()),
        "SORTIE_DATA" => Some("two".to_owned()),
        _ => None,
    };
    let flags = Flags { listen: Some("127.0.0.1:3000".parse().unwrap()), ..Flags::default() };
    let config = load(&flags, dir.path(), &environment).unwrap().config;
    assert_eq!(config.listen.port(), 3000);
    assert_eq!(config.data, dir.path().join("two"));
    let config = load(&Flags::default(), dir.path(), &environment).unwrap().config;
    assert_eq!(config.listen.port(), 2000);
}

#[test]
fn a_variable_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let environment = |name: &str| (name == "SORTIE_LISTEN").then(|| "everywhere".to_owned());
    let found = load(&Flags::default(), dir.path(), &environment).unwrap_err();
    assert_eq!(found[0].code, codes::UNREADABLE_VALUE);
    assert!(found[0].message.contains("SORTIE_LISTEN"));
}

#[test]
fn all_keys_are_read() {
    let config = read(
        "listen: 0.0.0.0:7000\nstore: sled\ndurability: process\npublic_url: https://sortie.example.com/\nauth: required\n\
         retention: { days: 30, runs: 1000, bytes: 5GB }\nlimits: { event_body_bytes: 2000000, runs_at_once: 8 }\n\
         tenants: [acme, globex]\nstages: [New, Doing, Closed]\nclose_reasons: [Done]\n\
         queues: { tier-1: { members: [alice, bob] } }\nreload: { watch: false, quiet: 2s }\n\
         log: { format: json, level: \"info,engine=debug\" }\n\
         egress: { allow: [10.0.0.0/8], allow_http: true, ports: [443, 8443] }\n\
         sources: { exabeam: { auth: { bearer: \"${secret:X}\" }, timezone: Europe/Stockholm }, generic: { auth: none } }\n",
    )
    .unwrap();
    assert_eq!(config.durability, Durability::Process);
    assert_eq!(config.public_url.as_deref(), Some("https://sortie.example.com"));
    assert_eq!(config.retention.age, Duration::from_secs(30 * 86_400));
    assert_eq!(config.retention.bytes, 5_000_000_000);
    assert_eq!(config.limits.runs_at_once, 8);
    assert_eq!(config.tenants, ["acme", "globex"]);
    assert_eq!(config.words.stages, ["New", "Doing", "Closed"]);
    assert_eq!(config.triage.rules.queues["tier-1"], ["alice", "bob"]);
    assert_eq!(config.reload, Reload { watch: false, quiet: Duration::from_secs(2) });
    assert_eq!(config.log.format, Format::Json);
    assert_eq!(config.egress.ports, Some(vec![443, 8443]));
    let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["exabeam", "generic"]);
    assert!(matches!(config.sources[1].auth, SenderAuth::None));
}

#[test]
fn a_source_without_auth_is_refused() {
    assert_eq!(codes_of("sources: { vectra: {}, generic: { auth: none } }"), [codes::NO_AUTH]);
    assert_eq!(codes_of("sources: { vectra: { auth: open } }"), [codes::NO_AUTH]);
}

#[test]
fn no_authentication_is_for_loopback_only() {
    assert!(read("listen: 127.0.0.1:7300\nauth: none\n").is_ok());
    assert!(read("listen: \"[::1]:7300\"\nauth: none\n").is_ok());
    assert_eq!(codes_of("listen: 0.0.0.0:7300\nauth: none\n"), [codes::OPEN_DOOR]);
}

#[test]
fn a_later_feature_is_answered_with_a_sentence() {
    for text in ["store: postgres://h/db", "store: postgresql://h/db"] {
        let found = read(text).unwrap_err();
        assert_eq!(found[0].code, codes::LATER, "{text}");
        assert!(found[0].help.is_some(), "{text}");
    }
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let found = read("listen: nowhere\nstages: [New, Open]\nlissten: x\nsources: { a: {} }\n").unwrap_err();
    let lines: Vec<u32> = found.iter().map(|d| d.span.line).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
    assert!(found[2].help.as_deref().unwrap_or_default().contains("listen"), "{:?}", found[2]);
}

#[test]
fn a_secret_in_the_file_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), "sources: { x: { auth: { bearer: hunter2 } } }").unwrap();
    let loaded = load(&Flags::default(), dir.path(), &nothing).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].code, codes::PLAIN_SECRET);
    assert!(!format!("{:?}", loaded.warnings[0].message).contains("hunter2"));
}

/// A page of the documentation.
fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_page_about_the_configuration_shows_one_that_is_right_and_has_every_key() {
    let page = page("reference/config.md");
    let example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let config = read(example).unwrap();
    assert_eq!(config.egress.ports, Some(vec![443, 8443]));
    let source = include_str!("file.rs");
    let keys = source.split("reader, \"").skip(1).chain(source.split("opt_node(\"").skip(1));
    for key in keys.map(|rest| rest.split('"').next().unwrap()) {
        assert!(
            page.contains(&format!("{key}:")) || page.contains(&format!("`egress.{key}")),
            "`{key}` is not on the page"
        );
    }
}

#[test]
fn the_examples_in_the_documentation_are_right() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["sortie.yaml", "destinations.yaml"] {
        std::fs::write(dir.path().join(name), page(&format!("examples/{name}"))).unwrap();
    }
    let config = load(&Flags::default(), dir.path(), &nothing).unwrap().config;
    let destinations = crate::setup::destinations(&config.destinations, &config).unwrap().unwrap();
    assert_eq!(destinations.map.keys().collect::<Vec<_>>(), ["on-call", "siem", "soc-desk", "tickets"]);
}

#[test]
fn the_page_about_limits_has_every_limit_and_no_other() {
    let page = page("reference/limits.md");
    let source = include_str!("../../../model/src/limits.rs");
    let known: Vec<&str> =
        source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next()).collect();
    let is_constant = |name: &&str| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let shown: Vec<&str> = first_cells.filter(is_constant).collect();
    assert_eq!(shown, known, "a limit was added or removed: bring docs/reference/limits.md in line");
}
