//! A playbook as it was checked: what triggers it, what it decides, what it does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::run::RunStatus;
use model::{Digest, Time};

use crate::catalog::ActionSpec;
use crate::control::Control;
use crate::diagnostic::Span;
use crate::inputs::Input;
use crate::schedule::Schedule;
use crate::script::{Condition, Expression};
use crate::template::Template;
use crate::testing::Test;

/// One playbook.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// Its id, unique.
    pub id: Arc<str>,
    /// Its name for people; the id when it has none.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether its file says that it is on.
    pub enabled: bool,
    /// Lower is decided and started first; ties go by id.
    pub order: i64,
    /// The tenants it is for; nothing means all.
    pub tenants: Option<Vec<String>>,
    /// From when on it no longer runs.
    pub expires: Option<Time>,
    /// What starts it: any of these.
    pub triggers: Vec<Trigger>,
    /// The secrets that it may place.
    pub secrets: Vec<String>,
    /// Whether it starts.
    pub when: Option<Condition>,
    /// Its constants, an object.
    pub vars: Arc<serde_json::Value>,
    /// What bounds its runs.
    pub control: Control,
    /// How long a run may be active.
    pub timeout: Option<Duration>,
    /// What it does.
    pub steps: Vec<Step>,
    /// What it does when a step failed.
    pub on_failure: Vec<Step>,
    /// What it does in the end, whether a step failed or not.
    pub finally: Vec<Step>,
    /// What a caller, or a person who starts it, gives.
    pub inputs: Vec<Input>,
    /// What it gives to a caller.
    pub outputs: Vec<(String, Template)>,
    /// The ids of all its steps, nested ones included.
    pub step_ids: Vec<String>,
    /// Its tests, those in its own file.
    pub tests: Vec<Test>,
    /// Whether events that its own runs cause may start it.
    pub triggers_itself: bool,
    /// The file it came from.
    pub file: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
    /// The digest of its text.
    pub digest: Digest,
}

impl Playbook {
    /// The lists of steps that a run may do, with what stands before the paths of their steps.
    pub fn lists(&self) -> [(&'static str, &[Step]); 3] {
        [("", &self.steps), ("on_failure/", &self.on_failure), ("finally/", &self.finally)]
    }

    /// The step at a path of a run, however deep: `each/3/send`.
    pub fn step_at(&self, path: &str) -> Option<&Step> {
        self.lists().into_iter().find_map(|(prefix, steps)| find(steps, path.strip_prefix(prefix)?))
    }

    /// All steps, nested ones included, each before those in it.
    pub fn all_steps(&self) -> Vec<&Step> {
        fn add<'a>(steps: &'a [Step], all: &mut Vec<&'a Step>) {
            for step in steps {
                all.push(step);
                step.lists().into_iter().for_each(|(_, steps)| add(steps, all));
            }
        }
        let mut all = Vec::new();
        self.lists().into_iter().for_each(|(_, steps)| add(steps, &mut all));
        all
    }
}

/// The step at the rest of a path.
fn find<'a>(steps: &'a [Step], rest: &str) -> Option<&'a Step> {
    let (segment, rest) = rest.split_once('/').map_or((rest, None), |(segment, rest)| (segment, Some(rest)));
    let step = steps.iter().find(|step| step.segment() == segment)?;
    let Some(rest) = rest else { return Some(step) };
    let (between, rest) = rest.split_once('/')?;
    let number = between.bytes().all(|b| b.is_ascii_digit());
    let list = step.lists().into_iter().find(|(name, _)| name == between || (name == "*" && number));
    find(list?.1, rest)
}

/// One trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// What it listens to.
    pub on: On,
    /// Whether it fits.
    pub when: Option<Condition>,
    /// Where it stands.
    pub span: Span,
}

