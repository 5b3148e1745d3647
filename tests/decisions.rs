//! Decisions: triggers, conditions, and why a playbook ran or did not.

use serde_json::{Value, json};

use crate::support::sample::{alert, case, decision, run_id, step, verdict};
use crate::support::{Folder, Server, eventually};

const NOTE: &str = "steps:\n  - id: note\n    action: log\n    with: { message: hello }\n";

/// A playbook with these triggers (lines of the list) that only writes a note.
fn noting(folder: &Folder, id: &str, triggers: &str, rest: &str) {
    let lines: String = triggers.lines().map(|line| format!("  - {line}\n")).collect();
    folder.playbook(id, &format!("triggers:\n{lines}{rest}{NOTE}"));
}

#[test]
fn a_change_of_stage_is_a_trigger_with_from_and_to_whatever_the_event_calls_itself() {
    let folder = Folder::new();
    noting(&folder, "opened", "case.stage_changed: { from: New, to: [Investigation, Remediation] }", "");
    noting(&folder, "any-stage", "case.stage_changed", "");
    let server = Server::start(&folder);
    let at = |kind: &str, stage: &str| server.accepted(&case(kind, json!({"id": "C-1", "stage": stage})));

    let first = at("case.created", "New");
    assert_eq!(first["decisions_total"], 0, "a first stage is no change: {first}");
    let opened = at("case.updated", "Investigation");
    assert_eq!(verdict(&opened, "opened"), "matched");
    assert_eq!(verdict(&opened, "any-stage"), "matched");
    let moved = at("case.updated", "Remediation");
    assert_eq!(verdict(&moved, "opened"), "not_matched");
    assert!(decision(&moved, "opened")["reason"].as_str().unwrap().contains("Investigation"), "{moved}");
    assert_eq!(verdict(&moved, "any-stage"), "matched");
    let same = at("case.updated", "Remediation");
    assert_eq!(same["decisions_total"], 0, "{same}");
}

#[test]
fn the_stored_stage_wins_over_what_the_event_says_and_the_difference_is_noted() {
    let folder = Folder::new();
    noting(&folder, "opened", "case.stage_changed: { from: New, to: Investigation }", "");
    let server = Server::start(&folder);
    let change = |id: &str, from: &str, to: &str| json!({"type": "case.stage_changed", "from": from, "to": to, "case": {"id": id}});
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "Remediation"})));
    let answer = server.accepted(&change("C-1", "New", "Investigation"));
    assert_eq!(verdict(&answer, "opened"), "not_matched");
    assert!(answer["warnings"].to_string().contains("Remediation"), "{answer}");
    assert_eq!(server.client().get("/v1/cases/C-1").ok(200)["stage"], "Investigation", "`to` is the stage");

    let unknown = server.accepted(&change("C-2", "New", "Investigation"));
    assert_eq!(verdict(&unknown, "opened"), "matched", "nothing is stored, so `from` counts");
}

#[test]
fn created_and_updated_are_told_apart_by_what_is_stored() {
    let folder = Folder::new();
    noting(&folder, "created", "alert.created", "");
    noting(&folder, "updated", "alert.updated", "");
    noting(&folder, "renamed", "alert.updated: { changed: [name] }", "");
    let server = Server::start(&folder);
    let first = server.accepted(&alert("A-1", 50));
    assert_eq!(verdict(&first, "created"), "matched");
    let again = server.accepted(&alert("A-1", 60));
    assert_eq!(verdict(&again, "updated"), "matched", "`created` for a known object is an update");
    assert_eq!(verdict(&again, "renamed"), "not_matched");
    let renamed = server.accepted(&json!({"type": "alert.updated", "alert": {"id": "A-1", "name": "Other"}}));
    assert_eq!(verdict(&renamed, "renamed"), "matched");
}

#[test]
fn a_condition_that_cannot_be_answered_has_failed_and_is_no_no() {
    let folder = Folder::new();
    let trigger = "event: { type: login.seen }";
    noting(&folder, "text", trigger, "when: event.data.count >= 90\n");
    noting(&folder, "missing", trigger, "when: event.data.absent.deeper == 1\n");
    noting(&folder, "optional", trigger, "when: (event.data?.absent ?? 0) == 0\n");
    noting(&folder, "not-yes-or-no", trigger, "when: event.data.count\n");
    let server = Server::start(&folder);
    let answer = server.accepted(&json!({"type": "login.seen", "data": {"count": "92"}}));
    for id in ["text", "missing", "not-yes-or-no"] {
        let decision = decision(&answer, id);
        assert_eq!(decision["verdict"], "failed", "{decision}");
        assert!(decision["at"]["line"].is_u64(), "{decision}");
        assert!(decision.get("run_id").is_none_or(Value::is_null), "{decision}");
    }
    assert_eq!(verdict(&answer, "optional"), "matched");
}

