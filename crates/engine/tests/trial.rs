//! Tests of playbooks: people answer, called playbooks are answered for, and every way of every block is counted.

#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of a `#[test]` function")]

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::outbound::{Destinations, Egress};
use engine::simulate::trial::{Bench, Coverage, Outcome};
use model::record::Vocabulary;
use playbook::{Catalog, Evaluator, Playbook, Source};

fn bench(texts: &[&str]) -> Bench {
    let catalog = Catalog { destinations: None, ..engine::catalog(None, Vocabulary::default(), None, None) };
    let sources: Vec<Source> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| Source { file: format!("{n}.yaml").into(), text: (*text).to_owned() })
        .collect();
    let evaluator = Evaluator::uncounted();
    let checked = playbook::check(&sources, &catalog, &evaluator);
    let errors: String = checked.diagnostics.iter().map(|found| found.render(false)).collect();
    assert!(!checked.failed(), "{errors}");
    Bench {
        evaluator,
        words: Vocabulary::default(),
        triage: engine::triage::Triage::default(),
        destinations: Destinations::default(),
        egress: Egress::default(),
        tenants: BTreeSet::new(),
        catalog,
        playbooks: checked.playbooks,
    }
}

async fn tried(bench: &Bench, id: &str) -> (Vec<(String, Outcome)>, Coverage) {
    let playbook: &Arc<Playbook> = bench.playbooks.iter().find(|one| &*one.id == id).unwrap();
    let mut coverage = Coverage::of(playbook);
    let mut all = Vec::new();
    for test in &playbook.tests {
        let outcome = bench.run(playbook, test).await;
        coverage.merge(&outcome.coverage);
        all.push((test.name.clone(), outcome));
    }
    (all, coverage)
}

fn differences(outcomes: &[(String, Outcome)]) -> Vec<String> {
    let shown = |(name, outcome): &(String, Outcome)| {
        outcome.differences.iter().map(|one| format!("{name}: {}: {}", one.what, one.got)).collect::<Vec<_>>()
    };
    outcomes.iter().flat_map(shown).collect()
}

const ISOLATE: &str = "
playbook: isolate
triggers: [manual, alert.created]
steps:
  - id: ask
    approve:
      ask: Isolate ${{ alert.endpoints[0] }}?
      fields: { reason: { type: string, required: true } }
      deadline: 4h
      on_deadline: deny
    on_error: continue
  - id: tell
    if: steps.ask.succeeded
    action: webhook.send
    with: { to: [desk], body: '${{ steps.ask.output.fields.reason }} by ${{ steps.ask.output.by }} at ${{ now }}' }
tests:
  - name: a yes three hours later
    now: 2026-03-01T08:00:00Z
    event: { type: alert.created, alert: { id: A-1, endpoints: [ws-17] } }
    approvals: { ask: { decision: approve, by: carol, after: 3h, fields: { reason: ransomware } } }
    expect: { status: succeeded, steps: [ask, tell], requests: [{ body_is: 'ransomware by carol at 2026-03-01T11:00:00.000Z' }] }
  - name: a no
    event: { type: alert.created, alert: { id: A-1, endpoints: [ws-17] } }
    approvals: { ask: deny }
    expect: { status: succeeded_with_warnings, steps: { tell: skipped }, outputs: { ask: { decision: deny, by: approver } } }
  - name: nobody in time
    event: { type: alert.created, alert: { id: A-1, endpoints: [ws-17] } }
    approvals: { ask: { decision: approve, after: 5h, fields: { reason: x } } }
    expect: { steps: { tell: skipped } }
  - name: who asked cannot answer, and a yes needs its fields
    given: { alerts: [{ id: A-1, endpoints: [ws-17] }] }
    event: { run: { alert: A-1, by: bob } }
    approvals:
      ask:
        - { decision: approve, by: bob, fields: { reason: mine }, refused: true }
        - { decision: approve, by: carol, refused: true }
        - { decision: approve, by: carol, after: 1h, fields: { reason: hers } }
    expect: { status: succeeded, outputs: { ask: { by: carol, fields: { reason: hers } } } }
";

