//! The files of alerts and cases on their pages: listed, put there, saved, taken off.
//!
//! Invariant: a file leaves only as one to be saved; no browser shows or runs it here.

use maud::{Markup, html};
use serde_json::Value;

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::objects::{ALERT, CASE, Kind};
use super::upload::File;
use super::{layout, link, parts};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// Bytes as people write them.
fn size(bytes: u64) -> String {
    match bytes {
        0..=999 => format!("{bytes} bytes"),
        1_000..=999_999 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// The files of an object, with what the caller may do about them.
pub(super) async fn section(call: &Call, kind: Kind, id: &str, tenant: &str) -> Result<Markup, Problem> {
    let listing = Ask::get(kind.files, &[id]).with("tenant", tenant).ask(call).await?;
    let may = inside::may(call, Verb::Post, kind.files);
    let items = listing.list("items");
    Ok(html! {
        @if may || !items.is_empty() {
            section.panel aria-labelledby="files" {
                h2 id="files" { "Files" }
                @if items.is_empty() { p.muted { "No file is attached. Put what you found here: a mail, a capture, a screenshot." } }
                @else { (table(call, kind, id, tenant, items, may)) }
                @if may {
                    form.inline method="post" action=(target(kind, id, &["attach"])) enctype="multipart/form-data" {
                        (parts::word(call))
                        input type="hidden" name="tenant" value=(tenant);
                        label { "A file of at most " (size(engine::attach::BYTES_MAX as u64)) input type="file" name="file" required; }
                        button type="submit" { "Attach" }
                    }
                }
            }
        }
    })
}

fn target(kind: Kind, id: &str, rest: &[&str]) -> String {
    link::path(&[&[kind.page.trim_start_matches('/'), id], rest].concat())
}

fn table(call: &Call, kind: Kind, id: &str, tenant: &str, items: &[Value], may: bool) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "File" } th.num scope="col" { "Size" } th scope="col" { "Attached" } th scope="col" { "SHA-256" } @if may { th scope="col" { span.hidden { "What you can do" } } } } }
            tbody { @for item in items { @let file = item.text("attachment_id"); tr {
                td.wide { a href=(link::with(&target(kind, id, &["files", file]), &[("tenant", tenant)])) download { bdi { (item.text("name")) } } }
                td.num { (size(item.number("bytes").unwrap_or(0))) }
                td { (parts::time(item.text("added_at"))) " by " (item.text("added_by")) }
                td { code title=(item.text("sha256")) { (super::event::short(item.text("sha256"))) } }
                @if may { td {
                    form.inline method="post" action=(target(kind, id, &["detach"])) data-confirm={ "Take " (item.text("name")) " off?" } {
                        (parts::word(call))
                        input type="hidden" name="tenant" value=(tenant);
                        input type="hidden" name="file" value=(file);
                        button type="submit" aria-label={ "Take off: " (item.text("name")) } { "Take off" }
                    }
                } }
            } } }
        } }
    }
}

fn done(call: &Call, kind: Kind, form: &Form, word: &str) -> Answer {
    let tenant = if call.app.settings.tenants.is_some() { form.get("tenant") } else { "" };
    Ok(layout::see_other(&link::with(&target(kind, call.segment(0), &[]), &[("tenant", tenant), ("done", word)])))
}

async fn attach(call: Call, form: Form, file: File, kind: Kind) -> Answer {
    if file.name.is_empty() || file.content.is_empty() {
        return Err(Problem::bad("invalid_form", "choose a file that is not empty"));
    }
    let segments = [call.segment(0)];
    let ask = Ask::upload(kind.files, &segments, file.media_type, file.content);
    ask.with("name", &file.name).with("tenant", form.get("tenant")).ask(&call).await?;
    done(&call, kind, &form, "attached")
}

async fn fetch(call: Call, kind: Kind) -> Answer {
    let segments = [call.segment(0), call.segment(1)];
    Ask::get(kind.file, &segments).with_query_of(&call).answer(&call).await
}

async fn detach(call: Call, form: Form, kind: Kind) -> Answer {
    let segments = [call.segment(0), form.get("file")];
    Ask::delete(kind.file, &segments).with("tenant", form.get("tenant")).ask(&call).await?;
    done(&call, kind, &form, "detached")
}

macro_rules! handlers {
    ($($kind:ident: $attach:ident $fetch:ident $detach:ident;)*) => {$(
        #[doc = concat!("Attaches a file: ", stringify!($kind))]
        pub(crate) async fn $attach(call: Call, form: Form, file: File) -> Answer { attach(call, form, file, $kind).await }
        #[doc = concat!("Gives a file to be saved: ", stringify!($kind))]
        pub(crate) async fn $fetch(call: Call) -> Answer { fetch(call, $kind).await }
        #[doc = concat!("Takes a file off: ", stringify!($kind))]
        pub(crate) async fn $detach(call: Call, form: Form) -> Answer { detach(call, form, $kind).await }
    )*};
}
handlers! {
    ALERT: to_alert of_alert off_alert;
    CASE: to_case of_case off_case;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_for_people() {
        assert_eq!([7, 1_250, 10_000_000].map(size), ["7 bytes", "1.2 kB", "10.0 MB"]);
    }
}
