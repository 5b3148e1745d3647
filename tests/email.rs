//! E-mail: over TLS or not at all, each recipient a delivery of its own, nothing that an event says becomes a header.

use serde_json::{Value, json};

use crate::support::certificate::Certificate;
use crate::support::command::sortie;
use crate::support::mail::{Mail, MailServer, Way};
use crate::support::sample::{alert, run_id};
use crate::support::{Folder, Server, eventually};

const CANARY: &str = "canary-7TqLx9wRz4";
const PASSWORD: [(&str, &str); 1] = [("SORTIE_SECRET_MAIL", CANARY)];

/// A playbook that mails about each alert.
const MAIL: &str = "\
triggers: [alert.created]
steps:
  - id: mail
    action: email.send
    retry: { max: 3, first: 50ms, cap: 100ms }
    with:
      to: [soc@example.com, \"Nacht & Lage <night@example.com>\"]
      cc: boss@example.com
      subject: \"[Sortie] ${{ alert.name }}\"
      text: \"${{ alert.name }}\\nscore ${{ alert.risk_score }}\"
      html: \"<b>${{ alert.name }}</b>\"
";

fn encrypted(more: &str, way: fn(std::sync::Arc<rustls::ServerConfig>) -> Way, tls: &str) -> (Folder, MailServer) {
    let folder = Folder::new();
    let certificate = Certificate::make(&folder, "mail", "DNS:localhost,IP:127.0.0.1", 5);
    let mail = MailServer::start(way(certificate.server_config(&folder)));
    let smtp = format!(
        "smtp: {{ host: localhost, port: {}, tls: {tls}, from: \"Sortie <sortie@soc.example>\", ca: ./{}, \
         auth: {{ user: sortie, password: \"${{secret:MAIL}}\" }}{more} }}\n",
        mail.port(),
        certificate.ca
    );
    folder.write("sortie.yaml", &format!("{}{smtp}", folder.read("sortie.yaml")));
    folder.playbook("mail", MAIL);
    (folder, mail)
}

fn plain(more: &str) -> (Folder, MailServer) {
    let mail = MailServer::start(Way::Plain);
    let folder = Folder::and(&format!(
        "smtp: {{ host: 127.0.0.1, port: {}, tls: none, from: sortie@soc.example{more} }}\n",
        mail.port()
    ));
    folder.playbook("mail", MAIL);
    (folder, mail)
}

fn named(id: &str, name: &str) -> Value {
    json!({ "type": "alert.created", "alert": { "id": id, "name": name, "risk_score": 92 } })
}

/// The deliveries, by destination: status and attempts.
fn deliveries(server: &Server) -> Vec<(String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = server
        .items("/v1/deliveries")
        .iter()
        .map(|one| (text(&one["destination"]), text(&one["status"]), one["attempts"].as_u64().unwrap_or_default()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_message_goes_over_tls_with_a_login_and_each_recipient_is_a_delivery() {
    for (way, tls) in [(Way::Tls as fn(_) -> _, "required"), (Way::StartTls, "starttls")] {
        let (folder, mail) = encrypted("", way, tls);
        let server = Server::start_with(&folder, &PASSWORD);
        let name = "Übergriff <img src=x onerror=alert(1)> auf ws-17";
        let run = server.ended_run(&run_id(&server.accepted(&named("A-1", name)), "mail"));
        assert_eq!(run["status"], "succeeded", "{run}");
        let one: Mail = mail.next();
        assert!(one.tls && mail.waiting().is_empty(), "{tls}");
        assert_eq!(one.login.as_deref(), Some(&*format!("\0sortie\0{CANARY}")));
        assert_eq!((one.from.as_str(), one.to.len()), ("sortie@soc.example", 3));
        assert_eq!(one.to, ["soc@example.com", "night@example.com", "boss@example.com"]);
        assert_eq!(one.header("Subject"), format!("[Sortie] {name}"));
        assert_eq!(one.header("Cc"), "boss@example.com");
        assert_eq!(one.part("text/plain"), format!("{name}\r\nscore 92"));
        assert_eq!(one.part("text/html"), "<b>Übergriff &lt;img src=x onerror=alert(1)&gt; auf ws-17</b>");
        assert_eq!(run["steps"][0]["output"]["delivered"], 3);
        let all = deliveries(&server);
        let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["mailto:boss@example.com", "mailto:night@example.com", "mailto:soc@example.com"]);
        assert!(all.iter().all(|(_, status, attempts)| status == "delivered" && *attempts == 1), "{all:?}");
        let id = server.items("/v1/deliveries")[0]["delivery_id"].as_str().unwrap().to_owned();
        let shown = server.client().get(&format!("/v1/deliveries/{id}")).ok(200);
        assert!(shown.to_string().contains("queued as 4711"), "{shown}");
        let outputs = [run.to_string(), shown.to_string(), server.client().get("/v1/audit?limit=1000").text()];
        let (_, log) = server.stop();
        for output in outputs.iter().chain([&log]) {
            assert!(!output.contains(CANARY), "{output}");
        }
        for (path, bytes) in folder.data_files() {
            assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "in {}", path.display());
        }
    }
}

#[test]
fn what_is_put_off_is_tried_again_as_the_same_message_and_what_is_refused_is_not() {
    let (folder, mail) = plain("");
    mail.once(".", "451 4.3.0 try later");
    mail.once("MAIL", "421 busy");
    mail.once("RCPT TO:<night", "550 5.1.1 no such user");
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "mail");
    let run = server.ended_run(&id);
    assert_eq!(run["status"], "failed");
    let why = run["steps"][0]["error"]["message"].as_str().unwrap();
    assert!(why.contains("mailto:night@example.com") && why.contains("no such user") && !why.contains("soc@"), "{why}");
    let first = mail.next();
    assert_eq!(first.to, ["soc@example.com", "boss@example.com"]);
    let all = deliveries(&server);
    assert_eq!(all[0], ("mailto:boss@example.com".into(), "delivered".into(), 3));
    assert_eq!((all[1].1.as_str(), all[2].1.as_str()), ("failed", "delivered"));
    assert!(all[1].2 <= 2, "what is refused for good is not tried again: {all:?}");
    let failed = server.items("/v1/deliveries?status=failed");
    let again = format!("/v1/deliveries/{}/redeliver", failed[0]["delivery_id"].as_str().unwrap());
    server.client().post(&again, &json!({})).ok(200);
    let second = mail.next();
    assert_eq!(second.to, ["night@example.com"], "the others have had theirs");
    assert_eq!(second.text, first.text, "the same message, to the byte");
    assert!(second.header("Message-ID").ends_with("@soc.example>"));
    assert!(deliveries(&server).iter().all(|(_, status, _)| status == "delivered"));
}

#[test]
fn without_tls_where_it_is_asked_for_nothing_is_said_and_an_unknown_certificate_is_refused() {
    let (folder, _) = encrypted("", Way::StartTls, "starttls");
    let bare = MailServer::start(Way::Plain);
    let other = Certificate::make(&folder, "other", "DNS:localhost", 5);
    let stranger = MailServer::start(Way::Tls(other.server_config(&folder)));
    let wrong_name = Certificate::make(&folder, "mail", "DNS:elsewhere.example", 5);
    let elsewhere = MailServer::start(Way::Tls(wrong_name.server_config(&folder)));
    for (server, tls, code) in
        [(&bare, "starttls", "smtp_no_tls"), (&stranger, "required", "tls"), (&elsewhere, "required", "tls")]
    {
        let text = folder.read("sortie.yaml");
        let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("smtp:")).collect();
        let smtp = format!(
            "smtp: {{ host: localhost, port: {}, tls: {tls}, from: s@soc.example, ca: ./mail.ca.pem, auth: {{ user: s, password: \"${{secret:MAIL}}\" }} }}",
            server.port()
        );
        folder.write("sortie.yaml", &format!("{}\n{smtp}\n", kept.join("\n")));
        let running = Server::start_with(&folder, &PASSWORD);
        let id = format!("A-{}", server.port());
        let run = running.ended_run(&run_id(&running.accepted(&alert(&id, 92)), "mail"));
        assert_eq!((&run["status"], &run["steps"][0]["error"]["code"]), (&json!("failed"), &json!(code)), "{run}");
        assert!(server.heard().iter().all(|line| line.starts_with("EHLO")), "{:?}", server.heard());
    }
}

