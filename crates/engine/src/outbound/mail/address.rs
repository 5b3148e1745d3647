//! Addresses of e-mail.
//!
//! Invariant: what a [`Mailbox`] holds fits into an SMTP command and into a header as it is: no line break, no angle
//! bracket, nothing beyond ASCII in the address. Spellings that mail allows and nobody uses (quoted local parts, comments,
//! address literals) are refused: they are where readers of addresses differ.

use std::fmt;
use std::str::FromStr;

/// Longest address, in bytes (RFC 5321, 4.5.3.1.3, less the angle brackets).
const ADDRESS_BYTES_MAX: usize = 254;
/// Longest part before the `@`, in bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Longest name of a person, in characters.
const NAME_CHARS_MAX: usize = 100;

/// An address, with or without a name: `soc@example.com`, `The SOC <soc@example.com>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    name: Option<String>,
    local: String,
    domain: String,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// It holds a line break or another control character.
    #[error("an e-mail address must not hold line breaks or other control characters")]
    Control,
    /// It is not written as one.
    #[error("this is not an e-mail address such as `soc@example.com` or `The SOC <soc@example.com>`")]
    Form,
    /// It is too long.
    #[error("an e-mail address has at most {ADDRESS_BYTES_MAX} bytes, {LOCAL_BYTES_MAX} of them before the `@`")]
    TooLong,
    /// It holds letters beyond ASCII.
    #[error("an e-mail address is written in ASCII; write the domain as `xn--…`")]
    NotAscii,
}

impl Mailbox {
    /// The address alone.
    pub fn address(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }

    /// What stands after the `@`, in lower case.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The name of the person, if one was given.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether mail to both goes to the same place.
    pub fn is_same(&self, other: &Mailbox) -> bool {
        self.local == other.local && self.domain == other.domain
    }
}

impl fmt::Display for Mailbox {
    /// For people: the name as it was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}@{}>", self.local, self.domain),
            None => write!(f, "{}@{}", self.local, self.domain),
        }
    }
}

impl FromStr for Mailbox {
    type Err = MailboxError;
    fn from_str(text: &str) -> Result<Mailbox, MailboxError> {
        if text.chars().any(char::is_control) {
            return Err(MailboxError::Control);
        }
        let text = text.trim();
        let text = text.strip_prefix(super::SCHEME).unwrap_or(text);
        let (name, address) = match text.strip_suffix('>').map(|rest| rest.split_once('<')) {
            Some(Some((name, address))) => (Some(name.trim().trim_matches('"').to_owned()), address),
            Some(None) => return Err(MailboxError::Form),
            None => (None, text),
        };
        let name = name.filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS_MAX) {
            return Err(MailboxError::TooLong);
        }
        if !address.is_ascii() {
            return Err(MailboxError::NotAscii);
        }
        let (local, domain) = address.rsplit_once('@').ok_or(MailboxError::Form)?;
        if address.len() > ADDRESS_BYTES_MAX || local.len() > LOCAL_BYTES_MAX {
            return Err(MailboxError::TooLong);
        }
        if !is_local(local) || !is_domain(domain) {
            return Err(MailboxError::Form);
        }
        Ok(Mailbox { name, local: local.to_owned(), domain: domain.to_ascii_lowercase() })
    }
}

/// A dot-atom of RFC 5322.
fn is_local(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    text.split('.').all(word)
}

/// Labels of a host name.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_name() {
        for (text, address, name) in [
            ("soc@example.com", "soc@example.com", None),
            (" soc+night.shift@Mail.Example.COM ", "soc+night.shift@mail.example.com", None),
            ("The SOC <soc@example.com>", "soc@example.com", Some("The SOC")),
            ("\"SOC, night\" <soc@example.com>", "soc@example.com", Some("SOC, night")),
            ("<soc@example.com>", "soc@example.com", None),
            ("Überwachung <soc@xn--mnchen-3ya.example>", "soc@xn--mnchen-3ya.example", Some("Überwachung")),
            ("mailto:soc@example.com", "soc@example.com", None),
            ("root@localhost", "root@localhost", None),
        ] {
            let read: Mailbox = text.parse().unwrap();
            assert_eq!((read.address().as_str(), read.name()), (address, name), "{text}");
        }
    }

    #[test]
    fn what_could_become_another_command_or_header_is_refused() {
        for (text, error) in [
            ("soc@example.com\r\nBcc: evil@example.org", MailboxError::Control),
            ("Evil\r\nSubject: x <soc@example.com>", MailboxError::Control),
            ("soc@example.com\0", MailboxError::Control),
            ("soc@example.com> SIZE=1", MailboxError::Form),
            ("soc@example.com, evil@example.org", MailboxError::Form),
            ("<soc@example.com>,<evil@example.org>", MailboxError::Form),
            ("soc", MailboxError::Form),
            ("@example.com", MailboxError::Form),
            ("soc@", MailboxError::Form),
            ("soc@-x.example", MailboxError::Form),
            ("soc@exa mple.com", MailboxError::Form),
            ("so..c@example.com", MailboxError::Form),
            (".soc@example.com", MailboxError::Form),
            ("soc@[127.0.0.1]", MailboxError::Form),
            ("\"a b\"@example.com", MailboxError::Form),
            ("", MailboxError::Form),
            ("söc@example.com", MailboxError::NotAscii),
        ] {
            assert_eq!(text.parse::<Mailbox>(), Err(error), "{text:?}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        assert_eq!(long.parse::<Mailbox>(), Err(MailboxError::TooLong));
    }
}
