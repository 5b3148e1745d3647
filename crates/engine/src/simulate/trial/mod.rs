//! Tests of playbooks, carried out: each in a simulation of its own.
//!
//! The walk of a test: what is known before → the playbooks in force → what happens, with the clock moved in between →
//! everything that is due → what came of it is compared with what was expected.
//!
//! Invariants: a test sees its own playbook and, without their triggers, the others that it may call. An HTTP request for
//! which the test says no answer fails the test: it must not pass by chance.

mod answers;
mod compare;
mod coverage;
mod people;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::event::Actor;
use model::record::Vocabulary;
use model::{Decision, Kind, Time, Verdict};
use playbook::testing::{Given, Input, Test, What};
use playbook::{Catalog, Evaluator, On, Playbook, Span};
use serde_json::{Value, json};

use self::answers::{Canned, Unanswered};
pub use self::coverage::{Branch, Coverage};
use self::people::Desk;
use super::rehearse::FOLLOWED;
use super::{Report, Simulation, Start};
use crate::command;
use crate::outbound::{Destinations, Egress};
use crate::runner::load::Loaded;
use crate::source::{self, Incoming};
use crate::triage::Triage;

/// What time it is when a test says nothing else: 2026-01-01T00:00:00Z.
pub const NOW: Time = Time::from_millis(1_767_225_600_000);

/// What all tests of a folder share.
pub struct Bench {
    /// What answers conditions.
    pub evaluator: Evaluator,
    /// Stages and close reasons.
    pub words: Vocabulary,
    /// What the team has said about its alerts and cases.
    pub triage: Triage,
    /// The destinations that are known. Others that a playbook names are taken to exist.
    pub destinations: Destinations,
    /// By which addresses are judged.
    pub egress: Egress,
    /// The tenants.
    pub tenants: BTreeSet<String>,
    /// What pinned texts are compiled against.
    pub catalog: Catalog,
    /// All playbooks that were read.
    pub playbooks: Vec<Arc<Playbook>>,
}

/// Something that did not come as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What was looked at, such as `status` or `requests[0].body.text`.
    pub what: String,
    /// What was expected; nothing where the message says it all.
    pub wanted: Option<String>,
    /// What came.
    pub got: String,
    /// Where the expectation stands.
    pub span: Span,
}

/// What became of a test.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What did not come as expected; empty when it passed.
    pub differences: Vec<Difference>,
    /// What happened, as far as it got.
    pub report: Option<Report>,
    /// What of the playbook was reached.
    pub coverage: Coverage,
}

/// What a test saw.
struct Seen {
    /// The playbook that is tested.
    playbook: Arc<str>,
    /// The decision about the playbook for each event: the verdict and the reason.
    decisions: Vec<Option<(Verdict, String)>>,
    /// All decisions about the playbook, those of timers, schedules and of what runs caused included.
    told: Vec<Decision>,
    /// The runs of the playbook.
    runs: Vec<Loaded>,
    /// Everything.
    report: Report,
}

impl Bench {
    /// Carries out one test of a playbook.
    pub async fn run(&self, playbook: &Arc<Playbook>, test: &Test) -> Outcome {
        let (unanswered, desk) = (Unanswered::default(), Desk::new(playbook, test));
        let mut coverage = Coverage::of(playbook);
        match self.carry_out(playbook, test, (&unanswered, &desk)).await {
            Err(difference) => Outcome { differences: vec![*difference], report: None, coverage },
            Ok((simulation, seen)) => {
                coverage.note(playbook, &seen.runs, &seen.told);
                let mut differences = compare::differences(test, &seen, &simulation);
                differences.extend(unanswered.take().into_iter().map(|(step, request)| Difference {
                    what: format!("step `{step}` asks {request}, and the test says no answer"),
                    wanted: None,
                    got: format!("add `responses: {{ {step}: {{ status: 200, body: … }} }}`"),
                    span: test.span,
                }));
                differences.extend(desk.differences());
                Outcome { differences, report: Some(seen.report), coverage }
            }
        }
    }

