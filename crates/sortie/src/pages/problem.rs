//! What went wrong, as a page: in plain words, with a way on.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use maud::html;

use super::{layout, link};
use crate::http::App;
use crate::http::problem::Problem;
use crate::http::route::Caller;

/// The code of the problem that leads to choosing a password.
pub(crate) const CHOOSE_PASSWORD: &str = "choose_password";

/// Whether the answer is for a browser.
pub(crate) fn is_for_browser(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/html"))
}

/// A problem as a page; whoever is not signed in is led there, with the way back.
pub(crate) fn answer(
    app: &App,
    problem: &Problem,
    caller: Option<&Caller>,
    headers: &HeaderMap,
    target: &str,
) -> Response<Body> {
    if problem.status == StatusCode::UNAUTHORIZED {
        let back = link::own_path(target).filter(|path| *path != "/").unwrap_or_default();
        return layout::see_other(&link::with("/sign-in", &[("to", back)]));
    }
    if problem.code == CHOOSE_PASSWORD {
        return layout::see_other("/account");
    }
    let (title, help) = words(problem);
    let content = html! {
        section.problem {
            p.problem-status { (problem.status.as_u16()) " · " (problem.code) }
            h1 { (title) }
            p { (problem.detail) }
            p.muted { (help) }
            p { a.button href="/" { "Overview" } " " a.button href="/runs" { "Runs" } }
        }
    };
    let frame = layout::Frame { app, caller, headers, section: layout::Section::None, title };
    let mut answer = layout::respond(problem.status, &layout::document(&frame, &content));
    if let Some(wait) = problem.retry_after_header() {
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    if problem.close {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The heading, and what to do.
fn words(problem: &Problem) -> (&'static str, &'static str) {
    match problem.status {
        StatusCode::FORBIDDEN if problem.code == "forbidden" => {
            ("You may not do this", "Ask an administrator for a role that may, or sign in as somebody else.")
        }
        StatusCode::FORBIDDEN => ("This was not done", "Load the page again and repeat what you wanted to do."),
        StatusCode::NOT_FOUND => {
            ("Nothing is here", "It may belong to another tenant, or retention has dropped it. Check the address.")
        }
        StatusCode::GONE => ("It is no longer kept", "Its place in the history stays; what it held is gone."),
        StatusCode::CONFLICT => ("This cannot be done now", "Nothing was changed. Go back and load the page again."),
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::PAYLOAD_TOO_LARGE => {
            ("This was not understood", "Nothing was changed. Go back and correct what is named above.")
        }
        StatusCode::METHOD_NOT_ALLOWED => ("This cannot be done here", "Use the buttons of the pages."),
        StatusCode::TOO_MANY_REQUESTS => ("Too many at once", "Wait a minute, then try again."),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("The server is busy or has a fault", "Try again in a moment; `sortie doctor` says more.")
        }
        _ => (
            "Something failed inside the server",
            "Its log says what. `sortie doctor` looks at everything that usually goes wrong.",
        ),
    }
}
