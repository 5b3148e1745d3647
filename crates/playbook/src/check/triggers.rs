//! What starts a playbook.

use std::sync::Arc;

use model::record::{self, ENTITY_KINDS};

use super::Checker;
use crate::diagnostic::Span;
use crate::fields::Fields;
use crate::reader::{did_you_mean, either};
use crate::schedule::{Missed, Schedule, ScheduleError};
use crate::script::Root;
use crate::syntax::{On, Trigger};
use crate::yaml::{Key, Node, Value};

/// The triggers with what each is for.
pub(crate) const TRIGGERS: [(&str, &str); 16] = [
    ("case.created", "a case was seen for the first time"),
    ("case.updated", "a case changed; `changed` names the fields that count"),
    (
        "case.stage_changed",
        "the stage of a case changed; `from` and `to` are one stage or a list, and absent means any",
    ),
    ("alert.created", "an alert was seen for the first time"),
    ("alert.updated", "an alert changed; `changed` names the fields that count"),
    (
        "score.threshold",
        "a score crossed a value upward: `of`, `score` and `above`, or `all` with several; `dedupe` keeps it silent for a while",
    ),
    ("schedule", "a time came: `cron`, `timezone` (UTC), `missed` (skip, latest, all)"),
    ("event", "an event came: `type` is one type, a list, or a prefix such as `holm.*`; `set` names an event set"),
    (
        "event.count",
        "so many plain events came within a time: `type` or `set`, `by` (an expression that tells them apart), `at_least`, \
         `within` (by the times of the events, in whatever order and however late they arrive), `dedupe` (how long it is \
         silent afterwards; `within` when left out). A `when` says which events count",
    ),
    (
        "case.in_stage",
        "a case has been in a `stage` (one or a list) `for` so long. The time begins when it enters the stage, ends when it \
         leaves, and holds over restarts",
    ),
    ("source.silent", "a `source` has sent nothing `for` so long; once, until it has spoken again"),
    ("run.failed", "a run failed or timed out; `playbook` is one or a list"),
    ("run.needs_attention", "a run stopped because a person must look; `playbook` is one or a list"),
    ("delivery.failed", "a delivery failed for good; `destination` is one or a list"),
    ("playbook.silent", "a playbook ran more rarely than its `expect` says; `playbook` is one or a list"),
    ("manual", "a person or a program asked"),
];

/// The roots that a trigger can bring, in the order of their names.
fn brings(on: &On) -> Vec<Root> {
    match on {
        On::AlertCreated | On::AlertUpdated { .. } => vec![Root::Alert, Root::Case],
        On::CaseCreated | On::CaseUpdated { .. } | On::StageChanged { .. } => vec![Root::Case],
        On::Score { of, .. } => match of.as_str() {
            "alert" => vec![Root::Alert, Root::Case],
            "case" => vec![Root::Case],
            _ => vec![Root::Entity],
        },
        On::Schedule(_)
        | On::SourceSilent { .. }
        | On::RunFailed { .. }
        | On::RunNeedsAttention { .. }
        | On::DeliveryFailed { .. }
        | On::PlaybookSilent { .. } => Vec::new(),
        On::InStage { .. } => vec![Root::Case],
        On::Count(count) => of_types(&count.types),
        On::Event { types } => of_types(types),
        On::Manual => vec![Root::Alert, Root::Case, Root::Entity],
    }
}

/// The roots that events of these types can bring.
fn of_types(types: &[String]) -> Vec<Root> {
    let may = |kind: &str| types.iter().any(|listed| may_match(listed, kind));
    let mut roots = Vec::new();
    if may("alert.") {
        roots.extend([Root::Alert, Root::Case]);
    }
    if may("case.") {
        roots.push(Root::Case);
    }
    if may("entity.") {
        roots.push(Root::Entity);
    }
    roots
}

/// Whether a listed type can be one that begins so.
fn may_match(listed: &str, begin: &str) -> bool {
    match listed.strip_suffix('*') {
        Some(prefix) => begin.starts_with(prefix) || prefix.starts_with(begin),
        None => listed.starts_with(begin),
    }
}

