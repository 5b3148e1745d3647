//! Alerts and cases as a product: scores, bands of priority, stages, queues and their members, who gets a case.

use serde_json::{Value, json};

use crate::support::sample::case;
use crate::support::{Folder, Server};

const QUEUES: &str = "queues: { Tier 1 Analyst: { members: [alice, bob] }, Tier 2 Analyst: { members: [carol] } }\n";

fn alert_of(id: &str, fields: Value) -> Value {
    let mut alert = json!({"id": id});
    alert.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"type": "alert.updated", "alert": alert})
}

fn show(server: &Server, path: &str) -> Value {
    server.client().get(path).ok(200)
}

#[test]
fn the_risk_score_is_the_sum_of_the_detections_until_somebody_says_another() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let detections = json!([{"id": "D-1", "severity": "critical"}, {"id": "D-2", "severity": "Low"}]);
    server.accepted(&case("case.created", json!({"id": "C-1", "detections": detections})));
    assert_eq!(show(&server, "/v1/cases/C-1")["risk_score"], 125);
    server.accepted(&case("case.updated", json!({"id": "C-1", "detections": [{"id": "D-3", "score": 7.5}]})));
    assert_eq!(show(&server, "/v1/cases/C-1")["risk_score"], 132.5, "a detection more adds its own score");
    server.accepted(&case("case.updated", json!({"id": "C-1", "risk_score": 12})));
    server.accepted(&case("case.updated", json!({"id": "C-1", "detections": [{"id": "D-4", "severity": "high"}]})));
    assert_eq!(show(&server, "/v1/cases/C-1")["risk_score"], 12, "what the source says is not a sum");
}

#[test]
fn a_summed_score_is_a_crossing_that_playbooks_hear() {
    let folder = Folder::new();
    folder.playbook(
        "loud",
        "triggers:\n  - score.threshold: { of: alert, score: risk, above: 100 }\nsteps:\n  - id: note\n    action: log\n    with: { message: hi }\n",
    );
    let server = Server::start(&folder);
    let first = server.accepted(&alert_of("A-1", json!({"detections": [{"id": "D-1", "severity": "high"}]})));
    assert_eq!(crate::support::sample::verdict(&first, "loud"), "not_matched");
    let second = server.accepted(&alert_of("A-1", json!({"detections": [{"id": "D-2", "severity": "low"}]})));
    assert_eq!(crate::support::sample::verdict(&second, "loud"), "matched");
}

#[test]
fn priorities_follow_the_score_in_configured_bands_until_somebody_says_another() {
    let folder = Folder::and("priority_bands: { medium: 60, high: 80, critical: 90 }\n");
    let server = Server::start(&folder);
    let priority = |score: f64| {
        server.accepted(&alert_of("A-1", json!({"risk_score": score})));
        show(&server, "/v1/alerts/A-1")["priority"].clone()
    };
    assert_eq!(
        [59.9, 60.0, 79.9, 80.0, 90.0, 10.0].map(priority),
        ["low", "medium", "medium", "high", "critical", "low"]
    );
    server.client().patch("/v1/alerts/A-1", &json!({"priority": "high"})).ok(200);
    assert_eq!(priority(95.0), "high", "a person has the last word");
    assert_eq!(show(&server, "/v1/alerts/A-1")["risk_score"], 95.0, "and the score stays the source's");
    server.accepted(&alert_of("A-2", json!({"risk_score": 95, "priority": "medium"})));
    assert_eq!(show(&server, "/v1/alerts/A-2")["priority"], "medium", "what the source says is no band");
}

#[test]
fn without_bands_a_score_gives_no_priority() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    server.accepted(&alert_of("A-1", json!({"risk_score": 99})));
    assert_eq!(show(&server, "/v1/alerts/A-1")["priority"], Value::Null);
}

#[test]
fn a_queue_or_close_reason_that_is_not_configured_is_refused_with_the_names_that_are() {
    let folder = Folder::and(QUEUES);
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let queue = server.client().patch("/v1/cases/C-1", &json!({"queue": "Tier 9"}));
    queue.problem(400);
    assert!(queue.text().contains("Tier 1 Analyst") && queue.text().contains("Tier 9"), "{}", queue.text());
    let reason = server.client().patch("/v1/cases/C-1", &json!({"stage": "Closed", "closed_reason": "Bored"}));
    reason.problem(400);
    assert!(reason.text().contains("False Positive or Duplicate"), "{}", reason.text());
    assert_eq!(show(&server, "/v1/cases/C-1")["stage"], "New", "nothing of it has happened");
    let closed =
        server.client().patch("/v1/cases/C-1", &json!({"stage": "closed", "closed_reason": "low risk"})).ok(200);
    assert_eq!(closed["closed_reason"], "Low Risk", "names compare without case");
}

#[test]
fn an_assignee_is_a_member_of_the_queue_or_the_case_is_unassigned() {
    let folder = Folder::and(QUEUES);
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "queue": "Tier 1 Analyst"})));
    let patch = |body: Value| server.client().patch("/v1/cases/C-1", &body).ok(200);
    assert_eq!(patch(json!({"assignee": "alice"}))["assignee"], "alice");
    let refused = patch(json!({"assignee": "carol"}));
    assert_eq!(refused["assignee"], Value::Null);
    assert!(refused["warnings"].to_string().contains("alice, bob"), "{refused:#}");
    patch(json!({"assignee": "bob"}));
    let moved = patch(json!({"queue": "Tier 2 Analyst"}));
    assert_eq!(moved["assignee"], Value::Null, "bob is no member there: {moved:#}");
    assert_eq!(patch(json!({"queue": "Tier 1 Analyst", "assignee": "bob"}))["assignee"], "bob", "both at once");
    server.accepted(&case("case.updated", json!({"id": "C-1", "assignee": "mallory"})));
    assert_eq!(show(&server, "/v1/cases/C-1")["assignee"], Value::Null, "a source cannot do it either");
}

