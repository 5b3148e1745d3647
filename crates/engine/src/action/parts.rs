//! The parts of a request in which secrets may stand: headers and authentication.
//!
//! Invariant: a secret is placed only where the template says so and the playbook declares it. What is recorded is the
//! reference; a text from an event that looks like a reference is sent as it is.

use http::HeaderName;
use model::run::StepError;
use playbook::Template;
use serde_json::{Map, Value};

use super::Call;
use super::render::{Params, error};
use crate::outbound::deliver::is_reserved;
use crate::outbound::destination::Auth;
use crate::outbound::secret::{Placed, SecretError};

/// The headers of a request, from the parameter `headers`; recorded.
pub(super) fn headers(call: &Call<'_>, params: &mut Params<'_>) -> Result<Vec<(HeaderName, Placed)>, StepError> {
    let Some(template) = params.template("headers") else { return Ok(Vec::new()) };
    let known = params.known("headers").and_then(Value::as_object);
    let mut all = Vec::new();
    for (name, placed) in entries(call, params, template, known)? {
        let header: HeaderName = name
            .parse()
            .map_err(|_| error("bad_header", format!("`{}` cannot be the name of a header", clip(&name))))?;
        if is_reserved(&header) {
            return Err(error("bad_header", format!("the header `{header}` is set by Sortie itself")));
        }
        all.push((header, placed));
    }
    let recorded = all.iter().map(|(name, placed)| (name.to_string(), Value::String(placed.to_string()))).collect();
    params.recorded.insert("headers".to_owned(), Value::Object(recorded));
    Ok(all)
}

/// How a request is authenticated, from the parameter `auth`; recorded.
pub(super) fn auth(call: &Call<'_>, params: &mut Params<'_>) -> Result<Auth, StepError> {
    let Some(template) = params.template("auth") else { return Ok(Auth::None) };
    if template.constant().is_some_and(|value| value == "none") {
        return Ok(Auth::None);
    }
    let known = params.known("auth").and_then(Value::as_object);
    let wrong = "`{bearer: …}`, `{header: NAME, value: …}`, `{basic: {user: …, password: …}}` or `none`";
    let nested =
        template.entries().and_then(|all| all.into_iter().find(|(name, _)| *name == "basic").map(|(_, inner)| inner));
    let mut recorded = Map::new();
    let auth = if let Some(inner) = nested {
        let known = known.and_then(|known| known.get("basic")).and_then(Value::as_object);
        let mut all = entries(call, params, inner, known)?;
        let (Some(user), Some(password)) = (take(&mut all, "user"), take(&mut all, "password")) else {
            return Err(params.wrong("auth", wrong));
        };
        if user.secret.is_some() {
            return Err(params.wrong("auth", "without a secret in `user`"));
        }
        let both: Map<String, Value> =
            [("user".to_owned(), user.to_string().into()), ("password".to_owned(), password.to_string().into())]
                .into_iter()
                .collect();
        recorded.insert("basic".to_owned(), Value::Object(both));
        Auth::Basic { user: user.prefix, password }
    } else {
        let mut all = entries(call, params, template, known)?;
        recorded.extend(all.iter().map(|(name, placed)| (name.clone(), Value::String(placed.to_string()))));
        match (take(&mut all, "bearer"), take(&mut all, "header"), take(&mut all, "value")) {
            (Some(token), None, None) => Auth::Bearer(token),
            (None, Some(name), Some(value)) => {
                let name = name.prefix.parse().map_err(|_| params.wrong("auth", "with the name of a header"))?;
                if is_reserved(&name) {
                    return Err(error("bad_header", format!("the header `{name}` is set by Sortie itself")));
                }
                Auth::Header { name, value }
            }
            _ => return Err(params.wrong("auth", wrong)),
        }
    };
    params.recorded.insert("auth".to_owned(), Value::Object(recorded));
    Ok(auth)
}

fn take(all: &mut Vec<(String, Placed)>, name: &str) -> Option<Placed> {
    let at = all.iter().position(|(known, _)| known == name)?;
    Some(all.swap_remove(at).1)
}

/// The entries of a map of texts, secrets as references.
fn entries(
    call: &Call<'_>,
    params: &mut Params<'_>,
    template: &Template,
    known: Option<&Map<String, Value>>,
) -> Result<Vec<(String, Placed)>, StepError> {
    let Some(given) = template.entries() else {
        let Value::Object(map) = params.render(template)? else {
            return Err(error("bad_parameter", "names and texts are expected here"));
        };
        return Ok(map.iter().filter_map(|(name, value)| Some((name.clone(), literal(value)?))).collect());
    };
    let mut all = Vec::new();
    for (name, inner) in given {
        if let Some((prefix, secret)) = inner.secret() {
            if !call.secrets.iter().any(|declared| declared == secret) {
                let why = SecretError::NotDeclared { name: secret.to_owned() };
                return Err(error("secret", why.to_string()));
            }
            all.push((
                name.to_owned(),
                Placed { prefix: prefix.to_owned(), secret: Some(secret.to_owned()), given: None },
            ));
            continue;
        }
        let value = match known.and_then(|known| known.get(name)) {
            Some(known) => known.clone(),
            None => params.render(inner)?,
        };
        all.extend(literal(&value).map(|placed| (name.to_owned(), placed)));
    }
    Ok(all)
}

/// A value as a text without a secret; nothing for an absent value.
fn literal(value: &Value) -> Option<Placed> {
    let prefix = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(Placed { prefix, secret: None, given: None })
}

/// The beginning of a text from outside, for a message.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}
