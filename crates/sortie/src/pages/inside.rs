//! Asking the API's own handlers in this process, as the caller of the page.
//!
//! Invariant: the role is asked again for the route of the API that is used, so that no page can give what its caller
//! could not get there.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::http::dispatch;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Answer, Call, Route, Unread, Verb};
use crate::http::table::ROUTES;

/// How long a page goes on looking for the first item of a listing.
const LOOK_ON: Duration = Duration::from_millis(100);

/// One question to the API.
pub(super) struct Ask<'a> {
    /// The method.
    pub(super) verb: Verb,
    /// The path as the table writes it.
    pub(super) path: &'static str,
    /// What varies in it.
    pub(super) segments: &'a [&'a str],
    /// The query.
    pub(super) query: Vec<(String, String)>,
    /// The body.
    pub(super) body: Option<Sent>,
}

/// The body of a question.
pub(super) enum Sent {
    /// JSON.
    Json(Value),
    /// A file, with its media type.
    File(String, Bytes),
}

impl<'a> Ask<'a> {
    /// Reads.
    pub(super) fn get(path: &'static str, segments: &'a [&'a str]) -> Ask<'a> {
        Ask { verb: Verb::Get, path, segments, query: Vec::new(), body: None }
    }

    /// Does.
    pub(super) fn post(path: &'static str, segments: &'a [&'a str], body: Value) -> Ask<'a> {
        Ask { verb: Verb::Post, body: Some(Sent::Json(body)), ..Ask::get(path, segments) }
    }

    /// Changes.
    pub(super) fn patch(path: &'static str, segments: &'a [&'a str], body: Value) -> Ask<'a> {
        Ask { verb: Verb::Patch, ..Ask::post(path, segments, body) }
    }

    /// Removes.
    pub(super) fn delete(path: &'static str, segments: &'a [&'a str]) -> Ask<'a> {
        Ask { verb: Verb::Delete, ..Ask::get(path, segments) }
    }

    /// Puts a file there.
    pub(super) fn upload(path: &'static str, segments: &'a [&'a str], media_type: String, file: Bytes) -> Ask<'a> {
        Ask { verb: Verb::Post, body: Some(Sent::File(media_type, file)), ..Ask::get(path, segments) }
    }

    /// The same with a key of the query; an empty value is left out.
    pub(super) fn with(mut self, key: &str, value: &str) -> Ask<'a> {
        if !value.is_empty() {
            self.query.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same with those keys of the page's own query that the route of the API knows.
    pub(super) fn with_query_of(mut self, call: &Call) -> Ask<'a> {
        let known = route(self.verb, self.path).map_or(&[][..], |route| route.query);
        for key in known {
            if let Some(value) = call.query.get(key.name)
                && !self.query.iter().any(|(name, _)| name == key.name)
            {
                self.query.push((key.name.to_owned(), value.to_owned()));
            }
        }
        self
    }

    /// Asks.
    ///
    /// # Errors
    /// What the API refuses.
    pub(super) async fn ask(self, call: &Call) -> Result<Value, Problem> {
        let answer = self.answer(call).await?;
        let bytes = answer.into_body().collect().await.map_err(|error| Problem::inside(error.to_string()))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| Problem::inside(error.to_string()))
    }

    /// Asks for a listing. A listing may look for a bounded time and find nothing yet: then it is asked to go on, so that
    /// what lies deeper in the history is not shown as absent.
    ///
    /// # Errors
    /// What the API refuses.
    pub(super) async fn list(self, call: &Call) -> Result<Value, Problem> {
        let Ask { verb, path, segments, mut query, .. } = self;
        let began = Instant::now();
        loop {
            let ask = Ask { verb, path, segments, query: query.clone(), body: None };
            let listing = ask.ask(call).await?;
            let empty = listing.get("items").and_then(Value::as_array).is_none_or(Vec::is_empty);
            let next = listing.get("next_cursor").and_then(Value::as_str);
            match next {
                Some(next) if empty && began.elapsed() < LOOK_ON => {
                    query.retain(|(key, _)| key != "cursor");
                    query.push(("cursor".to_owned(), next.to_owned()));
                }
                _ => return Ok(listing),
            }
        }
    }

    /// Asks, and hands the answer on as it comes.
    ///
    /// # Errors
    /// What the API refuses.
    pub(super) async fn answer(self, call: &Call) -> Answer {
        let route = route(self.verb, self.path)
            .ok_or_else(|| Problem::inside(format!("a page asks for {} {}", self.verb.name(), self.path)))?;
        dispatch::permit(&call.caller, route)?;
        let mut headers = HeaderMap::new();
        let body = match self.body {
            None => Body::empty(),
            Some(Sent::Json(value)) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Body::from(value.to_string())
            }
            Some(Sent::File(media_type, file)) => {
                if let Ok(value) = HeaderValue::from_str(&media_type) {
                    headers.insert(header::CONTENT_TYPE, value);
                }
                Body::from(file)
            }
        };
        let inner = Call {
            app: std::sync::Arc::clone(&call.app),
            peer: call.peer,
            caller: call.caller.clone(),
            path: self.segments.iter().map(|part| (*part).to_owned()).collect(),
            query: Query::of(self.query, route.query)?,
            headers,
            body: Unread::new(body),
        };
        (route.handler)(inner).await
    }
}

/// The listing of the API as comma-separated values, when the page was asked for it so.
///
/// # Errors
/// What the API refuses.
pub(super) async fn table(call: &Call, path: &'static str) -> Result<Option<Response<Body>>, Problem> {
    if call.query.get("format") != Some("csv") {
        return Ok(None);
    }
    Ask::get(path, &[]).with_query_of(call).answer(call).await.map(Some)
}

/// The line of the table.
pub(super) fn route(verb: Verb, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.verb == verb && route.path == path)
}

/// Whether the caller may do this, so that a page shows only the buttons that work.
pub(super) fn may(call: &Call, verb: Verb, path: &str) -> bool {
    route(verb, path).is_some_and(|route| dispatch::permit(&call.caller, route).is_ok())
}
