//! The pages, in a real browser and over plain requests.

use serde_json::json;

use crate::support::command::sortie;
use crate::support::sample::{alert, case, run_id};
use crate::support::{Answer, Browser, Folder, Receiver, Server, eventually};

/// A playbook that sends critical cases of one technique, and one that listens to all cases.
fn desk(receiver: &Receiver, auth: &str) -> Folder {
    let folder = Folder::and(&format!("auth: {auth}\n"));
    folder.destinations(receiver, &["soc-desk", "siem"], "");
    folder.playbook(
        "notify-desk",
        "triggers:\n  - case.stage_changed: { from: New, to: Investigation }\nwhen: case.priority == \"critical\"\n\
         steps:\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [soc-desk] }\n",
    );
    folder
}

/// A cookie of a session, for requests without a browser.
fn signed_in(server: &Server, token: &str) -> String {
    let body = format!("token={token}&to=%2F");
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = server.client().anonymous().request("POST", "/sign-in", &kind, body.as_bytes()).expect(303);
    answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

fn one_time(folder: &Folder) -> String {
    std::fs::read_to_string(folder.data().join("admin.password")).expect("the first password")
}

/// A try to sign in with a name and a password.
fn try_password(server: &Server, name: &str, password: &str) -> Answer {
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let body = format!("name={}&password={}&to=%2F", encode(name), encode(password));
    let kind = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")];
    server.client().anonymous().request("POST", "/sign-in", &kind, body.as_bytes())
}

fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

fn with_cookie(server: &Server, path: &str, cookie: &str) -> Answer {
    server.client().anonymous().request("GET", path, &[("Cookie", cookie), ("Accept", "text/html")], b"")
}

fn admin(folder: &Folder) -> String {
    std::fs::read_to_string(folder.data().join("admin.token")).expect("the first token").trim().to_owned()
}

#[test]
fn a_person_signs_in_finds_a_run_by_case_runs_it_again_and_sends_the_case() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = desk(&receiver, "required");
    let server = Server::start(&folder);
    server.accepted(&case(
        "case.created",
        json!({"id": "C-7", "stage": "New", "priority": "critical", "name": "Odd login"}),
    ));
    let answer = server.accepted(&case("case.updated", json!({"id": "C-7", "stage": "Investigation"})));
    let run = run_id(&answer, "notify-desk");
    server.ended_run(&run);
    let at = format!("http://{}", server.client().address());

    browser.open(&format!("{at}/runs"));
    assert!(browser.path().starts_with("/sign-in?to="), "{}", browser.path());
    browser.fill("input[name=name]", "admin");
    browser.fill("input[name=password]", one_time(&folder).trim());
    browser.click("#with-password button");
    assert_eq!(browser.path(), "/account", "a password for one use leads to choosing another, and nowhere else");
    for field in ["new", "again"] {
        browser.fill(&format!("input[name={field}]"), "a long enough password");
    }
    browser.fill("input[name=current]", one_time(&folder).trim());
    browser.click_text("Change the password");
    assert!(browser.text().contains("The password is changed"), "{}", browser.text());
    browser.open(&format!("{at}/runs"));

    browser.fill("input[name=case]", "C-7");
    browser.click("form[role=search] button");
    browser.click_text("notify-desk");
    assert_eq!(browser.path(), format!("/runs/{run}"));
    let text = browser.text();
    for words in ["Succeeded", "webhook.send_threat_details", "soc-desk", "Why it ran"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    browser.click_text("Run again");
    assert!(browser.path().contains("done=again") && !browser.path().contains(&run), "{}", browser.path());
    assert!(browser.text().contains(&run), "the old run is linked");

    browser.open(&format!("{at}/cases/C-7"));
    browser.ask("document.getElementById('do-send').open = true");
    browser.ask("document.querySelector('input[value=siem]').click()");
    browser.click_text("Send");
    assert!(browser.path().contains("done=sent"), "{}", browser.path());
    let received = std::iter::repeat_with(|| receiver.next()).take(3).filter(|one| one.json()["case_id"] == "C-7");
    assert_eq!(received.count(), 3, "the run, its repeat, and the sending by hand");
    browser.click_text("Sign out");
    browser.open(&format!("{at}/runs"));
    assert!(browser.path().starts_with("/sign-in"), "{}", browser.path());
}

#[test]
fn a_person_sees_why_a_playbook_did_not_run_and_is_led_to_its_line() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = desk(&receiver, "none");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-8", "stage": "New", "priority": "low"})));
    let answer = server.accepted(&case("case.updated", json!({"id": "C-8", "stage": "Investigation"})));
    browser.open(&format!("http://{}/events/{}", server.client().address(), answer["event_id"].as_str().unwrap()));
    let text = browser.text();
    assert!(text.contains("One playbook listens to this kind of event. It did not run."), "{text}");
    assert!(text.contains("case.priority is \"low\""), "{text}");
    let line = browser.ask("document.querySelector('td a[href*=\"#L\"]').getAttribute('href')");
    let pinned = line.as_str().unwrap().starts_with("/playbooks/notify-desk?version=");
    assert!(pinned, "the line of the text that decided: {line}");
    // In the reader's zone, with the instant in UTC at hand.
    let title = browser.ask("document.querySelector('time').title");
    assert!(title.as_str().unwrap().ends_with(" UTC"), "{title}");
}