#[test]
fn a_new_case_goes_to_the_first_assignment_rule_that_fits_and_members_take_turns_over_restarts() {
    let rules = "assignment:\n\
        \x20 - { name: critical, when: 'case.priority == \"critical\"', queue: Tier 2 Analyst, assignee: carol }\n\
        \x20 - { name: others, queue: Tier 1 Analyst, round_robin: true }\n";
    let folder = Folder::and(&format!("{QUEUES}{rules}"));
    let server = Server::start(&folder);
    let made = |server: &Server, id: &str, fields: Value| {
        let mut case_fields = json!({"id": id, "stage": "New"});
        case_fields.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.accepted(&case("case.created", case_fields));
        let shown = show(server, &format!("/v1/cases/{id}"));
        (shown["queue"].clone(), shown["assignee"].clone())
    };
    assert_eq!(made(&server, "C-1", json!({"priority": "critical"})), (json!("Tier 2 Analyst"), json!("carol")));
    assert_eq!(made(&server, "C-2", json!({"priority": "low"})), (json!("Tier 1 Analyst"), json!("alice")));
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(made(&server, "C-3", json!({})), (json!("Tier 1 Analyst"), json!("bob")));
    assert_eq!(made(&server, "C-4", json!({})), (json!("Tier 1 Analyst"), json!("alice")));
    assert_eq!(made(&server, "C-5", json!({"queue": "Tier 2 Analyst"})), (json!("Tier 2 Analyst"), Value::Null));
    let history = show(&server, "/v1/cases/C-3/history");
    assert!(history.to_string().contains("assigned by the rule `others`"), "{history:#}");
    server.accepted(&case("case.updated", json!({"id": "C-3", "name": "n"})));
    assert_eq!(show(&server, "/v1/cases/C-3")["assignee"], "bob", "an update gives nothing away again");
}

#[test]
fn rules_that_cannot_be_are_refused_at_the_start_with_their_place() {
    for (lines, named) in [
        ("assignment: [{ queue: Tier 9 }]\n", "Tier 9"),
        ("assignment: [{ queue: Tier 2 Analyst, assignee: alice }]\n", "no member"),
        ("assignment: [{ when: 'case.prioritty == \"x\"', queue: Tier 2 Analyst }]\n", "prioritty"),
        ("grouping: [{ name: a, by: colour, window: 1h }]\n", "src_ips"),
        ("grouping: [{ name: a, by: users, window: 1h, when: 'detection.sevrity == \"x\"' }]\n", "severity"),
        ("priority_bands: { medium: 80, high: 60 }\n", "higher score"),
        ("watchlist: [{ kind: planet, id: mars }]\n", "account"),
    ] {
        let folder = Folder::and(&format!("{QUEUES}{lines}"));
        let Err((_, log)) = Server::try_start(&folder, &[]) else { panic!("it started: {lines}") };
        assert!(log.contains(named) && log.contains("sortie.yaml"), "{lines}{log}");
    }
}

#[test]
fn a_case_is_closed_once_and_opened_again_with_a_reason() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let close = json!({"stage": "Closed", "closed_reason": "Other", "close_supporting_reason": "a drill"});
    server.client().patch("/v1/cases/C-1", &close).ok(200);
    server.client().patch("/v1/cases/C-1", &close).problem(409);
    let reopen = json!({"stage": "Investigation", "reopen_reason": "it was no drill"});
    let open = server.client().patch("/v1/cases/C-1", &reopen).ok(200);
    for gone in ["closed_time", "closed_reason", "close_supporting_reason"] {
        assert_eq!(open[gone], Value::Null, "{gone}");
    }
    let history = show(&server, "/v1/cases/C-1/history");
    assert!(history["items"].to_string().contains("it was no drill"), "{history:#}");
    server.client().patch("/v1/cases/C-1", &json!({"reopen_reason": "for nothing"})).problem(400);
}

#[test]
fn custom_stages_count_and_one_that_is_in_use_is_not_taken_away() {
    let folder = Folder::and("stages: [New, Triage, Closed]\n");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "triage"})));
    server.accepted(&case("case.created", json!({"id": "C-2", "stage": "New"})));
    assert_eq!(show(&server, "/v1/cases/C-1")["stage"], "Triage");
    server.client().patch("/v1/cases/C-2", &json!({"stage": "Remediation"})).problem(400);
    server.stop();
    let text = folder.read("sortie.yaml");
    folder.write("sortie.yaml", &text.replace("[New, Triage, Closed]", "[New, Sorting, Closed]"));
    let Err((_, log)) = Server::try_start(&folder, &[]) else { panic!("a stage in use was renamed") };
    assert!(log.contains("Triage") && log.contains("1 case"), "{log}");
    folder.write("sortie.yaml", &text.replace("[New, Triage, Closed]", "[New, Triage, Waiting, Closed]"));
    let server = Server::start(&folder);
    server.client().patch("/v1/cases/C-1", &json!({"stage": "waiting"})).ok(200);
    server.stop();
    folder.write("sortie.yaml", &text.replace("[New, Triage, Closed]", "[New, Waiting, Closed]"));
    let server = Server::start(&folder);
    assert_eq!(show(&server, "/v1/cases/C-1")["stage"], "Waiting", "what nobody uses may go");
}
