//! Who may send events: the names under `sources:`, and how each sender proves who it is.
//!
//! Invariant: `auth:` must be said for every source. A source without it is an error, never an open door.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::outbound::Network;
use engine::outbound::secret::Placed;
use engine::outbound::sign::{Encoding, Hash, Scheme, Signed, TOLERANCE_SECONDS};
use playbook::yaml::{Node, Value};
use playbook::{Fields, Reader, Severity, Span};

use super::codes;
use crate::auth::sender::TIMESTAMP;

/// One source.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its name: the last part of `/v1/in/NAME`.
    pub(crate) name: String,
    /// Where it stands in the file.
    pub(crate) span: Span,
    /// A file of the team's that says how bodies are read; nothing for a shipped source.
    pub(crate) file: Option<PathBuf>,
    /// The shipped source whose file it uses under a name of its own.
    pub(crate) uses: Option<String>,
    /// How the sender proves who it is.
    pub(crate) auth: SenderAuth,
    /// The IANA zone of times without an offset.
    pub(crate) timezone: Option<String>,
    /// The networks that its requests may come from; from anywhere when there are none.
    pub(crate) allow: Vec<Network>,
    /// The tenant that everything it sends belongs to.
    pub(crate) tenant: Option<String>,
    /// The tenants by the names that the sender uses; one without a tenant is switched off.
    pub(crate) tenants: Option<BTreeMap<String, Option<String>>>,
}

/// How a sender proves who it is. Texts may be references to secrets.
#[derive(Debug, Clone)]
pub(crate) enum SenderAuth {
    /// Not at all; said so on purpose.
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The tokens: each opens.
        tokens: Vec<Secret>,
    },
    /// A header with a value.
    Header {
        /// Its name.
        name: String,
        /// Its values: each opens.
        values: Vec<Secret>,
    },
    /// HTTP basic authentication.
    Basic {
        /// The user.
        user: String,
        /// The passwords: each opens.
        passwords: Vec<Secret>,
    },
    /// A keyed digest over the body, in a header.
    Hmac {
        /// The header.
        header: String,
        /// How it is made and written.
        scheme: Scheme,
        /// The keys: any of them verifies.
        secrets: Vec<Secret>,
        /// The header of the signed time.
        timestamp: String,
        /// The header that makes a repeat recognisable.
        key: Option<&'static str>,
        /// How long the same body is taken for a replay where no time is signed.
        replay: Duration,
    },
    /// A secret as the last part of the path.
    PathToken {
        /// The tokens: each opens.
        tokens: Vec<Secret>,
    },
    /// Standard Webhooks.
    StandardWebhooks {
        /// The keys: any of them verifies.
        secrets: Vec<Secret>,
    },
}

/// A text that is, or ends with, a reference to a secret, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    /// What was written.
    pub(crate) text: Placed,
    /// Where.
    pub(crate) span: Span,
}

/// How long the same signed body is taken for a replay when nothing else is said.
const REPLAY_WINDOW: Duration = Duration::from_secs(TOLERANCE_SECONDS.unsigned_abs());
/// Longest that this can be set to: as long as keys are remembered.
const REPLAY_WINDOW_MAX: Duration = Duration::from_secs(model::limits::REPLAY_WINDOW_SECONDS);

const KINDS: &str = "`none`, `{bearer: …}`, `{header: NAME, value: …}`, `{basic: {user: …, password: …}}`, `{hmac: {header: NAME, secret: …}}`, `{github: {secret: …}}`, `{slack: {secret: …}}`, `{path_token: …}` or `{standard_webhooks: {secret: …}}`";

/// Reads the whole section.
pub(super) fn read(reader: &mut Reader, node: &Node, folder: &Path) -> Vec<Source> {
    let Some(mut fields) = reader.map(node, "`sources`") else { return Vec::new() };
    let mut sources = Vec::new();
    for (key, node) in fields.free() {
        if !model::id::is_name(&key.text) {
            let help = Some("use lower-case letters, digits and `-`, at most 64".to_owned());
            reader.error(codes::WORDS, key.span, format!("`{}` is not a source's name", key.text), help);
        }
        if let Some(fields) = reader.map(node, "a source") {
            sources.extend(source(reader, fields, &key.text, key.span, folder));
        }
    }
    sources
}

