//! The keys of `sortie.yaml`.
//!
//! Every key is asked for once here; what is not asked for is unknown and named with the nearest known one. What is not
//! built yet is known, and answered with one sentence.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::outbound::{Network, Proxy};
use playbook::yaml::{self, Node, Value};
use playbook::{Diagnostic, Fields, Reader, Span};

use crate::http::tls::Files;

use super::{Config, codes, oidc, smtp, sources, triage};

/// The largest number of days and of other counts that can be set: enough for everybody, small enough to calculate with.
const COUNT_MAX: i64 = 1_000_000_000_000;
/// The largest body of one event that can be set, in bytes: with everything that follows from it, it must fit into one
/// value of the store.
const EVENT_BODY_BYTES_TOP: i64 = 2_000_000;
/// The largest body of a batch that can be set, in bytes: several must fit into memory.
const BATCH_BODY_BYTES_TOP: i64 = 64_000_000;
/// Longest time for `reload.quiet`.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// Reads `text` over the defaults in `config`; answers everything that is wrong with it.
pub(super) fn read(config: &mut Config, folder: &Path, name: &Arc<str>, text: &str) -> Vec<Diagnostic> {
    let node = match yaml::parse(name, text) {
        Ok(node) => node,
        Err(found) => return found,
    };
    let mut reader = Reader::new(name.clone(), text);
    // A file with comments only is a file of defaults.
    if node.value != Value::Null
        && let Some(mut fields) = reader.map(&node, "the configuration")
    {
        places(config, folder, &mut fields, &mut reader);
        store(config, &mut fields, &mut reader);
        api(config, &mut fields, &mut reader);
        words(config, &mut fields, &mut reader);
        sections(config, folder, &mut fields, &mut reader);
        fields.finish(&mut reader);
    }
    reader.finish()
}

fn later(reader: &mut Reader, span: Span, what: &str, help: &str) {
    reader.error(codes::LATER, span, format!("{what} is not built yet"), Some(help.to_owned()));
}

fn places(config: &mut Config, folder: &Path, fields: &mut Fields<'_>, reader: &mut Reader) {
    let mut path = |name: &'static str| fields.opt_text(reader, name).map(|text| folder.join(text));
    if let Some(data) = path("data") {
        config.data = data;
    }
    if let Some(playbooks) = path("playbooks") {
        config.playbooks = playbooks;
    }
    if let Some(destinations) = path("destinations") {
        config.destinations = destinations;
    }
    if let Some(secrets) = path("secrets_dir") {
        config.secrets_dir = Some(secrets);
    }
    if let Some(key) = path("secrets_key") {
        config.secrets_key = Some(key);
    }
    for (text, span) in fields.text_list(reader, "trusted_proxies", true).unwrap_or_default() {
        match text.parse::<Network>() {
            Ok(network) => config.trusted_proxies.push(network),
            Err(_) => {
                let help = Some("write addresses or networks, such as 10.0.0.7 or 10.0.0.0/24".to_owned());
                reader.error(codes::UNREADABLE_VALUE, span, format!("`{text}` is not a network"), help);
            }
        }
    }
    parsed(fields, reader, "listen", "an address such as 127.0.0.1:7300", |text| text.parse().ok())
        .into_iter()
        .for_each(|address| config.listen = address);
}

/// A text that must mean something; says what was expected where it does not.
fn parsed<T>(
    fields: &mut Fields<'_>,
    reader: &mut Reader,
    name: &'static str,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let span = peek(fields, name)?;
    let text = fields.opt_text(reader, name)?;
    let value = parse(&text);
    if value.is_none() {
        reader.error(codes::UNREADABLE_VALUE, span, format!("`{text}` is not {expected}"), None);
    }
    value
}

fn peek(fields: &mut Fields<'_>, name: &'static str) -> Option<Span> {
    fields.opt_node(name).map(|node| node.span)
}

fn store(config: &mut Config, fields: &mut Fields<'_>, reader: &mut Reader) {
    if let Some(span) = peek(fields, "store")
        && let Some(text) = fields.opt_text(reader, "store")
    {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            later(reader, span, "a PostgreSQL store", "leave `store: sled`, which needs no other service");
        } else if text != "sled" {
            let message = format!("`{text}` is not a store");
            reader.error(codes::UNREADABLE_VALUE, span, message, Some("leave `store: sled`".to_owned()));
        }
    }
    let known = fields.one_of(reader, "durability", super::DURABILITIES);
    if let Some(durability) = known.and_then(super::durability) {
        config.durability = durability;
    }
    if let Some(node) = fields.opt_node("retention")
        && let Some(mut keep) = reader.map(node, "`retention`")
    {
        if let Some(days) = count(&mut keep, reader, "days", 1) {
            config.retention.age = Duration::from_secs(days.saturating_mul(86_400));
        }
        if let Some(runs) = count(&mut keep, reader, "runs", 1) {
            config.retention.runs = runs;
        }
        if let Some(bytes) = size(&mut keep, reader, "bytes") {
            config.retention.bytes = bytes;
        }
        keep.finish(reader);
    }
}