/// What a trigger listens to.
#[derive(Debug, Clone)]
pub enum On {
    /// An alert was seen for the first time.
    AlertCreated,
    /// An alert changed.
    AlertUpdated {
        /// Only when one of these fields changed; empty means any.
        changed: Vec<String>,
    },
    /// A case was seen for the first time.
    CaseCreated,
    /// A case changed.
    CaseUpdated {
        /// Only when one of these fields changed; empty means any.
        changed: Vec<String>,
    },
    /// A case changed its stage. Canonical names; an empty list means any.
    StageChanged {
        /// The stages before.
        from: Vec<String>,
        /// The stages after.
        to: Vec<String>,
    },
    /// A score crossed a level upward.
    Score {
        /// `host`, `account`, `user`, `ip`, `alert` or `case`.
        of: String,
        /// Names of scores with their levels; all must hold.
        levels: Vec<(String, f64)>,
        /// How long it stays silent for the same entity.
        dedupe: Option<Duration>,
    },
    /// A time came.
    Schedule(Schedule),
    /// A plain event came.
    Event {
        /// Exact types, or prefixes such as `holm.*`.
        types: Vec<String>,
    },
    /// Plain events came: so many within a time.
    Count(Box<Count>),
    /// A case has been in one of these stages for so long.
    InStage {
        /// The stages. Canonical names.
        stages: Vec<String>,
        /// For how long.
        period: Duration,
        /// What tells it from other triggers; the same while it is not changed.
        digest: String,
    },
    /// A source has sent nothing for so long.
    SourceSilent {
        /// Which source.
        source: String,
        /// For how long.
        period: Duration,
        /// What tells it from other triggers; the same while it is not changed.
        digest: String,
    },
    /// A run failed or ran out of time.
    RunFailed {
        /// Of these playbooks; empty means any.
        playbooks: Vec<String>,
    },
    /// A run needs a person.
    RunNeedsAttention {
        /// Of these playbooks; empty means any.
        playbooks: Vec<String>,
    },
    /// A delivery failed for good.
    DeliveryFailed {
        /// To these destinations; empty means any.
        destinations: Vec<String>,
    },
    /// A playbook ran more rarely than it says is expected.
    PlaybookSilent {
        /// These playbooks; empty means any.
        playbooks: Vec<String>,
    },
    /// A person or a program asked.
    Manual,
}

/// `event.count`: so many events within a time.
#[derive(Debug, Clone)]
pub struct Count {
    /// Exact types, or prefixes such as `holm.*`.
    pub types: Vec<String>,
    /// What they are told apart by; nothing means all together.
    pub by: Option<Expression>,
    /// How many.
    pub at_least: u32,
    /// Within which time, by the times of the events.
    pub within: Duration,
    /// How long it is silent afterwards.
    pub dedupe: Duration,
    /// What tells it from other triggers; the same while it is not changed.
    pub digest: String,
}

