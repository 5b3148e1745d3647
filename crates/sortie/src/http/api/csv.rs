//! Listings as comma-separated values (RFC 4180): all of a list, however long, page after page.
//!
//! A page is asked of the listing's own handler, as the same caller, so that permission, tenant and filters are decided once.
//!
//! Invariants: one page is in memory, however long the list is, and the next is asked for when the reader has taken it; a
//! list that cannot be given whole breaks off instead of looking whole; what a spreadsheet would run as a formula is text;
//! that a list was taken away stands in the history before its first line.

use std::future::Future;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use futures_util::stream;
use http_body_util::BodyExt as _;
use model::history::EntryKind;
use model::limits;
use serde_json::{Value, json};

use super::super::problem::Problem;
use super::super::query::Query;
use super::super::route::{Answer, Call, Unread};
use super::refusal;

/// What makes a spreadsheet take a cell for a formula.
const FORMULA: &[char] = &['=', '+', '-', '@', '|', '%', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
/// What stands between the members of a list in one cell.
const BETWEEN: &str = "; ";

/// A listing's own handler.
pub(super) type Pages = fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A listing as a table.
pub(super) struct Table {
    /// Its name, for the history and the file.
    pub(super) name: &'static str,
    /// The keys of an item that become columns.
    pub(super) columns: &'static [&'static str],
    /// Answers one page of it as JSON.
    pub(super) pages: Pages,
}

/// Whether the caller wants this listing as a table.
///
/// # Errors
/// 400 for a format that is none.
pub(super) fn wanted(call: &Call) -> Result<bool, Problem> {
    match call.query.get("format") {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(Problem::bad("invalid_query", "`format` is `json` or `csv`")),
    }
}

/// Answers the listing as a table: all of it, or what a `limit` leaves of it.
pub(super) async fn answer(call: Call, table: &'static Table) -> Answer {
    let left = rows(&call)?;
    // What is wrong with the query is said before anything is recorded or written.
    let first = page(&call, table, None, left).await?;
    let asked: serde_json::Map<String, Value> = call
        .query
        .pairs()
        .filter(|(key, _)| *key != "format")
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let what = json!({ "what": "list exported", "list": table.name, "format": "csv", "query": asked });
    let object = format!("list:{}", table.name);
    let recorded = call.app.engine.record(EntryKind::Exported, object, what, call.caller.actor()).await;
    recorded.map_err(|refused| refusal(&refused))?;
    let state = State { call, table, left, next: Some(first), head: true };
    let mut answer = Response::new(Body::from_stream(stream::try_unfold(state, piece)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let name = format!("attachment; filename=\"{}.csv\"", table.name);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(answer)
}

/// The most rows that the caller wants; all when nothing is said.
fn rows(call: &Call) -> Result<Option<usize>, Problem> {
    let Some(text) = call.query.get("limit") else { return Ok(None) };
    let rows = text.parse::<usize>().ok().filter(|rows| *rows > 0);
    rows.map(Some).ok_or_else(|| Problem::bad("invalid_query", "`limit` is a number of rows, from 1 on"))
}

/// A page that was asked for.
struct Page {
    items: Vec<Value>,
    cursor: Option<String>,
}

/// Where the writing stands.
struct State {
    call: Call,
    table: &'static Table,
    /// Rows that may still come, when the caller bounded them.
    left: Option<usize>,
    next: Option<Page>,
    head: bool,
}

/// The next piece: the head, or the rows of one page.
async fn piece(mut state: State) -> std::io::Result<Option<(Bytes, State)>> {
    if state.head {
        state.head = false;
        let head = format!("{}\r\n", state.table.columns.join(","));
        return Ok(Some((Bytes::from(head), state)));
    }
    let Some(page) = state.next.take() else { return Ok(None) };
    let mut text = String::new();
    for item in page.items.iter().take(state.left.unwrap_or(usize::MAX)) {
        text.push_str(&line(state.table.columns.iter().map(|key| cell_of(item.get(key)))));
    }
    state.left = state.left.map(|left| left.saturating_sub(page.items.len()));
    if let Some(cursor) = page.cursor.filter(|_| state.left != Some(0)) {
        let next = self::page(&state.call, state.table, Some(cursor), state.left).await;
        state.next = Some(next.map_err(|problem| std::io::Error::other(problem.detail))?);
    }
    Ok(Some((Bytes::from(text), state)))
}

/// Asks the listing's own handler for a page.
async fn page(call: &Call, table: &Table, cursor: Option<String>, left: Option<usize>) -> Result<Page, Problem> {
    let limit = left.unwrap_or(limits::PAGE_ITEMS_MAX).min(limits::PAGE_ITEMS_MAX);
    let mut query = call.query.without(&["format", "limit"]).with("limit", limit.to_string());
    if let Some(cursor) = cursor {
        query = query.without(&["cursor"]).with("cursor", cursor);
    }
    let answer = (table.pages)(call.again(query)).await?;
    let bytes = answer.into_body().collect().await.map_err(|error| Problem::inside(error.to_string()))?.to_bytes();
    let mut body: Value = serde_json::from_slice(&bytes).map_err(|error| Problem::inside(error.to_string()))?;
    if body.get("complete") == Some(&Value::Bool(false)) {
        let detail = "there are too many to be searched or put in order for a whole table; narrow the query";
        return Err(Problem::bad("too_many", detail));
    }
    let items = match body.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => return Err(Problem::inside(format!("the listing {} answered no items", table.name))),
    };
    let cursor = body.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
    Ok(Page { items, cursor })
}

impl Call {
    /// The same caller with another query, for a handler of this process.
    fn again(&self, query: Query) -> Call {
        Call {
            app: std::sync::Arc::clone(&self.app),
            peer: self.peer,
            caller: self.caller.clone(),
            path: self.path.clone(),
            query,
            headers: HeaderMap::new(),
            body: Unread::new(Body::empty()),
        }
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.map(|text| cell(&text)).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// A value as it stands in one cell.
fn cell_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            items.iter().map(|item| cell_of(Some(item))).collect::<Vec<_>>().join(BETWEEN)
        }
        Some(other) => other.to_string(),
    }
}

/// One cell (RFC 4180). What a spreadsheet would run as a formula gets an apostrophe in front, which makes it text.
fn cell(text: &str) -> String {
    // A number is what it is, with its sign; anything else that begins so might be run.
    let formula = text.trim_start().starts_with(FORMULA) && text.parse::<f64>().is_err();
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
            ("-1", "\"-1\""),
            ("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("\r=1", "\"'\r=1\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn lists_stand_in_one_cell_and_a_member_cannot_begin_a_formula() {
        assert_eq!(cell_of(Some(&json!(["a", "b", 3]))), "a; b; 3");
        assert_eq!(cell(&cell_of(Some(&json!(["=1+1", "b"])))), "\"'=1+1; b\"");
        assert_eq!(cell_of(Some(&json!({ "k": 1 }))), "{\"k\":1}");
        assert_eq!((cell_of(None), cell_of(Some(&Value::Null))), (String::new(), String::new()));
    }
}
