//! `webhook.send`: sends a body of its own to destinations.

use bytes::Bytes;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::Value;

use super::parts::headers;
use super::render::Params;
use super::send::{Body, Parcel, send};
use super::subject::{state, subject};
use super::webhook_send_threat_details::{DEDUPE, TO};
use super::{Action, Call, Outcome, StepResult};
use crate::chat;

/// The verb.
pub(super) struct Send;

static SPEC: ActionSpec = ActionSpec {
    id: "webhook.send",
    title: "Send a webhook",
    doc: "Sends a body of its own to one or more destinations. A text is sent as it is (to Teams and Slack as a message with that text), anything else as JSON. Destinations \
          get it at the same time, each with its own tries; only those that failed are tried again, with the same bytes and \
          the same `webhook-id`.",
    effect: Effect::Idempotent,
    about: None,
    network: true,
    params: &[
        TO,
        Param { name: "body", ty: ParamType::Any, required: true, doc: "what is sent" },
        Param {
            name: "headers",
            ty: ParamType::Headers,
            required: false,
            doc: "further headers; `${secret:NAME}` may stand as a value or at the end of one. Those of the destination win",
        },
        DEDUPE,
    ],
    output: "`delivered`: how many destinations took it. `deliveries`: for each destination `destination`, `status` \
             (`delivered`, `suppressed`), `reason`, `http_status`, `attempts`.",
    example: "- id: tell\n  action: webhook.send\n  with:\n    to: soc-desk\n    body: { title: \"${{ alert.name }}\", score: \"${{ alert.risk_score }}\" }\n",
};

#[async_trait::async_trait]
impl Action for Send {
    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    async fn run(&self, call: Call<'_>) -> Outcome {
        let mut params = Params::of(&call);
        match prepare(&call, &mut params) {
            Err(why) => Outcome::plain(Value::Object(params.recorded), StepResult::Failed(why)),
            Ok(parcel) => {
                let posted = send(&call, &parcel).await;
                Outcome {
                    attempts: posted.attempts,
                    windows: posted.windows,
                    ..Outcome::plain(Value::Object(params.recorded), posted.result)
                }
            }
        }
    }
}

fn prepare(call: &Call<'_>, params: &mut Params<'_>) -> Result<Parcel, StepError> {
    let to = params.texts("to")?;
    let dedupe = params.period("dedupe")?;
    let body = params.value("body")?.unwrap_or(Value::Null);
    let headers = headers(call, params)?;
    let about = subject(call.start);
    let destinations = call.ctx.destinations();
    let asks = to.iter().filter_map(|id| destinations.map.get(id)).any(|one| one.min_severity.is_some());
    let priority = match &about {
        Some(key) if asks => state(call, key)?.and_then(|object| object.text("priority").map(str::to_owned)),
        _ => None,
    };
    let (plain, content_type) = bytes(&body);
    // A text becomes a message of the chat; anything else is taken to be one already.
    let said = |form: fn(&str) -> Value| body.as_str().map(|text| Bytes::from(form(text).to_string()));
    Ok(Parcel {
        to,
        dedupe,
        about,
        priority,
        body: Body { teams: said(chat::text_card), slack: said(chat::text_message), plain, micros: None, content_type },
        headers,
    })
}

/// A body as it is sent, and what it is.
pub(super) fn bytes(body: &Value) -> (Bytes, &'static str) {
    match body {
        Value::Null => (Bytes::new(), "application/json"),
        Value::String(text) => (text.clone().into(), "text/plain; charset=utf-8"),
        other => (other.to_string().into(), "application/json"),
    }
}
