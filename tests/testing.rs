//! `sortie test`: what playbooks' own tests see, and that they see it without a server and without a network.

use serde_json::json;

use crate::support::Folder;
use crate::support::command::{command, run, sortie};

/// Asks a service, tells the desk, marks the alert; says so when it failed.
const ESCALATE: &str = "\
triggers:
  - alert.created: { when: alert.risk_score >= 90 }
secrets: [REP]
steps:
  - id: ask
    if: alert.users != ()
    action: http.request
    with: { url: \"https://rep.example.com/user/${{ alert.users[0] }}\", auth: { bearer: \"${secret:REP}\" } }
    on_error: continue
  - id: tell
    action: webhook.send
    with: { to: soc-desk, body: { text: \"score ${{ steps.ask.output?.body?.score ?? 0 }}\" } }
  - id: mark
    action: alert.add_tags
    with: { tags: [told] }
on_failure:
  - id: say
    action: alert.comment
    with: { text: \"it failed: ${{ failure.message }}\" }
";

fn folder(tests: &str) -> Folder {
    let folder = Folder::new();
    folder.playbook("escalate", ESCALATE);
    folder.write("playbooks/escalate.test.yaml", tests);
    folder
}

const GOOD: &str = "\
tests:
  - name: the desk hears the score of the service
    event: { type: alert.created, alert: { id: A-1, risk_score: 92, users: [alice] } }
    responses: { ask: { body: { score: 80 } } }
    expect:
      runs: 1
      verdict: matched
      status: succeeded
      steps: [ask, tell, mark]
      outputs: { ask: { status: 200, body: { score: 80 } } }
      requests:
        - { step: ask, method: GET, url: \"https://rep.example.com/user/alice\", headers: { Authorization: \"Bearer ***\" } }
        - { destination: soc-desk, body_is: { text: score 80 }, tries: 1 }
      alerts: { A-1: { tags: [told], risk_score: 92.0 } }
  - name: a desk that is down is tried four times, and the failure is noted
    event: { type: alert.created, alert: { id: A-1, risk_score: 92, users: [alice] } }
    responses: { ask: [{ fails: timeout }, 500, 404] }
    destinations: { soc-desk: 503 }
    expect:
      status: failed
      steps: { ask: failed, tell: failed, mark: not_run, say: succeeded }
      errors: { ask: http_status, tell: http_status }
      requests: [{ step: ask, tries: 3 }, { step: tell, tries: 4, body: { text: score 0 } }]
  - name: nobody is asked about an alert without users
    event: { type: alert.created, alert: { id: A-1, risk_score: 90 } }
    expect: { steps: [tell, mark], requests: [{ destination: soc-desk }] }
  - name: a low score is not told
    event: { type: alert.created, alert: { id: A-1, risk_score: 12 } }
    expect: { runs: 0, verdict: not_matched, reason: risk_score, requests: [] }
  - name: what was known before makes it an update
    given: { alerts: [{ id: A-1, risk_score: 10 }] }
    event: { type: alert.created, alert: { id: A-1, risk_score: 95 } }
    expect: { runs: 0, alerts: { A-1: { risk_score: 95 } } }
";

#[test]
fn tests_beside_a_playbook_are_carried_out_and_coverage_is_told() {
    let ended = sortie(&folder(GOOD), &["test", "playbooks"]).expect(0);
    let wanted = "\
playbooks/escalate.yaml
  ok    the desk hears the score of the service
  ok    a desk that is down is tried four times, and the failure is noted
  ok    nobody is asked about an alert without users
  ok    a low score is not told
  ok    what was known before makes it an update
  4 of 4 steps reached, 5 of 5 branches reached
5 passed, 0 failed
";
    assert_eq!(ended.stdout, wanted);
}

#[test]
fn a_test_that_fails_says_where_what_was_expected_and_what_came() {
    let folder = folder(
        "\
tests:
  - name: everything is otherwise
    event: { type: alert.created, alert: { id: A-1, risk_score: 92, users: [alice] } }
    expect:
      runs: 2
      verdict: not_matched
      steps: [ask]
      requests: [{ step: tell }]
      alerts: { A-1: { tags: [other] } }
  - name: this one is right
    event: { type: alert.created, alert: { id: A-1, risk_score: 12 } }
    expect: { runs: 0 }
",
    );
    let ended = sortie(&folder, &["test", "playbooks", "--junit", "out.xml"]).expect(5);
    let wanted = "\
playbooks/escalate.yaml
  FAIL  everything is otherwise
        runs  playbooks/escalate.test.yaml:5:13
          expected 2
               got 1 (matched: alert:A-1 created)
        verdict  playbooks/escalate.test.yaml:6:16
          expected not_matched
               got matched
        steps  playbooks/escalate.test.yaml:7:14
          expected ask
               got ask, tell, mark
        requests  playbooks/escalate.test.yaml:8:17
          expected 1 request
               got 2 requests: `ask` GET https://rep.example.com/user/alice; `tell` to soc-desk
        requests[0].step  playbooks/escalate.test.yaml:8:18
          expected tell
               got ask
        alerts.A-1.tags[0]  playbooks/escalate.test.yaml:9:17
          expected \"other\"
               got \"told\"
        step `ask` asks GET https://rep.example.com/user/alice, and the test says no answer  playbooks/escalate.test.yaml:2:5
          add `responses: { ask: { status: 200, body: … } }`
  ok    this one is right
  3 of 4 steps reached, 4 of 5 branches reached
    never: step on_failure/say (line 18)
    never: `if` of ask says no (line 6)
1 passed, 1 failed
";
    assert_eq!(ended.stdout, wanted);
    let junit = folder.read("out.xml");
    for part in
        ["tests=\"2\" failures=\"1\"", "<failure message=\"runs\">", "this one is right", "expected &quot;other&quot;"]
    {
        assert!(junit.contains(part), "{part}: {junit}");
    }
    let json = sortie(&folder, &["test", "playbooks", "--json"]).expect(5).json();
    assert_eq!(json["tests"][0]["differences"][0]["what"], "runs");
    assert_eq!((&json["tests"][1]["ok"], &json["coverage"][0]["steps_reached"]), (&json!(true), &json!(3)));
}

#[test]
fn a_test_that_could_not_fail_and_a_broken_file_are_errors_of_their_own() {
    for (tests, code) in [
        ("tests:\n  - name: x\n    event: { type: alert.created, alert: { id: A-1 } }\n    expect: {}\n", "PB501"),
        ("tests:\n  - name: x\n    expect: { runs: 0 }\n", "PB501"),
        ("playbook: other\ntests:\n  - name: x\n    event: { type: a }\n    expect: { runs: 0 }\n", "PB502"),
        ("tests:\n  - name: x\n    event: { type: a }\n    expect: { run: 0 }\n", "PB101"),
    ] {
        let folder = folder(tests);
        let ended = sortie(&folder, &["test", "playbooks"]).expect(3);
        assert!(
            ended.stderr.contains(code) && ended.stderr.contains("escalate.test.yaml:"),
            "{code}: {}",
            ended.stderr
        );
        let checked = sortie(&folder, &["check", "playbooks", "--json"]).expect(3);
        assert_eq!(checked.json()[0]["code"], code);
    }
    let empty = Folder::new();
    empty.playbook("none", "triggers: [manual]\nsteps:\n  - action: log\n    with: { message: x }\n");
    assert!(sortie(&empty, &["test", "playbooks"]).expect(2).stderr.contains("no tests"));
}

#[test]
fn the_clock_is_moved_windows_are_kept_and_schedules_fire() {
    let folder = Folder::new();
    folder.playbook(
        "urgent",
        "\
triggers:
  - score.threshold: { of: host, score: urgency, above: 80, dedupe: 6h }
  - schedule: { cron: \"0 9 * * *\" }
steps:
  - id: warn
    action: webhook.send
    with: { to: soc-desk, body: { at: \"${{ now }}\" } }
tests:
  - name: silent for six hours, then a new crossing is told
    now: 2026-03-01T10:00:00Z
    events:
      - { type: entity.score, entity: { kind: host, id: ws-17, scores: { urgency: 83 } } }
      - { after: 1h, type: entity.score, entity: { kind: host, id: ws-17, scores: { urgency: 10 } } }
      - { after: 1h, type: entity.score, entity: { kind: host, id: ws-17, scores: { urgency: 90 } } }
      - { after: 1h, type: entity.score, entity: { kind: host, id: ws-17, scores: { urgency: 10 } } }
      - { after: 3h, type: entity.score, entity: { kind: host, id: ws-17, scores: { urgency: 90 } } }
    expect:
      runs: 2
      verdict: [matched, not_matched, deduplicated, not_matched, matched]
      entities: { host/ws-17: { scores: { urgency: 90 } } }
  - name: each morning at nine
    now: 2026-03-01T10:00:00Z
    events: [{ after: 2d }]
    expect:
      runs: 2
      requests: [{ body: { at: \"2026-03-02T09:00:00.000Z\" } }, { body: { at: \"2026-03-03T09:00:00.000Z\" } }]
",
    );
    sortie(&folder, &["test", "playbooks"]).expect(0);
}

#[test]
fn messages_of_a_vendor_and_runs_by_hand_can_be_tested() {
    let folder = Folder::new();
    folder.playbook(
        "by-hand",
        "\
triggers: [manual]
steps:
  - id: note
    action: case.comment
    with: { text: \"${{ inputs.why }}\" }
tests:
  - name: a person starts it
    given: { cases: [{ id: C-1, stage: New }] }
    events: [{ run: { case: C-1, inputs: { why: because } } }]
    expect: { runs: 1, steps: [note], status: succeeded, cases: { C-1: { stage: New } } }
",
    );
    sortie(&folder, &["test", "playbooks/by-hand.yaml"]).expect(0);
}

/// In a namespace of its own with no network at all; on machines that allow such a thing.
#[test]
fn tests_pass_where_there_is_no_network() {
    let folder = folder(GOOD);
    let plain = command(&folder);
    let mut alone = std::process::Command::new("unshare");
    alone.args([
        "-r",
        "-n",
        "sh",
        "-c",
        "test \"$(wc -l < /proc/net/route)\" -le 1 || exit 9; exec \"$0\" test playbooks",
    ]);
    alone.arg(plain.get_program()).current_dir(folder.path());
    if !std::process::Command::new("unshare").args(["-r", "-n", "true"]).status().is_ok_and(|status| status.success()) {
        return;
    }
    assert!(run(&mut alone, b"").expect(0).stdout.ends_with("5 passed, 0 failed\n"));
}