#[test]
fn a_line_break_from_an_event_becomes_neither_header_nor_recipient() {
    let (folder, mail) = plain("");
    folder.playbook(
        "to-user",
        "triggers: [alert.created]\nsteps:\n  - id: mail\n    action: email.send\n    with: { to: \"${{ alert.users[0] }}\", subject: hello, text: x }\n",
    );
    let server = Server::start(&folder);
    for name in ["evil\r\nBcc: mallory@example.org", "evil\nX-Header: 1"] {
        let answer = server.accepted(&named(&format!("A-{}", name.len()), name));
        let run = server.ended_run(&run_id(&answer, "mail"));
        assert_eq!(run["steps"][0]["error"]["code"], "bad_header", "{run}");
    }
    for (n, user) in ["a@example.com\r\nRCPT TO:<mallory@example.org>", "a@example.com>,<mallory@example.org", "a b"]
        .iter()
        .enumerate()
    {
        let event =
            json!({ "type": "alert.created", "alert": { "id": format!("U-{n}"), "name": "x", "users": [user] } });
        let run = server.ended_run(&run_id(&server.accepted(&event), "to-user"));
        assert_eq!(run["status"], "failed", "{run}");
    }
    assert!(!mail.heard().iter().any(|line| line.contains("mallory")), "{:?}", mail.heard());
    assert!(mail.waiting().iter().all(|one| !one.text.contains("mallory") && !one.text.contains("X-Header")));
}

