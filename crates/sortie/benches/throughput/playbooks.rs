//! The playbook that is measured, and those that listen to something else.

/// The playbook of the main job: three clauses, all of which are looked at for every event, and one webhook.
const SENDS: &str = r#"playbook: bench-send
name: Send what is critical
triggers:
  - alert.created
when: alert.risk_score >= 90 && alert.priority == "critical" && "T1078" in alert.mitres
steps:
  - id: send
    action: webhook.send_threat_details
    with: { to: [receiver] }
"#;

/// It, and `idle` others, none of which listens to a new alert.
pub(super) fn all(idle: usize) -> Vec<String> {
    std::iter::once(SENDS.to_owned()).chain((0..idle).map(other)).collect()
}

fn other(n: usize) -> String {
    let trigger = match n % 4 {
        0 => format!("event: {{ type: vendor.kind-{n} }}"),
        1 => "case.stage_changed: { from: New, to: Investigation }".to_owned(),
        2 => format!("score.threshold: {{ of: host, score: urgency, above: {}, dedupe: 6h }}", 10 + n % 90),
        _ => "case.updated: { changed: [queue] }".to_owned(),
    };
    let when = if n.is_multiple_of(4) { "when: event.data.severity == \"high\"\n" } else { "" };
    format!(
        "playbook: idle-{n}\nname: Listens to something else, {n}\ntriggers:\n  - {trigger}\n{when}steps:\n  - id: say\n    action: log\n    with: {{ message: \"number {n}\" }}\n"
    )
}
