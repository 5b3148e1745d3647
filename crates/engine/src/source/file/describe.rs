//! What people read about a source, made from its file: its page, and the table of all of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use playbook::Evaluator;
use serde_json::Value;

use super::samples::{NORMAL, filled};
use super::{Given, Handshake, Reads, Rule, SourceFile};

/// Longest expression that a table shows whole, in characters.
const SHOWN_CHARS_MAX: usize = 400;

/// The page of a source, as Markdown.
pub fn page(file: &SourceFile) -> String {
    let mut out = format!("# Source `{}`: {}\n\n", file.name, file.title);
    out.push_str("This page is made from the source's own file; `sortie sources show` prints that.\n\n");
    let _ = writeln!(out, "{}\n", file.about);
    if let Some(docs) = &file.docs {
        let _ = writeln!(out, "What the vendor says about it: <{docs}>\n");
    }
    if !file.setup.is_empty() {
        let _ = writeln!(out, "## Setting it up\n\n{}\n", file.setup);
    }
    let auth = file.auth.as_deref().unwrap_or("none");
    let _ = writeln!(out, "```yaml\n# sortie.yaml\nsources:\n  {}: {{ auth: {auth} }}\n```\n", file.name);
    out.push_str(
        "Any other way to authenticate can stand there; [authentication of senders](../sender-auth.md) lists them.\n\n",
    );
    if let Some(handshake) = file.handshake {
        let _ = writeln!(out, "{}\n", handshake_words(handshake));
    }
    if let Reads::Rules(rules) = &file.reads {
        out.push_str("## What becomes of a body\n\nThe first of these that fits. `item` is one of the parts where a body holds several, else the body.\n\n");
        for (name, expression) in &rules.lets {
            let _ = writeln!(out, "- `{name}` is `{}`", shown(expression.source()));
        }
        for rule in &rules.events {
            rule_words(&mut out, rule);
        }
    }
    example(&mut out, file);
    out
}

fn handshake_words(handshake: Handshake) -> &'static str {
    match handshake {
        Handshake::CloudEvents => {
            "A request `OPTIONS` with `WebHook-Request-Origin` is answered with `WebHook-Allowed-Origin`."
        }
        Handshake::ValidationToken => "A request with `?validationToken=…` is answered with that text.",
        Handshake::UrlVerification => "A body of type `url_verification` is answered with its `challenge`.",
        Handshake::SubscribeUrl => {
            "A `SubscriptionConfirmation` is confirmed by itself, once its sender is known: its `SubscribeURL` is visited if it is one of amazonaws.com."
        }
    }
}

fn shown(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let mut cut: String = one_line.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < one_line.len() {
        cut.push('…');
    }
    cut
}

fn rule_words(out: &mut String, rule: &Rule) {
    let kind = rule.kind.constant().and_then(Value::as_str).unwrap_or("a type that is computed");
    let _ = writeln!(out, "\n### `{kind}`\n");
    if let Some(when) = &rule.when {
        let _ = writeln!(out, "When `{}`.\n", shown(when.source()));
    }
    out.push_str("| field | value |\n|---|---|\n");
    for (name, expression) in [("event id", &rule.id), ("time", &rule.time), ("tenant", &rule.tenant)] {
        if let Some(expression) = expression {
            let _ = writeln!(out, "| {name} | `{}` |", shown(expression.source()));
        }
    }
    if let Some(about) = &rule.about {
        for (field, given) in &about.fields {
            given_words(out, &format!("{}.{}", about.kind, field.name), given);
        }
    }
    for (field, given) in rule.detection.iter().flatten() {
        given_words(out, &format!("detection.{}", field.name), given);
    }
    if let Some(data) = &rule.data {
        given_words(out, "data", data);
    }
}

fn given_words(out: &mut String, name: &str, given: &Given) {
    let _ = match given {
        Given::Constant(value) => writeln!(out, "| `{name}` | `{value}` |"),
        Given::One(expression) => writeln!(out, "| `{name}` | `{}` |", shown(expression.source())),
        Given::Map(entries) => {
            entries.iter().for_each(|(key, given)| given_words(out, &format!("{name}.{key}"), given));
            Ok(())
        }
    };
}

fn example(out: &mut String, file: &SourceFile) {
    let Some(sample) = file.samples.first() else { return };
    let body = serde_json::from_str::<Value>(&sample.body).map_or_else(|_| sample.body.clone(), |v| format!("{v:#}"));
    let _ = writeln!(out, "\n## Try it: {}\n\n```json\n{body}\n```\n", sample.name);
    let _ = write!(
        out,
        "```sh\ncurl -sS 'http://127.0.0.1:7300/v1/in/{}?dry_run=true' -H 'Content-Type: application/json' --data-binary @body.json\n```\n\n\
         `dry_run` shows the mapping and the decisions and keeps nothing. A body that cannot be read, or that fits nothing here, is kept as \
         an event `{}.unreadable`, and counted in `sortie_events_unreadable_total`.\n",
        file.name, file.name
    );
}

/// The table of sources: which of the ten normal fields of an alert each fills, as its samples show.
pub fn table(all: &[Arc<SourceFile>], evaluator: &Evaluator) -> String {
    let mut out = String::from("| source | product |");
    for (name, _) in NORMAL {
        let _ = write!(out, " {name} |");
    }
    out.push_str("\n|---|---|");
    out.push_str(&"---|".repeat(NORMAL.len()));
    out.push('\n');
    for file in all {
        let filled = filled(file, evaluator);
        let _ = write!(out, "| [{}]({}.md) | {} |", file.name, file.name, file.title);
        let plain = filled.is_empty();
        for (name, _) in NORMAL {
            out.push_str(mark(&filled, name, plain));
        }
        out.push('\n');
    }
    out
}

fn mark(filled: &BTreeSet<&'static str>, name: &str, plain: bool) -> &'static str {
    match (plain, filled.contains(name)) {
        (true, _) => " – |",
        (false, true) => " yes |",
        (false, false) => "  |",
    }
}