fn source(reader: &mut Reader, mut fields: Fields<'_>, name: &str, span: Span, folder: &Path) -> Option<Source> {
    let file = fields.opt_text(reader, "file").map(|text| folder.join(text));
    let uses = fields.opt_text(reader, "uses");
    if let (true, Some((key, _))) = (file.is_some(), fields.entry("uses").filter(|_| uses.is_some())) {
        reader.error(codes::UNREADABLE_VALUE, key.span, "a source has `file` or `uses`, not both", None);
    }
    let timezone = fields.opt_text(reader, "timezone");
    let allow = allow(reader, &mut fields);
    let tenant = fields.opt_text(reader, "tenant");
    let tenants = tenants(reader, &mut fields);
    let auth = match fields.opt_node("auth") {
        Some(node) => auth(reader, node),
        None => {
            let help = Some(format!("say how `{name}` proves who it is: {KINDS}"));
            reader.error(codes::NO_AUTH, span, format!("the source `{name}` has no `auth`"), help);
            None
        }
    };
    fields.finish(reader);
    Some(Source { name: name.to_owned(), span, file, uses, auth: auth?, timezone, allow, tenant, tenants })
}

/// `allow: [192.0.2.0/24]`.
fn allow(reader: &mut Reader, fields: &mut Fields<'_>) -> Vec<Network> {
    let list = fields.text_list(reader, "allow", true).unwrap_or_default();
    let mut networks = Vec::new();
    for (text, span) in list {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(_) => {
                let help = Some("write addresses or networks, such as 192.0.2.7 or 192.0.2.0/24".to_owned());
                reader.error(codes::UNREADABLE_VALUE, span, format!("`{text}` is not a network"), help);
            }
        }
    }
    networks
}

