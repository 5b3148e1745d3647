//! Rows D and I11–I13 of the attacks: bodies and documents that want to be more than they are.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::read_answer;
use crate::support::command::sortie;
use crate::support::sample::{alert, desk};
use crate::support::{Folder, Receiver, Server, gzip};

/// Memory that a server may need more than before, under any of these.
const GROWTH_BYTES_MAX: u64 = 96_000_000;

fn post(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> crate::support::Answer {
    server.client().anonymous().request("POST", "/v1/in/generic", headers, body)
}

#[test]
fn playbook_files_that_blow_up_or_mean_something_else_are_refused_quickly() {
    let steps = "steps:\n  - id: a\n    action: log\n    with: { message: hi }\n";
    let laughs: String =
        (1..9).map(|n| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(", "))).collect();
    let files = [
        ("laughs", format!("playbook: x\nl0: &l0 [a, a]\n{laughs}{steps}")),
        ("quadratic", format!("playbook: x\na: &a {}\nb: [{}]\n", "x".repeat(60_000), vec!["*a"; 60_000].join(", "))),
        ("self", format!("playbook: x\nvars: &v {{ a: *v }}\ntriggers: [manual]\n{steps}")),
        ("merge", format!("playbook: x\nbase: &b {{ enabled: true }}\n<<: *b\ntriggers: [manual]\n{steps}")),
        ("deep", format!("playbook: x\nvars: {}{}\n", "[".repeat(100_000), "]".repeat(100_000))),
        ("deep-block", (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n.min(120)))).collect()),
        ("tag", format!("playbook: x\ntriggers: [alert.created]\nwhen: !alert.closed\n{steps}")),
        ("python", format!("playbook: !!python/object:os.system x\ntriggers: [manual]\n{steps}")),
        ("two", format!("playbook: x\ntriggers: [manual]\n{steps}---\nplaybook: y\n")),
        ("twice", format!("playbook: x\nplaybook: y\ntriggers: [manual]\n{steps}")),
        ("null", format!("playbook: x\ntriggers: [alert.created]\nwhen: null\n{steps}")),
        ("tilde", format!("playbook: x\ntriggers: [alert.created]\nwhen: ~\n{steps}")),
        ("empty-when", format!("playbook: x\ntriggers: [alert.created]\nwhen:\n{steps}")),
        ("no", format!("playbook: x\nenabled: no\ntriggers: [manual]\n{steps}")),
        ("sixty", format!("playbook: x\norder: 12:30\ntriggers: [manual]\n{steps}")),
        ("unknown", format!("playbook: x\ntrigers: [manual]\n{steps}")),
        (
            "many-steps",
            format!(
                "playbook: x\ntriggers: [manual]\nsteps:\n{}",
                (0..501)
                    .map(|n| format!("  - {{ id: s{n}, action: log, with: {{ message: x }} }}\n"))
                    .collect::<String>()
            ),
        ),
        ("no-steps", "playbook: x\ntriggers: [manual]\nsteps: []\n".to_owned()),
        ("tab", format!("playbook: x\n\ttriggers: [manual]\n{steps}")),
    ];
    for (name, text) in files {
        let folder = Folder::new();
        folder.write(&format!("playbooks/{name}.yaml"), &text);
        let began = Instant::now();
        let checked = sortie(&folder, &["check", "playbooks", "--json"]);
        assert_eq!(checked.status.code(), Some(3), "{name}: {} {}", checked.stdout, checked.stderr);
        assert!(began.elapsed() < Duration::from_secs(5), "{name} took {:?}", began.elapsed());
        let codes = checked.json();
        assert!(codes[0]["code"].is_string() && codes[0]["line"].is_u64(), "{name}: {codes}");
    }
}

