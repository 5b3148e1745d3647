//! Tests of playbooks as they are written: what happens, what the outside answers, what must come of it.
//!
//! They stand under `tests:` of a playbook, or in a file `NAME.test.yaml` beside it. This module reads them and finds what
//! is wrong with them; carrying them out is the engine's.
//!
//! Invariant: a test that could not fail is an error. Names of steps, destinations, statuses and fields must exist.

mod foreign;
mod keys;
mod people;
mod read;
mod words;

use std::sync::Arc;
use std::time::Duration;

use model::{Kind, Time};
use serde_json::Value;

pub(crate) use self::foreign::check as check_foreign;
pub(crate) use self::keys::SECTIONS;
pub(crate) use self::read::{Known, read};
pub use self::words::{Failure, NOT_RUN};

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Span};
use crate::reader::{Reader, did_you_mean};
use crate::syntax::Playbook;
use crate::yaml;

/// How a file of tests beside a playbook ends.
pub const FILE_ENDING: &str = ".test.yaml";

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// The file that it stands in.
    pub file: Arc<str>,
    /// Where it stands.
    pub span: Span,
    /// What time it is when it begins; nothing means a fixed one.
    pub now: Option<Time>,
    /// What is known before.
    pub given: Vec<Given>,
    /// What happens, in order.
    pub inputs: Vec<Input>,
    /// How long after the last input it is looked at; nothing means when every run has ended.
    pub until: Option<Duration>,
    /// What HTTP requests are answered, by step.
    pub responses: Vec<Script>,
    /// What destinations answer, by name.
    pub destinations: Vec<Script>,
    /// What people answer, by the step that asks.
    pub approvals: Vec<People>,
    /// What must come of it.
    pub expect: Expect,
}

/// An alert, a case or an entity that is known before.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// What it is.
    pub kind: Kind,
    /// Its fields, as an event would carry them.
    pub fields: Value,
    /// Where it stands.
    pub span: Span,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// How long after the one before.
    pub after: Duration,
    /// What.
    pub what: What,
    /// Where it stands.
    pub span: Span,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// An event in the generic shape.
    Event(Value),
    /// A message of a source, as it would send it.
    Message {
        /// The source.
        source: String,
        /// The body.
        body: Value,
    },
    /// A run by hand.
    Run {
        /// About this alert.
        alert: Option<String>,
        /// About this case.
        case: Option<String>,
        /// What the caller gives.
        inputs: model::Record,
        /// Who asks for it.
        by: String,
    },
    /// Time passes.
    Nothing,
}

/// Answers in the order in which they are given; the last one stays.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The step or the destination.
    pub name: String,
    /// The answers.
    pub answers: Vec<Response>,
    /// Where it stands.
    pub span: Span,
}

/// What people answer to the question of one step, in their order; the last one stays.
#[derive(Debug, Clone, PartialEq)]
pub struct People {
    /// The step that asks.
    pub step: String,
    /// The answers.
    pub answers: Vec<Said>,
    /// Where it stands.
    pub span: Span,
}

/// What one person answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Yes, or no.
    pub approves: bool,
    /// Who.
    pub by: String,
    /// What is said besides.
    pub comment: Option<String>,
    /// The fields of the answer.
    pub fields: model::Record,
    /// How long after the question.
    pub after: Duration,
    /// Whether the answer must be refused, because this person may not give it or its fields do not fit.
    pub refused: bool,
    /// Where it stands.
    pub span: Span,
}

/// Who asks for a run by hand when a test does not say.
pub const RUNS_BY: &str = "test";
/// Who answers a question when a test does not say.
pub const APPROVES_BY: &str = "approver";

/// One answer of the outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// An HTTP answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: Vec<(String, String)>,
        /// Its body: text as it is, anything else as JSON, nothing as nothing.
        body: Value,
    },
    /// None.
    Fails(Failure),
}

/// Something that is expected, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted<T> {
    /// What.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// What must come of a test. What is not said is not looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// How many runs of this playbook.
    pub runs: Option<Wanted<usize>>,
    /// Its verdicts, one for each event; `none` where it did not listen.
    pub verdicts: Option<Wanted<Vec<String>>>,
    /// A piece of the reason of the last decision.
    pub reason: Option<Wanted<String>>,
    /// The statuses of its runs. One alone is that of every run.
    pub statuses: Option<Wanted<Vec<String>>>,
    /// The steps that were done, in their order, skipped ones left out, run after run.
    pub steps: Option<Wanted<Vec<String>>>,
    /// How single steps of the last run stand, or `not_run`.
    pub step_statuses: Vec<(String, Wanted<String>)>,
    /// What single steps of the last run answered, in part.
    pub outputs: Vec<(String, Wanted<Value>)>,
    /// The codes of errors of single steps of the last run.
    pub errors: Vec<(String, Wanted<String>)>,
    /// Everything that was sent, in order; tries of the same thing are one.
    pub requests: Option<Wanted<Vec<Request>>>,
    /// How objects stand at the end, in part.
    pub objects: Vec<Object>,
}

/// A request that is expected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The step that sends it.
    pub step: Option<String>,
    /// The destination.
    pub destination: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The URL, whole.
    pub url: Option<String>,
    /// Some headers.
    pub headers: Vec<(String, String)>,
    /// The body in part.
    pub body: Option<Value>,
    /// The whole body.
    pub body_is: Option<Value>,
    /// How often it was tried.
    pub tries: Option<usize>,
    /// Where it stands.
    pub span: Span,
}

/// An object as it is expected at the end, in part.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its id; that of an entity begins with its kind: `host/ws-17`.
    pub id: String,
    /// The fields that are looked at.
    pub fields: Value,
    /// Where it stands.
    pub span: Span,
}

/// A file of tests beside a playbook.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// The id of the playbook that it tests.
    pub playbook: String,
    /// The tests.
    pub tests: Vec<Test>,
}

/// Reads a file of tests. Without `playbook:` it tests the one in the file of the same name, `beside`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_file(
    source: &crate::check::Source,
    playbooks: &[Arc<Playbook>],
    beside: Option<&str>,
    catalog: &Catalog,
) -> Result<TestFile, Vec<Diagnostic>> {
    let node = yaml::parse(&source.file, &source.text)?;
    let mut reader = Reader::new(source.file.clone(), &source.text);
    let mut found = None;
    if let Some(mut fields) = reader.map(&node, "a file of tests") {
        let named = fields.opt_node("playbook").map(|node| (node.span, node.as_text().unwrap_or_default()));
        let (span, id) = named.unwrap_or((fields.span(), beside.unwrap_or_default()));
        let playbook = playbooks.iter().find(|playbook| *playbook.id == *id);
        if playbook.is_none() {
            let ids = playbooks.iter().map(|playbook| &*playbook.id);
            let help = did_you_mean(id, ids).unwrap_or_else(|| {
                "name the playbook with `playbook: ID`, or give this file the name of the playbook's file".to_owned()
            });
            let what =
                if id.is_empty() { "it says no playbook".to_owned() } else { format!("there is no playbook `{id}`") };
            reader.error("PB502", span, format!("{what}, so nothing is tested"), Some(help));
        }
        let node = fields.node(&mut reader, "tests");
        fields.finish(&mut reader);
        if let (Some(node), Some(playbook)) = (node, playbook) {
            let known = Known::of(playbook, catalog);
            found = Some(TestFile { playbook: id.to_owned(), tests: read(&mut reader, node, &known) });
        }
    }
    let failed = reader.failed();
    let diagnostics = reader.finish();
    found.filter(|_| !failed).ok_or(diagnostics)
}
