//! What a route is: method, path, who may ask, what may be asked, and the function that answers. The routes themselves
//! stand in [`super::table`]; router, permissions, the check of query keys and `/openapi.json` are all made from there.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::MethodFilter;
use model::event::Actor;
use serde::de::DeserializeOwned;

use super::App;
use super::body::{self, Limit};
use super::problem::Problem;
use super::query::Query;
use crate::auth::oidc::Identity;
use crate::auth::user::User;
use crate::auth::{Role, Roles, Token};

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// Reads.
    Get,
    /// Does, or makes.
    Post,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
    /// Asks what may be asked.
    Options,
}

impl Verb {
    /// Its name in a request.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
            Verb::Options => "OPTIONS",
        }
    }

    /// The router's name for it.
    pub(crate) const fn filter(self) -> MethodFilter {
        match self {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
            Verb::Options => MethodFilter::OPTIONS,
        }
    }
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone.
    Open,
    /// Whoever the named source lets in.
    Sender,
    /// Holders of a token with one of these roles.
    Roles(Roles),
}

/// A key of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) doc: &'static str,
}

/// What a handler answers.
pub(crate) type Answer = Result<Response<Body>, Problem>;
/// An answer that is being made.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A method and path that are answered.
pub(crate) struct Route {
    /// The method.
    pub(crate) verb: Verb,
    /// The path, with `{name}` for what varies.
    pub(crate) path: &'static str,
    /// Who may ask.
    pub(crate) access: Access,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// The keys of the query that it knows; any other is refused.
    pub(crate) query: &'static [Key],
    /// The name of the body's schema in `/openapi.json`; nothing when there is no body.
    pub(crate) takes: Option<&'static str>,
    /// The status and the name of the schema of what it answers when all is well.
    pub(crate) gives: (u16, &'static str),
    /// What answers.
    pub(crate) handler: fn(Call) -> Pending,
}

/// What [`Route::gives`] names for the pages: HTML for people instead of JSON for programs.
pub(crate) const PAGE: &str = "Page";
/// What [`Route::gives`] says of an evidence bundle.
pub(crate) const EVIDENCE: &str = "Evidence";

impl Route {
    /// Whether it is one of the pages. Only they take the cookie of a session: the API never does, so that no other site
    /// can use it through a browser.
    pub(crate) fn is_page(&self) -> bool {
        self.gives.1 == PAGE || (self.gives.1 == EVIDENCE && !self.path.starts_with("/v1/"))
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The token's name; `local` where authentication is off.
    pub(crate) name: String,
    /// What the caller is.
    pub(crate) role: Role,
    /// The only tenant that the caller sees; nothing means all.
    pub(crate) tenant: Option<String>,
    /// Whether it is a person who has signed in under a name of their own, and not the holder of a token.
    pub(crate) is_user: bool,
}

impl Caller {
    /// Whoever asks where authentication is off.
    pub(crate) fn local() -> Caller {
        Caller { name: "local".to_owned(), role: Role::Admin, tenant: None, is_user: false }
    }

    /// The holder of a token.
    pub(crate) fn holder(token: &Token) -> Caller {
        Caller { name: token.name.clone(), role: token.role, tenant: token.tenant.clone(), is_user: false }
    }

    /// A person who has signed in with a password.
    pub(crate) fn user(user: &User) -> Caller {
        Caller { name: user.name.clone(), role: user.role, tenant: user.tenant.clone(), is_user: true }
    }

    /// A person whom the identity provider knows.
    pub(crate) fn person(identity: &Identity) -> Caller {
        let Identity { name, role, tenant } = identity.clone();
        Caller { name, role, tenant, is_user: true }
    }

    /// The caller as the history names it.
    pub(crate) fn actor(&self) -> Actor {
        let name = self.name.clone();
        if self.is_user { Actor::User(name) } else { Actor::Token(name) }
    }

    /// Whether the caller sees what belongs to this tenant.
    pub(crate) fn sees(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant)
    }
}

/// One request on its way to its handler.
pub(crate) struct Call {
    /// The server.
    pub(crate) app: Arc<App>,
    /// The address that it comes from.
    pub(crate) peer: IpAddr,
    /// Who asks; [`Caller::local`] only where nobody needs to be known.
    pub(crate) caller: Caller,
    /// What varies in the path, decoded, in the order of the path.
    pub(crate) path: Vec<String>,
    /// The query, its keys checked.
    pub(crate) query: Query,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, not read yet.
    pub(crate) body: Unread,
}

/// A body that was not read yet. It is taken by whoever holds it alone, so the lock is never waited for: it is there so
/// that a call can be looked at from several threads.
pub(crate) struct Unread(Mutex<Body>);

impl Unread {
    /// Wraps a body.
    pub(crate) fn new(body: Body) -> Unread {
        Unread(Mutex::new(body))
    }

    /// Takes the body out; an empty one stays.
    pub(crate) fn take(&mut self) -> Body {
        std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Call {
    /// What stands in the path at the `n`th place that varies.
    pub(crate) fn segment(&self, n: usize) -> &str {
        self.path.get(n).map_or("", String::as_str)
    }

    /// An id in the path. What has not its form cannot exist: 404 as for any other that there is not.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn id<T: FromStr>(&self, what: &str) -> Result<T, Problem> {
        let text = self.segment(0);
        text.parse().map_err(|_| Problem::not_found(what, text))
    }

    /// Reads the body as JSON with exactly the keys of `T`; an empty body is an empty object.
    ///
    /// # Errors
    /// 400 with what is wrong, 413, 415.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let body = self.body.take();
        let limit = Limit::Fixed(body::REQUEST_BYTES_MAX);
        let held = body::read(&self.headers, body, limit, &self.app.budget).await?;
        self.check_media_type()?;
        let bytes: &[u8] = if held.bytes.is_empty() { b"{}" } else { &held.bytes };
        serde_json::from_slice(bytes)
            .map_err(|e| Problem::bad("invalid_body", format!("the body is not as expected: {e}")))
    }

    fn check_media_type(&self) -> Result<(), Problem> {
        let Some(value) = self.headers.get(axum::http::header::CONTENT_TYPE) else { return Ok(()) };
        let text = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
        let json =
            text.eq_ignore_ascii_case("application/json") || text.eq_ignore_ascii_case("application/merge-patch+json");
        if json {
            return Ok(());
        }
        let detail = "send `application/json`";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).and_close())
    }
}
