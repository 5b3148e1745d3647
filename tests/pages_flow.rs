//! What an auditor and an analyst do in a browser from beginning to end, and what attackers try on the way.

use serde_json::json;

use crate::support::command::sortie;
use crate::support::sample::{alert, case, run_id};
use crate::support::{Answer, Browser, Folder, Receiver, Server, eventually};

fn token(folder: &Folder) -> String {
    std::fs::read_to_string(folder.data().join("admin.token")).expect("the first token").trim().to_owned()
}

#[track_caller]
fn sign_in(browser: &mut Browser, server: &Server, token: &str, to: &str) {
    browser.open(&format!("http://{}/sign-in?to={to}", server.client().address()));
    browser.fill("input[name=token]", token);
    browser.click("#with-token button");
}

/// The first bundle that has landed whole in a folder.
fn landed(folder: &std::path::Path) -> std::path::PathBuf {
    eventually("the bundle is saved", || {
        let files = std::fs::read_dir(folder).ok()?.flatten().map(|file| file.path());
        files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "zip"))
    })
}

#[test]
fn an_auditor_takes_evidence_away_in_the_browser_and_verifies_it_where_there_is_no_server() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "");
    folder.playbook(
        "tell",
        "triggers: [alert.created]\nsteps:\n  - { id: send, action: webhook.send_threat_details, with: { to: [desk] } }\n",
    );
    let server = Server::start(&folder);
    let run = run_id(&server.accepted(&alert("A-1", 95)), "tell");
    server.ended_run(&run);
    let made = server.client().post("/v1/tokens", &json!({"name": "auditor", "role": "auditor"})).ok(201);
    sign_in(&mut browser, &server, made["token"].as_str().unwrap(), "%2Faudit");
    browser.click_text("Verify now");
    assert!(browser.text().contains("Nothing is wrong."), "{}", browser.text());
    browser.click_text("Back to the audit trail");

    let saved = tempfile::tempdir().expect("a folder");
    browser.download_to(saved.path());
    browser.ask("document.querySelector('form[data-download]').closest('details').open = true");
    browser.fill("form[data-download] input[name=alert]", "A-1");
    browser.ask("document.querySelector('form[data-download] button').click()");
    let bundle = landed(saved.path());
    eventually("the page says so", || browser.text().contains("is saved. Check it with").then_some(()));
    // A machine that has never seen the server: a folder of its own, and nothing running.
    let elsewhere = Folder::new();
    let path = bundle.to_str().unwrap();
    let verified = sortie(&elsewhere, &["audit", "verify", path]).expect(0);
    assert!(verified.stdout.contains("entries"), "{}", verified.stdout);
    let mut bytes = std::fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    assert_ne!(sortie(&elsewhere, &["audit", "verify", path]).status.code(), Some(0), "a changed bundle is found out");

    // The same for one run, from its own page, by a plain link.
    let again = tempfile::tempdir().expect("a folder");
    browser.open(&format!("http://{}/runs/{run}", server.client().address()));
    browser.download_to(again.path());
    browser.ask("[...document.querySelectorAll('a')].find((a) => a.innerText === 'Evidence').click()");
    sortie(&elsewhere, &["audit", "verify", landed(again.path()).to_str().unwrap()]).expect(0);
}

