//! `/openapi.json`, made from [`super::table`]: the routes that are answered, and no others.

use serde_json::{Map, Value, json};

use super::route::{Access, EVIDENCE, PAGE, Route};
use super::table::ROUTES;

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.verb.name().to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sortie",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Security events in, playbooks decide, threat details out, and a history that says why. Errors are `application/problem+json`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "made with `sortie tokens create`" },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let (status, schema) = route.gives;
    let content_type = match schema {
        "Text" => "text/plain",
        PAGE => "text/html",
        EVIDENCE => "application/zip",
        "Bytes" => "application/octet-stream",
        _ => "application/json",
    };
    let mut content = json!({ content_type: { "schema": reference(schema) } });
    if route.query.iter().any(|key| key.name == "format") {
        content["text/csv"] = json!({ "schema": reference("Text") });
    }
    let mut operation = json!({
        "summary": route.about,
        "operationId": operation_id(route),
        "parameters": parameters(route),
        "responses": {
            status.to_string(): { "description": route.about, "content": content },
            "default": { "description": "what is wrong", "content": { "application/problem+json": { "schema": reference("Problem") } } },
        },
    });
    if let Value::Object(members) = &mut operation {
        match route.access {
            Access::Open => {}
            Access::Sender => {
                members.insert(
                    "description".to_owned(),
                    "authenticated as the source's `auth` in `sortie.yaml` says".into(),
                );
            }
            Access::Roles(roles) => {
                members.insert("security".to_owned(), json!([{ "token": [] }]));
                members.insert("x-roles".to_owned(), roles.names().split(", ").collect());
            }
        }
        if let Some(body) = route.takes {
            let required = body != "Empty";
            let kind = if route.is_page() { "application/x-www-form-urlencoded" } else { "application/json" };
            members.insert(
                "requestBody".to_owned(),
                json!({ "required": required, "content": { kind: { "schema": reference(body) } } }),
            );
        }
    }
    operation
}

/// `GET /v1/runs/{id}` is `get_v1_runs_id`.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '.']).map(|part| part.trim_matches(['{', '}'])).filter(|part| !part.is_empty());
    std::iter::once(route.verb.name().to_ascii_lowercase())
        .chain(words.map(str::to_owned))
        .collect::<Vec<_>>()
        .join("_")
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let text = || json!({ "type": "string" });
    let path = in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text() }));
    let query = route.query.iter().map(|key| {
        let schema = match key.name {
            "limit" => json!({ "type": "integer", "minimum": 1, "maximum": model::limits::PAGE_ITEMS_MAX }),
            "since" | "until" => json!({ "type": "string", "format": "date-time" }),
            "dry_run" => json!({ "type": "boolean" }),
            _ => text(),
        };
        json!({ "name": key.name, "in": "query", "required": false, "description": key.doc, "schema": schema })
    });
    path.chain(query).collect()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A page of things.
fn page_of(item: &str) -> Value {
    json!({
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": { "type": "array", "items": reference(item) },
            "next_cursor": { "type": ["string", "null"], "description": "a page may be short or empty while this is set" },
        },
    })
}

/// An object with these properties, each as `name` (text), `name#` (number), `name?` (text or null), `name!` (yes or no),
/// `name[]` (list of texts) or `name:Schema`.
fn object(properties: &str) -> Value {
    let mut all = Map::new();
    for word in properties.split_whitespace() {
        let (name, schema) = match word.split_once(':') {
            Some((name, list)) if list.ends_with("[]") => {
                (name, json!({ "type": "array", "items": reference(list.trim_end_matches("[]")) }))
            }
            Some((name, schema)) => (name, reference(schema)),
            None => match word.strip_suffix(['#', '?', '!']) {
                Some(name) if word.ends_with('#') => (name, json!({ "type": ["number", "null"] })),
                Some(name) if word.ends_with('?') => (name, json!({ "type": ["string", "null"] })),
                Some(name) => (name, json!({ "type": "boolean" })),
                None => match word.strip_suffix("[]") {
                    Some(name) => (name, json!({ "type": "array", "items": { "type": "string" } })),
                    None => (word, json!({ "type": "string" })),
                },
            },
        };
        all.insert(name.to_owned(), schema);
    }
    json!({ "type": "object", "properties": all })
}

