//! Rows T of the attacks: what an event says never becomes code, a header, a host or broken JSON.

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sample::{run_id, step};
use crate::support::{Folder, Receiver, Server};

/// A folder whose playbook `send` does one step when `thing.said` arrives.
fn sending(receiver: &Receiver, step: &str) -> Folder {
    let folder = Folder::new();
    folder.destinations(receiver, &["desk"], "");
    folder.playbook("send", &format!("triggers:\n  - event: {{ type: thing.said }}\nsteps:\n{step}"));
    folder
}

fn said(text: &str) -> Value {
    json!({"type": "thing.said", "data": {"text": text}})
}

const BODY: &str = "  - id: send\n    action: webhook.send\n    with: { to: [desk], body: { text: \"${{ event.data.text }}\", both: \"<${{ event.data.text }}>\" } }\n    retry: { max: 0 }\n";

#[test]
fn a_value_is_put_in_once_and_never_read_as_a_template_again() {
    let receiver = Receiver::start();
    let server = Server::start(&sending(&receiver, BODY));
    for text in ["${{ run.id }}", "${secret:DESK}", "{{secrets.api_key}}", "${{ \"${{ run.id }}\" }}", "}} ${{"] {
        server.accepted(&said(text));
        let body = receiver.next().json();
        assert_eq!(body["text"], text);
        assert_eq!(body["both"], format!("<{text}>"));
    }
}

#[test]
fn whatever_a_value_holds_the_body_is_json_that_gives_it_back() {
    let receiver = Receiver::start();
    let server = Server::start(&sending(&receiver, BODY));
    let odd = "\"quoted\" \\ back\u{0}nul\nline\r\u{2028}\u{1b}[31m\u{202e} \u{1F600} </script>";
    server.accepted(&said(odd));
    assert_eq!(receiver.next().json()["text"], odd);
}

#[test]
fn a_value_alone_keeps_its_type() {
    let receiver = Receiver::start();
    let step = "  - id: send\n    action: webhook.send\n    with: { to: [desk], body: { list: \"${{ event.data.list }}\", n: \"${{ event.data.n }}\", text: \"n=${{ event.data.n }}\" } }\n";
    let server = Server::start(&sending(&receiver, step));
    server.accepted(&json!({"type": "thing.said", "data": {"list": [1, {"a": null}], "n": 7}}));
    assert_eq!(receiver.next().json(), json!({"list": [1, {"a": null}], "n": 7, "text": "n=7"}));
}

#[test]
fn a_line_break_in_a_header_value_fails_the_step_and_nothing_is_sent() {
    let receiver = Receiver::start();
    let step = "  - id: send\n    action: webhook.send\n    with: { to: [desk], body: {}, headers: { X-Text: \"${{ event.data.text }}\" } }\n    retry: { max: 0 }\n";
    let server = Server::start(&sending(&receiver, step));
    for text in ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\u{0}b"] {
        let run = server.ended_run(&run_id(&server.accepted(&said(text)), "send"));
        assert_eq!(run["status"], "failed", "{text:?}: {run:#}");
    }
    assert_eq!(receiver.connections(), 0);
    server.accepted(&said("plain"));
    assert_eq!(receiver.next().header("x-text"), Some("plain"));
}

#[test]
fn the_host_of_a_url_is_constant_and_what_an_event_puts_into_its_path_stays_one_segment() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    for (id, url) in [
        ("host", "http://${{ event.data.text }}/x"),
        ("whole", "${{ event.data.text }}"),
        ("port", "http://127.0.0.1:${{ event.data.text }}/"),
    ] {
        folder.playbook(id, &format!("triggers:\n  - event: {{ type: thing.said }}\nsteps:\n  - id: ask\n    action: http.request\n    with: {{ method: GET, url: \"{url}\" }}\n"));
        sortie(&folder, &["check", &format!("playbooks/{id}.yaml")]).expect(3);
        std::fs::remove_file(folder.path().join(format!("playbooks/{id}.yaml"))).unwrap();
    }
    let step = format!(
        "  - id: ask\n    action: http.request\n    with: {{ method: GET, url: \"{}\" }}\n",
        receiver.url("/users/${{ event.data.text }}/end")
    );
    folder.playbook("send", &format!("triggers:\n  - event: {{ type: thing.said }}\nsteps:\n{step}"));
    let server = Server::start(&folder);
    for (text, path) in [
        ("a b", "/users/a%20b/end"),
        ("../../admin", "/users/..%2F..%2Fadmin/end"),
        ("x?y=1#z", "/users/x%3Fy=1%23z/end"),
    ] {
        server.accepted(&said(text));
        let sent = receiver.next().path;
        assert_eq!(sent.to_uppercase().replace("%3D", "="), path.to_uppercase(), "{text}");
    }
}

#[test]
fn a_secret_stands_only_where_it_may_and_only_when_it_is_declared() {
    for (why, step) in [
        (
            "not declared",
            "action: http.request\n    with: { method: GET, url: \"https://example.com/\", headers: { X-Key: \"${secret:OTHER}\" } }",
        ),
        ("in a body", "action: webhook.send\n    with: { to: [desk], body: { key: \"${secret:MINE}\" } }"),
        ("in a URL", "action: http.request\n    with: { method: GET, url: \"https://example.com/${secret:MINE}\" }"),
        ("in a log", "action: log\n    with: { message: \"${secret:MINE}\" }"),
        (
            "in the middle",
            "action: http.request\n    with: { method: GET, url: \"https://example.com/\", headers: { X-Key: \"a ${secret:MINE} b\" } }",
        ),
        ("in a script", "action: log\n    with: { message: \"${{ secret.MINE }}\" }"),
    ] {
        let receiver = Receiver::start();
        let folder = Folder::new();
        folder.destinations(&receiver, &["desk"], "");
        folder.playbook(
            "leak",
            &format!("secrets: [MINE]\ntriggers:\n  - alert.created\nsteps:\n  - id: a\n    {step}\n"),
        );
        let checked = sortie(&folder, &["check", "playbooks", "--json"]);
        assert_eq!(checked.status.code(), Some(3), "{why}: {}", checked.stdout);
    }
}

#[test]
fn a_rendered_step_has_a_largest_size_and_exceeding_it_is_a_typed_failure() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "");
    let many = "\"${{ event.data.text }}\", ".repeat(2_000);
    folder.playbook("send", &format!("triggers:\n  - event: {{ type: thing.said }}\nsteps:\n  - id: send\n    action: webhook.send\n    with: {{ to: [desk], body: [ {many} 1 ] }}\n"));
    let server = Server::start(&folder);
    let before = server.resident_bytes();
    let run = server.ended_run(&run_id(&server.accepted(&said(&"x".repeat(60_000))), "send"));
    assert_eq!(run["status"], "failed");
    assert!(
        step(&run, "send")["error"]["code"]
            .as_str()
            .is_some_and(|code| code.contains("large") || code.contains("size")),
        "{run:#}"
    );
    assert_eq!(receiver.connections(), 0);
    assert!(server.resident_bytes() < before + 64_000_000);
}
