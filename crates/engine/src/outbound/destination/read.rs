//! Reads `destinations.yaml`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use model::limits::DESTINATIONS_MAX;
use model::record::{ENTITY_KINDS, PRIORITIES, nearest, priority, priority_rank};
use playbook::yaml::Node;
use playbook::{Backoff, Diagnostic, Fields, Reader, Retry, Span, yaml};

use super::codes;
use super::credentials::{auth, sign};
use super::{Destination, Destinations, TimeFormat};
use crate::outbound::{Egress, TOTAL_TIMEOUT_MAX, Target, UrlProblem};

/// Most tries after the first.
const RETRIES: RangeInclusive<i64> = 0..=20;
/// Longest time between two tries that can be asked for (1 day).
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// Longest window of a destination (90 days).
const DEDUPE_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Reads the file.
///
/// # Errors
/// Everything that is wrong with it. What a person should only look at is in [`Destinations::warnings`].
pub fn read(file: &Arc<str>, text: &str, egress: &Egress) -> Result<Destinations, Vec<Diagnostic>> {
    let mut reader = Reader::new(file.clone(), text);
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Destinations::default());
    }
    let node = yaml::parse(file, text)?;
    let mut all = Destinations::default();
    if let Some(mut fields) = reader.map(&node, "the file of destinations") {
        if let Some(mut named) = fields.fields(&mut reader, "destinations") {
            all.map = destinations(&mut reader, &mut named, egress);
        }
        if let Some(mut sets) = fields.fields(&mut reader, "event_sets") {
            all.event_sets = event_sets(&mut reader, &mut sets);
        }
        fields.finish(&mut reader);
    }
    let failed = reader.failed();
    let found = reader.finish();
    if failed {
        return Err(found);
    }
    all.warnings = found;
    Ok(all)
}

fn destinations(reader: &mut Reader, named: &mut Fields<'_>, egress: &Egress) -> BTreeMap<String, Arc<Destination>> {
    let mut all = BTreeMap::new();
    let mut count = 0;
    for (key, node) in named.free() {
        count += 1;
        if count == DESTINATIONS_MAX + 1 {
            reader.error(
                codes::TOO_MANY,
                key.span,
                format!("there are more than {DESTINATIONS_MAX} destinations"),
                None,
            );
        }
        if !model::id::is_name(&key.text) {
            let help = Some("use up to 64 of a-z, 0-9 and `-`".to_owned());
            reader.error(codes::NAME, key.span, format!("`{}` cannot be the id of a destination", key.text), help);
        }
        if let Some(destination) = destination(reader, &key.text, node, egress) {
            all.insert(key.text.clone(), Arc::new(destination));
        }
    }
    all
}

/// Reads one destination; what is wrong with it is noted.
pub fn destination(reader: &mut Reader, id: &str, node: &Node, egress: &Egress) -> Option<Destination> {
    let mut fields = reader.map(node, &format!("destination `{id}`"))?;
    match fields.one_of(reader, "kind", &["webhook", "teams", "slack"]) {
        Some("webhook") | None => {}
        Some(kind) => {
            let at = fields.opt_node("kind").map_or(fields.span(), |node| node.span);
            let help = Some("use `kind: webhook`".to_owned());
            reader.error(codes::LATER, at, format!("`kind: {kind}` is not supported by this version"), help);
        }
    }
    let target = fields.node(reader, "url").and_then(|node| url(reader, node, egress));
    let auth = fields.opt_node("auth").map(|node| auth(reader, node));
    let sign = fields.opt_node("sign").map(|node| sign(reader, node));
    let enabled = fields.bool(reader, "enabled").unwrap_or(true);
    let min_severity = severity(reader, &mut fields);
    let kinds = fields.text_list(reader, "kinds", true).map(|list| kinds(reader, list));
    let tenants =
        fields.text_list(reader, "tenants", true).map(|list| list.into_iter().map(|(text, _)| text).collect());
    let dedupe = period(reader, &mut fields, "dedupe", DEDUPE_MAX);
    let retry = fields.fields(reader, "retry").and_then(|inner| retry(reader, inner));
    let timeout = period(reader, &mut fields, "timeout", TOTAL_TIMEOUT_MAX);
    let time_format = match fields.one_of(reader, "time_format", &["rfc3339", "epoch_micros"]) {
        Some("epoch_micros") => TimeFormat::EpochMicros,
        _ => TimeFormat::Rfc3339,
    };
    fields.finish(reader);
    Some(Destination {
        id: id.to_owned(),
        target: target?,
        auth: auth.unwrap_or(Some(super::Auth::None))?,
        sign: match sign {
            None => None,
            Some(sign) => Some(sign?),
        },
        enabled,
        min_severity,
        kinds,
        tenants,
        dedupe,
        retry,
        timeout,
        time_format,
    })
}

