//! Rows R of the attacks: hostile conditions. Each is refused at load, or fails within its budget; none is ever a yes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::command::sortie;
use crate::support::sample::{TELL, alert, desk, verdict};
use crate::support::{Folder, Receiver, Server};

/// Memory that a server may need more than before, under any of these.
const GROWTH_BYTES_MAX: u64 = 64_000_000;

fn with_condition(folder: &Folder, id: &str, script: &str) {
    let script = serde_json::Value::String(script.to_owned());
    folder.playbook(id, &format!("triggers:\n  - alert.created\nwhen: {script}\nsteps:\n  - id: note\n    action: log\n    with: {{ message: hi }}\n"));
}

/// What may not even be loaded: it can never be right.
const REFUSED: &[(&str, &str)] = &[
    ("r1-loop", "loop { }"),
    ("r1-while", "while true { } true"),
    ("r1-for", "for i in range(0, 9223372036854775807, 1) { } true"),
    ("r1-do", "do { } until false; true"),
    ("r2-fn", "fn f() { f() } f()"),
    ("r3-sleep", "sleep(1000000000); true"),
    ("r3-sleep-float", "sleep(2.0); true"),
    ("r7-eval", "eval(\"true\")"),
    ("r7-fn", "Fn(\"eval\").call(\"true\")"),
    ("r7-import", "import \"/etc/passwd\" as p; true"),
    ("r7-env", "env(\"PATH\") == \"\""),
    ("r7-open", "open_file(\"/etc/passwd\"); true"),
    ("r7-export", "export let x = 1; true"),
    ("r8-print", "print(\"\\x1b[31m\"); true"),
    ("r8-debug", "debug(1); true"),
    ("r5-blob", "blob(4000000000).len() > 0"),
    ("r4-pad", "let s = \"a\"; s.pad(2000000000, 'b'); true"),
    ("curry", "let f = |x, y| x + y; f.curry(1); true"),
    ("clock", "timestamp().elapsed > 0.0"),
    ("r11-alert", "alert.name = \"other\"; true"),
    ("r11-event", "event.data.x = 1; true"),
    ("r12-string", "\"yes\""),
    ("r12-number", "1"),
    ("r12-unit", "()"),
    ("unknown-name", "allert.name == \"x\""),
    ("unknown-field", "alert.risk_scor > 1"),
    ("empty", ""),
];

#[test]
fn what_can_never_be_right_is_refused_at_load_with_its_place() {
    for (id, script) in REFUSED {
        let folder = Folder::new();
        with_condition(&folder, id, script);
        let began = Instant::now();
        let checked = sortie(&folder, &["check", "playbooks", "--json"]);
        assert_eq!(checked.status.code(), Some(3), "{id}: {}{}", checked.stdout, checked.stderr);
        let first = &checked.json()[0];
        assert!(first["code"].as_str().is_some_and(|code| code.len() == 5), "{id}: {first}");
        assert!(first["line"].as_u64().is_some_and(|line| line >= 4), "{id}: {first}");
        assert!(began.elapsed() < Duration::from_secs(10), "{id}");
    }
}

#[test]
fn a_script_that_is_too_large_or_too_deep_is_refused_quickly() {
    let scripts = [
        ("parens", format!("{}true{}", "(".repeat(500), ")".repeat(500))),
        ("arrays", format!("{}1{} == 1", "[".repeat(3_000), "]".repeat(3_000))),
        ("else-if", format!("if false {{ true }} {}", "else if false { true } ".repeat(700))),
        ("identifier", format!("{} == 1", "a".repeat(200_000))),
        ("long", format!("true {}", "|| true ".repeat(3_000))),
        ("not", format!("{}true", "!".repeat(10_000))),
    ];
    for (id, script) in scripts {
        let folder = Folder::new();
        with_condition(&folder, id, &script);
        let began = Instant::now();
        let checked = sortie(&folder, &["check", "playbooks", "--json"]).expect(3);
        assert!(!checked.stdout.contains("internal"), "{}", checked.stdout);
        assert!(began.elapsed() < Duration::from_secs(10), "{id} took {:?}", began.elapsed());
    }
}

/// What may be loaded, and must not come to a yes.
const RUNAWAY: &[(&str, &str)] = &[
    (
        "r2-closure",
        "let f = |x| 1; let g = |y| [1].map(|z| [z].map(|w| w)); let n = [1,2,3].map(|a| [1,2,3].map(|b| [1,2,3].map(|c| [1,2,3].map(|d| [1,2,3].map(|e| [1,2,3].map(|f| [1,2,3].map(|h| [1,2,3].map(|i| i)))))))); n.len() > 0",
    ),
    (
        "r4-doubling",
        "let s = \"aaaaaaaaaaaaaaaa\"; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s += s; s.len() > 0",
    ),
    (
        "r4-interpolation",
        "let s = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"; let t = `${s}${s}${s}${s}${s}${s}${s}${s}`; let u = `${t}${t}${t}${t}${t}${t}${t}${t}`; let v = `${u}${u}${u}${u}${u}${u}${u}${u}`; let w = `${v}${v}${v}${v}${v}${v}${v}${v}`; w.len() > 0",
    ),
    (
        "r5-array",
        "let a = [1,1,1,1,1,1,1,1]; a += a; a += a; a += a; a += a; a += a; a += a; a += a; a += a; a += a; a += a; a += a; a += a; a += a; a.len() > 0",
    ),
    ("r12-map", "#{a: 1}"),
    ("r10-overflow", "9223372036854775807 + 1 > 0"),
    ("r10-zero", "1 / 0 == 0"),
    ("r10-min", "(-9223372036854775807 - 1) / -1 == 0"),
    ("r10-power", "2 ** 63 > 0"),
    ("r10-shift", "(1 << 9999) >= 0"),
    ("r13-missing", "event.data.a.b.c == 1"),
    ("r18-shared", "let a = [1, 2, 3]; a.map(|x| a.map(|y| a.len())).len() > 99"),
    ("index", "alert.tags[99] == \"x\""),
    ("substring", "alert.name.sub_string(-1, 99999999999) == \"x\""),
];

