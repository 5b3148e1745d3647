//! Whatever facts come, in whatever order: the fold refuses what is not legal and changes nothing by that, and folding the
//! accepted ones again gives the same state.

use proptest::prelude::*;
use serde_json::json;

use super::tests::state;
use super::*;
use crate::time::Time;

/// The steps that facts are about, with what they do: each kind of block, and steps in them.
const PATHS: [(&str, &str); 17] = [
    ("a", SET),
    ("each", "for_each"),
    ("each/0/b", "log"),
    ("each/1/b", "webhook.send"),
    ("poll", "repeat"),
    ("poll/0/c", "http.request"),
    ("ask", "approve"),
    ("both", "parallel"),
    ("both/left/d", "wait"),
    ("route", "switch"),
    ("route/0/e", "stop"),
    ("guard", "try"),
    ("guard/try/f", "call"),
    ("guard/catch/g", "log"),
    ("guard/finally/h", "log"),
    ("on_failure/i", "log"),
    ("finally/j", "log"),
];

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(PATHS.map(|(path, _)| path).to_vec()).prop_map(str::to_owned)
}

fn step_status() -> impl Strategy<Value = StepStatus> {
    prop::sample::select(StepStatus::ALL.to_vec()).prop_filter("an end", |status| status.is_final())
}

fn time() -> impl Strategy<Value = Time> {
    (0_i64..1_000).prop_map(Time::from_millis)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let outcome = prop_oneof![
        Just(AttemptOutcome::Succeeded),
        time().prop_map(|at| AttemptOutcome::Retry { at }),
        Just(AttemptOutcome::Held),
        Just(AttemptOutcome::Failed),
        Just(AttemptOutcome::Suppressed { reason: "disabled".into() }),
    ];
    (1_u32..4, prop::option::of(prop::sample::select(vec!["desk", "siem"])), outcome).prop_map(|(n, to, outcome)| {
        Attempt {
            n,
            destination: to.map(str::to_owned),
            started_at: Time::from_millis(i64::from(n)),
            ended_at: Time::from_millis(i64::from(n) * 3),
            outcome,
            http_status: None,
            answer: None,
            error: None,
            redacted: Vec::new(),
        }
    })
}

fn wait() -> impl Strategy<Value = Wait> {
    let ask = Ask { ask: "?".into(), by: "approver".into(), requester: None, fields: crate::record::Record::new() };
    let on = prop_oneof![
        Just(WaitOn::Time),
        Just(WaitOn::Event { types: vec!["ticket.*".into()] }),
        Just(WaitOn::Approval(Box::new(ask))),
        Just(WaitOn::Run { run: state().start.id }),
    ];
    (on, prop::option::of(time())).prop_map(|(on, until)| Wait { on, until })
}

fn fact() -> impl Strategy<Value = Fact> {
    let action = |path: &str| PATHS.iter().find(|(known, _)| *known == path).map_or("log", |(_, action)| action);
    prop_oneof![
        2 => time().prop_map(|at| Fact::Started { at }),
        6 => (path(), time(), any::<bool>()).prop_map(move |(path, at, once)| {
            let input = (path == "each").then(|| json!({ "items": [1, 2] }).into());
            Fact::StepStarted { action: action(&path).into(), path, at, input, once }
        }),
        4 => (path(), attempt()).prop_map(|(path, attempt)| Fact::Attempted { path, attempt }),
        3 => (path(), time(), wait()).prop_map(|(path, at, wait)| Fact::Waiting { path, at, wait }),
        4 => (path(), 0_u32..4, step_status(), prop::option::of(time())).prop_map(|(path, index, status, again)| {
            let end = RoundEnd { status, at: Time::EPOCH, output: None, error: None, culprit: None, again };
            Fact::RoundEnded { path, index, end }
        }),
        6 => (path(), step_status(), time()).prop_map(move |(path, status, at)| Fact::StepEnded {
            action: action(&path).into(),
            output: Some(json!({ "n": at.millis() })),
            path,
            status,
            at,
            error: None,
            handled: false,
            culprit: None,
        }),
        1 => (time(), prop::option::of(path())).prop_map(|(at, step)| Fact::Overdue { at, reason: "late".into(), step }),
        1 => time().prop_map(|at| Fact::CancelRequested { by: "token:eva".into(), at }),
        1 => (path(), attempt()).prop_map(|(path, attempt)| Fact::Redelivered { path, by: "token:eva".into(), attempt }),
        1 => (prop::sample::select(RunStatus::ALL.to_vec()), time()).prop_map(|(status, at)| {
            Fact::Ended { status, at, reason: None, output: None }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_of_what_was_accepted_is_the_state_and_what_is_refused_changes_nothing(
        facts in prop::collection::vec(fact(), 0..60)
    ) {
        let mut live = state();
        let mut accepted = Vec::new();
        for fact in facts {
            let before = live.clone();
            match live.apply(&fact) {
                Ok(()) => {
                    let late = before.status.is_final() && !matches!(fact, Fact::Redelivered { .. });
                    prop_assert!(!late, "a fact after the end: {:?}", fact);
                    prop_assert_eq!(live.version, before.version + 1);
                    accepted.push(fact);
                }
                Err(_) => prop_assert_eq!(&live, &before),
            }
        }
        // As it is stored, and read again.
        let text = serde_json::to_string(&accepted).unwrap();
        let read: Vec<Fact> = serde_json::from_str(&text).unwrap();
        let mut folded = state();
        for fact in &read {
            folded.apply(fact).unwrap();
        }
        prop_assert_eq!(&folded, &live);
        // What must hold in every state that can be reached.
        prop_assert_eq!(live.order.len(), live.steps.len());
        let waiting: Vec<&str> = live.waiting().collect();
        let meant: Vec<&str> =
            live.steps.iter().filter(|(_, step)| step.status == StepStatus::Waiting).map(|(path, _)| path.as_str()).collect();
        prop_assert_eq!(waiting, meant);
        if !live.status.is_final() && live.overdue.is_none() && live.started_at.is_some() {
            let mut cut = live.clone();
            for fact in cut.cut_off(Time::EPOCH, "late".into()) {
                cut.apply(&fact).unwrap();
            }
            let open = |step: &StepState| !step.status.is_final() && !BLOCKS.contains(&step.action.as_str());
            prop_assert!(!cut.steps.values().any(open), "what acts and waits has ended");
        }
        if !live.status.is_final() {
            for fact in live.ending(RunStatus::Cancelled, Time::EPOCH, None) {
                live.apply(&fact).unwrap();
            }
            prop_assert!(live.steps.values().all(|step| step.status.is_final()));
            prop_assert_eq!(live.waiting().count(), 0);
        }
    }
}
