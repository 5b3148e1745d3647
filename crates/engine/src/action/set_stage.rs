//! `case.set_stage`: moves a case to another stage.

use model::Kind;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::json;

use super::local::{CASE, CASE_OUTPUT, Here, Local, Wish};
use super::render::Params;

/// For cases.
pub(super) static CASE_SET_STAGE: Local = Local {
    spec: &ActionSpec {
        id: "case.set_stage",
        title: "Change the stage of a case",
        doc: "Moves the case to another stage. Moving it out of the last stage reopens it. To close a case and say why, use \
              `case.close`.",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params: &[
            Param { name: "stage", ty: ParamType::Stage, required: true, doc: "the stage; compared without case" },
            CASE,
        ],
        output: CASE_OUTPUT,
        example: "- id: investigate\n  action: case.set_stage\n  with: { stage: Investigation }\n",
    },
    kind: Kind::Case,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let stage = stage(here, params)?;
    let mut change = here.change();
    change.fields.insert("stage".to_owned(), json!(stage));
    Ok(here.wish(vec![change]))
}

/// The canonical name of the stage that is asked for.
pub(super) fn stage(here: &Here<'_>, params: &mut Params<'_>) -> Result<String, StepError> {
    let text = params.needed("stage")?;
    let words = &here.call.ctx.words;
    words
        .stage(&text)
        .map(str::to_owned)
        .ok_or_else(|| params.wrong("stage", &format!("one of {}", words.stages.join(", "))))
}
