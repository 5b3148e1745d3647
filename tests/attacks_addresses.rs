//! Rows S of the attacks: where the server lets itself be sent to. Addresses inside are refused however they are
//! written, at load where they can be seen there, else when they are used.

use serde_json::json;

use crate::support::command::sortie;
use crate::support::sample::{TELL, alert, desk, run_id, step};
use crate::support::{Folder, Receiver, Reply, Server};

/// A folder that allows no network at all, with a source and a playbook that sends to `desk`.
fn closed(url: &str) -> Folder {
    let folder = Folder::new();
    let open = folder.read("sortie.yaml");
    let closed: String =
        open.lines().filter(|line| !line.starts_with("egress:")).map(|line| format!("{line}\n")).collect();
    folder.write("sortie.yaml", &closed);
    folder.write("destinations.yaml", &format!("destinations:\n  desk: {{ kind: webhook, url: {} }}\n", json!(url)));
    folder.playbook("tell", &TELL.replace("max: 3", "max: 0"));
    folder
}

#[test]
fn an_address_inside_is_refused_at_load_however_it_is_written() {
    let hosts = [
        // S1
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        // S2
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        // S3
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0::1]",
        // S4
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "192.0.0.192",
        // S5
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[fc00::1]",
        "[fe80::1]",
        "192.0.2.1",
        "203.0.113.9",
        "[2001:db8::1]",
        "[ff02::1]",
        // S18
        "[fe80::1%25eth0]",
    ];
    for host in hosts {
        let url = format!("https://{host}/hook");
        let Err((status, log)) = Server::try_start(&closed(&url), &[]) else { panic!("started with {url}") };
        assert_eq!(status.code(), Some(3), "{url}: {log}");
        assert!(log.contains("destinations.yaml"), "{url}: {log}");
    }
}

#[test]
fn a_url_that_is_no_plain_https_address_is_refused_at_load() {
    for url in [
        "http://example.com/",
        "gopher://example.com/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "data:text/plain,x",
        "http:127.0.0.1",
        "https://",
        "https://user:password@example.com/",
        "https://evil@127.0.0.1/",
        "https://127.0.0.1:80@evil.com/",
        "https://exa\tmple.com/",
        "https://exa\nmple.com/",
        "https://example.com\\@127.0.0.1/",
        "//example.com/",
        "example.com",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:53/",
        "https://example.com:6379/",
    ] {
        let Err((status, log)) = Server::try_start(&closed(url), &[]) else { panic!("started with {url:?}") };
        assert_eq!(status.code(), Some(3), "{url:?}: {log}");
    }
}

#[test]
fn a_name_that_leads_inside_is_refused_when_it_is_used_and_the_error_tells_nothing_of_what_is_there() {
    let inside = Receiver::start();
    let port = inside.address().port();
    for host in ["localhost", "localhost.", "LOCALHOST"] {
        let server = Server::start(&closed(&format!("https://{host}:{port}/hook")));
        let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
        assert_eq!(run["status"], "failed", "{host}");
        let attempt = step(&run, "send")["attempts"][0].clone();
        assert!(attempt["http_status"].is_null(), "{attempt}");
        let error = attempt["error"].to_string();
        assert!(
            !error.contains("127.0.0.1") && !error.contains("::1") && !error.contains("refused connection"),
            "{error}"
        );
        let test = server.client().post("/v1/destinations/desk/test", &json!({})).ok(200);
        assert_eq!(test["ok"], false);
    }
    assert_eq!(inside.connections(), 0);
}

#[test]
fn a_blocked_address_gives_the_same_error_whether_or_not_somebody_listens_there() {
    let open = Receiver::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let errors: Vec<String> = [open.address().port(), free]
        .iter()
        .map(|port| {
            let server = Server::start(&closed(&format!("https://localhost:{port}/")));
            let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
            step(&run, "send")["attempts"][0]["error"].to_string()
        })
        .collect();
    assert_eq!(errors[0], errors[1]);
}