const RUN: &str = "run_id playbook playbook_digest status mode trigger event_id alert_id? case_id? tenant created_at started_at? \
ended_at? duration_ms# reason? retry_of? called_by? waits:Waits[] deliveries#";
const EVENT_HEAD: &str = "event_id type source id? time received_at tenant actor";
const DELIVERY: &str = "delivery_id run_id playbook tenant alert_id? case_id? webhook_id destination step status reason? \
attempts# http_status# last_at next_at?";
const TOKEN: &str = "name role tenant? created_at created_by";
const PLAYBOOK: &str = "playbook name description enabled! enabled_in_file! mode suspended:Suspended waits_for_second_person! fuse_blown_until? order# tenants[] expires? triggers[] steps# digest file";

const APPROVAL: &str = "approval_id ask by fields:Fields deadline? requester? run_id step playbook tenant alert_id? \
case_id? status";

fn schemas() -> Value {
    let all = of_runs()
        .into_iter()
        .chain(of_records().into_iter().chain(of_playbooks()).chain(of_access()))
        .chain(of_triage());
    all.map(|(name, schema)| (name.to_owned(), schema)).collect::<Map<_, _>>().into()
}

/// `base` with more properties.
fn with(base: &str, more: &str) -> Value {
    object(&format!("{base} {more}"))
}

/// An object of any keys.
fn free() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

/// What all answers share, events on their way in, and runs.
fn of_runs() -> Vec<(&'static str, Value)> {
    vec![
        ("Any", json!({})),
        ("Text", json!({ "type": "string" })),
        ("Bytes", json!({ "type": "string", "format": "binary" })),
        (PAGE, json!({ "type": "string" })),
        (
            EVIDENCE,
            json!({ "type": "string", "format": "binary", "description": "an evidence bundle, for `sortie audit verify FILE`" }),
        ),
        ("Form", free()),
        ("OpenApi", free()),
        ("Empty", json!({ "type": "object", "additionalProperties": false })),
        ("Problem", object("type title status# detail code at:Any problems:FieldProblem[]")),
        ("FieldProblem", object("path message")),
        ("Health", object("status")),
        ("Event", free()),
        ("Fields", free()),
        ("Place", object("file line# column#")),
        ("Decision", object("playbook playbook_digest? verdict run_id? reason at:Place")),
        ("LookedDecision", object("playbook playbook_digest? verdict run_id? reason at:Place triggers:Any[]")),
        ("Taken", object("event_id duplicate! decisions:Decision[] decisions_total# warnings[]")),
        ("Run", object(RUN)),
        ("Runs", page_of("Run")),
        ("Fault", object("code message")),
        (
            "Try",
            object("n# destination? started_at ended_at latency_ms# outcome http_status# error:Fault next_at? reason?"),
        ),
        (
            "Step",
            object("path action status attempts:Try[] input:Any output:Any error:Fault started_at ended_at? handled!"),
        ),
        ("RunMoment", object("seq# time actor fact path? status? detail?")),
        (
            "RunDetail",
            with(RUN, "steps:Step[] history:RunMoment[] history_incomplete! playbook_text? cancelled_by? plan:Any"),
        ),
        ("RunMade", object("run_id")),
        ("Waits", object("step on until? approval_id? run_id? events[]")),
        ("Retry", object("from version")),
        ("Pause", object("scope reason")),
        ("Resume", object("scope")),
        ("Paused", object("scope since by reason")),
        ("Pauses", object("pauses:Paused[]")),
        ("Mute", object("until reason")),
        ("Muted", object("kind id tenant until since by reason")),
        ("Unmuted", object("was_muted!")),
        ("Mutes", page_of("Muted")),
        ("Approval", object(APPROVAL)),
        ("Approvals", page_of("Approval")),
        ("ApprovalAnswer", object("decision comment? fields:Fields")),
        ("ApprovalAnswered", object("approval_id run_id decision")),
        ("Suspended", object("playbook since reason")),
        ("FuseBlown", object("playbook until")),
    ]
}

