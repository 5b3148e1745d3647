//! Schedules: a run for each instant, once, over restarts.

use std::collections::BTreeSet;

use crate::support::{Folder, Server, eventually};

fn ticking(folder: &Folder, id: &str, missed: &str) {
    folder.playbook(
        id,
        &format!(
            "triggers:\n  - schedule: {{ cron: \"* * * * * *\", missed: {missed} }}\nsteps:\n  - id: note\n    action: log\n    with: {{ message: \"${{{{ trigger.scheduled }}}}\" }}\n"
        ),
    );
}

/// The scheduled instants of all runs so far, as the step's rendered input shows them.
fn instants(server: &Server, id: &str) -> Vec<String> {
    let runs = server.items(&format!("/v1/runs?playbook={id}&limit=1000"));
    let input = |run: &serde_json::Value| {
        let run = server.ended_run(run["run_id"].as_str().unwrap());
        run["steps"][0]["input"]["message"].as_str().expect("a rendered message").to_owned()
    };
    runs.iter().map(input).collect()
}

#[test]
fn each_instant_has_one_run_also_over_a_kill() {
    let folder = Folder::new();
    ticking(&folder, "tick", "all");
    let server = Server::start(&folder);
    eventually("two runs", || (server.items("/v1/runs").len() >= 2).then_some(()));
    server.kill();
    let server = Server::start(&folder);
    let before = server.items("/v1/runs").len();
    eventually("two more runs", || (server.items("/v1/runs").len() >= before + 2).then_some(()));
    let all = instants(&server, "tick");
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "an instant ran twice: {all:?}");
    // `missed: all`: from the first to the last there is no hole.
    let seconds: Vec<i64> = distinct.iter().map(|text| second(text)).collect();
    for pair in seconds.windows(2) {
        assert_eq!(pair[1] - pair[0], 1, "an instant is missing: {all:?}");
    }
}

fn second(text: &str) -> i64 {
    let time = text.get(11..19).unwrap_or_else(|| panic!("no time: {text}"));
    let parts: Vec<i64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    // A test does not last a day; midnight is one step as any other.
    let day: i64 = text.get(8..10).unwrap().parse().unwrap();
    ((day * 24 + parts[0]) * 60 + parts[1]) * 60 + parts[2]
}

#[test]
fn a_new_schedule_has_no_past_and_a_disabled_one_no_present() {
    let folder = Folder::new();
    ticking(&folder, "tick", "skip");
    folder.playbook("never", "enabled: false\ntriggers:\n  - schedule: { cron: \"* * * * * *\" }\nsteps:\n  - id: note\n    action: log\n    with: { message: x }\n");
    let server = Server::start(&folder);
    eventually("a run", || server.items("/v1/runs?playbook=tick").first().cloned());
    assert!(server.items("/v1/runs?playbook=never").is_empty());
}

#[test]
fn a_cron_that_means_nothing_is_refused_with_its_place() {
    let folder = Folder::new();
    folder.playbook("bad", "triggers:\n  - schedule: { cron: \"61 * * * *\" }\nsteps:\n  - id: note\n    action: log\n    with: { message: x }\n");
    let checked = crate::support::command::sortie(&folder, &["check", "playbooks", "--json"]).expect(3);
    assert_eq!(checked.json()[0]["line"], 3, "{}", checked.stdout);
}
