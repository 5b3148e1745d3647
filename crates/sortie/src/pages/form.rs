//! Forms: read, and checked to come from one of our own pages.
//!
//! Two checks stand before every form. The browser says where the request was made (`Sec-Fetch-Site`, else `Origin`), and
//! that must be here. And the form carries a word that only a page of the same session could know, made from the
//! session's secret with SHA-256, so that nothing needs to be kept for it.

use std::collections::BTreeMap;
use std::future::Future;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Digest;
use subtle::ConstantTimeEq as _;

use super::upload::{self, File};
use crate::auth::sender::bearer;
use crate::auth::session;
use crate::http::App;
use crate::http::body::{self, Limit};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call};

/// The field that carries the word.
pub(super) const WORD: &str = "csrf";
/// Largest form, in bytes: the longest comment with every character encoded, and room for the rest.
const FORM_BYTES_MAX: usize = 256 * 1024;
/// Most fields of a form.
const FIELDS_MAX: usize = 200;

/// The fields of a form.
#[derive(Debug, Default)]
pub(crate) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    /// Of fields that are read already.
    pub(super) fn of(pairs: Vec<(String, String)>) -> Form {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            fields.entry(name).or_default().push(value);
        }
        Form(fields)
    }

    /// A field; empty when it was not sent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).and_then(|all| all.first()).map_or("", String::as_str)
    }

    /// Whether a field was sent.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What follows `prefix` in the names of the fields that begin with it.
    pub(super) fn names(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(move |name| name.strip_prefix(prefix))
    }

    /// All values of a field that may stand several times, such as boxes that are ticked.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Reads the form of a request and hands it on, after both checks.
///
/// # Errors
/// 403 when it comes from elsewhere; 400, 413, 415 when it is no form.
pub(crate) async fn posted<F: Future<Output = Answer>>(mut call: Call, handler: fn(Call, Form) -> F) -> Answer {
    let form = read(&mut call).await?;
    must_be_of_this_session(&call, &form)?;
    handler(call, form).await
}

/// The same for a form with a file of at most `bytes_max` bytes.
///
/// # Errors
/// 403 when it comes from elsewhere; 400, 413, 415 when it is no form.
pub(crate) async fn uploaded<F: Future<Output = Answer>>(
    mut call: Call,
    bytes_max: usize,
    handler: fn(Call, Form, File) -> F,
) -> Answer {
    must_come_from_here(&call)?;
    let kind = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(boundary) = upload::boundary(kind) else {
        let detail = "send the form as `multipart/form-data`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).and_close());
    };
    let body = call.body.take();
    let limit = Limit::Fixed(bytes_max + FORM_BYTES_MAX);
    let held = body::read(&call.headers, body, limit, &call.app.budget).await?;
    let parsed = upload::parse(&held.bytes, &boundary);
    let (form, file) = parsed.ok_or_else(|| Problem::bad("invalid_form", "the form cannot be read"))?;
    must_be_of_this_session(&call, &form)?;
    handler(call, form, file).await
}

fn must_be_of_this_session(call: &Call, form: &Form) -> Result<(), Problem> {
    let by_hand = bearer(&call.headers).is_some();
    if by_hand || same(form.get(WORD), &word(&call.app, &call.headers)) {
        return Ok(());
    }
    let detail = "this form was made for another session; load the page again";
    Err(Problem::new(StatusCode::FORBIDDEN, "other_session", detail))
}

/// The same for the form of signing in, which no session stands behind yet.
///
/// # Errors
/// 403 when it comes from elsewhere; 400, 413, 415 when it is no form.
pub(crate) async fn posted_by_anyone<F: Future<Output = Answer>>(
    mut call: Call,
    handler: fn(Call, Form) -> F,
) -> Answer {
    let form = read(&mut call).await?;
    handler(call, form).await
}

async fn read(call: &mut Call) -> Result<Form, Problem> {
    must_come_from_here(call)?;
    let kind = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let detail = "send the form as `application/x-www-form-urlencoded`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).and_close());
    }
    let body = call.body.take();
    let held = body::read(&call.headers, body, Limit::Fixed(FORM_BYTES_MAX), &call.app.budget).await?;
    parse(&held.bytes).ok_or_else(|| Problem::bad("invalid_form", "the form cannot be read"))
}

fn must_come_from_here(call: &Call) -> Result<(), Problem> {
    let text = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let here = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = text("host").unwrap_or_default();
            let by_host = origin.split_once("://").is_some_and(|(_, rest)| !host.is_empty() && rest == host);
            by_host || call.app.settings.public_url.as_deref().is_some_and(|url| url.trim_end_matches('/') == origin)
        }
        // No browser: there is nobody whose session could be abused.
        (None, None) => true,
    };
    if here {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", "this form was sent from another site"))
}

/// The word that a page of this session puts into its forms.
pub(super) fn word(app: &App, headers: &HeaderMap) -> String {
    let secret = session::cookie(headers).unwrap_or_default();
    let digest = Digest::of(&[&app.sessions.key()[..], b"form", secret.as_bytes()].concat());
    URL_SAFE_NO_PAD.encode(digest.0)
}

fn same(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Reads `a=b&c=d`.
fn parse(bytes: &[u8]) -> Option<Form> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut fields = Vec::new();
    for (n, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if n >= FIELDS_MAX {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A browser sends line breaks as CR LF.
        let value = decode(value)?.replace("\r\n", "\n");
        fields.push((decode(name)?, value));
    }
    Some(Form::of(fields))
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_send_them() {
        let form = parse("text=a+b%26c%0D%0Ad&to=x&to=y&empty=&%C3%BC=%E2%82%AC".as_bytes()).unwrap();
        assert_eq!(form.get("text"), "a b&c\nd");
        assert_eq!(form.all("to"), ["x", "y"]);
        assert_eq!((form.get("empty"), form.get("absent"), form.get("ü")), ("", "", "€"));
    }

    #[test]
    fn what_is_no_form_is_refused_whole() {
        for broken in ["a=%", "a=%4", "a=%zz", "a=%FF"] {
            assert!(parse(broken.as_bytes()).is_none(), "{broken}");
        }
        assert!(parse("a=1&".repeat(FIELDS_MAX + 1).as_bytes()).is_none());
        assert!(parse(&[0xff]).is_none());
    }
}
