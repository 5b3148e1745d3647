//! What all changes of alerts and cases share: finding the object, and the shape of a verb.
//!
//! Invariant: a verb answers a wish, the writer carries it out against the state of that moment, together with the
//! step's outcome; a verb never changes anything itself.

use model::run::StepError;
use model::{Kind, Object, ObjectKey};
use playbook::{ActionSpec, Param, ParamType};
use serde_json::{Value, json};

use super::render::{Params, error};
use super::subject::state;
use super::{Action, Call, LocalChange, Outcome, StepResult};

/// The parameter that names another case than the run's.
pub(super) const CASE: Param = Param {
    name: "case",
    ty: ParamType::Text,
    required: false,
    doc: "the id of a case; without it, the case that the run is about",
};
/// The parameter that names another alert than the run's.
pub(super) const ALERT: Param = Param {
    name: "alert",
    ty: ParamType::Text,
    required: false,
    doc: "the id of an alert; without it, the alert that the run is about",
};
/// What a verb answers about a case.
pub(super) const CASE_OUTPUT: &str = "`case_id`: the case.";
/// What a verb answers about an alert.
pub(super) const ALERT_OUTPUT: &str = "`alert_id`: the alert.";

/// A verb that changes an alert or a case.
pub(super) struct Local {
    pub(super) spec: &'static ActionSpec,
    pub(super) kind: Kind,
    pub(super) wish: fn(&Here<'_>, &mut Params<'_>) -> Result<Wish, StepError>,
}

/// Where a verb acts.
pub(super) struct Here<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) object: ObjectKey,
}

/// What a verb wants.
pub(super) struct Wish {
    pub(super) changes: Vec<LocalChange>,
    pub(super) output: Value,
}

impl Here<'_> {
    /// A change of the object, with nothing in it yet.
    pub(super) fn change(&self) -> LocalChange {
        LocalChange::of(self.object.clone(), format!("{}.updated", self.object.kind))
    }

    /// The object's state; it must exist.
    pub(super) fn state(&self) -> Result<Object, StepError> {
        state(self.call, &self.object)?
            .ok_or_else(|| error("not_found", format!("there is no {} `{}`", self.object.kind, self.object.id)))
    }

    /// A wish for one change, or none, with the object's id as the answer.
    pub(super) fn wish(&self, changes: Vec<LocalChange>) -> Wish {
        Wish { changes, output: json!({ format!("{}_id", self.object.kind): self.object.id }) }
    }
}

#[async_trait::async_trait]
impl Action for Local {
    fn spec(&self) -> &'static ActionSpec {
        self.spec
    }

    async fn run(&self, call: Call<'_>) -> Outcome {
        let mut params = Params::of(&call);
        let done = find(&call, &mut params, self.kind)
            .and_then(|object| (self.wish)(&Here { call: &call, object }, &mut params));
        let input = Value::Object(params.recorded);
        match done {
            Err(why) => Outcome::plain(input, StepResult::Failed(why)),
            Ok(wish) => {
                Outcome { changes: wish.changes, ..Outcome::plain(input, StepResult::Done { output: wish.output }) }
            }
        }
    }
}

/// The object that is meant: the one that a parameter names, else the one that the run is about. A run about an alert is
/// also about the alert's case, even if that was made meanwhile.
fn find(call: &Call<'_>, params: &mut Params<'_>, kind: Kind) -> Result<ObjectKey, StepError> {
    let named = params.text(kind.name())?.filter(|id| !id.is_empty());
    if let Some(id) = named {
        return Ok(ObjectKey { tenant: call.start.tenant.clone(), kind, id });
    }
    if let Some(key) = call.start.object(kind) {
        return Ok(key);
    }
    if kind == Kind::Case
        && let Some(alert) = call.start.object(Kind::Alert)
        && let Some(id) = state(call, &alert)?.and_then(|alert| alert.text("case_id").map(str::to_owned))
    {
        return Ok(ObjectKey { id, kind, ..alert });
    }
    Err(match kind {
        Kind::Case => error("no_case", "the run is about no case; name one with `case`"),
        _ => error("no_alert", "the run is about no alert; name one with `alert`"),
    })
}
