//! The routes: one line each. Router, permissions, query keys and `/openapi.json` are made from this table; a handler that
//! does not stand here cannot be reached, and a line without an [`Access`] does not compile.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request};
use axum::http::StatusCode;
use axum::routing::MethodRouter;

use super::api::{meta, runs};
use super::problem::Problem;
use super::route::{Access, Key, Route, Verb};
use super::{App, dispatch, ingest};
use crate::auth::Roles;

const LIMIT: Key = Key { name: "limit", doc: "most items of the page, 1 to 1000" };
const CURSOR: Key = Key { name: "cursor", doc: "where to go on: `next_cursor` of the page before" };
const SINCE: Key = Key { name: "since", doc: "arrived at or after this RFC 3339 time" };
const UNTIL: Key = Key { name: "until", doc: "arrived before this RFC 3339 time" };
const TENANT: Key = Key { name: "tenant", doc: "of this tenant" };
const STATUS: Key = Key { name: "status", doc: "with one of these statuses, separated by commas" };

const fn key(name: &'static str, doc: &'static str) -> Key {
    Key { name, doc }
}

const RUNS: &[Key] = &[
    key("playbook", "of this playbook"),
    STATUS,
    key("alert", "about this alert"),
    key("case", "about this case"),
    key("event", "started by this event"),
    key("destination", "with a delivery to this destination"),
    TENANT,
    SINCE,
    UNTIL,
    LIMIT,
    CURSOR,
];

const READERS: Access = Access::Roles(Roles::READERS);
const ANALYSTS: Access = Access::Roles(Roles::ANALYSTS);

macro_rules! route {
    ($verb:ident $path:literal, $access:expr, $about:literal, $query:expr, $takes:expr, $gives:expr, $handler:expr) => {
        Route {
            verb: Verb::$verb,
            path: $path,
            access: $access,
            about: $about,
            query: $query,
            takes: $takes,
            gives: $gives,
            handler: |call| Box::pin($handler(call)),
        }
    };
}

/// All routes.
pub(crate) static ROUTES: &[Route] = &[
    route!(Post "/v1/in/{source}", Access::Sender, "events in: one object, an array, or NDJSON",
        &[key("dry_run", "`true` shows mapping and decisions and keeps nothing")], Some("Event"), (202, "Taken"), ingest::take),
    route!(Get "/v1/runs", READERS, "runs, newest first", RUNS, None, (200, "Runs"), runs::list),
    route!(Get "/v1/runs/{id}", READERS, "a run with its steps, its history and its text", &[], None, (200, "RunDetail"), runs::show),
    route!(Post "/v1/runs/{id}/cancel", ANALYSTS, "stops a run", &[], Some("Empty"), (200, "RunMade"), runs::cancel),
    route!(Post "/v1/runs/{id}/retry", ANALYSTS, "repeats a run as a new one", &[], Some("Retry"), (202, "RunMade"), runs::retry),
    route!(Get "/healthz", Access::Open, "whether the process lives", &[], None, (200, "Health"), meta::healthz),
    route!(Get "/readyz", Access::Open, "whether events are accepted", &[], None, (200, "Health"), meta::readyz),
    route!(Get "/metrics", READERS, "figures for Prometheus", &[], None, (200, "Text"), meta::metrics),
    route!(Get "/", Access::Open, "what this is", &[], None, (200, "Text"), meta::home),
];

/// The router made from the table.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut paths: Vec<&'static str> = ROUTES.iter().map(|route| route.path).collect();
    paths.dedup();
    let mut router = Router::new();
    for path in paths {
        let mut methods = MethodRouter::new();
        for route in ROUTES.iter().filter(|route| route.path == path) {
            let app = Arc::clone(&app);
            let answer = move |params: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>, request: Request| {
                dispatch::run(Arc::clone(&app), route, params.ok(), request)
            };
            methods = methods.on(route.verb.filter(), answer);
        }
        router = router.route(path, methods);
    }
    router
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here").answer() })
        .method_not_allowed_fallback(|| async {
            let detail = "this path does not know this method; `Allow` names those that it knows";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).answer()
        })
}
