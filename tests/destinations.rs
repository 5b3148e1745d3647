//! Destinations that people make: in force at once, kept over a restart, never showing what was given as a secret; chats;
//! logins; what may not be saved.

use serde_json::{Value, json};

use crate::support::command::{sortie, sortie_with_input};
use crate::support::sample::{TELL, alert, desk, run_id};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

const CANARY: &str = "canary-9wRz4TqLx";

/// A playbook that sends to `made`.
fn tell_made() -> String {
    TELL.replace("[desk]", "[made]")
}

fn token(folder: &Folder, role: &str, more: &[&str]) -> String {
    let name = format!("{role}{}", more.join(""));
    let arguments = [&["tokens", "create", "--name", &name, "--role", role][..], more].concat();
    sortie(folder, &arguments).expect(0).stdout
}

/// A playbook that sends to these, as often as each of them says itself.
fn patient(to: &str) -> String {
    TELL.replace("[desk]", to).replace("    retry: { max: 3, backoff: exponential, first: 100ms, cap: 1s }\n", "")
}

#[test]
fn a_destination_made_through_the_api_is_in_force_at_once_and_after_a_restart() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.playbook("tell", &tell_made());
    let server = Server::start(&folder);
    assert!(server.items("/v1/playbooks").is_empty(), "it names a destination that there is not");
    let body =
        json!({ "id": "made", "url": receiver.url("/made"), "auth": { "bearer": CANARY }, "min_severity": "high" });
    let made = server.client().post("/v1/destinations", &body).ok(201);
    assert_eq!((&made["id"], &made["origin"], &made["auth"]), (&json!("made"), &json!("api"), &json!("bearer")));
    eventually("the playbook is loaded now", || (!server.items("/v1/playbooks").is_empty()).then_some(()));
    server.accepted(&alert("A-1", 92));
    assert_eq!(receiver.next().header("authorization"), Some(&*format!("Bearer {CANARY}")));
    let changed = server.client().patch("/v1/destinations/made", &json!({ "url": receiver.url("/moved") })).ok(200);
    assert_eq!((&changed["auth"], &changed["min_severity"]), (&json!("bearer"), &json!("high")), "the rest stays");
    server.accepted(&alert("A-2", 92));
    assert_eq!(receiver.next().path, "/moved");
    server.stop();
    let server = Server::start(&folder);
    server.accepted(&alert("A-3", 92));
    let third = receiver.next();
    assert_eq!((third.path.as_str(), third.header("authorization")), ("/moved", Some(&*format!("Bearer {CANARY}"))));
    let used = server.client().request("DELETE", "/v1/destinations/made", &[], b"");
    assert_eq!(used.problem(409), "conflict");
    assert!(used.text().contains("tell"), "{}", used.text());
    std::fs::remove_file(folder.path().join("playbooks/tell.yaml")).unwrap();
    eventually("the playbook is gone", || server.items("/v1/playbooks").is_empty().then_some(()));
    server.client().request("DELETE", "/v1/destinations/made", &[], b"").expect(200);
    server.client().get("/v1/destinations/made").problem(404);
    let trail: Vec<Value> = server.items("/v1/audit?object=destination:made");
    let actions: Vec<&str> = trail.iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["destination.deleted", "destination.updated", "destination.created"]);
    assert_eq!(trail[0]["actor"], "token:admin");
}

