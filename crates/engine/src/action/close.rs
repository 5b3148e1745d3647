//! `case.close`: closes a case and says why.

use model::Kind;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::json;

use super::local::{CASE, CASE_OUTPUT, Here, Local, Wish};
use super::render::{Params, error};
use super::{If, LocalChange};

/// For cases.
pub(super) static CASE_CLOSE: Local = Local {
    spec: &ActionSpec {
        id: "case.close",
        title: "Close a case",
        doc: "Moves the case to the last stage, with a predefined reason. A case that is closed cannot be closed again: the \
              step fails.",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params: &[
            Param {
                name: "reason",
                ty: ParamType::CloseReason,
                required: true,
                doc: "one of the predefined reasons; compared without case",
            },
            Param { name: "supporting_reason", ty: ParamType::Text, required: false, doc: "a comment on the reason" },
            CASE,
        ],
        output: CASE_OUTPUT,
        example: "- id: close\n  action: case.close\n  with: { reason: Low Risk, supporting_reason: known scanner }\n",
    },
    kind: Kind::Case,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let words = &here.call.ctx.words;
    let text = params.needed("reason")?;
    let reason = words
        .close_reason(&text)
        .ok_or_else(|| params.wrong("reason", &format!("one of {}", words.close_reasons.join(", "))))?;
    let supporting = params.text("supporting_reason")?.filter(|text| !text.is_empty());
    if here.state()?.text("stage") == Some(words.closed()) {
        return Err(error("already_closed", format!("case `{}` is already closed", here.object.id)));
    }
    let mut change = LocalChange { if_object: If::Open, ..here.change() };
    change.fields.insert("stage".to_owned(), json!(words.closed()));
    change.fields.insert("closed_reason".to_owned(), json!(reason));
    change.fields.insert("close_supporting_reason".to_owned(), json!(supporting));
    Ok(here.wish(vec![change]))
}
