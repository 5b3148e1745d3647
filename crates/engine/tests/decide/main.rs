//! What follows from events: triggers, crossings, windows, order, guards. One `check` runs a list of events through
//! [`engine::decide`] over a state in memory and writes down what was decided.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside of a `#[test]` function")]

mod bounds;
mod counts;
mod scene;

use model::event::ChainLink;
use model::{Kind, RunId, Seq};
use scene::{Scene, case, event, host};
use serde_json::json;

const SCORE: &str = "
playbook: hot
triggers:
  - score.threshold: { of: host, score: urgency, above: 80, dedupe: 6h }
steps:
  - action: log
    with: { message: hot }
";

#[test]
fn a_score_fires_when_it_crosses_upward_from_nothing_or_from_below() {
    let mut scene = Scene::new(&[SCORE]);
    assert_eq!(scene.at(0, host(80.0)), ["hot matched"], "from nothing to the value itself");
    let mut scene = Scene::new(&[SCORE]);
    assert!(scene.at(0, host(79.9)).is_empty());
    assert_eq!(scene.at(1, host(95.0)), ["hot matched"]);
}

#[test]
fn within_the_window_it_stays_silent_whatever_the_score_does() {
    let mut scene = Scene::new(&[SCORE]);
    assert_eq!(scene.at(0, host(85.0)), ["hot matched"]);
    assert!(scene.at(10, host(95.0)).is_empty(), "rising further is no crossing");
    assert!(scene.at(20, host(10.0)).is_empty(), "a decrease never fires");
    assert_eq!(scene.at(30, host(90.0)), ["hot deduplicated"]);
    assert!(scene.at(40, host(10.0)).is_empty());
    assert_eq!(scene.at(359, host(90.0)), ["hot deduplicated"], "a suppressed crossing does not extend the window");
    assert!(scene.at(359, host(10.0)).is_empty());
    assert_eq!(scene.at(360, host(90.0)), ["hot matched"], "the window is half open");
}

#[test]
fn after_the_window_a_score_that_merely_stays_high_does_not_fire() {
    let mut scene = Scene::new(&[SCORE]);
    assert_eq!(scene.at(0, host(85.0)), ["hot matched"]);
    assert!(scene.at(400, host(86.0)).is_empty());
}

