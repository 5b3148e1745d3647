//! How a step that sends to several destinations stands when all of them have ended.

use model::run::{Attempt, AttemptOutcome, StepError};
use serde_json::{Value, json};

use super::send::{Parcel, last};
use super::{Call, StepResult};

/// How the step stands when every destination has ended.
pub(super) fn sum_up(call: &Call<'_>, parcel: &Parcel, now: &[Attempt]) -> StepResult {
    let latest = |id: &str| {
        let is = |attempt: &&Attempt| attempt.destination.as_deref() == Some(id);
        now.iter().rfind(is).or_else(|| last(call, id))
    };
    let mut items = Vec::new();
    let mut failures: Vec<(&str, &Attempt)> = Vec::new();
    let (mut delivered, mut reasons) = (0, Vec::new());
    for id in &parcel.to {
        let Some(attempt) = latest(id) else { continue };
        let (status, reason) = match &attempt.outcome {
            AttemptOutcome::Succeeded => {
                delivered += 1;
                ("delivered", None)
            }
            AttemptOutcome::Suppressed { reason } => {
                reasons.push(format!("{id}: {reason}"));
                ("suppressed", Some(reason.as_str()))
            }
            AttemptOutcome::Failed | AttemptOutcome::Retry { .. } | AttemptOutcome::Held => {
                failures.push((id, attempt));
                ("failed", None)
            }
        };
        items.push(json!({
            "destination": id, "status": status, "reason": reason, "http_status": attempt.http_status, "attempts": attempt.n,
        }));
    }
    if !failures.is_empty() {
        return fail(call, &failures);
    }
    let output = json!({ "delivered": delivered, "deliveries": Value::Array(items) });
    if delivered == 0 && !parcel.to.is_empty() {
        return StepResult::Skipped { output, reason: reasons.join("; ") };
    }
    StepResult::Done { output }
}

/// The failure of a step names every destination that failed.
fn fail(call: &Call<'_>, failures: &[(&str, &Attempt)]) -> StepResult {
    let code = failures.iter().find_map(|(_, attempt)| attempt.error.as_ref()).map_or("delivery", |e| e.code.as_str());
    let text = |(id, attempt): &(&str, &Attempt)| {
        let why = attempt.error.as_ref().map_or("it failed", |e| e.message.as_str());
        let tries = if attempt.n == 1 { "1 try".to_owned() } else { format!("{} tries", attempt.n) };
        format!("{id}: {why} ({tries})")
    };
    let message = failures.iter().map(text).collect::<Vec<_>>().join("; ");
    let at = call.with.get("to").map(|template| (template.span().line, template.span().column));
    let error = StepError { code: code.to_owned(), message, at };
    if error.code == "timeout" && call.timeout.is_some() {
        StepResult::TimedOut(error)
    } else {
        StepResult::Failed(error)
    }
}
