//! The codes of what can be wrong with the configuration, each with its page. Numbers are never used again.

/// The configuration cannot be read.
pub(crate) const UNREADABLE: &str = "CF101";
/// A feature that is not built yet.
pub(crate) const LATER: &str = "CF102";
/// A source does not say how its sender proves who it is.
pub(crate) const NO_AUTH: &str = "CF103";
/// A secret is missing or empty.
pub(crate) const NO_SECRET: &str = "CF104";
/// Authentication is off on an address that others reach.
pub(crate) const OPEN_DOOR: &str = "CF105";
/// A value means nothing here.
pub(crate) const UNREADABLE_VALUE: &str = "CF106";
/// Stages, close reasons, tenants or names do not fit together.
pub(crate) const WORDS: &str = "CF107";
/// A secret stands in the file itself.
pub(crate) const PLAIN_SECRET: &str = "CF108";
/// A playbook file is not a regular file, is too large, or cannot be read.
pub(crate) const PLAYBOOK_FILE: &str = "CF109";
/// A source is not known.
pub(crate) const UNKNOWN_SOURCE: &str = "CF110";

macro_rules! pages {
    ($($code:literal),*) => {
        /// The codes with their pages.
        pub(crate) const PAGES: &[(&str, &str)] =
            &[$(($code, include_str!(concat!("../../../../docs/errors/", $code, ".md")))),*];
    };
}
pages!("CF101", "CF102", "CF103", "CF104", "CF105", "CF106", "CF107", "CF108", "CF109", "CF110");

/// The page about a code.
pub(crate) fn explain_code(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_begins_with_its_code() {
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        }
        for code in [
            UNREADABLE,
            LATER,
            NO_AUTH,
            NO_SECRET,
            OPEN_DOOR,
            UNREADABLE_VALUE,
            WORDS,
            PLAIN_SECRET,
            PLAYBOOK_FILE,
            UNKNOWN_SOURCE,
        ] {
            assert!(explain_code(code).is_some(), "{code} has no page");
        }
        assert_eq!(explain_code("CF999"), None);
    }
}