#[test]
fn nothing_that_an_event_carries_runs_as_a_script() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = desk(&receiver, "none");
    let server = Server::start(&folder);
    let attacks = [
        "<img src=x onerror=\"window.pwned=1;alert(1)\">",
        "</title></script><script>window.pwned=1</script>",
        "\"><svg onload=window.pwned=1>",
        "javascript:window.pwned=1",
        "<style>*{background:url(javascript:window.pwned=1)}</style>",
        "' onmouseover='window.pwned=1' x='",
        "\u{202e}txt.exe\u{1b}[31m",
    ];
    let mut paths = vec![
        "/".to_owned(),
        "/runs".to_owned(),
        "/events".to_owned(),
        "/cases".to_owned(),
        "/alerts".to_owned(),
        "/audit".to_owned(),
        "/deliveries".to_owned(),
    ];
    for (n, attack) in attacks.iter().enumerate() {
        let id: String = attack.chars().filter(|c| !c.is_control()).chain(n.to_string().chars()).collect();
        let fields = json!({"id": id, "stage": "New", "priority": "critical", "name": attack, "description": attack,
            "assignee": attack, "queue": attack, "tags": [attack], "link": attack, "users": [attack], attack.to_owned(): attack,
            "detections": [{"id": attack, "description": attack, "rules": [attack]}]});
        let made = server.event(&case("case.created", fields));
        assert!([200, 202].contains(&made.status), "{}", made.text());
        paths.push(format!("/events/{}", made.json()["event_id"].as_str().unwrap()));
        let moved = server.event(&case("case.updated", json!({"id": id, "stage": "Investigation"}))).json();
        if let Some(run) = moved["decisions"][0]["run_id"].as_str() {
            paths.push(format!("/runs/{run}"));
        }
        let plain = json!({"type": "vendor.said", "data": {attack.to_owned(): attack}});
        paths.push(format!("/events/{}", server.event(&plain).json()["event_id"].as_str().unwrap()));
    }
    let at = format!("http://{}", server.client().address());
    browser.open(&format!("{at}/cases"));
    let links = browser.ask("[...document.querySelectorAll('td a')].map((a) => a.getAttribute('href'))");
    let links: Vec<String> = links.as_array().unwrap().iter().map(|link| link.as_str().unwrap().to_owned()).collect();
    assert!(links.len() >= attacks.len(), "{links:?}");
    paths.extend(links);
    for attack in attacks {
        let word = attack.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        paths.extend([
            format!("/runs?case={word}"),
            format!("/runs/{word}"),
            format!("/{word}"),
            format!("/sign-in?to={word}"),
        ]);
    }
    for path in paths {
        assert!(path.starts_with('/') && !path.starts_with("//"), "a link leads elsewhere: {path}");
        browser.open(&format!("{at}{path}"));
        browser.nothing_ran(&path);
        let inline =
            "document.querySelectorAll('script:not([src]), [onerror], [onload], [onmouseover], style, [style]').length";
        assert_eq!(browser.ask(inline), 0, "{path}");
        let foreign =
            "[...document.querySelectorAll('a[href]')].filter((a) => !['http:', 'https:'].includes(a.protocol)).length";
        assert_eq!(browser.ask(foreign), 0, "{path}");
    }
}

