//! What is played: twelve kinds of event in turn, and the playbooks that they start.
//!
//! Invariants: everything about event `n` follows from `n`. Ids come again after [`ALERTS`] alerts, [`CASES`] cases and
//! [`HOSTS`] hosts, and events have no ids of their own, since what is kept about those is kept for days: all that grows
//! within the hour is then something that should not.

use std::net::SocketAddr;

use crate::support::alert;

/// Different alerts, cases and hosts.
const ALERTS: u64 = 12_000;
const CASES: u64 = 1_200;
const HOSTS: u64 = 600;
/// Kinds of event.
const SHAPES: u64 = 12;

/// Whether event `n` is of the kind whose one webhook is timed.
pub(super) const fn is_timed(n: u64) -> bool {
    n % SHAPES == 1
}

/// The body of event `n`.
pub(super) fn body(n: u64) -> Vec<u8> {
    // Every round over the same ids changes what the objects say.
    let round = n / (ALERTS * SHAPES);
    let text = match n % SHAPES {
        0 => alert(n, "quiet"),
        1 => alert(n, "one"),
        2 => alert(n, "two"),
        3 => alert(n, "flaky"),
        4 => alert(n, "local"),
        5 => {
            let turn = n / SHAPES;
            let stage = if (turn / CASES).is_multiple_of(2) { "Investigation" } else { "Remediation" };
            let from = if stage == "Investigation" { "Remediation" } else { "Investigation" };
            format!(
                r#"{{"type":"case.stage_changed","from":"{from}","to":"{stage}","case":{{"id":"C-{}","name":"bench-{n}","stage":"{stage}","priority":"high","risk_score":{}}}}}"#,
                turn % CASES,
                60 + round % 40
            )
        }
        6 => {
            let turn = n / SHAPES;
            let score = if (turn / HOSTS).is_multiple_of(2) { 70 } else { 90 };
            format!(
                r#"{{"type":"entity.score","entity":{{"kind":"host","id":"ws-{}","name":"bench-{n}","scores":{{"urgency":{score}}}}}}}"#,
                turn % HOSTS
            )
        }
        7 => format!(r#"{{"type":"scan.finished","data":{{"name":"bench-{n}","items":["a","b","c"]}}}}"#),
        8 => format!(r#"{{"type":"later.please","data":{{"name":"bench-{n}"}}}}"#),
        9 => format!(r#"{{"type":"ticket.opened","data":{{"name":"bench-{n}","number":{}}}}}"#, n / SHAPES),
        10 => format!(r#"{{"type":"ticket.closed","data":{{"number":{}}}}}"#, n / SHAPES),
        _ => format!(r#"{{"type":"will.fail","data":{{"name":"bench-{n}"}}}}"#),
    };
    text.into_bytes()
}

fn alert(n: u64, tag: &str) -> String {
    let text = String::from_utf8_lossy(&alert::body(n, &format!(",\"{tag}\""), true)).into_owned();
    let text = text.replacen(&format!(r#""id":"evt-{n}","#), "", 1);
    let text = text.replacen(&format!(r#""id":"bench-{n}""#), &format!(r#""id":"A-{}""#, n % ALERTS), 1);
    text.replacen("Impossible travel", &format!("bench-{n} impossible travel"), 1)
}

/// A destination: its name, its URL, and further keys.
pub(super) type Destination = (&'static str, String, &'static str);

/// The destinations and the playbooks.
pub(super) fn files(receiver: SocketAddr) -> (Vec<Destination>, Vec<String>) {
    let retry = ", retry: { max: 8, backoff: exponential, first: 50ms, cap: 500ms }";
    let destinations = vec![
        ("steady", format!("http://{receiver}/hook"), retry),
        ("unsteady", format!("http://{receiver}/flaky"), retry),
    ];
    (destinations, PLAYBOOKS.map(str::to_owned).to_vec())
}

/// One for each kind of event that is not `quiet`, and one that hears failures.
const PLAYBOOKS: [&str; 11] = [
    r#"playbook: one
name: One webhook
triggers: [alert.created, alert.updated]
when: |
  "one" in alert.tags && alert.risk_score >= 90
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [steady] } }
"#,
    r#"playbook: two
name: Two steps
triggers: [alert.created, alert.updated]
when: |
  "two" in alert.tags
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [steady] } }
  - id: confirm
    if: steps.send.succeeded
    action: webhook.send
    with: { to: [steady], body: { about: "${{ alert.name }}", confirmed: true } }
"#,
    r#"playbook: flaky
name: One webhook to a receiver that fails now and then
triggers: [alert.created, alert.updated]
when: |
  "flaky" in alert.tags
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [unsteady] } }
"#,
    r#"playbook: local
name: Makes a case, once, and comments on it each time
triggers: [alert.created, alert.updated]
when: |
  "local" in alert.tags
steps:
  - id: make
    action: case.create_from_alert
    with: { name: "${{ alert.name }}", priority: high, stage: New }
  - id: say
    action: case.comment
    with: { case: "${{ steps.make.output.case_id }}", text: "seen again: ${{ alert.name }}" }
"#,
    r#"playbook: moved
name: Sends a case that was moved
triggers:
  - case.stage_changed: { to: [Investigation, Remediation] }
steps:
  - { id: send, action: webhook.send_threat_details, with: { to: [steady] } }
"#,
    r#"playbook: score
name: Sends a host whose score crosses, at most every ten seconds
triggers:
  - score.threshold: { of: host, score: urgency, above: 80, dedupe: 10s }
steps:
  - { id: send, action: webhook.send, with: { to: [steady], body: { about: "${{ entity.name }}" } } }
"#,
    r#"playbook: each
name: A webhook for each item
triggers:
  - event: { type: scan.finished }
steps:
  - id: items
    for_each:
      in: event.data.items
      as: item
      max_parallel: 2
      steps:
        - { id: send, action: webhook.send, with: { to: [steady], body: { about: "${{ event.data.name }}", item: "${{ item }}" } } }
"#,
    r#"playbook: later
name: Sends after a while
triggers:
  - event: { type: later.please }
steps:
  - { id: pause, wait: { for: 20s } }
  - { id: send, action: webhook.send, with: { to: [steady], body: { about: "${{ event.data.name }}" } } }
"#,
    r#"playbook: ticket
name: Waits for a ticket to be closed
triggers:
  - event: { type: ticket.opened }
steps:
  - { id: keep, set: { number: "${{ event.data.number }}" } }
  - { id: closed, wait: { event: { type: ticket.closed, when: "event.data.number == vars.number" }, timeout: 30s, on_timeout: continue } }
  - { id: send, action: webhook.send, with: { to: [steady], body: { about: "closed" } } }
"#,
    r#"playbook: fails
name: Asks somebody who is not there
triggers:
  - event: { type: will.fail }
steps:
  - { id: ask, action: http.request, with: { method: GET, url: "http://127.0.0.1:9/" }, retry: { max: 1, first: 50ms, cap: 50ms } }
on_failure:
  - { id: note, action: log, with: { message: "${{ failure.message }}" } }
"#,
    r#"playbook: fallen
name: Hears of runs that failed
triggers:
  - run.failed: { playbook: fails }
steps:
  - { id: note, action: log, with: { message: "a run has failed" } }
"#,
];