#[tokio::test]
async fn people_answer_when_and_as_the_test_says() {
    let bench = bench(&[ISOLATE]);
    let (outcomes, coverage) = tried(&bench, "isolate").await;
    assert_eq!(differences(&outcomes), [""; 0]);
    assert_eq!(coverage.missed_branches().len(), 0, "{:?}", coverage.missed_branches());
}

#[tokio::test]
async fn an_answer_that_is_refused_or_that_nobody_asks_for_fails_the_test() {
    let wrong = ISOLATE
        .replace("by: bob, fields: { reason: mine }, refused: true", "by: bob, fields: { reason: mine }")
        .replace("approvals: { ask: deny }", "approvals: { ask: [{ decision: deny, refused: true }, approve] }");
    let bench = bench(&[&wrong]);
    let (outcomes, _) = tried(&bench, "isolate").await;
    let told = differences(&outcomes).join("\n");
    assert!(told.contains("the answer of bob to step `ask`") && told.contains("cannot answer its question"), "{told}");
    assert!(told.contains("the answer of approver to step `ask`: taken"), "{told}");
    let never = ISOLATE.replace(
        "    event: { type: alert.created, alert: { id: A-1, endpoints: [ws-17] } }\n    approvals: { ask: deny }",
        "    event: { type: alert.updated, alert: { id: A-1 } }\n    approvals: { ask: deny }",
    );
    let bench = bench_of(&never);
    let (outcomes, _) = tried(&bench, "isolate").await;
    assert!(differences(&outcomes).join("\n").contains("nobody was asked by step `ask`"));
}

fn bench_of(text: &str) -> Bench {
    bench(&[text])
}

const CALLER: &str = "
playbook: caller
triggers: [alert.created]
steps:
  - id: ask
    action: http.request
    with: { method: GET, url: 'https://own.example.com/' }
  - id: sub
    call: { playbook: callee, inputs: { user: '${{ alert.users[0] }}' } }
  - id: note
    action: log
    with: { message: 'score ${{ steps.sub.output.score }}' }
tests:
  - name: the playbook that is called is answered for by its own name
    event: { type: alert.created, alert: { id: A-1, users: [alice] } }
    responses:
      ask: { body: { own: true } }
      callee/ask: [{ fails: timeout }, { body: { score: 80 } }]
    approvals: { callee/may: { decision: approve, by: carol } }
    expect:
      status: succeeded
      outputs: { sub: { score: 80 } }
      requests: [{ step: ask, url: 'https://own.example.com/' }, { step: callee/ask, tries: 2 }]
  - name: one that is not answered for fails
    event: { type: alert.created, alert: { id: A-1, users: [alice] } }
    responses: { ask: 200 }
    approvals: { callee/may: approve }
    expect: { status: failed }
";

const CALLEE: &str = "
playbook: callee
triggers: [manual]
inputs: { user: { type: string, required: true } }
outputs: { score: '${{ steps.ask.output.body.score }}' }
steps:
  - id: may
    approve: { ask: May it?, deadline: 1h, on_deadline: fail }
  - id: ask
    action: http.request
    with: { method: GET, url: 'https://rep.example.com/${{ inputs.user }}' }
";

#[tokio::test]
async fn a_playbook_that_is_called_is_answered_for_by_its_own_name() {
    let bench = bench(&[CALLER, CALLEE]);
    let (outcomes, _) = tried(&bench, "caller").await;
    let told = differences(&outcomes);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("step `callee/ask` asks GET https://rep.example.com/alice"), "{told:?}");
}

const WAYS: &str = "
playbook: ways
triggers:
  - case.in_stage: { stage: New, for: 4h, when: 'case.priority == \"high\"' }
  - case.created: { when: 'case.queue == \"now\"' }
when: '(case.name ?? \"\") != \"off\"'
steps:
  - id: route
    switch:
      - { when: 'case.priority == \"high\"', steps: [{ id: high, action: log, with: { message: high } }] }
      - { when: 'case.priority == \"low\"', steps: [{ id: low, action: log, with: { message: low } }] }
  - id: each
    for_each: { in: 'case.users ?? []', as: user, steps: [{ id: one, action: log, with: { message: '${{ user }}' } }] }
  - id: guard
    try:
      steps: [{ id: send, action: webhook.send, with: { to: [desk], body: x }, retry: { max: 0 } }]
      catch: [{ id: caught, action: log, with: { message: caught } }]
  - id: poll
    repeat:
      until: steps.look.output.body.done
      every: 1m
      max: 2
      steps: [{ id: look, action: http.request, with: { method: GET, url: 'https://x.example.com/' } }]
    on_error: continue
  - id: until-closed
    wait: { event: { type: ticket.closed }, timeout: 1h, on_timeout: continue }
