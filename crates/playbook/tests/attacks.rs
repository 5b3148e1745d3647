//! Hostile scripts and templates: each row of the list of attacks ends in a typed error, soon, and with little memory.
//!
//! The allocator of this test counts what each thread holds, as the one of the server does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Time;
use playbook::{Answer, Budget, Condition, Evaluator, Expression, Names, ProbeError, Root, Scope, ScriptSource};
use serde_json::{Value, json};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn note(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
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

fn held() -> isize {
    HELD.get()
}

fn evaluator() -> Evaluator {
    Evaluator::new(held).unwrap()
}

/// Debug builds on a busy machine are slower than what is promised for release builds.
const SLACK: u32 = if cfg!(debug_assertions) { 10 } else { 1 };

/// The budget of a step, with the same slack for time.
const PATIENT: Budget = Budget { millis: Budget::STEP.millis * SLACK as u64, ..Budget::STEP };

fn scope() -> Scope {
    let Value::Object(alert) = json!({
        "name": "a \" && true || \"", "users": (0..500).map(|n| format!("user-{n}")).collect::<Vec<_>>(), "risk_score": 5,
        "description": "x".repeat(60_000),
    }) else {
        panic!("an object")
    };
    let Value::Object(event) = json!({"data": {
        "__proto__": 1, "this": 2, "eval": 3, "fn": 4, "раураl": 5, "case": 6, "a": {"b": {}}, "numbers": [1, 2, 3],
    }}) else {
        panic!("an object")
    };
    Scope::new(Time::EPOCH).known(Root::Alert, Some(Arc::new(alert))).known(Root::Event, Some(Arc::new(event)))
}

/// What became of a script: the codes found at load, or the code of its failure, or its value.
fn outcome(text: &str) -> String {
    let (evaluator, scope) = (evaluator(), scope());
    let (start, before) = (Instant::now(), held());
    PEAK.set(before);
    let said = match Expression::compile(ScriptSource::loose(text), &Names::everything(), &evaluator) {
        Err(found) => found[0].code.to_owned(),
        Ok(script) => match script.value(&evaluator, &scope, PATIENT) {
            Ok(value) => value.to_string(),
            Err(error) => error.code.to_owned(),
        },
    };
    let shown: String = text.chars().take(60).collect();
    assert!(start.elapsed() < Duration::from_millis(100) * SLACK, "{shown} took {:?}", start.elapsed());
    let grew = (PEAK.get() - before) / (1024 * 1024);
    assert!(grew < 24, "{shown} held {grew} MB");
    said
}

fn refused(text: &str, code: &str) {
    assert_eq!(outcome(text), code, "{}", text.chars().take(80).collect::<String>());
}

#[test]
fn r1_nothing_loops() {
    refused("loop { }", "PB306");
    refused("while true { }", "PB306");
    refused("for x in 0..9223372036854775807 { }", "PB306");
    refused("do { } while true", "PB306");
    refused("range(0, 9223372036854775807, 1)", "PB308");
    let nested = "alert.users.map(|a| alert.users.map(|b| alert.users.map(|c| c.len())))";
    assert!(["too_many_operations", "too_slow"].contains(&outcome(nested).as_str()), "{}", outcome(nested));
}

#[test]
fn r2_nothing_calls_itself() {
    refused("fn f() { f() } f()", "PB306");
    refused("let f = |x| f(x); f(1)", "PB308");
    refused("let f = |x| x; f.call(1)", "PB301");
    refused("let f = |f| f(f); f(f)", "PB308");
}

#[test]
fn r3_nothing_sleeps() {
    refused("sleep(1000000000)", "PB306");
    refused("sleep(2.0)", "PB306");
    refused("timestamp()", "PB308");
}

#[test]
fn r4_texts_do_not_grow() {
    let doubled = format!("let s = alert.description; {} s.len()", "s += s; ".repeat(20));
    refused(&doubled, "too_large");
    refused("\"a\".pad(2000000000, \"x\")", "PB308");
    let interpolated = format!("let a = alert.description; {} a", "a = `${a}${a}`; ".repeat(15));
    refused(&interpolated, "too_large");
    let replaced = format!("let a = \"xxxxxxxxxx\"; {} a", "a = a.replace(\"x\", \"xxxxxxxxxx\"); ".repeat(15));
    refused(&replaced, "too_large");
    refused("alert.users.join(alert.description)", "too_large");
}

#[test]
fn r5_lists_and_maps_do_not_grow() {
    let doubled = format!("let a = [1, 2, 3, 4]; {} a.len()", "a = a + a; ".repeat(20));
    refused(&doubled, "too_large");
    refused("blob(4000000000)", "PB308");
    let dag = format!("let a = [1]; {} a.to_string()", "a = [a, a, a, a]; ".repeat(15));
    refused(&dag, "too_large");
    let maps = format!("let m = #{{a: 1}}; {} m", "m = #{a: m, b: m}; ".repeat(15));
    refused(&maps, "too_large");
}

#[test]
fn r6_all_values_together_are_bounded() {
    let many = "let d = alert.description; alert.users.map(|u| #{text: d + u}).len()";
    let said = outcome(many);
    assert!(["too_large", "too_much_memory", "too_slow"].contains(&said.as_str()), "{said}");
    let kept = "let d = alert.description; let k = alert.users.filter(|u| (d + u).to_upper().len() > 5); k.len()";
    assert!(["500", "too_slow", "too_much_memory"].contains(&outcome(kept).as_str()), "{}", outcome(kept));
    let mut hoard = "let d = alert.description;".to_owned();
    for n in 0..300 {
        hoard.push_str(&format!("let a{n} = d + \"{n}\";"));
    }
    hoard.push_str("a1.len()");
    refused(&hoard, "too_much_memory");
}

#[test]
fn r7_nothing_reaches_outside() {
    for text in ["eval(\"1\")", "Fn(\"eval\")", "import \"/etc/passwd\" as p;", "let x = Fn(\"eval\"); x.call(\"1\")"] {
        assert!(["PB306", "PB308"].contains(&outcome(text).as_str()), "{text}: {}", outcome(text));
    }
    refused("env(\"HOME\")", "PB308");
    refused("open_file(\"/etc/passwd\")", "PB308");
    refused("__field(alert, \"name\")", "PB306");
    refused("alert.__optional_field(\"name\")", "PB306");
}

#[test]
fn r8_nothing_is_printed() {
    refused("print(\"x\")", "PB306");
    refused("debug(\"\\u001b[2J\")", "PB306");
}

#[test]
fn r9_what_is_nested_or_long_is_refused_unread() {
    refused(&format!("{}1{}", "(".repeat(500), ")".repeat(500)), "PB307");
    refused(&format!("{}{}", "[".repeat(3_000), "]".repeat(3_000)), "PB307");
    refused(&format!("if true {{ 1 }} {} else {{ 2 }}", "else if true { 1 }".repeat(800)), "PB307");
    refused(&"a".repeat(2_000_000), "PB307");
    refused(&"1 + ".repeat(300_000), "PB307");
    refused(&format!("1{}", " + 1".repeat(3_000)), "PB307");
    refused(&format!("alert{}", ".x".repeat(5_000)), "PB307");
    refused(&format!("{}true", "!".repeat(10_000)), "PB307");
    refused(&format!("{}1", "- ".repeat(5_000)), "PB307");
    refused(&format!("{}1", "|x| ".repeat(3_000)), "PB307");
    refused(&format!("{}1{}", "#{a: ".repeat(2_000), "}".repeat(2_000)), "PB307");
    refused(&format!("{}1{}", "{ ".repeat(3_000), " }".repeat(3_000)), "PB307");
    refused(&format!("{} 1", "if true ".repeat(2_000)), "PB307");
    refused(&format!("alert{}", "[0]".repeat(5_000)), "PB307");
    refused(&format!("{}1{}", "switch 1 { 1 => ".repeat(900), " }".repeat(900)), "PB307");
    refused(&format!("{}x{}", "`${".repeat(4_000), "}`".repeat(4_000)), "PB307");
    // What is allowed must also run: the deepest of each kind.
    for text in [
        format!("{}1{}", "(".repeat(28), ")".repeat(28)),
        format!("1{}", " + 1".repeat(31)),
        format!("true{}", " && true".repeat(1_500)),
        format!("if false {{ 1 }} {} else {{ 2 }}", "else if false { 1 } ".repeat(14)),
        format!("event.data{} == ()", "?.x".repeat(30)),
    ] {
        let said = outcome(&text);
        assert!(!said.starts_with("too") && said != "script", "{}: {said}", &text[..40]);
    }
}

#[test]
fn r10_arithmetic_has_an_error_or_a_value() {
    for text in ["9223372036854775807 + 1", "1 / 0", "1 % 0", "(-9223372036854775807 - 1) / -1", "2 ** 63"] {
        refused(text, "arithmetic");
    }
    refused("1 << 9999", "PB306");
    refused("1.0 / 0.0", "arithmetic");
    let condition = Condition::compile(ScriptSource::loose("1 / 0 == 1"), &Names::everything(), &evaluator()).unwrap();
    let answer = condition.answer(&evaluator(), &scope(), Budget::STEP);
    assert!(matches!(answer, Answer::Failed { code: "arithmetic", .. }), "{answer:?}");
}

#[test]
fn r11_what_happened_cannot_be_changed() {
    refused("event.x = 1", "PB306");
    refused("alert.users[0] = \"x\"", "PB306");
    refused("alert.users.push(\"x\")", "PB308");
    refused("alert = 5", "PB306");
    refused("let u = alert.users; u.map(|x| { x = \"changed\"; x }); alert.users[0]", "\"user-0\"");
    let scope = scope();
    let text = "let a = alert.users; a = []; alert.users.len() == 500";
    let condition = Condition::compile(ScriptSource::loose(text), &Names::everything(), &evaluator()).unwrap();
    assert_eq!(condition.answer(&evaluator(), &scope, Budget::STEP), Answer::Yes);
    assert_eq!(condition.answer(&evaluator(), &scope, Budget::STEP), Answer::Yes);
}

#[test]
fn r12_only_true_is_a_yes() {
    for text in
        ["event.data.a", "event.data.get(\"none\")", "event.data.numbers[0]", "if alert.risk_score > 9 { true }"]
    {
        let condition = Condition::compile(ScriptSource::loose(text), &Names::everything(), &evaluator()).unwrap();
        let answer = condition.answer(&evaluator(), &scope(), Budget::STEP);
        assert!(matches!(answer, Answer::Failed { code: "not_boolean", .. }), "{text}: {answer:?}");
    }
}

#[test]
fn r13_what_is_missing_has_a_meaning() {
    refused("event.data.a.b.c == 1", "missing_key");
    refused("event.data.a?.x?.y?.z", "null");
}

#[test]
fn r14_odd_names_in_data_are_data() {
    refused("event.data.__proto__", "1");
    refused("event.data[\"this\"] + event.data[\"eval\"] + event.data[\"fn\"]", "9");
    refused("event.data.case", "6");
    refused("event.data[\"раураl\"]", "5");
    refused("event.data.paypal", "missing_key");
}

#[test]
fn r15_text_that_looks_like_a_script_is_text() {
    refused("alert.name == \"a\"", "false");
    refused("alert.name.contains(\"true\")", "true");
    refused("`${alert.name}`", "\"a \\\" && true || \\\"\"");
}

/// Row R16 on one thread: the worst that a `when` may do does not hold up the others for long.
#[test]
fn r16_the_worst_condition_ends_in_its_budget() {
    let text = "alert.users.some(|a| alert.users.some(|b| a == b && alert.users.some(|c| c == \"x\")))";
    let condition = Condition::compile(ScriptSource::loose(text), &Names::everything(), &evaluator()).unwrap();
    let (evaluator, scope, start) = (evaluator(), scope(), Instant::now());
    for _ in 0..20 {
        let answer = condition.answer(&evaluator, &scope, Budget::WHEN);
        assert!(matches!(answer, Answer::Failed { code: "too_many_operations" | "too_slow", .. }), "{answer:?}");
    }
    assert!(start.elapsed() < Duration::from_millis(20 * 7) * SLACK, "{:?}", start.elapsed());
}

#[test]
fn r17_json_is_not_parsed_in_scripts() {
    refused(&format!("parse_json(\"{}\")", "[".repeat(2_000)), "PB308");
}

#[test]
fn r18_a_script_and_its_closures_share_nothing() {
    refused("let a = [1, 2]; a.map(|x| a.map(|y| x + y)).len()", "2");
    refused("let a = [1, 2]; a.map(|x| { a = [x]; a.len() })", "[1,1]");
    refused("let a = [[1], [2]]; a.some(|x| x.some(|y| x.contains(y) && a.contains(x)))", "true");
}

#[test]
fn a_counter_that_does_not_count_is_refused() {
    assert!(matches!(Evaluator::new(|| 0), Err(ProbeError::NotCounted { .. })));
}
