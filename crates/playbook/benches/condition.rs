//! What a condition costs, and what it costs to load ten thousand playbooks.
//!
//! Run with `cargo bench -p playbook --bench condition`. Each line is the best of several rounds, in nanoseconds for one
//! answer, with the scope built anew from shared records each time.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its figures and stops at a mistake")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Record, Time};
use playbook::{Answer, Budget, Catalog, Condition, Evaluator, Names, Root, Scope, ScriptSource, Source, check};
use serde_json::{Value, json};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread holds, as the server's allocator does, so that the memory budget is part of the figures.
struct Counting;

fn note(bytes: isize) {
    HELD.set(HELD.get() + bytes);
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting does not allocate.
#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(isize::try_from(layout.size()).unwrap_or(0));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-isize::try_from(layout.size()).unwrap_or(0));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers in one round.
const ANSWERS: u32 = 20_000;
/// Rounds, of which the best counts.
const ROUNDS: u32 = 15;

fn main() {
    let evaluator = Evaluator::new(|| HELD.get()).unwrap();
    let (event, alert) = records();
    println!("one answer, scope included (goal: at most 3,000 ns):");
    for (name, text) in [
        (
            "three plain comparisons",
            "alert.risk_score >= 90 && \"T1078\" in alert.mitres && alert.priority == \"critical\"",
        ),
        (
            "two plain, one for Rhai",
            "alert.risk_score >= 90 && alert.priority == \"critical\" && alert.name.starts_with(\"Imp\")",
        ),
        (
            "two plain, one closure",
            "alert.risk_score >= 90 && alert.priority == \"critical\" && alert.users.some(|u| u == \"alice\")",
        ),
        (
            "all three for Rhai",
            "alert.risk_score + 0 >= 90 && alert.mitres.contains(\"T\" + \"1078\") && alert.priority.to_lower() == \"critical\"",
        ),
        (
            "the first of three says no",
            "alert.risk_score >= 99 && \"T1078\" in alert.mitres && alert.priority == \"critical\"",
        ),
    ] {
        let condition = Condition::compile(ScriptSource::loose(text), &Names::everything(), &evaluator).unwrap();
        let took = best(|| {
            let scope = Scope::new(Time::from_millis(1_000))
                .known(Root::Event, Some(event.clone()))
                .known(Root::Alert, Some(alert.clone()));
            let answer = condition.answer(&evaluator, &scope, Budget::WHEN);
            assert!(!matches!(answer, Answer::Failed { .. }), "{answer:?}");
            answer
        });
        println!("  {name:28} {:>7} ns   ({} of its parts run in Rhai)", took.as_nanos(), condition.scripted_parts());
    }
    load(&evaluator);
}

/// Mean time of one call, in the best round.
fn best<T>(mut call: impl FnMut() -> T) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..ANSWERS {
            black_box(call());
        }
        best = best.min(start.elapsed() / ANSWERS);
    }
    best
}

fn records() -> (Arc<Record>, Arc<Record>) {
    let record = |value: Value| match value {
        Value::Object(record) => Arc::new(record),
        _ => Arc::default(),
    };
    let event = json!({"id": "evt-1", "type": "alert.created", "source": "generic", "tenant": "default", "data": null});
    let alert = json!({
        "id": "A-1", "name": "Impossible travel", "risk_score": 92, "priority": "critical", "tags": ["vip"],
        "mitres": ["TA0001", "T1078"], "use_cases": ["Compromised Credentials"], "users": ["bob", "alice"],
        "endpoints": ["ws-17"], "created_time": "2026-11-22T07:59:58.000Z", "description": "x".repeat(1_000),
    });
    (record(event), record(alert))
}

/// Loads ten thousand playbooks.
fn load(evaluator: &Evaluator) {
    let sources: Vec<Source> = (0..10_000)
        .map(|n| {
            let text = format!(
                "playbook: p-{n}\nname: Number {n}\ntriggers:\n  - case.stage_changed: {{ from: New, to: Investigation }}\n  \
                 - alert.created: {{ when: alert.risk_score >= {} }}\nwhen: |\n  event.tenant == \"t-{n}\" &&\n  \
                 event.type.starts_with(\"case\")\nsteps: []\n",
                n % 100
            );
            Source { file: format!("p-{n}.yaml").into(), text }
        })
        .collect();
    let start = Instant::now();
    let checked = check(&sources, &Catalog::default(), evaluator);
    let took = start.elapsed();
    assert!(checked.diagnostics.iter().all(|found| found.code == "PB110"), "{:?}", checked.diagnostics.first());
    println!("reading, compiling and checking 10,000 playbooks: {} ms", took.as_millis());
}
