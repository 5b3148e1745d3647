//! Threat details as people read them in a chat: an Adaptive Card for Microsoft Teams, blocks for Slack.
//!
//! Invariants: what comes from outside is text and nothing else. In a card it stands in text runs, which know no markup; in
//! Slack in plain text with `&`, `<` and `>` escaped, as Slack demands. What would be a link or a mention for a reader that
//! does not keep to that is taken apart by an invisible character. Every message is bounded, well below what the chats take.

use serde_json::{Value, json};

/// Longest text of one part, in characters.
const TEXT_CHARS_MAX: usize = 2_000;
/// Longest title, in characters: a header of Slack takes 150.
const TITLE_CHARS_MAX: usize = 140;
/// Longest value of a fact, in characters.
const FACT_CHARS_MAX: usize = 500;
/// Most names of a list that are shown.
const NAMES_MAX: usize = 15;
/// What takes a link or a mention apart and is not seen: the word joiner.
const JOINER: char = '\u{2060}';

/// The facts of a message: the key of the details, and what people call it.
const FACTS: [(&str, &str); 15] = [
    ("priority", "Priority"),
    ("stage", "Stage"),
    ("queue", "Queue"),
    ("assignee", "Assignee"),
    ("users", "Users"),
    ("endpoints", "Endpoints"),
    ("mitres", "ATT&CK"),
    ("use_cases", "Use cases"),
    ("tags", "Tags"),
    ("case_number", "Case"),
    ("case_id", "Case id"),
    ("alert_id", "Alert id"),
    ("entity_id", "Entity"),
    ("case_closed_reason", "Closed as"),
    ("last_update_time", "Last update"),
];

/// The page about what the details are about, when people reach pages at `public_url`.
pub fn link(details: &Value, public_url: Option<&str>) -> Option<String> {
    let base = public_url?.trim_end_matches('/');
    let of = |key: &str, path: &str| {
        let id = details.get(key)?.as_str()?;
        Some(format!("{base}/{path}/{}", crate::outbound::percent_encode(id)))
    };
    of("case_id", "cases").or_else(|| of("alert_id", "alerts"))
}

/// The card about threat details.
pub fn card(details: &Value, link: Option<&str>) -> Value {
    let (title, summary) = (title(details), text_of(details, "threat_summary"));
    let mut body = vec![run(&title, true)];
    if !summary.is_empty() {
        body.push(run(&clip(&summary, TEXT_CHARS_MAX), false));
    }
    body.extend(facts(details).into_iter().map(|(name, value)| {
        json!({ "type": "RichTextBlock", "spacing": "Small", "inlines": [
            { "type": "TextRun", "text": format!("{name}: "), "weight": "Bolder" },
            { "type": "TextRun", "text": inert(&value) },
        ] })
    }));
    let actions = link.map(|url| json!([{ "type": "Action.OpenUrl", "title": "Open in Sortie", "url": url }]));
    envelope(body, actions)
}

/// A card that holds a text.
pub fn text_card(text: &str) -> Value {
    envelope(vec![run(&clip(text, TEXT_CHARS_MAX), false)], None)
}

fn run(text: &str, is_title: bool) -> Value {
    let inline = if is_title {
        json!({ "type": "TextRun", "text": inert(text), "weight": "Bolder", "size": "Medium" })
    } else {
        json!({ "type": "TextRun", "text": inert(text) })
    };
    json!({ "type": "RichTextBlock", "inlines": [inline] })
}

/// What workflows accept: a message with one Adaptive Card.
fn envelope(body: Vec<Value>, actions: Option<Value>) -> Value {
    let mut content = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let (Some(actions), Value::Object(content)) = (actions, &mut content) {
        content.insert("actions".to_owned(), actions);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": content,
        }],
    })
}

/// The message for Slack about threat details.
pub fn blocks(details: &Value, link: Option<&str>) -> Value {
    let (title, summary) = (title(details), text_of(details, "threat_summary"));
    let plain = |text: &str| json!({ "type": "plain_text", "text": escaped(text), "emoji": false });
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title) })];
    if !summary.is_empty() {
        blocks.push(json!({ "type": "section", "text": plain(&clip(&summary, TEXT_CHARS_MAX)) }));
    }
    // A section takes ten fields.
    for part in facts(details).chunks(10) {
        let fields: Vec<Value> = part.iter().map(|(name, value)| plain(&format!("{name}: {value}"))).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if let Some(url) = link {
        let button = json!({ "type": "button", "text": plain("Open in Sortie"), "url": url, "action_id": "open" });
        blocks.push(json!({ "type": "actions", "elements": [button] }));
    }
    json!({ "text": escaped(&title), "mrkdwn": false, "blocks": blocks })
}