#[test]
fn bodies_that_are_no_plain_json_are_refused_with_the_place() {
    let server = Server::start(&Folder::new());
    let deep = format!("{{\"type\":\"a.b\",\"data\":{{\"v\":{}{}}}}}", "[".repeat(65), "]".repeat(65));
    let flat = format!("{{\"type\":\"a.b\",\"data\":{{\"v\":{}{}}}}}", "[".repeat(60), "]".repeat(60));
    let nested = post(&server, &[], flat.as_bytes());
    assert_eq!(nested.status, 202, "{}", nested.text());
    for (what, body) in [
        ("deep", deep.into_bytes()),
        ("a million brackets", vec![b'['; 900_000]),
        ("twice", b"{\"type\":\"a.b\",\"data\":{\"severity\":1,\"severity\":2}}".to_vec()),
        ("twice, written differently", b"{\"type\":\"a.b\",\"data\":{\"a\":1,\"\\u0061\":2}}".to_vec()),
        ("digits", format!("{{\"type\":\"a.b\",\"data\":{{\"v\":{}}}}}", "9".repeat(900_000)).into_bytes()),
        ("exponent", b"{\"type\":\"a.b\",\"data\":{\"v\":1e999999999}}".to_vec()),
        ("surrogate", b"{\"type\":\"a.b\",\"data\":{\"v\":\"\\ud800\"}}".to_vec()),
        ("bytes", b"{\"type\":\"a.b\",\"data\":{\"v\":\"\xff\xfe\"}}".to_vec()),
        ("nan", b"{\"type\":\"a.b\",\"data\":{\"v\":NaN}}".to_vec()),
        ("trailing", b"{\"type\":\"a.b\"} x".to_vec()),
        ("empty", Vec::new()),
        ("text", b"\"a.b\"".to_vec()),
    ] {
        let answer = post(&server, &[], &body);
        assert!([400, 413].contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
        answer.problem(answer.status);
    }
    assert_eq!(server.items("/v1/events").len(), 1);
}

#[test]
fn a_nul_and_other_odd_text_is_kept_as_it_is() {
    let server = Server::start(&Folder::new());
    let odd = "nul\u{0} \u{7f} \u{fffd} \u{202e}";
    server.accepted(&json!({"type": "alert.created", "alert": {"id": "A-1", "name": odd}}));
    assert_eq!(server.client().get("/v1/alerts/A-1").ok(200)["name"], odd);
}

#[test]
fn what_is_read_of_a_body_takes_bounded_room() {
    let server = Server::start(&Folder::new());
    let before = server.resident_bytes();
    let arrays = format!("{{\"type\":\"a.b\",\"data\":{{\"v\":[{}1]}}}}", "[],".repeat(300_000));
    let keys: String = (0..60_000).map(|n| format!("\"k{n}\":1,")).collect();
    let maps = format!("{{\"type\":\"a.b\",\"data\":{{{keys}\"z\":1}}}}");
    for body in [arrays, maps] {
        for _ in 0..5 {
            let answer = post(&server, &[], body.as_bytes());
            assert!([400, 413].contains(&answer.status), "{}", answer.text());
        }
    }
    assert!(server.resident_bytes() < before + GROWTH_BYTES_MAX, "{before} {}", server.resident_bytes());
}

#[test]
fn a_body_over_the_limit_hears_413_at_the_limit_and_the_connection_ends() {
    let server = Server::start(&Folder::new());
    let before = server.resident_bytes();
    // A gigabyte is announced: the answer comes before it is sent.
    let head = "POST /v1/in/generic HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n{";
    let answer = server.client().raw(head.as_bytes()).expect("an answer");
    assert_eq!(answer.problem(413).as_str(), answer.json()["code"]);
    assert_eq!(answer.header("connection"), Some("close"));

    // A gigabyte is sent in chunks without an announcement: it is cut.
    let mut stream = server.client().connect().unwrap();
    stream.write_all(b"POST /v1/in/generic HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0_u64;
    while sent < 1 << 30 && stream.write_all(&chunk).is_ok() {
        sent += chunk.len() as u64;
    }
    assert!(sent < 200_000_000, "{sent} bytes were taken");
    assert!(server.resident_bytes() < before + GROWTH_BYTES_MAX);

    let large = format!("{{\"type\":\"a.b\",\"data\":{{\"v\":\"{}\"}}}}", "x".repeat(1_000_001));
    post(&server, &[], large.as_bytes()).problem(413);
    let fits = format!("{{\"type\":\"a.b\",\"data\":{{\"v\":\"{}\"}}}}", "x".repeat(900_000));
    let taken = post(&server, &[], fits.as_bytes());
    assert_eq!(taken.status, 202, "{}", taken.text());
    let many = vec![json!({"type": "a.b"}); 10_001];
    server.event(&json!(many)).problem(413);
}

#[test]
fn gzip_is_read_to_the_limit_and_every_other_or_nested_encoding_is_415() {
    let server = Server::start(&Folder::new());
    let event = b"{\"type\":\"a.b\"}";
    assert_eq!(post(&server, &[("Content-Encoding", "gzip")], &gzip(event)).status, 202);
    let before = server.resident_bytes();
    let bomb = gzip(&vec![b' '; 200_000_000]);
    post(&server, &[("Content-Encoding", "gzip")], &bomb).problem(413);
    assert!(server.resident_bytes() < before + GROWTH_BYTES_MAX);
    for encoding in ["deflate", "br", "zstd", "gzip, gzip", "gzip,identity", "x"] {
        post(&server, &[("Content-Encoding", encoding)], &gzip(&gzip(event))).problem(415);
    }
    let torn = &gzip(event)[..20];
    post(&server, &[("Content-Encoding", "gzip")], torn).problem(400);
    post(&server, &[("Content-Encoding", "gzip")], event).problem(400);
}

#[test]
fn only_json_is_taken_whatever_else_the_content_type_says() {
    let server = Server::start(&Folder::new());
    let event = b"{\"type\":\"a.b\"}";
    for kind in ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/html", "application/xml"]
    {
        post(&server, &[("Content-Type", kind)], event).problem(415);
    }
    for kind in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(post(&server, &[("Content-Type", kind)], event).status, 202, "{kind}");
    }
    // A body does not reach what is ours: these are data.
    let sly = json!({"type": "a.b", "files": [{"filepath": "/etc/passwd"}], "actor": {"token": "admin"}, "chain": [], "received": "2000-01-01T00:00:00Z"});
    let answer = server.accepted(&sly);
    let kept = server.client().get(&format!("/v1/events/{}", answer["event_id"].as_str().unwrap())).ok(200);
    assert!(kept["actor"].as_str().is_none_or(|actor| actor.contains("generic")), "{kept}");
}

#[test]
fn a_request_that_contradicts_itself_is_refused_and_the_connection_ends() {
    let server = Server::start(&Folder::new());
    let body = "{\"type\":\"a.b\"}";
    let n = body.len();
    for head in [
        format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Content-Length: {n}\r\nContent-Length: {}\r\n", n + 1),
        format!("Content-Length: {n}\r\nContent-Type: application/json\r\nContent-Type: text/plain\r\n"),
        format!("Content-Length: {n}\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n"),
        format!("Content-Length: {n}\r\nX-Folded: a\r\n b\r\n"),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        format!("Content-Length: +{n}\r\n"),
    ] {
        let request = format!("POST /v1/in/generic HTTP/1.1\r\nHost: x\r\n{head}\r\n{body}");
        let answer = server.client().raw(request.as_bytes());
        let Ok(answer) = answer else { continue };
        assert_eq!(answer.status, 400, "{head}: {}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"), "{head}");
    }
    assert!(server.items("/v1/events").is_empty());
}

