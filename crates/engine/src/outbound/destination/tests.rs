//! `destinations.yaml`, read.

use std::sync::Arc;
use std::time::Duration;

use playbook::{Backoff, Diagnostic};

use super::*;
use crate::outbound::Egress;
use crate::outbound::sign::{Encoding, Hash, Signed};

fn load(text: &str) -> Result<Destinations, Vec<Diagnostic>> {
    read(&Arc::from("destinations.yaml"), text, Rules::new(&Egress::default()))
}

/// The codes of what is wrong, with their lines.
fn wrong(text: &str) -> Vec<(&'static str, u32)> {
    load(text).unwrap_err().into_iter().map(|found| (found.code, found.span.line)).collect()
}

/// What is wrong with one destination that has these lines besides its URL.
fn wrong_in(lines: &str) -> Vec<&'static str> {
    let text = format!("destinations:\n  d:\n    url: https://h.example/x\n{lines}");
    wrong(&text).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn the_example_of_the_reference_is_read_whole() {
    let all = load(
        r#"
destinations:
  soc-desk:
    kind: webhook
    url: https://desk.example.com/hook
    auth: { header: X-Auth, value: "${secret:DESK}" }
    sign: { standard_webhooks: "${secret:DESK_SIGNING}" }
    enabled: false
    min_severity: High
    kinds: [alert, host]
    tenants: [acme]
    dedupe: 6h
    retry: { max: 5, backoff: linear, first: 2s, cap: 1m }
    timeout: 20s
    time_format: epoch_micros
  thalian:
    url: https://t.example/hook
    auth: { basic: { user: u, password: "${secret:P}" } }
    sign: { hmac: { header: X-Thalian-Signature, hash: sha512, encoding: base64, prefix: "sha512=", signed: timestamp.body, secrets: ["${secret:NEW}", "${secret:OLD}"] } }
  bearer:
    url: https://b.example/hook
    auth: { bearer: "${secret:B}" }
event_sets:
  critical-problems: [connectsecure.critical_problems_found, holm.finished_scan]
"#,
    )
    .unwrap();
    let desk = &all.map["soc-desk"];
    assert_eq!(desk.target.url().as_str(), "https://desk.example.com/hook");
    assert!(
        matches!(&desk.auth, Auth::Header { name, value } if name == "x-auth" && value.to_string() == "${secret:DESK}")
    );
    assert!(matches!(&desk.sign, Some(Sign::Standard(all)) if all.len() == 1));
    assert!(!desk.enabled);
    assert_eq!(
        (desk.min_severity, desk.dedupe, desk.timeout),
        (Some(2), Some(Duration::from_secs(21_600)), Some(Duration::from_secs(20)))
    );
    assert_eq!(desk.kinds.as_deref(), Some(&["alert".to_owned(), "host".to_owned()][..]));
    assert_eq!(
        desk.retry,
        Some(Retry { max: 5, backoff: Backoff::Linear, first: Duration::from_secs(2), cap: Duration::from_secs(60) })
    );
    assert_eq!(desk.time_format, TimeFormat::EpochMicros);
    let Some(Sign::Hmac { scheme, secrets, .. }) = &all.map["thalian"].sign else { panic!("an HMAC") };
    assert_eq!((scheme.hash, scheme.encoding, scheme.signed), (Hash::Sha512, Encoding::Base64, Signed::TimestampBody));
    assert_eq!((scheme.prefix.as_str(), secrets.len()), ("sha512=", 2));
    assert!(matches!(all.map["bearer"].auth, Auth::Bearer(_)));
    assert_eq!(all.event_sets["critical-problems"].len(), 2);
    assert!(all.warnings.is_empty());
}

#[test]
fn a_file_with_nothing_in_it_has_no_destinations() {
    assert!(load("# none yet\n").unwrap().map.is_empty());
    assert!(load("").unwrap().map.is_empty());
}

#[test]
fn a_blocked_address_is_an_error_at_load_and_a_name_is_not() {
    for host in ["127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254", "2130706433", "①②⑦.⓪.⓪.①"] {
        assert_eq!(wrong(&format!("destinations:\n  d:\n    url: https://{host}/x\n")), [("DS105", 3)], "{host}");
    }
    assert!(load("destinations:\n  d:\n    url: https://localhost/x\n").is_ok());
}

#[test]
fn urls_that_are_not_plain_https_are_refused() {
    for url in [
        "http://h.example/",
        "gopher://h/",
        "file:///etc/passwd",
        "ftp://h/",
        "\"data:,x\"",
        "\"https:h\"",
        "https://u:p@h.example/",
        "https://evil@127.0.0.1/",
        "\"https://h\\t.example/\"",
        "\"https://h\\\\@x/\"",
        "\"https://[fe80::1%25eth0]/\"",
    ] {
        assert_eq!(wrong(&format!("destinations:\n  d:\n    url: {url}\n")), [("DS104", 3)], "{url}");
    }
}