    async fn carry_out(
        &self,
        playbook: &Arc<Playbook>,
        test: &Test,
        (unanswered, desk): (&Unanswered, &Desk),
    ) -> Result<(Simulation, Seen), Box<Difference>> {
        let broken = |span: Span| {
            move |error: super::Error| {
                Box::new(Difference {
                    what: "the test cannot go on".to_owned(),
                    wanted: None,
                    got: error.to_string(),
                    span,
                })
            }
        };
        let simulation = self.begin(playbook, test, unanswered).map_err(broken(test.span))?;
        let simulation = simulation.asking(Box::new(desk.clone()));
        for given in &test.given {
            let event = self.given(given, &simulation)?;
            simulation.event(event).await.map_err(|refusal| refused(&refusal.to_string(), given.span))?;
        }
        simulation.load(self.in_force(playbook)).await.map_err(broken(test.span))?;
        let mut decisions = Vec::new();
        for input in &test.inputs {
            if !input.after.is_zero() {
                simulation.pass(simulation.now().plus(input.after)).await.map_err(broken(input.span))?;
            }
            self.input(playbook, input, &simulation, &mut decisions).await?;
            simulation.settle().await.map_err(broken(input.span))?;
        }
        let ended = match test.until {
            Some(until) => simulation.pass(simulation.now().plus(until)).await,
            None => simulation.finish(simulation.now().plus(FOLLOWED)).await,
        };
        ended.map_err(broken(test.span))?;
        let mut runs = simulation.runs().await.map_err(broken(test.span))?;
        runs.retain(|run| run.state.start.playbook == *playbook.id);
        let report = simulation.report().await.map_err(broken(test.span))?;
        let told = simulation.decisions_about(&playbook.id).map_err(broken(test.span))?;
        let playbook = Arc::clone(&playbook.id);
        Ok((simulation, Seen { playbook, decisions, told, runs, report }))
    }

    fn begin(&self, playbook: &Playbook, test: &Test, unanswered: &Unanswered) -> Result<Simulation, super::Error> {
        Simulation::new(Start {
            evaluator: self.evaluator.clone(),
            words: self.words.clone(),
            triage: self.triage.clone(),
            destinations: self.destinations_of(playbook),
            egress: self.egress.clone(),
            public_url: None,
            catalog: self.catalog.clone(),
            answers: Box::new(Canned::new(playbook, test, unanswered.clone())),
            now: test.now.unwrap_or(NOW),
            seed: 0,
            base: None,
        })
    }

    /// The destinations that are known, and stand-ins for those that the playbooks name besides.
    fn destinations_of(&self, playbook: &Playbook) -> Destinations {
        let mut all = self.destinations.clone();
        let missing = super::stand_ins(self.playbooks.iter().map(Arc::as_ref).chain([playbook]), &all);
        all.map.extend(missing);
        all
    }

    /// The playbook, and the others without what starts them: only a call can.
    fn in_force(&self, playbook: &Arc<Playbook>) -> Vec<Arc<Playbook>> {
        let others = self.playbooks.iter().filter(|other| other.id != playbook.id).map(|other| {
            let mut quiet = Playbook::clone(other);
            quiet.triggers.retain(|trigger| matches!(trigger.on, On::Manual));
            Arc::new(quiet)
        });
        [Arc::clone(playbook)].into_iter().chain(others).collect()
    }

    fn given(&self, given: &Given, simulation: &Simulation) -> Result<Incoming, Box<Difference>> {
        let kind =
            if given.kind == Kind::Entity { "entity.score".to_owned() } else { format!("{}.created", given.kind) };
        let mut event = json!({ "type": kind, given.kind.name(): given.fields });
        if let Some(tenant) = given.fields.get("tenant") {
            event["tenant"] = tenant.clone();
        }
        self.read("generic", &event, given.span, simulation)
    }

