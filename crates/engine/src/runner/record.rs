//! What a run at work has written down: through the one writer, under its lease.

use std::sync::Arc;

use model::event::Actor;
use model::run::{Delivery, Fact, RunState, RunStatus, RunSummary, StepState};
use model::{ChainLink, Seq};
use store::{Expect, Lease, Mark, Window};
use tokio::sync::oneshot;

use super::load::Loaded;
use super::{REST, Runner, work};
use crate::action::LocalChange;
use crate::record;
use crate::refusal::Refusal;
use crate::writer::{Order, Progress};

/// Why work on a run stops before it is done.
pub(super) enum Halt {
    /// Somebody else ended or changed the run: what was done here no longer counts.
    Stale,
    /// It could not be recorded now; try again later.
    Later,
    /// Something in the run itself is wrong; it fails with this code and message.
    Broken(&'static str, String),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Halt {
        match refusal {
            Refusal::Stale(_) => Halt::Stale,
            Refusal::Busy { .. } | Refusal::Full | Refusal::Stopping | Refusal::Store(_) => Halt::Later,
            // The same would be refused for ever.
            Refusal::Invalid { code, message } => Halt::Broken(code, message),
            other => Halt::Broken("refused", other.to_string()),
        }
    }
}

/// What is committed together with facts.
#[derive(Default, Clone)]
pub(super) struct Extra {
    pub(super) changes: Vec<LocalChange>,
    pub(super) chain: Vec<ChainLink>,
    pub(super) windows: Vec<Window>,
    /// Named values that change: signals that were heard are taken away.
    pub(super) marks: Vec<Mark>,
    /// Names of values that must not be there: signals that would have to be heard first.
    pub(super) unless: Vec<String>,
    /// The deliveries that failed, with their numbers.
    pub(super) failed: Vec<(u32, Delivery)>,
    /// How many deliveries were taken, and how many failed, when the run has ended.
    pub(super) delivered: [u64; 2],
}

/// Has facts recorded; while the disk is full, waits for room, so that what was done is not forgotten.
pub(super) async fn send(
    runner: &Runner,
    summary: RunSummary,
    expect: Expect,
    keep_lease: bool,
    facts: &[Fact],
    extra: Extra,
) -> Result<Seq, Refusal> {
    let payload = record::progressed(summary.id, facts)
        .map_err(|error| Refusal::Invalid { code: "internal", message: error.to_string() })?;
    let actor = Actor::Run { playbook: summary.playbook.clone(), run: summary.id };
    let mut stop = runner.stop.clone();
    loop {
        let (reply, answer) = oneshot::channel();
        let Extra { changes, chain, windows, marks, unless, failed, delivered } = extra.clone();
        let (summary, payload, actor) = (summary.clone(), payload.clone(), actor.clone());
        let progress = Progress {
            summary,
            expect,
            keep_lease,
            payload,
            actor,
            changes,
            chain,
            windows,
            marks,
            failed,
            delivered,
            unless,
            reply,
        };
        runner.orders.send(Order::Progress(Box::new(progress))).await?;
        match answer.await.unwrap_or(Err(Refusal::Stopping)) {
            Err(Refusal::Full) => tokio::select! {
                () = tokio::time::sleep(REST) => {}
                _ = stop.wait_for(|stop| *stop) => return Err(Refusal::Full),
            },
            answer => return answer,
        }
    }
}

/// Ends a run that cannot go on. It failed, unless it had begun what must not be repeated: then a person must look.
pub(super) async fn fail(runner: &Arc<Runner>, lease: Lease, code: &'static str, message: &str) {
    let store = &runner.shared.store;
    let now = store.now();
    let Ok(Some(mut summary)) = store.run(lease.run) else {
        return drop(store.release(lease, now.plus(REST)));
    };
    let expect = Expect::Lease { epoch: lease.epoch, version: summary.version };
    let reason = Some(format!("{message} ({code})"));
    let mut extra = Extra::default();
    let facts = match work::loaded(runner, lease.run).await {
        Ok(Loaded { mut state, .. }) => {
            let unknown = state.steps.values().any(StepState::outcome_unknown);
            let status = if unknown { RunStatus::NeedsAttention } else { RunStatus::Failed };
            let facts = state.ending(status, now, reason);
            let _ = facts.iter().try_for_each(|fact| state.apply(fact));
            summary.follow(&state, Seq::default(), now);
            (extra.failed, extra.delivered) = (state.failed_by(&facts), state.delivered());
            facts
        }
        // What it did cannot be read: all that is known is that it does not go on.
        Err(_) => {
            (summary.status, summary.ended_at) = (RunStatus::Failed, Some(now));
            summary.reason.clone_from(&reason);
            summary.version += 1;
            summary.entries.push(Seq::default());
            vec![Fact::Ended { status: RunStatus::Failed, at: now, reason, output: None }]
        }
    };
    let sent = send(runner, summary, expect, false, &facts, extra).await;
    if let Err(refusal) = sent {
        tracing::warn!(run = %lease.run, %refusal, "the failure of a run could not be recorded");
        let _ = store.release(lease, store.now().plus(REST));
    }
}

/// The chain of runs behind what this run causes.
pub(super) fn chain_of(state: &RunState) -> Vec<ChainLink> {
    let start = &state.start;
    let mut chain = start.chain.clone();
    chain.push(ChainLink { playbook: start.playbook.clone(), run: start.id, requester: start.requester.clone() });
    chain
}