#[test]
fn an_absent_field_is_only_ever_equal_to_nothing() {
    let folder = Folder::new();
    noting(&folder, "ordered", "alert.created: { when: alert.risk_score >= 90 }", "");
    noting(&folder, "absent", "alert.created: { when: alert.risk_score == () }", "");
    noting(&folder, "default", "alert.created: { when: (alert.risk_score ?? 0) >= 90 }", "");
    let server = Server::start(&folder);
    let answer = server.accepted(&json!({"type": "alert.created", "alert": {"id": "A-1"}}));
    assert_eq!(verdict(&answer, "ordered"), "failed");
    assert_eq!(verdict(&answer, "absent"), "matched");
    assert_eq!(verdict(&answer, "default"), "not_matched");
}

#[test]
fn the_first_trigger_in_the_file_that_fits_is_recorded_and_there_is_one_run() {
    let folder = Folder::new();
    noting(&folder, "two", "alert.created: { when: alert.risk_score >= 90 }\nalert.created", "");
    let server = Server::start(&folder);
    server.accepted(&alert("A-1", 95));
    assert_eq!(server.items("/v1/runs").len(), 1);
}

#[test]
fn only_playbooks_that_listen_to_the_event_are_decided_about() {
    let folder = Folder::new();
    noting(&folder, "hears-alerts", "alert.created", "");
    noting(&folder, "hears-cases", "case.created", "");
    noting(&folder, "hears-scans", "event: { type: holm.* }", "");
    noting(&folder, "switched-off", "alert.created", "enabled: false\n");
    noting(&folder, "expired", "alert.created", "expires: 2020-01-01T00:00:00Z\n");
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 50));
    let named: Vec<_> = answer["decisions"].as_array().unwrap().iter().map(|one| one["playbook"].clone()).collect();
    assert_eq!(
        named,
        ["expired", "hears-alerts", "switched-off"],
        "in the order of decision: by id when `order` is the same"
    );
    assert_eq!(verdict(&answer, "switched-off"), "disabled");
    assert_eq!(verdict(&answer, "expired"), "expired");
    let scan = server.accepted(&json!({"type": "holm.finished_scan"}));
    assert_eq!(verdict(&scan, "hears-scans"), "matched");
}

#[test]
fn playbooks_are_decided_in_their_order_and_ties_go_by_id() {
    let folder = Folder::new();
    noting(&folder, "b", "alert.created", "order: 10\n");
    noting(&folder, "a", "alert.created", "order: 10\n");
    noting(&folder, "z", "alert.created", "order: 1\n");
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 50));
    let named: Vec<_> = answer["decisions"].as_array().unwrap().iter().map(|one| one["playbook"].clone()).collect();
    assert_eq!(named, ["z", "a", "b"]);
}

#[test]
fn a_playbook_of_one_tenant_does_not_hear_of_another() {
    let folder = Folder::and("tenants: [acme, globex]\n");
    noting(&folder, "acme-only", "alert.created", "tenants: [acme]\n");
    let server = Server::start(&folder);
    let mut event = alert("A-1", 50);
    event["tenant"] = json!("globex");
    assert_eq!(server.accepted(&event)["decisions_total"], 0);
    event["tenant"] = json!("acme");
    assert_eq!(verdict(&server.accepted(&event), "acme-only"), "matched");
}

#[test]
fn what_a_run_changes_can_start_another_playbook() {
    let folder = Folder::new();
    let open = "steps:\n  - id: open\n    action: case.set_stage\n    with: { stage: Investigation }\n";
    folder.playbook("open", &format!("triggers:\n  - case.created\n{open}"));
    noting(&folder, "opened", "case.stage_changed: { from: New, to: Investigation }", "");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let run = eventually("the second playbook runs", || server.items("/v1/runs?playbook=opened").first().cloned());
    let run = server.ended_run(run["run_id"].as_str().unwrap());
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["chain"][0]["playbook"], "open", "{run}");
    assert_eq!(run["case_id"], "C-1");
}

