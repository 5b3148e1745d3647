//! Saved and recent searches on the lists of alerts and cases.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::inside::Ask;
use super::json::Read as _;
use super::objects::Kind;
use super::{layout, link, parts};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call};

/// Recent searches that are offered.
const RECENT: usize = 6;

/// What is saved, what the caller searched lately, and the form that saves the search of the page.
pub(super) async fn section(call: &Call, kind: Kind) -> Result<Markup, Problem> {
    let about = format!("{}s", kind.name);
    let all = Ask::get("/v1/searches", &[]).ask(call).await?;
    let of_kind = |list: &str| -> Vec<Value> {
        all.list(list).iter().filter(|one| one.text("about") == about).cloned().collect()
    };
    let (saved, recent) = (of_kind("items"), of_kind("recent"));
    let now = call.query.get("search").unwrap_or_default();
    let asks = call.query.get("q").is_some() || call.query.get("sort").is_some();
    Ok(html! {
        @if !saved.is_empty() { ul.filters aria-label="Saved searches" {
            li.label { "Saved" }
            @for one in &saved { @let name = one.text("name");
                li { a href=(link::with(kind.page, &[("search", name)])) aria-current=[(name == now).then_some("true")] title=(one.some("q").unwrap_or("an order")) { (name) } }
            }
        } }
        @if !recent.is_empty() { ul.filters aria-label="Your last searches" {
            li.label { "Lately" }
            @for one in recent.iter().take(RECENT) {
                li { a href=(link::with(kind.page, &[("q", one.text("q")), ("sort", one.text("sort"))])) { (one.some("q").unwrap_or("all")) @if let Some(sort) = one.some("sort") { " by " (sort) } } }
            }
        } }
        @if asks { (save_form(call, kind, &about)) }
        @if let Some(one) = saved.iter().find(|one| one.text("name") == now && one.text("by") == call.caller.name) {
            form.inline.tool method="post" action="/searches/delete" {
                (parts::word(call))
                input type="hidden" name="about" value=(about);
                input type="hidden" name="name" value=(one.text("name"));
                button.plain type="submit" { "Delete the saved search " (one.text("name")) }
            }
        }
    })
}

fn save_form(call: &Call, kind: Kind, about: &str) -> Markup {
    html! {
        form.inline.tool method="post" action="/searches" {
            (parts::word(call))
            input type="hidden" name="about" value=(about);
            @for key in ["q", "sort"] { input type="hidden" name=(key) value=(call.query.get(key).unwrap_or_default()); }
            label { "Save this search as" input type="text" name="name" required maxlength="64" autocomplete="off" placeholder={ "my " (kind.name) "s" }; }
            button type="submit" { "Save" }
        }
    }
}

fn page(about: &str) -> &'static str {
    if about == "alerts" { "/alerts" } else { "/cases" }
}

/// `POST /searches`
pub(crate) async fn save(call: Call, form: Form) -> Answer {
    let given = |name: &str| Some(form.get(name).trim().to_owned()).filter(|text| !text.is_empty());
    let body =
        json!({ "name": form.get("name").trim(), "about": form.get("about"), "q": given("q"), "sort": given("sort") });
    let saved = Ask::post("/v1/searches", &[], body).ask(&call).await?;
    Ok(layout::see_other(&link::with(page(form.get("about")), &[("search", saved.text("name"))])))
}

/// `POST /searches/delete`
pub(crate) async fn delete(call: Call, form: Form) -> Answer {
    Ask::delete("/v1/searches/{name}", &[form.get("name")]).ask(&call).await?;
    Ok(layout::see_other(page(form.get("about"))))
}