#[test]
fn a_playbook_is_tested_tried_on_the_past_and_rehearsed_in_the_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = Folder::and("auth: none\n");
    folder.destinations(&receiver, &["desk"], "");
    let rest = |score: u64| {
        format!(
            "triggers:\n  - alert.created: {{ when: alert.risk_score >= {score} }}\nsteps:\n  - {{ id: send, action: webhook.send_threat_details, with: {{ to: [desk] }} }}\n\
             tests:\n  - name: a high one is sent\n    event: {{ type: alert.created, alert: {{ id: A-1, risk_score: 95 }} }}\n    expect: {{ verdict: matched }}\n"
        )
    };
    folder.playbook("tell", &rest(90));
    folder.write(
        "playbooks/tell.test.yaml",
        "playbook: tell\ntests:\n  - name: a low one is not\n    event: { type: alert.created, alert: { id: A-2, risk_score: 5 } }\n    expect: { verdict: matched }\n",
    );
    let server = Server::start(&folder);
    for (id, score) in [("A-1", 95), ("A-2", 92), ("A-3", 50), ("A-4", 60)] {
        server.accepted(&alert(id, score));
    }
    receiver.next();
    receiver.next();
    let at = format!("http://{}", server.client().address());
    browser.open(&format!("{at}/playbooks/tell"));
    browser.click_text("Run the tests");
    let text = browser.text();
    assert!(text.contains("1 failed") && text.contains("a low one is not"), "{text}");
    assert!(text.contains("expected matched, got not_matched"), "{text}");
    folder.write(
        "playbooks/tell.test.yaml",
        &folder.read("playbooks/tell.test.yaml").replace("verdict: matched", "verdict: not_matched"),
    );
    browser.click_text("Run the tests again");
    assert!(browser.text().contains("2 passed"), "{}", browser.text());

    browser.click_text("Try it");
    let text = browser.text();
    assert!(text.contains("4 events"), "{text}");
    let row = browser.ask("[...document.querySelectorAll('tr.sum td')].map((e) => e.innerText)");
    assert_eq!(row, json!(["2", "2"]), "matched, not matched: {text}");
    let other = format!("playbook: tell\n{}", rest(55));
    browser.ask("document.querySelector('textarea[name=text]').closest('details').open = true");
    browser.fill("textarea[name=text]", &other);
    browser.click_text("Try it");
    let text = browser.text();
    assert!(
        text.contains("Events that the two texts decide differently") && text.contains("The text in force"),
        "{text}"
    );
    assert_eq!(
        browser.ask("document.querySelectorAll('section[aria-labelledby=named] tbody tr').length"),
        1,
        "A-4: {text}"
    );
    browser.fill("textarea[name=text]", &other.replace("risk_score", "risk_scor"));
    browser.click_text("Try it");
    assert!(browser.text().contains("not a playbook that could be loaded"), "{}", browser.text());

    browser.open(&format!("{at}/playbooks/tell"));
    browser.ask("document.querySelector('select[name=what]').value = 'alert'");
    browser.fill("#by-hand ~ form input[name=id]", "A-3");
    browser.click_text("Rehearse, do nothing");
    assert!(browser.text().contains("Would have been sent"), "{}", browser.text());
    assert!(receiver.waiting().is_empty(), "nothing was sent by any of it");
}

fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

fn form(server: &Server, path: &str, cookie: &str, body: &str) -> Answer {
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", cookie), ("Accept", "text/html")];
    server.client().anonymous().request("POST", path, &headers, body.as_bytes())
}

fn page(server: &Server, path: &str, cookie: &str) -> Answer {
    server.client().anonymous().request("GET", path, &[("Cookie", cookie), ("Accept", "text/html")], b"")
}

