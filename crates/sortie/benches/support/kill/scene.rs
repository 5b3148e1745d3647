//! What is played: the playbooks, and what each event must lead to.

use std::net::SocketAddr;

/// What an event leads to, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing: every condition says no.
    Nothing,
    /// One webhook.
    One,
    /// Two steps, the second under an `if`.
    Two,
    /// One webhook to a receiver that answers 500 now and then.
    Flaky,
    /// A case is made from the alert and moved on, which starts another playbook, which sends a webhook.
    Local,
}

impl Shape {
    /// That of event `n`.
    pub(crate) const fn of(n: u64) -> Shape {
        match n % 5 {
            0 => Shape::Nothing,
            1 => Shape::One,
            2 => Shape::Two,
            3 => Shape::Flaky,
            _ => Shape::Local,
        }
    }

    /// The tag that the conditions look for, as it stands in the alert's list.
    pub(crate) const fn tags(self) -> &'static str {
        match self {
            Shape::Nothing => "",
            Shape::One => ",\"one\"",
            Shape::Two => ",\"two\"",
            Shape::Flaky => ",\"flaky\"",
            Shape::Local => ",\"local\"",
        }
    }

    /// The playbooks that run, once each.
    pub(crate) const fn playbooks(self) -> &'static [&'static str] {
        match self {
            Shape::Nothing => &[],
            Shape::One => &["one"],
            Shape::Two => &["two"],
            Shape::Flaky => &["flaky"],
            Shape::Local => &["local", "reaction"],
        }
    }

    /// How many webhooks with different ids are sent.
    pub(crate) const fn webhooks(self) -> usize {
        match self {
            Shape::Nothing => 0,
            Shape::One | Shape::Flaky | Shape::Local => 1,
            Shape::Two => 2,
        }
    }
}

/// A destination: its name, its URL, and further keys.
pub(crate) type Destination = (&'static str, String, &'static str);

/// The destinations and the playbooks.
pub(crate) fn files(receiver: SocketAddr) -> (Vec<Destination>, Vec<String>) {
    let retry = ", retry: { max: 8, backoff: exponential, first: 50ms, cap: 500ms }";
    let destinations = vec![
        ("steady", format!("http://{receiver}/hook"), retry),
        ("unsteady", format!("http://{receiver}/flaky"), retry),
    ];
    (destinations, [ONE, TWO, FLAKY, LOCAL, REACTION].map(str::to_owned).to_vec())
}

const ONE: &str = r#"playbook: one
name: One webhook
triggers: [alert.created]
when: |
  "one" in alert.tags && alert.risk_score >= 90
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [steady] } }
"#;

const TWO: &str = r#"playbook: two
name: Two steps
triggers: [alert.created]
when: |
  "two" in alert.tags
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [steady] } }
  - id: confirm
    if: steps.send.succeeded
    action: webhook.send
    with: { to: [steady], body: { about: "${{ alert.id }}", confirmed: true } }
"#;

const FLAKY: &str = r#"playbook: flaky
name: One webhook to a receiver that fails now and then
triggers: [alert.created]
when: |
  "flaky" in alert.tags
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [unsteady] } }
"#;

const LOCAL: &str = r#"playbook: local
name: Makes a case and moves it
triggers: [alert.created]
when: |
  "local" in alert.tags
steps:
  - id: make
    action: case.create_from_alert
    with: { name: "${{ alert.id }}", priority: high, stage: New }
  - id: move
    action: case.set_stage
    with: { case: "${{ steps.make.output.case_id }}", stage: Investigation }
"#;

const REACTION: &str = r#"playbook: reaction
name: Sends a case that was moved
triggers:
  - case.stage_changed: { from: New, to: Investigation }
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [steady] } }
"#;
