//! The reference of the actions is made from their specifications. `BLESS=1` writes it.

use std::fmt::Write as _;
use std::path::PathBuf;

use playbook::{ActionSpec, Effect, ParamType};

use super::actions;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/actions"))
}

fn takes(ty: ParamType) -> String {
    match ty {
        ParamType::Text => "text".to_owned(),
        ParamType::Number => "number".to_owned(),
        ParamType::Bool => "`true` or `false`".to_owned(),
        ParamType::TextList => "text or list of texts".to_owned(),
        ParamType::Any => "any value".to_owned(),
        ParamType::Headers => "names and texts".to_owned(),
        ParamType::Auth => "authentication".to_owned(),
        ParamType::Query => "names and values".to_owned(),
        ParamType::Destinations => "destination or list of them".to_owned(),
        ParamType::Stage => "stage".to_owned(),
        ParamType::Priority => "priority".to_owned(),
        ParamType::CloseReason => "close reason".to_owned(),
        ParamType::Queue => "queue".to_owned(),
        ParamType::Duration => "length of time".to_owned(),
        ParamType::Url => "URL".to_owned(),
        ParamType::Html => "HTML".to_owned(),
        ParamType::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    }
}

fn page(spec: &ActionSpec) -> String {
    let mut out = format!("# {}\n\n`{}`\n\n{}\n\n", spec.title, spec.id, spec.doc);
    let effect = match (spec.id, spec.effect) {
        ("http.request", _) => "It depends on the method, see above.",
        (_, Effect::Read) => "`read`: it changes nothing.",
        (_, Effect::Idempotent) => {
            "`idempotent`: doing it again changes nothing more, so it is repeated after a crash."
        }
        (_, Effect::Once) => "`once`: it must not be repeated.",
    };
    let _ = writeln!(out, "**Effect.** {effect}");
    if spec.network {
        out.push_str("It talks to the network: it is retried by default (3 times, exponentially from 1 s to 1 min).\n");
    }
    out.push_str("\n| parameter | takes | required | meaning |\n|---|---|---|---|\n");
    for param in spec.params {
        let required = if param.required { "yes" } else { "no" };
        let _ = writeln!(out, "| `{}` | {} | {required} | {} |", param.name, takes(param.ty), param.doc);
    }
    let _ = write!(out, "\n**Output.** {}\n\n```yaml\n{}```\n", spec.output, spec.example);
    out
}

#[test]
fn every_action_has_its_page_and_every_page_its_action() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wanted: Vec<(String, String)> =
        actions().iter().map(|action| (format!("{}.md", action.spec().id), page(action.spec()))).collect();
    let mut list = "# Actions\n\nMade from the code. Each action is one page.\n\n| action | |\n|---|---|\n".to_owned();
    for action in actions() {
        let _ = writeln!(list, "| [`{id}`]({id}.md) | {} |", action.spec().title, id = action.spec().id);
    }
    wanted.push(("README.md".to_owned(), list));
    for (name, text) in &wanted {
        let path = folder().join(name);
        if bless {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(&found, text, "{name} is not up to date; run this test with BLESS=1");
    }
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(wanted.iter().any(|(known, _)| *known == name), "{name} belongs to no action");
    }
}

#[test]
fn ids_are_unique_and_found() {
    for action in actions() {
        let id = action.spec().id;
        assert!(std::ptr::eq(super::find(id).unwrap().spec(), action.spec()), "{id}");
        assert!(action.spec().example.contains(&format!("action: {id}\n")), "{id}");
    }
    assert!(super::find("case.delete").is_none());
}
