//! Pieces that many pages share: badges, times, tables of a listing, forms with their hidden word.

use maud::{Markup, html};
use serde_json::Value;

use super::json::Read as _;
use super::{form, inside, json, link};
use crate::http::route::{Call, Verb};

/// How something stands, in a colour, a sign and a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Look at it.
    Warn,
    /// It went wrong.
    Bad,
    /// At work.
    Busy,
    /// Of no consequence.
    Quiet,
}

impl Tone {
    /// The class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Busy => "busy",
            Tone::Quiet => "quiet",
        }
    }

    /// A sign for those who do not tell colours apart.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Tone::Good => "✓",
            Tone::Warn => "!",
            Tone::Bad => "✕",
            Tone::Busy => "•",
            Tone::Quiet => "–",
        }
    }
}

/// The tone of a status, a verdict or a priority.
pub(super) fn tone(word: &str) -> Tone {
    match word {
        "succeeded" | "delivered" | "matched" | "approved" | "on" | "enabled" => Tone::Good,
        "succeeded_with_warnings"
        | "retrying"
        | "retry"
        | "queued"
        | "throttled"
        | "loop_guarded"
        | "high"
        | "observed" => Tone::Warn,
        "failed" | "timed_out" | "needs_attention" | "critical" | "denied" => Tone::Bad,
        "running" | "waiting" | "pending" => Tone::Busy,
        _ => Tone::Quiet,
    }
}

