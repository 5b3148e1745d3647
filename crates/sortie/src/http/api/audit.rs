//! `/v1/audit`: who did, changed or was refused what.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use engine::view;
use serde::Serialize;
use serde_json::Value;
use store::Page;

use super::super::problem::Problem;
use super::super::query::cursor_text;
use super::super::route::{Answer, Call};
use super::{listing, range, tenant};

/// One entry.
#[derive(Serialize)]
struct Item {
    seq: u64,
    time: String,
    actor: String,
    action: String,
    kind: &'static str,
    object: String,
    detail: Option<Value>,
}

/// `GET /v1/audit`
pub(in crate::http) async fn list(call: Call) -> Answer {
    let filter = view::audit::Filter {
        actor: call.query.text("actor"),
        action: call.query.text("action"),
        object: call.query.text("object"),
        tenant: tenant(&call)?,
    };
    let range = range(&call)?;
    let csv = match call.query.get("format") {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(Problem::bad("invalid_query", "`format` is `json` or `csv`")),
    };
    let page = call.app.look(move |store| view::audit::page(store, &filter, range)).await?;
    let shape = |item: view::audit::Item| Item {
        seq: item.seq.0,
        time: item.time.to_string(),
        actor: item.actor.to_string(),
        action: item.action,
        kind: item.kind.name(),
        object: item.object,
        detail: item.detail,
    };
    if csv { Ok(table(page, shape)) } else { listing(page, shape) }
}

/// The page as comma-separated values; where it goes on stands in the header `sortie-next-cursor`.
fn table(page: Page<view::audit::Item>, shape: impl Fn(view::audit::Item) -> Item) -> Response<Body> {
    let mut text = "seq,time,actor,action,kind,object,detail\r\n".to_owned();
    for item in page.items.into_iter().map(shape) {
        let detail = item.detail.map_or_else(String::new, |detail| detail.to_string());
        let seq = item.seq.to_string();
        let cells = [&seq, &item.time, &item.actor, &item.action, item.kind, &item.object, &detail];
        let cells: Vec<String> = cells.into_iter().map(cell).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let next = page.next.and_then(|cursor| HeaderValue::from_str(&cursor_text(cursor)).ok());
    if let Some(next) = next {
        answer.headers_mut().insert("sortie-next-cursor", next);
    }
    answer
}

/// What makes a spreadsheet take a cell for a formula.
const FORMULA: &[char] = &['=', '+', '-', '@', '|', '%', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// One cell (RFC 4180). What a spreadsheet would run as a formula gets an apostrophe in front, which makes it text.
fn cell(text: &str) -> String {
    let formula = text.trim_start().starts_with(FORMULA);
    let text = text.replace('"', "\"\"");
    if formula { format!("\"'{text}\"") } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for (text, expected) in [
            ("plain", "\"plain\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            (" \t@SUM(1)", "\"' \t@SUM(1)\""),
            ("-1+1", "\"'-1+1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
