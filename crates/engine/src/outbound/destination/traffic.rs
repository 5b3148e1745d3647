//! Reads how much a destination takes: `rate`, `concurrency`, `breaker`.

use std::time::Duration;

use playbook::yaml::{Node, Value};
use playbook::{Fields, Reader};

use super::codes;
use super::read::period;
use super::{Breaker, Rate};
use crate::outbound::IN_FLIGHT_PER_KEY_MAX;
use crate::outbound::gate::PAUSE_MAX;

/// Longest time in which requests are counted (1 day).
const RATE_PER_MAX: Duration = Duration::from_secs(86_400);
/// Most requests of a rate.
const RATE_REQUESTS_MAX: i64 = 1_000_000;
/// Most failures that a breaker waits for.
const FAILURES_MAX: i64 = 10_000;

/// Reads `rate: { requests: 60, per: 1m }`.
pub(super) fn rate(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Rate> {
    let mut inner = fields.fields(reader, "rate")?;
    let node = inner.node(reader, "requests").is_some();
    let requests = inner.int(reader, "requests", 1..=RATE_REQUESTS_MAX).and_then(|n| u32::try_from(n).ok());
    let per = period(reader, &mut inner, "per", RATE_PER_MAX);
    if node && !inner.has("per") {
        reader.error(codes::VALUE, inner.span(), "`rate` needs `per`, such as `per: 1m`", None);
    }
    inner.finish(reader);
    Some(Rate { requests: requests?, per: per? })
}

/// Reads `concurrency: 4`.
pub(super) fn concurrency(reader: &mut Reader, fields: &mut Fields<'_>) -> usize {
    let max = i64::try_from(IN_FLIGHT_PER_KEY_MAX).unwrap_or(i64::MAX);
    fields.int(reader, "concurrency", 1..=max).and_then(|n| usize::try_from(n).ok()).unwrap_or(IN_FLIGHT_PER_KEY_MAX)
}

/// Reads `breaker: { failures: 20, pause: 30s }` or `breaker: none`.
pub(super) fn breaker(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Breaker> {
    let usual = Breaker::USUAL;
    let Some(node) = fields.opt_node("breaker") else { return Some(usual) };
    if is_none(node) {
        return None;
    }
    let Some(mut inner) = reader.map(node, "`breaker` (a map, or `none`)") else { return Some(usual) };
    let failures = inner.int(reader, "failures", 1..=FAILURES_MAX).and_then(|n| u32::try_from(n).ok());
    let pause = period(reader, &mut inner, "pause", PAUSE_MAX);
    inner.finish(reader);
    Some(Breaker { failures: failures.unwrap_or(usual.failures), pause: pause.unwrap_or(usual.pause) })
}

fn is_none(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text == "none")
}