/// `needs_attention` as `Needs attention`.
pub(super) fn words(name: &str) -> String {
    let text = name.replace('_', " ");
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A status or a verdict.
pub(super) fn badge(word: &str) -> Markup {
    let tone = tone(word);
    html! { span class={ "badge " (tone.class()) } { span aria-hidden="true" { (tone.sign()) } (words(word)) } }
}

/// An instant: readable without the script, in the reader's zone with it.
pub(super) fn time(text: &str) -> Markup {
    if text.is_empty() {
        return html! { "–" };
    }
    let shown: String = text.replacen('T', " ", 1).chars().take(19).collect();
    html! { time datetime=(text) title=(text) { (shown) " UTC" } }
}

/// A duration in milliseconds, for people.
pub(super) fn took(millis: u64) -> String {
    match millis {
        0..=999 => format!("{millis} ms"),
        1_000..=59_999 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..=3_599_999 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

/// A form that is one button.
pub(super) fn button(call: &Call, action: &str, label: &str, class: &str, confirm: Option<&str>) -> Markup {
    html! {
        form.inline method="post" action=(action) data-confirm=[confirm] {
            (word(call))
            button class=(class) type="submit" { (label) }
        }
    }
}

/// The hidden word of every form.
pub(super) fn word(call: &Call) -> Markup {
    html! { input type="hidden" name=(form::WORD) value=(form::word(&call.app, &call.headers)); }
}

/// A choice: values with their names. A value that is none of them stands in front.
pub(super) fn select(name: &str, now: &str, all: &[(&str, &str)]) -> Markup {
    html! {
        select name=(name) {
            @if !now.is_empty() && !all.iter().any(|(value, _)| *value == now) { option value=(now) selected { (now) } }
            @for (value, shown) in all { option value=(value) selected[*value == now] { (shown) } }
        }
    }
}

/// JSON to read, that opens; nothing when there is none.
pub(super) fn data(title: &str, value: Option<&Value>) -> Markup {
    html! {
        @if let Some(value) = value {
            h3 { (title) }
            pre tabindex="0" { @if let Some(text) = value.as_str() { (text) } @else { (json::pretty(value)) } }
        }
    }
}

/// What stands where a list is empty.
pub(super) fn empty(what: &str, help: &Markup) -> Markup {
    html! { div.empty { p { (what) } div { (help) } } }
}

/// Whether nothing was found so far, and there is more to look at.
pub(super) fn goes_on(listing: &Value) -> bool {
    listing.list("items").is_empty() && listing.some("next_cursor").is_some()
}

/// The links under a page of a listing.
pub(super) fn paging(call: &Call, path: &str, keys: &[&str], listing: &Value) -> Markup {
    let next = listing.some("next_cursor");
    let none_yet = goes_on(listing);
    let later = call.query.get("cursor").is_some();
    let kept: Vec<(&str, &str)> = keys.iter().map(|key| (*key, call.query.get(key).unwrap_or_default())).collect();
    html! {
        @if next.is_some() || later || !listing.list("items").is_empty() {
            nav.paging aria-label="Pages of this list" {
                @if none_yet { span.muted { "Nothing yet among what was looked at; the history goes further back." } }
                @if later { a.button href=(link::with(path, &kept)) { "Newest" } }
                @if let Some(cursor) = next {
                    a.button rel="next" href=(link::with(path, &[&kept[..], &[("cursor", cursor)]].concat())) { @if none_yet { "Look further back" } @else { "Older" } }
                }
                @if inside::route(Verb::Get, path).is_some_and(|route| route.query.iter().any(|key| key.name == "format")) {
                    a.muted download href=(link::with(path, &[&kept[..], &[("format", "csv")]].concat())) { "All of it as CSV" }
                }
            }
        }
    }
}

/// Filters that are links: one chip for each value of a key, the others keep what they have.
pub(super) fn chips(call: &Call, path: &str, keys: &[&str], key: &str, label: &str, values: &[(&str, &str)]) -> Markup {
    let now = call.query.get(key).unwrap_or_default();
    let target = |value: &str| {
        let pairs: Vec<(&str, &str)> = keys
            .iter()
            .map(|name| (*name, if *name == key { value } else { call.query.get(name).unwrap_or_default() }))
            .collect();
        link::with(path, &pairs)
    };
    html! {
        ul.filters aria-label=(label) {
            li.label { (label) }
            @for (value, name) in values {
                li { a href=(target(value)) aria-current=[(*value == now).then_some("true")] { (name) } }
            }
        }
    }
}

/// What the caller has narrowed the list to, with the way out of it.
pub(super) fn narrowed(call: &Call, path: &str, keys: &[&str], names: &[(&str, &str)]) -> Markup {
    let set: Vec<(&str, &str, &str)> =
        names.iter().filter_map(|(key, name)| Some((*key, *name, call.query.get(key)?))).collect();
    let without = |gone: &str| {
        let kept: Vec<(&str, &str)> = keys
            .iter()
            .filter(|key| **key != gone)
            .map(|key| (*key, call.query.get(key).unwrap_or_default()))
            .collect();
        link::with(path, &kept)
    };
    html! {
        @if !set.is_empty() {
            ul.filters aria-label="Narrowed to" {
                @for (key, name, value) in set {
                    li {
                        a href=(without(key)) aria-current="true" title="Remove this filter" {
                            (name) " " bdi { (value) } " ×"
                        }
                    }
                }
            }
        }
    }
}

/// What was just done, by a word of our own that stands in the address; any other word says nothing.
pub(super) fn done(call: &Call, known: &[(&str, &str)]) -> Markup {
    let said = call.query.get("done").and_then(|word| known.iter().find(|(name, _)| *name == word));
    html! { @if let Some((_, sentence)) = said { p.note.good role="status" { (sentence) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_for_people() {
        let written: Vec<String> = [7, 1_250, 61_000, 3_661_000].into_iter().map(took).collect();
        assert_eq!(written, ["7 ms", "1.2 s", "1 min 1 s", "1 h 1 min"]);
    }

    #[test]
    fn what_is_no_instant_is_shown_as_text_and_not_as_markup() {
        let shown = time("<img src=x>").into_string();
        assert!(!shown.contains("<img"), "{shown}");
        assert_eq!(words("needs_attention"), "Needs attention");
    }
}
