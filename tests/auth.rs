//! Who may do what: tokens, roles, tenants, and senders.

use serde_json::json;

use crate::support::command::sortie;
use crate::support::sample::{alert, case};
use crate::support::sign::{hmac_sha256_base64, hmac_sha256_hex};
use crate::support::{Client, Folder, Server};

fn token(folder: &Folder, role: &str, more: &[&str]) -> String {
    let arguments = [&["tokens", "create", "--name", role, "--role", role], more].concat();
    sortie(folder, &arguments).expect(0).stdout.trim().to_owned()
}

#[test]
fn without_a_token_nothing_is_read_and_the_first_start_makes_one_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let server = Server::start(&folder);
    for path in [
        "/v1/runs",
        "/v1/events",
        "/v1/alerts",
        "/v1/cases",
        "/v1/audit",
        "/v1/playbooks",
        "/v1/destinations",
        "/metrics",
    ] {
        let answer = server.client().anonymous().get(path);
        answer.problem(401);
        assert!(answer.header("www-authenticate").is_some_and(|text| text.starts_with("Bearer")), "{path}");
        server.client().anonymous().with_token("wrong").get(path).problem(401);
        server.client().get(path).expect(200);
    }
    let file = folder.data().join("admin.token");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn each_role_may_do_what_it_is_for_and_no_more() {
    let folder = Folder::new();
    folder.playbook(
        "note",
        "triggers:\n  - manual\n  - alert.created\nsteps:\n  - id: note\n    action: log\n    with: { message: hi }\n",
    );
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    server.accepted(&alert("A-1", 1));
    let requests: [(&str, &str, serde_json::Value, &[&str]); 9] = [
        ("GET", "/v1/runs", json!(null), &["admin", "author", "analyst", "approver", "auditor", "viewer"]),
        ("GET", "/v1/cases/C-1", json!(null), &["admin", "author", "analyst", "approver", "auditor", "viewer"]),
        ("GET", "/v1/audit", json!(null), &["admin", "auditor"]),
        ("PATCH", "/v1/cases/C-1", json!({"tags": ["x"]}), &["admin", "analyst"]),
        ("POST", "/v1/cases/C-1/comments", json!({"text": "x"}), &["admin", "analyst"]),
        ("POST", "/v1/cases/C-1/send", json!({"to": ["nobody"]}), &["admin", "analyst"]),
        ("POST", "/v1/playbooks/note/run", json!({"alert": "A-1"}), &["admin", "analyst", "author"]),
        ("POST", "/v1/playbooks/note/disable", json!({}), &["admin", "author"]),
        ("POST", "/v1/tokens", json!({"name": "x", "role": "viewer", "unknown": 1}), &["admin"]),
    ];
    for role in ["admin", "author", "analyst", "approver", "auditor", "viewer"] {
        let client = if role == "admin" {
            server.client().clone()
        } else {
            server.client().with_token(&token(&folder, role, &[]))
        };
        for (method, path, body, allowed) in &requests {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = client.request(method, path, &[("Content-Type", "application/json")], body.as_bytes());
            assert_eq!(
                allowed.contains(&role),
                answer.status != 403,
                "{role} {method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            assert_ne!(answer.status, 401, "{role}");
            if answer.status == 403 {
                answer.problem(403);
            }
        }
    }
    // Every refusal is in the audit trail, with who and what.
    let refused = server.items("/v1/audit?action=refused&limit=100");
    assert!(refused.iter().any(|entry| entry.to_string().contains("viewer")), "{refused:?}");
}

#[test]
fn a_token_of_one_tenant_sees_that_tenant_only() {
    let folder = Folder::and("tenants: [acme, globex]\n");
    folder.playbook(
        "note",
        "triggers:\n  - alert.created\nsteps:\n  - id: note\n    action: log\n    with: { message: hi }\n",
    );
    let server = Server::start(&folder);
    let mut event = alert("A-1", 92);
    event["tenant"] = json!("globex");
    let other = server.accepted(&event);
    let run = crate::support::sample::run_id(&other, "note");
    let client = server.client().with_token(&token(&folder, "analyst", &["--tenant", "acme"]));
    let event_id = other["event_id"].as_str().unwrap();
    for path in [
        "/v1/alerts/A-1".to_owned(),
        "/v1/alerts/A-1/history".to_owned(),
        format!("/v1/events/{event_id}"),
        format!("/v1/runs/{run}"),
    ] {
        client.get(&path).problem(404);
        server.client().get(&path).expect(200);
    }
    client.patch("/v1/alerts/A-1", &json!({"tags": []})).problem(404);
    client.post("/v1/alerts/A-1/comments", &json!({"text": "x"})).problem(404);
    client.post(&format!("/v1/runs/{run}/cancel"), &json!({})).problem(404);
    for path in ["/v1/alerts", "/v1/events", "/v1/runs", "/v1/deliveries"] {
        let page = client.get(path).ok(200);
        assert_eq!(page["items"], json!([]), "{path}");
    }
    client.get("/v1/alerts?tenant=globex").problem(404);
}

#[test]
fn tokens_are_made_on_a_stopped_empty_store_printed_once_and_kept_only_as_a_digest() {
    let folder = Folder::new();
    let made = token(&folder, "viewer", &[]);
    assert!(made.len() >= 32 && !made.contains(char::is_whitespace), "{made}");
    for (path, bytes) in folder.data_files() {
        assert!(!bytes.windows(made.len()).any(|part| part == made.as_bytes()), "{}", path.display());
    }
    let server = Server::start(&folder);
    server.client().anonymous().with_token(&made).get("/v1/runs").expect(200);
    server.client().anonymous().with_token(&made).get("/v1/audit").problem(403);
    let listed = sortie(&folder, &["tokens", "list", "--json"]).expect(0);
    assert!(listed.stdout.contains("viewer") && !listed.stdout.contains(&made));
    sortie(&folder, &["tokens", "revoke", "viewer"]).expect(0);
    server.client().anonymous().with_token(&made).get("/v1/runs").problem(401);
}

#[test]
fn guessing_is_slowed_down_and_recorded_and_a_right_token_still_opens() {
    let server = Server::start(&Folder::new());
    let guess = |n: u32| server.client().anonymous().with_token(&format!("guess-{n}")).get("/v1/runs");
    let statuses: Vec<u16> = (0..12).map(|n| guess(n).status).collect();
    assert!(statuses[..10].iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(statuses[11], 429, "{statuses:?}");
    assert!(guess(99).header("retry-after").is_some());
    server.client().get("/v1/runs").expect(200);
    assert!(!server.items("/v1/audit?action=refused").is_empty());
}

#[test]
fn without_authentication_only_loopback_is_listened_on() {
    let folder = Folder::and("auth: none\n");
    let server = Server::start(&folder);
    server.client().anonymous().get("/v1/runs").expect(200);
    drop(server);
    let refused = sortie(&folder, &["serve", "--listen", "0.0.0.0:0"]).expect(3);
    assert!(refused.stderr.contains("CF105"), "{}", refused.stderr);
}

#[test]
fn a_source_without_auth_or_with_a_missing_or_empty_secret_refuses_the_start() {
    for (auth, code) in [
        ("{}", "CF103"),
        ("{ auth: { bearer: \"${secret:NOT_THERE}\" } }", "CF104"),
        ("{ auth: { bearer: \"${secret:EMPTY}\" } }", "CF104"),
        ("{ auth: { hmac: { header: X-Sig, secret: \"${secret:EMPTY}\" } } }", "CF104"),
        ("{ auth: { bearer: \"\" } }", ""),
    ] {
        let folder = Folder::with(&format!("sources: {{ generic: {auth} }}\n"));
        let Err((status, log)) = Server::try_start(&folder, &[("SORTIE_SECRET_EMPTY", "")]) else {
            panic!("started with {auth}");
        };
        assert_eq!(status.code(), Some(3), "{auth}: {log}");
        assert!(log.contains(code), "{auth}: {log}");
    }
}

fn send(client: &Client, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    client.anonymous().request("POST", "/v1/in/generic", headers, body).status
}

#[test]
fn bearer_basic_and_header_senders_are_let_in_with_any_of_their_secrets_and_nobody_else() {
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("{ bearer: \"${secret:ONE}\" }", &[("Authorization", "Bearer first-secret")]),
        ("{ header: X-Key, value: \"${secret:ONE}\" }", &[("X-Key", "first-secret")]),
        // holm:first-secret
        (
            "{ basic: { user: holm, password: \"${secret:ONE}\" } }",
            &[("Authorization", "Basic aG9sbTpmaXJzdC1zZWNyZXQ=")],
        ),
        ("{ bearer: [\"${secret:TWO}\", \"${secret:ONE}\"] }", &[("Authorization", "Bearer first-secret")]),
    ];
    for (auth, right) in cases {
        let folder = Folder::with(&format!("sources: {{ generic: {{ auth: {auth} }} }}\n"));
        let environment = [("SORTIE_SECRET_ONE", "first-secret"), ("SORTIE_SECRET_TWO", "second-secret")];
        let server = Server::start_with(&folder, &environment);
        let client = server.client();
        assert_eq!(send(client, right, b"{\"type\":\"a.b\"}"), 202, "{auth}");
        assert_eq!(send(client, &[], b"{\"type\":\"a.b\"}"), 401, "{auth}");
        let name = right[0].0;
        for wrong in ["Bearer wrong", "first-secre", "first-secrett", "", "Bearer", "Bearer  first-secret x"] {
            assert_eq!(send(client, &[(name, wrong)], b"{\"type\":\"a.b\"}"), 401, "{auth}: {wrong}");
        }
        assert_eq!(server.items("/v1/events").len(), 1, "{auth}");
    }
}

#[test]
fn an_hmac_is_over_the_bytes_as_they_were_sent() {
    let auth =
        "{ hmac: { header: X-Sig, secret: [\"${secret:NEW}\", \"${secret:OLD}\"], hash: sha256, encoding: hex } }";
    let folder = Folder::with(&format!("sources: {{ generic: {{ auth: {auth} }} }}\n"));
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_NEW", "new-key"), ("SORTIE_SECRET_OLD", "old-key")]);
    let body = b"{\"type\":  \"a.b\"}";
    let good = hmac_sha256_hex(b"new-key", body);
    let client = server.client();
    assert_eq!(send(client, &[("X-Sig", &good)], body), 202);
    assert_eq!(send(client, &[("X-Sig", &hmac_sha256_hex(b"old-key", body))], body), 202, "the old key verifies, too");
    assert_eq!(send(client, &[("X-Sig", &good)], b"{\"type\": \"a.b\"}"), 401, "the same JSON written differently");
    assert_eq!(send(client, &[("X-Sig", &good[..62])], body), 401);
    assert_eq!(send(client, &[("X-Sig", "")], body), 401);
    for other in [good.to_uppercase(), format!("v1={good}"), format!("{good}{good}"), format!("0x{good}")] {
        assert_eq!(send(client, &[("X-Sig", &other)], body), 401, "another spelling of the right one: {other}");
    }
    assert_eq!(send(client, &[("X-Sig", &hmac_sha256_hex(b"other", body))], body), 401);
    assert_eq!(send(client, &[], body), 401);
}

#[test]
fn a_standard_webhook_is_verified_with_its_time_and_taken_once() {
    let auth = "{ standard_webhooks: { secret: \"${secret:HOOK}\" } }";
    let folder = Folder::with(&format!("sources: {{ generic: {{ auth: {auth} }} }}\n"));
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_HOOK", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0")]);
    let now = now_seconds();
    let body = b"{\"type\":\"a.b\"}";
    let sign = |id: &str, time: &str, body: &[u8]| {
        let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
        format!("v1,{}", hmac_sha256_base64(b"secret-secret-secret-secret", &signed))
    };
    let with = |id: &str, time: &str, signature: &str| {
        send(
            server.client(),
            &[("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)],
            body,
        )
    };
    let time = now.to_string();
    assert_eq!(with("m-1", &time, &sign("m-1", &time, body)), 202);
    assert_eq!(with("m-1", &time, &sign("m-1", &time, body)), 200, "an exact replay is a repeat");
    assert_eq!(with("m-2", &time, &format!("v1,AAAA {}", sign("m-2", &time, body))), 202, "one of several is enough");
    assert_eq!(with("m-3", &time, &sign("m-1", &time, body)), 401);
    for far in [(now - 360).to_string(), (now + 360).to_string(), "NaN".to_owned(), "9223372036854775808".to_owned()] {
        assert_eq!(with("m-4", &far, &sign("m-4", &far, body)), 401, "{far}");
    }
    let many = format!("{}{}", "v1,AAAA ".repeat(1_000), sign("m-5", &time, body));
    assert_eq!(with("m-5", &time, &many), 401, "a bounded number of signatures is looked at");
    for empty in ["", "v1,", "v1=", "v2,AAAA"] {
        assert_eq!(with("m-6", &time, empty), 401, "{empty}");
    }
}

fn now_seconds() -> i64 {
    let output = std::process::Command::new("date").arg("+%s").output().expect("date");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_body_that_is_signed_alone_and_sent_again_is_one_event_whatever_headers_are_put_beside_it() {
    let sources = "sources: { thalian: { auth: { hmac: { header: X-Thalian-Signature, secret: \"${secret:K}\" } } }, \
                   generic: { auth: { standard_webhooks: { secret: \"${secret:W}\" } } } }\n";
    let folder = Folder::with(sources);
    folder.playbook(
        "any",
        "triggers: [{ event: { type: \"*\" } }]\nsteps:\n  - { id: say, action: log, with: { message: x } }\n",
    );
    let secrets =
        [("SORTIE_SECRET_K", "signing-key"), ("SORTIE_SECRET_W", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0")];
    let server = Server::start_with(&folder, &secrets);
    // No id of its own in it, and nothing that the mapping knows.
    let body = br#"{"ping": {"nested": [1, 2]}}"#;
    let signature = hmac_sha256_hex(b"signing-key", body);
    let post = |server: &Server, more: &[(&str, &str)]| {
        let mut headers = vec![("Content-Type", "application/json"), ("X-Thalian-Signature", signature.as_str())];
        headers.extend(more);
        server.client().anonymous().request("POST", "/v1/in/thalian", &headers, body)
    };
    let first = post(&server, &[]).ok(202);
    let same = std::thread::scope(|scope| {
        let all: Vec<_> = (0..64).map(|_| scope.spawn(|| post(&server, &[]).ok(200))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(same.iter().all(|one| one["event_id"] == first["event_id"] && one["duplicate"] == true));
    for other in [("Idempotency-Key", "other-1"), ("webhook-id", "other-2"), ("X-GitHub-Delivery", "other-3")] {
        assert_eq!(post(&server, &[other]).ok(200)["event_id"], first["event_id"], "{other:?}");
    }
    server.kill();
    let server = Server::start_with(&folder, &secrets);
    assert_eq!(post(&server, &[("Idempotency-Key", "other-4")]).ok(200)["event_id"], first["event_id"]);
    // What a Standard Webhook has signed tells a replay, too.
    let event = br#"{"type": "test.signed", "data": {}}"#;
    let time = now_seconds().to_string();
    let text = [b"msg-7.", time.as_bytes(), b".", event.as_slice()].concat();
    let signature = format!("v1,{}", hmac_sha256_base64(b"secret-secret-secret-secret", &text));
    let again = |more: &[(&str, &str)]| {
        let mut headers = vec![("Content-Type", "application/json"), ("webhook-id", "msg-7")];
        headers.extend([("webhook-timestamp", time.as_str()), ("webhook-signature", signature.as_str())]);
        headers.extend(more);
        server.client().anonymous().request("POST", "/v1/in/generic", &headers, event)
    };
    let one = again(&[]).ok(202);
    assert_eq!(again(&[("Idempotency-Key", "fresh")]).ok(200)["event_id"], one["event_id"]);
    assert_eq!(server.items("/v1/events?limit=50").len(), 2);
}