/// Events, alerts and cases.
fn of_records() -> Vec<(&'static str, Value)> {
    vec![
        ("EventItem", with(EVENT_HEAD, "about? transitions# decisions_total# runs[] warnings#")),
        ("Events", page_of("EventItem")),
        ("Change", object("object text change")),
        (
            "EventDetail",
            with(
                EVENT_HEAD,
                "subject:Any from? data:Any raw:Any raw_base64? transitions:Change[] decisions:Decision[] decisions_total# decisions_complete! runs[] chain[] warnings[]",
            ),
        ),
        (
            "Explained",
            object(
                "event_id type transitions:Change[] decisions:LookedDecision[] decisions_total# decisions_complete! note?",
            ),
        ),
        ("RecordedEvent", object("event_id time accepted:Any")),
        ("RecordedEvents", page_of("RecordedEvent")),
        ("Object", free()),
        ("Objects", page_of("Object")),
        (
            "Moment",
            object(
                "event_id time actor type? source? changes:Change[] fields:Any data:Any comment? runs[] warnings[] gone!",
            ),
        ),
        ("Moments", page_of("Moment")),
        ("Comment", object("text")),
        ("Recorded", object("event_id")),
        ("Send", object("to[]")),
    ]
}

/// Playbooks, and what leaves.
fn of_playbooks() -> Vec<(&'static str, Value)> {
    vec![
        ("Delivery", object(DELIVERY)),
        ("Deliveries", page_of("Delivery")),
        ("Resent", object("delivery_id destination webhook_id ok! message?")),
        ("AllResent", page_of("Resent")),
        ("DeliveryDetail", with(DELIVERY, "tries:Try[] input:Any")),
        ("Playbook", object(PLAYBOOK)),
        ("Playbooks", page_of("Playbook")),
        ("PlaybookDetail", with(PLAYBOOK, "text inputs:Input[] tests# tested:TestReport last_runs:Run[]")),
        ("Input", object("name type required! default:Any description")),
        (
            "TestReport",
            object(
                "playbook_digest at by ok! passed# failed# left_out# took_ms# steps# steps_reached# tests:Any missed:Any wrong[]",
            ),
        ),
        ("BacktestWish", object("days# text?")),
        (
            "Backtest",
            object(
                "since? until? days# events# complete! took_ms# verdicts:Any before:Any by_day:Any would_send:Any named:Any named_total#",
            ),
        ),
        ("VersionItem", object("digest? since actor commit? author? uncommitted[]")),
        ("Versions", page_of("VersionItem")),
        ("Version", object("playbook digest text")),
        ("RunByHand", object("event alert case tenant inputs:Any dry_run!")),
        ("Breaker", object("state failures# opens_after# pause_ms# open_until?")),
        (
            "Destination",
            object(
                "id kind url auth sign? enabled! min_severity? kinds[] tenants[] dedupe_seconds# timeout_ms# retry_max# retry_backoff? retry_first_ms# retry_cap_ms# retry_on time_format rate:Any concurrency# ordered! breaker:Breaker in_flight# origin",
            ),
        ),
        ("Destinations", page_of("Destination")),
        ("DestinationWish", free()),
        ("Tested", object("ok! message hint? detail? http_status# latency_ms#")),
        ("Validated", object("ok! message")),
        ("Secret", object("name")),
        ("Secrets", page_of("Secret")),
        ("SecretWish", object("name value")),
    ]
}