fn count(fields: &mut Fields<'_>, reader: &mut Reader, name: &'static str, min: i64) -> Option<u64> {
    fields.int(reader, name, min..=COUNT_MAX).and_then(|n| u64::try_from(n).ok())
}

/// A number of bytes, or a text such as `20GB`.
fn size(fields: &mut Fields<'_>, reader: &mut Reader, name: &'static str) -> Option<u64> {
    match fields.opt_node(name)?.value {
        Value::Int(_) => count(fields, reader, name, 1),
        _ => parsed(fields, reader, name, "a size such as 500MB or 20GB", |text| {
            let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            let unit = match text.get(digits.len()..)?.trim() {
                "kB" | "KB" => 1_000,
                "MB" => 1_000_000,
                "GB" => 1_000_000_000,
                "TB" => 1_000_000_000_000,
                _ => return None,
            };
            digits.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
        }),
    }
}

fn api(config: &mut Config, fields: &mut Fields<'_>, reader: &mut Reader) {
    if let Some(auth) = fields.one_of(reader, "auth", &["required", "none"]) {
        config.auth_required = auth == "required";
    }
    let url = parsed(fields, reader, "public_url", "an address such as https://sortie.example.com", |text| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        (!host.is_empty() && !host.contains([' ', '"', '<', '>'])).then(|| text.trim_end_matches('/').to_owned())
    });
    if url.is_some() {
        config.public_url = url;
    }
    config.oidc = oidc::read(reader, fields, config.public_url.is_some());
}

fn words(config: &mut Config, fields: &mut Fields<'_>, reader: &mut Reader) {
    if let Some(span) = peek(fields, "stages")
        && let Some(stages) = fields.text_list(reader, "stages", false)
    {
        distinct(reader, &stages, "stage");
        let names: Vec<String> = stages.into_iter().map(|(name, _)| name).collect();
        if names.last().is_none_or(|last| !last.eq_ignore_ascii_case("Closed")) {
            let help = Some("put `Closed` at the end: it is the stage in which a case is closed".to_owned());
            reader.error(codes::WORDS, span, "the last stage must be `Closed`", help);
        } else if names.len() < 2 {
            reader.error(codes::WORDS, span, "a case needs a stage before `Closed`", None);
        } else {
            config.words.stages = names;
        }
    }
    if let Some(reasons) = fields.text_list(reader, "close_reasons", false) {
        distinct(reader, &reasons, "close reason");
        config.words.close_reasons = reasons.into_iter().map(|(name, _)| name).collect();
    }
    if let Some(tenants) = fields.text_list(reader, "tenants", false) {
        distinct(reader, &tenants, "tenant");
        for (name, span) in &tenants {
            if !model::id::is_name(name) {
                let help = Some("use lower-case letters, digits and `-`, at most 64".to_owned());
                reader.error(codes::WORDS, *span, format!("`{name}` is not a tenant's name"), help);
            }
        }
        config.tenants = tenants.into_iter().map(|(name, _)| name).collect();
    }
    if let Some(node) = fields.opt_node("queues")
        && let Some(mut queues) = reader.map(node, "`queues`")
    {
        for (key, node) in queues.free() {
            let members = members(reader, node);
            config.triage.rules.queues.insert(key.text.clone(), members);
        }
    }
    triage::read(&mut config.triage, &config.words, fields, reader);
}

fn members(reader: &mut Reader, node: &Node) -> Vec<String> {
    let Some(mut queue) = reader.map(node, "a queue") else { return Vec::new() };
    let members = queue.text_list(reader, "members", false).unwrap_or_default();
    queue.finish(reader);
    members.into_iter().map(|(name, _)| name).collect()
}

fn distinct(reader: &mut Reader, names: &[(String, Span)], what: &str) {
    for (at, (name, span)) in names.iter().enumerate() {
        if names.iter().take(at).any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
            reader.error(codes::WORDS, *span, format!("the {what} `{name}` stands here twice"), None);
        }
    }
}