#[test]
fn what_was_given_as_a_secret_stands_in_no_answer_and_no_file() {
    let receiver = Receiver::scripted(&[Reply::Body(400, CANARY.as_bytes().to_vec())]);
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut outputs = Vec::new();
    for (id, body) in [
        ("header", json!({ "auth": { "header": "X-Key", "value": CANARY } })),
        ("basic", json!({ "auth": { "basic": { "user": "u", "password": CANARY } } })),
        ("sign", json!({ "sign": { "hmac": { "header": "X-Sig", "secret": CANARY } } })),
        ("chat", json!({ "kind": "slack", "url": receiver.url(&format!("/services/{CANARY}/abcd")) })),
        ("wrong", json!({ "auth": { "bearer": CANARY }, "colour": "red" })),
        ("blocked", json!({ "url": format!("https://10.0.0.1/{CANARY}") })),
    ] {
        let mut whole = json!({ "id": id, "url": receiver.url("/x") });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        outputs.push(server.client().post("/v1/destinations", &whole).text());
        outputs.push(server.client().post(&format!("/v1/destinations/{id}/test"), &json!({})).text());
        outputs.push(server.client().get(&format!("/v1/destinations/{id}")).text());
    }
    assert_eq!(
        server.client().get("/v1/destinations/chat").json()["url"],
        format!("http://{}/…abcd", receiver.address())
    );
    outputs.push(server.client().get("/v1/destinations").text());
    outputs.push(server.client().get("/v1/audit?limit=1000").text());
    outputs.push(sortie(&folder, &["destinations", "list"]).expect(0).stdout);
    outputs.push(sortie(&folder, &["destinations", "show", "chat", "--json"]).expect(0).stdout);
    let (_, log) = server.stop();
    outputs.push(log);
    assert!(receiver.waiting().iter().any(|one| one.header("x-key") == Some(CANARY)), "the receiver gets it");
    for output in outputs {
        assert!(!output.contains(CANARY), "{output}");
    }
    for (path, bytes) in folder.data_files() {
        assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "in {}", path.display());
    }
}

#[test]
fn those_of_the_file_are_only_switched_and_the_switch_survives() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let patch = server.client().patch("/v1/destinations/desk", &json!({ "timeout": "1s" }));
    assert_eq!(patch.problem(409), "conflict");
    server.client().request("DELETE", "/v1/destinations/desk", &[], b"").problem(409);
    let same = json!({ "id": "desk", "url": receiver.url("/x") });
    server.client().post("/v1/destinations", &same).problem(409);
    sortie(&folder, &["destinations", "disable", "desk"]).expect(0);
    assert_eq!(server.client().get("/v1/destinations/desk").json()["enabled"], false);
    server.stop();
    let server = Server::start(&folder);
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    assert_eq!((&run["status"], receiver.waiting().len()), (&json!("succeeded"), 0));
    let listed = &server.items("/v1/deliveries?destination=desk")[0];
    assert_eq!((&listed["status"], &listed["reason"]), (&json!("suppressed"), &json!("disabled")));
    server.client().post("/v1/destinations/desk/enable", &json!({})).ok(200);
    server.accepted(&alert("A-2", 92));
    assert_eq!(receiver.next().json()["alert_id"], "A-2");
}

#[test]
fn no_more_than_24_are_kept_unless_the_configuration_says_so() {
    let receiver = Receiver::start();
    let folder = Folder::and("limits: { destinations: 3 }\n");
    folder.destinations(&receiver, &["one"], "");
    let server = Server::start(&folder);
    let make = |id: &str| server.client().post("/v1/destinations", &json!({ "id": id, "url": receiver.url("/") }));
    assert_eq!([make("two").status, make("three").status], [201, 201]);
    make("four").problem(409);
    let folder = Folder::new();
    let names: Vec<String> = (0..24).map(|n| format!("d{n}")).collect();
    folder.destinations(&receiver, &names.iter().map(String::as_str).collect::<Vec<_>>(), "");
    let server = Server::start(&folder);
    server.client().post("/v1/destinations", &json!({ "id": "more", "url": receiver.url("/") })).problem(409);
}