/// Who may ask, what was done, and the ledger.
fn of_access() -> Vec<(&'static str, Value)> {
    vec![
        ("Token", object(TOKEN)),
        ("Tokens", page_of("Token")),
        ("TokenWish", object("name role tenant?")),
        ("TokenMade", with(TOKEN, "token")),
        ("User", with(TOKEN, "must_change!")),
        ("Users", page_of("User")),
        ("UserMade", with(TOKEN, "must_change! password")),
        ("Slice", object("from events# runs# failed# delivered# undelivered#")),
        ("Activity", object("items:Slice[]")),
        ("AuditEntry", object("seq# time actor action kind object detail:Any")),
        ("Audit", page_of("AuditEntry")),
        ("VerifyWish", object("keys[] checkpoints[]")),
        ("Finding", object("kind entry# detail")),
        (
            "VerifyReport",
            object(
                "ok! entries# payloads# dropped# size# root checkpoints# newest_checkpoint? unsigned# signer? signer_known! open_runs# open_run_ids[] findings:Finding[] findings_total# remarks[]",
            ),
        ),
        ("Checkpoint", object("checkpoint key size# root time")),
        ("EntryProof", object("line:Any index# path[]")),
        ("RunProof", object("run checkpoint entries:EntryProof[]")),
        ("ValueWish", object("secret value")),
        ("Disclosed", object("entry# path destination? n# secret salt")),
        ("ValueProof", object("run checkpoint entries:EntryProof[] disclosed:Disclosed[]")),
        ("SigningKey", object("key")),
        ("Hold", object("object tenant? reason by since")),
        ("Holds", page_of("Hold")),
        ("HoldWish", object("object reason")),
        ("Lifted", object("object")),
        (
            "Status",
            object(
                "version ready! reason? playbooks# playbooks_digest destinations# sources[] runs_at_work# runs_open# runs_ended# time auth",
            ),
        ),
    ]
}

const ATTACHMENT: &str = "attachment_id name media_type bytes# sha256 added_by added_at";
const NOTIFICATION: &str = "name on[] of person? queue? tenant? when? to[] email[] from made_by? playbook";
const WATCHED: &str = "kind id reason priority? tenant? from added_by? added_at?";

/// What alerts and cases are sorted, found and followed by.
fn of_triage() -> Vec<(&'static str, Value)> {
    vec![
        ("Watched", object(WATCHED)),
        ("Watchlist", page_of("Watched")),
        ("Grouping", object("name by window when? tenant? order from made_by? made_at?")),
        ("Groupings", page_of("Grouping")),
        ("GroupingWish", object("name by window when? tenant? order?")),
        ("GroupingEnded", object("name")),
        ("WatchWish", object("kind id reason priority? tenant?")),
        ("Unwatched", object("kind id")),
        ("Attachment", object(ATTACHMENT)),
        ("Attachments", page_of("Attachment")),
        ("Search", object("name about q? sort? tenant? by at")),
        ("SearchWish", object("name about q? sort?")),
        ("RecentSearch", object("about q? sort? at")),
        ("Searches", object("items:Search[] recent:RecentSearch[] next_cursor?")),
        ("Counts", json!({ "type": "object", "additionalProperties": { "type": "integer" } })),
        ("Lengths", object("count# mean# p50# p90# max#")),
        (
            "CaseFigures",
            object(
                "total# open# closed# by_stage:Counts open_by_priority:Counts open_by_queue:Counts open_by_assignee:Counts closed_by_reason:Counts age_seconds:Lengths time_to_close_seconds:Lengths",
            ),
        ),
        ("AlertFigures", object("total# by_priority:Counts without_case#")),
        ("Stats", object("as_of tenant? complete! cases:CaseFigures alerts:AlertFigures")),
        ("Notification", object(NOTIFICATION)),
        ("Notifications", page_of("Notification")),
        ("NotificationWish", object("name on[] of? person? queue? tenant? when? to[] email[]")),
        ("Ended", object("name")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    found.insert(target.trim_start_matches("#/components/schemas/").to_owned());
                }
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_that_is_named_exists() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let known = document["components"]["schemas"].as_object().unwrap();
        let missing: Vec<_> = found.iter().filter(|name| !known.contains_key(*name)).collect();
        assert!(missing.is_empty() && !found.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_route_is_in_the_document_once_with_its_parameters() {
        let document = document();
        let operations =
            document["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum::<usize>();
        assert_eq!(operations, ROUTES.len());
        let run = &document["paths"]["/v1/runs/{id}"]["get"];
        assert_eq!(run["parameters"][0]["name"], "id");
        assert_eq!(run["operationId"], "get_v1_runs_id");
        let ids: BTreeSet<String> = ROUTES.iter().map(operation_id).collect();
        assert_eq!(ids.len(), ROUTES.len(), "operation ids are unique");
    }
}
