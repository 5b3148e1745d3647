//! Every page in a real browser, empty and full, narrow and wide, light and dark: labelled, in order, readable, within its
//! width, without a script of its own; and with plain forms alone, without any script.

use serde_json::{Value, json};

use crate::support::sample::{alert, case, run_id};
use crate::support::{Answer, Browser, Folder, Receiver, Server, eventually};

/// What is wrong with a page, as a list of words. It looks at what a reader and a screen reader get.
const LOOK: &str = r#"(() => {
  const found = [];
  const shown = (e) => e.getClientRects().length > 0;
  const name = (e) => (e.getAttribute('aria-label') || e.textContent || e.value || [...e.querySelectorAll('img')].map((i) => i.alt).join('')).trim();
  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    if (e.labels.length === 0 && !e.getAttribute('aria-label')) found.push(`no label: ${e.outerHTML.slice(0, 90)}`);
    else if (e.labels.length && ![...e.labels[0].childNodes].some((n) => n !== e && n.textContent.trim())) found.push(`an empty label: ${e.name}`);
  }
  for (const e of document.querySelectorAll('a[href], button')) if (shown(e) && name(e) === '') found.push(`no name: ${e.outerHTML.slice(0, 90)}`);
  for (const e of document.querySelectorAll('img:not([alt])')) found.push(`no alt: ${e.src}`);
  if (document.querySelectorAll('h1').length !== 1) found.push(`${document.querySelectorAll('h1').length} h1`);
  let level = 0;
  for (const e of document.querySelectorAll('h1, h2, h3, h4')) {
    const now = Number(e.tagName[1]);
    if (now > level + 1) found.push(`h${now} after h${level}: ${e.innerText.slice(0, 40)}`);
    level = now;
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of new Set(ids.filter((id, n) => ids.indexOf(id) !== n))) found.push(`twice the id ${id}`);
  for (const e of document.querySelectorAll('[aria-labelledby]')) if (!document.getElementById(e.getAttribute('aria-labelledby'))) found.push(`labelled by nothing: ${e.getAttribute('aria-labelledby')}`);
  for (const e of document.querySelectorAll('th:not([scope])')) found.push(`a heading of a table without scope: ${e.innerText}`);
  for (const e of document.querySelectorAll('script:not([src]), style, [style], [onclick], [onload], [onerror]')) found.push(`inline: ${e.outerHTML.slice(0, 60)}`);
  for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) found.push(`an order of its own: ${e.outerHTML.slice(0, 60)}`);
  if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth} of ${innerWidth}`);
  if (!document.title.includes('Sortie')) found.push('no title');
  if (document.documentElement.lang !== 'en') found.push('no language');
  // Contrast, as WCAG 2.2 counts it.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (top, below) => { const a = top[3] + below[3] * (1 - top[3]); return [0, 1, 2].map((n) => (top[n] * top[3] + below[n] * below[3] * (1 - top[3])) / (a || 1)).concat(a); };
  const light = (c) => { const v = c.slice(0, 3).map((x) => { x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const behind = (e) => { const all = []; for (let n = e; n; n = n.parentElement) all.push(rgba(getComputedStyle(n).backgroundColor)); let c = [255, 255, 255, 1]; for (const next of all.reverse()) c = over(next, c); return c; };
  const seen = new Set();
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !shown(e) || e.closest('svg, option, .skip, .hidden')) continue;
    const style = getComputedStyle(e);
    let opacity = 1;
    for (let n = e; n; n = n.parentElement) opacity *= Number(getComputedStyle(n).opacity);
    const below = behind(e);
    const ink = rgba(style.color); ink[3] *= opacity;
    const [a, b] = [light(over(ink, below)), light(below)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    const key = `${style.color} on ${below.map(Math.round)}`;
    if (ratio < (large ? 3 : 4.5) && !seen.has(key)) { seen.add(key); found.push(`contrast ${ratio.toFixed(2)}, ${key}: ${e.textContent.trim().slice(0, 30)}`); }
  }
  return found;
})()"#;

/// Looks at pages in four ways.
#[track_caller]
fn look(browser: &mut Browser, server: &Server, paths: &[String]) {
    let at = format!("http://{}", server.client().address());
    let mut wrong = Vec::new();
    for (width, dark) in [(390, false), (1_280, true)] {
        browser.emulate(width, dark);
        for path in paths {
            browser.open(&format!("{at}{path}"));
            let found = browser.ask(LOOK);
            if found != json!([]) {
                wrong.push(format!("{path} at {width}, dark: {dark}: {found}"));
            }
            browser.nothing_ran(path);
            assert_eq!(browser.errors, Vec::<String>::new(), "{path}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn paths(all: &[&str]) -> Vec<String> {
    all.iter().map(|path| (*path).to_owned()).collect()
}

/// The pages that have no id in their address.
const LISTS: [&str; 15] = [
    "/",
    "/runs",
    "/events",
    "/alerts",
    "/cases",
    "/watchlist",
    "/playbooks",
    "/destinations",
    "/destinations/_new",
    "/deliveries",
    "/approvals",
    "/audit",
    "/account",
    "/nowhere",
    "/runs/none",
];

#[test]
fn every_page_of_a_fresh_folder_says_what_to_do_and_is_in_order() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::and("auth: none\n");
    let server = Server::start(&folder);
    look(&mut browser, &server, &paths(&LISTS));
    let at = format!("http://{}", server.client().address());
    for (path, says) in [
        ("/", "/v1/in/generic"),
        ("/runs", "No playbook has run yet"),
        ("/events", "/v1/in/SOURCE"),
        ("/alerts", "as soon as an event about one arrives"),
        ("/cases", "as soon as an event about one arrives"),
        ("/watchlist", "Nobody is watched"),
        ("/playbooks", "folder of playbooks"),
        ("/destinations", "Make one here"),
        ("/deliveries", "steps that send to destinations"),
        ("/approvals", "Nothing waits for an answer"),
    ] {
        browser.open(&format!("{at}{path}"));
        assert!(browser.text().contains(says), "{path}: {says} in {}", browser.text());
    }
}

/// A folder with something on every page.
fn full(receiver: &Receiver) -> Folder {
    let folder = Folder::and(
        "auth: none\nqueues: { tier-1: { members: [alice, bob] } }\ngrouping: [{ name: by-source, by: src_ips, window: 1h }]\n\
         watchlist: [{ kind: user, id: ceo, reason: board }]\n",
    );
    folder.destinations(receiver, &["soc-desk"], "");
    folder.write(
        "destinations.yaml",
        &format!(
            "{}  dead: {{ kind: webhook, url: \"http://127.0.0.1:9/x\", retry: {{ max: 0 }} }}\n",
            folder.read("destinations.yaml")
        ),
    );
    folder.playbook(
        "all",
        "name: All blocks\ntriggers: [alert.created]\nsteps:\n  - id: each\n    for_each: { in: alert.users, as: user, steps: [ { id: note, action: log, with: { message: \"${{ user }}\" } } ] }\n  \
         - id: route\n    switch: [ { when: \"alert.risk_score > 90\", steps: [ { id: high, action: log, with: { message: high } } ] }, { else: true, steps: [ { id: low, action: log, with: { message: low } } ] } ]\n  \
         - id: tell\n    action: webhook.send_threat_details\n    with: { to: [soc-desk, dead] }\n    on_error: continue\n  \
         - id: sub\n    call: { playbook: child, inputs: { user: \"${{ alert.users[0] }}\" } }\n  \
         - id: ask\n    approve: { ask: \"Isolate it?\", by: approver, fields: { reason: { type: string, required: true } }, deadline: 4h, on_deadline: deny }\n\
         tests:\n  - name: it starts\n    event: { type: alert.created, alert: { id: A-1, users: [alice] } }\n    expect: { verdict: matched }\n",
    );
    folder.playbook(
        "child",
        "triggers: [manual]\ninputs: { user: { type: string, required: true }, many: { type: number }, sure: { type: boolean }, more: { type: object } }\n\
         steps:\n  - { id: look, action: log, with: { message: \"${{ inputs.user }}\" } }\n",
    );
    folder
}

#[test]
fn every_page_with_something_on_it_is_labelled_in_order_readable_and_within_its_width() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = full(&receiver);
    let server = Server::start(&folder);
    let client = server.client();
    let words = format!("{}{}", "A very long name with blanks ".repeat(2), "x".repeat(120));
    server.accepted(&case(
        "case.created",
        json!({"id": "C-1", "stage": "New", "name": words, "tags": ["a".repeat(90)], "priority": "critical"}),
    ));
    server.accepted(&case(
        "case.updated",
        json!({"id": "C-1", "stage": "Investigation", "assignee": "alice", "queue": "tier-1"}),
    ));
    let made = server.accepted(&alert("A-1", 95));
    let run = run_id(&made, "all");
    eventually("the run asks", || (!server.items("/v1/approvals").is_empty()).then_some(()));
    let child = server.items("/v1/runs?playbook=child")[0]["run_id"].as_str().unwrap().to_owned();
    let delivery = server.items("/v1/deliveries?status=failed")[0]["delivery_id"].as_str().unwrap().to_owned();
    client
        .post("/v1/destinations", &json!({"id": "made-here", "kind": "webhook", "url": "http://127.0.0.1:9/y"}))
        .ok(201);
    client.post("/v1/watchlist", &json!({"kind": "host", "id": "ws-1", "reason": "lab"})).ok(201);
    client
        .post("/v1/entities/host/ws-2/mute", &json!({"until": "2099-01-01T00:00:00Z", "reason": "maintenance"}))
        .ok(200);
    client.post("/v1/searches", &json!({"name": "mine", "about": "cases", "q": "priority:critical"})).ok(201);
    client
        .request("POST", "/v1/cases/C-1/attachments?name=mail.eml", &[("Content-Type", "text/html")], b"<b>")
        .expect(201);
    client.post("/v1/playbooks/all/test", &json!({})).ok(200);
    client.post("/v1/pause", &json!({"scope": "outbound", "reason": "a bad day"})).ok(200);
    folder.playbook("broken", "triggers: nonsense\n");
    eventually("the broken file is named", || {
        client.get("/v1/status").ok(200)["broken_files"].get(0).is_some().then_some(())
    });
    let mut all = paths(&LISTS[..13]);
    all.extend([
        format!("/runs/{run}"),
        format!("/runs/{child}"),
        format!("/events/{}", made["event_id"].as_str().unwrap()),
        format!("/deliveries/{delivery}"),
    ]);
    all.extend(paths(&[
        "/runs?status=failed&case=C-1",
        "/alerts/A-1",
        "/cases/C-1",
        "/cases?q=priority:critical&sort=-risk_score",
        "/cases?search=mine",
        "/playbooks/all",
        "/playbooks/child",
        "/destinations/soc-desk",
        "/destinations/made-here",
        "/destinations/made-here/edit",
        "/deliveries?status=failed",
        "/audit?action=refused",
    ]));
    look(&mut browser, &server, &all);
    focus_is_seen(&mut browser, &format!("http://{}/cases/C-1", client.address()));
}

/// Walks with the keyboard: each stop is on the page and has an outline.
#[track_caller]
fn focus_is_seen(browser: &mut Browser, url: &str) {
    browser.open(url);
    let mut stops = Vec::new();
    for _ in 0..60 {
        browser.press("Tab", 9);
        let stop = browser.ask(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e); return e === document.body ? null : \
             [e.tagName, e.name || e.innerText.slice(0, 20), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2]; })()",
        );
        if stop.is_null() {
            break;
        }
        assert_eq!(stop[2], true, "no outline: {stop}");
        stops.push(stop);
    }
    assert!(stops.len() > 25, "{stops:?}");
    for field in ["priority", "text", "file"] {
        assert!(stops.iter().any(|stop| stop[1] == field), "{field} is not reached: {stops:?}");
    }
}

/// The word of a form on a page.
#[track_caller]
fn word(server: &Server, page: &str, action: &str) -> String {
    let text = server.client().request("GET", page, &[("Accept", "text/html")], b"").expect(200).text();
    let form =
        text.split("<form").find(|form| form.contains(&format!("action=\"{action}\""))).expect(action).to_owned();
    form.split("name=\"csrf\" value=\"").nth(1).expect("a word").split('"').next().unwrap().to_owned()
}

/// Sends a form as a browser without scripts does.
#[track_caller]
fn post(server: &Server, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let mut body = format!("csrf={}", encode(&word(server, page, action)));
    for (name, value) in fields {
        body.push_str(&format!("&{}={}", encode(name), encode(value)));
    }
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")];
    server.client().anonymous().request("POST", action, &headers, body.as_bytes())
}

#[test]
fn without_any_script_every_page_is_read_and_every_main_thing_is_done() {
    let receiver = Receiver::start();
    let folder = full(&receiver);
    let server = Server::start(&folder);
    let client = server.client();
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New", "priority": "critical"})));
    let run = run_id(&server.accepted(&alert("A-1", 95)), "all");
    eventually("the run asks", || (!server.items("/v1/approvals").is_empty()).then_some(()));
    let page = client.request("GET", &format!("/runs/{run}"), &[("Accept", "text/html")], b"").expect(200).text();
    assert!(page.contains(" UTC</time>"), "times are readable without the script");

    let approval = server.items("/v1/approvals")[0]["approval_id"].as_str().unwrap().to_owned();
    let fields = [("decision", "approve"), ("type-reason", "string"), ("field-reason", "it beacons")];
    // With `auth: none` nobody is somebody else: four eyes cannot be told apart.
    assert!([303, 403].contains(&post(&server, "/approvals", &format!("/approvals/{approval}"), &fields).status));
    post(&server, "/cases/C-1", "/cases/C-1/comment", &[("text", "looked at it")]).expect(303);
    post(&server, "/cases/C-1", "/cases/C-1/change", &[("was-stage", "New"), ("stage", "Investigation")]).expect(303);
    post(&server, "/cases/C-1", "/cases/C-1/send", &[("to", "soc-desk")]).expect(303);
    assert_eq!(client.get("/v1/cases/C-1").ok(200)["stage"], "Investigation");
    let reasons = client.request("GET", "/cases/C-1", &[("Accept", "text/html")], b"").expect(200).text();
    let reason = reasons
        .split("choose one</option><option value=\"")
        .nth(1)
        .expect("reasons")
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let close = [("stage", "Closed"), ("closed_reason", reason.as_str()), ("close_supporting_reason", "tested")];
    post(&server, "/cases/C-1", "/cases/C-1/change", &close).expect(303);
    assert_eq!(client.get("/v1/cases/C-1").ok(200)["close_supporting_reason"], "tested");
    post(&server, "/cases/C-1", "/cases/C-1/change", &[("stage", "Remediation")]).expect(303);
    assert_eq!(client.get("/v1/cases/C-1").ok(200)["stage"], "Remediation");

    post(&server, "/watchlist", "/watchlist", &[("kind", "user"), ("id", "bob"), ("reason", "leaves soon")])
        .expect(303);
    post(&server, "/watchlist", "/mutes", &[("kind", "host"), ("id", "ws-9"), ("for", "8h"), ("reason", "patching")])
        .expect(303);
    assert_eq!(server.items("/v1/mutes")[0]["reason"], "patching");
    post(&server, "/watchlist", "/mutes/end", &[("kind", "host"), ("id", "ws-9")]).expect(303);
    assert!(server.items("/v1/mutes").is_empty());
    post(&server, "/watchlist", "/watchlist/remove", &[("kind", "user"), ("id", "bob")]).expect(303);
    assert!(!server.items("/v1/watchlist").iter().any(|one| one["id"] == "bob"));

    post(&server, "/playbooks/all", "/playbooks/all/switch", &[("to", "off")]).expect(303);
    assert_eq!(client.get("/v1/playbooks/all").ok(200)["enabled"], false);
    let by_hand = [
        ("what", "nothing"),
        ("type-user", "string"),
        ("input-user", "eve"),
        ("type-many", "number"),
        ("input-many", "3"),
    ];
    let started = post(&server, "/playbooks/child", "/playbooks/child/run", &by_hand).expect(303);
    let path = started.header("location").unwrap().split('?').next().unwrap().to_owned();
    let inputs = client.get(&format!("/v1{path}")).ok(200)["inputs"].clone();
    assert_eq!((&inputs["user"], &inputs["many"], &inputs["sure"]), (&json!("eve"), &json!(3), &Value::Null));
    post(&server, "/", "/pause", &[("scope", "all"), ("reason", "x")]).expect(303);
    post(&server, "/", "/resume", &[("scope", "all")]).expect(303);
    let told = post(&server, "/deliveries?status=failed", "/deliveries/again", &[]).expect(200).text();
    assert!(told.contains("0 of 1 were taken"), "{told}");
}

#[test]
fn a_destination_is_made_tried_changed_and_deleted_and_its_secrets_never_come_out() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = Receiver::start();
    let folder = Folder::and("auth: none\n");
    let server = Server::start(&folder);
    let at = format!("http://{}", server.client().address());
    browser.open(&format!("{at}/destinations"));
    browser.click_text("New destination");
    browser.fill("input[name=id]", "desk");
    browser.fill("input[name=url]", "http://127.0.0.1:9/secret-path");
    browser.ask("(() => { const e = document.querySelector('select[name=auth]'); e.value = 'header'; e.dispatchEvent(new Event('change', { bubbles: true })); })()");
    assert_eq!(browser.ask("document.querySelector('[name=auth_header_header]').closest('fieldset').hidden"), false);
    assert_eq!(browser.ask("document.querySelector('[name=auth_login_url]').closest('fieldset').hidden"), true);
    browser.fill("[name=auth_header_header]", "X-Auth");
    browser.fill("[name=auth_header_value]", "hunter2-hunter2");
    browser.click_text("Send a test, save nothing");
    assert!(browser.text().contains("Unable to connect to webhook endpoint."), "{}", browser.text());
    assert!(server.items("/v1/destinations").is_empty(), "nothing was saved");
    assert_eq!(browser.ask("document.querySelector('[name=auth_header_value]').value"), "", "secrets are typed again");
    browser.fill("input[name=url]", &receiver.url("/secret-path"));
    browser.fill("[name=auth_header_value]", "hunter2-hunter2");
    browser.fill("input[name=dedupe]", "6h");
    browser.click_text("Save");
    assert_eq!(browser.path(), "/destinations/desk?done=made");
    browser.click_text("Send a test");
    assert!(browser.text().contains("HTTP 200"), "{}", browser.text());
    assert_eq!(receiver.next().header("x-auth"), Some("hunter2-hunter2"));
    browser.open(&format!("{at}/destinations/desk/edit"));
    assert_eq!(browser.ask("document.querySelector('[name=dedupe]').value"), "6h");
    browser.fill("input[name=dedupe]", "");
    browser.fill("input[name=timeout]", "oops");
    browser.click_text("Save the changes");
    assert!(browser.text().contains("Nothing was saved."), "{}", browser.text());
    browser.fill("input[name=timeout]", "7s");
    browser.click_text("Save the changes");
    let kept = server.client().get("/v1/destinations/desk").ok(200);
    assert_eq!((&kept["dedupe_seconds"], &kept["timeout_ms"]), (&Value::Null, &json!(7_000)));
    for path in ["/destinations", "/destinations/desk", "/destinations/desk/edit", "/audit"] {
        browser.open(&format!("{at}{path}"));
        let html = browser.ask("document.documentElement.outerHTML");
        let html = html.as_str().unwrap();
        assert!(!html.contains("hunter2") && !html.contains("secret-path"), "{path}");
    }
    browser.open(&format!("{at}/destinations/desk"));
    browser.ask("document.querySelector('form[action$=delete]').closest('details').open = true");
    browser.click_text("Delete desk");
    assert_eq!(browser.path(), "/destinations?done=deleted");
    assert!(browser.dialogs.iter().any(|said| said.contains("for good")), "{:?}", browser.dialogs);
}

#[test]
fn a_file_is_attached_saved_and_never_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::and("auth: none\n");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let evil = "<script>window.pwned=1</script>";
    let at = format!("http://{}", server.client().address());
    browser.open(&format!("{at}/cases/C-1"));
    let file = folder.write("evil \"x\".html", evil);
    browser.choose("input[type=file]", &file);
    browser.click_text("Attach");
    assert!(browser.text().contains("evil \"x\".html"), "{}", browser.text());
    let link = browser.ask("document.querySelector('a[download]').getAttribute('href')");
    let answer = server.client().get(link.as_str().unwrap()).expect(200);
    assert_eq!(answer.text(), evil);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment; "));
    assert!(answer.header("content-security-policy").unwrap().starts_with("sandbox"), "a policy of its own");
    browser.nothing_ran("the case");
    browser.click_text("Take off");
    assert!(!browser.text().contains("evil \"x\".html\n"), "{}", browser.text());
}
