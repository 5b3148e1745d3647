//! `sortie receive`: a receiver for trying destinations out, without a product at hand.
//!
//! Invariants: it listens on this machine only, keeps nothing, and is no part of a server: what it gets it shows.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::World;
use super::args::ReceiveArguments;
use super::console::{Tone, one_line};
use super::exit::Error;
use super::receiver::{self, Answers, Arrived};

/// How long an answer that is on its way may take when the last message has been shown.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Shows what arrives until Ctrl-C, or until so many messages have come.
pub(super) fn run(world: &World, arguments: &ReceiveArguments) -> Result<(), Error> {
    let help = || "a receiver for trying out listens on this machine, such as 127.0.0.1:9000".to_owned();
    if !arguments.listen.ip().is_loopback() {
        let message = format!("{} is not an address of this machine alone", arguments.listen);
        return Err(Error::Usage { message, help: help() });
    }
    let status = StatusCode::from_u16(arguments.answer).map_err(|_| Error::Usage {
        message: format!("{} is not a status of HTTP", arguments.answer),
        help: "such as 200, 404, 429 or 503".to_owned(),
    })?;
    let start = |e: std::io::Error| Error::Start { message: format!("{}: {e}", arguments.listen), help: help() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(start)?;
    let outcome = runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.map_err(start)?;
        let address = listener.local_addr().map_err(start)?;
        let mut inbox = receiver::start(listener, Answers { status, refuse_first_to: None });
        world.console.talk(&format!("waiting on http://{address} · answers {status} · Ctrl-C stops it"));
        let mut left = arguments.count;
        while left != Some(0) {
            tokio::select! {
                arrived = inbox.recv() => match arrived {
                    Some(arrived) => show(world, &arrived, arguments.output.json)?,
                    None => break,
                },
                stop = tokio::signal::ctrl_c() => { stop.map_err(start)?; break }
            }
            left = left.map(|left| left - 1);
        }
        Ok(())
    });
    runtime.shutdown_timeout(LAST_ANSWER);
    outcome
}

fn show(world: &World, arrived: &Arrived, as_json: bool) -> Result<(), Error> {
    if as_json {
        let Arrived { method, path, webhook_id, signed, status, body } = arrived;
        let line = json!({
            "method": method.as_str(), "path": path, "webhook_id": webhook_id, "signed": signed, "answered": status,
            "body": body,
        });
        return Ok(world.console.data(&line.to_string())?);
    }
    let signed = if arrived.signed { "signed" } else { "not signed" };
    let id = match arrived.webhook_id.as_str() {
        "" => "no webhook-id",
        id => id,
    };
    let head = format!("{} {} · answered {} · {signed} · {id}", arrived.method, arrived.path, arrived.status);
    world.console.data(&world.console.paint(Tone::Bold, &one_line(&head)))?;
    let body = match &arrived.body {
        Value::String(text) => text.clone(),
        body => format!("{body:#}"),
    };
    for line in body.lines() {
        world.console.json_line(line)?;
    }
    Ok(())
}