/// A message for Slack that holds a text.
pub fn text_message(text: &str) -> Value {
    json!({ "text": escaped(&clip(text, TEXT_CHARS_MAX)), "mrkdwn": false })
}

fn title(details: &Value) -> String {
    let name = ["alert_name", "entity_name", "case_id", "alert_id", "entity_id"]
        .into_iter()
        .map(|key| text_of(details, key))
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| "Threat details".to_owned());
    let priority = text_of(details, "priority");
    clip(&if priority.is_empty() { name } else { format!("[{priority}] {name}") }, TITLE_CHARS_MAX)
}

fn facts(details: &Value) -> Vec<(&'static str, String)> {
    let named = FACTS.iter().map(|(key, name)| (*name, text_of(details, key)));
    let mut all: Vec<_> = named.filter(|(_, value)| !value.is_empty()).collect();
    if let Some(scores) = details.get("scores").and_then(Value::as_object) {
        let scores: Vec<String> =
            scores.iter().take(NAMES_MAX).map(|(name, score)| format!("{name} {score}")).collect();
        all.push(("Scores", scores.join(", ")));
    }
    all.into_iter().map(|(name, value)| (name, clip(&value, FACT_CHARS_MAX))).collect()
}

fn text_of(details: &Value, key: &str) -> String {
    match details.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let names: Vec<String> =
                items.iter().take(NAMES_MAX).filter_map(|item| item.as_str().map(str::to_owned)).collect();
            match items.len().checked_sub(NAMES_MAX) {
                Some(more) if more > 0 => format!("{} and {more} more", names.join(", ")),
                _ => names.join(", "),
            }
        }
        Some(other) => other.to_string(),
    }
}

fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// A text in which nothing is a link or a mention for anybody.
fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = ' ';
    for c in text.chars() {
        if (last == ']' && matches!(c, '(' | '[')) || last == '<' {
            out.push(JOINER);
        }
        out.push(c);
        last = c;
    }
    out
}

/// A text as Slack takes text: its three control characters escaped.
fn escaped(text: &str) -> String {
    inert(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details() -> Value {
        json!({
            "alert_id": "A/1", "alert_name": "Impossible travel", "priority": "critical", "threat_summary": "1 related detection",
            "users": ["alice"], "endpoints": [], "mitres": ["T1078"], "tags": ["vip"], "last_update_time": "2026-11-22T08:00:00.000Z",
        })
    }

    #[test]
    fn a_card_has_the_one_form_that_workflows_accept() {
        let card = card(&details(), link(&details(), Some("https://sortie.example/")).as_deref());
        assert_eq!(card["type"], "message");
        let attachment = &card["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        assert!(attachment.as_object().unwrap().contains_key("contentUrl") && attachment["contentUrl"].is_null());
        let content = &attachment["content"];
        assert_eq!((&content["type"], &content["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
        assert_eq!(content["$schema"], "http://adaptivecards.io/schemas/adaptive-card.json");
        assert_eq!(content["body"][0]["inlines"][0]["text"], "[critical] Impossible travel");
        assert_eq!(content["actions"][0]["url"], "https://sortie.example/alerts/A%2F1");
        let text = card.to_string();
        for part in ["Users: ", "alice", "T1078", "vip", "1 related detection"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("Endpoints"), "what is empty is left out");
    }

    #[test]
    fn what_an_alert_says_is_neither_a_link_nor_a_mention() {
        for evil in
            ["<!channel>", "[click](http://evil.example)", "<at>Everyone</at>", "<http://evil.example|safe>", "[a][b]"]
        {
            let mut bad = details();
            bad["alert_name"] = json!(evil);
            bad["users"] = json!([evil]);
            for message in [card(&bad, None), blocks(&bad, None), text_card(evil), text_message(evil)] {
                assert!(!message.to_string().contains(evil), "{evil} in {message}");
            }
            let slack = blocks(&bad, None).to_string();
            assert!(!slack.contains('<') && !slack.contains('>'), "{slack}");
            assert!(!slack.contains("mrkdwn\":true") && !slack.contains("\"type\":\"mrkdwn\""), "{slack}");
        }
    }

    #[test]
    fn a_message_is_bounded_whatever_comes() {
        let mut big = details();
        big["threat_summary"] = json!("x".repeat(1_000_000));
        big["alert_name"] = json!("ü".repeat(10_000));
        big["users"] = json!(vec!["u".repeat(1_000); 1_000]);
        for message in [card(&big, None), blocks(&big, None), text_card(&"ü".repeat(100_000))] {
            assert!(message.to_string().len() < 20_000, "{}", message.to_string().len());
        }
        let header = &blocks(&big, None)["blocks"][0]["text"]["text"];
        assert!(header.as_str().unwrap().chars().count() <= 150);
    }
}