#[test]
fn a_page_can_be_walked_with_the_keyboard_and_every_field_has_a_name() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = desk(&receiver, "none");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-9", "stage": "New", "priority": "critical"})));
    let at = format!("http://{}", server.client().address());
    browser.open(&format!("{at}/cases/C-9"));
    browser.press("Tab", 9);
    assert_eq!(browser.ask("document.activeElement.className"), "skip", "the first stop leads to the content");
    let mut stops = Vec::new();
    for _ in 0..3 {
        browser.press("Tab", 9);
        stops.push(browser.ask("document.activeElement.innerText"));
    }
    assert_eq!(json!(stops), json!(["Sortie", "local, admin", "Overview"]));
    let nameless = "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter((e) => e.labels.length === 0).length \
        + [...document.querySelectorAll('button')].filter((e) => e.textContent.trim() === '').length";
    for path in [
        "/cases/C-9",
        "/cases",
        "/runs",
        "/events",
        "/alerts",
        "/playbooks",
        "/playbooks/notify-desk",
        "/destinations",
        "/destinations/siem",
        "/deliveries",
        "/audit",
        "/account",
    ] {
        browser.open(&format!("{at}{path}"));
        assert_eq!(browser.ask(nameless), 0, "{path}");
        assert_eq!(browser.ask("document.documentElement.lang"), "en");
        assert_eq!(browser.ask("document.querySelectorAll('h1').length"), 1, "{path}");
    }
}

#[test]
fn a_form_from_elsewhere_or_of_another_session_does_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let (mine, other) = (signed_in(&server, &admin(&folder)), signed_in(&server, &admin(&folder)));
    let page = |cookie: &str| {
        let headers = [("Cookie", cookie), ("Accept", "text/html")];
        server.client().anonymous().request("GET", "/cases/C-1", &headers, b"").expect(200).text()
    };
    let word = |cookie: &str| {
        let text = page(cookie);
        let start = text.find("name=\"csrf\" value=\"").expect("a form") + 19;
        text[start..].split('"').next().unwrap().to_owned()
    };
    let host = server.client().address().to_string();
    let send = |cookie: &str, word: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("Cookie", cookie), ("Content-Type", "application/x-www-form-urlencoded")];
        headers.extend_from_slice(more);
        let body = format!("csrf={word}&text=hello");
        server.client().anonymous().request("POST", "/cases/C-1/comment", &headers, body.as_bytes())
    };
    let good = word(&mine);
    assert_ne!(good, word(&other));
    assert_eq!(send(&mine, "", &[]).problem(403), "other_session");
    assert_eq!(send(&mine, &word(&other), &[]).problem(403), "other_session");
    for origin in ["null", "https://evil.example", "http://evil.example"] {
        assert_eq!(send(&mine, &good, &[("Origin", origin)]).problem(403), "cross_site", "{origin}");
    }
    for site in ["cross-site", "same-site"] {
        let own = format!("http://{host}");
        let headers = [("Sec-Fetch-Site", site), ("Origin", own.as_str())];
        assert_eq!(send(&mine, &good, &headers).problem(403), "cross_site", "{site}");
    }
    let comments = || {
        let history = server.items("/v1/cases/C-1/history");
        history.iter().filter(|moment| moment["type"] == "case.commented").count()
    };
    assert_eq!(comments(), 0);
    send(&mine, &good, &[("Origin", &format!("http://{host}")), ("Sec-Fetch-Site", "same-origin")]).expect(303);
    assert_eq!(comments(), 1);
}

