//! Reads `auth` and `sign` of a destination.

use std::str::FromStr as _;

use playbook::yaml::{Node, Value};
use playbook::{Fields, Reader, Span};
use reqwest::header::{AUTHORIZATION, HeaderName};

use super::codes;
use super::read::url;
use super::{Auth, Grant, Login, Sign};
use crate::outbound::Egress;
use crate::outbound::deliver::is_reserved;
use crate::outbound::secret::Placed;
use crate::outbound::sign::{Encoding, Hash, Scheme, Signed};

const AUTH_FORMS: &str = "`none`, `{header: NAME, value: …}`, `{basic: {user: …, password: …}}`, `{bearer: …}`, \
                          `{login: {url: …, user: …, password: …}}` or `{oauth2: {token_url: …, client_id: …, client_secret: …}}`";
/// Where a token stands in the answer of whoever issues it, when nothing is said.
const TOKEN_FIELD: &str = "access_token";
/// What stands before a token, when nothing is said.
const BEARER: &str = "Bearer ";
const SIGN_FORMS: &str = "`{standard_webhooks: …}` or `{hmac: {header: NAME, secret: …}}`";

/// Reads `auth`.
pub(super) fn auth(reader: &mut Reader, node: &Node, egress: &Egress) -> Option<Auth> {
    if node.value == Value::Text("none".to_owned()) {
        return Some(Auth::None);
    }
    if !matches!(node.value, Value::Map(_)) {
        reader.error(codes::FORM, node.span, format!("`auth` must be {AUTH_FORMS}"), None);
        return None;
    }
    let mut fields = reader.map(node, "`auth`")?;
    let auth = if let Some((_, node)) = fields.entry("header") {
        let name = header(reader, node);
        let value = fields.node(reader, "value").and_then(|node| secret(reader, node));
        name.zip(value).map(|(name, value)| Auth::Header { name, value })
    } else if let Some(node) = fields.opt_node("bearer") {
        secret(reader, node).map(Auth::Bearer)
    } else if let Some(mut inner) = fields.fields(reader, "basic") {
        let user = inner.text(reader, "user");
        let password = inner.node(reader, "password").and_then(|node| secret(reader, node));
        inner.finish(reader);
        user.zip(password).map(|(user, password)| Auth::Basic { user, password })
    } else if let Some(inner) = fields.fields(reader, "login") {
        login(reader, inner, egress).map(|login| Auth::Login(Box::new(login)))
    } else if let Some(inner) = fields.fields(reader, "oauth2") {
        oauth2(reader, inner, egress).map(|login| Auth::Login(Box::new(login)))
    } else {
        if !["basic", "login", "oauth2"].into_iter().any(|name| fields.has(name)) {
            reader.error(codes::FORM, node.span, format!("`auth` must be {AUTH_FORMS}"), None);
        }
        return None;
    };
    fields.finish(reader);
    auth
}

/// `login: { url, user, password, token_field, header, prefix }`.
fn login(reader: &mut Reader, mut fields: Fields<'_>, egress: &Egress) -> Option<Login> {
    let target = fields.node(reader, "url").and_then(|node| url(reader, node, egress));
    let user = fields.text(reader, "user");
    let password = fields.node(reader, "password").and_then(|node| secret(reader, node));
    let token_field = fields.opt_text(reader, "token_field").unwrap_or_else(|| TOKEN_FIELD.to_owned());
    let name = match fields.opt_node("header") {
        None => Some(AUTHORIZATION),
        Some(node) => header(reader, node),
    };
    let prefix = fields.opt_text(reader, "prefix").unwrap_or_else(|| BEARER.to_owned());
    fields.finish(reader);
    let grant = Grant::Password { user: user?, password: password? };
    Some(Login { url: target?, grant, token_field, header: name?, prefix })
}

/// `oauth2: { token_url, client_id, client_secret, scope, audience, client_auth }`.
fn oauth2(reader: &mut Reader, mut fields: Fields<'_>, egress: &Egress) -> Option<Login> {
    let target = fields.node(reader, "token_url").and_then(|node| url(reader, node, egress));
    let id = fields.text(reader, "client_id");
    let client_secret = fields.node(reader, "client_secret").and_then(|node| secret(reader, node));
    let scope = fields.opt_text(reader, "scope");
    let audience = fields.opt_text(reader, "audience");
    let in_body = fields.one_of(reader, "client_auth", &["basic", "body"]) == Some("body");
    fields.finish(reader);
    let grant = Grant::Client { id: id?, secret: client_secret?, scope, audience, in_body };
    let (token_field, prefix) = (TOKEN_FIELD.to_owned(), BEARER.to_owned());
    Some(Login { url: target?, grant, token_field, header: AUTHORIZATION, prefix })
}

