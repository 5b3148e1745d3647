//! Reads `destinations.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use model::record::{ENTITY_KINDS, PRIORITIES, nearest, priority, priority_rank};
use playbook::yaml::Node;
use playbook::{Backoff, Diagnostic, Fields, Reader, Retry, Span, yaml};

use super::codes;
use super::credentials::{auth, sign};
use super::{Destination, Destinations, Home, Manner, TimeFormat, chat, traffic};
use crate::outbound::{Egress, TOTAL_TIMEOUT_MAX, Target, UrlProblem};

/// Most tries after the first.
const RETRIES: RangeInclusive<i64> = 0..=20;
/// Longest time between two tries that can be asked for (1 day).
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// Longest window of a destination (90 days).
const DEDUPE_MAX: Duration = Duration::from_secs(90 * 86_400);

/// What a destination is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Where requests may go.
    pub egress: &'a Egress,
    /// Most destinations.
    pub max: usize,
    /// The tenants; nothing when there are none, or they are not known here.
    pub tenants: Option<&'a BTreeSet<String>>,
}

impl<'a> Rules<'a> {
    /// The usual number of destinations, and tenants that are not known.
    pub fn new(egress: &'a Egress) -> Rules<'a> {
        Rules { egress, max: model::limits::DESTINATIONS_MAX, tenants: None }
    }
}

/// Reads the file.
///
/// # Errors
/// Everything that is wrong with it. What a person should only look at is in [`Destinations::warnings`].
pub fn read(file: &Arc<str>, text: &str, rules: Rules<'_>) -> Result<Destinations, Vec<Diagnostic>> {
    let mut reader = Reader::new(file.clone(), text);
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Destinations::default());
    }
    let node = yaml::parse(file, text)?;
    let mut all = Destinations::default();
    if let Some(mut fields) = reader.map(&node, "the file of destinations") {
        if let Some(mut named) = fields.fields(&mut reader, "destinations") {
            all.map = destinations(&mut reader, &mut named, rules);
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

fn destinations(reader: &mut Reader, named: &mut Fields<'_>, rules: Rules<'_>) -> BTreeMap<String, Arc<Destination>> {
    let mut all = BTreeMap::new();
    let mut count = 0;
    for (key, node) in named.free() {
        count += 1;
        if count - 1 == rules.max {
            let help = Some("`limits: { destinations: N }` of the configuration allows more".to_owned());
            reader.error(codes::TOO_MANY, key.span, format!("there are more than {} destinations", rules.max), help);
        }
        if !model::id::is_name(&key.text) {
            let help = Some("use up to 64 of a-z, 0-9 and `-`".to_owned());
            reader.error(codes::NAME, key.span, format!("`{}` cannot be the id of a destination", key.text), help);
        }
        if let Some(destination) = destination(reader, &key.text, node, rules) {
            all.insert(key.text.clone(), Arc::new(destination));
        }
    }
    all
}

/// Reads one destination; what is wrong with it is noted.
pub fn destination(reader: &mut Reader, id: &str, node: &Node, rules: Rules<'_>) -> Option<Destination> {
    let mut fields = reader.map(node, &format!("destination `{id}`"))?;
    let manner = match fields.one_of(reader, "kind", &["webhook", "teams", "slack"]) {
        Some("teams") => Manner::Teams,
        Some("slack") => Manner::Slack,
        _ => Manner::Webhook,
    };
    let egress = rules.egress;
    let target = fields.node(reader, "url").and_then(|node| {
        let target = url(reader, node, egress)?;
        if manner == Manner::Teams && !chat::is_teams(&target, egress) {
            not_teams(reader, node.span);
        }
        Some(target)
    });
    let auth = fields.opt_node("auth").map(|node| auth(reader, node, egress));
    let sign = fields.opt_node("sign").map(|node| sign(reader, node));
    let enabled = fields.bool(reader, "enabled").unwrap_or(true);
    let min_severity = severity(reader, &mut fields);
    let kinds = fields.text_list(reader, "kinds", true).map(|list| kinds(reader, list));
    let tenants = fields.text_list(reader, "tenants", true).map(|list| tenants(reader, list, rules));
    let dedupe = period(reader, &mut fields, "dedupe", DEDUPE_MAX);
    let (mut retry_any, mut tries) = (false, None);
    if let Some(mut inner) = fields.fields(reader, "retry") {
        retry_any = inner.one_of(reader, "on", &["transient", "any"]) == Some("any");
        tries = retry(reader, inner);
    }
    let timeout = period(reader, &mut fields, "timeout", TOTAL_TIMEOUT_MAX);
    let time_format = match fields.one_of(reader, "time_format", &["rfc3339", "epoch_micros"]) {
        Some("epoch_micros") => TimeFormat::EpochMicros,
        _ => TimeFormat::Rfc3339,
    };
    let rate = traffic::rate(reader, &mut fields);
    let concurrency = traffic::concurrency(reader, &mut fields);
    let ordered = fields.bool(reader, "ordered").unwrap_or(false);
    let breaker = traffic::breaker(reader, &mut fields);
    fields.finish(reader);
    Some(Destination {
        id: id.to_owned(),
        manner,
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
        retry: tries,
        retry_any,
        timeout,
        time_format,
        rate,
        concurrency,
        ordered,
        breaker,
        home: Home::File,
    })
}

fn not_teams(reader: &mut Reader, span: Span) {
    let help = "copy the URL of the workflow from Teams (such as https://prod-69.westus.logic.azure.com/workflows/…), or use `kind: webhook`";
    let message = "this is not the URL of a Microsoft workflow or of Teams";
    let mut found = reader.diagnostic(codes::TEAMS, span, message, Some(help.to_owned()));
    found.excerpt = String::new();
    reader.extend([found]);
}

fn tenants(reader: &mut Reader, list: Vec<(String, Span)>, rules: Rules<'_>) -> Vec<String> {
    for (name, span) in &list {
        let Some(known) = rules.tenants.filter(|known| !known.contains(name)) else { continue };
        let help = nearest(name, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        reader.error(codes::VALUE, *span, format!("there is no tenant `{name}`"), help);
    }
    list.into_iter().map(|(name, _)| name).collect()
}

pub(super) fn url(reader: &mut Reader, node: &Node, egress: &Egress) -> Option<Target> {
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
pub(super) fn period(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    name: &'static str,
    max: Duration,
) -> Option<Duration> {
    let period = fields.duration(reader, name)?;
    if period.is_zero() || period > max {
        let at = fields.opt_node(name).map_or(fields.span(), |node| node.span);
        let message = format!("`{name}` must be more than nothing and at most {}", model::period::format(max));
        reader.error(codes::VALUE, at, message, None);
        return None;
    }
    Some(period)
}

/// Reads `retry: { max, backoff, first, cap }`.
pub fn retry(reader: &mut Reader, mut fields: Fields<'_>) -> Option<Retry> {
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