#[test]
fn what_must_not_be_saved_is_refused_with_its_reason() {
    let folder = Folder::with("sources: { generic: { auth: none } }\n");
    folder.write(
        "sortie.yaml",
        &folder.read("sortie.yaml").replace("egress: { allow: [127.0.0.0/8], allow_http: true }\n", ""),
    );
    let server = Server::start(&folder);
    for (body, part) in [
        (json!({ "url": "http://desk.example.com/" }), "http://"),
        (json!({ "url": "https://127.0.0.1/" }), "not allowed"),
        (json!({ "url": "https://2130706433/" }), "not allowed"),
        (json!({ "url": "https://[::ffff:169.254.169.254]/" }), "not allowed"),
        (json!({ "url": "https://u:p@desk.example.com/" }), "password"),
        (json!({ "url": "https://desk.example.com:22/" }), "not allowed"),
        (json!({ "url": "https://desk.example.com/", "kind": "teams" }), "Teams"),
        (json!({ "url": "https://desk.example.com/", "kind": "smoke" }), "kind"),
        (
            json!({ "url": "https://desk.example.com/", "auth": { "login": { "url": "http://login.example.com/", "user": "u", "password": "p" } } }),
            "http://",
        ),
        (json!({ "url": "https://desk.example.com/", "rate": { "requests": 0, "per": "1m" } }), "requests"),
        (json!({ "url": "https://desk.example.com/", "tenants": ["acme"] }), ""),
        (json!({ "url": "https://desk.example.com/", "auth": { "bearer": "${secret:A} x" } }), "secret"),
        (json!({}), "url"),
    ] {
        for path in ["/v1/destinations", "/v1/destinations/test"] {
            let mut whole = body.clone();
            whole.as_object_mut().unwrap().insert("id".to_owned(), json!("d"));
            if body.get("tenants").is_some() {
                continue;
            }
            let answer = server.client().post(path, &whole);
            assert_eq!(answer.problem(400), "invalid_destination", "{body}");
            assert!(answer.text().contains(part), "{part} in {}", answer.text());
        }
    }
    for id in ["../x", "A", "test", ""] {
        let answer = server.client().post("/v1/destinations", &json!({ "id": id, "url": "https://desk.example.com/" }));
        assert!([400, 409].contains(&answer.status), "{id}: {}", answer.text());
    }
    let good = "https://prod-69.westus.logic.azure.com/workflows/abc/triggers/manual/paths/invoke?sig=SECRET1234";
    let made = server.client().post("/v1/destinations", &json!({ "id": "team", "kind": "teams", "url": good })).ok(201);
    assert_eq!(made["url"], "https://prod-69.westus.logic.azure.com/…1234");
}

#[test]
fn an_author_makes_destinations_without_secrets_and_moves_no_secret_elsewhere() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    let server = Server::start(&folder);
    let author = server.client().with_token(&token(&folder, "author", &[]));
    let url = receiver.url("/x");
    author.post("/v1/destinations", &json!({ "id": "plain", "url": url })).ok(201);
    for auth in [json!({ "bearer": "${secret:DESK}" }), json!({ "bearer": "own" })] {
        let body = json!({ "id": "secret", "url": url, "auth": auth });
        assert_eq!(author.post("/v1/destinations", &body).problem(403), "forbidden");
        assert_eq!(author.patch("/v1/destinations/plain", &json!({ "auth": auth })).problem(403), "forbidden");
        assert_eq!(author.post("/v1/destinations/test", &body).problem(403), "forbidden");
        assert_eq!(author.post("/v1/destinations/validate", &body).problem(403), "forbidden");
    }
    let with_secret = json!({ "id": "guarded", "url": url, "auth": { "bearer": CANARY } });
    server.client().post("/v1/destinations", &with_secret).ok(201);
    let elsewhere = json!({ "url": receiver.url("/evil") });
    assert_eq!(author.patch("/v1/destinations/guarded", &elsewhere).problem(403), "forbidden");
    author.patch("/v1/destinations/guarded", &json!({ "min_severity": "high" })).ok(200);
    author.post("/v1/destinations/guarded/disable", &json!({})).ok(200);
    assert!(receiver.waiting().is_empty());
    let viewer = server.client().with_token(&token(&folder, "viewer", &[]));
    viewer.post("/v1/destinations", &json!({ "id": "v", "url": url })).problem(403);
    author.get("/v1/secrets").problem(403);
}

