//! The five systems: a vendor's message in by HTTP, a playbook, a payload at a receiver, the history that follows.

use serde_json::{Value, json};

use crate::support::certificate::Certificate;
use crate::support::command::sortie;
use crate::support::sample::{decision, keys, run_id, step, verdict};
use crate::support::sign::hmac_sha256_hex;
use crate::support::{Answer, Folder, Receiver, Reply, Server};

/// The sources of these scenarios, with the ways to authenticate that their pages show.
const SOURCES: &str = "\
sources:
  exabeam: { auth: { bearer: \"${secret:EXABEAM}\" } }
  connectsecure: { auth: { header: X-Api-Key, value: \"${secret:CS}\" } }
  holm: { auth: { basic: { user: holm, password: \"${secret:HOLM}\" } }, timezone: Europe/Stockholm }
  thalian: { auth: { hmac: { header: X-Thalian-Signature, secret: \"${secret:THALIAN}\", hash: sha256, encoding: hex } } }
  vectra: { auth: none }
";
const SECRETS: &[(&str, &str)] = &[
    ("SORTIE_SECRET_EXABEAM", "exabeam-token"),
    ("SORTIE_SECRET_CS", "cs-key"),
    ("SORTIE_SECRET_HOLM", "holm-password"),
    ("SORTIE_SECRET_THALIAN", "thalian-secret"),
];

/// A folder with these sources, the destination `desk`, and a playbook `tell` of this trigger that posts `body`.
fn folder(receiver: &Receiver, trigger: &str, body: &str) -> Folder {
    let folder = Folder::with(SOURCES);
    folder.destinations(receiver, &["desk"], "retry: { max: 0 }");
    let send = format!("  - id: send\n    action: webhook.send\n    with: {{ to: [desk], body: {body} }}\n");
    folder.playbook("tell", &format!("triggers:\n  - {trigger}\nsteps:\n{send}"));
    folder
}

fn send(server: &Server, source: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let path = format!("/v1/in/{source}");
    server.client().anonymous().request("POST", &path, headers, body.as_bytes())
}

/// The event as it is kept.
fn kept(server: &Server, answer: &Value) -> Value {
    server.client().get(&format!("/v1/events/{}", answer["event_id"].as_str().expect("an id"))).ok(200)
}

#[test]
fn exabeam_a_case_goes_in_and_all_its_details_come_out() {
    let receiver = Receiver::start();
    let folder = Folder::with(SOURCES);
    folder.destinations(&receiver, &["desk"], "retry: { max: 0 }");
    folder.playbook(
        "tell",
        "triggers:\n  - case.stage_changed: { from: New, to: Investigation }\nsteps:\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [desk] }\n",
    );
    let server = Server::start_with(&folder, SECRETS);
    let message = |stage: &str, at: &str| {
        json!({"case_id": "c-77", "case_number": "1042", "alert_name": "Odd logon", "priority": "CRITICAL", "stage": stage,
               "queue": "Tier 1 Analyst", "users": ["erika"], "endpoints": ["ws-17"], "last_update_time": at,
               "detections": [{"detection_id": "D-1", "triggered_rules": ["Geo"], "approx_log_time": "2026-03-01T08:00:00Z"}]})
        .to_string()
    };
    let token = [("Authorization", "Bearer exabeam-token")];
    send(&server, "exabeam", &[], &message("NEW", "2026-03-01T08:00:00Z")).expect(401);
    send(&server, "exabeam", &token, &message("NEW", "2026-03-01T08:00:00Z")).expect(202);
    let answer = send(&server, "exabeam", &token, &message("INVESTIGATION", "2026-03-01T08:05:00Z")).ok(202);
    let payload = receiver.next().json();
    assert_eq!((&payload["case_id"], &payload["stage"]), (&json!("c-77"), &json!("Investigation")));
    assert_eq!(payload["detections"][0]["detection_id"], "D-1");
    server.ended_run(&run_id(&answer, "tell"));
    let history = server.items("/v1/cases/c-77/history");
    assert!(history.iter().any(|moment| moment.to_string().contains("Investigation")), "{history:#?}");
}

#[test]
fn connectsecure_the_vendors_broken_sample_is_repaired_and_its_fields_are_sent() {
    let receiver = Receiver::start();
    let trigger = "event: { type: connectsecure.critical_problems_found }";
    let body = "\"${{ event.data }}\"";
    let server = Server::start_with(&folder(&receiver, trigger, body), SECRETS);
    let key = [("X-Api-Key", "cs-key"), ("Content-Type", "application/json")];
    // As the vendor writes it: `\ P` is no escape of JSON.
    let sent = r#"{"subject": "Critical Problems Found", "body": "Critical vulnerabilities detected for asset with IP 192.168.1.100, hostname server-01.example.com in company Acme Corporation\ Product: Apache HTTP Server. VUL ID: CVE-2021-44228. Severity: Critical"}"#;
    send(&server, "connectsecure", &[("X-Api-Key", "wrong")], sent).expect(401);
    let answer = send(&server, "connectsecure", &key, sent).ok(202);
    assert_eq!(verdict(&answer, "tell"), "matched");
    let payload = receiver.next().json();
    for (name, value) in [
        ("ip", "192.168.1.100"),
        ("hostname", "server-01.example.com"),
        ("company", "Acme Corporation"),
        ("product", "Apache HTTP Server"),
        ("vul_id", "CVE-2021-44228"),
        ("severity", "Critical"),
        ("subject", "Critical Problems Found"),
    ] {
        assert_eq!(payload[name], value, "{name} in {payload}");
    }
    assert!(payload["body"].as_str().unwrap().contains("Acme Corporation\\ Product"), "{payload}");
    assert!(answer["warnings"].to_string().contains("repaired"), "{answer}");
    let kept = kept(&server, &answer);
    assert!(kept["data"]["repaired"].is_string(), "{kept}");
    assert!(kept.to_string().contains("server-01.example.com"), "the bytes as they came");
    let run = server.ended_run(&run_id(&answer, "tell"));
    assert_eq!((&run["status"], &run["event_id"]), (&json!("succeeded"), &answer["event_id"]));
}

#[test]
fn connectsecure_each_documented_subject_is_its_own_event_and_an_unknown_one_is_one_too() {
    let receiver = Receiver::start();
    let server =
        Server::start_with(&folder(&receiver, "event: { type: connectsecure.* }", "\"${{ event.data }}\""), SECRETS);
    let key = [("X-Api-Key", "cs-key")];
    for (subject, body, kind, fields) in [
        (
            "New Asset(s) Added",
            "New asset added with ip 192.168.1.100. Hostname server-01.example.com. Mac address 00:1B:44:11:3A:B7",
            "connectsecure.new_assets_added",
            json!({"ip": "192.168.1.100", "hostname": "server-01.example.com", "mac": "00:1B:44:11:3A:B7"}),
        ),
        (
            "Asset Ports",
            "Open Port 443 Discovered for Asset 192.168.1.100, hostname server-01.example.com",
            "connectsecure.asset_ports",
            json!({"ip": "192.168.1.100", "hostname": "server-01.example.com", "port": 443}),
        ),
        (
            "Critical Vulnerabilities Found",
            "Critical vulnerabilities detected for asset with IP 192.168.1.100, hostname server-01.example.com in company Acme Corporation Product: Apache HTTP Server. VUL ID: CVE-2021-44228. Severity: Critical",
            "connectsecure.critical_problems_found",
            json!({"company": "Acme Corporation", "product": "Apache HTTP Server", "vul_id": "CVE-2021-44228"}),
        ),
        (
            "Login Failure",
            "Login Failure for john.doe With IPAddress 203.0.113.10 on service AzureAD at 2024-01-15 10:30:00 UTC",
            "connectsecure.login_failure",
            json!({"user": "john.doe", "ip": "203.0.113.10", "service": "AzureAD", "time": "2024-01-15 10:30:00 UTC"}),
        ),
        ("Asset Ports", "", "connectsecure.asset_ports", json!({"port": null, "subject": "Asset Ports", "body": ""})),
        ("AD Audit: Group Changed", "x", "connectsecure.ad_audit_group_changed", json!({"body": "x"})),
    ] {
        let answer =
            send(&server, "connectsecure", &key, &json!({"subject": subject, "body": body}).to_string()).ok(202);
        assert_eq!(kept(&server, &answer)["type"], kind);
        let payload = receiver.next().json();
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(&payload[name], value, "{name} of {subject}: {payload}");
        }
    }
}

#[test]
fn holm_a_finished_scan_with_critical_findings_is_told_and_its_times_are_of_the_sources_zone() {
    let receiver = Receiver::start();
    let trigger = "event: { type: holm.finished_scan, when: event.data.critical_cnt > 0 }";
    let body =
        "{ text: \"${{ event.data.name }} has ${{ event.data.critical_cnt }}\", link: \"${{ event.data.link }}\" }";
    let server = Server::start_with(&folder(&receiver, trigger, body), SECRETS);
    // holm:holm-password, and the odd headers that the product sends.
    let headers = [
        ("Authorization", "Basic aG9sbTpob2xtLXBhc3N3b3Jk"),
        ("Content-Type", "application/json"),
        ("Content_Type", "application/json"),
        ("Content_Length", "317"),
        ("User-Agent", "python-requests/2.8.1"),
    ];
    let sample = r#"{"finished_scan": {"status": "Completed", "low_cnt": 0, "critical_cnt": 1, "started": "2018-08-21 12:02", "finished": "2018-08-21 12:59", "link": "https://sc.holmsecurity.com/scans/scans/view/123", "duration": "00:57", "errors": "", "name": "Daily scan", "high_cnt": 0, "medium_cnt": 3, "type": "network"}}"#;
    send(&server, "holm", &headers[1..], sample).expect(401);
    let answer = send(&server, "holm", &headers, sample).ok(202);
    let payload = receiver.next().json();
    let link = "https://sc.holmsecurity.com/scans/scans/view/123";
    assert_eq!(payload, json!({"text": "Daily scan has 1", "link": link}));
    let kept = kept(&server, &answer);
    assert_eq!(kept["time"], "2018-08-21T10:59:00.000Z", "12:59 in Stockholm");
    assert_eq!(kept["data"]["errors"], "");
    let quiet = sample.replace("\"critical_cnt\": 1", "\"critical_cnt\": 0");
    let answer = send(&server, "holm", &headers, &quiet).ok(202);
    assert_eq!(decision(&answer, "tell")["verdict"], "not_matched");
    assert_eq!(server.items("/v1/runs").len(), 1);
}

#[test]
fn thalian_a_signed_finding_becomes_an_alert_and_an_altered_one_is_refused() {
    let receiver = Receiver::start();
    let body = "{ who: \"${{ alert.users }}\", fix: \"${{ alert.extra.remediation }}\" }";
    let trigger = "alert.created: { when: 'alert.priority in [\"high\", \"critical\"]' }";
    let server = Server::start_with(&folder(&receiver, trigger, body), SECRETS);
    let finding = json!({"id": "f-9", "title": "No second factor", "severity": "High", "score": 7.4,
        "affected_identity": "erika@corp.example", "platform": "Okta", "detected_at": "2026-03-01T08:00:00Z",
        "remediation": "Ask for one."})
    .to_string();
    let signature = hmac_sha256_hex(b"thalian-secret", finding.as_bytes());
    for wrong in [signature.replace(&signature[..1], "x"), signature[..40].to_owned(), String::new()] {
        send(&server, "thalian", &[("X-Thalian-Signature", &wrong)], &finding).expect(401);
    }
    let altered = finding.replace("High", "Low");
    send(&server, "thalian", &[("X-Thalian-Signature", &signature)], &altered).expect(401);
    let prefixed = format!("sha256={signature}");
    let answer = send(&server, "thalian", &[("X-Thalian-Signature", &prefixed)], &finding).ok(202);
    assert_eq!(receiver.next().json(), json!({"who": ["erika@corp.example"], "fix": "Ask for one."}));
    let alert = server.client().get("/v1/alerts/thalian-f-9").ok(200);
    assert_eq!((&alert["priority"], &alert["risk_score"]), (&json!("high"), &json!(7.4)));
    server.ended_run(&run_id(&answer, "tell"));
    assert!(receiver.waiting().is_empty(), "nothing of the refused ones ran");
}

#[test]
fn thalian_outbound_one_attempt_and_three_retries_then_failed_and_visible() {
    let receiver =
        Receiver::scripted(&[Reply::Status(500), Reply::Status(500), Reply::Status(500), Reply::Status(500)]);
    let folder = Folder::with("sources: { thalian: { auth: none } }\n");
    let sign = "{ hmac: { header: X-Thalian-Signature, secret: \"${secret:SIGNING}\", hash: sha256, encoding: hex } }";
    let keys_of = format!("sign: {sign}, retry: {{ max: 3, backoff: exponential, first: 200ms, cap: 10s }}");
    folder.destinations(&receiver, &["siem"], &keys_of);
    folder.playbook("tell", "triggers:\n  - alert.created\nsteps:\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [siem] }\n");
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_SIGNING", "signing-secret")]);
    let answer =
        send(&server, "thalian", &[], r#"{"id": "f-1", "title": "Open bucket", "severity": "critical"}"#).ok(202);
    let run = server.ended_run(&run_id(&answer, "tell"));
    assert_eq!(run["status"], "failed");
    assert_eq!(step(&run, "send")["attempts"].as_array().unwrap().len(), 4);
    let requests = receiver.waiting();
    assert_eq!(requests.len(), 4, "one attempt and three retries");
    let waits: Vec<_> = requests.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at)).collect();
    assert!(waits[0] < waits[1] && waits[1] < waits[2], "at growing distances: {waits:?}");
    for request in &requests {
        let wanted = hmac_sha256_hex(b"signing-secret", &request.body);
        assert_eq!(request.header("x-thalian-signature"), Some(wanted.as_str()));
    }
    assert_eq!(openssl_hmac("signing-secret", &requests[0].body), requests[0].header("x-thalian-signature").unwrap());
    let failed = server.items("/v1/deliveries?status=failed&destination=siem");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["destination"], "siem");
}

/// The HMAC with SHA-256 of another implementation, in hexadecimal.
fn openssl_hmac(key: &str, body: &[u8]) -> String {
    use std::io::Write as _;
    let mut openssl = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", key])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().expect("a pipe").write_all(body).expect("the body");
    let said = String::from_utf8(openssl.wait_with_output().expect("an answer").stdout).expect("text");
    said.trim().rsplit(' ').next().expect("a digest").to_owned()
}

#[test]
fn thalian_outbound_any_answer_but_2xx_is_tried_again_where_the_destination_says_so() {
    let receiver =
        Receiver::scripted(&[Reply::Status(400), Reply::Status(301), Reply::Status(404), Reply::Status(200)]);
    let folder = Folder::with("sources: { thalian: { auth: none } }\n");
    folder.destinations(&receiver, &["siem"], "retry: { max: 3, first: 50ms, cap: 1s, on: any }");
    folder.playbook("tell", "triggers:\n  - alert.created\nsteps:\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [siem] }\n");
    let server = Server::start(&folder);
    let answer = send(&server, "thalian", &[], r#"{"id": "f-1", "title": "Open bucket", "severity": "high"}"#).ok(202);
    let run = server.ended_run(&run_id(&answer, "tell"));
    assert_eq!((&run["status"], receiver.waiting().len()), (&json!("succeeded"), 4), "{run}");
    assert_eq!(server.client().get("/v1/destinations/siem").ok(200)["retry_on"], "any");
}

#[test]
fn thalian_outbound_plain_http_is_refused_when_it_is_saved() {
    let folder = Folder::with("sources: { thalian: { auth: none } }\n");
    let strict = folder.read("sortie.yaml").replace("allow_http: true", "allow_http: false");
    folder.write("sortie.yaml", &strict);
    folder.write("destinations.yaml", "destinations:\n  siem: { url: \"http://siem.example.com/hook\" }\n");
    let Err((status, log)) = Server::try_start(&folder, &[]) else { panic!("it must not start") };
    assert_eq!(status.code(), Some(3));
    assert!(log.contains("DS104") || log.contains("https"), "{log}");
}

#[test]
fn vectra_scores_cross_a_threshold_and_the_entity_is_kept_under_its_own_id() {
    let receiver = Receiver::start();
    let trigger = "score.threshold: { of: host, score: urgency, above: 80 }";
    let body = "{ text: \"${{ entity.name }} ${{ trigger.to }}\", link: \"${{ entity.link }}\" }";
    let server = Server::start_with(&folder(&receiver, trigger, body), SECRETS);
    let score = |urgency: u64| {
        json!({"entity_type": "host", "entity_id": 144, "entity_name": "ws-17", "urgency_score": urgency,
               "url": "https://vectra.example/hosts/144"})
        .to_string()
    };
    let verdicts: Vec<String> = [60, 83, 95, 40]
        .map(|urgency| verdict(&send(&server, "vectra", &[], &score(urgency)).ok(202), "tell").to_owned())
        .to_vec();
    assert_eq!(verdicts, ["not_matched", "matched", "not_matched", "not_matched"]);
    assert_eq!(receiver.next().json(), json!({"text": "ws-17 83", "link": "https://vectra.example/hosts/144"}));
    let system = send(&server, "vectra", &[], r#"{"alert_type": "sensor", "message": "edge-2 is silent"}"#).ok(202);
    assert_eq!(kept(&server, &system)["type"], "vectra.system_alert");
}

#[test]
fn what_fits_no_mapping_is_kept_visible_and_counted_and_never_an_error() {
    let receiver = Receiver::start();
    let trigger = "event: { type: vectra.unreadable }";
    let server = Server::start_with(&folder(&receiver, trigger, "{ why: \"${{ event.data.code }}\" }"), SECRETS);
    for (body, code) in [
        (r#"{"hello": "world"}"#, "no_mapping"),
        (r#"{"entity_id": {"a": [1, null]}, "urgency_score": ["x"]}"#, "no_mapping"),
        ("not json at all", "invalid_json"),
        ("[]", "empty_body"),
        ("\"text\"", "not_an_object"),
    ] {
        let answer = send(&server, "vectra", &[], body);
        if code == "empty_body" {
            assert_eq!(answer.problem(400), code);
            continue;
        }
        let answer = answer.ok(202);
        assert_eq!(receiver.next().json(), json!({"why": code}), "{body}");
        assert_eq!(kept(&server, &answer)["type"], "vectra.unreadable");
    }
    let metrics = server.client().get("/metrics").expect(200).text();
    assert!(metrics.contains("sortie_events_unreadable_total{source=\"vectra\"} 4"), "{metrics}");
}

#[test]
fn a_dry_run_shows_the_mapping_and_keeps_nothing() {
    let receiver = Receiver::start();
    let server = Server::start_with(&folder(&receiver, "event: { type: holm.* }", "{ a: b }"), SECRETS);
    let body = r#"{"entity_type": "account", "account_uid": "erika", "entity_id": 7, "threat": 70, "certainty": "55"}"#;
    let shown = send(&server, "vectra?dry_run=true", &[], body).ok(200);
    assert_eq!(shown["dry_run"], true);
    assert_eq!(shown["event"]["subject"]["id"], "account/vectra-7");
    assert_eq!(shown["event"]["subject"]["fields"]["scores"], json!({"threat": 70, "certainty": 55}));
    assert!(server.items("/v1/events").is_empty());
    assert_eq!(keys(&shown["event"]["subject"]["fields"]), ["extra", "id", "kind", "name", "scores"]);
}

#[test]
fn a_source_of_the_teams_own_is_read_from_its_file_and_checked_with_its_samples() {
    let receiver = Receiver::start();
    let folder = Folder::with("sources: { our-scanner: { file: ./sources/our-scanner.yaml, auth: none } }\n");
    folder.destinations(&receiver, &["desk"], "");
    folder.playbook("tell", "triggers:\n  - event: { type: our-scanner.* }\nsteps:\n  - id: send\n    action: webhook.send\n    with: { to: [desk], body: { text: \"${{ event.data.host }}\" } }\n");
    std::fs::create_dir(folder.path().join("sources")).unwrap();
    let text = "source: our-scanner\ntitle: Our scanner\nevents:\n  - when: has(body, \"what\")\n    type: \"our-scanner.${{ snake(pick(body, \\\"what\\\")) }}\"\n    data: { host: 'pick(body, [\"host\", \"node.name\"])' }\nsamples:\n  - name: a finding\n    body: { what: Open Port, node: { name: web-1 } }\n    expect: { type: our-scanner.open_port, data: { host: web-1 } }\n";
    folder.write("sources/our-scanner.yaml", text);
    sortie(&folder, &["check", "sources"]).expect(0);
    let server = Server::start(&folder);
    send(&server, "our-scanner", &[], r#"{"what": "Weak TLS", "host": "db-2"}"#).expect(202);
    assert_eq!(receiver.next().json(), json!({"text": "db-2"}));

    folder.write(
        "sources/our-scanner.yaml",
        &text.replace("host: web-1", "host: web-2").replace("data: { host: 'pick", "data: { host: 'pikc"),
    );
    let found = sortie(&folder, &["check", "sources", "--json"]).expect(3).json();
    assert_eq!((&found[0]["code"], &found[0]["line"]), (&json!("PB308"), &json!(6)), "{found}");
    folder.write("sources/our-scanner.yaml", &text.replace("host: web-1", "host: web-2"));
    let found = sortie(&folder, &["check", "sources", "--json"]).expect(3).json();
    assert_eq!(found[0]["code"], "SR105", "{found}");
}

/// Attack rows I5, I6: a signed time that is far away, a replay at once and after a restart.
#[test]
fn a_replayed_signed_request_is_one_event_even_after_a_restart_and_an_old_one_is_refused() {
    let receiver = Receiver::start();
    let folder = folder(&receiver, "event: { type: slack.* }", "{ text: \"${{ event.data.text }}\" }");
    folder.write(
        "sortie.yaml",
        &folder
            .read("sortie.yaml")
            .replace(SOURCES, "sources: { slack: { auth: { slack: { secret: \"${secret:SLACK}\" } } } }\n"),
    );
    let secrets = &[("SORTIE_SECRET_SLACK", "slack-secret")];
    let server = Server::start_with(&folder, secrets);
    let now = u64::try_from(engine::clock::wall().millis() / 1_000).unwrap();
    let body = r#"{"type": "event_callback", "event": {"type": "message", "text": "hi"}}"#;
    let signed = |at: u64, body: &str| {
        let signature = hmac_sha256_hex(b"slack-secret", format!("v0:{at}:{body}").as_bytes());
        [("X-Slack-Request-Timestamp", at.to_string()), ("X-Slack-Signature", format!("v0={signature}"))]
    };
    let post = |server: &Server, headers: &[(&str, String)], body: &str| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        send(server, "slack", &headers, body)
    };
    for away in [now - 360, now + 360] {
        post(&server, &signed(away, body), body).expect(401);
    }
    let good = signed(now, body);
    post(&server, &good, &body.replace("hi", "ho")).expect(401);
    let first = post(&server, &good, body).ok(202);
    let statuses: Vec<u16> = (0..8).map(|_| post(&server, &good, body).status).collect();
    assert_eq!(statuses, [200; 8]);
    assert_eq!(receiver.next().json(), json!({"text": "hi"}));
    // Only what is recorded as delivered is not sent again after a kill.
    server.ended_run(first["decisions"][0]["run_id"].as_str().unwrap());
    server.kill();
    let server = Server::start_with(&folder, secrets);
    assert_eq!(post(&server, &good, body).ok(200)["event_id"], first["event_id"]);
    assert!(receiver.waiting().is_empty());
    // The question by which Slack verifies the address, and only from Slack.
    let question = r#"{"type": "url_verification", "challenge": "3eZb"}"#;
    send(&server, "slack", &[], question).expect(401);
    assert_eq!(post(&server, &signed(now, question), question).ok(200), json!({"challenge": "3eZb"}));
}

#[test]
fn senders_that_ask_first_are_answered_and_only_by_the_sources_that_know_the_question() {
    let folder = Folder::with(
        "sources:\n  cloudevents: { auth: none }\n  msgraph: { auth: { path_token: \"${secret:GRAPH}\" } }\n  guardduty: { auth: none }\n  holm: { auth: none }\n",
    );
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_GRAPH", "graph-token")]);
    let client = server.client().anonymous();
    let asks = [("WebHook-Request-Origin", "events.example"), ("WebHook-Request-Rate", "120")];
    let answer = client.request("OPTIONS", "/v1/in/cloudevents", &asks, b"").expect(200);
    assert_eq!(answer.header("webhook-allowed-origin"), Some("events.example"));
    assert_eq!(answer.header("webhook-allowed-rate"), Some("*"));
    client.request("OPTIONS", "/v1/in/holm", &asks, b"").expect(404);

    let path = "/v1/in/msgraph/graph-token?validationToken=Validation%3A+a%26b";
    assert_eq!(client.request("POST", path, &[], b"").expect(200).text(), "Validation: a&b");
    client.request("POST", "/v1/in/msgraph/wrong?validationToken=x", &[], b"").expect(401);
    client.request("POST", "/v1/in/msgraph?validationToken=x", &[], b"").expect(401);
    client.request("POST", "/v1/in/holm/some-token", &[], b"{}").expect(404);
    assert!(!server.log().text().contains("graph-token"), "the secret in the path is not logged");

    // Only AWS is visited.
    let confirmation = |url: &str| json!({"Type": "SubscriptionConfirmation", "SubscribeURL": url}).to_string();
    for url in ["https://sns.amazonaws.com.evil.example/x", "http://127.0.0.1:1/x", "https://evil.example/"] {
        let answer = send(&server, "guardduty", &[("Content-Type", "text/plain")], &confirmation(url));
        assert_eq!(answer.problem(400), "subscription_refused", "{url}");
    }
}

#[test]
fn cloudevents_come_structured_binary_and_in_batches_and_repeats_are_known_by_source_and_id() {
    let folder = Folder::with("sources: { cloudevents: { auth: none } }\n");
    let server = Server::start(&folder);
    let event =
        json!({"specversion": "1.0", "id": "1", "source": "/b", "type": "com.example.Done", "data": {"ok": true}});
    let structured = [("Content-Type", "application/cloudevents+json; charset=utf-8")];
    let first = send(&server, "cloudevents", &structured, &event.to_string()).ok(202);
    assert_eq!(kept(&server, &first)["type"], "com.example.done");
    assert_eq!(send(&server, "cloudevents", &structured, &event.to_string()).ok(200)["event_id"], first["event_id"]);
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/c"),
        ("ce-type", "ping"),
        ("Content-Type", "application/json"),
    ];
    let answer = send(&server, "cloudevents", &binary, r#"{"n": 1}"#).ok(202);
    let kept_event = kept(&server, &answer);
    assert_eq!((&kept_event["type"], &kept_event["data"]["data"]), (&json!("cloudevents.ping"), &json!({"n": 1})));
    let batch = json!([event, {"specversion": "1.0", "id": "2", "source": "/b", "type": "x.y"}]);
    let answer =
        send(&server, "cloudevents", &[("Content-Type", "application/cloudevents-batch+json")], &batch.to_string())
            .ok(202);
    assert_eq!((&answer[0]["duplicate"], &answer[1]["duplicate"]), (&json!(true), &json!(false)));
}

#[test]
fn an_address_outside_the_list_is_refused_and_a_trusted_proxy_says_whose_it_is() {
    let folder =
        Folder::with("trusted_proxies: [127.0.0.1]\nsources:\n  holm: { auth: none, allow: [203.0.113.0/24] }\n");
    let server = Server::start(&folder);
    let body = r#"{"scheduled_scan": {"name": "x"}}"#;
    assert_eq!(send(&server, "holm", &[], body).problem(403), "address_not_allowed");
    let from = |address: &str| send(&server, "holm", &[("X-Forwarded-For", address)], body);
    assert_eq!(from("198.51.100.1").problem(403), "address_not_allowed");
    assert_eq!(from("203.0.113.9, 198.51.100.1").problem(403), "address_not_allowed", "the nearest counts");
    from("198.51.100.1, 203.0.113.9").expect(202);
    let audit = server.items("/v1/audit?action=refused").iter().map(Value::to_string).collect::<String>();
    assert!(audit.contains("198.51.100.1"), "{audit}");
}

#[test]
fn githubs_signature_holds_for_its_bytes_and_its_delivery_is_known_again() {
    let folder = Folder::with("sources: { github: { auth: { github: { secret: \"${secret:GH}\" } } } }\n");
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_GH", "It's a Secret to Everybody")]);
    let body = r#"{"ref": "refs/heads/main"}"#;
    let signature = format!("sha256={}", hmac_sha256_hex(b"It's a Secret to Everybody", body.as_bytes()));
    let headers =
        [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "d-1")];
    let answer = send(&server, "github", &headers, body).ok(202);
    assert_eq!(kept(&server, &answer)["type"], "github.push");
    send(&server, "github", &headers, body).expect(200);
    send(&server, "github", &headers, &body.replace("main", "x")).expect(401);
    send(&server, "github", &headers[1..], body).expect(401);
}

#[test]
fn connectsecure_a_company_is_mapped_to_its_tenant_and_one_that_is_switched_off_is_not_taken() {
    let receiver = Receiver::start();
    let sources = |old: &str| {
        format!(
            "tenants: [acme, nord]\nsources:\n  connectsecure:\n    auth: {{ header: X-Api-Key, value: \"${{secret:CS}}\" }}\n    \
             tenants: {{ \"Acme Corporation\": acme, \"Nord Handel AB\": nord, \"Old Customer\": {old} }}\n  \
             connectsecure-nord: {{ uses: connectsecure, tenant: nord, auth: {{ header: X-Api-Key, value: \"${{secret:CS}}\" }} }}\n"
        )
    };
    let folder = Folder::with(&sources("off"));
    folder.destinations(&receiver, &["acme-desk", "nord-desk"], "retry: { max: 0 }");
    for tenant in ["acme", "nord"] {
        let tell = format!(
            "tenants: [{tenant}]\ntriggers:\n  - event: {{ set: critical }}\nsteps:\n  - id: send\n    action: webhook.send\n    with: {{ to: {tenant}-desk, body: {{ company: \"${{{{ event.data.company }}}}\" }} }}\n"
        );
        folder.playbook(&format!("tell-{tenant}"), &tell);
    }
    let sets = "event_sets:\n  critical: [connectsecure.critical_problems_found]\n";
    folder.write("destinations.yaml", &format!("{}{sets}", folder.read("destinations.yaml")));
    let key = [("X-Api-Key", "cs-key")];
    let critical = |company: &str| {
        let text = format!(
            "Critical vulnerabilities detected for asset with IP 10.0.0.7, hostname nas-7 in company {company}\nProduct: OpenSSH. VUL ID: CVE-2024-6387. Severity: Critical"
        );
        json!({ "subject": "Critical Problems Found", "body": text }).to_string()
    };
    let server = Server::start_with(&folder, SECRETS);
    // The vendor's own sample, broken as it is.
    let broken = r#"{"subject": "Critical Problems Found", "body": "Critical vulnerabilities detected for asset with IP 192.168.1.100, hostname server-01.example.com in company Acme Corporation\ Product: Apache HTTP Server. VUL ID: CVE-2021-44228. Severity: Critical"}"#;
    let acme = send(&server, "connectsecure", &key, broken).ok(202);
    let nord = send(&server, "connectsecure", &key, &critical("Nord Handel AB")).ok(202);
    let mut told: Vec<(String, Value)> = [receiver.next(), receiver.next()]
        .iter()
        .map(|one| (one.path.clone(), one.json()["company"].clone()))
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        told,
        [("/acme-desk".into(), json!("Acme Corporation")), ("/nord-desk".into(), json!("Nord Handel AB"))]
    );
    assert_eq!((&kept(&server, &acme)["tenant"], &kept(&server, &nord)["tenant"]), (&json!("acme"), &json!("nord")));
    let off = send(&server, "connectsecure", &key, &critical("Old Customer"));
    assert!(off.status == 400 && off.text().contains("switched off"), "{}", off.text());
    send(&server, "connectsecure", &key, &critical("Nobody Ltd")).problem(400);
    // A text without a company belongs to whom its address says.
    let port = json!({ "subject": "Asset Ports", "body": "Open Port 22 Discovered for Asset 10.0.0.7" }).to_string();
    send(&server, "connectsecure", &key, &port).problem(400);
    let by_address = send(&server, "connectsecure-nord", &key, &port).ok(202);
    assert_eq!(kept(&server, &by_address)["tenant"], "nord");
    let foreign = send(&server, "connectsecure-nord", &key, broken).ok(202);
    assert_eq!(kept(&server, &foreign)["tenant"], "nord", "the address binds");
    let out = sortie(&folder, &["tokens", "create", "--name", "n", "--role", "analyst", "--tenant", "nord"]).expect(0);
    let of_nord = server.client().with_token(&out.stdout);
    of_nord.get(&format!("/v1/events/{}", acme["event_id"].as_str().unwrap())).problem(404);
    assert!(!of_nord.get("/v1/events").text().contains("acme"), "nothing of another company");
    assert_eq!(server.items("/v1/events?limit=50").len(), 4, "what was refused is not kept");
    // Switched on: the rest of the mapping stays as it is.
    server.stop();
    let text = folder.read("sortie.yaml");
    folder.write("sortie.yaml", &text.replace("\"Old Customer\": off", "\"Old Customer\": acme"));
    let server = Server::start_with(&folder, SECRETS);
    let on = send(&server, "connectsecure", &key, &critical("Old Customer")).ok(202);
    assert_eq!(kept(&server, &on)["tenant"], "acme");
}

/// An HTTPS listener with this certificate that answers each request with the next of these; what it was asked comes back.
fn https(
    config: std::sync::Arc<rustls::ServerConfig>,
    answers: Vec<&'static str>,
) -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (send, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (stream, answer) in listener.incoming().flatten().zip(answers) {
            let connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).expect("a connection");
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap_or(0);
            let _ = send.send(String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.flush();
        }
    });
    (port, asked)
}

#[test]
fn a_subscription_of_aws_is_confirmed_at_its_address_and_a_redirect_from_there_is_not_followed() {
    let probe = std::process::Command::new("unshare").args(["-rm", "true"]).output();
    if !probe.is_ok_and(|out| out.status.success()) {
        println!("skipped: this machine does not let a test have a file system of its own (unshare -rm)");
        return;
    }
    let host = "sns.eu-north-1.amazonaws.com";
    let folder =
        Folder::with("sources: { guardduty: { auth: { basic: { user: sns, password: \"${secret:SNS}\" } } } }\n");
    let certificate = Certificate::make(&folder, "sns", &format!("DNS:{host}"), 5);
    let closed = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (port, asked) = https(certificate.server_config(&folder), vec![closed, elsewhere]);
    folder.write("hosts", &format!("127.0.0.1 localhost {host}\n"));
    let text = folder.read("sortie.yaml");
    folder.write("sortie.yaml", &text.replace("allow_http: true", "allow_http: true, ca: ./sns.ca.pem"));
    let own = "export SORTIE_SECRET_SNS=pw; [ -n \"$OWN\" ] || exec env OWN=1 unshare -rm sh -c 'mount --bind hosts /etc/hosts && exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    let server = Server::start_under(&folder, own);
    let confirmation = |path: &str| {
        json!({ "Type": "SubscriptionConfirmation", "MessageId": "m-1", "Token": "t", "TopicArn": "arn:aws:sns:eu-north-1:1:t",
                "SubscribeURL": format!("https://{host}:{port}{path}") })
        .to_string()
    };
    let headers =
        [("Content-Type", "text/plain; charset=UTF-8"), ("x-amz-sns-message-type", "SubscriptionConfirmation")];
    send(&server, "guardduty", &headers, &confirmation("/?Action=ConfirmSubscription")).expect(401);
    let known = [&headers[..], &[("Authorization", "Basic c25zOnB3")]].concat();
    let first = send(&server, "guardduty", &known, &confirmation("/?Action=ConfirmSubscription&Token=t"));
    assert_eq!(first.ok(200), json!({ "confirmed": true }));
    assert_eq!(asked.recv().unwrap(), "GET /?Action=ConfirmSubscription&Token=t HTTP/1.1");
    let second = send(&server, "guardduty", &known, &confirmation("/again"));
    assert_eq!(second.problem(502), "subscription_failed");
    assert!(second.text().contains("302"), "{}", second.text());
}