#[test]
fn people_are_told_by_e_mail_when_the_configuration_says_so_and_by_default_nobody_is() {
    let (folder, mail) = plain("");
    folder.playbook("mail", "triggers: [manual]\nsteps:\n  - { id: say, action: log, with: { message: x } }\n");
    let case = |id: &str, more: Value| {
        let mut case = json!({ "id": id, "name": "line\r\nbreak", "stage": "New" });
        case.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        case
    };
    let server = Server::start(&folder);
    server.accepted(&json!({ "type": "case.created", "case": case("C-0", json!({ "assignee": "alice" })) }));
    assert!(server.items("/v1/runs").is_empty() && mail.connections() == 0);
    let wish = json!({ "name": "alice", "on": ["assigned", "closed", "reopened"], "person": "alice", "email": ["alice@example.com"] });
    server.client().post("/v1/notifications", &wish).ok(201);
    let bad = json!({ "name": "bad", "on": ["created"], "email": ["alice@example.com\r\nBcc: x@example.com"] });
    server.client().post("/v1/notifications", &bad).problem(400);
    let subject = |what: &str| {
        let got = mail.next();
        assert_eq!(got.to, ["alice@example.com"]);
        assert!(got.header("Subject").contains("C-1"), "{what}: {}", got.header("Subject"));
        assert!(got.part("text/plain").contains("break"), "{what}");
    };
    server.accepted(&json!({ "type": "case.created", "case": case("C-1", json!({})) }));
    server.accepted(&json!({ "type": "case.updated", "case": { "id": "C-1", "assignee": "bob" } }));
    server.client().patch("/v1/cases/C-1", &json!({ "assignee": "alice" })).ok(200);
    subject("assigned");
    server.client().patch("/v1/cases/C-1", &json!({ "stage": "Closed", "closed_reason": "Low Risk" })).ok(200);
    subject("closed");
    server.client().patch("/v1/cases/C-1", &json!({ "stage": "Investigation" })).ok(200);
    subject("reopened");
    eventually("all runs have ended", || {
        server.items("/v1/runs").iter().all(|run| run["status"] == "succeeded").then_some(())
    });
    assert!(mail.waiting().is_empty());
}

#[test]
fn a_mail_server_that_would_be_unsafe_is_refused_at_the_start() {
    for (smtp, part) in [
        ("{ host: mail.example.com, tls: none, from: a@b.example }", "in the clear"),
        ("{ host: 10.0.0.7, from: a@b.example }", "egress policy"),
        ("{ host: mail.example.com, from: nobody }", "e-mail address"),
        ("{ host: \"smtp://mail.example.com\", from: a@b.example }", "host name"),
        ("{ host: mail.example.com, from: a@b.example, auth: { user: u, password: \"${secret:ABSENT}\" } }", "ABSENT"),
        ("{ host: mail.example.com, from: a@b.example, ca: ./absent.pem }", "cannot be read"),
        ("{ host: mail.example.com, from: a@b.example, verify: false }", "verify"),
    ] {
        let folder = Folder::and(&format!("smtp: {smtp}\n"));
        let Err((status, log)) = Server::try_start(&folder, &[]) else { panic!("it starts with {smtp}") };
        assert_eq!((status.code(), log.contains(part)), (Some(3), true), "{smtp}: {log}");
    }
    let told = "notifications: [{ name: n, on: created, email: a@b.example }]\n";
    let Err((_, log)) = Server::try_start(&Folder::and(told), &[]) else { panic!("nobody could be told") };
    assert!(log.contains("no mail server"), "{log}");
}

#[test]
fn the_name_of_a_mail_server_is_resolved_and_its_address_judged() {
    let mail = MailServer::start(Way::Plain);
    let folder = Folder::and(&format!(
        "smtp: {{ host: localhost, port: {}, tls: none, from: sortie@soc.example }}\n",
        mail.port()
    ));
    let closed = folder.read("sortie.yaml").replace("egress: { allow: [127.0.0.0/8], allow_http: true }", "egress: {}");
    folder.write("sortie.yaml", &closed);
    folder.playbook("mail", MAIL);
    let server = Server::start(&folder);
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "mail"));
    assert_eq!(run["steps"][0]["error"]["code"], "blocked_address", "{run}");
    assert_eq!(mail.connections(), 0);
}

#[test]
fn a_rehearsal_of_a_message_opens_no_connection() {
    let (folder, mail) = plain("");
    folder.write("event.json", &alert("A-1", 92).to_string());
    let out = sortie(&folder, &["dry-run", "mail", "--event", "event.json"]).expect(0).stdout;
    assert!(out.contains("mailto:soc@example.com"), "{out}");
    assert_eq!(mail.connections(), 0);
}
