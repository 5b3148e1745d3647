//! The events: alerts of two kilobytes, each with an id of its own.
//!
//! Invariant: everything about event `n` follows from `n`, so that generator, receiver and checker agree without talking.

/// What stands before the number in the ids.
pub(crate) const PREFIX: &str = "bench-";

/// The body of event `n`, about 2 KB; `tags` say which playbooks listen. Whether the condition of the throughput bench
/// holds is decided by the last of its three clauses, so that all of it is evaluated for every event.
pub(crate) fn body(n: u64, tags: &str, matches: bool) -> Vec<u8> {
    let mitre = if matches { "T1078" } else { "T1566" };
    let detection = |d: u64| {
        let second = (n + d) % 60;
        let (user, host) = ((n * 7 + d) % 5000, (n * 13 + d) % 9000);
        let (a, b) = ((n >> 8) & 255, n & 255);
        format!(
            r#"{{"id":"D-{n}-{d}","type":"analytics","use_case":"Compromised Credentials","rules":["Geo velocity","First access from country"],"approx_log_time":"2026-11-22T07:58:{second:02}Z","description":"user {user} was seen in two countries within {second} minutes, from an address that nobody in the group has used before; the second login used another device","src_users":["user-{user}"],"dest_users":[],"src_ips":["203.{a}.{b}.9"],"dest_ips":["198.51.100.{second}"],"src_hosts":["ws-{host}"],"dest_hosts":["dc-{second}"]}}"#
        )
    };
    let (user, host) = (n * 7 % 5000, n * 13 % 9000);
    let text = format!(
        r#"{{"type":"alert.created","id":"evt-{n}","time":"2026-11-22T08:00:00Z","alert":{{"id":"{PREFIX}{n}","name":"Impossible travel of user {user}","risk_score":92,"priority":"critical","tags":["vip"{tags}],"mitres":["{mitre}","T1110"],"use_cases":["Compromised Credentials","Abnormal Authentication"],"users":["user-{user}"],"endpoints":["ws-{host}"],"created_time":"2026-11-22T07:59:58Z","grouped_by":{{"key":"User","value":"user-{user}"}},"detections":[{},{},{}]}}}}"#,
        detection(0),
        detection(1),
        detection(2),
    );
    text.into_bytes()
}

/// The number of the first event that a text speaks of.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let start = super::http::find(text, PREFIX.as_bytes())? + PREFIX.len();
    let digits: Vec<u8> = text.get(start..)?.iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}