#[test]
fn a_token_of_one_tenant_rules_over_the_destinations_of_that_tenant_alone() {
    let receiver = Receiver::start();
    let folder = Folder::and("tenants: [acme, bolt]\n");
    let url = receiver.url("/x");
    folder.write(
        "destinations.yaml",
        &format!("destinations:\n  all: {{ url: \"{url}\" }}\n  both: {{ url: \"{url}\", tenants: [acme, bolt] }}\n  bolts: {{ url: \"{url}\", tenants: [bolt] }}\n"),
    );
    let server = Server::start(&folder);
    let acme = server.client().with_token(&token(&folder, "admin", &["--tenant", "acme"]));
    let listed = acme.get("/v1/destinations").ok(200);
    let ids: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, ["all", "both"]);
    assert!(!listed.to_string().contains("bolt"), "{listed}");
    for (method, path) in [("GET", "/v1/destinations/bolts"), ("DELETE", "/v1/destinations/bolts")] {
        acme.request(method, path, &[], b"").problem(404);
    }
    acme.post("/v1/destinations/bolts/test", &json!({})).problem(404);
    acme.post("/v1/destinations/both/disable", &json!({})).problem(403);
    acme.post("/v1/destinations", &json!({ "id": "theirs", "url": url, "tenants": ["bolt"] })).problem(403);
    let own = acme.post("/v1/destinations", &json!({ "id": "own", "url": url })).ok(201);
    assert_eq!(own["tenants"], json!(["acme"]));
    acme.patch("/v1/destinations/own", &json!({ "tenants": ["acme", "bolt"] })).problem(403);
    acme.get("/v1/secrets").problem(403);
    let unknown = server.client().post("/v1/destinations", &json!({ "id": "u", "url": url, "tenants": ["acmee"] }));
    assert!(unknown.text().contains("did you mean `acme`"), "{}", unknown.text());
    folder.write("destinations.yaml", &format!("destinations:\n  x: {{ url: \"{url}\", tenants: [acmee] }}\n"));
    assert!(sortie(&folder, &["check", "destinations.yaml"]).expect(3).stdout.contains("DS110"));
}

#[test]
fn a_test_message_tells_what_went_wrong_in_the_three_sentences() {
    let receiver = Receiver::scripted(&[Reply::Status(200), Reply::Status(403), Reply::Status(500)]);
    let folder = Folder::new();
    let server = Server::start(&folder);
    let test = |url: &str| server.client().post("/v1/destinations/test", &json!({ "url": url })).ok(200);
    assert_eq!(test(&receiver.url("/t"))["ok"], true);
    for status in [403, 500] {
        let refused = test(&receiver.url("/t"));
        assert_eq!(refused["message"], format!("Webhook endpoint returned `HTTP {status}`."));
        assert_eq!((&refused["ok"], &refused["http_status"]), (&json!(false), &json!(status)));
    }
    let closed = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", free.local_addr().unwrap())
    };
    let unable = test(&closed);
    assert_eq!(unable["message"], "Unable to connect to webhook endpoint.");
    assert!(unable["hint"].as_str().unwrap().contains("443") && unable["http_status"].is_null(), "{unable}");
    let body = json!({ "url": receiver.url("/t"), "auth": { "bearer": "${secret:GONE}" } });
    let unknown = server.client().post("/v1/destinations/test", &body).ok(200);
    assert_eq!(unknown["message"], "Unknown error sending test message to endpoint.");
    assert!(unknown["detail"].as_str().unwrap().contains("GONE"), "{unknown}");
    assert!(server.items("/v1/destinations").is_empty(), "nothing is saved by a test");
}

#[test]
fn a_chat_gets_a_card_or_blocks_in_which_nothing_of_the_alert_is_a_link() {
    let receiver = Receiver::start();
    let folder = Folder::and("public_url: https://sortie.example.com\n");
    let (teams, slack) = (receiver.url("/teams"), receiver.url("/slack"));
    folder.write(
        "destinations.yaml",
        &format!(
            "destinations:\n  team: {{ kind: teams, url: \"{teams}\" }}\n  slack: {{ kind: slack, url: \"{slack}\" }}\n"
        ),
    );
    folder.playbook("tell", &TELL.replace("[desk]", "[team, slack]"));
    let server = Server::start(&folder);
    let mut event = alert("A-1", 92);
    event["alert"]["name"] = json!("[click](http://evil.example) <!channel>");
    server.accepted(&event);
    let both = [receiver.next(), receiver.next()];
    let of = |path: &str| both.iter().find(|one| one.path == path).unwrap().json();
    let (card, blocks) = (of("/teams"), of("/slack"));
    assert_eq!(card["type"], "message");
    assert_eq!(card["attachments"][0]["content"]["type"], "AdaptiveCard");
    assert_eq!(card["attachments"][0]["content"]["actions"][0]["url"], "https://sortie.example.com/alerts/A-1");
    assert!(card.to_string().contains("Compromised Credentials"));
    assert_eq!(blocks["blocks"][0]["type"], "header");
    for message in [card.to_string(), blocks.to_string()] {
        assert!(!message.contains("](http://evil") && !message.contains("<!channel>"), "{message}");
    }
    server.client().post("/v1/destinations/team/test", &json!({})).ok(200);
    assert_eq!(receiver.next().json()["type"], "message");
}

