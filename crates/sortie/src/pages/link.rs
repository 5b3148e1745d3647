//! Addresses of our own pages. Every part is encoded, so that no id and no value can leave its place: a link made here
//! leads to this server, whatever an event calls its alert.

use std::fmt::Write as _;

use crate::http::Call;

/// Percent-encodes all but what RFC 3986 calls unreserved.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _: std::fmt::Result = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `/a/b/c`, each part encoded. A part of dots alone would be read as a step upward, so that its dots are encoded too.
pub(super) fn path(parts: &[&str]) -> String {
    let mut out = String::new();
    for part in parts {
        out.push('/');
        if matches!(*part, "." | "..") {
            out.push_str(&part.replace('.', "%2E"));
        } else {
            out.push_str(&encode(part));
        }
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

/// A path with a query; empty values are left out.
pub(super) fn with(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    let mut sign = '?';
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing into a String cannot fail.
        let _: std::fmt::Result = write!(out, "{sign}{}={}", encode(key), encode(value));
        sign = '&';
    }
    out
}

/// The page of a run.
pub(super) fn run(id: &str) -> String {
    path(&["runs", id])
}

/// The page of an event.
pub(super) fn event(id: &str) -> String {
    path(&["events", id])
}

/// The page of a playbook.
pub(super) fn playbook(id: &str) -> String {
    path(&["playbooks", id])
}

/// A line of one text of a playbook; of the one in force where the digest is empty.
pub(super) fn playbook_line(id: &str, digest: &str, line: u64) -> String {
    format!("{}#L{line}", with(&playbook(id), &[("version", digest)]))
}

/// The page of an alert or a case; the tenant is named where there are several.
pub(super) fn object(call: &Call, kind: &str, id: &str, tenant: &str) -> String {
    let folder = if kind == "case" { "cases" } else { "alerts" };
    let several = call.app.settings.tenants.is_some() && call.caller.tenant.is_none();
    with(&path(&[folder, id]), &[("tenant", if several { tenant } else { "" })])
}

/// Where to go after signing in: a path of this server, or nothing. What begins with two slashes, or with a slash and a
/// backslash, is another server to a browser; a control character may be dropped by one and reveal such a beginning.
pub(super) fn own_path(text: &str) -> Option<&str> {
    let plain = text.len() <= OWN_PATH_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    (plain && text.starts_with('/') && !text.starts_with("//")).then_some(text)
}

/// Longest path that is kept over a sign-in, in bytes.
const OWN_PATH_BYTES_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_its_place_in_a_link() {
        assert_eq!(path(&["cases", "a/../b?x=1#y"]), "/cases/a%2F..%2Fb%3Fx%3D1%23y");
        assert_eq!(path(&["cases", ".."]), "/cases/%2E%2E");
        assert_eq!(path(&["alerts", "javascript:alert(1)"]), "/alerts/javascript%3Aalert%281%29");
        assert_eq!(with("/runs", &[("case", "C 1&status=x"), ("status", "")]), "/runs?case=C%201%26status%3Dx");
    }

    #[test]
    fn only_paths_of_this_server_are_gone_to_after_signing_in() {
        for own in ["/", "/runs?status=failed", "/cases/a%2Fb"] {
            assert_eq!(own_path(own), Some(own));
        }
        for other in
            ["", "runs", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/a\nb", "/ü"]
        {
            assert_eq!(own_path(other), None, "{other:?}");
        }
    }
}
