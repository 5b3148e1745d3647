//! Simulations: the same engine with a clock that the test moves, effects that are only recorded, and the same bytes each
//! time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside of a `#[test]` function")]

use std::sync::Arc;
use std::time::Duration;

use engine::outbound::{Answers, Destinations, Egress, Planned, Reply, Takes};
use engine::simulate::{Simulation, Start};
use engine::source::{self, Incoming};
use model::record::Vocabulary;
use model::run::RunStatus;
use model::{Kind, ObjectKey, Time};
use playbook::{Evaluator, Playbook, Source};
use serde_json::{Value, json};

const DESTINATIONS: &str = "destinations: { desk: { kind: webhook, url: 'https://desk.example.com/hook', dedupe: 6h, auth: { header: X-Auth, value: '${secret:DESK}' } } }";

fn destinations() -> Destinations {
    let egress = Egress::default();
    let rules = engine::outbound::destination::Rules::new(&egress);
    engine::outbound::destination::read(&Arc::from("destinations.yaml"), DESTINATIONS, rules).unwrap()
}

fn compile(text: &str) -> Arc<Playbook> {
    let catalog = engine::catalog(Some(&destinations()), Vocabulary::default(), None, None);
    let source = Source { file: "test.yaml".into(), text: text.to_owned() };
    match playbook::compile(&source, &catalog, &Evaluator::uncounted()) {
        Ok(playbook) => Arc::new(playbook),
        Err(found) => panic!("{}", found.iter().map(|one| one.render(false)).collect::<String>()),
    }
}

async fn simulation(playbooks: &[&str], answers: impl Answers + 'static) -> Simulation {
    let simulation = Simulation::new(Start {
        evaluator: Evaluator::uncounted(),
        words: Vocabulary::default(),
        triage: engine::triage::Triage::default(),
        destinations: destinations(),
        egress: Egress::default(),
        public_url: None,
        catalog: engine::catalog(Some(&destinations()), Vocabulary::default(), None, None),
        answers: Box::new(answers),
        now: at("2026-11-22T08:00:00Z"),
        seed: 7,
        base: None,
    })
    .unwrap();
    simulation.load(playbooks.iter().map(|text| compile(text)).collect()).await.unwrap();
    simulation
}

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn event(simulation: &Simulation, body: &Value) -> Incoming {
    let words = Vocabulary::default();
    let source = source::Source {
        name: "generic".to_owned(),
        timezone: "UTC".to_owned(),
        shape: source::shape("generic", &Evaluator::uncounted()).unwrap(),
        tenants: None,
    };
    let ctx = source::Context {
        words: &words,
        tenants: None,
        tenant: None,
        now: simulation.now(),
        header_key: None,
        signed_key: None,
        content_type: None,
        headers: None,
        limits: source::Limits::default(),
    };
    source::read(&source, body.to_string().into(), &ctx).unwrap().elements.pop().unwrap().unwrap()
}

const NOTIFY: &str = "
playbook: notify
triggers:
  - case.stage_changed: { from: New, to: Investigation }
steps:
  - id: send
    action: webhook.send_threat_details
    with: { to: desk }
  - id: tag
    action: case.add_tags
    with: { tags: [notified] }
