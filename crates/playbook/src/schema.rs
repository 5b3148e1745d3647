//! The JSON Schema (draft-07) of playbooks, made from the tables that the checks use: editors complete and validate with it.
//!
//! Invariant: the schema never refuses what the check accepts. It knows keys, words and shapes; scripts, names and places
//! are for the check, which knows more.

use serde_json::{Map, Value, json};

use crate::catalog::{ActionSpec, Catalog, Param, ParamType};
use crate::check::{BLOCKS, TRIGGERS};
use crate::reference::{PLAYBOOK_KEYS, STEP_KEYS};

/// A length of time.
const DURATION: &str = r"^\s*([0-9]+(w|d|h|m|s|ms))+\s*$";

/// The schema of one playbook.
pub fn schema(catalog: &Catalog) -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Sortie playbook",
        "description": "One YAML file is one playbook: what starts it, and what it does.",
        "type": "object",
        "additionalProperties": false,
        "required": ["playbook", "triggers", "steps"],
        "properties": properties(PLAYBOOK_KEYS, of_playbook),
        "definitions": {
            "script": { "type": "string", "minLength": 1, "description": "a Rhai script" },
            "condition": { "type": ["string", "boolean"], "description": "a Rhai script that answers yes or no" },
            "duration": { "type": "string", "pattern": DURATION, "description": "such as 20s, 10m, 1h30m, 6h, 2d" },
            "template": { "type": "string", "pattern": r"\$\{\{" },
            "texts": { "anyOf": [{ "type": "string" }, { "type": "number" }, { "type": "array", "items": { "type": ["string", "number", "boolean"] } }] },
            "words": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
            "text": { "type": ["string", "number", "boolean"] },
            "declared": declared(),
            "trigger": trigger(),
            "steps": { "type": "array", "minItems": 1, "items": { "$ref": "#/definitions/step" } },
            "step": step(&catalog.actions),
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// An object of keys with their shapes and what they mean.
fn properties(keys: &[(&str, &str)], shape: impl Fn(&str) -> Value) -> Value {
    let all: Map<String, Value> =
        keys.iter().map(|(key, doc)| ((*key).to_owned(), described(shape(key), doc))).collect();
    Value::Object(all)
}

/// A shape with a description; what is only a reference is wrapped, since draft-07 ignores what stands beside one.
fn described(shape: Value, doc: &str) -> Value {
    let mut all = match shape {
        Value::Object(all) if all.contains_key("$ref") => {
            let mut outer = Map::new();
            outer.insert("allOf".to_owned(), json!([all]));
            outer
        }
        Value::Object(all) => all,
        _ => Map::new(),
    };
    all.insert("description".to_owned(), json!(doc));
    all.insert("markdownDescription".to_owned(), json!(doc));
    Value::Object(all)
}

/// An object that has just these keys.
fn closed(required: &[&str], keys: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": keys })
}

fn of_playbook(key: &str) -> Value {
    match key {
        "playbook" => json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }),
        "name" | "description" => reference("text"),
        "language" => json!({ "const": 1 }),
        "enabled" => json!({ "type": "boolean" }),
        "order" => json!({ "type": "integer", "minimum": -1_000_000, "maximum": 1_000_000 }),
        "tenants" => reference("words"),
        "expires" => json!({ "type": "string" }),
        "triggers" => json!({ "type": "array", "minItems": 1, "items": reference("trigger") }),
        "secrets" => json!({ "type": "array", "items": { "type": "string", "pattern": "^[A-Z][A-Z0-9_]*$" } }),
        "mode" => json!({ "enum": ["act", "observe"] }),
        "when" => reference("condition"),
        "vars" => json!({ "type": "object" }),
        "dedupe" => closed(&["window"], json!({ "key": reference("script"), "window": reference("duration") })),
        "concurrency" => closed(
            &["max"],
            json!({ "key": reference("script"), "max": { "type": "integer", "minimum": 1 },
                    "when_full": { "enum": ["queue", "skip", "cancel_oldest"] } }),
        ),
        "throttle" => closed(
            &["count", "per"],
            json!({ "key": reference("script"), "count": { "type": "integer", "minimum": 1 }, "per": reference("duration") }),
        ),
        "fuse" | "expect" => closed(
            &["runs", "per"],
            json!({ "runs": { "type": "integer", "minimum": 1 }, "per": reference("duration") }),
        ),
        "timeout" => reference("duration"),
        "inputs" => json!({ "type": "object", "additionalProperties": reference("declared") }),
        "outputs" => json!({ "type": "object" }),
        "steps" | "on_failure" | "finally" => reference("steps"),
        "tests" => json!({ "type": "array", "items": { "type": "object", "required": ["name"] } }),
        "triggers_itself" => json!({ "enum": ["allow", "deny"] }),
        _ => json!({}),
    }
}

