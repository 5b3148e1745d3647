//! Forms with a file: `multipart/form-data` (RFC 7578), read whole within a bound.
//!
//! Invariant: what is not exactly of the form that browsers send is refused; the bytes of the file are handed on as they
//! came.

use bytes::Bytes;

use super::form::Form;

/// Most parts of a form.
const PARTS_MAX: usize = 32;
/// Longest head of a part, in bytes.
const HEAD_BYTES_MAX: usize = 4_096;

/// A file that a person has chosen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// Its name, without the folders that some browsers send.
    pub(super) name: String,
    /// What its browser takes it for.
    pub(super) media_type: String,
    /// Its content.
    pub(super) content: Bytes,
}

/// The boundary that a `Content-Type` of `multipart/form-data` names.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';');
    if !parts.next()?.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = parts.find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    // RFC 2046: 1 to 70 characters.
    ((1..=70).contains(&named.len()) && named.is_ascii()).then_some(named)
}

/// The fields of a form and the first file of it; nothing when it is not of that form.
pub(super) fn parse(body: &Bytes, boundary: &str) -> Option<(Form, File)> {
    let line = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut at = line.len();
    if !body.starts_with(line.as_bytes()) {
        return None;
    }
    let (mut fields, mut file) = (Vec::new(), None);
    for _ in 0..=PARTS_MAX {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Some((Form::of(fields), file.unwrap_or_default()));
        }
        at += rest.starts_with(b"\r\n").then_some(2)?;
        let head_length = find(&body[at..], b"\r\n\r\n").filter(|length| *length <= HEAD_BYTES_MAX)?;
        let head = Head::read(std::str::from_utf8(&body[at..at + head_length]).ok()?)?;
        at += head_length + 4;
        let length = find(&body[at..], between.as_bytes())?;
        let content = body.slice(at..at + length);
        at += length + between.len();
        match head.file {
            None => fields.push((head.name, std::str::from_utf8(&content).ok()?.replace("\r\n", "\n"))),
            Some(name) if file.is_none() => file = Some(File { name, media_type: head.media_type, content }),
            Some(_) => {}
        }
    }
    None
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The head of a part.
struct Head {
    name: String,
    file: Option<String>,
    media_type: String,
}

impl Head {
    fn read(text: &str) -> Option<Head> {
        let value = |wanted: &str| {
            let line = text
                .split("\r\n")
                .find(|line| line.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let disposition = value("content-disposition")?;
        let file = parameter(&disposition, "filename");
        let file = file.map(|name| name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned());
        Some(Head {
            name: parameter(&disposition, "name")?,
            file,
            media_type: value("content-type").unwrap_or_default(),
        })
    }
}

/// A parameter in quotes. Browsers write `%22`, `%0D` and `%0A` for what cannot stand there, and nothing else so.
fn parameter(text: &str, name: &str) -> Option<String> {
    let start = text.find(&format!("; {name}=\""))? + name.len() + 4;
    let value = text.get(start..)?.split('"').next()?;
    Some(value.replace("%22", "\"").replace("%0D", " ").replace("%0A", " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--x1\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nword\r\n--x1\r\nContent-Disposition: form-data; \
        name=\"file\"; filename=\"C:\\a\\no%22te.txt\"\r\nContent-Type: text/html\r\n\r\n<b>\r\n--not the end\r\n\r\n--x1--\r\n";

    #[test]
    fn fields_and_a_file_are_read_as_browsers_send_them() {
        let (form, file) = parse(&Bytes::from_static(BODY.as_bytes()), "x1").unwrap();
        assert_eq!(form.get("csrf"), "word");
        assert_eq!(file.name, "no\"te.txt");
        assert_eq!((&*file.media_type, &file.content[..]), ("text/html", &b"<b>\r\n--not the end\r\n"[..]));
    }

    #[test]
    fn what_is_cut_or_of_another_form_is_refused() {
        for end in 0..BODY.len() - 4 {
            assert!(parse(&Bytes::copy_from_slice(&BODY.as_bytes()[..end]), "x1").is_none(), "{end}");
        }
        assert!(parse(&Bytes::from_static(BODY.as_bytes()), "x2").is_none());
        let many = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n".repeat(PARTS_MAX + 2) + "--x--";
        assert!(parse(&Bytes::from(many), "x").is_none());
    }

    #[test]
    fn the_boundary_is_the_one_that_is_named() {
        assert_eq!(boundary("multipart/form-data; boundary=----WebKit1").as_deref(), Some("----WebKit1"));
        assert_eq!(boundary("multipart/form-data; charset=x; Boundary=\"a b\"").as_deref(), Some("a b"));
        for other in ["multipart/mixed; boundary=a", "multipart/form-data", "multipart/form-data; boundary="] {
            assert_eq!(boundary(other), None, "{other}");
        }
    }
}
