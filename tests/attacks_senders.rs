//! Attacks by those who may send, or would like to: rotation, other people's signatures, keys that come back, filters that
//! ask for what is hidden, playbooks that call themselves, and bodies of every shape at every source.

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sign::hmac_sha256_hex;
use crate::support::{Answer, Client, Folder, Server};

/// A source for each tenant, each with its own key.
const TWO_TENANTS: &str = "\
tenants: [acme, globex]
sources:
  thalian-acme: { uses: thalian, tenant: acme, auth: { hmac: { header: X-Thalian-Signature, secret: \"${secret:ACME}\" } } }
  thalian-globex: { uses: thalian, tenant: globex, auth: { hmac: { header: X-Thalian-Signature, secret: \"${secret:GLOBEX}\" } } }
";

fn post(client: &Client, source: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    client.anonymous().request("POST", &format!("/v1/in/{source}"), headers, body.as_bytes())
}

#[test]
fn a_signature_for_one_tenants_address_opens_no_others_and_a_key_is_remembered_for_each_apart() {
    let folder = Folder::with(TWO_TENANTS);
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_ACME", "key-a"), ("SORTIE_SECRET_GLOBEX", "key-g")]);
    let body = json!({ "id": "f-1", "title": "Open bucket", "severity": "high" }).to_string();
    let (acme, globex) = (hmac_sha256_hex(b"key-a", body.as_bytes()), hmac_sha256_hex(b"key-g", body.as_bytes()));
    let send =
        |source: &str, signature: &str| post(server.client(), source, &[("X-Thalian-Signature", signature)], &body);
    assert_eq!(send("thalian-globex", &acme).status, 401);
    let first = send("thalian-acme", &acme).ok(202);
    let second = send("thalian-globex", &globex).ok(202);
    assert_ne!(first["event_id"], second["event_id"]);
    assert_eq!(send("thalian-acme", &acme).ok(200)["event_id"], first["event_id"]);
    // The same finding with other content is not what was said before.
    let other = body.replace("high", "low");
    let signature = hmac_sha256_hex(b"key-a", other.as_bytes());
    let keyed = |body: &str, signature: &str| {
        let headers = [("X-Thalian-Signature", signature), ("Idempotency-Key", "k-1")];
        post(server.client(), "thalian-acme", &headers, body)
    };
    let again = json!({ "id": "f-2", "title": "Open bucket", "severity": "high" }).to_string();
    let right = hmac_sha256_hex(b"key-a", again.as_bytes());
    keyed(&again, &right).ok(202);
    assert_eq!(keyed(&other, &signature).problem(409), "key_reused");
    let refused = server.items("/v1/audit?limit=100");
    assert!(refused.iter().any(|one| one.to_string().contains("key_reused")), "it is recorded");
}

#[test]
fn an_old_secret_opens_while_it_stands_beside_the_new_one_and_not_after() {
    let sources = |secrets: &str| format!("sources: {{ generic: {{ auth: {{ bearer: {secrets} }} }} }}\n");
    let folder = Folder::with(&sources("[\"${secret:NEW}\", \"${secret:OLD}\"]"));
    let secrets = [("SORTIE_SECRET_NEW", "new-token"), ("SORTIE_SECRET_OLD", "old-token")];
    let send = |server: &Server, token: &str, n: u32| {
        let body = json!({ "type": "a.b", "id": format!("e-{token}-{n}") });
        server.client().with_token(token).post("/v1/in/generic", &body).status
    };
    let server = Server::start_with(&folder, &secrets);
    assert_eq!(
        [send(&server, "new-token", 1), send(&server, "old-token", 1), send(&server, "other", 1)],
        [202, 202, 401]
    );
    server.stop();
    let text = folder.read("sortie.yaml");
    folder.write("sortie.yaml", &text.replace(", \"${secret:OLD}\"", ""));
    let server = Server::start_with(&folder, &secrets);
    assert_eq!([send(&server, "new-token", 2), send(&server, "old-token", 2)], [202, 401]);
}

#[test]
fn what_is_hidden_cannot_be_asked_for_by_filters_orders_or_searches() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    sortie(&folder, &["tokens", "create", "--name", "other", "--role", "viewer"]).expect(0);
    for path in [
        "/v1/tokens?token_hash__gt=a",
        "/v1/tokens?sort=digest",
        "/v1/destinations?auth=bearer",
        "/v1/destinations?secret__startswith=a",
        "/v1/runs?order_by=secret",
        "/v1/alerts?sort=token",
        "/v1/alerts?q=secret:a",
        "/v1/cases?q=token.hash:a",
        "/v1/secrets?value=x",
        "/v1/audit?payload__contains=x",
    ] {
        let answer = server.client().get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        answer.problem(400);
    }
}

#[test]
fn a_playbook_that_calls_itself_or_its_caller_is_refused_or_ends_at_the_depth() {
    let folder = Folder::new();
    let call = |callee: &str| {
        format!("triggers: [manual]\ninputs: {{}}\nsteps:\n  - id: sub\n    call: {{ playbook: {callee} }}\n")
    };
    folder.playbook("a", &call("b"));
    folder.playbook("b", &call("a"));
    folder.playbook("self", &call("self"));
    let checked = sortie(&folder, &["check", "playbooks", "--json"]);
    if checked.status.code() == Some(0) {
        let server = Server::start(&folder);
        let run = server.client().post("/v1/playbooks/a/run", &json!({})).ok(202);
        let run = server.ended_run(run["run_id"].as_str().expect("a run"));
        assert_eq!(run["status"], "failed", "{run}");
        assert!(server.items("/v1/runs?limit=100").len() <= 22, "the depth is bounded");
    } else {
        assert!(checked.stdout.contains("self"), "{checked:?}");
    }
}

/// The five systems and what a sensible body of each looks like.
fn five() -> Vec<(&'static str, Value)> {
    vec![
        (
            "exabeam",
            json!({ "case_id": "c-1", "alert_name": "x", "priority": "HIGH", "users": ["a"], "threat_summary": "risk score: 7",
            "detections": [{ "detection_id": "d", "approx_log_time": 1 }], "last_update_time": 1_772_352_000_000_000_i64 }),
        ),
        (
            "connectsecure",
            json!({ "subject": "Asset Ports", "body": "Open Port 443 Discovered for Asset 192.168.1.100, hostname s" }),
        ),
        (
            "holm",
            json!({ "finished_scan": { "name": "n", "type": "network", "started": "2018-08-21 12:02", "finished": "2018-08-21 12:59",
            "duration": "00:57", "status": "Completed", "errors": "", "critical_cnt": 1, "high_cnt": 0, "link": "https://x/" } }),
        ),
        (
            "thalian",
            json!({ "id": "f", "title": "t", "severity": "High", "score": 7.4, "affected_identity": "e@x", "platform": "Okta",
            "detected_at": "2026-03-01T08:00:00Z", "remediation": "r" }),
        ),
        (
            "vectra",
            json!({ "entity_type": "host", "entity_id": 144, "entity_name": "ws", "urgency_score": 83, "url": "https://v/" }),
        ),
    ]
}

/// Other values for one that was sensible.
fn odd_values() -> Vec<Value> {
    let long: Vec<Value> = (0..3_000).map(|n| json!({ "n": n })).collect();
    vec![
        Value::Null,
        json!(true),
        json!(-1e300),
        json!(u64::MAX),
        json!(""),
        json!("\u{202e}ümlaut \u{0} \u{1f512}\r\nBcc: x"),
        json!("9".repeat(5_000)),
        json!([]),
        json!([[[{ "a": [null, 1, "b"] }]]]),
        json!({}),
        json!({ "name": { "name": { "name": [] } } }),
        json!(["a", "a", 1, null, { "name": "b" }]),
        Value::Array(long),
    ]
}

/// Bodies near a sensible one: each key missing, in capitals, with each odd value, and some at the second level.
fn near(body: &Value) -> Vec<Value> {
    let mut all =
        vec![body.clone(), json!([body, body]), json!({ "data": body }), json!({ "payload": { "event": body } })];
    let map = body.as_object().expect("an object");
    for key in map.keys() {
        let mut without = map.clone();
        let value = without.remove(key).expect("it is there");
        all.push(Value::Object(without.clone()));
        let mut capital = without.clone();
        capital.insert(key.to_uppercase(), value.clone());
        all.push(Value::Object(capital));
        for odd in odd_values() {
            let mut changed = map.clone();
            changed.insert(key.clone(), odd.clone());
            all.push(Value::Object(changed));
            if let Some(inner) = value.as_object() {
                for name in inner.keys() {
                    let mut inner = inner.clone();
                    inner.insert(name.clone(), odd.clone());
                    let mut changed = map.clone();
                    changed.insert(key.clone(), Value::Object(inner));
                    all.push(Value::Object(changed));
                }
            }
        }
    }
    all
}

#[test]
fn whatever_shape_a_vendors_body_has_it_is_kept_and_counted_and_never_an_error_of_ours() {
    let names: Vec<&str> = five().iter().map(|(name, _)| *name).collect();
    let sources: Vec<String> = names.iter().map(|name| format!("{name}: {{ auth: none }}")).collect();
    let folder = Folder::with(&format!("sources: {{ {} }}\n", sources.join(", ")));
    let server = Server::start(&folder);
    let client = server.client();
    let json = [("Content-Type", "application/json")];
    for (source, body) in five() {
        for one in near(&body) {
            let answer = post(client, source, &json, &one.to_string());
            let shown: String = one.to_string().chars().take(300).collect();
            assert!([200, 202].contains(&answer.status), "{source}: {} {}: {shown}", answer.status, answer.text());
            if one.is_array() {
                continue;
            }
            let answer = answer.json();
            let id = answer["event_id"].as_str().or_else(|| answer[0]["event_id"].as_str());
            assert!(id.is_some(), "{source}: {answer}: {shown}");
        }
        // A form, a text, half an object: kept as they came.
        for (kind, text) in [
            ("application/json", "payload=%7B%22a%22%3A1%7D&b=2"),
            ("application/json", "{\"subject\": \"x\", \"body\": \"half"),
            ("application/json", "{'single': 'quotes'}"),
            ("application/json", "\u{feff}{}"),
            ("text/json", "{\"a\": 1}"),
        ] {
            let answer = post(client, source, &[("Content-Type", kind)], text);
            assert!(
                [202, 415].contains(&answer.status),
                "{source}: {kind} {text}: {} {}",
                answer.status,
                answer.text()
            );
        }
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        assert_eq!(post(client, source, &form, "a=1&b=2").status, 415, "{source}: not what is taken, and said so");
    }
    let metrics = client.get("/metrics").expect(200).text();
    let kept = server.all_items("/v1/events?limit=1000");
    for name in names {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("sortie_events_unreadable_total{{source=\"{name}\"")));
        let count: u64 = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default();
        assert!(count >= 3, "{name}: {line:?}");
        assert!(kept.iter().any(|one| one["type"] == format!("{name}.unreadable")), "{name}");
    }
    assert!(!server.log().text().contains("panicked"), "{}", server.log().text());
}

#[test]
fn payloads_of_other_products_at_the_wrong_door_are_kept_too() {
    let Ok(corpus) = std::env::var("SORTIE_CORPUS") else {
        println!("skipped: SORTIE_CORPUS is not set");
        return;
    };
    let doors = ["exabeam", "connectsecure", "holm", "thalian", "vectra", "wiz", "guardduty", "cloudevents"];
    let sources: Vec<String> = doors.iter().map(|name| format!("{name}: {{ auth: none }}")).collect();
    let server = Server::start(&Folder::with(&format!("sources: {{ {} }}\n", sources.join(", "))));
    let mut sent = 0;
    for entry in std::fs::read_dir(format!("{corpus}/inbound")).expect("the corpus").flatten() {
        let body = std::fs::read_to_string(entry.path()).expect("a payload");
        for door in doors {
            let answer = post(server.client(), door, &[("Content-Type", "application/json")], &body);
            assert!([200, 202].contains(&answer.status), "{:?} at {door}: {}", entry.path(), answer.text());
            sent += 1;
        }
    }
    assert!(sent > 100, "{sent}");
}
