//! Asking the API's own handlers in this process, as the caller of the page.
//!
//! Invariant: the role is asked again for the route of the API that is used, so that no page can give what its caller
//! could not get there.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::http::dispatch;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Answer, Call, Route, Unread, Verb};
use crate::http::table::ROUTES;

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
    pub(super) body: Option<Value>,
}

impl<'a> Ask<'a> {
    /// Reads.
    pub(super) fn get(path: &'static str, segments: &'a [&'a str]) -> Ask<'a> {
        Ask { verb: Verb::Get, path, segments, query: Vec::new(), body: None }
    }

    /// Does.
    pub(super) fn post(path: &'static str, segments: &'a [&'a str], body: Value) -> Ask<'a> {
        Ask { verb: Verb::Post, body: Some(body), ..Ask::get(path, segments) }
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
            Some(value) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Body::from(value.to_string())
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

/// The line of the table.
pub(super) fn route(verb: Verb, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.verb == verb && route.path == path)
}

/// Whether the caller may do this, so that a page shows only the buttons that work.
pub(super) fn may(call: &Call, verb: Verb, path: &str) -> bool {
    route(verb, path).is_some_and(|route| dispatch::permit(&call.caller, route).is_ok())
}
