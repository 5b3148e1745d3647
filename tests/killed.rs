//! Every kind of block at once, killed again and again at random moments: nothing is lost, and whatever is done twice is
//! done under the key of the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Folder, Receiver, Server, within};

/// A step that sends a text.
fn send(id: &str, text: &str) -> String {
    format!("{{ id: {id}, action: webhook.send, with: {{ to: desk, body: {{ t: \"{text}\" }} }} }}")
}

/// The playbooks: name, steps, and how many different things each sends.
fn playbooks() -> Vec<(&'static str, String, usize)> {
    let [a, b, c, d] = [send("a", "a"), send("b", "b"), send("c", "c"), send("d", "d")];
    let each = send("s", "${{ n }}");
    vec![
        (
            "each",
            format!(
                "  - id: each\n    for_each:\n      in: event.data.items\n      as: n\n      max_parallel: 10\n      steps: [{each}]\n"
            ),
            250,
        ),
        (
            "one-by-one",
            format!(
                "  - id: each\n    for_each:\n      in: [1, 2, 3, 4, 5, 6, 7, 8]\n      as: n\n      steps: [{{ wait: {{ for: 150ms }} }}, {each}]\n"
            ),
            8,
        ),
        (
            "waits",
            format!(
                "  - {a}\n  - {{ id: pause, wait: {{ for: 900ms }} }}\n  - {b}\n  - {{ id: ping, wait: {{ event: {{ type: ping, when: event.data.n == 1 }}, timeout: 1h }} }}\n  - {c}\n"
            ),
            3,
        ),
        (
            "asks",
            format!(
                "  - {a}\n  - {{ id: ask, approve: {{ ask: \"go on?\", deadline: 1h, on_deadline: deny }} }}\n  - {b}\n  - {{ id: more, approve: {{ ask: \"further?\", deadline: 1h, on_deadline: deny }} }}\n  - {c}\n"
            ),
            3,
        ),
        (
            "polls",
            format!(
                "  - id: poll\n    repeat:\n      until: vars.turn == 12\n      every: 150ms\n      max: 20\n      steps: [{{ set: {{ turn: \"${{{{ (vars?.turn ?? 0) + 1 }}}}\" }} }}, {}]\n",
                send("p", "${{ vars.turn }}")
            ),
            12,
        ),
        (
            "branches",
            format!(
                "  - id: both\n    parallel:\n      branches:\n        - {{ id: l, steps: [{a}, {{ wait: {{ for: 700ms }} }}, {b}] }}\n        - {{ id: r, steps: [{c}, {{ wait: {{ for: 300ms }} }}, {d}] }}\n"
            ),
            4,
        ),
        (
            "calls",
            format!(
                "  - {{ id: first, call: {{ playbook: callee, inputs: {{ n: 1 }} }} }}\n  - {{ id: second, call: {{ playbook: callee, inputs: {{ n: 2 }} }} }}\n  - {a}\n"
            ),
            1,
        ),
        (
            "guards",
            format!(
                "  - id: guard\n    try:\n      steps: [{a}, {{ wait: {{ for: 400ms }} }}, {}]\n      catch: [{b}, {{ wait: {{ for: 200ms }} }}, {c}]\n      finally: [{d}]\n",
                send("bad", "${{ event.data.absent }}")
            ),
            4,
        ),
        (
            "routes",
            format!(
                "  - set: {{ way: two }}\n  - id: route\n    switch:\n      - {{ when: vars.way == \"one\", steps: [{a}] }}\n      - {{ else: true, steps: [{b}, {{ wait: {{ for: 500ms }} }}, {c}] }}\n  - {{ id: done, stop: {{ outcome: succeeded, reason: enough }} }}\n"
            ),
            2,
        ),
    ]
}

/// Answers questions and sends what is waited for, as others do.
fn drive(server: &Server) {
    for asked in server.items("/v1/approvals") {
        let id = asked["approval_id"].as_str().unwrap().to_owned();
        server.client().post(&format!("/v1/approvals/{id}"), &json!({ "decision": "approve" }));
    }
    for n in [0, 1] {
        server.event(&json!({ "type": "ping", "data": { "n": n } }));
    }
}

#[test]
fn all_blocks_that_are_killed_at_random_moments_come_to_their_ends_with_one_key_for_each_thing() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "timeout: 5s, concurrency: 20");
    let all = playbooks();
    for (name, steps, _) in &all {
        folder.playbook(name, &format!("triggers: [{{ event: {{ type: go }} }}]\nsteps:\n{steps}"));
    }
    folder.playbook(
        "callee",
        &format!("triggers: [manual]\ninputs: {{ n: {{ type: number, required: true }} }}\nsteps:\n  - {}\n  - {{ wait: {{ for: 400ms }} }}\n  - {}\n", send("x", "x ${{ inputs.n }}"), send("y", "y ${{ inputs.n }}")),
    );
    let mut server = Server::start(&folder);
    let items: Vec<u32> = (0..250).collect();
    let answer = server.accepted(&json!({ "type": "go", "data": { "items": items } }));
    assert_eq!(answer["decisions"].as_array().map(Vec::len), Some(all.len()), "{answer}");
    // Keyed anew in each process: the moments differ from one run of the tests to the next.
    let seed = RandomState::new().hash_one("moments") as u32;
    let mut random = seed;
    let ended = |server: &Server| {
        let runs = server.items("/v1/runs?limit=100");
        let is_open = |run: &Value| matches!(run["status"].as_str(), Some("queued" | "running" | "waiting"));
        (!runs.iter().any(is_open)).then_some(runs)
    };
    for _ in 0..7 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let moment = Duration::from_millis(u64::from(random >> 20) % 700 + 30);
        within(moment, || {
            drive(&server);
            None::<()>
        });
        server.kill();
        server = Server::start(&folder);
    }
    let runs = within(Duration::from_secs(120), || {
        drive(&server);
        ended(&server)
    });
    let runs = runs.unwrap_or_else(|| panic!("seed {seed}: {:#?}", server.items("/v1/runs?limit=100")));
    let mut sent: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in receiver.waiting() {
        sent.entry(one.id()).or_default().insert(one.json().to_string());
    }
    assert!(sent.values().all(|bodies| bodies.len() == 1), "seed {seed}: a key with two bodies: {sent:#?}");
    assert_eq!(runs.len(), all.len() + 2, "seed {seed}: each called once: {runs:#?}");
    for run in &runs {
        let (id, name) = (run["run_id"].as_str().unwrap(), run["playbook"].as_str().unwrap());
        let expected = if name == "guards" { "succeeded_with_warnings" } else { "succeeded" };
        assert_eq!(run["status"], expected, "seed {seed}: {name}: {}", run["reason"]);
        let own = sent.keys().filter(|key| key.starts_with(&format!("{id}/"))).count();
        let things = all.iter().find(|(known, ..)| *known == name).map_or(2, |(.., things)| *things);
        assert_eq!(own, things, "seed {seed}: {name}");
    }
}
