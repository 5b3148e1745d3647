//! The codes of what can be wrong with destinations, each with its page. Numbers are never used again.

/// An id is not a name.
pub(super) const NAME: &str = "DS101";
/// There are too many destinations.
pub(super) const TOO_MANY: &str = "DS102";
/// Not a URL of Teams.
pub(super) const TEAMS: &str = "DS112";
/// The URL cannot be used.
pub(super) const URL: &str = "DS104";
/// The address in the URL is not allowed.
pub(super) const BLOCKED: &str = "DS105";
/// `auth` or `sign` has none of its forms.
pub(super) const FORM: &str = "DS106";
/// A reference to a secret is broken.
pub(super) const SECRET: &str = "DS107";
/// A secret stands in the file itself.
pub(super) const PLAIN_SECRET: &str = "DS108";
/// A header cannot be set.
pub(super) const HEADER: &str = "DS109";
/// A value means nothing here.
pub(super) const VALUE: &str = "DS110";
/// An event set is not a list of event types.
pub(super) const EVENT_SET: &str = "DS111";

macro_rules! pages {
    ($($code:literal $title:literal),* $(,)?) => {
        const PAGES: &[(&str, &str)] = &[$(($code, include_str!(concat!("../../../../../docs/errors/", $code, ".md")))),*];
        const TITLES: &[(&str, &str)] = &[$(($code, $title)),*];
    };
}
pages!(
    "DS101" "the id of a destination is not a name",
    "DS102" "there are too many destinations",
    "DS104" "the URL of a destination cannot be used",
    "DS105" "the address of a destination is not allowed",
    "DS106" "`auth` or `sign` has none of its forms",
    "DS107" "a reference to a secret is broken",
    "DS108" "a secret stands in the file itself",
    "DS109" "a header cannot be set",
    "DS110" "a value means nothing here",
    "DS111" "an event set is not a list of event types",
    "DS112" "this is not the URL of a Microsoft workflow or of Teams",
);

/// All codes of destinations with their titles, in order.
pub fn codes() -> &'static [(&'static str, &'static str)] {
    TITLES
}

/// The page about a code.
pub fn explain_code(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_begins_with_its_title() {
        for (code, title) in codes() {
            let page = explain_code(code).unwrap();
            assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}");
        }
        for code in [NAME, TOO_MANY, TEAMS, URL, BLOCKED, FORM, SECRET, PLAIN_SECRET, HEADER, VALUE, EVENT_SET] {
            assert!(explain_code(code).is_some(), "{code}");
        }
        assert_eq!(explain_code("DS999"), None);
    }
}
