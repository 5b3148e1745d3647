//! Triggers that watch: counts of events, cases that stay in a stage, sources and playbooks that fall silent, runs and
//! deliveries that fail.

use std::sync::Arc;
use std::time::Duration;

use model::{Digest, limits};

use super::Checker;
use super::triggers::roots;
use crate::diagnostic::Span;
use crate::fields::{Fields, text_of};
use crate::reader::did_you_mean;
use crate::script::Names;
use crate::syntax::{Count, On, Trigger};

impl Checker<'_> {
    /// `event.count`: so many events within a time.
    pub(super) fn count(&mut self, fields: &mut Fields<'_>, vars: &Arc<serde_json::Value>, span: Span) -> Option<On> {
        let types = self.types_of(fields)?;
        let by = fields.opt_node("by");
        let names = self.names_of(&On::Event { types: types.clone() }, vars, span);
        let key = by.and_then(|node| self.expression(node, "by", &names));
        let at_least = self.number(fields, "at_least", 1..=limits::RATE_COUNT_MAX);
        let within = self.bounded(fields, "within");
        let silence = fields.opt_node("dedupe").map(|node| {
            let period = self.reader.period(node, "dedupe")?;
            self.within_bounds(node, "dedupe", period)
        });
        let (at_least, within) = (at_least?, within?);
        let dedupe = match silence {
            Some(period) => period?,
            None => within,
        };
        if by.is_some() && key.is_none() {
            return None;
        }
        let source = key.as_ref().map_or("", |key| key.source());
        let digest = short(&format!("{types:?}\0{source}\0{at_least}\0{}", within.as_millis()));
        Some(On::Count(Box::new(Count { types, by: key, at_least, within, dedupe, digest })))
    }

    /// `case.in_stage`: a case has been in a stage for so long.
    pub(super) fn in_stage(&mut self, fields: &mut Fields<'_>) -> Option<On> {
        fields.node(&mut self.reader, "stage");
        let listed = fields.text_list(&mut self.reader, "stage", true);
        let stages = self.stages(listed.unwrap_or_default());
        let period = self.bounded(fields, "for")?;
        let digest = short(&format!("{stages:?}\0{}", period.as_millis()));
        (!stages.is_empty()).then_some(On::InStage { stages, period, digest })
    }

    /// `source.silent`: a source has sent nothing for so long.
    pub(super) fn source_silent(&mut self, fields: &mut Fields<'_>) -> Option<On> {
        let source = fields.text(&mut self.reader, "source");
        let period = self.bounded(fields, "for");
        let (source, period): (String, Duration) = (source?, period?);
        let digest = short(&format!("{source}\0{}", period.as_millis()));
        Some(On::SourceSilent { source, period, digest })
    }

    /// `run.failed`, `run.needs_attention`, `playbook.silent`: of these playbooks, or of any.
    pub(super) fn of_playbooks(&mut self, fields: &mut Fields<'_>) -> Vec<String> {
        let listed = fields.text_list(&mut self.reader, "playbook", true).unwrap_or_default();
        for (name, span) in listed.iter().filter(|(name, _)| !model::id::is_name(name)) {
            let message = format!("`{name}` cannot be the id of a playbook");
            self.reader.error("PB106", *span, message, None);
        }
        listed.into_iter().map(|(name, _)| name).collect()
    }

    /// `delivery.failed`: to these destinations, or to any.
    pub(super) fn of_destinations(&mut self, fields: &mut Fields<'_>) -> Vec<String> {
        let listed = fields.text_list(&mut self.reader, "destination", true).unwrap_or_default();
        if let Some(known) = &self.catalog.destinations {
            for (name, span) in listed.iter().filter(|(name, _)| !known.contains(name)) {
                let help = did_you_mean(name, known.iter().map(String::as_str));
                self.reader.error("PB205", *span, format!("there is no destination `{name}`"), help);
            }
        }
        listed.into_iter().map(|(name, _)| name).collect()
    }

    /// The names that a trigger of this kind brings.
    pub(super) fn names_of(&self, on: &On, vars: &Arc<serde_json::Value>, span: Span) -> Names {
        self.names(roots(&[Trigger { on: on.clone(), when: None, span }]), vars)
    }

    /// The types of events that are listed, or that an event set holds.
    pub(super) fn types_of(&mut self, fields: &mut Fields<'_>) -> Option<Vec<String>> {
        let what = fields.what().to_owned();
        let listed = fields.text_list(&mut self.reader, "type", true);
        let set = fields.opt_node("set");
        if listed.is_none() && set.is_none() && !fields.has("type") {
            let help = "write `type: holm.finished_scan`, a list, a prefix such as `holm.*`, or `set: NAME`".to_owned();
            self.reader.error("PB102", fields.span(), format!("{what} needs `type` or `set`"), Some(help));
            return None;
        }
        let mut types = self.event_types(listed.unwrap_or_default());
        if let Some(node) = set {
            let name = text_of(&mut self.reader, node, "set")?;
            match self.catalog.event_sets.get(&name) {
                Some(members) => types.extend(members.iter().cloned()),
                None => {
                    let help = did_you_mean(&name, self.catalog.event_sets.keys().map(String::as_str));
                    self.reader.error("PB211", node.span, format!("there is no event set `{name}`"), help);
                }
            }
        }
        Some(types)
    }
}

/// What tells a trigger from another one of its playbook, and stays the same while it is not changed.
fn short(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string().chars().take(16).collect()
}
