//! What goes wrong, as a client sees it (`application/problem+json`), apart from what is logged.
//!
//! Invariants: each kind of problem has one code; what a client reads holds no secret, no path of this machine and no
//! word of the store's; inner crates know nothing of status codes, their errors become problems here.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// The beginning of a problem's `type`; the code follows.
const TYPES: &str = "urn:sortie:problem:";

/// A refusal or a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The kind of problem; never renamed.
    pub(crate) code: &'static str,
    /// What is wrong with this request, for people.
    pub(crate) detail: String,
    /// When to come back.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the connection ends after the answer (what it still carries cannot be read or is not worth it).
    pub(crate) close: bool,
    /// What to ask for in `WWW-Authenticate`.
    pub(crate) challenge: Option<&'static str>,
    /// What happened inside, for the log alone.
    pub(crate) inside: Option<String>,
    /// Where in the body.
    pub(crate) about: Option<Box<About>>,
}

/// Where in a body something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    position: Option<engine::source::Position>,
    fields: Vec<model::record::Problem>,
}

impl About {
    /// The place and the fields that are wrong; nothing when neither is known.
    pub(crate) fn at(
        position: Option<engine::source::Position>,
        fields: &[model::record::Problem],
    ) -> Option<Box<About>> {
        let known = position.is_some() || !fields.is_empty();
        known.then(|| Box::new(About { position, fields: fields.to_vec() }))
    }
}

/// A problem as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Shape<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<At>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Field<'a>>,
}

/// A place in a body.
#[derive(Debug, Serialize)]
struct At {
    line: usize,
    column: usize,
    byte: usize,
}

/// A field that is wrong.
#[derive(Debug, Serialize)]
struct Field<'a> {
    path: &'a str,
    message: &'a str,
}

impl Problem {
    /// A problem of this status and code.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        Problem { status, code, detail, retry_after: None, close: false, challenge: None, inside: None, about: None }
    }

    /// 400.
    pub(crate) fn bad(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 404: there is none, or none that this caller sees.
    pub(crate) fn not_found(what: &str, id: &str) -> Problem {
        let id: String = id.chars().take(ID_CHARS_SHOWN).collect();
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} `{id}`"))
    }

    /// 409.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, code, detail)
    }

    /// 500 or 503: something of ours failed. The client learns that and no more.
    pub(crate) fn inside(inside: impl Into<String>) -> Problem {
        let detail = "the server could not do this; its log says why";
        let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
        Problem { inside: Some(inside.into()), ..problem }
    }

    /// The same, and the connection ends.
    #[must_use]
    pub(crate) fn and_close(self) -> Problem {
        Problem { close: true, ..self }
    }

    /// The same, with a time to come back.
    #[must_use]
    pub(crate) fn retry_after(self, wait: Duration) -> Problem {
        Problem { retry_after: Some(wait), ..self }
    }

    /// As it is written in an answer, or as an element of one.
    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape {
            r#type: format!("{TYPES}{}", self.code),
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            at: self.about.as_ref().and_then(|about| about.position).map(|p| At {
                line: p.line,
                column: p.column,
                byte: p.byte,
            }),
            problems: self.about.as_ref().map_or(Vec::new(), |about| {
                about.fields.iter().map(|f| Field { path: &f.path, message: &f.message }).collect()
            }),
        }
    }

    /// The value of `Retry-After`, in seconds rounded up: who comes back a moment early is refused again.
    pub(crate) fn retry_after_header(&self) -> Option<HeaderValue> {
        let wait = self.retry_after?;
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Some(HeaderValue::from(seconds.max(1)))
    }

    /// The answer.
    pub(crate) fn answer(&self) -> Response<Body> {
        let body = serde_json::to_vec(&self.shape()).unwrap_or_default();
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after_header() {
            headers.insert(header::RETRY_AFTER, wait);
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// How much of an id that does not exist is repeated to the caller.
const ID_CHARS_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_written_with_its_five_members_and_its_headers() {
        let problem =
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", "later").retry_after(Duration::from_millis(1200));
        let text = serde_json::to_value(problem.shape()).unwrap();
        assert_eq!(text["status"], 429);
        assert_eq!(text["code"], "busy");
        assert_eq!(text["detail"], "later");
        assert_eq!(text["title"], "Too Many Requests");
        assert!(text["type"].as_str().unwrap().ends_with(":busy"));
        let answer = problem.and_close().answer();
        assert_eq!(answer.headers()["retry-after"], "2");
        assert_eq!(answer.headers()["connection"], "close");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }

    #[test]
    fn what_happened_inside_stays_inside() {
        let problem = Problem::inside("io: /var/lib/sortie/db: permission denied");
        assert!(!serde_json::to_string(&problem.shape()).unwrap().contains("/var/lib"));
    }
}