/// Reads `sign`.
pub(super) fn sign(reader: &mut Reader, node: &Node) -> Option<Sign> {
    if !matches!(node.value, Value::Map(_)) {
        reader.error(codes::FORM, node.span, format!("`sign` must be {SIGN_FORMS}"), None);
        return None;
    }
    let mut fields = reader.map(node, "`sign`")?;
    let sign = if let Some(node) = fields.opt_node("standard_webhooks") {
        match &node.value {
            Value::Text(_) => secret(reader, node).map(|one| Sign::Standard(vec![one])),
            _ => reader.map(node, "`standard_webhooks`").and_then(|mut inner| {
                let all = secrets(reader, &mut inner);
                inner.finish(reader);
                all.map(Sign::Standard)
            }),
        }
    } else if let Some(inner) = fields.fields(reader, "hmac") {
        hmac(reader, inner)
    } else {
        if !fields.has("hmac") {
            reader.error(codes::FORM, node.span, format!("`sign` must be {SIGN_FORMS}"), None);
        }
        return None;
    };
    fields.finish(reader);
    sign
}

fn hmac(reader: &mut Reader, mut fields: Fields<'_>) -> Option<Sign> {
    let name = fields.node(reader, "header").and_then(|node| header(reader, node));
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
    let secrets = secrets(reader, &mut fields);
    fields.finish(reader);
    Some(Sign::Hmac { header: name?, scheme: Scheme { hash, encoding, prefix, signed }, secrets: secrets? })
}

/// `secret: …` or `secrets: [new, old]`.
fn secrets(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Vec<Placed>> {
    let list = match fields.opt_node("secrets") {
        None => return fields.node(reader, "secret").and_then(|node| secret(reader, node)).map(|one| vec![one]),
        Some(node) => node,
    };
    if fields.has("secret") {
        reader.error(codes::FORM, list.span, "`secret` and `secrets` must not stand together", None);
        fields.opt_node("secret");
    }
    let items = reader.list(list, "`secrets`")?;
    if items.is_empty() {
        reader.error(codes::FORM, list.span, "an empty list of secrets signs nothing", None);
        return None;
    }
    items.iter().map(|node| secret(reader, node)).collect()
}

/// A secret as people write it.
fn secret(reader: &mut Reader, node: &Node) -> Option<Placed> {
    let Value::Text(text) = &node.value else {
        reader.wrong_type(node, "a secret", "text such as `${secret:NAME}`");
        return None;
    };
    match Placed::parse(text) {
        Ok(placed) => {
            if placed.secret.is_some() {
                return Some(placed);
            }
            plain_secret(reader, node.span);
            Some(Placed::given(text))
        }
        Err(error) => {
            reader.error(codes::SECRET, node.span, error.to_string(), None);
            None
        }
    }
}

fn plain_secret(reader: &mut Reader, span: Span) {
    let help =
        "write `${secret:NAME}` and keep it with `sortie secrets set NAME`, in SORTIE_SECRET_NAME, or as a file in \
                `secrets_dir`"
            .to_owned();
    let message = "a secret stands here for everyone who reads the file";
    let mut found = reader.diagnostic(codes::PLAIN_SECRET, span, message, Some(help));
    found.severity = playbook::Severity::Warning;
    found.excerpt = String::new();
    reader.extend([found]);
}

/// The name of a header that may be set.
fn header(reader: &mut Reader, node: &Node) -> Option<HeaderName> {
    let Value::Text(text) = &node.value else {
        reader.wrong_type(node, "header", "text");
        return None;
    };
    match HeaderName::from_str(text) {
        Ok(name) if !is_reserved(&name) => Some(name),
        Ok(_) => {
            reader.error(codes::HEADER, node.span, format!("the header `{text}` is set by Sortie itself"), None);
            None
        }
        Err(_) => {
            reader.error(codes::HEADER, node.span, format!("`{text}` cannot be the name of a header"), None);
            None
        }
    }
}
