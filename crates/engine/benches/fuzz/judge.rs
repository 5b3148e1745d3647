//! What must hold whatever is read: an answer, soon, with little memory, the same one each time, with places that exist.
//! What is accepted loads, fits the schema, and its conditions answer.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::source::{Context, Limits, file};
use model::Time;
use model::record::Vocabulary;
use playbook::{
    Budget, Catalog, Condition, Diagnostic, Evaluator, Expression, Names, Root, Scope, ScriptSource, Source, check,
    compile,
};
use serde_json::{Value, json};

/// The longest that one input may keep the processor, and the most memory that it may hold meanwhile. Debug builds are slow.
const TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 8_000 } else { 800 });
const BYTES_MAX: isize = 96 << 20;

/// How much memory this thread holds, and the most that it held since it was told to forget.
pub(crate) type Memory = (fn() -> isize, fn() -> isize);

/// Judges inputs.
pub(crate) struct Judge {
    catalog: Catalog,
    evaluator: Evaluator,
    scope: Scope,
    schemas: boon::Schemas,
    schema: boon::SchemaIndex,
    memory: Memory,
}

/// What came of an input that kept its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused,
}

type Judged = Result<Verdict, String>;

impl Judge {
    pub(crate) fn new(memory: Memory) -> Result<Judge, String> {
        let names = |all: &[&str]| Some(all.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
        let catalog =
            Catalog { destinations: None, ..engine::catalog(None, Vocabulary::default(), None, names(&["acme"])) };
        let mut compiler = boon::Compiler::new();
        compiler.set_default_draft(boon::Draft::V7);
        let text = playbook::schema(&catalog);
        compiler.add_resource("playbook.json", text).map_err(|error| error.to_string())?;
        let mut schemas = boon::Schemas::new();
        let schema = compiler.compile("playbook.json", &mut schemas).map_err(|error| format!("{error:#}"))?;
        let evaluator = Evaluator::new(memory.0).map_err(|error| error.to_string())?;
        Ok(Judge { catalog, evaluator, scope: scope(), schemas, schema, memory })
    }

    /// Judges one input within the bounds of time and memory; a panic is a finding.
    pub(crate) fn bounded(&self, work: impl FnOnce(&Judge) -> Judged) -> Judged {
        let before = (self.memory.0)();
        (self.memory.1)();
        let began = processor();
        let judged = catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Err(format!("it panics: {}", said.unwrap_or_default()))
        })?;
        let took = processor().saturating_sub(began);
        let held = (self.memory.1)() - before;
        if took > TIME_MAX {
            return Err(format!("it takes {took:?}"));
        }
        if held > BYTES_MAX {
            return Err(format!("it holds {} MB", held >> 20));
        }
        Ok(judged)
    }

    /// A playbook, good or broken.
    pub(crate) fn playbook(&self, text: &str) -> Judged {
        let source = |text: &str| [Source { file: "fuzz.yaml".into(), text: text.to_owned() }];
        let checked = check(&source(text), &self.catalog, &self.evaluator);
        places(text, &checked.diagnostics)?;
        let again = check(&source(text), &self.catalog, &self.evaluator);
        if again.diagnostics != checked.diagnostics {
            return Err("the second look says something else".to_owned());
        }
        self.moved(text, &checked.diagnostics)?;
        let compiled = compile(&source(text)[0], &self.catalog, &self.evaluator);
        match (checked.playbooks.first(), compiled) {
            (Some(playbook), Ok(loaded)) => {
                if loaded.digest != playbook.digest {
                    return Err("what is loaded is not what was checked".to_owned());
                }
                self.accepted(text, playbook)?;
                Ok(Verdict::Accepted)
            }
            (Some(_), Err(found)) => Err(format!("the check accepts it, and it does not load: {found:?}")),
            (None, Ok(_)) if !checked.failed() => Err("nothing is wrong with it, and there is no playbook".to_owned()),
            (None, _) if checked.diagnostics.is_empty() => Err("it is refused without a word".to_owned()),
            (None, _) => Ok(Verdict::Refused),
        }
    }

    /// One line of comment above moves every place one line down, and changes nothing else.
    fn moved(&self, text: &str, found: &[Diagnostic]) -> Result<(), String> {
        if text.starts_with('\u{feff}')
            || text.starts_with('%')
            || text.len() > model::limits::PLAYBOOK_FILE_BYTES_MAX - 16
        {
            return Ok(());
        }
        let source = Source { file: "fuzz.yaml".into(), text: format!("# above\n{text}") };
        let moved = check(&[source], &self.catalog, &self.evaluator);
        let seen = |found: &[Diagnostic], by: u32| {
            found
                .iter()
                .map(|d| (d.code, d.span.line.saturating_sub(by), d.span.column, d.span.len))
                .collect::<Vec<_>>()
        };
        // An empty file has its place in line 1, whatever stands in it.
        let (before, after) = (seen(found, 0), seen(&moved.diagnostics, 1));
        let fixed = |all: &[(&str, u32, u32, u32)]| all.iter().all(|(_, line, column, _)| *line <= 1 && *column == 1);
        if before != after && !(fixed(&before) && fixed(&after)) {
            return Err(format!("a comment above changes what is found: {before:?} and {after:?}"));
        }
        Ok(())
    }

    fn accepted(&self, text: &str, playbook: &playbook::Playbook) -> Result<(), String> {
        let node = playbook::yaml::parse(&"fuzz.yaml".into(), text).map_err(|found| format!("{found:?}"))?;
        if let Err(error) = self.schemas.validate(&node.to_json(), self.schema) {
            return Err(format!("the check accepts it, and the schema does not: {error:#}"));
        }
        let conditions =
            playbook.when.iter().chain(playbook.triggers.iter().filter_map(|trigger| trigger.when.as_ref()));
        for condition in conditions.chain(playbook.all_steps().iter().filter_map(|step| step.condition.as_ref())) {
            self.answers(condition)?;
        }
        Ok(())
    }

    fn answers(&self, condition: &Condition) -> Result<(), String> {
        let answer = condition.answer(&self.evaluator, &self.scope, Budget::STEP);
        let operands = condition.trace(&self.evaluator, &self.scope);
        let slow = |code: &str| ["too_slow", "too_many_operations", "too_much_memory"].contains(&code);
        let again = condition.answer(&self.evaluator, &self.scope, Budget::STEP);
        let timed = |answer: &playbook::Answer| matches!(answer, playbook::Answer::Failed { code, .. } if slow(code));
        if answer != again && !timed(&answer) && !timed(&again) {
            return Err(format!("`{}` answers {answer:?} and then {again:?}", condition.source()));
        }
        let alone = operands.iter().filter(|operand| operand.decides && !operand.reached).count();
        if matches!(answer, playbook::Answer::Failed { .. }) && alone > 0 {
            return Err(format!("`{}` failed at what was not reached", condition.source()));
        }
        Ok(())
    }

    /// A condition.
    pub(crate) fn condition(&self, text: &str) -> Judged {
        match Condition::compile(ScriptSource::loose(text), &Names::everything(), &self.evaluator) {
            Err(found) => {
                places(text, &found)?;
                if found.is_empty() { Err("it is refused without a word".to_owned()) } else { Ok(Verdict::Refused) }
            }
            Ok(condition) => self.answers(&condition).map(|()| Verdict::Accepted),
        }
    }

    /// An expression that gives any value.
    pub(crate) fn expression(&self, text: &str) -> Judged {
        match Expression::compile(ScriptSource::loose(text), &Names::everything(), &self.evaluator) {
            Err(found) => places(text, &found).map(|()| Verdict::Refused),
            Ok(expression) => {
                // It has a value or a typed reason why not.
                let _ = expression.value(&self.evaluator, &self.scope, Budget::STEP);
                Ok(Verdict::Accepted)
            }
        }
    }

    /// A file of a source.
    pub(crate) fn source(&self, text: &str) -> Judged {
        match file::read(&"fuzz.yaml".into(), text, &self.evaluator) {
            Err(found) if found.is_empty() => Err("it is refused without a word".to_owned()),
            Err(found) => places(text, &found).map(|()| Verdict::Refused),
            Ok(source) => {
                places(text, &source.warnings)?;
                let source = Arc::new(source);
                let (ran, again) =
                    (file::run_samples(&source, &self.evaluator), file::run_samples(&source, &self.evaluator));
                let shown = |ran: &[file::Ran]| ran.iter().map(|one| one.events.clone()).collect::<Vec<_>>();
                if shown(&ran) != shown(&again) {
                    return Err("its samples come out differently the second time".to_owned());
                }
                Ok(Verdict::Accepted)
            }
        }
    }

    /// A body that a product sends: an event, or a typed refusal, and for a product never a refusal that loses it.
    pub(crate) fn body(&self, name: &str, body: &[u8]) -> Judged {
        let shape = engine::source::shape(name, &self.evaluator).ok_or("there is no such source")?;
        let lenient = shape.lenient();
        let source = engine::source::Source { name: name.to_owned(), timezone: "UTC".to_owned(), shape, tenants: None };
        let words = Vocabulary::default();
        let ctx = Context {
            words: &words,
            tenants: None,
            tenant: None,
            now: NOW,
            header_key: None,
            signed_key: None,
            content_type: None,
            headers: None,
            limits: Limits::default(),
        };
        let read = || engine::source::read(&source, Bytes::copy_from_slice(body), &ctx);
        match (read(), read()) {
            (Ok(first), Ok(second)) => {
                let kinds = |read: &engine::source::Reading| {
                    read.elements
                        .iter()
                        .map(|one| one.as_ref().map(|one| one.event.kind.clone()).map_err(ToString::to_string))
                        .collect::<Vec<_>>()
                };
                if kinds(&first) != kinds(&second) {
                    return Err("it is read differently the second time".to_owned());
                }
                let lost = first.elements.iter().filter(|one| one.is_err()).count();
                if lenient && lost > 0 && !first.batch {
                    return Err(format!("what {name} sent is lost: {:?}", first.elements));
                }
                Ok(if lost == 0 { Verdict::Accepted } else { Verdict::Refused })
            }
            (Err(_), Err(_)) => Ok(Verdict::Refused),
            _ => Err("it is read the one time and refused the other".to_owned()),
        }
    }
}

