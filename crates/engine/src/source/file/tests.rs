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
        assert!(source.samples.len() >= 2, "{name} has too few samples");
        assert!(!source.about.is_empty(), "{name} says nothing about itself");
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
