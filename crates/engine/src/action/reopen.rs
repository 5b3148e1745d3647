//! `case.reopen`: takes a case out of the last stage.

use model::Kind;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::json;

use super::local::{CASE, CASE_OUTPUT, Here, Local, Wish};
use super::render::Params;
use super::set_stage::stage;

/// For cases.
pub(super) static CASE_REOPEN: Local = Local {
    spec: &ActionSpec {
        id: "case.reopen",
        title: "Reopen a case",
        doc: "Moves a closed case to another stage; its closing time and reasons are cleared. A case that is not closed \
              stays as it is.",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params: &[
            Param {
                name: "stage",
                ty: ParamType::Stage,
                required: false,
                doc: "the stage to go on in; the first when it is not given",
            },
            CASE,
        ],
        output: CASE_OUTPUT,
        example: "- id: reopen\n  action: case.reopen\n  with: { stage: Investigation }\n",
    },
    kind: Kind::Case,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let words = &here.call.ctx.words;
    let to = if params.template("stage").is_some() { stage(here, params)? } else { words.first().to_owned() };
    if to == words.closed() {
        return Err(params.wrong("stage", "a stage in which a case is not closed"));
    }
    if here.state()?.text("stage") != Some(words.closed()) {
        return Ok(here.wish(Vec::new()));
    }
    let mut change = here.change();
    change.fields.insert("stage".to_owned(), json!(to));
    Ok(here.wish(vec![change]))
}