fn declared() -> Value {
    closed(
        &["type"],
        json!({
            "type": { "enum": ["string", "number", "boolean", "list", "object"] },
            "required": { "type": "boolean" },
            "default": {},
            "description": reference("text"),
        }),
    )
}

/// One trigger: its name alone, or its name with settings.
fn trigger() -> Value {
    let names: Vec<&str> = TRIGGERS.iter().map(|(name, _)| *name).collect();
    let settings: Map<String, Value> =
        TRIGGERS.iter().map(|(name, doc)| ((*name).to_owned(), described(of_trigger(name), doc))).collect();
    let snippets: Vec<Value> = TRIGGERS
        .iter()
        .map(|(name, doc)| json!({ "label": name, "description": doc, "body": { *name: {} } }))
        .collect();
    json!({
        "anyOf": [
            { "enum": names },
            { "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1, "properties": settings },
        ],
        "defaultSnippets": snippets,
    })
}

fn of_trigger(name: &str) -> Value {
    let when = reference("condition");
    match name {
        "case.created" | "alert.created" => closed(&[], json!({ "when": when })),
        "case.updated" | "alert.updated" => closed(&[], json!({ "changed": reference("words"), "when": when })),
        "case.stage_changed" => {
            closed(&[], json!({ "from": reference("words"), "to": reference("words"), "when": when }))
        }
        "score.threshold" => closed(
            &["of"],
            json!({
                "of": { "enum": ["host", "account", "user", "ip", "alert", "case"] },
                "score": { "type": "string" }, "above": { "type": "number" },
                "all": { "type": "object", "additionalProperties": { "type": "number" } },
                "dedupe": reference("duration"), "when": when,
            }),
        ),
        "schedule" => closed(
            &["cron"],
            json!({
                "cron": { "type": "string" }, "timezone": { "type": "string" },
                "missed": { "enum": ["skip", "latest", "all"] }, "when": when,
            }),
        ),
        "event" => closed(&[], json!({ "type": reference("words"), "set": { "type": "string" }, "when": when })),
        "event.count" => closed(
            &["at_least", "within"],
            json!({
                "type": reference("words"), "set": { "type": "string" }, "by": reference("script"),
                "at_least": { "type": "integer", "minimum": 1 }, "within": reference("duration"),
                "dedupe": reference("duration"), "when": when,
            }),
        ),
        "case.in_stage" => closed(
            &["stage", "for"],
            json!({ "stage": reference("words"), "for": reference("duration"), "when": when }),
        ),
        "source.silent" => closed(
            &["source", "for"],
            json!({ "source": { "type": "string" }, "for": reference("duration"), "when": when }),
        ),
        "run.failed" | "run.needs_attention" | "playbook.silent" => {
            closed(&[], json!({ "playbook": reference("words"), "when": when }))
        }
        "delivery.failed" => closed(&[], json!({ "destination": reference("words"), "when": when })),
        _ => json!({ "type": "object" }),
    }
}

/// A step: one action or one block.
fn step(actions: &[&ActionSpec]) -> Value {
    let mut keys = properties(STEP_KEYS, |key| of_step(key, actions));
    let mut one_of = vec![json!({ "required": ["action"] })];
    if let Value::Object(keys) = &mut keys {
        for block in BLOCKS {
            keys.insert(block.name.to_owned(), described(of_block(block.name, block.keys), block.doc));
            one_of.push(json!({ "required": [block.name] }));
        }
    }
    let rules: Vec<Value> = actions
        .iter()
        .map(|spec| {
            json!({
                "if": { "required": ["action"], "properties": { "action": { "const": spec.id } } },
                "then": of_action(spec),
            })
        })
        .collect();
    let snippets: Vec<Value> = actions.iter().map(|spec| snippet(spec)).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": keys,
        "oneOf": one_of,
        "allOf": rules,
        "defaultSnippets": snippets,
    })
}

fn of_step(key: &str, actions: &[&ActionSpec]) -> Value {
    match key {
        "id" => json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]*$" }),
        "if" => reference("condition"),
        "action" if actions.is_empty() => json!({ "type": "string" }),
        "action" => json!({ "enum": actions.iter().map(|spec| spec.id).collect::<Vec<_>>() }),
        "with" => json!({ "type": "object" }),
        "timeout" => reference("duration"),
        "retry" => closed(
            &[],
            json!({
                "max": { "type": "integer", "minimum": 0, "maximum": 20 },
                "backoff": { "enum": ["exponential", "linear", "fixed"] },
                "first": reference("duration"), "cap": reference("duration"),
            }),
        ),
        "on_error" => json!({ "anyOf": [{ "enum": ["fail", "continue"] }, reference("steps")] }),
        _ => json!({}),
    }
}

