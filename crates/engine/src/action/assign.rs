//! `case.assign`: gives a case to a person.

use model::Kind;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::{Value, json};

use super::local::{CASE, Here, Local, Wish};
use super::render::Params;
use super::set_queue::may_have;

/// For cases.
pub(super) static CASE_ASSIGN: Local = Local {
    spec: &ActionSpec {
        id: "case.assign",
        title: "Change the assignee of a case",
        doc: "Gives the case to a person. Where queues with members are configured, somebody who is no member of the case's \
              queue cannot have it: the case becomes unassigned. An empty text takes the assignee off.",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params: &[Param { name: "assignee", ty: ParamType::Text, required: true, doc: "the person" }, CASE],
        output: "`case_id`: the case. `assignee`: who has it now; `null` when nobody.",
        example: "- id: give\n  action: case.assign\n  with: { assignee: alice }\n",
    },
    kind: Kind::Case,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let person = params.text("assignee")?.unwrap_or_default();
    let case = here.state()?;
    let has = !person.is_empty() && may_have(here, case.text("queue"), &person);
    let assignee = if has { json!(person) } else { Value::Null };
    let mut change = here.change();
    change.fields.insert("assignee".to_owned(), assignee.clone());
    Ok(Wish { changes: vec![change], output: json!({ "case_id": here.object.id, "assignee": assignee }) })
}
