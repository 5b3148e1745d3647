//! What `check` found as SARIF 2.1.0 (OASIS), which code review and scanning tools read.

use std::collections::BTreeMap;

use playbook::{Diagnostic, Severity};
use serde_json::{Value, json};

/// The log of one run of the check.
pub(super) fn of(found: &[Diagnostic]) -> Value {
    let titles: BTreeMap<&str, &str> = playbook::codes().iter().map(|(code, title)| (*code, *title)).collect();
    let mut codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            let title = titles.get(code).copied().unwrap_or(code);
            json!({ "id": code, "shortDescription": { "text": title } })
        })
        .collect();
    let results: Vec<Value> = found.iter().map(|diagnostic| result(diagnostic, &codes)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "sortie", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(diagnostic: &Diagnostic, codes: &[&str]) -> Value {
    let Diagnostic { code, severity, message, file, span, excerpt, help } = diagnostic;
    let text = match help {
        Some(help) => format!("{message}; {help}"),
        None => message.clone(),
    };
    let level = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "ruleId": code,
        "ruleIndex": codes.binary_search(code).ok(),
        "level": level,
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": {
                "startLine": span.line,
                "startColumn": span.column,
                "endColumn": span.column + span.len.max(1),
                "snippet": { "text": excerpt },
            },
        } }],
    })
}

/// A file's name as a reference: what a URI reserves is encoded.
fn uri(file: &str) -> String {
    let encoded: Vec<String> = file.split('/').map(engine::outbound::percent_encode).collect();
    encoded.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_has_its_rule_its_place_and_its_help() {
        let source = playbook::Source { file: "my books/p.yaml".into(), text: "playbook: p\nnope: 1\n".to_owned() };
        let evaluator = playbook::Evaluator::uncounted();
        let found = playbook::check(&[source], &playbook::Catalog::default(), &evaluator).diagnostics;
        let log = of(&found);
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), found.len());
        let unknown = results.iter().find(|result| result["ruleId"] == "PB101").unwrap();
        let place = &unknown["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "my%20books/p.yaml");
        assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&json!(2), &json!(1)));
        let index = usize::try_from(unknown["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "PB101");
    }
}
