//! The arguments fit together, and the reference page says what the help says.

use super::*;
use clap::CommandFactory as _;

#[test]
fn the_arguments_fit_together() {
    Arguments::command().debug_assert();
}

/// The page of the command line, made from the arguments themselves.
fn reference() -> String {
    let mut page = "# Command line\n\nMade from the code: a test compares this page with what `--help` says \
                    (`BLESS=1 cargo test -p sortie cli::args` writes it again).\n"
        .to_owned();
    let mut top = Arguments::command().term_width(100);
    top.build();
    section(&top, "sortie", &mut page);
    page
}

fn section(command: &clap::Command, name: &str, page: &mut String) {
    let help = command.clone().term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim()));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        section(inner, &format!("{name} {}", inner.get_name()), page);
    }
}

#[test]
fn the_reference_page_says_what_the_help_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let same = std::fs::read_to_string(&path).unwrap() == reference();
    assert!(same, "docs/reference/cli.md is old: BLESS=1 cargo test -p sortie cli::args");
}

#[test]
fn common_options_may_stand_after_the_command() {
    let read = Arguments::try_parse_from(["sortie", "runs", "list", "--config", "x.yaml", "--json"]).unwrap();
    assert_eq!(read.common.config, Some(PathBuf::from("x.yaml")));
}

#[test]
fn explain_takes_a_file_or_an_id_and_not_both() {
    let read = |args: &[&str]| Arguments::try_parse_from(["sortie", "explain"].iter().chain(args)).is_ok();
    assert!(read(&["--event", "e.json"]));
    assert!(read(&["--event-id", "evt-1-1"]));
    assert!(!read(&[]));
    assert!(!read(&["--event", "e.json", "--event-id", "evt-1-1"]));
}

#[test]
fn a_case_or_an_alert_is_sent_to_named_destinations() {
    let read = |args: &[&str]| Arguments::try_parse_from(["sortie", "send"].iter().chain(args)).is_ok();
    assert!(read(&["--case", "C-1", "--to", "a,b"]));
    assert!(read(&["--alert", "A-1", "--to", "a", "--tenant", "acme"]));
    assert!(!read(&["--case", "C-1", "--alert", "A-1", "--to", "a"]));
    assert!(!read(&["--case", "C-1"]));
    assert!(!read(&["--to", "a"]));
}

#[test]
fn a_listing_is_bounded() {
    assert!(Arguments::try_parse_from(["sortie", "runs", "list", "--limit", "1001"]).is_err());
    assert!(Arguments::try_parse_from(["sortie", "runs", "list", "--limit", "0"]).is_err());
}

#[test]
fn a_role_must_be_one_of_the_six() {
    assert!(Arguments::try_parse_from(["sortie", "tokens", "create", "--name", "n", "--role", "root"]).is_err());
    assert!(Arguments::try_parse_from(["sortie", "tokens", "create", "--name", "n", "--role", "viewer"]).is_ok());
}