fn sections(config: &mut Config, folder: &Path, fields: &mut Fields<'_>, reader: &mut Reader) {
    if let Some(node) = fields.opt_node("sources") {
        config.sources = sources::read(reader, node, folder);
    }
    if let Some(mut section) = fields.fields(reader, "tls") {
        let (cert, key) = (section.text(reader, "cert"), section.text(reader, "key"));
        section.finish(reader);
        config.tls = cert.zip(key).map(|(cert, key)| Files { cert: folder.join(cert), key: folder.join(key) });
    }
    if let Some(node) = fields.opt_node("egress")
        && let Some(mut section) = reader.map(node, "`egress`")
    {
        egress(config, folder, &mut section, reader);
        section.finish(reader);
    }
    config.smtp = smtp::read(reader, fields, folder, &config.egress);
    mail_without_server(config, fields, reader);
    if let Some(node) = fields.opt_node("limits")
        && let Some(mut section) = reader.map(node, "`limits`")
    {
        limits(config, &mut section, reader);
        section.finish(reader);
    }
    if let Some(node) = fields.opt_node("reload")
        && let Some(mut section) = reader.map(node, "`reload`")
    {
        if let Some(watch) = section.bool(reader, "watch") {
            config.reload.watch = watch;
        }
        if let Some(quiet) = section.duration(reader, "quiet") {
            config.reload.quiet = quiet.min(QUIET_MAX);
        }
        section.finish(reader);
    }
    config.four_eyes = fields.one_of(reader, "four_eyes", &["enabling", "off"]) == Some("enabling");
    if let Some(node) = fields.opt_node("ledger")
        && let Some(mut section) = reader.map(node, "`ledger`")
    {
        config.ledger_key = section.opt_text(reader, "key").map(|path| folder.join(path));
        config.ledger_copies = section.opt_text(reader, "copies").map(|path| folder.join(path));
        config.ledger_destination = section.opt_text(reader, "destination");
        section.finish(reader);
    }
    if let Some(node) = fields.opt_node("log")
        && let Some(mut section) = reader.map(node, "`log`")
    {
        if let Some(format) = section.one_of(reader, "format", &["text", "json"]).and_then(super::format) {
            config.log.format = format;
        }
        let expected = "a level such as `info` or `info,engine=debug`";
        if let Some(level) = parsed(&mut section, reader, "level", expected, super::level) {
            config.log.level = level;
        }
        section.finish(reader);
    }
}

/// A notification by e-mail that could never arrive is a mistake, not a surprise.
fn mail_without_server(config: &Config, fields: &mut Fields<'_>, reader: &mut Reader) {
    let Some(node) = fields.opt_node("notifications") else { return };
    let by_mail = config.triage.notifications.iter().find(|one| !one.email.is_empty());
    if let Some(one) = by_mail.filter(|_| !fields.has("smtp")) {
        let help =
            Some("say which mail server under `smtp: { host, from }`, or use a destination under `to`".to_owned());
        let message = format!("the notification `{}` goes by e-mail, and there is no mail server", one.name);
        reader.error(codes::WORDS, node.span, message, help);
    }
}

fn limits(config: &mut Config, fields: &mut Fields<'_>, reader: &mut Reader) {
    let mut set = |name: &'static str, max: i64, target: &mut usize| {
        if let Some(value) = fields.int(reader, name, 1..=max).and_then(|n| usize::try_from(n).ok()) {
            *target = value;
        }
    };
    set("event_body_bytes", EVENT_BODY_BYTES_TOP, &mut config.limits.event_body_bytes);
    set("batch_body_bytes", BATCH_BODY_BYTES_TOP, &mut config.limits.batch_body_bytes);
    set("batch_events", 100_000, &mut config.limits.batch_events);
    set("runs_at_once", 10_000, &mut config.limits.runs_at_once);
    set("destinations", 1_000, &mut config.limits.destinations);
}

fn egress(config: &mut Config, folder: &Path, fields: &mut Fields<'_>, reader: &mut Reader) {
    for (text, span) in fields.text_list(reader, "allow", false).unwrap_or_default() {
        match text.parse::<Network>() {
            Ok(network) => config.egress.allow.push(network),
            Err(error) => reader.error(codes::UNREADABLE_VALUE, span, error.to_string(), None),
        }
    }
    if let Some(allow) = fields.bool(reader, "allow_http") {
        config.egress.allow_http = allow;
    }
    if let Some(node) = fields.opt_node("ports") {
        config.egress.ports = Some(ports(reader, node));
    }
    let proxy = parsed(fields, reader, "proxy", "a proxy such as http://proxy.example.com:3128", |text| {
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
        (!host.is_empty()).then(|| Proxy { url: text.to_owned() })
    });
    if proxy.is_some() {
        config.egress.proxy = proxy;
    }
    if let Some(span) = peek(fields, "ca")
        && let Some(text) = fields.opt_text(reader, "ca")
    {
        let path = folder.join(&text);
        match std::fs::read(&path) {
            Ok(pem) => config.egress.ca = Some(pem),
            Err(error) => {
                let message = format!("the certificates in `{text}` cannot be read: {error}");
                reader.error(codes::UNREADABLE_VALUE, span, message, None);
            }
        }
    }
}

fn ports(reader: &mut Reader, node: &Node) -> Vec<u16> {
    let Value::List(items) = &node.value else {
        reader.error(codes::UNREADABLE_VALUE, node.span, "`ports` is a list of port numbers", None);
        return Vec::new();
    };
    let mut ports = Vec::new();
    for item in items {
        match item.value {
            Value::Int(port) if (1..=65_535).contains(&port) => ports.extend(u16::try_from(port).ok()),
            _ => reader.error(codes::UNREADABLE_VALUE, item.span, "this is not a port between 1 and 65535", None),
        }
    }
    ports
}
