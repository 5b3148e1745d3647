//! `case.create_from_alert`: makes a case out of an alert, one for each alert however often it is asked.

use model::record::{PRIORITIES, priority};
use model::run::StepError;
use model::{Kind, Object, ObjectKey};
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::{Value, json};

use super::local::{ALERT, Here, Local, Wish};
use super::render::Params;
use super::set_queue::queue;
use super::set_stage::stage;
use super::{If, LocalChange};

/// The fields that a case takes over from its alert.
const TAKEN: [&str; 18] = [
    "name",
    "description",
    "risk_score",
    "priority",
    "tags",
    "mitres",
    "use_cases",
    "users",
    "endpoints",
    "src_ips",
    "dest_ips",
    "products",
    "vendors",
    "rules",
    "grouped_by",
    "detections",
    "link",
    "threat_summary",
];

/// For alerts.
pub(super) static CASE_CREATE_FROM_ALERT: Local = Local {
    spec: &ActionSpec {
        id: "case.create_from_alert",
        title: "Create a case from an alert",
        doc: "Makes a case with what is known of the alert. An alert has one case: asked again, the step answers with the \
              case that is there.",
        effect: Effect::Idempotent,
        about: Some(Kind::Alert),
        network: false,
        params: &[
            Param {
                name: "name",
                ty: ParamType::Text,
                required: false,
                doc: "the case's name; the alert's when it is not given",
            },
            Param {
                name: "priority",
                ty: ParamType::Priority,
                required: false,
                doc: "the priority; the alert's when it is not given",
            },
            Param {
                name: "stage",
                ty: ParamType::Stage,
                required: false,
                doc: "the stage; the first when it is not given",
            },
            Param { name: "queue", ty: ParamType::Queue, required: false, doc: "the queue" },
            ALERT,
        ],
        output: "`case_id`: the case. `created`: whether it was made now.",
        example: "- id: open\n  action: case.create_from_alert\n  with: { stage: New, queue: Tier 1 Analyst }\n",
    },
    kind: Kind::Alert,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let alert = here.state()?;
    if let Some(case) = alert.text("case_id") {
        return Ok(Wish { changes: Vec::new(), output: json!({ "case_id": case, "created": false }) });
    }
    // The id follows from the alert: two runs that ask at once get the same case.
    let id = format!("case-{}", here.object.id);
    let key = ObjectKey { tenant: here.object.tenant.clone(), kind: Kind::Case, id: id.clone() };
    let mut case = LocalChange { if_object: If::Missing, ..LocalChange::of(key, "case.created") };
    take_over(&mut case, &alert, here);
    let stage =
        if params.template("stage").is_some() { stage(here, params)? } else { here.call.ctx.words.first().to_owned() };
    case.fields.insert("stage".to_owned(), json!(stage));
    if let Some(name) = params.text("name")? {
        case.fields.insert("name".to_owned(), json!(name));
    }
    if let Some(text) = params.text("priority")? {
        let name =
            priority(&text).ok_or_else(|| params.wrong("priority", &format!("one of {}", PRIORITIES.join(", "))))?;
        case.fields.insert("priority".to_owned(), json!(name));
    }
    if params.template("queue").is_some() {
        case.fields.insert("queue".to_owned(), json!(queue(here, params)?));
    }
    let mut linked = here.change();
    linked.fields.insert("case_id".to_owned(), json!(id));
    Ok(Wish { changes: vec![case, linked], output: json!({ "case_id": id, "created": true }) })
}

fn take_over(case: &mut LocalChange, alert: &Object, here: &Here<'_>) {
    for name in TAKEN {
        if let Some(value) = alert.record.get(name) {
            case.fields.insert(name.to_owned(), value.clone());
        }
    }
    case.fields.insert("alert_id".to_owned(), json!(here.object.id));
    let created = alert.record.get("created_time").cloned().unwrap_or(Value::Null);
    if !created.is_null() {
        case.fields.insert("alert_created_time".to_owned(), created);
    }
    case.fields.insert("created_time".to_owned(), json!(here.call.now));
}
