//! `webhook.send_threat_details`: "Send all threat details via webhook".

use bytes::Bytes;
use model::run::StepError;
use model::{Input, Record};
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::render::{Params, error};
use super::send::{Body, Parcel, send};
use super::subject::{state, subject};
use super::{Action, Call, Outcome, StepResult};
use crate::chat;
use crate::outbound::destination::{Destination, Manner, TimeFormat};
use crate::payload::ThreatDetails;

/// The verb.
pub(super) struct SendThreatDetails;

/// The message with times as text, in what is recorded.
const BODY: &str = "body";
/// The message with times as numbers.
const BODY_MICROS: &str = "body_epoch_micros";
const BODY_TEAMS: &str = "body_teams";
const BODY_SLACK: &str = "body_slack";

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
          keys of `docs/threat-details.schema.json`, or as a card or blocks where the destination is Teams or Slack. Destinations get it at the same time, each with its own tries; only \
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
            Ok((parcel, input)) => {
                let posted = send(&call, &parcel).await;
                let changes = Vec::new();
                Outcome { input, attempts: posted.attempts, result: posted.result, changes, windows: posted.windows }
            }
        }
    }
}

/// What is recorded: the parameters, and the message as the text that is sent.
#[derive(Serialize)]
struct Recorded<'a> {
    body: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_epoch_micros: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_teams: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_slack: Option<&'a RawValue>,
    #[serde(flatten)]
    params: &'a Record,
}

fn prepare(call: &Call<'_>, params: &mut Params<'_>) -> Result<(Parcel, Input), StepError> {
    let to = params.texts("to")?;
    let dedupe = params.period("dedupe")?;
    let about = subject(call.start);
    let (mut plain, mut micros) = (text(params.known(BODY))?, text(params.known(BODY_MICROS))?);
    let (mut teams, mut slack) = (text(params.known(BODY_TEAMS))?, text(params.known(BODY_SLACK))?);
    let mut priority = None;
    if plain.is_none() {
        let key = about.as_ref().ok_or_else(|| {
            error("no_subject", "the run is about no alert, case or entity, so there are no threat details to send")
        })?;
        let object = state(call, key)?.ok_or_else(|| {
            error("no_subject", format!("nothing is known of {key}, so there are no threat details to send"))
        })?;
        priority = object.text("priority").map(str::to_owned);
        let closed = call.ctx.words.closed();
        let render = |format| text(Some(&ThreatDetails::of(key.kind, &object, closed, format)));
        plain = render(TimeFormat::Rfc3339)?;
        let destinations = call.ctx.destinations();
        let wanted =
            |is: &dyn Fn(&Destination) -> bool| to.iter().filter_map(|id| destinations.map.get(id)).any(|one| is(one));
        if wanted(&|one| one.time_format == TimeFormat::EpochMicros) {
            micros = render(TimeFormat::EpochMicros)?;
        }
        if wanted(&|one| one.manner != Manner::Webhook) {
            let details = ThreatDetails::of(key.kind, &object, closed, TimeFormat::Rfc3339);
            let details = serde_json::to_value(&details).map_err(|why| error("internal", why.to_string()))?;
            let link = chat::link(&details, call.ctx.public_url.as_deref());
            teams = text(
                wanted(&|one| one.manner == Manner::Teams).then(|| chat::card(&details, link.as_deref())).as_ref(),
            )?;
            slack = text(
                wanted(&|one| one.manner == Manner::Slack).then(|| chat::blocks(&details, link.as_deref())).as_ref(),
            )?;
        }
    }
    let plain = plain.unwrap_or_default();
    let recorded = Recorded {
        body: &plain,
        body_epoch_micros: micros.as_deref(),
        body_teams: teams.as_deref(),
        body_slack: slack.as_deref(),
        params: &params.recorded,
    };
    let input = Input::from(text(Some(&recorded))?.unwrap_or_default());
    let bytes = |text: Box<RawValue>| Bytes::from(Box::<str>::from(text).into_string());
    let body = Body {
        plain: bytes(plain),
        micros: micros.map(bytes),
        teams: teams.map(bytes),
        slack: slack.map(bytes),
        content_type: "application/json",
    };
    Ok((Parcel { to, dedupe, about, priority, body, headers: Vec::new() }, input))
}

/// Something as JSON text.
fn text<T: Serialize>(what: Option<&T>) -> Result<Option<Box<RawValue>>, StepError> {
    what.map(to_raw_value).transpose().map_err(|why| error("internal", why.to_string()))
}
