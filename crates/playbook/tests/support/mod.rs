//! A catalog for tests: actions of every kind of parameter, and names that exist.

use std::collections::{BTreeMap, BTreeSet};

use model::Kind;
use playbook::{ActionSpec, Catalog, Effect, Param, ParamType};

const fn param(name: &'static str, ty: ParamType, required: bool, doc: &'static str) -> Param {
    Param { name, ty, required, doc }
}

static CASE: Param = param("case", ParamType::Text, false, "the id of the case; the run's own when left out");

static SEND_DETAILS: ActionSpec = ActionSpec {
    id: "webhook.send_threat_details",
    title: "Send all threat details via webhook",
    doc: "Sends what is known.",
    effect: Effect::Idempotent,
    about: None,
    network: true,
    params: &[
        param("to", ParamType::Destinations, true, "one destination or a list of them"),
        param("dedupe", ParamType::Duration, false, "how long it stays silent for the same entity"),
    ],
    output: "",
    example: "",
};

static HTTP: ActionSpec = ActionSpec {
    id: "http.request",
    title: "Send an HTTP request",
    doc: "Sends a request.",
    effect: Effect::Once,
    about: None,
    network: true,
    params: &[
        param("method", ParamType::OneOf(&["GET", "POST", "PUT", "DELETE"]), true, "the method"),
        param("url", ParamType::Url, true, "the address"),
        param("headers", ParamType::Headers, false, "names and texts"),
        param("auth", ParamType::Auth, false, "how the request is authenticated"),
        param("query", ParamType::Query, false, "the query"),
        param("body", ParamType::Any, false, "the body"),
    ],
    output: "",
    example: "",
};

static SET_STAGE: ActionSpec =
    case_action("case.set_stage", &[param("stage", ParamType::Stage, true, "the new stage"), CASE]);
static SET_PRIORITY: ActionSpec =
    case_action("case.set_priority", &[param("priority", ParamType::Priority, true, "the new priority"), CASE]);
static SET_QUEUE: ActionSpec =
    case_action("case.set_queue", &[param("queue", ParamType::Queue, true, "the queue"), CASE]);
static CLOSE: ActionSpec = case_action(
    "case.close",
    &[
        param("reason", ParamType::CloseReason, true, "why"),
        param("supporting_reason", ParamType::Text, false, "more"),
        CASE,
    ],
);
static ADD_TAGS: ActionSpec =
    case_action("case.add_tags", &[param("tags", ParamType::TextList, true, "the tags"), CASE]);
static COMMENT: ActionSpec = case_action("case.comment", &[param("text", ParamType::Text, true, "the comment"), CASE]);
static LOG: ActionSpec = ActionSpec {
    id: "log",
    title: "Write to the log",
    doc: "Writes a line.",
    effect: Effect::Idempotent,
    about: None,
    network: false,
    params: &[
        param("message", ParamType::Text, true, "the line"),
        param("count", ParamType::Number, false, "a number"),
        param("loud", ParamType::Bool, false, "whether it is loud"),
    ],
    output: "",
    example: "",
};

const fn case_action(id: &'static str, params: &'static [Param]) -> ActionSpec {
    ActionSpec {
        id,
        title: id,
        doc: "",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params,
        output: "",
        example: "",
    }
}

/// Everything above, and a few names.
pub(crate) fn catalog() -> Catalog {
    let set = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    Catalog {
        actions: vec![&SEND_DETAILS, &HTTP, &SET_STAGE, &SET_PRIORITY, &SET_QUEUE, &CLOSE, &ADD_TAGS, &COMMENT, &LOG],
        destinations: set(&["soc-desk", "siem"]),
        event_sets: BTreeMap::from([("critical-problems".to_owned(), vec!["holm.finished_scan".to_owned()])]),
        words: Default::default(),
        queues: set(&["tier-1", "tier-2"]),
        tenants: set(&["acme", "globex"]),
    }
}