#[test]
fn every_way_to_authenticate_and_every_limit_is_read() {
    let all = load(
        r#"
destinations:
  login:
    url: https://h.example/x
    auth: { login: { url: https://h.example/login, user: u, password: "${secret:P}", token_field: data.jwt, header: X-Token, prefix: "" } }
    rate: { requests: 60, per: 1m }
    concurrency: 2
    ordered: true
    breaker: { failures: 5, pause: 10s }
  oauth:
    kind: slack
    url: https://hooks.slack.com/services/T/B/x
    auth: { oauth2: { token_url: https://h.example/token, client_id: id, client_secret: "${secret:S}", scope: "a b" } }
    breaker: none
"#,
    )
    .unwrap();
    let login = &all.map["login"];
    let Auth::Login(how) = &login.auth else { panic!("a login") };
    assert_eq!((how.token_field.as_str(), how.header.as_str(), how.prefix.as_str()), ("data.jwt", "x-token", ""));
    assert_eq!(login.rate, Some(Rate { requests: 60, per: Duration::from_secs(60) }));
    assert_eq!((login.concurrency, login.ordered), (2, true));
    assert_eq!(login.breaker, Some(Breaker { failures: 5, pause: Duration::from_secs(10) }));
    let oauth = &all.map["oauth"];
    assert_eq!((oauth.manner, oauth.breaker), (Manner::Slack, None));
    let Auth::Login(how) = &oauth.auth else { panic!("a login") };
    assert!(
        matches!(&how.grant, Grant::Client { id, scope, in_body: false, .. } if id == "id" && scope.as_deref() == Some("a b"))
    );
}

#[test]
fn a_login_or_a_limit_that_cannot_be_is_refused() {
    assert_eq!(wrong_in("    kind: teams\n"), ["DS112"]);
    assert_eq!(
        wrong_in("    auth: { login: { url: http://x.example, user: u, password: \"${secret:P}\" } }\n"),
        ["DS104"]
    );
    assert_eq!(
        wrong_in("    auth: { login: { url: https://10.0.0.1/, user: u, password: \"${secret:P}\" } }\n"),
        ["DS105"]
    );
    assert_eq!(wrong_in("    auth: { oauth2: {} }\n"), ["PB102", "PB102", "PB102"]);
    assert_eq!(wrong_in("    rate: { requests: 5 }\n"), ["DS110"]);
    assert_eq!(wrong_in("    rate: { per: 1m }\n"), ["PB102"]);
    assert_eq!(wrong_in("    concurrency: 0\n"), ["PB104"]);
    assert_eq!(wrong_in("    concurrency: 65\n"), ["PB104"]);
    assert_eq!(wrong_in("    breaker: { failures: 0 }\n"), ["PB104"]);
    assert_eq!(wrong_in("    breaker: { pause: 1h }\n"), ["DS110"]);
    assert_eq!(wrong_in("    breaker: off\n"), ["PB103"]);
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let text = "destinations:\n  Bad_Name:\n    url: https://h.example/\n  d:\n    auth: maybe\n    sign: { md5: x }\n    min_severity: hihg\n    kinds: [alrt]\n    timeout: 20m\n    urll: x\nevent_sets:\n  s: []\n";
    let mut found = wrong(text);
    found.sort_by_key(|(_, line)| *line);
    assert_eq!(
        found,
        [
            ("DS101", 2),
            ("PB102", 5),
            ("DS106", 5),
            ("DS106", 6),
            ("DS110", 7),
            ("DS110", 8),
            ("DS110", 9),
            ("PB101", 10),
            ("DS111", 12)
        ]
    );
}

#[test]
fn a_broken_reference_to_a_secret_is_an_error_and_a_plain_secret_a_warning_that_does_not_repeat_it() {
    assert_eq!(wrong_in("    auth: { bearer: \"${secret:A} tail\" }\n"), ["DS107"]);
    let all = load("destinations:\n  d:\n    url: https://h.example/\n    auth: { bearer: hunter2 }\n").unwrap();
    assert_eq!(all.warnings[0].code, "DS108");
    assert!(!all.warnings[0].render(false).contains("hunter2"));
}

#[test]
fn a_header_that_breaks_http_or_is_ours_is_refused() {
    for name in ["\"x: y\"", "Host", "Content-Length", "webhook-id", "\"a b\""] {
        assert_eq!(
            wrong_in(&format!("    auth: {{ header: {name}, value: \"${{secret:A}}\" }}\n")),
            ["DS109"],
            "{name}"
        );
    }
}

#[test]
fn there_are_at_most_twenty_four() {
    let many = |n: usize| {
        let entries: String = (0..n).map(|i| format!("  d{i}: {{ url: https://h.example/ }}\n")).collect();
        format!("destinations:\n{entries}")
    };
    assert_eq!(load(&many(24)).unwrap().map.len(), 24);
    assert_eq!(wrong(&many(25)), [("DS102", 26)]);
}

#[test]
fn a_refused_url_is_not_repeated_in_the_message() {
    let found = load("destinations:\n  d:\n    url: http://h.example/SECRETPATH\n").unwrap_err();
    assert!(!found[0].render(false).contains("SECRETPATH"));
}
