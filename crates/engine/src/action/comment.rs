//! `case.comment`, `alert.comment`: writes a comment into the history of a case or an alert.

use model::Kind;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::json;

use super::LocalChange;
use super::local::{ALERT, ALERT_OUTPUT, CASE, CASE_OUTPUT, Here, Local, Wish};
use super::render::Params;

const TEXT: Param = Param { name: "text", ty: ParamType::Text, required: true, doc: "the comment" };

/// For cases.
pub(super) static CASE_COMMENT: Local = Local {
    spec: &ActionSpec {
        id: "case.comment",
        title: "Comment on a case",
        doc: "Writes a comment into the case's history.",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params: &[TEXT, CASE],
        output: CASE_OUTPUT,
        example: "- id: note\n  action: case.comment\n  with: { text: \"risk is ${{ case.risk_score ?? 0 }}\" }\n",
    },
    kind: Kind::Case,
    wish,
};

/// For alerts.
pub(super) static ALERT_COMMENT: Local = Local {
    spec: &ActionSpec {
        id: "alert.comment",
        title: "Comment on an alert",
        doc: "Writes a comment into the alert's history.",
        effect: Effect::Idempotent,
        about: Some(Kind::Alert),
        network: false,
        params: &[TEXT, ALERT],
        output: ALERT_OUTPUT,
        example: "- id: note\n  action: alert.comment\n  with: { text: seen by automation }\n",
    },
    kind: Kind::Alert,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let text = params.needed("text")?;
    let kind = format!("{}.commented", here.object.kind);
    let change = LocalChange { data: json!({ "text": text }), ..LocalChange::of(here.object.clone(), kind) };
    Ok(here.wish(vec![change]))
}