/// Every place lies inside the text.
fn places(text: &str, found: &[Diagnostic]) -> Result<(), String> {
    // Lines end as YAML ends them.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    for one in found {
        let line = usize::try_from(one.span.line).unwrap_or(0).checked_sub(1).and_then(|at| lines.get(at));
        let Some(line) = line else {
            return Err(format!("{} is in line {}, which is not there", one.code, one.span.line));
        };
        let (column, len) = (one.span.column as usize, one.span.len as usize);
        let chars = line.chars().count();
        if column == 0 || len == 0 || column > chars + 1 {
            return Err(format!("{} is at {}:{column}, and the line has {chars} characters", one.code, one.span.line));
        }
        if column - 1 + len > chars.max(column) {
            return Err(format!("{} reaches over the end of its line: {:?} of {chars}", one.code, one.span));
        }
        if one.message.is_empty() || one.render(false).contains('\u{1b}') {
            return Err(format!("{} says {:?}", one.code, one.message));
        }
    }
    Ok(())
}

const NOW: Time = Time::from_millis(1_767_225_600_000);

/// What conditions are asked about.
fn scope() -> Scope {
    let record = |value: Value| value.as_object().cloned().map(Arc::new);
    let alert = json!({
        "id": "A-1", "name": "Impossible travel", "risk_score": 92, "priority": "critical", "users": ["alice", "bob"], "tags": [],
        "mitres": ["T1078"], "detections": [{ "id": "D-1", "src_ips": ["203.0.113.9"] }], "created_time": "2026-01-01T00:00:00Z",
    });
    let case = json!({ "id": "C-1", "stage": "New", "priority": "low" });
    let entity = json!({ "kind": "host", "id": "7", "name": "ws-17", "scores": { "urgency": 83 } });
    let event = json!({ "type": "holm.finished_scan", "data": { "user": "alice", "ip": {} } });
    Scope::new(NOW)
        .known(Root::Alert, record(alert))
        .known(Root::Case, record(case))
        .known(Root::Entity, record(entity))
        .known(Root::Event, record(event))
        .free(Root::Vars, Arc::new(json!({ "desk": "a", "limit": 5 })))
}

/// The time of the processor that this thread has used; the clock of the wall where the system does not tell.
fn processor() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(wall, Duration::from_nanos)
}

fn wall() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}