#[test]
fn a_question_is_answered_once_not_by_who_asked_and_never_by_a_guess() {
    let folder = Folder::new();
    folder.playbook(
        "ask",
        "triggers: [manual]\nsteps:\n  - id: ask\n    approve: { ask: \"Sure?\", by: approver, deadline: 4h, on_deadline: deny }\n  - { id: done, action: log, with: { message: done } }\n",
    );
    let server = Server::start(&folder);
    let session = |role: &str| {
        let made = server.client().post("/v1/tokens", &json!({"name": format!("the-{role}"), "role": role})).ok(201);
        let token = made["token"].as_str().unwrap().to_owned();
        (token.clone(), cookie(&form(&server, "/sign-in", "", &format!("token={token}&to=%2F")).expect(303)))
    };
    let (admin, requester) = session("admin");
    let (_, approver) = session("approver");
    let (_, analyst) = session("analyst");
    let started = server.client().with_token(&admin).post("/v1/playbooks/ask/run", &json!({})).ok(202);
    let run = started["run_id"].as_str().unwrap().to_owned();
    let id = eventually("the question", || {
        server.items("/v1/approvals").first().map(|one| one["approval_id"].as_str().unwrap().to_owned())
    });
    let word = |cookie: &str| {
        let text = page(&server, "/approvals", cookie).expect(200).text();
        text.split("name=\"csrf\" value=\"").nth(1).expect("a form").split('"').next().unwrap().to_owned()
    };
    let answer = |cookie: &str, id: &str| {
        form(&server, &format!("/approvals/{id}"), cookie, &format!("csrf={}&decision=approve", word(cookie)))
    };
    assert_eq!(answer(&requester, &id).status, 403, "four eyes: not by who started it");
    assert_eq!(answer(&analyst, &id).status, 403, "not by a role that may not");
    assert!([400, 404].contains(&answer(&approver, "apr-0000000001-0-000000-1").status), "a guess opens nothing");
    assert_eq!(
        form(&server, &format!("/approvals/{id}"), "", "decision=approve").status,
        303,
        "without a session: to sign in"
    );
    assert_eq!(server.client().get(&format!("/v1/runs/{run}")).ok(200)["status"], "waiting");
    answer(&approver, &id).expect(303);
    assert_eq!(server.ended_run(&run)["status"], "succeeded");
    let again = answer(&approver, &id);
    assert!([404, 409].contains(&again.status), "a link is used once: {}", again.status);
}

#[test]
fn signing_in_leads_to_this_server_and_nowhere_else() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let token = token(&folder);
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    for to in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/%0d%0aSet-Cookie: a=b",
        "/\r\nLocation: https://evil.example",
        " //evil.example",
        "/.//evil.example\u{202e}",
    ] {
        let shown = page(&server, &format!("/sign-in?to={}", encode(to)), "").expect(200).text();
        let kept = shown.split("name=\"to\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let answer = form(&server, "/sign-in", "", &format!("token={token}&to={}", encode(to))).expect(303);
        let location = answer.header("location").unwrap().to_owned();
        for place in [&kept, &location] {
            let own = place.starts_with('/') && !place.starts_with("//") && !place.contains('\\');
            assert!(own && !place.bytes().any(|b| b.is_ascii_control()), "{to:?} leads to {place:?}");
        }
        assert_eq!(answer.header("set-cookie").map(|cookie| cookie.contains("a=b")), Some(false));
    }
}

#[test]
fn no_file_is_served_by_a_name_that_climbs() {
    let folder = Folder::and("auth: none\n");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    for path in [
        "/static/..%2f..%2fsortie.yaml",
        "/static/%2e%2e%2fadmin.token",
        "/static/..%252f..%252fadmin.token",
        "/static/....//sortie.css",
        "/cases/C-1/files/..%2f..%2fadmin.token",
        "/cases/C-1/files/%2e%2e%5cadmin.token",
        "/cases/..%2fC-1/files/x",
        "/static/sortie.css%00.js",
    ] {
        let answer = server.client().anonymous().request("GET", path, &[("Accept", "text/html")], b"");
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.text().contains("listen:"), "{path}");
    }
}

/// Pages that show what was written, by fixed addresses.
const SHOW_IT: [&str; 12] = [
    "/",
    "/runs",
    "/events",
    "/alerts",
    "/alerts?search=mine",
    "/alerts/A-1",
    "/watchlist",
    "/playbooks",
    "/playbooks/ask",
    "/approvals",
    "/audit",
    "/deliveries",
];

