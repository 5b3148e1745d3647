//! From the fields of the form of a destination to the keys of `destinations.yaml`.

use serde_json::{Map, Value, json};

use super::form::Form;
use crate::http::problem::Problem;

/// One field of a way to authenticate or to sign.
pub(super) struct Field {
    /// The key in the file.
    pub(super) key: &'static str,
    /// What a person reads.
    pub(super) label: &'static str,
    /// What counts when it is left empty.
    pub(super) default: &'static str,
    /// Whether it is never shown.
    pub(super) secret: bool,
    /// Whether it may be left empty.
    pub(super) optional: bool,
}

const fn open(key: &'static str, label: &'static str, default: &'static str, optional: bool) -> Field {
    Field { key, label, default, secret: false, optional }
}

const fn secret(key: &'static str, label: &'static str) -> Field {
    Field { key, label, default: "", secret: true, optional: false }
}

/// One way: its key, its name for people, its fields.
type Way = (&'static str, &'static str, &'static [Field]);

/// The kinds of destinations.
pub(super) const KINDS: &[(&str, &str)] =
    &[("webhook", "Webhook: key-value JSON"), ("teams", "Microsoft Teams"), ("slack", "Slack")];
/// What a destination can be about.
pub(super) const ABOUT: [&str; 7] = ["alert", "case", "event", "host", "account", "user", "ip"];
/// The ways to authenticate, to choose from.
pub(super) const AUTHS: &[(&str, &str)] = &[
    ("none", "none"),
    ("header", "a header with a key"),
    ("basic", "user and password (basic)"),
    ("bearer", "bearer token"),
    ("login", "a login address that yields a token"),
    ("oauth2", "OAuth2 client credentials"),
];
/// The ways to sign, to choose from.
pub(super) const SIGNS: &[(&str, &str)] =
    &[("none", "none"), ("standard_webhooks", "Standard Webhooks"), ("hmac", "HMAC in a header of your choice")];

/// The fields of the ways to authenticate.
pub(super) const AUTH_FIELDS: &[Way] = &[
    ("header", "A header with a key", &[open("header", "Header", "", false), secret("value", "Key")]),
    ("basic", "User and password", &[open("user", "User", "", false), secret("password", "Password")]),
    ("bearer", "Bearer token", &[secret("bearer", "Token")]),
    (
        "login",
        "A login address",
        &[
            open("url", "Login address", "", false),
            open("user", "User", "", false),
            secret("password", "Password"),
            open("token_field", "Where the token stands in the answer", "access_token", true),
            open("header", "Header that carries it", "Authorization", true),
            open("prefix", "In front of it", "Bearer ", true),
        ],
    ),
    (
        "oauth2",
        "OAuth2 client credentials",
        &[
            open("token_url", "Token address", "", false),
            open("client_id", "Client id", "", false),
            secret("client_secret", "Client secret"),
            open("scope", "Scope", "", true),
            open("audience", "Audience", "", true),
        ],
    ),
];
/// The fields of the ways to sign.
pub(super) const SIGN_FIELDS: &[Way] = &[
    ("standard_webhooks", "Standard Webhooks", &[secret("standard_webhooks", "Secret")]),
    (
        "hmac",
        "HMAC",
        &[
            open("header", "Header", "X-Signature", false),
            secret("secret", "Secret"),
            open("hash", "Hash: sha256, sha1, sha512", "sha256", true),
            open("encoding", "Encoding: hex, base64", "hex", true),
            open("prefix", "In front of it", "", true),
        ],
    ),
];

/// Keys of a destination that are texts in the form.
const TEXTS: [&str; 5] = ["kind", "min_severity", "dedupe", "timeout", "time_format"];

/// The body for the API: everything that is not as it was. A key that was emptied is `null`.
///
/// # Errors
/// 400 for a number that is none, or a field that is missing.
pub(super) fn read(form: &Form, kept: &Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    let new = kept.is_empty();
    let mut body = Map::new();
    for name in ["id", "url"] {
        if !form.get(name).trim().is_empty() {
            body.insert(name.to_owned(), form.get(name).trim().into());
        }
    }
    for name in TEXTS {
        let now = form.get(name).trim();
        if is_other(form, name, new) {
            put(&mut body, new, name, if now.is_empty() { Value::Null } else { now.into() });
        }
    }
    if is_other(form, "concurrency", new) {
        put(&mut body, new, "concurrency", number(form, "concurrency")?);
    }
    let ordered = form.get("ordered") == "true";
    if ordered != (form.get("was-ordered") == "true") {
        body.insert("ordered".to_owned(), ordered.into());
    }
    lists(form, new, &mut body);
    group(form, new, &mut body, "retry", &["max"], &["backoff", "first", "cap", "on"])?;
    group(form, new, &mut body, "rate", &["requests"], &["per"])?;
    group(form, new, &mut body, "breaker", &["failures"], &["pause"])?;
    if let Some(auth) = way(form, "auth", AUTH_FIELDS)? {
        put(&mut body, new, "auth", auth);
    }
    if let Some(sign) = way(form, "sign", SIGN_FIELDS)? {
        put(&mut body, new, "sign", sign);
    }
    Ok(body)
}

/// `null` takes a key away from what is kept; of what is new it is left out.
fn put(body: &mut Map<String, Value>, new: bool, name: &str, value: Value) {
    if !(new && value.is_null()) {
        body.insert(name.to_owned(), value);
    }
}

fn is_other(form: &Form, name: &str, new: bool) -> bool {
    new || form.get(name).trim() != form.get(&format!("was-{name}"))
}

fn number(form: &Form, name: &str) -> Result<Value, Problem> {
    match form.get(name).trim() {
        "" => Ok(Value::Null),
        text => {
            let number = text.parse::<u64>().map(Value::from);
            number.map_err(|_| Problem::bad("invalid_form", format!("`{}` is a whole number", name.replace('_', " "))))
        }
    }
}

fn lists(form: &Form, new: bool, body: &mut Map<String, Value>) {
    let kinds = form.all("kinds").join(", ");
    if kinds != form.get("was-kinds") {
        put(body, new, "kinds", if kinds.is_empty() { Value::Null } else { json!(form.all("kinds")) });
    }
    if is_other(form, "tenants", new) {
        let all: Vec<&str> = form.get("tenants").split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        put(body, new, "tenants", if all.is_empty() { Value::Null } else { json!(all) });
    }
}

/// Keys that belong together: `retry: { max, first, … }`. Whatever is left empty has its default.
fn group(
    form: &Form,
    new: bool,
    body: &mut Map<String, Value>,
    name: &str,
    numbers: &[&str],
    texts: &[&str],
) -> Result<(), Problem> {
    let field = |key: &str| format!("{name}_{key}");
    let mut value = Map::new();
    for key in numbers {
        value.insert((*key).to_owned(), number(form, &field(key))?);
    }
    for key in texts {
        let now = form.get(&field(key)).trim();
        value.insert((*key).to_owned(), if now.is_empty() { Value::Null } else { now.into() });
    }
    if numbers.iter().chain(texts).any(|key| is_other(form, &field(key), new)) {
        value.retain(|_, value| !value.is_null());
        put(body, new, name, if value.is_empty() { Value::Null } else { Value::Object(value) });
    }
    Ok(())
}

/// The way that was chosen; nothing when it stays as it is.
fn way(form: &Form, name: &str, ways: &[Way]) -> Result<Option<Value>, Problem> {
    let chosen = form.get(name);
    if matches!(chosen, "" | "keep") {
        return Ok(None);
    }
    let Some((kind, title, fields)) = ways.iter().find(|(kind, ..)| *kind == chosen) else {
        return Ok(Some(Value::Null));
    };
    let mut members = Map::new();
    for field in *fields {
        let given = form.get(&format!("{name}_{kind}_{}", field.key));
        // A prefix may end with a blank; a secret is what was typed.
        let given = if field.secret || field.key == "prefix" { given } else { given.trim() };
        match (given, field.optional) {
            ("", true) => {}
            ("", false) => {
                let detail = format!("{title}: `{}` is empty", field.label);
                return Err(Problem::bad("invalid_form", detail));
            }
            (given, _) => drop(members.insert(field.key.to_owned(), given.into())),
        }
    }
    Ok(Some(match *kind {
        // These two stand in the file with their keys side by side, or as one text.
        "header" | "bearer" | "standard_webhooks" => Value::Object(members),
        kind => json!({ kind: members }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Form {
        Form::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_new_destination_has_what_was_filled_in_and_nothing_else() {
        let given = form(&[
            ("id", "desk"),
            ("kind", "webhook"),
            ("url", " https://desk.example.com/x "),
            ("dedupe", "6h"),
            ("kinds", "case"),
            ("kinds", "alert"),
            ("retry_max", "5"),
            ("auth", "login"),
            ("auth_login_url", "https://desk.example.com/login"),
            ("auth_login_user", "sortie"),
            ("auth_login_password", " p "),
            ("auth_login_prefix", "Token "),
            ("sign", "none"),
        ]);
        let expected = json!({"id": "desk", "kind": "webhook", "url": "https://desk.example.com/x", "dedupe": "6h",
            "kinds": ["case", "alert"], "retry": {"max": 5},
            "auth": {"login": {"url": "https://desk.example.com/login", "user": "sortie", "password": " p ", "prefix": "Token "}}});
        assert_eq!(Value::Object(read(&given, &Map::new()).unwrap()), expected);
    }

    #[test]
    fn a_change_sends_what_was_changed_and_takes_away_what_was_emptied() {
        let kept = json!({"kind": "webhook"}).as_object().cloned().unwrap();
        let given = form(&[
            ("kind", "webhook"),
            ("was-kind", "webhook"),
            ("dedupe", ""),
            ("was-dedupe", "6h"),
            ("timeout", "5s"),
            ("was-timeout", "10s"),
            ("retry_max", "3"),
            ("was-retry_max", "3"),
            ("was-kinds", "case"),
            ("ordered", "true"),
            ("auth", "keep"),
            ("sign", "none"),
        ]);
        let expected = json!({"dedupe": null, "timeout": "5s", "kinds": null, "ordered": true, "sign": null});
        assert_eq!(Value::Object(read(&given, &kept).unwrap()), expected);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let kept = Map::new();
        let missing = read(&form(&[("auth", "bearer")]), &kept).unwrap_err();
        assert_eq!(missing.detail, "Bearer token: `Token` is empty");
        let wrong = read(&form(&[("retry_max", "some")]), &kept).unwrap_err();
        assert_eq!(wrong.detail, "`retry max` is a whole number");
    }
}
