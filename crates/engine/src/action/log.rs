//! `log`: writes a line into the server's log; the step keeps it in the run's history.

use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::{Value, json};

use super::render::Params;
use super::{Action, Call, Outcome, StepResult};

/// The verb.
pub(super) struct Log;

/// Most characters of a line; a longer one is cut.
const LINE_CHARS_MAX: usize = 2_000;

static SPEC: ActionSpec = ActionSpec {
    id: "log",
    title: "Write a log line",
    doc: "Writes a line into the server's log. The whole text stays in the run's history; in the log it is one line, cut \
          after 2,000 characters.",
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
    output: "`message`: the text.",
    example: "- id: note\n  action: log\n  with: { message: \"risk is ${{ alert.risk_score ?? 0 }}\", level: warn }\n",
};

#[async_trait::async_trait]
impl Action for Log {
    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    async fn run(&self, call: Call<'_>) -> Outcome {
        let mut params = Params::of(&call);
        let written = write(&call, &mut params);
        let input = Value::Object(params.recorded);
        match written {
            Err(why) => Outcome::plain(input, StepResult::Failed(why)),
            Ok(message) => Outcome::plain(input, StepResult::Done { output: json!({ "message": message }) }),
        }
    }
}

fn write(call: &Call<'_>, params: &mut Params<'_>) -> Result<String, StepError> {
    let message = params.text("message")?.unwrap_or_default();
    let level = params.text("level")?.unwrap_or_else(|| "info".to_owned());
    let line: String = message.chars().take(LINE_CHARS_MAX).map(|c| if is_plain(c) { c } else { ' ' }).collect();
    let (run, playbook, step) = (call.start.id, call.start.playbook.as_str(), call.path);
    match level.as_str() {
        "debug" => tracing::debug!(%run, playbook, step, "{line}"),
        "info" => tracing::info!(%run, playbook, step, "{line}"),
        "warn" => tracing::warn!(%run, playbook, step, "{line}"),
        "error" => tracing::error!(%run, playbook, step, "{line}"),
        _ => return Err(params.wrong("level", "debug, info, warn or error")),
    }
    Ok(message)
}

/// Whether a character may go to a terminal: no control characters, and none that turn the direction of writing around.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}