/// The roots of conditions and steps: those of any trigger, and those that there always are.
pub(super) fn roots(triggers: &[Trigger]) -> Vec<Root> {
    let mut roots = vec![Root::Event, Root::Trigger, Root::Vars, Root::Inputs];
    for root in triggers.iter().flat_map(|trigger| brings(&trigger.on)) {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots
}

impl Checker<'_> {
    pub(super) fn trigger(&mut self, node: &Node, vars: &Arc<serde_json::Value>) -> Option<Trigger> {
        let (name, span, settings) = self.trigger_name(node)?;
        let before = self.reader.failed();
        let mut fields = match settings {
            Some(settings) => self.reader.map(settings, &format!("`{name}`"))?,
            None => Fields::none(&format!("`{name}`"), span),
        };
        let on = self.on(&name, span, &mut fields, vars);
        if let Some(on) = on {
            let names = self.names_of(&on, vars, span);
            let when = fields.opt_node("when").and_then(|node| self.condition(node, &names));
            fields.finish(&mut self.reader);
            return Some(Trigger { on, when, span });
        }
        if !before && !self.reader.failed() {
            fields.finish(&mut self.reader);
        }
        None
    }

    /// `- manual`, or `- name: {…}`.
    fn trigger_name<'n>(&mut self, node: &'n Node) -> Option<(String, Span, Option<&'n Node>)> {
        let found = match &node.value {
            Value::Text(name) => Some((name.clone(), node.span, None)),
            Value::Map(entries) => match &entries[..] {
                [(Key { text, span }, settings)] => Some((text.clone(), *span, Some(settings))),
                _ => None,
            },
            _ => None,
        };
        if found.is_none() {
            let help = "write `- case.stage_changed: { to: Investigation }`; the settings stand inside the braces, or indented under the name".to_owned();
            self.reader.error("PB112", node.span, "a trigger is one name, with its settings", Some(help));
        }
        found
    }

    fn on(&mut self, name: &str, span: Span, fields: &mut Fields<'_>, vars: &Arc<serde_json::Value>) -> Option<On> {
        Some(match name {
            "manual" => On::Manual,
            "alert.created" => On::AlertCreated,
            "case.created" => On::CaseCreated,
            "alert.updated" => On::AlertUpdated { changed: self.changed(fields, Root::Alert) },
            "case.updated" => On::CaseUpdated { changed: self.changed(fields, Root::Case) },
            "case.stage_changed" => {
                let from = fields.text_list(&mut self.reader, "from", true).unwrap_or_default();
                let to = fields.text_list(&mut self.reader, "to", true).unwrap_or_default();
                On::StageChanged { from: self.stages(from), to: self.stages(to) }
            }
            "score.threshold" => return self.score(fields),
            "schedule" => return self.schedule(fields),
            "event" => On::Event { types: self.types_of(fields)? },
            "event.count" => return self.count(fields, vars, span),
            "case.in_stage" => return self.in_stage(fields),
            "source.silent" => return self.source_silent(fields),
            "run.failed" => On::RunFailed { playbooks: self.of_playbooks(fields) },
            "run.needs_attention" => On::RunNeedsAttention { playbooks: self.of_playbooks(fields) },
            "delivery.failed" => On::DeliveryFailed { destinations: self.of_destinations(fields) },
            "playbook.silent" => On::PlaybookSilent { playbooks: self.of_playbooks(fields) },
            name => {
                let known: Vec<&str> = TRIGGERS.iter().map(|(name, _)| *name).collect();
                let help =
                    did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("it is {}", either(&known)));
                self.reader.error("PB112", span, format!("unknown trigger `{name}`"), Some(help));
                return None;
            }
        })
    }

    fn changed(&mut self, fields: &mut Fields<'_>, root: Root) -> Vec<String> {
        let listed = fields.text_list(&mut self.reader, "changed", true).unwrap_or_default();
        for (name, span) in &listed {
            if root.field(name).is_none() {
                let help = did_you_mean(name, root.fields().unwrap_or_default().iter().map(|field| field.name));
                self.reader.error("PB215", *span, format!("`{}` has no field `{name}`", root.name()), help);
            }
        }
        listed.into_iter().map(|(name, _)| name).collect()
    }

    pub(super) fn stages(&mut self, listed: Vec<(String, Span)>) -> Vec<String> {
        let words = &self.catalog.words;
        let mut stages = Vec::with_capacity(listed.len());
        for (name, span) in listed {
            match words.stage(&name) {
                Some(stage) => stages.push(stage.to_owned()),
                None => unknown_stage(&mut self.reader, words, &name, span),
            }
        }
        stages
    }

    fn score(&mut self, fields: &mut Fields<'_>) -> Option<On> {
        const OF: [&str; 6] = ["host", "account", "user", "ip", "alert", "case"];
        debug_assert!(ENTITY_KINDS.iter().all(|kind| OF.contains(kind)));
        fields.node(&mut self.reader, "of")?;
        let of = fields.one_of(&mut self.reader, "of", &OF);
        let single = fields.opt_text(&mut self.reader, "score");
        let above = fields.number(&mut self.reader, "above");
        let all = fields.fields(&mut self.reader, "all");
        let dedupe = fields.duration(&mut self.reader, "dedupe");
        let mut levels = Vec::new();
        match (single, above, all) {
            (Some(score), Some(above), None) => levels.push((score, above)),
            (None, None, Some(mut all)) => {
                for (key, node) in all.free() {
                    levels.extend(
                        crate::fields::number_of(&mut self.reader, node, &key.text).map(|n| (key.text.clone(), n)),
                    );
                }
            }
            _ => {
                let help = "write `score: urgency` and `above: 80`, or `all: { threat: 50, certainty: 50 }`".to_owned();
                self.reader.error(
                    "PB102",
                    fields.span(),
                    "`score.threshold` needs `score` and `above`, or `all`",
                    Some(help),
                );
                return None;
            }
        }
        let of = of?;
        if ["alert", "case"].contains(&of)
            && let Some((name, _)) = levels.iter().find(|(name, _)| name != "risk")
        {
            let message = format!("the score of {}s is `risk`; there is no `{name}`", of);
            self.reader.error("PB104", fields.span(), message, Some("write `score: risk`".to_owned()));
            return None;
        }
        (!levels.is_empty()).then(|| On::Score { of: of.to_owned(), levels, dedupe })
    }

    fn schedule(&mut self, fields: &mut Fields<'_>) -> Option<On> {
        let cron_node = fields.node(&mut self.reader, "cron")?;
        let cron = crate::fields::text_of(&mut self.reader, cron_node, "cron")?;
        let zone_node = fields.opt_node("timezone");
        let zone = match zone_node {
            Some(node) => crate::fields::text_of(&mut self.reader, node, "timezone")?,
            None => "UTC".to_owned(),
        };
        let missed = match fields.one_of(&mut self.reader, "missed", &["skip", "latest", "all"]) {
            Some("skip") => Missed::Skip,
            Some("all") => Missed::All,
            _ => Missed::Latest,
        };
        match Schedule::new(&cron, &zone, missed) {
            Ok(schedule) => Some(On::Schedule(schedule)),
            Err(error) => {
                let (code, node, help) = match &error {
                    ScheduleError::Cron { .. } => (
                        "PB113",
                        cron_node,
                        "five fields: minute, hour, day, month, weekday; such as `0 8 * * MON-FRI`, or `0 */6 * * *` for every six hours",
                    ),
                    ScheduleError::Zone { .. } => {
                        ("PB114", zone_node.unwrap_or(cron_node), "use a name of the IANA database")
                    }
                };
                self.reader.error(code, node.span, error.to_string(), Some(help.to_owned()));
                None
            }
        }
    }

    /// Types of events as they are listed; what cannot be one is noted.
    pub(super) fn event_types(&mut self, listed: Vec<(String, Span)>) -> Vec<String> {
        let mut types = Vec::with_capacity(listed.len());
        for (name, span) in listed {
            if is_type(&name) {
                types.push(name);
            } else {
                let help = "letters, digits, `.`, `_` and `-`; a `*` only at the end".to_owned();
                self.reader.error("PB104", span, format!("`{name}` is not a type of events"), Some(help));
            }
        }
        types
    }
}

fn is_type(name: &str) -> bool {
    let body = name.strip_suffix('*').unwrap_or(name);
    !name.is_empty() && body.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c))
}

/// Notes a stage that does not exist.
pub(super) fn unknown_stage(reader: &mut crate::reader::Reader, words: &record::Vocabulary, name: &str, span: Span) {
    let stages: Vec<&str> = words.stages.iter().map(String::as_str).collect();
    let help =
        did_you_mean(name, stages.iter().copied()).unwrap_or_else(|| format!("the stages are {}", either(&stages)));
    reader.error("PB206", span, format!("there is no stage `{name}`"), Some(help));
}