    async fn input(
        &self,
        playbook: &Playbook,
        input: &Input,
        simulation: &Simulation,
        decisions: &mut Vec<Option<(Verdict, String)>>,
    ) -> Result<(), Box<Difference>> {
        let incoming = match &input.what {
            What::Nothing => return Ok(()),
            What::Event(event) => self.read("generic", event, input.span, simulation)?,
            What::Message { source, body } => self.read(source, body, input.span, simulation)?,
            What::Run { alert, case, inputs, by } => {
                let what = match (alert, case) {
                    (Some(alert), _) => command::What::Alert(alert.clone()),
                    (None, Some(case)) => command::What::Case(case.clone()),
                    (None, None) => command::What::Nothing,
                };
                let tenant = self.tenant(playbook);
                let actor = Actor::Token(by.clone());
                let run = simulation.engine().run_by_hand(&playbook.id, what, inputs.clone(), &tenant, actor);
                return run.await.map(drop).map_err(|refusal| refused(&refusal.to_string(), input.span));
            }
        };
        let accepted = simulation.event(incoming).await.map_err(|refusal| refused(&refusal.to_string(), input.span))?;
        let decision = accepted.decisions.iter().find(|decision| decision.playbook == playbook.id);
        decisions.push(decision.map(|decision| (decision.verdict, decision.reason.to_string())));
        Ok(())
    }

    fn tenant(&self, playbook: &Playbook) -> String {
        let own = playbook.tenants.as_ref().and_then(|tenants| tenants.first());
        own.or(self.tenants.first()).cloned().unwrap_or_else(|| "default".to_owned())
    }

    fn read(&self, name: &str, body: &Value, span: Span, simulation: &Simulation) -> Result<Incoming, Box<Difference>> {
        let shape = source::shape(name, &self.evaluator)
            .ok_or_else(|| refused(&format!("there is no source `{name}`"), span))?;
        let source = source::Source { name: name.to_owned(), timezone: "UTC".to_owned(), shape, tenants: None };
        let playbooks = self.playbooks.iter().filter_map(|playbook| playbook.tenants.as_ref()).flatten();
        let tenants: BTreeSet<String> = self.tenants.iter().chain(playbooks).cloned().collect();
        let ctx = source::Context {
            words: &self.words,
            tenants: body.get("tenant").is_some().then_some(&tenants),
            tenant: None,
            now: simulation.now(),
            header_key: None,
            signed_key: None,
            content_type: None,
            headers: None,
            limits: source::Limits::default(),
        };
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let mut read = source::read(&source, text.into(), &ctx).map_err(|error| refused(&error.to_string(), span))?;
        let first = read.elements.pop().ok_or_else(|| refused("there is no event in it", span))?;
        first.map_err(|error| refused(&error.to_string(), span))
    }
}

fn refused(message: &str, span: Span) -> Box<Difference> {
    Box::new(Difference { what: "the event is refused".to_owned(), wanted: None, got: message.to_owned(), span })
}

/// Whether a test's name for a step means the step at this path of a run of this playbook. Steps of other playbooks than
/// the one that is tested are named with their playbook: `look-up-user/ask`.
fn means(name: &str, own: &str, (playbook, path): (&str, &str)) -> bool {
    if playbook == own || playbook.is_empty() {
        return names(name, path);
    }
    let step = name.strip_prefix(playbook).and_then(|rest| rest.strip_prefix('/'));
    step.is_some_and(|step| names(step, path))
}

/// Whether a test's name for a step means the step at this path: the whole path, that path with `*` for the numbers of
/// rounds, or its last part.
fn names(name: &str, path: &str) -> bool {
    if name == path || path.rsplit('/').next() == Some(name) {
        return true;
    }
    let general = |part: &str| if part.bytes().all(|b| b.is_ascii_digit()) { "*".to_owned() } else { part.to_owned() };
    name.contains('*') && path.split('/').map(general).collect::<Vec<_>>().join("/") == name
}
