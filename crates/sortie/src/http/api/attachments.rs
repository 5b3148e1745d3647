//! Attachments of alerts and cases: put there, listed, fetched, taken off.
//!
//! Invariant: what people upload is given back as bytes to be saved, never as something that a browser would show or run.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use engine::attach;
use engine::outbound::percent_encode;
use model::object::Attachment;
use model::{Kind, Object};
use serde::Serialize;
use store::Page;

use super::super::body::{self, Limit};
use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::objects::find;
use super::{listing, refusal};

/// Longest media type that is kept, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 128;

/// An attachment as it is written.
#[derive(Serialize)]
struct Item {
    attachment_id: String,
    name: String,
    media_type: String,
    bytes: u64,
    sha256: String,
    added_by: String,
    added_at: String,
}

impl Item {
    fn of(one: &Attachment) -> Item {
        Item {
            attachment_id: one.id.clone(),
            name: one.name.clone(),
            media_type: one.media_type.clone(),
            bytes: one.bytes,
            sha256: one.sha256.to_string(),
            added_by: one.by.clone(),
            added_at: one.at.to_string(),
        }
    }
}

async fn list(call: Call, kind: Kind) -> Answer {
    let (key, object) = find(&call, kind).await?;
    call.app.engine.read_by(call.caller.actor(), key);
    listing(Page { items: object.meta.attachments, next: None }, |one| Item::of(&one))
}

async fn add(mut call: Call, kind: Kind) -> Answer {
    let name = call.query.text("name").unwrap_or_default();
    let plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    if name.trim().is_empty() || name.chars().count() > attach::NAME_CHARS_MAX || !name.chars().all(plain) {
        let most = attach::NAME_CHARS_MAX;
        let detail = format!("say `?name=`: 1 to {most} characters, without `/`, `\\` and control characters");
        return Err(Problem::bad("invalid_name", detail));
    }
    let (key, _) = find(&call, kind).await?;
    let media_type = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = if media_type.is_empty() || media_type.len() > MEDIA_TYPE_BYTES_MAX {
        "application/octet-stream".to_owned()
    } else {
        media_type.to_owned()
    };
    let body = call.body.take();
    let held = body::read(&call.headers, body, Limit::Fixed(attach::BYTES_MAX), &call.app.budget).await?;
    if held.bytes.is_empty() {
        return Err(Problem::bad("empty_body", "the body is the content of the attachment; it is empty"));
    }
    let added = call.app.engine.attach(key, (name, media_type), &held.bytes, call.caller.actor()).await;
    json(StatusCode::CREATED, &Item::of(&added.map_err(|error| refusal(&error))?))
}

fn wanted<'a>(call: &Call, object: &'a Object) -> Result<&'a Attachment, Problem> {
    let id = call.segment(1);
    object.meta.attachments.iter().find(|one| one.id == id).ok_or_else(|| Problem::not_found("attachment", id))
}

async fn fetch(call: Call, kind: Kind) -> Answer {
    let (key, object) = find(&call, kind).await?;
    let one = wanted(&call, &object)?.clone();
    let (of, named) = (key.clone(), one.clone());
    let content = call.app.look(move |store| Ok(attach::content(store, &of, &named)?)).await?;
    let content = content.ok_or_else(|| Problem::inside(format!("attachment {} is not what it was", one.id)))?;
    call.app.engine.read_by(call.caller.actor(), key);
    let mut answer = Response::new(Body::from(Bytes::from(content)));
    let name = format!("attachment; filename*=UTF-8''{}", percent_encode(&one.name));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (key, value) in [(header::CONTENT_DISPOSITION, name), (header::ETAG, format!("\"{}\"", one.sha256))] {
        headers.insert(key, HeaderValue::from_str(&value).map_err(|error| Problem::inside(error.to_string()))?);
    }
    Ok(answer)
}

async fn remove(call: Call, kind: Kind) -> Answer {
    let (key, object) = find(&call, kind).await?;
    let one = wanted(&call, &object)?.clone();
    let removed = call.app.engine.detach(key, one.id.clone(), call.caller.actor()).await;
    removed.map_err(|error| refusal(&error))?;
    json(StatusCode::OK, &Item::of(&one))
}

macro_rules! handlers {
    ($($kind:ident: $list:ident $add:ident $fetch:ident $remove:ident;)*) => {$(
        #[doc = concat!("Lists the attachments of an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $list(call: Call) -> Answer { list(call, Kind::$kind).await }
        #[doc = concat!("Puts a file to an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $add(call: Call) -> Answer { add(call, Kind::$kind).await }
        #[doc = concat!("Gives an attachment of an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $fetch(call: Call) -> Answer { fetch(call, Kind::$kind).await }
        #[doc = concat!("Takes an attachment off an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $remove(call: Call) -> Answer { remove(call, Kind::$kind).await }
    )*};
}
handlers! {
    Alert: of_alert to_alert from_alert off_alert;
    Case: of_case to_case from_case off_case;
}
