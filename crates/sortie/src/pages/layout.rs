//! The frame of every page: head, navigation, who is signed in.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use super::{assets, form, inside};
use crate::http::App;
use crate::http::dispatch;
use crate::http::route::{Answer, Call, Caller, Verb};

/// The parts of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// None of them.
    None,
    /// `/`
    Overview,
    /// `/runs`
    Runs,
    /// `/events`
    Events,
    /// `/alerts`
    Alerts,
    /// `/cases`
    Cases,
    /// `/watchlist`
    Watchlist,
    /// `/playbooks`
    Playbooks,
    /// `/destinations`
    Destinations,
    /// `/deliveries`
    Deliveries,
    /// `/approvals`
    Approvals,
    /// `/audit`
    Audit,
}

/// One link of the navigation.
struct Entry {
    section: Section,
    path: &'static str,
    name: &'static str,
    /// Whether some room stands before it.
    gap: bool,
}

const fn entry(section: Section, path: &'static str, name: &'static str, gap: bool) -> Entry {
    Entry { section, path, name, gap }
}

/// The navigation, in order. A link is shown to those who may follow it.
const NAVIGATION: &[Entry] = &[
    entry(Section::Overview, "/", "Overview", false),
    entry(Section::Runs, "/runs", "Runs", true),
    entry(Section::Events, "/events", "Events", false),
    entry(Section::Alerts, "/alerts", "Alerts", true),
    entry(Section::Cases, "/cases", "Cases", false),
    entry(Section::Watchlist, "/watchlist", "Watchlist", false),
    entry(Section::Playbooks, "/playbooks", "Playbooks", true),
    entry(Section::Destinations, "/destinations", "Destinations", false),
    entry(Section::Deliveries, "/deliveries", "Deliveries", false),
    entry(Section::Approvals, "/approvals", "Approvals", true),
    entry(Section::Audit, "/audit", "Audit", false),
];

/// What the frame of a page needs to know.
pub(super) struct Frame<'a> {
    /// The server.
    pub(super) app: &'a App,
    /// Who looks; nobody on the page of signing in.
    pub(super) caller: Option<&'a Caller>,
    /// The headers of the request.
    pub(super) headers: &'a HeaderMap,
    /// Where the page belongs.
    pub(super) section: Section,
    /// Its title.
    pub(super) title: &'a str,
}

/// A page as it is answered.
pub(super) fn page(call: &Call, section: Section, title: &str, content: &Markup) -> Answer {
    let frame = Frame { app: &call.app, caller: Some(&call.caller), headers: &call.headers, section, title };
    Ok(respond(StatusCode::OK, &document(&frame, content)))
}

/// A document as an answer. What it shows is its reader's alone and is kept nowhere.
pub(super) fn respond(status: StatusCode, document: &Markup) -> Response<Body> {
    let mut answer = Response::new(Body::from(document.0.clone()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The way to another page, after a form.
pub(super) fn see_other(path: &str) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // Paths are made by `link`, of plain ASCII; what is not falls back to the beginning.
    let value = HeaderValue::from_str(path).unwrap_or_else(|_| HeaderValue::from_static("/"));
    answer.headers_mut().insert(header::LOCATION, value);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The document.
pub(super) fn document(frame: &Frame<'_>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(frame.title, None))
            body {
                a.skip href="#content" { "Skip to the content" }
                (top(frame))
                div.frame {
                    @if let Some(caller) = frame.caller { (navigation(caller, frame.section)) }
                    main id="content" tabindex="-1" { (content) }
                }
            }
        }
    }
}

/// A document without navigation, for signing in.
pub(super) fn bare(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, None))
            body { main.signin id="content" { (content) } }
        }
    }
}

/// The same, that goes on to another page of ours by itself.
pub(super) fn bare_then(title: &str, then: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, Some(then)))
            body { main.signin id="content" { (content) } }
        }
    }
}

fn head(title: &str, then: Option<&str>) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            @if let Some(then) = then { meta http-equiv="refresh" content={ "0; url=" (then) }; }
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="referrer" content="same-origin";
            title { (title) " · Sortie" }
            link rel="icon" href=(assets::icon());
            link rel="stylesheet" href=(assets::style());
            script src=(assets::script()) defer {}
        }
    }
}

fn top(frame: &Frame<'_>) -> Markup {
    html! {
        header.top {
            a.brand href="/" { img src=(assets::icon()) alt="" width="24" height="24"; "Sortie" }
            div.who {
                span.live id="live" role="status" {}
                @if let Some(caller) = frame.caller {
                    a.who-name href="/account" {
                        bdi { (caller.name) } ", " (caller.role.name())
                        @if let Some(tenant) = &caller.tenant { ", tenant " bdi { (tenant) } }
                    }
                    @if frame.app.settings.auth_required {
                        form method="post" action="/sign-out" {
                            input type="hidden" name=(form::WORD) value=(form::word(frame.app, frame.headers));
                            button.plain type="submit" { "Sign out" }
                        }
                    } @else {
                        span title="auth: none in sortie.yaml" { "signing in is off" }
                    }
                }
            }
        }
    }
}

fn navigation(caller: &Caller, here: Section) -> Markup {
    let shown = |entry: &&Entry| {
        inside::route(Verb::Get, entry.path).is_some_and(|route| dispatch::permit(caller, route).is_ok())
    };
    html! {
        nav.main aria-label="Pages" {
            ul {
                @for entry in NAVIGATION.iter().filter(shown) {
                    li.gap[entry.gap] {
                        a href=(entry.path) aria-current=[(entry.section == here).then_some("page")] { (entry.name) }
                    }
                }
            }
        }
    }
}