#[test]
fn two_levels_cross_when_both_first_hold() {
    let mut scene = Scene::new(&["
playbook: both
triggers:
  - score.threshold: { of: host, all: { threat: 50, certainty: 50 } }
steps:
  - action: log
    with: { message: both }
"]);
    let scores = |threat: u8, certainty: u8| {
        let fields = json!({ "kind": "host", "id": "h", "scores": { "threat": threat, "certainty": certainty } });
        event("entity.score", Kind::Entity, "host/h", fields)
    };
    assert!(scene.at(0, scores(60, 40)).is_empty());
    assert_eq!(scene.at(1, scores(60, 50)), ["both matched"]);
    assert!(scene.at(2, scores(70, 60)).is_empty());
    assert!(scene.at(3, scores(40, 60)).is_empty());
    assert_eq!(scene.at(4, scores(50, 60)), ["both matched"]);
}

const STAGE: &str = "
playbook: moved
triggers:
  - case.stage_changed: { from: New, to: [Investigation, Remediation] }
when: case.priority == \"critical\"
steps:
  - action: case.comment
    with: { text: moved }
";

#[test]
fn an_update_whose_stage_differs_is_a_stage_change() {
    let mut scene = Scene::new(&[STAGE]);
    assert!(
        scene.at(0, case("case.created", json!({ "id": "C-1", "stage": "New", "priority": "critical" }))).is_empty()
    );
    assert_eq!(scene.at(1, case("case.updated", json!({ "id": "C-1", "stage": "Investigation" }))), ["moved matched"]);
    assert!(
        scene.at(2, case("case.updated", json!({ "id": "C-1", "stage": "Remediation" }))).is_empty(),
        "not from New"
    );
}

#[test]
fn a_condition_that_says_no_names_the_value_that_it_saw() {
    let mut scene = Scene::new(&[STAGE]);
    let mut first = case("case.stage_changed", json!({ "id": "C-1", "stage": "Investigation", "priority": "low" }));
    first.from = Some("New".to_owned());
    let (said, reasons) = scene.decided(0, first);
    assert_eq!(said, ["moved not_matched"]);
    assert!(reasons[0].contains("case.priority") && reasons[0].contains("low"), "{}", reasons[0]);
}

#[test]
fn a_condition_that_cannot_be_answered_is_failed_and_never_no() {
    let mut scene = Scene::new(&["
playbook: p
triggers: [alert.created]
when: alert.risk_score >= 90
steps:
  - action: log
    with: { message: x }
"]);
    assert_eq!(scene.at(0, event("alert.created", Kind::Alert, "A", json!({ "id": "A" }))), ["p failed"]);
}

#[test]
fn order_decides_who_comes_first_and_ties_go_by_id() {
    let playbook = |id: &str, order: i64| {
        format!(
            "playbook: {id}\norder: {order}\ntriggers: [alert.created]\nsteps:\n  - action: log\n    with: {{ message: x }}\n"
        )
    };
    let texts = [playbook("b", 100), playbook("z", 1), playbook("a", 100)];
    let mut scene = Scene::new(&texts.each_ref().map(String::as_str));
    let said = scene.at(0, event("alert.created", Kind::Alert, "A", json!({ "id": "A" })));
    assert_eq!(said, ["z matched", "a matched", "b matched"]);
}

#[test]
fn the_first_trigger_in_the_file_that_fits_is_the_one() {
    let mut scene = Scene::new(&["
playbook: p
triggers:
  - alert.created: { when: alert.risk_score >= 90 }
  - score.threshold: { of: alert, score: risk, above: 50 }
steps:
  - action: log
    with: { message: x }
"]);
    let alert = |id: &str, score: u8| event("alert.created", Kind::Alert, id, json!({ "id": id, "risk_score": score }));
    let (said, reasons) = scene.decided(0, alert("A", 95));
    assert_eq!((said.len(), said[0].as_str()), (1, "p matched"));
    assert!(reasons[0].contains("created"), "{}", reasons[0]);
    let (said, reasons) = scene.decided(0, alert("B", 60));
    assert_eq!(said, ["p matched"], "the first trigger's condition says no, the second fits");
    assert!(reasons[0].contains("crossed"), "{}", reasons[0]);
}

#[test]
fn a_playbook_is_not_started_by_its_own_chain_unless_it_says_so() {
    let text = "playbook: p\ntriggers: [case.updated]\nsteps:\n  - action: log\n    with: { message: x }\n";
    let allowed = "playbook: q\ntriggers_itself: allow\ntriggers: [case.updated]\nsteps:\n  - action: log\n    with: { message: x }\n";
    let mut scene = Scene::new(&[text, allowed]);
    let link = |playbook: &str| ChainLink {
        playbook: playbook.to_owned(),
        run: RunId { seq: Seq(1), n: 0, tag: 1 },
        requester: None,
    };
    let mut caused = case("case.updated", json!({ "id": "C-1", "name": "x" }));
    caused.chain = vec![link("p"), link("q")];
    assert_eq!(scene.at(0, caused), ["p loop_guarded", "q matched"]);
    let mut deep = case("case.updated", json!({ "id": "C-1", "name": "y" }));
    deep.chain = vec![link("other"); 10];
    assert_eq!(scene.at(1, deep), ["p loop_guarded", "q loop_guarded"]);
}

#[test]
fn expired_and_disabled_playbooks_say_so() {
    let mut scene = Scene::new(&[
        "playbook: old\nexpires: 1970-01-01T00:05:00Z\ntriggers: [alert.created]\nsteps:\n  - action: log\n    with: { message: x }\n",
        "playbook: off\nenabled: false\ntriggers: [alert.created]\nsteps:\n  - action: log\n    with: { message: x }\n",
    ]);
    let alert = |id: &str| event("alert.created", Kind::Alert, id, json!({ "id": id }));
    assert_eq!(scene.at(1, alert("A")), ["off disabled", "old matched"]);
    assert_eq!(scene.at(5, alert("B")), ["off disabled", "old expired"]);
}

#[test]
fn playbooks_that_listen_to_other_things_get_no_decision_and_others_are_counted() {
    let mut scene = Scene::new(&[
        STAGE,
        SCORE,
        "playbook: t\ntriggers:\n  - event: { type: holm.* }\nsteps:\n  - action: log\n    with: { message: x }\n",
    ]);
    let means = |scene: &Scene, kind: &str| scene.set.hear(kind, "default", None, &[]).listening.len();
    assert_eq!(means(&scene, "holm.finished_scan"), 1);
    assert_eq!(means(&scene, "case.stage_changed"), 1);
    assert_eq!(means(&scene, "alert.created"), 0);
    let mut plain = event("holm.ticket", Kind::Alert, "x", json!({}));
    plain.subject = None;
    assert_eq!(scene.at(0, plain), ["t matched"]);
}
