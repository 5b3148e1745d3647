//! `sortie init`: a folder to start from.

use std::io::Write as _;
use std::path::Path;

use super::World;
use super::args::InitArguments;
use super::console::Tone;
use super::exit::Error;

const CONFIG: &str = "\
# Every key has a default: docs/reference/config.md lists them.
listen: 127.0.0.1:7300
sources:
  generic: { auth: none }   # whoever reaches the address may send events: fine on a laptop, see CF103 for the rest
egress:
  allow: [127.0.0.0/8]      # lets destinations on this machine receive; remove it in production
  allow_http: true
";

const DESTINATIONS: &str = "\
destinations:
  soc-desk:
    kind: webhook
    url: http://127.0.0.1:9000/hook   # `sortie receive` listens here and shows what arrives
";

const PLAYBOOK: &str = "\
playbook: notify-desk-about-critical-cases
name: Notify the desk about critical cases
triggers:
  - case.stage_changed: { from: New, to: [Investigation, Remediation] }
when: case.priority == \"critical\" && \"T1078\" in case.mitres
steps:
  - id: send
    action: webhook.send_threat_details
    with: { to: [soc-desk] }
  - id: tag
    if: steps.send.succeeded
    action: case.add_tags
    with: { tags: [notified] }
tests:
  - name: a critical case that enters investigation is sent
    event: { type: case.stage_changed, from: New, to: Investigation, case: { id: C-1, priority: critical, mitres: [T1078] } }
    expect: { runs: 1, steps: [send, tag], status: succeeded }
";

const EVENT: &str = "\
{\"type\": \"case.stage_changed\", \"id\": \"evt-1\", \"time\": \"2026-11-22T08:00:00Z\", \"from\": \"New\", \"to\": \"Investigation\",
 \"case\": {\"id\": \"C-1\", \"name\": \"Impossible travel\", \"risk_score\": 92, \"priority\": \"critical\", \"mitres\": [\"T1078\"], \"users\": [\"alice\"]}}
";

const TESTS: &str = "\
tests:
  - name: a desk that is down is tried four times, and the case is not marked
    event: { type: case.stage_changed, from: New, to: Investigation, case: { id: C-1, priority: critical, mitres: [T1078] } }
    destinations: { soc-desk: 503 }
    expect:
      status: failed
      steps: { send: failed, tag: not_run }
      requests: [{ destination: soc-desk, body: { case_id: C-1 }, tries: 4 }]
  - name: a case of lower priority is not sent
    event: { type: case.stage_changed, from: New, to: Investigation, case: { id: C-1, priority: high, mitres: [T1078] } }
    expect: { runs: 0, requests: [] }
";

const README: &str = "\
# A folder for Sortie

    sortie check playbooks                       # everything that is wrong with the playbooks
    sortie test playbooks                        # their tests; nothing is sent
    sortie explain --event event.json            # what would run for this event, and why
    sortie dry-run notify-desk-about-critical-cases --event event.json   # what would be sent, with which body
    sortie receive                               # in a terminal of its own: shows what the destination gets
    sortie serve                                 # starts the server
    curl -H 'Content-Type: application/json' -d @event.json http://127.0.0.1:7300/v1/in/generic
    sortie runs list                             # what ran
    sortie deliveries list                       # what was sent, with every attempt
";

/// Makes the folder.
pub(super) fn run(world: &World, arguments: &InitArguments) -> Result<(), Error> {
    let folder = &arguments.folder;
    let files = [
        ("sortie.yaml", CONFIG),
        ("destinations.yaml", DESTINATIONS),
        ("playbooks/notify-desk-about-critical-cases.yaml", PLAYBOOK),
        ("playbooks/notify-desk-about-critical-cases.test.yaml", TESTS),
        ("event.json", EVENT),
        ("README.md", README),
    ];
    std::fs::create_dir_all(folder.join("playbooks")).map_err(|e| wrong(folder, &e))?;
    for (name, text) in files {
        let path = folder.join(name);
        // Never over something that is there.
        let made = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        made.map_err(|e| wrong(&path, &e))?;
    }
    let shown = folder.display();
    let there = if folder == Path::new(".") { String::new() } else { format!("cd {shown} && ") };
    let line = format!(
        "made sortie.yaml, destinations.yaml, a playbook with tests and a README in {shown}; go on with: {there}sortie check playbooks && sortie test playbooks && sortie serve"
    );
    world.console.talk_in(Tone::Good, &line);
    Ok(())
}

fn wrong(path: &Path, error: &std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            "it is there already; choose an empty folder: `sortie init DIR`".to_owned()
        }
        _ => error.to_string(),
    };
    Error::File { path: path.display().to_string(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};

    #[test]
    fn what_is_made_is_right() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("sortie.yaml", CONFIG), ("destinations.yaml", DESTINATIONS)] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let config = config::load(&Flags::default(), dir.path(), &|_| None).unwrap().config;
        let destinations = crate::setup::destinations(&config.destinations, &config).unwrap().unwrap();
        let catalog = crate::setup::catalog(&config, Some(&destinations));
        let source = playbook::Source { file: "p".into(), text: PLAYBOOK.to_owned() };
        playbook::compile(&source, &catalog, &crate::setup::evaluator().unwrap()).unwrap();
        serde_json::from_str::<serde_json::Value>(EVENT).unwrap();
    }
}