/// Writes hostile text wherever an event or a person can, and answers the pages that show it.
fn written_everywhere(server: &Server) -> Vec<String> {
    let client = server.client();
    let evil = "<img src=x onerror=\"window.pwned=1;alert(1)\"><svg onload=window.pwned=1></script><script>window.pwned=1</script>";
    let mut event = alert("A-1", 95);
    for field in ["name", "description", "threat_summary", "link"] {
        event["alert"][field] = json!(evil);
    }
    for field in ["users", "endpoints", "tags", "mitres", "use_cases", "src_ips"] {
        event["alert"][field] = json!([evil]);
    }
    event["alert"]["extra"] = json!({ evil: evil });
    let made = server.accepted(&event);
    let run = run_id(&made, "ask");
    eventually("the question", || (!server.items("/v1/approvals").is_empty()).then_some(()));
    client.post("/v1/alerts/A-1/comments", &json!({"text": evil})).ok(201);
    client.post("/v1/watchlist", &json!({"kind": "user", "id": evil, "reason": evil})).ok(201);
    let word = evil.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    client
        .post(&format!("/v1/entities/host/{word}/mute"), &json!({"until": "2099-01-01T00:00:00Z", "reason": evil}))
        .ok(200);
    let name = evil.replace('/', "");
    let encoded = name.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    client
        .request(
            "POST",
            &format!("/v1/alerts/A-1/attachments?name={encoded}"),
            &[("Content-Type", "text/html")],
            evil.as_bytes(),
        )
        .expect(201);
    client
        .post(
            "/v1/searches",
            &json!({"name": "mine", "about": "alerts", "q": format!("\"{}\"", evil.replace('"', "'"))}),
        )
        .ok(201);
    client.post("/v1/pause", &json!({"scope": "outbound", "reason": evil})).ok(200);
    client.anonymous().request("POST", "/v1/in/exabeam", &[("Content-Type", "application/json")], evil.as_bytes());
    let delivery = server.items("/v1/deliveries")[0]["delivery_id"].as_str().unwrap().to_owned();
    let unread = server
        .items("/v1/events?type=exabeam.unreadable")
        .first()
        .map(|one| one["event_id"].as_str().unwrap().to_owned());
    let mut all: Vec<String> = SHOW_IT.map(str::to_owned).to_vec();
    all.extend([
        format!("/runs/{run}"),
        format!("/events/{}", made["event_id"].as_str().unwrap()),
        format!("/deliveries/{delivery}"),
    ]);
    all.extend(unread.map(|id| format!("/events/{id}")));
    for key in ["q", "tag", "priority", "search", "sort", "cursor", "tenant", "since"] {
        all.push(format!("/alerts?{key}={word}"));
    }
    all.extend([
        format!("/destinations/{word}"),
        format!("/playbooks/ask?version={word}"),
        format!("/audit?actor={word}&object={word}"),
        format!("/?done={word}"),
    ]);
    all
}

#[test]
fn nothing_that_people_write_runs_on_any_page_that_shows_it() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = Folder::and("auth: none\n");
    folder.destinations(&receiver, &["desk"], "");
    folder.playbook(
        "ask",
        "name: \"<img src=x onerror=window.pwned=1>\"\ndescription: \"</title><script>window.pwned=1</script>\"\ntriggers: [alert.created]\nsteps:\n  \
         - { id: say, action: log, with: { message: \"${{ alert.name }}\" } }\n  \
         - { id: tell, action: webhook.send_threat_details, with: { to: [desk] }, on_error: continue }\n  \
         - id: ask\n    approve: { ask: \"Isolate ${{ alert.name }}?\", by: approver, deadline: 4h, on_deadline: deny }\n",
    );
    let server = Server::start(&folder);
    let paths = written_everywhere(&server);
    let at = format!("http://{}", server.client().address());
    for path in paths {
        browser.open(&format!("{at}{path}"));
        browser.nothing_ran(&path);
        assert_eq!(
            browser.ask("document.querySelectorAll('main img, main svg[onload], main script').length"),
            0,
            "{path}"
        );
        // What is folded away is opened, as a person would.
        browser.ask("document.querySelectorAll('details').forEach((e) => { e.open = true; })");
        browser.nothing_ran(&path);
    }
}
