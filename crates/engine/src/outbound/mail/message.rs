//! From a letter to the bytes that are sent (RFC 5322, RFC 2045, RFC 2047).
//!
//! Invariants: the same letter gives the same bytes, so that a repeat is a repeat. Bodies are base64: no line of theirs can
//! be too long, begin with a full stop, or end the message. What is not plain ASCII in a header is an encoded word.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Digest;

use super::{Letter, Mailbox, RECIPIENTS_MAX, SUBJECT_CHARS_MAX, TEXT_BYTES_MAX};

/// Characters of base64 in one line.
const LINE_CHARS: usize = 76;
/// Bytes of text in one encoded word; with its dress and `Subject: ` it stays below the 76 characters of RFC 2047.
const WORD_BYTES: usize = 39;
/// From this length on a header is folded into encoded words, in characters.
const PLAIN_CHARS_MAX: usize = 60;

/// Why a letter is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LetterError {
    /// The subject holds a line break or another control character.
    #[error("the subject holds a line break or another character that a header cannot hold")]
    Subject,
    /// The subject is too long.
    #[error("the subject is longer than {SUBJECT_CHARS_MAX} characters")]
    LongSubject,
    /// The text or the HTML is too long.
    #[error("the text is longer than {TEXT_BYTES_MAX} bytes")]
    LongText,
    /// Nobody is addressed.
    #[error("nobody is addressed: `to` is empty")]
    Nobody,
    /// Too many are.
    #[error("more than {RECIPIENTS_MAX} recipients: send to a list that your mail server keeps")]
    TooMany,
}

pub(super) fn check(letter: &Letter) -> Result<(), LetterError> {
    if letter.subject.chars().any(char::is_control) {
        return Err(LetterError::Subject);
    }
    if letter.subject.chars().count() > SUBJECT_CHARS_MAX {
        return Err(LetterError::LongSubject);
    }
    if letter.text.len() > TEXT_BYTES_MAX || letter.html.as_ref().is_some_and(|html| html.len() > TEXT_BYTES_MAX) {
        return Err(LetterError::LongText);
    }
    if letter.to.is_empty() {
        return Err(LetterError::Nobody);
    }
    if letter.to.len() + letter.cc.len() > RECIPIENTS_MAX {
        return Err(LetterError::TooMany);
    }
    Ok(())
}

/// The name of the message, from what is the same on each try.
pub(super) fn message_id(letter: &Letter, from: &Mailbox) -> String {
    let digest = Digest::of(letter.key.as_bytes()).to_string();
    format!("<{}@{}>", digest.get(..32).unwrap_or(&digest), from.domain())
}

/// The whole message, lines ended by CR LF.
pub(super) fn bytes(letter: &Letter, from: &Mailbox) -> Vec<u8> {
    let mut out = String::new();
    let mut header = |name: &str, value: &str| {
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    };
    header("Date", &date(letter));
    header("From", &shown(from));
    header("To", &list(&letter.to));
    if !letter.cc.is_empty() {
        header("Cc", &list(&letter.cc));
    }
    header("Subject", &words(&letter.subject));
    let id = message_id(letter, from);
    header("Message-ID", &id);
    // Nobody's holiday reply needs to answer a program (RFC 3834).
    header("Auto-Submitted", "auto-generated");
    header("MIME-Version", "1.0");
    match &letter.html {
        None => part(&mut out, "text/plain", &letter.text),
        Some(html) => {
            // A boundary that base64 cannot hold.
            let boundary = format!("=_{}", id.trim_matches(['<', '>']).split('@').next().unwrap_or_default());
            out.push_str(&format!("Content-Type: multipart/alternative; boundary=\"{boundary}\"\r\n\r\n"));
            for (kind, text) in [("text/plain", &letter.text), ("text/html", html)] {
                out.push_str(&format!("--{boundary}\r\n"));
                part(&mut out, kind, text);
            }
            out.push_str(&format!("--{boundary}--\r\n"));
        }
    }
    out.into_bytes()
}

fn part(out: &mut String, kind: &str, text: &str) {
    out.push_str(&format!("Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
    // Line breaks of a text are CR LF on the way (RFC 2045, 6.8).
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let encoded = STANDARD.encode(text);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE_CHARS));
        out.push_str(line);
        out.push_str("\r\n");
        rest = more;
    }
}