on_failure:
  - action: case.comment
    with: { text: \"Sending failed: ${{ failure.message }}\" }
";

fn critical() -> Value {
    json!({"type": "case.stage_changed", "from": "New", "to": "Investigation", "case": {"id": "C-1", "name": "x", "priority": "critical"}})
}

#[tokio::test]
async fn a_run_is_carried_out_nothing_leaves_and_its_changes_are_seen() {
    let simulation = simulation(&[NOTIFY], Takes).await;
    simulation.event(event(&simulation, &critical())).await.unwrap();
    simulation.settle().await.unwrap();
    let report = simulation.report().await.unwrap();
    assert_eq!(report.runs.len(), 1);
    assert_eq!(report.runs[0].status, RunStatus::Succeeded, "{report:?}");
    assert_eq!(report.would_send.len(), 1);
    assert_eq!(
        (report.would_send[0].headers["x-auth"].as_str(), &report.would_send[0].body["case_id"]),
        ("***", &json!("C-1"))
    );
    assert_eq!(report.would_change.len(), 1);
    let key = ObjectKey { tenant: "default".into(), kind: Kind::Case, id: "C-1".into() };
    let case = simulation.object(&key).unwrap().unwrap();
    assert_eq!(case.record["tags"], json!(["notified"]));
}

#[tokio::test]
async fn time_passes_only_when_it_is_moved_and_a_failing_receiver_is_tried_to_the_end() {
    struct Down;
    impl Answers for Down {
        fn answer(&self, _asked: &Planned) -> Reply {
            Reply::answer(503, "")
        }
    }
    let simulation = simulation(&[NOTIFY], Down).await;
    simulation.event(event(&simulation, &critical())).await.unwrap();
    simulation.settle().await.unwrap();
    assert_eq!((simulation.planned().len(), simulation.now()), (1, at("2026-11-22T08:00:00Z")));
    simulation.finish(at("2026-11-22T09:00:00Z")).await.unwrap();
    let report = simulation.report().await.unwrap();
    assert_eq!((report.runs[0].status, report.would_send.len()), (RunStatus::Failed, 4));
    assert!(simulation.now() < at("2026-11-22T08:00:20Z"), "three waits of at most 1, 2 and 4 seconds");
}

#[tokio::test]
async fn the_same_input_comes_out_the_same_to_the_byte() {
    let mut all = Vec::new();
    for _ in 0..2 {
        let simulation = simulation(&[NOTIFY], Takes).await;
        let mut text = String::new();
        for hour in 0..9 {
            simulation.pass(at("2026-11-22T08:00:00Z").plus(Duration::from_secs(hour * 3600))).await.unwrap();
            let id = format!("C-{}", hour % 2);
            let accepted = simulation
                .event(event(&simulation, &json!({"type": "case.stage_changed", "from": "New", "to": "Investigation", "case": {"id": id, "stage": "Investigation"}})))
                .await
                .unwrap();
            text.push_str(&format!("{accepted:?}\n"));
        }
        simulation.finish(at("2027-01-01T00:00:00Z")).await.unwrap();
        text.push_str(&serde_json::to_string(&simulation.report().await.unwrap()).unwrap());
        all.push(text);
    }
    assert_eq!(all[0], all[1]);
    assert!(all[0].contains("\"run\":\"run-000000000"), "{}", all[0]);
}

#[tokio::test]
async fn a_schedule_fires_while_time_passes() {
    let text = "playbook: hourly\ntriggers:\n  - schedule: { cron: '0 * * * *' }\nsteps:\n  - action: log\n    with: { message: hello }\n";
    let simulation = simulation(&[text], Takes).await;
    simulation.pass(at("2026-11-22T11:30:00Z")).await.unwrap();
    let started: Vec<Option<Time>> = simulation.report().await.unwrap().runs.iter().map(|run| run.started_at).collect();
    let hours = ["2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"];
    assert_eq!(started, hours.map(|hour| Some(at(hour))));
}

/// An outside at which something in us panics for one kind of request.
struct Panics;

impl Answers for Panics {
    fn answer(&self, asked: &Planned) -> Reply {
        assert!(!asked.url.contains("poison"), "the action panics, as the test wants it");
        Takes.answer(asked)
    }
}

#[tokio::test]
async fn an_action_that_panics_every_time_fails_its_own_run_once_and_no_other() {
    const TELL: &str = "
playbook: tell
triggers: [{ event: { type: go } }]
steps:
  - id: send
    action: http.request
    with: { url: \"https://rep.example.com/${{ event.data.text }}\" }
on_failure:
  - { id: note, action: log, with: { message: \"${{ failure.code }}\" } }
";
    let simulation = simulation(&[TELL], Panics).await;
    for text in ["poison", "fine", "poison", "fine"] {
        let one = event(&simulation, &json!({ "type": "go", "data": { "text": text } }));
        simulation.event(one).await.unwrap();
        simulation.finish(simulation.now().plus(Duration::from_secs(3_600))).await.unwrap();
    }
    let report = simulation.report().await.unwrap();
    let mut ends: Vec<&str> = report.runs.iter().map(|run| run.status.name()).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["failed", "failed", "succeeded", "succeeded"]);
    let notes = report.runs.iter().filter(|run| format!("{:?}", run.steps).contains("panic"));
    assert_eq!(notes.count(), 2, "it is said why");
}
