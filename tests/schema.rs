//! The JSON Schema of playbooks against an independent validator: it takes every playbook that is good, refuses what is
//! broken in its shape, and never refuses what `check` takes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Folder;
use crate::support::command::sortie;

/// A schema as an editor uses it.
struct Validator {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Validator {
    fn of(text: &str) -> Validator {
        let mut compiler = boon::Compiler::new();
        compiler.set_default_draft(boon::Draft::V7);
        compiler.add_resource("playbook.json", serde_json::from_str(text).unwrap()).unwrap();
        let mut schemas = boon::Schemas::new();
        let index = compiler.compile("playbook.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Validator { schemas, index }
    }

    fn refuses(&self, playbook: &Value) -> Option<String> {
        self.schemas.validate(playbook, self.index).err().map(|error| format!("{error:#}"))
    }
}

fn printed() -> Validator {
    Validator::of(&sortie(&Folder::new(), &["schema"]).expect(0).stdout)
}

fn yaml(text: &str) -> Option<Value> {
    playbook::yaml::parse(&"p.yaml".into(), text).ok().map(|node| node.to_json())
}

fn shipped(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            shipped(&path, found);
        } else if name.ends_with(".yaml") && !name.ends_with(".test.yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_shipped_playbook_fits_the_schema() {
    let validator = printed();
    let mut found = Vec::new();
    shipped(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks"), &mut found);
    assert!(found.len() > 10);
    for path in found {
        let value = yaml(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if value.get("playbook").is_some() {
            assert_eq!(validator.refuses(&value), None, "{}", path.display());
        }
    }
}

const GOOD: &str = "playbook: p\ntriggers: [manual]\nsteps:\n  - { id: say, action: log, with: { message: hello } }\n";

#[test]
fn schema_and_check_agree_on_what_is_broken_in_its_shape() {
    let validator = printed();
    let broken = [
        ("steps:", "stepz:"),
        ("triggers: [manual]", "triggers: []"),
        ("triggers: [manual]", "triggers: [manualy]"),
        ("triggers: [manual]", "triggers: [{ case.created: { wen: \"true\" } }]"),
        ("triggers: [manual]", "triggers: [{ score.threshold: { of: planet, score: x, above: 1 } }]"),
        ("triggers: [manual]", "triggers: [manual]\norder: high"),
        ("triggers: [manual]", "triggers: [manual]\nenabled: maybe"),
        ("triggers: [manual]", "triggers: [manual]\ntimeout: soon"),
        ("triggers: [manual]", "triggers: [manual]\nfuse: { runs: 0, per: 1h }"),
        ("triggers: [manual]", "triggers: [manual]\nconcurrency: { max: 1, when_full: explode }"),
        ("triggers: [manual]", "triggers: [manual]\nsecrets: [lower]"),
        ("playbook: p", "playbook: Not An Id"),
        ("action: log", "action: lug"),
        ("{ message: hello }", "{ mesage: hello }"),
        ("{ message: hello }", "{ }"),
        ("{ id: say, action", "{ id: 7up, action"),
        ("action: log, with: { message: hello }", "stop: { outcome: maybe }"),
        ("action: log, with: { message: hello }", "wait: { for: ever }"),
        ("action: log, with: { message: hello }", "approve: { ask: ok?, deadline: 4h }"),
        (
            "action: log, with: { message: hello }",
            "for_each: { in: [1], steps: [{ action: log, with: { message: x } }] }",
        ),
        ("action: log, with: { message: hello }", "parallel: { branches: [] }"),
        ("action: log, with: { message: hello }", "action: log, with: { message: x }, stop: { outcome: failed }"),
        ("with: { message: hello }", "with: { message: hello }, retry: { max: -1 }"),
        ("with: { message: hello }", "with: { message: hello }, on_error: perhaps"),
    ];
    assert_eq!(validator.refuses(&yaml(GOOD).unwrap()), None);
    let folder = Folder::new();
    for (from, to) in broken {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let path = folder.write("broken.yaml", &text);
        sortie(&folder, &["check", path.to_str().unwrap()]).expect(3);
        let value = yaml(&text).unwrap_or_else(|| panic!("{text}"));
        assert!(validator.refuses(&value).is_some(), "the schema takes what check refuses: {text}");
    }
}

#[test]
fn the_schema_takes_whatever_check_takes() {
    let validator = printed();
    let folder = Folder::new();
    let good = [
        ("triggers: [manual]", "triggers: [{ case.stage_changed: { to: [Investigation, Remediation] } }, manual]"),
        ("triggers: [manual]", "triggers: [manual]\nwhen: true"),
        ("triggers: [manual]", "triggers: [manual]\ndedupe: { window: 6h }\nthrottle: { count: 3, per: 1h30m }"),
        ("triggers: [manual]", "triggers: [manual]\ninputs: { user: { type: string, required: true } }"),
        ("message: hello", "message: \"${{ run.id }}\""),
        ("message: hello", "message: 42"),
        ("action: log, with: { message: hello }", "set: { a: 1, b: \"${{ run.id }}\" }"),
        ("action: log, with: { message: hello }", "wait: { for: 10m }"),
        (
            "action: log, with: { message: hello }",
            "switch: [{ when: \"true\", steps: [{ stop: { reason: x } }] }, { else: true, steps: [{ stop: {} }] }]",
        ),
        ("with: { message: hello }", "with: { message: hello }, on_error: [{ action: log, with: { message: x } }]"),
        ("with: { message: hello }", "with: { message: hello }, retry: { max: 0 }, timeout: 500ms"),
    ];
    for (from, to) in good {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let path = folder.write("good.yaml", &text);
        sortie(&folder, &["check", path.to_str().unwrap()]).expect(0);
        assert_eq!(validator.refuses(&yaml(&text).unwrap()), None, "{text}");
    }
}
