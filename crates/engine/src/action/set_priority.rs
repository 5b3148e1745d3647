//! `case.set_priority`, `alert.set_priority`: changes the priority; the score stays as it is.

use model::Kind;
use model::record::{PRIORITIES, priority};
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::json;

use super::local::{ALERT, ALERT_OUTPUT, CASE, CASE_OUTPUT, Here, Local, Wish};
use super::render::Params;

const PRIORITY: Param =
    Param { name: "priority", ty: ParamType::Priority, required: true, doc: "low, medium, high or critical" };

/// For cases.
pub(super) static CASE_SET_PRIORITY: Local = Local {
    spec: &ActionSpec {
        id: "case.set_priority",
        title: "Change the priority of a case",
        doc: "Changes the priority. The risk score stays as it is.",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params: &[PRIORITY, CASE],
        output: CASE_OUTPUT,
        example: "- id: raise\n  action: case.set_priority\n  with: { priority: critical }\n",
    },
    kind: Kind::Case,
    wish,
};

/// For alerts.
pub(super) static ALERT_SET_PRIORITY: Local = Local {
    spec: &ActionSpec {
        id: "alert.set_priority",
        title: "Change the priority of an alert",
        doc: "Changes the priority. The risk score stays as it is.",
        effect: Effect::Idempotent,
        about: Some(Kind::Alert),
        network: false,
        params: &[PRIORITY, ALERT],
        output: ALERT_OUTPUT,
        example: "- id: raise\n  action: alert.set_priority\n  with: { priority: high }\n",
    },
    kind: Kind::Alert,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let text = params.needed("priority")?;
    let name = priority(&text).ok_or_else(|| params.wrong("priority", &format!("one of {}", PRIORITIES.join(", "))))?;
    let mut change = here.change();
    change.fields.insert("priority".to_owned(), json!(name));
    Ok(here.wish(vec![change]))
}
