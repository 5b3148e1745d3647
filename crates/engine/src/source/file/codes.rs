//! The codes of what can be wrong with a source's file, each with its page. Numbers are never used again.

/// The file cannot be read.
pub const UNREADABLE: &str = "SR101";
/// A name that no source can have, or that the configuration says otherwise.
pub const NAME: &str = "SR102";
/// An event type that cannot be one, or does not fit what the event is about.
pub(super) const TYPE: &str = "SR103";
/// A field that the object does not have.
pub(super) const FIELD: &str = "SR104";
/// A sample that does not give what it expects.
pub(super) const SAMPLE: &str = "SR105";
/// A value that means nothing here.
pub(super) const VALUE: &str = "SR106";

macro_rules! pages {
    ($($code:literal $title:literal),* $(,)?) => {
        const PAGES: &[(&str, &str)] = &[$(($code, include_str!(concat!("../../../../../docs/errors/", $code, ".md")))),*];
        const TITLES: &[(&str, &str)] = &[$(($code, $title)),*];
    };
}
pages!(
    "SR101" "the file of a source cannot be read",
    "SR102" "the name of a source does not fit",
    "SR103" "an event type does not fit",
    "SR104" "an unknown field in a mapping",
    "SR105" "a sample does not give what it expects",
    "SR106" "a value means nothing here",
);

/// All codes of sources with their titles, in order.
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
        for code in [UNREADABLE, NAME, TYPE, FIELD, SAMPLE, VALUE] {
            assert!(explain_code(code).is_some(), "{code}");
        }
    }
}
