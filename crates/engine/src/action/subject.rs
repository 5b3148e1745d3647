//! What a message is about: the alert, the case or the entity that the run is about.

use model::run::{RunStart, StepError};
use model::{Kind, Object, ObjectKey};
use serde_json::Value;

use super::Call;
use super::render::error;

/// The object that a message of this run is about. A run that an alert started is also about the alert's case: then what
/// the trigger speaks of is sent.
pub(crate) fn subject(start: &RunStart) -> Option<ObjectKey> {
    let trigger = start.trigger.get("kind").and_then(Value::as_str).unwrap_or_default();
    let order = if trigger.starts_with("alert.") {
        [Kind::Alert, Kind::Case, Kind::Entity]
    } else {
        [Kind::Case, Kind::Alert, Kind::Entity]
    };
    order.into_iter().find_map(|kind| start.object(kind))
}

/// The stored state of an object; nothing when it is not known here.
pub(super) fn state(call: &Call<'_>, key: &ObjectKey) -> Result<Option<Object>, StepError> {
    call.ctx.objects.object(key).map_err(|_| error("store", "the state of the object cannot be read"))
}

/// What an object is, as destinations choose by it: `alert`, `case`, or the entity's kind; `event` when there is none.
pub(super) fn kind_name(key: Option<&ObjectKey>) -> &str {
    match key {
        None => "event",
        Some(key) if key.kind == Kind::Entity => key.id.split('/').next().unwrap_or("entity"),
        Some(key) => key.kind.name(),
    }
}

/// The name of an object in a window: `alert:A-1`, `host:ws-17`, with the tenant in front where it is not `default`.
pub(super) fn window_name(start: &RunStart, key: Option<&ObjectKey>) -> String {
    let name = match key {
        None => format!("playbook:{}", start.playbook),
        Some(key) if key.kind == Kind::Entity => key.id.replacen('/', ":", 1),
        Some(key) => format!("{}:{}", key.kind, key.id),
    };
    if start.tenant == "default" { name } else { format!("{}/{name}", start.tenant) }
}