#[test]
fn a_runaway_condition_fails_within_its_budget_and_never_says_yes() {
    let folder = Folder::new();
    for (id, script) in RUNAWAY {
        with_condition(&folder, id, script);
    }
    let checked = sortie(&folder, &["check", "playbooks", "--json"]);
    let refused = checked.stdout.clone();
    let mut loaded = Vec::new();
    for (id, _) in RUNAWAY {
        if refused.contains(&format!("{id}.yaml")) {
            std::fs::remove_file(folder.path().join(format!("playbooks/{id}.yaml"))).unwrap();
        } else {
            loaded.push(*id);
        }
    }
    assert!(loaded.len() > 5, "nearly all were refused at load: {refused}");
    let server = Server::start(&folder);
    let before = server.resident_bytes();
    let answer = server.accepted(&alert("A-1", 92));
    for id in loaded {
        assert_ne!(verdict(&answer, id), "matched", "{id}: {answer}");
    }
    assert!(server.resident_bytes() < before + GROWTH_BYTES_MAX, "{before} {}", server.resident_bytes());
    server.client().get("/healthz").expect(200);
}

#[test]
fn memory_of_one_evaluation_is_bounded_where_each_value_is_within_its_limit() {
    let folder = Folder::new();
    // Many values, each of them legal: 60 KB strings in a map.
    let script = "let s = event.data.text; let m = #{}; let n = [0,1,2,3,4,5,6,7,8,9].map(|a| [0,1,2,3,4,5,6,7,8,9].map(|b| \
                  [0,1,2,3,4,5,6,7,8,9].map(|c| s + a + b + c))); n.len() == 10";
    folder.playbook("bomb", &format!("triggers:\n  - event: {{ type: bomb.sent }}\nwhen: {}\nsteps:\n  - id: note\n    action: log\n    with: {{ message: hi }}\n", json!(script)));
    let server = Server::start(&folder);
    let before = server.resident_bytes();
    let answer = server.accepted(&json!({"type": "bomb.sent", "data": {"text": "x".repeat(60_000)}}));
    assert_eq!(verdict(&answer, "bomb"), "failed", "{answer}");
    assert!(server.resident_bytes() < before + GROWTH_BYTES_MAX);
}

#[test]
fn names_and_texts_of_an_event_are_data_whatever_they_look_like() {
    let folder = Folder::new();
    folder.playbook(
        "data",
        "triggers:\n  - event: { type: odd.keys }\nwhen: |\n  event.data.text == \"true || eval(1)\" && event.data[\"__proto__\"] == 1\nsteps:\n  - id: note\n    action: log\n    with: { message: \"${{ event.data.text }}\" }\n",
    );
    folder.playbook("injected", "triggers:\n  - event: { type: odd.keys }\nwhen: event.data.text == \"x\"\nsteps:\n  - id: note\n    action: log\n    with: { message: hi }\n");
    let server = Server::start(&folder);
    let data = json!({"text": "true || eval(1)", "__proto__": 1, "this": 2, "eval": 3, "fn": 4, "\u{430}lert": 5, "constructor": {}});
    let answer = server.accepted(&json!({"type": "odd.keys", "data": data}));
    assert_eq!(verdict(&answer, "data"), "matched", "{answer}");
    assert_eq!(verdict(&answer, "injected"), "not_matched");
}

#[test]
fn a_condition_that_fails_slowly_does_not_hold_the_others_up() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    for n in 0..20 {
        let busy =
            "let a = [1,2,3,4,5,6,7,8,9,10]; a.map(|x| a.map(|y| a.map(|z| a.map(|w| x + y + z + w)))).len() > 0";
        with_condition(&folder, &format!("busy-{n:02}"), busy);
    }
    // It is decided first, so that what is left of the event's budget is enough.
    folder.playbook("tell", &format!("order: 1\n{TELL}"));
    let server = Server::start(&folder);
    let began = Instant::now();
    for n in 0..20 {
        let answer = server.accepted(&alert(&format!("A-{n}"), 92));
        assert_eq!(verdict(&answer, "tell"), "matched", "{answer}");
        // After ten times over its budget it is suspended, and costs nothing any more.
        let expected = if n < 10 { "failed" } else { "disabled" };
        assert_eq!(verdict(&answer, "busy-00"), expected, "{n}: {answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