#[test]
fn the_api_takes_no_cookie_and_a_session_ends_with_its_token() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let made = server.client().post("/v1/tokens", &json!({"name": "bob", "role": "viewer"})).ok(201);
    let cookie = signed_in(&server, made["token"].as_str().unwrap());
    let ask = |path: &str| server.client().anonymous().request("GET", path, &[("Cookie", &cookie)], b"");
    assert_eq!(ask("/v1/runs").problem(401), "unauthenticated");
    ask("/runs").expect(200);
    server.client().request("DELETE", "/v1/tokens/bob", &[], b"").expect(200);
    assert_eq!(ask("/runs").problem(401), "unauthenticated");
}

#[test]
fn guessing_on_the_page_of_signing_in_is_slowed_down_and_recorded() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let kind = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")];
    let guess = |n: usize| {
        let body = format!("token=sortie_guess{n}&to=//evil.example");
        server.client().anonymous().request("POST", "/sign-in", &kind, body.as_bytes())
    };
    let statuses: Vec<u16> = (0..12).map(|n| guess(n).status).collect();
    assert_eq!(statuses, [&[401; 10][..], &[429; 2]].concat());
    assert!(!guess(99).text().contains("evil.example"), "where to go is a path of this server");
    let trail = server.items("/v1/audit?action=refused");
    assert!(trail.len() >= 12 && !json!(trail).to_string().contains("guess"), "{}", trail.len());
    assert!(trail.iter().all(|entry| entry["detail"]["path"] == "/sign-in"));
}

#[test]
fn every_page_says_that_it_is_html_and_forbids_everything_it_does_not_need() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let cookie = signed_in(&server, &admin(&folder));
    for path in [
        "/",
        "/runs",
        "/events",
        "/cases",
        "/alerts",
        "/playbooks",
        "/destinations",
        "/deliveries",
        "/audit",
        "/account",
        "/sign-in",
        "/nowhere",
        "/runs/none",
    ] {
        let headers = [("Cookie", cookie.as_str()), ("Accept", "text/html,*/*")];
        let answer = server.client().anonymous().request("GET", path, &headers, b"");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}

#[test]
fn the_first_start_makes_an_administrator_whose_password_opens_only_the_choice_of_another() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let server = Server::start(&folder);
    let file = folder.data().join("admin.password");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let password = one_time(&folder).trim().to_owned();
    assert!(!server.log().text().contains(&password), "the log says where it is, not what it is");
    let first = cookie_of(&try_password(&server, "admin", &password).expect(303));
    for path in ["/", "/runs", "/audit"] {
        assert_eq!(with_cookie(&server, path, &first).expect(303).header("location"), Some("/account"), "{path}");
    }
    let page = with_cookie(&server, "/account", &first).expect(200).text();
    let word = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let change = |current: &str, new: &str, again: &str| {
        let body = format!("csrf={word}&current={current}&new={new}&again={again}");
        let headers = [("Cookie", first.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        server.client().anonymous().request("POST", "/account/password", &headers, body.as_bytes())
    };
    assert_eq!(change(&password, "short", "short").problem(400), "invalid_password");
    assert_eq!(change(&password, "a+long+enough+one", "another+long+one").problem(400), "invalid_form");
    assert_eq!(change("wrong", "a+long+enough+one", "a+long+enough+one").problem(401), "wrong_secret");
    assert_eq!(change(&password, &password, &password).problem(400), "invalid_password");
    let second = cookie_of(&change(&password, "a+long+enough+one", "a+long+enough+one").expect(303));
    assert!(!file.exists(), "what opens nothing is not kept");
    with_cookie(&server, "/runs", &second).expect(200);
    assert_eq!(with_cookie(&server, "/runs", &first).expect(303).header("location"), Some("/sign-in?to=%2Fruns"));
    try_password(&server, "admin", &password).expect(401);
    try_password(&server, "admin", "a long enough one").expect(303);
    let trail = server.items("/v1/audit?actor=user:admin");
    let actions: Vec<&str> = trail.iter().filter_map(|entry| entry["action"].as_str()).collect();
    assert!(actions.contains(&"signed_in") && actions.contains(&"user.password_changed"), "{actions:?}");
    drop(server);
    // No second one is made.
    let again = Server::start(&folder);
    assert!(!file.exists());
    try_password(&again, "admin", "a long enough one").expect(303);
    for (path, bytes) in folder.data_files() {
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!has("a long enough one") && !has(&password), "{}", path.display());
    }
}