/// What an action needs under `with`.
fn of_action(spec: &ActionSpec) -> Value {
    let required: Vec<&str> = spec.params.iter().filter(|param| param.required).map(|param| param.name).collect();
    let keys: Map<String, Value> =
        spec.params.iter().map(|param| (param.name.to_owned(), described(of_param(param), param.doc))).collect();
    let mut outer = Vec::new();
    if !required.is_empty() {
        outer.push("with");
    }
    json!({ "required": outer, "properties": { "with": closed(&required, Value::Object(keys)) } })
}

fn of_param(param: &Param) -> Value {
    let or_template = |shape: Value| json!({ "anyOf": [shape, reference("template")] });
    match param.ty {
        ParamType::Number => or_template(json!({ "type": "number" })),
        ParamType::Bool => or_template(json!({ "type": "boolean" })),
        ParamType::TextList => reference("texts"),
        ParamType::Destinations => reference("words"),
        ParamType::Duration => or_template(reference("duration")),
        ParamType::OneOf(words) => {
            // Words are taken whatever their case.
            let any: Vec<String> =
                words.iter().flat_map(|word| [(*word).to_owned(), word.to_lowercase(), word.to_uppercase()]).collect();
            let mut any = any;
            any.sort_unstable();
            any.dedup();
            or_template(json!({ "enum": any }))
        }
        ParamType::Headers | ParamType::Query | ParamType::Auth => json!({ "type": ["object", "string"] }),
        ParamType::Url | ParamType::Stage | ParamType::Priority | ParamType::CloseReason | ParamType::Queue => {
            json!({ "type": "string" })
        }
        ParamType::Text | ParamType::Html => reference("text"),
        ParamType::Any => json!({}),
    }
}

fn snippet(spec: &ActionSpec) -> Value {
    let required = spec.params.iter().filter(|param| param.required);
    let with: Map<String, Value> =
        required.enumerate().map(|(at, param)| (param.name.to_owned(), json!(format!("${{{}}}", at + 1)))).collect();
    let body = if with.is_empty() { json!({ "action": spec.id }) } else { json!({ "action": spec.id, "with": with }) };
    json!({ "label": spec.id, "description": spec.title, "body": body })
}

fn of_block(name: &str, keys: &[(&str, &str)]) -> Value {
    let shaped = |required: &[&str]| closed(required, properties(keys, |key| of_block_key(name, key)));
    match name {
        "for_each" => shaped(&["in", "as", "steps"]),
        "parallel" => shaped(&["branches"]),
        "switch" => json!({ "type": "array", "minItems": 1, "items": shaped(&["steps"]) }),
        "repeat" => shaped(&["until", "every", "max", "steps"]),
        "try" => shaped(&["steps"]),
        "call" => shaped(&["playbook"]),
        "approve" => shaped(&["ask", "deadline", "on_deadline"]),
        "set" => json!({ "type": "object", "minProperties": 1 }),
        _ => shaped(&[]),
    }
}

fn of_block_key(block: &str, key: &str) -> Value {
    match (block, key) {
        (_, "steps" | "catch" | "finally") => reference("steps"),
        (_, "when" | "until") if block != "wait" => reference("condition"),
        ("for_each", "in") => json!({ "type": ["string", "array"] }),
        ("for_each", "max_parallel") => json!({ "type": "integer", "minimum": 1, "maximum": 50 }),
        ("for_each", "as") | ("call", "playbook") => json!({ "type": "string" }),
        ("parallel", "branches") => json!({
            "type": "array", "minItems": 2,
            "items": closed(&["id", "steps"], json!({ "id": { "type": "string" }, "steps": reference("steps") })),
        }),
        ("switch", "else") => json!({ "const": true }),
        ("repeat", "max") => json!({ "type": "integer", "minimum": 1, "maximum": 10_000 }),
        (_, "every" | "for" | "timeout" | "deadline") => reference("duration"),
        ("wait", "event") => closed(&["type"], json!({ "type": reference("words"), "when": reference("condition") })),
        ("wait", "on_timeout") => json!({ "enum": ["fail", "continue"] }),
        ("call", "inputs") => json!({ "type": "object" }),
        ("approve", "by") => json!({ "enum": ["approver", "admin"] }),
        ("approve", "fields") => json!({ "type": "object", "additionalProperties": reference("declared") }),
        ("approve", "on_deadline") => json!({ "enum": ["approve", "deny", "fail"] }),
        ("stop", "outcome") => json!({ "enum": ["succeeded", "failed"] }),
        _ => json!({}),
    }
}