tests:
";

fn ways(tests: &str) -> Bench {
    bench(&[&format!("{WAYS}{tests}")])
}

const FIRST: &str = "  - name: a high one that stays
    events:
      - { type: case.created, case: { id: C-1, priority: high, stage: New, queue: later, users: [a, b] } }
      - { after: 4h }
      - { after: 2m, type: ticket.closed }
    responses: { look: { body: { done: true } } }
    expect: { runs: 1, status: succeeded }
";
const SECOND: &str = "  - name: another one at once, with failures
    event: { type: case.created, case: { id: C-1, priority: medium, stage: New, queue: now } }
    destinations: { desk: 500 }
    responses: { look: { body: { done: false } } }
    expect: { runs: 1, status: succeeded_with_warnings }
  - name: a low one that stays
    events: [{ type: case.created, case: { id: C-1, priority: low, stage: New, queue: now } }, { after: 5h }]
    responses: { look: { body: { done: true } } }
    expect: { runs: 1 }
  - name: switched off by its name
    event: { type: case.created, case: { id: C-2, queue: now, name: off } }
    expect: { runs: 0 }
";

#[tokio::test]
async fn every_way_is_counted_and_what_no_test_takes_is_named() {
    let bench = ways(FIRST);
    let (outcomes, coverage) = tried(&bench, "ways").await;
    assert_eq!(differences(&outcomes), [""; 0]);
    let missed: Vec<String> = coverage.missed_branches().iter().map(|(branch, _)| branch.to_string()).collect();
    let wanted = [
        "`when` of trigger 1 says no",
        "`when` of trigger 2 says yes",
        "`when` says no",
        "route takes case 2",
        "route takes no case",
        "each has no items",
        "guard fails and is caught",
        "poll comes to its `max`",
        "poll fails",
        "the event that until-closed waits for does not come in time",
    ];
    let (mut got, mut all): (Vec<&str>, Vec<&str>) = (missed.iter().map(String::as_str).collect(), wanted.to_vec());
    got.sort_unstable();
    all.sort_unstable();
    assert_eq!(got, all);
    let steps: Vec<&str> = coverage.missed_steps().iter().map(|(path, _)| *path).collect();
    assert_eq!(steps, ["route/1/low", "guard/catch/caught"]);
}

#[tokio::test]
async fn with_a_test_for_each_way_nothing_is_missed() {
    let bench = ways(&format!("{FIRST}{SECOND}"));
    let (outcomes, coverage) = tried(&bench, "ways").await;
    assert_eq!(differences(&outcomes), [""; 0]);
    assert_eq!((coverage.missed_branches(), coverage.missed_steps()), (Vec::new(), Vec::new()));
}

#[test]
fn steps_of_other_playbooks_that_are_not_there_are_named() {
    let catalog = Catalog { destinations: None, ..engine::catalog(None, Vocabulary::default(), None, None) };
    let text = CALLER.replace("callee/ask: [{", "calle/ask: [{").replace("callee/may: approve", "callee/mai: approve");
    let sources = [("a.yaml", text.as_str()), ("b.yaml", CALLEE)]
        .map(|(file, text)| Source { file: file.into(), text: text.to_owned() });
    let checked = playbook::check(&sources, &catalog, &Evaluator::uncounted());
    let found: Vec<(&str, u32, String)> =
        checked.diagnostics.iter().map(|one| (one.code, one.span.line, one.message.clone())).collect();
    let wanted = [
        ("PB216", 18, "there is no playbook `calle`, and no step `calle/ask`"),
        ("PB212", 27, "the playbook `callee` has no step `mai`"),
    ];
    assert_eq!(found, wanted.map(|(code, line, message)| (code, line, message.to_owned())));
}