/// `tenants: { "Acme Corporation": acme, "Old Customer": off }`.
fn tenants(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<BTreeMap<String, Option<String>>> {
    let mut named = fields.fields(reader, "tenants")?;
    let mut all = BTreeMap::new();
    for (key, node) in named.free() {
        let tenant = match &node.value {
            Value::Bool(false) => None,
            Value::Text(text) if text == "off" => None,
            Value::Text(text) => Some(text.clone()),
            _ => {
                reader.wrong_type(node, &key.text, "the name of a tenant, or `off`");
                continue;
            }
        };
        all.insert(key.text.clone(), tenant);
    }
    Some(all)
}

fn auth(reader: &mut Reader, node: &Node) -> Option<SenderAuth> {
    if let Value::Text(text) = &node.value {
        if text == "none" {
            return Some(SenderAuth::None);
        }
        reader.error(
            codes::NO_AUTH,
            node.span,
            format!("`{text}` is not a way to authenticate"),
            Some(format!("use {KINDS}")),
        );
        return None;
    }
    let mut fields = reader.map(node, "`auth`")?;
    let auth = if fields.opt_node("bearer").is_some() {
        one_or_more(reader, &mut fields, "bearer").map(|tokens| SenderAuth::Bearer { tokens })
    } else if fields.opt_node("header").is_some() {
        let name = fields.text(reader, "header");
        let values = one_or_more(reader, &mut fields, "value");
        Some(SenderAuth::Header { name: name?, values: values? })
    } else if let Some(node) = fields.opt_node("basic") {
        basic(reader, node)
    } else if let Some(node) = fields.opt_node("hmac") {
        hmac(reader, node)
    } else if let Some(node) = fields.opt_node("github") {
        styled(reader, node, &GITHUB)
    } else if let Some(node) = fields.opt_node("slack") {
        styled(reader, node, &SLACK)
    } else if fields.opt_node("path_token").is_some() {
        one_or_more(reader, &mut fields, "path_token").map(|tokens| SenderAuth::PathToken { tokens })
    } else if let Some(node) = fields.opt_node("standard_webhooks") {
        let mut inner = reader.map(node, "`standard_webhooks`")?;
        let secrets = secrets(reader, &mut inner);
        inner.finish(reader);
        Some(SenderAuth::StandardWebhooks { secrets: secrets? })
    } else {
        reader.error(codes::NO_AUTH, node.span, "this says no way to authenticate", Some(format!("use {KINDS}")));
        None
    };
    fields.finish(reader);
    auth
}

fn basic(reader: &mut Reader, node: &Node) -> Option<SenderAuth> {
    let mut fields = reader.map(node, "`basic`")?;
    let user = fields.text(reader, "user");
    let passwords = one_or_more(reader, &mut fields, "password");
    fields.finish(reader);
    Some(SenderAuth::Basic { user: user?, passwords: passwords? })
}

fn hmac(reader: &mut Reader, node: &Node) -> Option<SenderAuth> {
    let mut fields = reader.map(node, "`hmac`")?;
    let header = fields.text(reader, "header");
    let secrets = secrets(reader, &mut fields);
    let hash = match fields.one_of(reader, "hash", &["sha256", "sha1", "sha512"]) {
        Some("sha1") => Hash::Sha1,
        Some("sha512") => Hash::Sha512,
        _ => Hash::Sha256,
    };
    let encoding = match fields.one_of(reader, "encoding", &["hex", "base64"]) {
        Some("base64") => Encoding::Base64,
        _ => Encoding::Hex,
    };
    let prefix = fields.opt_text(reader, "prefix").unwrap_or_default();
    let signed = match fields.one_of(reader, "signed", &["body", "timestamp.body"]) {
        Some("timestamp.body") => Signed::TimestampBody,
        _ => Signed::Body,
    };
    let timestamp = fields.opt_text(reader, "timestamp_header").unwrap_or_else(|| TIMESTAMP.to_owned());
    let replay = fields.duration(reader, "replay_window").unwrap_or(REPLAY_WINDOW);
    if replay < Duration::from_secs(1) || replay > REPLAY_WINDOW_MAX {
        let span = fields.opt_node("replay_window").map_or(fields.span(), |node| node.span);
        reader.error(codes::UNREADABLE_VALUE, span, "`replay_window` is from 1 s to 7 days", None);
    }
    fields.finish(reader);
    let scheme = Scheme { hash, encoding, prefix, signed };
    Some(SenderAuth::Hmac { header: header?, scheme, secrets: secrets?, timestamp, key: None, replay })
}

/// A signature as one well-known product makes it.
struct Style {
    name: &'static str,
    header: &'static str,
    prefix: &'static str,
    signed: Signed,
    timestamp: &'static str,
    key: Option<&'static str>,
}

const GITHUB: Style = Style {
    name: "`github`",
    header: "x-hub-signature-256",
    prefix: "sha256=",
    signed: Signed::Body,
    timestamp: TIMESTAMP,
    key: Some("x-github-delivery"),
};
const SLACK: Style = Style {
    name: "`slack`",
    header: "x-slack-signature",
    prefix: "v0=",
    signed: Signed::Slack,
    timestamp: "x-slack-request-timestamp",
    key: None,
};

fn styled(reader: &mut Reader, node: &Node, style: &Style) -> Option<SenderAuth> {
    let mut fields = reader.map(node, style.name)?;
    let secrets = secrets(reader, &mut fields);
    fields.finish(reader);
    let scheme = Scheme { prefix: style.prefix.to_owned(), signed: style.signed, ..Scheme::default() };
    let (header, timestamp) = (style.header.to_owned(), style.timestamp.to_owned());
    Some(SenderAuth::Hmac { header, scheme, secrets: secrets?, timestamp, key: style.key, replay: REPLAY_WINDOW })
}

/// `secret: X`, or `secrets: [NEW, OLD]`.
fn secrets(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Vec<Secret>> {
    let name = if fields.opt_node("secrets").is_some() { "secrets" } else { "secret" };
    one_or_more(reader, fields, name)
}

/// One secret, or a list of them while one is exchanged for another.
fn one_or_more(reader: &mut Reader, fields: &mut Fields<'_>, name: &'static str) -> Option<Vec<Secret>> {
    let node = fields.node(reader, name)?;
    let list = fields.text_list(reader, name, true)?;
    if list.is_empty() {
        reader.error(codes::NO_AUTH, node.span, "an empty list opens to nobody", None);
    }
    list.into_iter().map(|(text, span)| placed(reader, &text, span)).collect()
}

/// Reads a text that is, or ends with, a reference to a secret; a secret in plain sight is warned about.
pub(super) fn placed(reader: &mut Reader, text: &str, span: Span) -> Option<Secret> {
    match Placed::parse(text) {
        Ok(placed) => {
            if placed.secret.is_none() {
                let help =
                    Some("write `${secret:NAME}` and set SORTIE_SECRET_NAME, or a file in `secrets_dir`".to_owned());
                let message = "a secret stands here for everyone who reads the file";
                let mut found = reader.diagnostic(codes::PLAIN_SECRET, span, message, help);
                found.severity = Severity::Warning;
                // The line holds the secret, and warnings are logged.
                found.excerpt.clear();
                reader.extend([found]);
            }
            Some(Secret { text: placed, span })
        }
        Err(error) => {
            reader.error(codes::UNREADABLE_VALUE, span, error.to_string(), None);
            None
        }
    }
}