impl On {
    /// The name in YAML.
    pub fn kind(&self) -> &'static str {
        match self {
            On::AlertCreated => "alert.created",
            On::AlertUpdated { .. } => "alert.updated",
            On::CaseCreated => "case.created",
            On::CaseUpdated { .. } => "case.updated",
            On::StageChanged { .. } => "case.stage_changed",
            On::Score { .. } => "score.threshold",
            On::Schedule(_) => "schedule",
            On::Event { .. } => "event",
            On::Count(_) => "event.count",
            On::InStage { .. } => "case.in_stage",
            On::SourceSilent { .. } => "source.silent",
            On::RunFailed { .. } => "run.failed",
            On::RunNeedsAttention { .. } => "run.needs_attention",
            On::DeliveryFailed { .. } => "delivery.failed",
            On::PlaybookSilent { .. } => "playbook.silent",
            On::Manual => "manual",
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its id; empty when it has none.
    pub id: String,
    /// Its unique path: the id, or `#2` for the second of a list, after the path of the list that it is in, with `/` in
    /// between. A `*` stands for the number of a loop's round: `each/*/send`.
    pub path: String,
    /// Whether it is done.
    pub condition: Option<Condition>,
    /// What it does.
    pub body: Body,
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// How often it is tried again.
    pub retry: Option<Retry>,
    /// What happens when it failed.
    pub on_error: OnError,
    /// Where it stands.
    pub span: Span,
}

impl Step {
    /// The last part of its path.
    pub fn segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The lists of steps in it, each with what comes between its own path and theirs; `*` is the number of a round.
    pub fn lists(&self) -> Vec<(String, &[Step])> {
        let mut lists: Vec<(String, &[Step])> = match &self.body {
            Body::ForEach(each) => vec![("*".to_owned(), &each.steps)],
            Body::Repeat(repeat) => vec![("*".to_owned(), &repeat.steps)],
            Body::Parallel { branches } => branches.iter().map(|one| (one.id.clone(), one.steps.as_slice())).collect(),
            Body::Switch { cases } => {
                (0..).zip(cases).map(|(n, case): (u32, _)| (n.to_string(), case.steps.as_slice())).collect()
            }
            Body::Try(guard) => Guard::LISTS.iter().map(|name| ((*name).to_owned(), guard.list(name))).collect(),
            Body::Action { .. }
            | Body::Call(_)
            | Body::Wait(_)
            | Body::Approve(_)
            | Body::Set { .. }
            | Body::Stop { .. } => Vec::new(),
        };
        if let OnError::Steps(steps) = &self.on_error {
            lists.push(("on_error".to_owned(), steps));
        }
        lists
    }
}

/// What a step does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Body {
    /// An action.
    Action {
        /// Which.
        spec: &'static ActionSpec,
        /// Its parameters.
        with: Arc<BTreeMap<String, Template>>,
    },
    /// The same steps for each item of a list.
    ForEach(Each),
    /// Several lists of steps at the same time.
    Parallel {
        /// The lists, by name.
        branches: Vec<Branch>,
    },
    /// The first of several lists whose condition says yes.
    Switch {
        /// The lists with their conditions.
        cases: Vec<Case>,
    },
    /// The same steps again and again until a condition says yes.
    Repeat(Repeat),
    /// Steps, what is done when one of them fails, and what is done in any case.
    Try(Guard),
    /// Another playbook.
    Call(Call),
    /// A wait.
    Wait(Wait),
    /// A question to a person.
    Approve(Approve),
    /// Names for values, read as `vars.name` from then on.
    Set {
        /// The names with their values.
        values: Vec<(String, Template)>,
    },
    /// The end of the run.
    Stop {
        /// How it ends.
        outcome: RunStatus,
        /// Why.
        reason: Option<Template>,
    },
}

impl Body {
    /// The action's id, or the kind of block.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Action { spec, .. } => spec.id,
            Body::ForEach(_) => "for_each",
            Body::Parallel { .. } => "parallel",
            Body::Switch { .. } => "switch",
            Body::Repeat(_) => "repeat",
            Body::Try(_) => "try",
            Body::Call(_) => "call",
            Body::Wait(_) => "wait",
            Body::Approve(_) => "approve",
            Body::Set { .. } => model::run::SET,
            Body::Stop { .. } => model::run::STOP,
        }
    }
}

/// `for_each`.
#[derive(Debug, Clone)]
pub struct Each {
    /// The list.
    pub items: Items,
    /// The name of the item in its steps.
    pub var: String,
    /// How many items may be at work at once.
    pub max_parallel: usize,
    /// What is done for each.
    pub steps: Vec<Step>,
}

/// Where the items of a loop come from.
#[derive(Debug, Clone)]
pub enum Items {
    /// A script that gives a list.
    Script(Expression),
    /// A list written down, or a value with `${{ … }}`.
    Value(Template),
}

/// One branch of `parallel`.
#[derive(Debug, Clone)]
pub struct Branch {
    /// Its name.
    pub id: String,
    /// What it does.
    pub steps: Vec<Step>,
}

