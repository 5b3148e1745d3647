//! The section `oidc` of `sortie.yaml`: the provider through which people sign in.

use std::time::Duration;

use playbook::yaml::{Node, Value};
use playbook::{Fields, Reader, Span};

use super::{codes, sources};
use crate::auth::Role;
use crate::auth::oidc::{Provider, SESSION, SESSION_MIN};
use crate::auth::session::LIFETIME;

/// Most values of the claim that mean a role.
const ROLES_MAX: usize = 200;

/// Reads the section; nothing when it is wrong, and then it is said.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>, has_address: bool) -> Option<Provider> {
    let span = fields.opt_node("oidc")?.span;
    let mut section = fields.fields(reader, "oidc")?;
    if !has_address {
        let help =
            Some("set `public_url: https://sortie.example.com`: the provider sends browsers back there".to_owned());
        reader.error(codes::UNREADABLE_VALUE, span, "`oidc` needs `public_url`", help);
    }
    let issuer = section.text(reader, "issuer");
    let client_id = section.text(reader, "client_id");
    let client_secret = section
        .opt_node("client_secret")
        .and_then(|node| sources::placed(reader, node.as_text().unwrap_or_default(), node.span))
        .map(|secret| secret.text);
    let mut scopes: Vec<String> =
        section.text_list(reader, "scopes", false).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    if scopes.is_empty() {
        scopes = vec!["profile".to_owned()];
    }
    if !scopes.iter().any(|scope| scope == "openid") {
        scopes.insert(0, "openid".to_owned());
    }
    let name_claim = section.opt_text(reader, "name_claim").unwrap_or_else(|| "preferred_username".to_owned());
    let roles_claim = section.opt_text(reader, "roles_claim").unwrap_or_else(|| "groups".to_owned());
    let tenant_claim = section.opt_text(reader, "tenant_claim");
    let session = session(reader, &mut section);
    let roles = section.node(reader, "roles").map(|node| roles(reader, node)).unwrap_or_default();
    section.finish(reader);
    Some(Provider {
        issuer: issuer?,
        client_id: client_id?,
        client_secret,
        scopes,
        name_claim,
        roles_claim,
        roles,
        tenant_claim,
        session,
    })
}

/// How long what the provider said about a person counts.
fn session(reader: &mut Reader, section: &mut Fields<'_>) -> Duration {
    let Some(span) = section.opt_node("session").map(|node| node.span) else { return SESSION };
    let session = section.duration(reader, "session").unwrap_or(SESSION);
    if !(SESSION_MIN..=LIFETIME).contains(&session) {
        wrong(reader, span, "`session` is from 1m to 12h".to_owned());
    }
    session
}

/// `{soc-leads: admin, soc: analyst}`: what a value of the claim means.
fn roles(reader: &mut Reader, node: &Node) -> Vec<(String, Role)> {
    let Some(mut fields) = reader.map(node, "`roles`") else { return Vec::new() };
    let mut roles = Vec::new();
    for (key, node) in fields.free() {
        let role = match &node.value {
            Value::Text(name) => Role::from_name(name),
            _ => None,
        };
        match role {
            Some(role) if roles.len() < ROLES_MAX => roles.push((key.text.clone(), role)),
            Some(_) => wrong(reader, key.span, format!("`roles` has more than {ROLES_MAX} entries")),
            None => {
                let known = Role::ALL.map(Role::name).join(", ");
                wrong(reader, node.span, format!("a role is one of {known}"));
            }
        }
    }
    if roles.is_empty() {
        wrong(reader, node.span, "without a role nobody can sign in".to_owned());
    }
    roles
}

fn wrong(reader: &mut Reader, span: Span, message: String) {
    reader.error(codes::UNREADABLE_VALUE, span, message, None);
}
