//! `/v1/backup`: the whole store as it stands at one moment, written out while the server goes on. One backup at a time.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use super::super::pieces;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};

/// `GET /v1/backup`
pub(in crate::http) async fn write(call: Call) -> Answer {
    let Ok(turn) = Arc::clone(&call.app.backups).try_acquire_owned() else {
        return Err(Problem::new(StatusCode::CONFLICT, "busy", "another backup is being written"));
    };
    let store = Arc::clone(call.app.engine.store());
    let body = pieces::written("the backup", call.caller.name.clone(), turn, move |mut out| {
        store.backup(&mut out).map(drop).map_err(io::Error::other)
    });
    let mut answer = Response::new(Body::from_stream(body));
    let kind = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}