/// One case of `switch`.
#[derive(Debug, Clone)]
pub struct Case {
    /// When it is taken; nothing for `else`.
    pub when: Option<Condition>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// `repeat`.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// When it is over; asked after each turn.
    pub until: Condition,
    /// How long it rests between two turns.
    pub every: Duration,
    /// Most turns.
    pub max: u32,
    /// What is done in each.
    pub steps: Vec<Step>,
}

/// `try`.
#[derive(Debug, Clone)]
pub struct Guard {
    /// What is done.
    pub steps: Vec<Step>,
    /// What is done when a step of it failed; empty when nothing takes the failure.
    pub catch: Vec<Step>,
    /// What is done in any case.
    pub finally: Vec<Step>,
}

impl Guard {
    /// The names of its lists in paths.
    pub const LISTS: [&str; 3] = ["try", "catch", "finally"];

    /// The list of this name.
    pub fn list(&self, name: &str) -> &[Step] {
        match name {
            "try" => &self.steps,
            "catch" => &self.catch,
            _ => &self.finally,
        }
    }
}

/// `call`.
#[derive(Debug, Clone)]
pub struct Call {
    /// The playbook's id.
    pub playbook: String,
    /// What it is given.
    pub inputs: BTreeMap<String, Template>,
    /// Where the playbook's name stands.
    pub at: Span,
}

/// `wait`.
#[derive(Debug, Clone)]
pub enum Wait {
    /// For a length of time.
    For(Duration),
    /// Until a time, RFC 3339.
    Until(Template),
    /// For an event.
    Event(WaitEvent),
}

/// A wait for an event.
#[derive(Debug, Clone)]
pub struct WaitEvent {
    /// Exact types, or prefixes such as `holm.*`.
    pub types: Vec<String>,
    /// Which of them; `event` in it is the one that came.
    pub when: Option<Condition>,
    /// How long at most.
    pub timeout: Duration,
    /// Whether the step fails when none came; otherwise the run goes on.
    pub fails: bool,
}

/// What happens to a question that nobody answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeadline {
    /// As if it had been approved.
    Approve,
    /// As if it had been denied.
    Deny,
    /// The step fails.
    Fail,
}

impl OnDeadline {
    /// The name in YAML.
    pub const fn name(self) -> &'static str {
        match self {
            OnDeadline::Approve => "approve",
            OnDeadline::Deny => "deny",
            OnDeadline::Fail => "fail",
        }
    }
}

/// `approve`.
#[derive(Debug, Clone)]
pub struct Approve {
    /// The question.
    pub ask: Template,
    /// The role that may answer.
    pub by: String,
    /// What the answer holds besides yes or no.
    pub fields: Vec<Input>,
    /// How long there is to answer.
    pub deadline: Duration,
    /// What happens when nobody did.
    pub on_deadline: OnDeadline,
}

/// What happens when a step failed.
#[derive(Debug, Clone)]
pub enum OnError {
    /// The run fails.
    Fail,
    /// The run goes on, with a warning.
    Continue,
    /// These steps are done, then the run goes on, with a warning.
    Steps(Vec<Step>),
}

/// How the time between two tries grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// It doubles.
    #[default]
    Exponential,
    /// It grows by the first.
    Linear,
    /// It stays.
    Fixed,
}

/// How often a step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Most tries after the first; 0 means one call only.
    pub max: u32,
    /// How the time between two tries grows.
    pub backoff: Backoff,
    /// The time before the second try.
    pub first: Duration,
    /// The longest time between two tries.
    pub cap: Duration,
}

impl Retry {
    /// For actions that talk to the network.
    pub const NETWORK: Retry =
        Retry { max: 3, backoff: Backoff::Exponential, first: Duration::from_secs(1), cap: Duration::from_secs(60) };
}
