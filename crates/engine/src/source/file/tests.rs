//! The shipped sources and what a file of a source may say.

use super::*;
use crate::source::file;

fn evaluator() -> Evaluator {
    Evaluator::uncounted()
}

fn read_text(text: &str) -> Result<SourceFile, Vec<Diagnostic>> {
    read(&"team.yaml".into(), text, &evaluator())
}

#[test]
fn every_shipped_source_reads_its_own_samples_as_it_says() {
    let evaluator = evaluator();
    let mut wrong = Vec::new();
    for name in file::names() {
        let text = file::text(name).unwrap();
        let source = match read(&format!("{name}.yaml").into(), text, &evaluator) {
            Ok(source) => Arc::new(source),
            Err(found) => {
                wrong.extend(found.iter().map(|d| d.render(false)));
                continue;
            }
        };
        assert_eq!(source.name, name);
        assert_eq!(source.warnings, []);
        if source.samples.len() < 2 || source.about.is_empty() {
            wrong.push(format!("{name} has too few samples, or says nothing about itself"));
        }
        let ran = run_samples(&source, &evaluator);
        wrong.extend(ran.iter().filter(|ran| !ran.differences.is_empty()).map(|ran| {
            format!("{name}: {}: {:#?}\n{:#}", ran.sample, ran.differences, Value::Array(ran.events.clone()))
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The codes of what is wrong with a file, with their lines.
fn mistakes(text: &str) -> Vec<(&'static str, u32)> {
    let found = read_text(text).expect_err("a file with mistakes");
    found.iter().map(|found| (found.code, found.span.line)).collect()
}

#[test]
fn every_mistake_of_a_file_is_found_with_its_place() {
    let head = "source: team\ntitle: Team\n";
    for (rest, wanted) in [
        ("events: []\n", vec![("SR106", 3)]),
        ("evnts: []\n", vec![("PB102", 1), ("PB101", 3)]),
        ("events:\n  - type: alert.updated\n    data: body\n", vec![("SR103", 4)]),
        ("events:\n  - type: team.x\n    alert: { id: body.id }\n", vec![("SR103", 4)]),
        ("events:\n  - type: Team X\n", vec![("SR103", 4)]),
        ("events:\n  - type: \"team.${{ body.x }}\"\n    case: { id: body.x }\n", vec![("SR103", 4)]),
        ("events:\n  - type: alert.updated\n    alert: { id: body.x, nmae: body.y }\n", vec![("SR104", 5)]),
        ("events:\n  - type: entity.score\n    entity: { name: body.x }\n", vec![("SR104", 5), ("SR104", 5)]),
        ("events:\n  - type: team.x\n    data: { a: boddy.x }\n", vec![("PB302", 5)]),
        ("events:\n  - type: team.x\n    data: { a: 'capture(body.x, \"(\")' }\n", vec![("PB311", 5)]),
        ("events:\n  - type: team.x\n    when: body.x\n    data: { a: alert.name }\n", vec![("PB304", 6)]),
        ("let: { body: \"1\", Big: \"2\" }\nevents:\n  - type: team.x\n", vec![("SR106", 3), ("SR106", 3)]),
        ("headers: [authorization, x-*]\nevents:\n  - type: team.x\n", vec![("SR106", 3), ("SR106", 3)]),
        ("like: thalian\n", vec![("SR106", 3)]),
        ("handshake: cloudevent\nevents:\n  - type: team.x\n", vec![("PB104", 3)]),
    ] {
        assert_eq!(mistakes(&format!("{head}{rest}")), wanted, "{rest}");
    }
    assert_eq!(mistakes("source: Our Scanner\ntitle: x\nevents: [{ type: a.b }]\n"), [("SR102", 1)]);
}

#[test]
fn a_value_that_cannot_be_mapped_is_left_out_with_a_warning_and_the_event_stays() {
    let text = "source: team\ntitle: T\nevents:\n  - type: alert.updated\n    alert: { id: body.id, name: body.x.y, risk_score: body.score, link: body?.l }\nsamples:\n  - name: odd\n    body: { id: 5, score: high }\n    expect: { alert: { id: team-5 }, absent: [alert.name, alert.risk_score] }\n";
    let source = Arc::new(read_text(text).unwrap());
    let ran = run_samples(&source, &evaluator());
    assert_eq!(ran[0].differences, [""; 0]);
    let warnings = ran[0].events[0]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].as_str().unwrap().contains("alert.name"), "{warnings:?}");
}

#[test]
fn a_sample_that_does_not_hold_says_what_is_different() {
    let text = "source: team\ntitle: T\nevents:\n  - type: team.x\n    data: { a: body.a }\nsamples:\n  - name: one\n    body: { a: 1 }\n    expect: { type: team.y, data: { a: 2 }, absent: [data.a] }\n";
    let ran = run_samples(&Arc::new(read_text(text).unwrap()), &evaluator());
    assert_eq!(ran[0].differences.len(), 3, "{:?}", ran[0].differences);
    let diagnostic = ran[0].diagnostic(&"team.yaml".into()).unwrap();
    assert_eq!((diagnostic.code, diagnostic.span.line), ("SR105", 7));
}

/// Sources whose pages are written by hand.
const BY_HAND: [&str; 6] = ["connectsecure", "exabeam", "generic", "holm", "thalian", "vectra"];

/// The pages of sources are made from their files: `BLESS=1 cargo test -p engine --lib source::file` writes them.
#[test]
fn the_pages_of_the_other_sources_and_the_table_are_up_to_date() {
    let evaluator = evaluator();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/sources");
    let all: Vec<Arc<SourceFile>> = file::names().map(|name| file::shipped(name, &evaluator).unwrap()).collect();
    let mut pages: Vec<(String, String)> = all
        .iter()
        .filter(|file| !BY_HAND.contains(&file.name.as_str()))
        .map(|file| (format!("{}.md", file.name), page(file)))
        .collect();
    let head = "# Sources\n\nWhat can be posted to `/v1/in/NAME`, and which of the ten normal fields of an alert each shipped source fills, as its own samples show \
        (`sortie sources table` prints this). A product that sends plain events has none. [Write your own](../../how-to/map-your-own-source.md); \
        [how senders prove who they are](../sender-auth.md).\n\n";
    pages.push(("README.md".to_owned(), format!("{head}{}", table(&all, &evaluator))));
    for (name, text) in pages {
        let path = folder.join(&name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert!(std::fs::read_to_string(&path).is_ok_and(|old| old == text), "{name} is old: run with BLESS=1");
    }
}

/// Which of the ten fields a payload of the corpus holds: what is not there cannot be filled.
type Held = &'static [&'static str];

const CORPUS: &[(&str, &str, &str, Held)] = &[
    (
        "aws-securityhub-asff-decoy.json",
        "",
        "securityhub",
        &["id", "name", "priority", "score", "time", "users", "endpoints", "detections"],
    ),
    (
        "crowdstrike-detection.json",
        "",
        "crowdstrike",
        &["id", "name", "priority", "score", "time", "users", "endpoints", "link", "detections"],
    ),
    ("defender-detection.json", "", "defender", &["id", "name", "priority", "time", "ATT&CK", "detections"]),
    (
        "grafana12-webhook-test.json",
        "",
        "grafana",
        &["id", "name", "priority", "time", "endpoints", "link", "detections"],
    ),
    (
        "guardduty-finding-high.json",
        "",
        "guardduty",
        &["id", "name", "priority", "score", "time", "endpoints", "detections"],
    ),
    (
        "msgraph-alert-v2-anonymous-login.json",
        "",
        "msgraph",
        &["id", "name", "priority", "time", "users", "detections"],
    ),
    ("orca-alert.json", "", "orca", &["id", "name", "priority", "score", "time", "endpoints", "detections"]),
    (
        "proofpoint-tap-malware.json",
        "",
        "proofpoint",
        &["id", "name", "priority", "score", "time", "users", "detections"],
    ),
    ("push-security-phishing.json", "", "push-security", &["id", "name", "priority", "time", "users", "detections"]),
    ("sentinelone-threat.json", "", "sentinelone", &["id", "name", "priority", "time", "endpoints", "detections"]),
    ("socradar-alert.json", "", "socradar", &["id", "name", "priority", "time", "users", "endpoints", "detections"]),
    ("thinkstcanary-alert.json", "", "thinkst-canary", &["id", "name", "priority", "time", "endpoints", "detections"]),
    (
        "tracebit-alert.json",
        "",
        "tracebit",
        &["id", "name", "priority", "time", "users", "endpoints", "link", "detections"],
    ),
    ("wiz-issue.json", "", "wiz", &["id", "name", "priority", "time", "endpoints", "ATT&CK", "detections"]),
    ("keep-cloudwatch-mock.json", "high_cpu_usage.payload", "cloudwatch", &["id", "name", "priority", "detections"]),
    ("keep-datadog-mock.json", "low_disk_space.payload", "datadog", &["id", "name", "priority", "detections"]),
    ("keep-graylog-mock.json", "", "graylog", &["id", "name", "priority", "time", "endpoints", "detections"]),
    (
        "keep-sentry-mock.json",
        "browser_timeout.payload",
        "sentry",
        &["id", "name", "priority", "time", "users", "endpoints", "link", "detections"],
    ),
    ("keep-wazuh-mock.json", "", "wazuh", &["id", "name", "priority", "score", "time", "endpoints", "detections"]),
    (
        "keep-prometheus-mock.json",
        "HighCPUUsage.payload",
        "alertmanager",
        &["id", "name", "priority", "endpoints", "detections"],
    ),
];

#[test]
fn payloads_of_twenty_products_fill_what_they_hold() {
    let Ok(corpus) = std::env::var("SORTIE_CORPUS") else {
        println!("skipped: SORTIE_CORPUS is not set");
        return;
    };
    let evaluator = evaluator();
    let mut poor = Vec::new();
    println!("{:<40} {:<16} {:>5} {:>6}  missing", "payload", "source", "held", "filled");
    for (name, path, source, held) in CORPUS {
        let text = std::fs::read_to_string(format!("{corpus}/inbound/{name}")).unwrap();
        let whole: Value = serde_json::from_str(&text).unwrap();
        let body = if path.is_empty() { &whole } else { playbook::look(&whole, path).unwrap() };
        let mut read = (*file::shipped(source, &evaluator).unwrap()).clone();
        read.samples = vec![Sample {
            name: String::new(),
            span: Span::default(),
            headers: Vec::new(),
            body: body.to_string(),
            expect: vec![Value::Null],
        }];
        let ran = run_samples(&Arc::new(read), &evaluator);
        let events = &ran[0].events;
        let filled: std::collections::BTreeSet<&str> =
            events.iter().filter_map(|event| event.get("alert")).flat_map(normal).collect();
        let missing: Vec<&&str> = held.iter().filter(|field| !filled.contains(**field)).collect();
        println!("{name:<40} {source:<16} {:>5} {:>6}  {missing:?}", held.len(), held.len() - missing.len());
        if !missing.is_empty() {
            poor.push(format!("{name}: {missing:?} {:#}", Value::Array(events.clone())));
        }
    }
    assert!(poor.is_empty(), "{}", poor.join("\n"));
}
