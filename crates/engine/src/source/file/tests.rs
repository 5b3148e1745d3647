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
