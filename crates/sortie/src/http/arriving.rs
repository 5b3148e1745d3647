//! A body on its way in: split into its elements, and read piece by piece.
//!
//! Invariant: what is read of a body is never held as a whole, and a large piece is read where that holds nobody up.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use engine::source::{self, BodyError, InputError, Pieces};
use model::Time;

use super::problem::{About, Problem};
use super::{App, Door};

/// The largest part of a body that is read where it arrived, in bytes: some thirty ordinary events.
const READ_AT_ONCE_BYTES: usize = 64 * 1024;
/// Larger parts that are read at once.
pub(super) const READING_MAX: usize = 2;

/// A body whose events are read piece by piece.
pub(super) struct Arriving {
    pub(super) app: Arc<App>,
    pub(super) source: String,
    pub(super) headers: HeaderMap,
    pub(super) now: Time,
    pub(super) pieces: Option<Pieces>,
}

pub(super) type Elements = Vec<Result<source::Incoming, InputError>>;

impl Arriving {
    pub(super) fn is_batch(&self) -> bool {
        self.pieces.as_ref().is_some_and(Pieces::is_batch)
    }

    pub(super) async fn begin(&mut self, body: Bytes) -> Result<(), Problem> {
        let bytes = body.len();
        let split = move |source: &source::Source, ctx: &source::Context<'_>, pieces: &mut Option<Pieces>| {
            *pieces = Some(source::split(source, body, ctx).map_err(|error| body_problem(&error))?);
            Ok(())
        };
        self.read(bytes, split).await
    }

    /// The next of its elements; nothing at its end.
    pub(super) async fn next(&mut self, bytes: usize) -> Result<Option<Elements>, Problem> {
        let left = self.pieces.as_ref().map_or(0, Pieces::left).min(bytes);
        let read = move |source: &source::Source, ctx: &source::Context<'_>, pieces: &mut Option<Pieces>| {
            Ok(pieces.as_mut().and_then(|pieces| pieces.next(source, ctx, bytes)))
        };
        self.read(left, read).await
    }

    /// Reads about so many bytes: many of them on a thread where that may take its time, few such at once, so that other
    /// requests need not wait for it.
    async fn read<T: Send + 'static>(
        &mut self,
        bytes: usize,
        read: impl FnOnce(&source::Source, &source::Context<'_>, &mut Option<Pieces>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if bytes <= READ_AT_ONCE_BYTES {
            return with_context(&self.app, &self.source, &self.headers, self.now, |source, ctx| {
                read(source, ctx, &mut self.pieces)
            });
        }
        let app = Arc::clone(&self.app);
        let _turn = app.reading.acquire().await.map_err(|error| Problem::inside(error.to_string()))?;
        let (app, name, now) = (Arc::clone(&self.app), self.source.clone(), self.now);
        let (headers, mut pieces) = (std::mem::take(&mut self.headers), self.pieces.take());
        let done = tokio::task::spawn_blocking(move || {
            let done = with_context(&app, &name, &headers, now, |source, ctx| read(source, ctx, &mut pieces));
            (done, headers, pieces)
        });
        let (done, headers, pieces) = done.await.map_err(|error| Problem::inside(error.to_string()))?;
        (self.headers, self.pieces) = (headers, pieces);
        done
    }
}

/// Does something with what a source's bodies are read with.
fn with_context<T>(
    app: &App,
    name: &str,
    headers: &HeaderMap,
    now: Time,
    read: impl FnOnce(&source::Source, &source::Context<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let door = app.settings.doors.get(name).ok_or_else(|| Problem::not_found("source", name))?;
    let ctx = source::Context {
        words: &app.engine.context().words,
        tenants: app.settings.tenants.as_ref(),
        tenant: door.tenant.as_deref(),
        now,
        header_key: key(headers, door)?,
        signed_key: door.sender.signed_key(headers),
        content_type: match headers.get(header::CONTENT_TYPE) {
            Some(value) => {
                Some(value.to_str().map_err(|_| Problem::bad("invalid_header", "`Content-Type` is not text"))?)
            }
            None => None,
        },
        headers: Some(headers),
        limits: app.settings.limits,
    };
    read(&door.source, &ctx)
}

/// What makes a repeat recognisable, from the header.
fn key<'h>(headers: &'h HeaderMap, door: &Door) -> Result<Option<&'h str>, Problem> {
    let given = headers.get("idempotency-key").or_else(|| headers.get("webhook-id"));
    let given = given.or_else(|| door.sender.own_key(headers));
    given
        .map(HeaderValue::to_str)
        .transpose()
        .map_err(|_| Problem::bad("invalid_key", "the event's key is not plain text"))
}

fn body_problem(error: &BodyError) -> Problem {
    let status = match error {
        BodyError::TooLarge { .. } | BodyError::TooManyEvents { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyError::Syntax { .. } | BodyError::Empty | BodyError::Key { .. } => StatusCode::BAD_REQUEST,
    };
    let problem = Problem::new(status, error.code(), error.to_string());
    Problem { about: About::at(error.position(), &[]), ..problem }
}
