//! The section `smtp` of `sortie.yaml`: the mail server.
//!
//! Invariant: without TLS only this machine is spoken to, and a certificate is always verified.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::outbound::destination::retry;
use engine::outbound::mail::{self, Mailbox, Security, Server, Smtp, Trust};
use engine::outbound::{Egress, TOTAL_TIMEOUT_MAX};
use playbook::{Fields, Reader, Span};

use super::{codes, sources};

/// Longest name of a host, in bytes.
const HOST_BYTES_MAX: usize = 253;
/// Shortest time that one message may be given.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Reads the section; nothing when it is wrong, and then it is said.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>, folder: &Path, egress: &Egress) -> Option<Server> {
    let mut section = fields.fields(reader, "smtp")?;
    let span = section.span();
    let security = match section.one_of(reader, "tls", &["required", "starttls", "none"]) {
        Some("starttls") => Security::StartTls,
        Some("none") => Security::Plain,
        _ => Security::Tls,
    };
    let usual = match security {
        Security::Tls => 465,
        Security::StartTls => 587,
        Security::Plain => 25,
    };
    let port = section.int(reader, "port", 1..=65_535).and_then(|port| u16::try_from(port).ok()).unwrap_or(usual);
    let host = section.opt_node("host").map_or(span, |node| node.span);
    let host = section.text(reader, "host").and_then(|text| host_of(reader, &text, host, (port, security), egress));
    let from = mailbox(reader, &mut section, "from");
    let login = section.fields(reader, "auth").and_then(|inner| login(reader, inner));
    let trust = trust(reader, &mut section, folder, egress);
    let retry = section.fields(reader, "retry").and_then(|inner| retry(reader, inner));
    let timeout = section.duration(reader, "timeout").unwrap_or(mail::TIMEOUT).clamp(TIMEOUT_MIN, TOTAL_TIMEOUT_MAX);
    let asked = section.has("auth");
    section.finish(reader);
    if asked && login.is_none() {
        return None;
    }
    Some(Arc::new(Smtp { host: host?, port, security, login, from: from?, trust: trust?, retry, timeout }))
}

fn wrong(reader: &mut Reader, span: Span, message: impl Into<String>, help: &str) {
    reader.error(codes::UNREADABLE_VALUE, span, message, Some(help.to_owned()));
}

fn host_of(
    reader: &mut Reader,
    text: &str,
    span: Span,
    (port, security): (u16, Security),
    egress: &Egress,
) -> Option<String> {
    let host = text.trim().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let literal: Option<IpAddr> = host.parse().ok();
    let is_name = (1..=HOST_BYTES_MAX).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        // `127.1` and `0x7f.1` are addresses to some readers.
        && host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()));
    if literal.is_none() && !is_name {
        wrong(
            reader,
            span,
            "this is neither a host name nor an address",
            "write the name alone, without `smtp://` and port",
        );
        return None;
    }
    if literal.is_some_and(|address| !egress.permits_mail(address, port)) {
        let help = "name its network under `egress.allow`";
        wrong(reader, span, "the address is not allowed by the server's egress policy", help);
        return None;
    }
    if security == Security::Plain && host != "localhost" && !literal.is_some_and(|address| address.is_loopback()) {
        let help = "use `tls: required` or `tls: starttls`; `none` is for a mail server on this machine";
        wrong(reader, span, "`tls: none` would send messages in the clear", help);
        return None;
    }
    Some(host)
}

fn mailbox(reader: &mut Reader, fields: &mut Fields<'_>, name: &'static str) -> Option<Mailbox> {
    let span = fields.opt_node(name).map_or(fields.span(), |node| node.span);
    match fields.text(reader, name)?.parse() {
        Ok(mailbox) => Some(mailbox),
        Err(error) => {
            let error: mail::MailboxError = error;
            reader.error(codes::UNREADABLE_VALUE, span, error.to_string(), None);
            None
        }
    }
}

/// `auth: { user, password }`.
fn login(reader: &mut Reader, mut fields: Fields<'_>) -> Option<(String, engine::outbound::secret::Placed)> {
    let user = fields.text(reader, "user");
    let password = fields.node(reader, "password").and_then(|node| {
        let text = node.as_text();
        if text.is_none() {
            reader.wrong_type(node, "password", "text");
        }
        sources::placed(reader, text?, node.span).map(|secret| secret.text)
    });
    fields.finish(reader);
    Some((user?, password?))
}

/// The authorities of `egress.ca` and those of this section.
fn trust(reader: &mut Reader, fields: &mut Fields<'_>, folder: &Path, egress: &Egress) -> Option<Trust> {
    let span = fields.opt_node("ca").map_or(fields.span(), |node| node.span);
    let mut pem = egress.ca.clone();
    if let Some(text) = fields.opt_text(reader, "ca") {
        match std::fs::read(folder.join(&text)) {
            Ok(own) => {
                let all = pem.get_or_insert_default();
                all.push(b'\n');
                all.extend(own);
            }
            Err(error) => {
                wrong(reader, span, format!("the certificates in `{text}` cannot be read: {error}"), "name a PEM file");
                return None;
            }
        }
    }
    match Trust::new(pem.as_deref()) {
        Ok(trust) => Some(trust),
        Err(_) => {
            wrong(reader, span, "these are no certificates", "name a PEM file with the certificates of your authority");
            None
        }
    }
}