#[test]
fn a_playbook_is_not_started_by_its_own_chain() {
    let folder = Folder::new();
    let tag = "steps:\n  - id: tag\n    action: alert.add_tags\n    with: { tags: [\"seen-${{ run.id }}\"] }\n";
    folder.playbook("tag", &format!("triggers:\n  - alert.created\n  - alert.updated\n{tag}"));
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 50));
    server.ended_run(&run_id(&answer, "tag"));
    let guarded = eventually("the change of the run is decided about", || {
        let events = server.items("/v1/events");
        let caused = events.iter().find(|event| event["event_id"] != answer["event_id"])?;
        Some(server.client().get(&format!("/v1/events/{}", caused["event_id"].as_str()?)).ok(200))
    });
    assert_eq!(verdict(&guarded, "tag"), "loop_guarded");
    assert_eq!(server.items("/v1/runs").len(), 1);
}

#[test]
fn a_chain_of_playbooks_that_allows_itself_ends_at_ten() {
    let folder = Folder::new();
    let tag = "triggers_itself: allow\nsteps:\n  - id: tag\n    action: alert.add_tags\n    with: { tags: [\"seen-${{ run.id }}\"] }\n";
    folder.playbook("again", &format!("triggers:\n  - alert.created\n  - alert.updated\n{tag}"));
    let server = Server::start(&folder);
    server.accepted(&alert("A-1", 50));
    let guarded = eventually("the chain is cut", || {
        let events = server.items("/v1/events");
        events.iter().find_map(|event| {
            let event = server.client().get(&format!("/v1/events/{}", event["event_id"].as_str()?)).ok(200);
            event["decisions"].to_string().contains("loop_guarded").then_some(event)
        })
    });
    assert!(decision(&guarded, "again")["reason"].as_str().unwrap().contains("10"), "{guarded}");
    assert_eq!(server.items("/v1/runs").len(), 10);
}

#[test]
fn a_step_whose_condition_says_no_is_skipped_and_the_next_sees_that() {
    let folder = Folder::new();
    folder.playbook(
        "ifs",
        "triggers:\n  - alert.created\nsteps:\n  - id: never\n    if: alert.risk_score > 99\n    action: log\n    with: { message: a }\n  \
         - id: then\n    if: steps.never.status == \"skipped\"\n    action: log\n    with: { message: b }\n",
    );
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 50));
    let run = server.ended_run(&run_id(&answer, "ifs"));
    assert_eq!(run["status"], "succeeded");
    assert_eq!(step(&run, "never")["status"], "skipped");
    assert_eq!(step(&run, "then")["status"], "succeeded");
}

#[test]
fn a_decision_is_listed_the_same_way_when_it_is_read_later() {
    let folder = Folder::new();
    noting(&folder, "wrong-stage", "case.stage_changed: { to: Closed }", "");
    noting(&folder, "right-stage", "case.stage_changed: { to: Investigation }", "");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let answer = server.accepted(&case("case.updated", json!({"id": "C-1", "stage": "Investigation"})));
    let event = server.client().get(&format!("/v1/events/{}", answer["event_id"].as_str().unwrap())).ok(200);
    let facts = |of: &Value| -> Vec<String> {
        let all = of["decisions"].as_array().unwrap();
        all.iter().map(|one| format!("{} {} {}", one["playbook"], one["verdict"], one["reason"])).collect()
    };
    assert_eq!(facts(&event), facts(&answer));
}

#[test]
fn an_event_is_told_in_full_after_the_playbooks_were_exchanged() {
    let folder = Folder::new();
    let listens = "triggers:\n  - case.stage_changed: { to: Closed }\nsteps:\n  - id: note\n    action: log\n    with: { message: hi }\n";
    folder.playbook("first", listens);
    folder.playbook("second", listens);
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let event = server.accepted(&case("case.stage_changed", json!({"id": "C-1", "stage": "Investigation"})));
    let path = format!("/v1/events/{}", event["event_id"].as_str().unwrap());
    std::fs::remove_file(folder.path().join("playbooks/second.yaml")).unwrap();
    folder.playbook("third", listens);
    crate::support::eventually("the other set is in force", || {
        (server.client().get("/v1/playbooks/third").status == 200).then_some(())
    });
    let told = server.client().get(&path).ok(200);
    let names: Vec<&str> =
        told["decisions"].as_array().unwrap().iter().filter_map(|d| d["playbook"].as_str()).collect();
    assert_eq!((names, &told["decisions_complete"]), (vec!["first", "second"], &json!(true)), "{told:#}");
}