fn url(reader: &mut Reader, node: &Node, egress: &Egress) -> Option<Target> {
    let yaml::Value::Text(text) = &node.value else {
        reader.wrong_type(node, "url", "text");
        return None;
    };
    let problem = match Target::parse(text, egress) {
        Ok(target) => return Some(target),
        Err(problem) => problem,
    };
    let (code, help) = match problem {
        UrlProblem::Blocked => {
            (codes::BLOCKED, Some("to reach a network of your own, name it under `egress.allow` of the configuration"))
        }
        UrlProblem::PlainHttp => (codes::URL, Some("on a machine for trials `egress.allow_http: true` allows it")),
        _ => (codes::URL, None),
    };
    // The line holds the URL, and the URL of a chat webhook is a credential: it is not repeated in logs.
    let mut found = reader.diagnostic(code, node.span, problem.to_string(), help.map(str::to_owned));
    found.excerpt = String::new();
    reader.extend([found]);
    None
}

fn severity(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<usize> {
    let text = fields.opt_text(reader, "min_severity")?;
    let rank = priority(&text).and_then(priority_rank);
    if rank.is_none() {
        let at = fields.opt_node("min_severity").map_or(fields.span(), |node| node.span);
        let message = format!("`{text}` is not a priority; use one of {}", PRIORITIES.join(", "));
        reader.error(codes::VALUE, at, message, did_you_mean(&text, &PRIORITIES));
    }
    rank
}

fn kinds(reader: &mut Reader, list: Vec<(String, Span)>) -> Vec<String> {
    let known: Vec<&str> = ["alert", "case", "event"].into_iter().chain(ENTITY_KINDS).collect();
    for (text, span) in &list {
        if !known.contains(&text.as_str()) {
            let message = format!("`{text}` is nothing that is sent; use some of {}", known.join(", "));
            reader.error(codes::VALUE, *span, message, did_you_mean(text, &known));
        }
    }
    list.into_iter().map(|(text, _)| text).collect()
}

fn did_you_mean(given: &str, known: &[&str]) -> Option<String> {
    nearest(given, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}

/// A length of time that is neither nothing nor longer than `max`.
fn period(reader: &mut Reader, fields: &mut Fields<'_>, name: &'static str, max: Duration) -> Option<Duration> {
    let period = fields.duration(reader, name)?;
    if period.is_zero() || period > max {
        let at = fields.opt_node(name).map_or(fields.span(), |node| node.span);
        let message = format!("`{name}` must be more than nothing and at most {}", model::period::format(max));
        reader.error(codes::VALUE, at, message, None);
        return None;
    }
    Some(period)
}

fn retry(reader: &mut Reader, mut fields: Fields<'_>) -> Option<Retry> {
    let usual = Retry::NETWORK;
    let max = fields.int(reader, "max", RETRIES).map_or(Some(usual.max), |max| u32::try_from(max).ok());
    let backoff = match fields.one_of(reader, "backoff", &["exponential", "linear", "fixed"]) {
        Some("linear") => Backoff::Linear,
        Some("fixed") => Backoff::Fixed,
        _ => Backoff::Exponential,
    };
    let first = period(reader, &mut fields, "first", WAIT_MAX).unwrap_or(usual.first);
    let cap = period(reader, &mut fields, "cap", WAIT_MAX).unwrap_or(usual.cap.max(first));
    if cap < first {
        reader.error(codes::VALUE, fields.span(), "`cap` must not be shorter than `first`", None);
    }
    fields.finish(reader);
    Some(Retry { max: max?, backoff, first, cap })
}

fn event_sets(reader: &mut Reader, sets: &mut Fields<'_>) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for (key, node) in sets.free() {
        if !model::id::is_name(&key.text) {
            let help = Some("use up to 64 of a-z, 0-9 and `-`".to_owned());
            reader.error(
                codes::EVENT_SET,
                key.span,
                format!("`{}` cannot be the name of an event set", key.text),
                help,
            );
        }
        let Some(items) = reader.list(node, &format!("the event set `{}`", key.text)) else { continue };
        let mut types = Vec::new();
        for item in items {
            match &item.value {
                yaml::Value::Text(text) if !text.is_empty() => types.push(text.clone()),
                _ => reader.error(codes::EVENT_SET, item.span, "this is not the type of an event", None),
            }
        }
        if items.is_empty() {
            reader.error(codes::EVENT_SET, node.span, "an empty event set holds no event", None);
        }
        all.insert(key.text.clone(), types);
    }
    all
}