#[test]
fn clients_that_send_a_byte_now_and_then_hold_nobody_up_and_are_given_up() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    let slow: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = server.client().connect().unwrap();
            stream.write_all(b"POST /v1/in/generic HT").unwrap();
            stream
        })
        .collect();
    for n in 0..20 {
        let began = Instant::now();
        server.accepted(&alert(&format!("A-{n}"), 92));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // After five seconds without a header each of them is closed, with or without a word.
    for mut stream in slow {
        let mut rest = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.as_ref().err().is_none_or(|error| error.kind() != std::io::ErrorKind::WouldBlock), "still open");
    }
}

#[test]
fn more_connections_than_the_process_can_hold_hear_503_and_the_others_go_on() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start_under(&folder, "ulimit -n 96");
    let all: Vec<_> = (0..200).filter_map(|_| server.client().connect().ok()).collect();
    let mut turned_away = 0;
    for stream in &all {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        if let Ok(answer) = read_answer(&mut std::io::BufReader::new(stream)) {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
            turned_away += 1;
        }
        if turned_away > 5 {
            break;
        }
    }
    assert!(turned_away > 0, "none of {} was turned away", all.len());
    drop(all);
    let answer = crate::support::eventually("there is room again", || {
        let sent = serde_json::to_vec(&alert("A-1", 92)).unwrap();
        let answer = server.client().try_request("POST", "/v1/in/generic", &[], &sent).ok()?;
        (answer.status == 202).then_some(answer)
    });
    assert_eq!(answer.status, 202);
    receiver.next();
}

/// The most memory that a process ever held, in bytes.
fn peak_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// An event of many small values, which takes many times its room once it is read.
fn bulky(n: usize) -> String {
    let list: Vec<String> = (0..25).map(|i| format!("{{\"k{i}\":[{n},\"v{i}\",null]}}")).collect();
    format!("{{\"type\":\"a.b\",\"data\":{{\"list\":[{}]}}}}", list.join(","))
}

#[test]
fn a_large_batch_is_taken_event_by_event_and_takes_little_more_room_than_its_body() {
    let folder = Folder::new();
    folder.playbook(
        "idle",
        "triggers: [{ event: { type: other } }]\nsteps:\n  - { action: log, with: { message: x } }\n",
    );
    let events: Vec<String> = (0..4_000).map(bulky).collect();
    for (kind, body) in
        [("application/json", format!("[{}]", events.join(","))), ("application/x-ndjson", events.join("\n"))]
    {
        let server = Server::start(&folder);
        for n in 0..200 {
            post(&server, &[], bulky(n).as_bytes()).expect(202);
        }
        let before = peak_bytes(&server);
        let answers = post(&server, &[("content-type", kind)], body.as_bytes()).ok(202);
        assert_eq!(answers.as_array().map(Vec::len), Some(4_000));
        let grown = peak_bytes(&server) - before;
        assert!(grown < 50_000_000, "{kind}: {grown} bytes more than {before} for {} bytes", body.len());
        server.stop();
    }
}

#[test]
fn a_batch_in_which_every_element_is_broken_is_refused_quickly_each_with_its_place() {
    let server = Server::start(&Folder::new());
    let line = format!("{{\"type\":\"a.b\",\"data\":{{\"text\":\"{}\"}},}}", "x".repeat(700));
    let body = vec![line.as_str(); 8_000].join("\n");
    let began = Instant::now();
    let answer = post(&server, &[("content-type", "application/x-ndjson")], body.as_bytes());
    let answers = answer.json();
    assert_eq!((answer.status, answers.as_array().map(Vec::len)), (400, Some(8_000)));
    assert!(answers[7_999]["error"].to_string().contains("line 8000, column "), "{}", answers[7_999]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
