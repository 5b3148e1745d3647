//! The address of a request, parsed once and checked once.
//!
//! Invariants: a [`Target`] cannot be made without the checks, and the value that was checked is the value that is
//! requested: nothing parses the text again. Host names are checked when they are resolved, each time.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use super::address::Egress;

/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// A URL that passed the checks.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    port: u16,
}

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// It cannot be read at all.
    #[error("this is not a URL")]
    NotAUrl,
    /// It is longer than [`URL_BYTES_MAX`].
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It is neither `https://` nor `http://`.
    #[error("the URL must begin with `https://`")]
    Scheme,
    /// It is `http://`, which the server's policy does not allow.
    #[error("`http://` is not allowed by the server's egress policy; use `https://`")]
    PlainHttp,
    /// It holds a user name or password.
    #[error("a URL must not hold a user name or a password; use `auth`")]
    Credentials,
    /// It holds a blank, a control character or a backslash, which readers of URLs take differently.
    #[error("a URL must not hold blanks, control characters or backslashes")]
    Character,
    /// Its address or port is not allowed.
    #[error("the address is not allowed by the server's egress policy")]
    Blocked,
}

impl Target {
    /// Reads and checks a URL.
    ///
    /// # Errors
    /// [`UrlProblem`].
    pub fn parse(text: &str, egress: &Egress) -> Result<Target, UrlProblem> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlProblem::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(UrlProblem::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlProblem::Scheme)?;
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlProblem::Scheme);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') || authority.contains('%') {
            return Err(UrlProblem::Credentials);
        }
        let mut url = Url::parse(text).map_err(|_| UrlProblem::NotAUrl)?;
        url.set_fragment(None);
        if url.scheme() == "http" && !egress.allow_http {
            return Err(UrlProblem::PlainHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Credentials);
        }
        let port = url.port_or_known_default().ok_or(UrlProblem::NotAUrl)?;
        let target = Target { url, port };
        match target.literal() {
            Some(address) if !egress.permits(address, port) => Err(UrlProblem::Blocked),
            _ if super::address::DENIED_PORTS.contains(&port) => Err(UrlProblem::Blocked),
            _ if target.host().is_empty() => Err(UrlProblem::NotAUrl),
            _ => Ok(target),
        }
    }

    /// The address, when the host is one and not a name.
    pub fn literal(&self) -> Option<IpAddr> {
        let host = self.url.host_str()?;
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
    }

    /// The host, as it stands in the URL.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own when none is given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The whole URL. It may hold a credential: mask it before people see it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The URL as people may see it.
    pub fn masked(&self) -> String {
        super::mask::mask_url(self.url.as_str())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.masked()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Egress {
        Egress { allow_http: true, ..Egress::default() }
    }

    fn problem(text: &str) -> Option<UrlProblem> {
        Target::parse(text, &open()).err()
    }

    #[test]
    fn every_spelling_of_a_loopback_address_is_blocked() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "0",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "１２７.0.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "192.0.0.192",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "198.18.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "240.0.0.1",
            "[fc00::1]",
            "[fe80::1]",
            "127.0.0.1.",
        ] {
            let text = format!("http://{host}/x");
            assert_eq!(problem(&text), Some(UrlProblem::Blocked), "{text}");
        }
    }

    #[test]
    fn other_schemes_and_odd_separators_are_refused() {
        for text in [
            "gopher://h/x",
            "file:///etc/passwd",
            "ftp://h/",
            "data:text/plain,x",
            "http:127.0.0.1",
            "https:/h/",
            "//h/x",
            "h",
            "",
        ] {
            assert_eq!(problem(text), Some(UrlProblem::Scheme), "{text}");
        }
        for text in [
            "https://h\t.example/",
            "ht\ntps://h/",
            "https://h/\r\nx",
            " https://h/",
            "https://h\\@127.0.0.1/",
            "https://h/a b",
        ] {
            assert_eq!(problem(text), Some(UrlProblem::Character), "{text}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused() {
        for text in [
            "https://evil@127.0.0.1/",
            "https://127.0.0.1:80@evil.com/",
            "https://@h/",
            "https://h%2f@127.0.0.1/",
            "https://u:p@h/",
        ] {
            assert_eq!(problem(text), Some(UrlProblem::Credentials), "{text}");
        }
        assert_eq!(problem("https://h.example/a@b?c=d@e"), None, "an @ after the authority is no credential");
    }

    #[test]
    fn a_zone_id_is_refused() {
        assert!(problem("https://[fe80::1%25eth0]/").is_some());
        assert!(problem("https://[fe80::1%eth0]/").is_some());
    }

    #[test]
    fn denied_ports_are_refused_for_names_too() {
        for port in super::super::address::DENIED_PORTS {
            assert_eq!(problem(&format!("https://h.example:{port}/")), Some(UrlProblem::Blocked));
        }
    }

    #[test]
    fn plain_http_needs_the_servers_permission() {
        assert_eq!(Target::parse("http://h.example/", &Egress::default()).unwrap_err(), UrlProblem::PlainHttp);
        assert_eq!(problem("http://h.example/"), None);
    }

    #[test]
    fn debugging_a_target_does_not_show_its_path() {
        let target = Target::parse("https://hooks.example/services/T0/B0/SECRETabcd", &open()).unwrap();
        assert_eq!(format!("{target:?}"), "Target(\"https://hooks.example/…abcd\")");
    }
}