#[test]
fn a_login_yields_a_token_that_is_kept_until_it_is_refused() {
    let receiver = Receiver::start();
    let login = Receiver::scripted(&[
        Reply::Body(200, br#"{"access_token": "first-token", "expires_in": 3600}"#.to_vec()),
        Reply::Body(200, br#"{"access_token": "second-token"}"#.to_vec()),
        Reply::Status(503),
        Reply::Status(401),
    ]);
    let folder = Folder::new();
    let keys = format!(
        "auth: {{ login: {{ url: \"{}\", user: sortie, password: \"${{secret:PW}}\" }} }}",
        login.url("/login")
    );
    folder.destinations(&receiver, &["desk"], &keys);
    folder.playbook("tell", TELL);
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_PW", CANARY)]);
    let bearer = |one: &crate::support::receiver::Received| one.header("authorization").unwrap_or_default().to_owned();
    for n in 0..3 {
        server.accepted(&alert(&format!("A-{n}"), 92));
        assert_eq!(bearer(&receiver.next()), "Bearer first-token");
    }
    let asked = login.waiting();
    assert_eq!(asked.len(), 1, "it is asked for once");
    assert_eq!(asked[0].json(), json!({ "username": "sortie", "password": CANARY }));
    receiver.otherwise(Reply::Status(401));
    let run = server.ended_run(&run_id(&server.accepted(&alert("B-1", 92)), "tell"));
    let tries = [receiver.next(), receiver.next()].map(|one| bearer(&one));
    assert_eq!(tries, ["Bearer first-token", "Bearer second-token"], "a refused token is renewed once");
    assert_eq!(run["status"], "failed");
    assert!(receiver.waiting().is_empty());
    let validate = || server.client().post("/v1/destinations/desk/validate", &json!({})).ok(200);
    for status in [503, 401] {
        let answer = validate();
        assert_eq!(answer["ok"], false);
        assert!(answer["message"].as_str().unwrap().contains(&status.to_string()), "{answer}");
    }
    login.otherwise(Reply::Body(200, br#"{"token": "x"}"#.to_vec()));
    assert!(validate()["message"].as_str().unwrap().contains("access_token"));
    login.otherwise(Reply::Body(200, br#"{"access_token": "good"}"#.to_vec()));
    assert_eq!(validate()["ok"], true);
    assert!(receiver.waiting().is_empty(), "a look at the credentials sends nothing");
    for text in [run.to_string(), server.log().text(), server.client().get("/v1/audit?limit=1000").text()] {
        for secret in [CANARY, "first-token", "second-token"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn client_credentials_are_asked_for_as_the_standard_says() {
    let receiver = Receiver::start();
    let issuer = Receiver::start();
    issuer.otherwise(Reply::Body(
        200,
        br#"{"access_token": "oauth-token", "token_type": "Bearer", "expires_in": "60"}"#.to_vec(),
    ));
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (id, client_auth) in [("basic", "basic"), ("body", "body")] {
        let oauth2 = json!({ "token_url": issuer.url("/token"), "client_id": "a b", "client_secret": "c:d&e", "scope": "alerts write", "client_auth": client_auth });
        let body = json!({ "id": id, "url": receiver.url("/x"), "auth": { "oauth2": oauth2 } });
        let made = server.client().post("/v1/destinations", &body).ok(201);
        assert_eq!(made["auth"], "oauth2 a b");
        assert_eq!(server.client().post(&format!("/v1/destinations/{id}/test"), &json!({})).ok(200)["ok"], true);
        assert_eq!(receiver.next().header("authorization"), Some("Bearer oauth-token"));
    }
    let (basic, body) = (issuer.next(), issuer.next());
    let form = |one: &crate::support::receiver::Received| String::from_utf8(one.body.clone()).unwrap();
    assert_eq!(basic.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(form(&basic), "grant_type=client_credentials&scope=alerts%20write");
    assert_eq!(basic.header("authorization"), Some("Basic YSUyMGI6YyUzQWQlMjZl"), "a%20b:c%3Ad%26e in base64");
    assert_eq!(
        form(&body),
        "grant_type=client_credentials&scope=alerts%20write&client_id=a%20b&client_secret=c%3Ad%26e"
    );
    assert_eq!(body.header("authorization"), None);
}

#[test]
fn the_command_line_makes_changes_switches_and_deletes() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    let url = receiver.url("/made");
    let input = format!("kind: webhook\nurl: {url}\nretry: {{ max: 5 }}\n");
    // Without a server, before its first start.
    sortie_with_input(&folder, &["tokens", "create", "--name", "first", "--role", "admin"], b"").expect(0);
    sortie_with_input(&folder, &["destinations", "create", "made", "--file", "-"], input.as_bytes()).expect(0);
    let server = Server::start(&folder);
    assert_eq!(server.client().get("/v1/destinations/made").ok(200)["retry_max"], 5);
    folder.write("change.json", r#"{"retry": null, "ordered": true}"#);
    sortie(&folder, &["destinations", "update", "made", "--file", "change.json"]).expect(0);
    let shown = sortie(&folder, &["destinations", "show", "made", "--json"]).expect(0).json();
    assert_eq!((&shown["retry_max"], &shown["ordered"]), (&Value::Null, &json!(true)));
    let tested = sortie(&folder, &["destinations", "test", "made"]).expect(0);
    assert!(tested.stdout.contains("accepted"), "{}", tested.stdout);
    receiver.otherwise(Reply::Status(418));
    let failed = sortie(&folder, &["destinations", "test", "made"]).expect(5);
    assert!(failed.stderr.contains("Webhook endpoint returned `HTTP 418`."), "{}", failed.stderr);
    sortie(&folder, &["destinations", "disable", "made"]).expect(0);
    assert_eq!(server.client().get("/v1/destinations/made").ok(200)["enabled"], false);
    sortie(&folder, &["destinations", "enable", "made"]).expect(0);
    sortie(&folder, &["destinations", "delete", "made"]).expect(0);
    assert!(sortie(&folder, &["destinations", "list"]).expect(0).stdout.lines().all(|line| !line.contains("made")));
    sortie_with_input(&folder, &["destinations", "create", "bad", "--file", "-"], b"url: [").expect(3);
    sortie_with_input(&folder, &["destinations", "create", "bad", "--file", "-"], b"url: gopher://x/").expect(6);
}

#[test]
fn what_has_failed_is_sent_again_all_at_once_with_the_same_ids() {
    let receiver = Receiver::start();
    receiver.otherwise(Reply::Status(500));
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk", "other"], "retry: { max: 0 }");
    folder.playbook("tell", &patient("[desk, other]"));
    let server = Server::start(&folder);
    for n in 0..5 {
        server.ended_run(&run_id(&server.accepted(&alert(&format!("A-{n}"), 92)), "tell"));
    }
    let ids = |path: &str, all: &[crate::support::receiver::Received]| {
        let mut ids: Vec<String> = all.iter().filter(|one| one.path == path).map(|one| one.id()).collect();
        ids.sort();
        ids
    };
    let first = receiver.waiting();
    assert_eq!(ids("/desk", &first).len(), 5);
    let again = sortie(&folder, &["deliveries", "redeliver", "--destination", "desk"]).expect(5);
    assert_eq!(again.stdout.lines().filter(|line| line.contains("failed")).count(), 5, "{}", again.stdout);
    receiver.waiting();
    receiver.otherwise(Reply::Status(200));
    let page = server.client().post("/v1/deliveries/redeliver?destination=desk&limit=2", &json!({})).ok(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert!(page["items"][0]["ok"] == true && page["next_cursor"].is_string(), "{page}");
    sortie(&folder, &["deliveries", "redeliver", "--destination", "desk"]).expect(0);
    let second = receiver.waiting();
    assert_eq!(ids("/desk", &second), ids("/desk", &first), "each once, with its id");
    assert!(ids("/other", &second).is_empty(), "the others are not touched");
    assert_eq!(server.items("/v1/deliveries?destination=desk&status=delivered").len(), 5);
    assert_eq!(server.items("/v1/deliveries?destination=other&status=failed").len(), 5);
    let id = server.items("/v1/deliveries?destination=desk")[0]["delivery_id"].as_str().unwrap().to_owned();
    let tries = server.client().get(&format!("/v1/deliveries/{id}")).ok(200)["tries"].clone();
    let statuses: Vec<&Value> = tries.as_array().unwrap().iter().map(|one| &one["http_status"]).collect();
    assert_eq!(statuses, [&json!(500), &json!(500), &json!(200)]);
    assert!(tries[0]["latency_ms"].is_u64() && tries[0]["answer"]["bytes"].is_u64(), "{tries}");
    let viewer = server.client().with_token(&token(&folder, "viewer", &[]));
    viewer.post("/v1/deliveries/redeliver?destination=other", &json!({})).problem(403);
}

#[test]
fn an_ordered_destination_gets_one_after_the_other_whatever_fails() {
    let receiver =
        Receiver::scripted(&[Reply::Status(500), Reply::Status(500), Reply::Status(200), Reply::Status(503)]);
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "ordered: true, retry: { max: 5, first: 100ms, cap: 200ms }");
    folder.playbook("tell", TELL);
    let server = Server::start(&folder);
    let lines: String = (0..12).map(|n| format!("{}\n", alert(&format!("A-{n:02}"), 92))).collect();
    let headers = [("content-type", "application/x-ndjson")];
    server.client().anonymous().request("POST", "/v1/in/generic", &headers, lines.as_bytes()).expect(202);
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..12 + 3 {
        let id = receiver.next().json()["alert_id"].as_str().unwrap().to_owned();
        if seen.last() != Some(&id) {
            seen.push(id);
        }
    }
    let expected: Vec<String> = (0..12).map(|n| format!("A-{n:02}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_rate_is_kept() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "rate: { requests: 2, per: 1s }");
    folder.playbook("tell", TELL);
    let server = Server::start(&folder);
    for n in 0..6 {
        server.accepted(&alert(&format!("A-{n}"), 92));
    }
    let times: Vec<_> = (0..6).map(|_| receiver.next().at).collect();
    let whole = times[5] - times[0];
    assert!(whole >= std::time::Duration::from_millis(1_900), "two at once, then one each half second: {whole:?}");
}

#[test]
fn after_a_restart_a_destination_that_was_failing_gets_one_probe_and_not_everything_that_waits() {
    let receiver = Receiver::start();
    receiver.otherwise(Reply::Status(500));
    let folder = Folder::new();
    let keys = "breaker: { failures: 3, pause: 4s }, retry: { max: 9, first: 20ms, cap: 20ms }";
    folder.destinations(&receiver, &["desk"], keys);
    folder.playbook("tell", &patient("[desk]"));
    let server = Server::start(&folder);
    for n in 0..5 {
        server.accepted(&alert(&format!("A-{n}"), 92));
    }
    let state = |server: &Server| server.client().get("/v1/destinations/desk").ok(200)["breaker"]["state"].clone();
    eventually("the breaker opens", || (state(&server) == "open").then_some(()));
    server.kill();
    receiver.waiting();
    let server = Server::start(&folder);
    receiver.next();
    eventually("the probe opens it again", || (state(&server) == "open").then_some(()));
    assert_eq!(receiver.waiting().len(), 0, "one probe, and no more");
    receiver.otherwise(Reply::Status(200));
    server.client().post("/v1/destinations/desk/test", &json!({})).ok(200);
    eventually("everything arrives", || (server.items("/v1/deliveries?status=delivered").len() == 5).then_some(()));
}