#[test]
fn metadata_addresses_stay_refused_inside_a_wider_allowed_network() {
    let folder = closed("https://169.254.169.254/latest");
    let text = folder.read("sortie.yaml");
    folder.write("sortie.yaml", &format!("{text}egress: {{ allow: [169.254.0.0/16], allow_http: true }}\n"));
    let Err((status, _)) = Server::try_start(&folder, &[]) else { panic!("started") };
    assert_eq!(status.code(), Some(3));
    folder.write("destinations.yaml", "destinations:\n  desk: { kind: webhook, url: \"http://169.254.1.1/\" }\n");
    Server::start(&folder);
}

#[test]
fn an_http_request_goes_nowhere_where_a_destination_may_not_go() {
    let inside = Receiver::start();
    let folder = closed("https://example.com/");
    let url = format!("https://localhost:{}/", inside.address().port());
    folder.playbook("ask", &format!("triggers:\n  - alert.created\nsteps:\n  - id: ask\n    action: http.request\n    with: {{ method: GET, url: \"{url}\" }}\n    retry: {{ max: 0 }}\n"));
    let server = Server::start(&folder);
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 1)), "ask"));
    assert_eq!(run["status"], "failed");
    assert_eq!(inside.connections(), 0);
}

#[test]
fn proxies_in_the_environment_are_ignored() {
    let (receiver, proxy) = (Receiver::start(), Receiver::start());
    let url = proxy.url("");
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let environment: Vec<(&str, &str)> = names.iter().map(|name| (*name, url.as_str())).collect();
    let server = Server::start_with(&desk(&receiver), &environment);
    server.accepted(&alert("A-1", 92));
    assert_eq!(receiver.next().path, "/desk");
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn the_server_does_not_send_to_itself() {
    let folder = Folder::new();
    folder.playbook("tell", &TELL.replace("max: 3", "max: 0"));
    // The port is chosen at the start; the second start is the one that knows it.
    let port = Server::start(&folder).client().address().port();
    folder.write(
        "destinations.yaml",
        &format!("destinations:\n  desk: {{ kind: webhook, url: \"http://127.0.0.1:{port}/v1/in/generic\" }}\n"),
    );
    let address = ([127, 0, 0, 1], port).into();
    let server = Server::try_start_at(&folder, address).unwrap_or_else(|(_, log)| panic!("{log}"));
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    assert_eq!(run["status"], "failed", "{run:#}");
    assert_eq!(server.items("/v1/events").len(), 1);
}

#[test]
fn what_a_receiver_answers_is_kept_to_a_cap_and_shown_to_those_who_may_see_it() {
    let receiver = Receiver::scripted(&[Reply::Body(400, vec![b'x'; 1_000_000])]);
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    let run = server.ended_run(&id);
    let answer = &step(&run, "send")["attempts"][0]["answer"];
    assert!(answer["body"].as_str().unwrap().len() <= 16 * 1024, "{}", answer["bytes"]);
    assert_eq!(answer["truncated"], true);
    let token = sortie(&folder, &["tokens", "create", "--name", "v", "--role", "viewer"]).expect(0).stdout;
    let seen = server.client().with_token(&token).get(&format!("/v1/runs/{id}")).ok(200);
    assert!(!seen.to_string().contains("xxxxxxxx"), "a viewer does not see what an internal service says");
}

#[test]
fn a_compressed_answer_is_not_blown_up() {
    let bomb = crate::support::gzip(&vec![b'a'; 50_000_000]);
    let head = format!("HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let receiver = Receiver::scripted(&[Reply::Raw([head.as_bytes(), &bomb].concat())]);
    let server = Server::start(&desk(&receiver));
    let before = server.resident_bytes();
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    assert_eq!(run["status"], "failed");
    assert!(server.resident_bytes() < before + 32_000_000);
}

#[test]
fn an_answer_with_endless_headers_or_interim_answers_is_given_up() {
    let headers = format!("HTTP/1.1 200 OK\r\n{}", "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(100_000));
    for bytes in
        [headers.into_bytes(), b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000), b"not http at all\r\n\r\n".to_vec()]
    {
        let receiver = Receiver::scripted(&[Reply::Raw(bytes)]);
        let folder = desk(&receiver);
        folder.playbook("tell", &TELL.replace("max: 3", "max: 0"));
        let server = Server::start(&folder);
        let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
        assert_eq!(run["status"], "failed");
    }
}
