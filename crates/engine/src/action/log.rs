//! `log`: writes a line into the server's log and the run's history.

use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::Value;

use super::{Action, Call, Outcome, StepResult};

/// The verb.
pub(super) struct Log;

static SPEC: ActionSpec = ActionSpec {
    id: "log",
    title: "Write a log line",
    doc: "Writes a line into the server's log; the step keeps it in the run's history.",
    effect: Effect::Idempotent,
    about: None,
    network: false,
    params: &[
        Param { name: "message", ty: ParamType::Text, required: true, doc: "the text" },
        Param {
            name: "level",
            ty: ParamType::OneOf(&["debug", "info", "warn", "error"]),
            required: false,
            doc: "how loud; `info` when it is not given",
        },
    ],
    output: "Nothing.",
    example: "- id: note\n  action: log\n  with: { message: \"risk is ${{ alert.risk_score }}\", level: warn }\n",
};

#[async_trait::async_trait]
impl Action for Log {
    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    async fn run(&self, _call: Call<'_>) -> Outcome {
        Outcome::plain(Value::Null, StepResult::Done { output: Value::Null })
    }
}
