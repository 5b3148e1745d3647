//! What the engine wrote down since the last look, as it is told: events with their decisions, and what runs did.

use std::collections::HashMap;

use model::history::{EntryKind, Header};
use model::run::Fact;
use model::{RunId, Seq, Time};
use store::Store as _;

use super::super::{Error, Simulation};
use super::told::{Ended, Told, WouldRequest, would_send};
use crate::record::{self, Accepted as Recorded};
use crate::writer::Accepted;

/// What is known of a run that is open.
#[derive(Debug, Clone)]
struct Origin {
    /// The event that it is told with.
    event: String,
    kind: String,
    playbook: String,
    observed: bool,
}

/// Where the last look ended, and the runs that are open.
pub(super) struct Book {
    next: Seq,
    open: HashMap<RunId, Origin>,
}

impl Book {
    pub(super) fn new(simulation: &Simulation) -> Book {
        Book { next: simulation.memory().next_seq(), open: HashMap::new() }
    }

    /// What was written down since the last look. `first` is the event that was given in, with the id under which it is
    /// told and what was answered.
    pub(super) fn collect(
        &mut self,
        simulation: &Simulation,
        first: Option<(&str, Accepted)>,
    ) -> Result<Vec<Told>, Error> {
        let mut entries = Vec::new();
        simulation.memory().entries_forward(self.next, &mut |stored| {
            entries.extend(stored.entry);
            true
        })?;
        self.next = simulation.memory().next_seq();
        let mut page = Page::default();
        for entry in entries {
            match entry.header.kind {
                EntryKind::EventAccepted => {
                    let accepted = record::read_accepted(&entry.payload).map_err(|e| Error::Load(e.into()))?;
                    let given = first.as_ref().filter(|(_, known)| known.event_id.seq == entry.header.seq);
                    self.event(&entry.header, accepted, given, &mut page);
                }
                EntryKind::RunProgressed => {
                    let progressed = record::read_progressed(&entry.payload).map_err(|e| Error::Load(e.into()))?;
                    self.progressed(&entry.header, &progressed, &mut page);
                }
                _ => {}
            }
        }
        for planned in simulation.take_planned().into_iter().filter(|planned| planned.origin.destination.is_none()) {
            let Some(origin) = planned.origin.run.and_then(|run| self.open.get(&run)).cloned() else { continue };
            let told = page.of(&origin, simulation.now());
            told.would_request.push(WouldRequest {
                method: planned.method,
                url: planned.url,
                playbook: origin.playbook,
                step: planned.origin.step,
            });
        }
        for run in &page.ended {
            self.open.remove(run);
        }
        page.told.retain(|told| told.given || !told.is_quiet() || !told.ended.is_empty());
        Ok(page.told)
    }

    fn event(&mut self, header: &Header, accepted: Recorded, given: Option<&(&str, Accepted)>, page: &mut Page) {
        let caused_by = accepted.chain.last().and_then(|link| self.open.get(&link.run)).cloned();
        let id = match given {
            Some((id, _)) => (*id).to_owned(),
            None => accepted.id.clone().unwrap_or_else(|| format!("{}/{}", accepted.kind, header.seq.0)),
        };
        // A playbook that is called is told with the event of the one that calls it.
        let told_with = caused_by.clone().filter(|_| accepted.kind == CALLED);
        for start in &accepted.runs {
            let (event, kind) = match &told_with {
                Some(origin) => (origin.event.clone(), origin.kind.clone()),
                None => (id.clone(), accepted.kind.clone()),
            };
            let origin = Origin { event, kind, playbook: start.playbook.clone(), observed: start.observed };
            self.open.insert(start.id, origin);
        }
        if told_with.is_some() {
            return;
        }
        let mut told = Told::new(id, header.time, accepted.kind);
        told.decisions = match given {
            Some((_, known)) => known.decisions.clone(),
            None => accepted.decisions,
        };
        told.given = given.is_some();
        told.caused_by = caused_by.map(|origin| origin.event);
        page.told.push(told);
    }

    fn progressed(&mut self, header: &Header, progressed: &record::Progressed, page: &mut Page) {
        let run = progressed.run;
        let Some(origin) = self.open.get(&run).cloned() else { return };
        for fact in &progressed.facts {
            match fact {
                Fact::Attempted { attempt, .. } => {
                    if let Some(would) = would_send(attempt, &origin.playbook, origin.observed) {
                        page.of(&origin, header.time).would_send.push(would);
                    }
                }
                Fact::Ended { status, .. } => {
                    let ended = Ended { playbook: origin.playbook.clone(), status: *status };
                    page.of(&origin, header.time).ended.push(ended);
                    page.ended.push(run);
                }
                _ => {}
            }
        }
    }
}

/// The type of the event that records a call.
const CALLED: &str = "run.called";

/// What is told of one look, and the runs that ended in it.
#[derive(Default)]
struct Page {
    told: Vec<Told>,
    ended: Vec<RunId>,
}

impl Page {
    /// What is told of the event behind a run at a time: of one that was earlier, something that came later.
    fn of(&mut self, origin: &Origin, time: Time) -> &mut Told {
        let known = self.told.iter().rposition(|told| told.event_id == origin.event && told.time == time);
        let at = known.unwrap_or_else(|| {
            self.told.push(Told { later: true, ..Told::new(origin.event.clone(), time, origin.kind.clone()) });
            self.told.len() - 1
        });
        &mut self.told[at]
    }
}