#[test]
fn a_user_may_what_the_role_says_and_nothing_after_being_deleted() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let made = sortie(&folder, &["users", "create", "--name", "vera", "--role", "viewer"]).expect(0);
    let password = made.stdout.trim().to_owned();
    let cookie = cookie_of(&try_password(&server, "vera", &password).expect(303));
    let page = with_cookie(&server, "/account", &cookie).expect(200).text();
    let word = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let headers = [("Cookie", cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("csrf={word}&current={password}&new=vera+and+her+dog&again=vera+and+her+dog");
    let changed = server.client().anonymous().request("POST", "/account/password", &headers, body.as_bytes());
    let cookie = cookie_of(&changed.expect(303));
    let page = with_cookie(&server, "/cases/C-1", &cookie).expect(200).text();
    assert!(!page.contains("What you can do"), "no button that does not work");
    assert!(!page.contains("href=\"/audit\""), "no link that leads to a refusal");
    let word = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let headers = [("Cookie", cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("csrf={word}&text=hello");
    let refused = server.client().anonymous().request("POST", "/cases/C-1/comment", &headers, body.as_bytes());
    assert_eq!(refused.problem(403), "forbidden");
    assert!(with_cookie(&server, "/audit", &cookie).expect(403).text().contains("You may not do this"));
    let listed = sortie(&folder, &["users", "list", "--json"]).expect(0).json();
    assert!(listed.to_string().contains("vera") && !listed.to_string().contains("argon2"), "{listed}");
    sortie(&folder, &["users", "delete", "vera"]).expect(0);
    with_cookie(&server, "/cases/C-1", &cookie).expect(303);
    try_password(&server, "vera", "vera and her dog").expect(401);
}

#[test]
fn passwords_are_guessed_slowly_and_unknown_names_look_like_known_ones() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let known = try_password(&server, "admin", "wrong wrong wrong").expect(401).text();
    let unknown = try_password(&server, "nobody", "wrong wrong wrong").expect(401).text();
    assert_eq!(known, unknown);
    for _ in 0..8 {
        try_password(&server, "admin", "wrong").expect(401);
    }
    let waits = try_password(&server, "admin", one_time(&folder).trim());
    assert!(waits.header("retry-after").is_some(), "a right password waits too: {}", waits.status);
    assert_eq!(waits.status, 429);
}

#[test]
fn a_person_answers_the_question_of_a_playbook_and_pauses_and_resumes_automation() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = desk(&receiver, "required");
    folder.playbook(
        "isolate",
        "triggers: [alert.created]\nsteps:\n  - id: ask\n    approve: { ask: \"Isolate ${{ alert.id }}?\", by: approver, \
         fields: { reason: { type: string, required: true } }, deadline: 4h, on_deadline: deny }\n  - id: note\n    action: log\n    \
         with: { message: done }\n",
    );
    let server = Server::start(&folder);
    let made = server.accepted(&alert("A-9", 50));
    let run = run_id(&made, "isolate");
    let at = format!("http://{}", server.client().address());
    browser.open(&format!("{at}/sign-in?to=%2Fapprovals"));
    browser.fill("input[name=token]", &admin(&folder));
    browser.click("#with-token button");
    eventually("the question", || {
        browser.open(&format!("{at}/approvals"));
        browser.text().contains("Isolate A-9?").then_some(())
    });
    browser.fill("input[name=field-reason]", "it <b>beacons</b>");
    browser.click_text("Approve");
    assert!(browser.text().contains("Approved. The run goes on."), "{}", browser.text());
    assert_eq!(server.ended_run(&run)["status"], "succeeded");
    browser.open(&format!("{at}/runs/{run}"));
    browser.nothing_ran("the run");

    browser.open(&format!("{at}/"));
    browser.fill("input[name=reason]", "a bad rule");
    browser.click("form[action='/pause'] button");
    assert!(browser.text().contains("All automation is paused"), "{}", browser.text());
    assert_eq!(server.client().get("/v1/status").ok(200)["paused"]["reason"], "a bad rule");
    browser.click_text("Resume");
    assert!(browser.text().contains("The pause is lifted"), "{}", browser.text());
}
