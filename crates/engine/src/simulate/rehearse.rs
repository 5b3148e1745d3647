//! A run by hand that is only rehearsed: the playbooks in force, the state as it stands, and nothing that leaves.

use std::sync::Arc;
use std::time::Duration;

use model::Record;
use model::event::Actor;

use super::{Error, Report, Simulation, Start};
use crate::command::What;
use crate::engine::Engine;
use crate::outbound::Takes;
use crate::runner::Runner;
use crate::set::Set;

/// How far a rehearsal follows what waits: 90 days, as long as a run may live.
pub const FOLLOWED: Duration = Duration::from_secs(90 * 86_400);

impl Engine {
    /// What would happen if a playbook were run by hand now. Deliveries are supposed to be taken, HTTP requests to be
    /// answered with 200 and nothing in it, and nobody answers a question. What the run would start in turn is part of it.
    /// Nothing is sent and nothing is kept.
    ///
    /// # Errors
    /// [`Error::Refused`] as [`Engine::run_by_hand`], and what goes wrong on the way.
    pub async fn rehearse(
        &self,
        playbook: &str,
        what: What,
        inputs: Record,
        tenant: &str,
        actor: Actor,
    ) -> Result<Report, Error> {
        let simulation = self.simulation()?;
        let set = self.playbooks();
        let same = Set::new(set.playbooks().to_vec(), set.off().clone());
        simulation.engine().put_in_force(same, Actor::System).await?;
        simulation.engine().run_by_hand(playbook, what, inputs, tenant, actor).await?;
        simulation.finish(simulation.now().plus(FOLLOWED)).await?;
        simulation.report().await
    }

    /// A simulation over the state as it stands.
    fn simulation(&self) -> Result<Simulation, Error> {
        Simulation::beside(self.runner())
    }
}

impl Simulation {
    /// A simulation over the state as it stands, beside the runner of a live engine.
    pub(crate) fn beside(runner: &Runner) -> Result<Simulation, Error> {
        let (context, store) = (&runner.context, &runner.shared.store);
        Simulation::new(Start {
            evaluator: context.evaluator.clone(),
            words: context.words.clone(),
            triage: (*runner.shared.triage()).clone(),
            destinations: (*context.destinations()).clone(),
            egress: context.effects.egress().clone(),
            public_url: context.public_url.clone(),
            catalog: runner.catalog.clone(),
            answers: Box::new(Takes),
            now: store.now(),
            seed: store.next_seq().0,
            base: Some(Arc::clone(store)),
        })
    }
}
