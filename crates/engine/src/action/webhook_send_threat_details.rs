//! `webhook.send_threat_details`: "Send all threat details via webhook".

use bytes::Bytes;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::Value;

use super::render::{Params, error};
use super::send::{Body, Parcel, send};
use super::subject::{state, subject};
use super::{Action, Call, Outcome, StepResult};
use crate::outbound::destination::TimeFormat;
use crate::payload::threat_details;

/// The verb.
pub(super) struct SendThreatDetails;

/// The message with times as text, in what is recorded.
const BODY: &str = "body";
/// The message with times as numbers.
const BODY_MICROS: &str = "body_epoch_micros";

pub(super) const TO: Param =
    Param { name: "to", ty: ParamType::Destinations, required: true, doc: "a destination, or a list of them" };
pub(super) const DEDUPE: Param = Param {
    name: "dedupe",
    ty: ParamType::Duration,
    required: false,
    doc: "how long each destination hears nothing more about the same alert, case or entity; wins over the destination's own",
};

static SPEC: ActionSpec = ActionSpec {
    id: "webhook.send_threat_details",
    title: "Send all threat details via webhook",
    doc: "Sends everything that is known of the alert or case to one or more destinations, as one JSON object with the \
          keys of `docs/threat-details.schema.json`. Destinations get it at the same time, each with its own tries; only \
          those that failed are tried again, with the same bytes and the same `webhook-id`. About a host, account, user or \
          address it sends the scores.",
    effect: Effect::Idempotent,
    about: None,
    network: true,
    params: &[TO, DEDUPE],
    output: "`delivered`: how many destinations took it. `deliveries`: for each destination `destination`, `status` \
             (`delivered`, `suppressed`), `reason`, `http_status`, `attempts`.",
    example: "- id: send\n  action: webhook.send_threat_details\n  with: { to: [soc-desk, siem], dedupe: 6h }\n",
};

#[async_trait::async_trait]
impl Action for SendThreatDetails {
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
                    input: Value::Object(params.recorded),
                    attempts: posted.attempts,
                    result: posted.result,
                    changes: Vec::new(),
                    windows: posted.windows,
                }
            }
        }
    }
}

fn prepare(call: &Call<'_>, params: &mut Params<'_>) -> Result<Parcel, StepError> {
    let to = params.texts("to")?;
    let dedupe = params.period("dedupe")?;
    let about = subject(call.start);
    let destinations = call.ctx.destinations();
    let wants = |format| to.iter().filter_map(|id| destinations.map.get(id)).any(|one| one.time_format == format);
    let mut priority = None;
    if params.known(BODY).is_none() {
        let key = about.as_ref().ok_or_else(|| {
            error("no_subject", "the run is about no alert, case or entity, so there are no threat details to send")
        })?;
        let object = state(call, key)?.ok_or_else(|| {
            error("no_subject", format!("nothing is known of {key}, so there are no threat details to send"))
        })?;
        priority = object.text("priority").map(str::to_owned);
        let closed = call.ctx.words.closed();
        let render = |format| threat_details(key.kind, &object, closed, format);
        params.recorded.insert(BODY.to_owned(), render(TimeFormat::Rfc3339));
        if wants(TimeFormat::EpochMicros) {
            params.recorded.insert(BODY_MICROS.to_owned(), render(TimeFormat::EpochMicros));
        }
    }
    for name in [BODY, BODY_MICROS] {
        if let Some(known) = params.known(name) {
            params.recorded.insert(name.to_owned(), known.clone());
        }
    }
    let bytes = |name: &str| params.recorded.get(name).and_then(|body| serde_json::to_vec(body).ok()).map(Bytes::from);
    let plain = bytes(BODY).unwrap_or_default();
    let body = Body { plain, micros: bytes(BODY_MICROS), content_type: "application/json" };
    Ok(Parcel { to, dedupe, about, priority, body, headers: Vec::new() })
}
