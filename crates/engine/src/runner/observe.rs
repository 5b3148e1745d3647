//! `mode: observe`: what a run would do is worked out in a simulation over the state as it stands, and recorded as its
//! plan. Nothing is sent, nothing is changed, no window begins.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use model::run::{Fact, RunStart, RunStatus};
use model::{RunId, Seq, limits};
use serde_json::{Value, json};

use super::Runner;
use super::record::{Extra, Halt};
use super::work::{Turn, Work};
use crate::change::own_event;
use crate::simulate::{self, FOLLOWED, Simulation};

/// Why the run ended as it did.
const REASON: &str = "`mode: observe`: what it would have done is its plan; nothing was sent and nothing was changed";

impl Work {
    /// Works out what the run would do, records it, and ends the run.
    pub(super) async fn observe(&mut self, runner: &Arc<Runner>) -> Result<Turn, Halt> {
        if *runner.stop.borrow() || runner.shared.brakes.now().all().is_some() {
            let _ = runner.shared.store.release(self.lease, runner.shared.store.now());
            return Ok(Turn::Rest);
        }
        let began = runner.shared.store.now();
        let (status, plan) = match self.rehearsed(runner).await {
            Ok(report) => planned(&report),
            Err(error) => (RunStatus::Failed, json!({ "problem": error.to_string() })),
        };
        let now = runner.shared.store.now();
        self.apply(Fact::Started { at: began })?;
        self.apply(Fact::Ended { status, at: now, reason: Some(REASON.to_owned()), output: Some(plan) })?;
        self.record(runner, now, false, Extra::default()).await?;
        Ok(Turn::Rest)
    }

    /// The same run in a simulation, to its end. In a box, since the simulation works on runs with this very code.
    fn rehearsed<'a>(&'a self, runner: &'a Runner) -> BoxFuture<'a, Result<simulate::Report, simulate::Error>> {
        let start = RunStart {
            id: RunId { seq: Seq::default(), n: 0, tag: 0 },
            observed: false,
            gate: None,
            ..self.state.start.clone()
        };
        let playbook = Arc::clone(&self.playbook);
        Box::pin(async move {
            let simulation = Simulation::beside(runner)?;
            simulation.load(vec![playbook]).await?;
            let event = own_event("run.rehearsed", start.tenant.clone(), Value::Null, (simulation.now(), &start.chain));
            simulation.start(event, start).await?;
            simulation.finish(simulation.now().plus(FOLLOWED)).await?;
            simulation.report().await
        })
    }
}

/// How the run would have ended, and its plan, as far as there is room for it.
fn planned(report: &simulate::Report) -> (RunStatus, Value) {
    let Some(run) = report.runs.first() else { return (RunStatus::Failed, Value::Null) };
    let plan = json!({
        "status": run.status.name(), "reason": run.reason, "steps": run.steps,
        "would_send": report.would_send, "would_change": report.would_change,
    });
    let bytes = plan.to_string().len();
    if bytes <= limits::STEP_OUTPUT_BYTES_MAX {
        return (run.status, plan);
    }
    let brief =
        report.would_send.iter().map(|one| json!({ "destination": one.origin.destination, "step": one.origin.step }));
    let left_out = format!("the plan has {bytes} bytes; bodies and steps are left out");
    let plan =
        json!({ "status": run.status.name(), "left_out": left_out, "would_send": brief.collect::<Vec<Value>>() });
    (run.status, plan)
}