fn date(letter: &Letter) -> String {
    let moment = jiff::Timestamp::from_microsecond(letter.date.micros()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::fmt::rfc2822::to_string(&moment.to_zoned_datetime(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}

/// Addresses, one a line.
fn list(all: &[Mailbox]) -> String {
    all.iter().map(shown).collect::<Vec<_>>().join(",\r\n ")
}

fn shown(mailbox: &Mailbox) -> String {
    match mailbox.name() {
        Some(name) => format!("{} <{}>", phrase(name), mailbox.address()),
        None => mailbox.address(),
    }
}

/// A name before an address: quoted where it is ASCII, else an encoded word.
fn phrase(name: &str) -> String {
    if is_plain(name) { format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")) } else { words(name) }
}

fn is_plain(text: &str) -> bool {
    text.chars().count() <= PLAIN_CHARS_MAX
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !text.contains("=?")
        && text.trim() == text
}

/// Text of a header.
fn words(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (word, more) = rest.split_at(end);
        all.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = more;
    }
    all.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use model::Time;

    use super::*;
    use crate::outbound::Origin;

    fn letter(subject: &str, text: &str, html: Option<&str>) -> Letter {
        Letter {
            to: vec!["Die Lage, früh <soc@example.com>".parse().unwrap(), "b@example.com".parse().unwrap()],
            cc: vec!["\"Night \\ shift\" <c@example.com>".parse().unwrap()],
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: html.map(str::to_owned),
            key: "run-1/mail".to_owned(),
            date: Time::parse("2026-11-22T08:00:00Z").unwrap(),
            now: Vec::new(),
            timeout: None,
            tenant: "default".to_owned(),
            origin: Origin::default(),
        }
    }

    fn from() -> Mailbox {
        "Sortie <sortie@soc.example>".parse().unwrap()
    }

    fn message(letter: &Letter) -> String {
        String::from_utf8(bytes(letter, &from())).unwrap()
    }

    #[test]
    fn a_message_is_ascii_with_short_lines_and_can_be_read_back() {
        let text = format!(".\r\n..\nLänge {}", "x".repeat(5_000));
        let subject = "Überlange Überschrift: ".repeat(10);
        let whole = message(&letter(&subject, &text, None));
        assert!(whole.is_ascii());
        assert!(whole.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])), "{whole}");
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Date: Sun, 22 Nov 2026 08:00:00 +0000"), "{head}");
        assert!(head.contains("From: \"Sortie\" <sortie@soc.example>"), "{head}");
        assert!(head.contains("b@example.com") && head.contains("Cc: \"Night \\\\ shift\" <c@example.com>"), "{head}");
        let decoded = STANDARD.decode(body.replace("\r\n", "")).unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), text.replace("\r\n", "\n").replace('\n', "\r\n"));
        let unfolded = head.replace("\r\n ", " ");
        let line = unfolded.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
        let read: String = line
            .split(' ')
            .map(|word| word.strip_prefix("=?utf-8?B?").unwrap().strip_suffix("?=").unwrap())
            .map(|word| String::from_utf8(STANDARD.decode(word).unwrap()).unwrap())
            .collect();
        assert_eq!(read, subject);
    }

    #[test]
    fn the_same_letter_is_the_same_bytes_and_the_name_follows_from_its_key() {
        let first = letter("a", "b", Some("<b>c</b>"));
        assert_eq!(bytes(&first, &from()), bytes(&first.clone(), &from()));
        let other = Letter { key: "run-2/mail".to_owned(), ..first.clone() };
        assert_ne!(message_id(&first, &from()), message_id(&other, &from()));
        assert!(message(&first).contains("multipart/alternative"));
    }

    #[test]
    fn a_subject_that_looks_encoded_is_encoded_and_one_with_a_line_break_is_refused() {
        assert_eq!(words("Alert A-1 is critical"), "Alert A-1 is critical");
        assert!(words("=?utf-8?B?ZXZpbA==?=").starts_with("=?utf-8?B?") && !words("=?x?=").contains("=?x?="));
        for bad in ["a\r\nBcc: evil@example.org", "a\nb", "a\u{0}b", "a\u{85}b"] {
            assert_eq!(check(&letter(bad, "", None)), Err(LetterError::Subject), "{bad:?}");
        }
        assert_eq!(check(&letter(&"x".repeat(401), "", None)), Err(LetterError::LongSubject));
        assert_eq!(check(&letter("x", &"x".repeat(TEXT_BYTES_MAX + 1), None)), Err(LetterError::LongText));
        assert_eq!(check(&Letter { to: Vec::new(), ..letter("x", "", None) }), Err(LetterError::Nobody));
        let many = vec!["a@example.com".parse().unwrap(); RECIPIENTS_MAX + 1];
        assert_eq!(check(&Letter { to: many, ..letter("x", "", None) }), Err(LetterError::TooMany));
    }
}
