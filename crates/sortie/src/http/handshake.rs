//! The questions that senders ask before they send: whether the address is meant for them.
//!
//! Invariants: only a source whose file names the handshake answers it; but for `OPTIONS`, which says nothing that is not
//! public, the sender has shown who it is before; the one address that is visited is AWS's, through the one outbound
//! client with all its checks.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use engine::outbound::{Origin, Redactor, Request, Target};
use engine::source::file::Handshake;
use serde_json::{Value, json};

use super::App;
use super::ingest::json;
use super::problem::Problem;
use super::route::{Answer, Call};

/// Longest text that is sent back, in bytes.
const ECHO_BYTES_MAX: usize = 4 * 1024;
/// How long AWS may take to confirm.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(10);
/// How much of its answer is looked at, in bytes.
const CONFIRM_KEEP_BYTES: usize = 4 * 1024;

/// `OPTIONS /v1/in/{source}`: the webhook specification of CloudEvents.
pub(super) async fn options(call: Call) -> Answer {
    let door = call.app.settings.doors.get(call.segment(0));
    let asked = door.and_then(|door| door.source.shape.file()).and_then(|file| file.handshake);
    let Some(Handshake::CloudEvents) = asked else {
        return Err(Problem::not_found("source", call.segment(0)).and_close());
    };
    let Some(origin) = call.headers.get("webhook-request-origin") else {
        return Err(Problem::bad("invalid_header", "`WebHook-Request-Origin` says who asks"));
    };
    let mut answer = Response::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert("webhook-allowed-origin", origin.clone());
    if call.headers.contains_key("webhook-request-rate") {
        headers.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    }
    headers.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    Ok(answer)
}

/// A question in the query: Microsoft Graph's `validationToken`.
pub(super) fn in_query(asked: Option<Handshake>, call: &Call) -> Option<Answer> {
    let token = call.query.get("validationToken").filter(|_| asked == Some(Handshake::ValidationToken))?;
    if token.len() > ECHO_BYTES_MAX {
        return Some(Err(Problem::bad("invalid_query", format!("the token is longer than {ECHO_BYTES_MAX} bytes"))));
    }
    let mut answer = Response::new(Body::from(token.to_owned()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Some(Ok(answer))
}

/// A question in the body: Slack's `url_verification`, AWS's `SubscriptionConfirmation`.
pub(super) async fn in_body(app: &App, asked: Option<Handshake>, body: &[u8]) -> Option<Answer> {
    let asked = asked.filter(|asked| matches!(asked, Handshake::UrlVerification | Handshake::SubscribeUrl))?;
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| text.len() <= ECHO_BYTES_MAX);
    match (asked, text("type").or_else(|| text("Type"))) {
        (Handshake::UrlVerification, Some("url_verification")) => {
            Some(json(StatusCode::OK, &json!({ "challenge": text("challenge")? })))
        }
        (Handshake::SubscribeUrl, Some("SubscriptionConfirmation")) => {
            Some(confirm(app, text("SubscribeURL").unwrap_or_default()).await)
        }
        _ => None,
    }
}

/// Whether a host is one of the notification service's own.
fn is_aws(host: &str) -> bool {
    host.starts_with("sns.") && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

async fn confirm(app: &App, url: &str) -> Answer {
    let effects = &app.engine.context().effects;
    let refused = |why: String| Problem::bad("subscription_refused", why);
    let target =
        Target::parse(url, effects.egress()).map_err(|problem| refused(format!("`SubscribeURL`: {problem}")))?;
    if !is_aws(target.host()) || !url.starts_with("https://") {
        return Err(refused("`SubscribeURL` is not an address of the notification service of AWS".to_owned()));
    }
    let request = Request {
        method: Method::GET,
        key: target.host().to_owned(),
        target,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: CONFIRM_PATIENCE,
        keep_bytes: CONFIRM_KEEP_BYTES,
        tenant: String::new(),
        places: None,
        fresh: false,
        redactor: Redactor::default(),
        origin: Origin { step: "subscription".to_owned(), ..Origin::default() },
    };
    let sent = effects.send(request).await;
    if sent.accepted() {
        return json(StatusCode::OK, &json!({ "confirmed": true }));
    }
    let why = sent.error.map_or_else(|| format!("HTTP {}", sent.status.unwrap_or_default()), |error| error.to_string());
    Err(Problem::new(
        StatusCode::BAD_GATEWAY,
        "subscription_failed",
        format!("the subscription was not confirmed: {why}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_notification_service_itself_is_visited() {
        for good in ["sns.eu-north-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn"] {
            assert!(is_aws(good), "{good}");
        }
        for bad in [
            "sns.amazonaws.com.evil.example",
            "evil.example",
            "s3.amazonaws.com",
            "sns.evilamazonaws.com",
            "xsns.eu.amazonaws.com",
        ] {
            assert!(!is_aws(bad), "{bad}");
        }
    }
}
