//! URLs as people may see them: the path of a chat webhook is a credential.

/// How many of the last characters are shown.
const SHOWN_CHARS: usize = 4;

/// The scheme, the host and the last four characters of a URL; nothing of its path and query beyond them. A tail that
/// is shorter than twice that is not shown at all.
pub fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(cut);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let chars = tail.chars().count();
    if chars <= 1 {
        return format!("{scheme}://{host}{tail}");
    }
    let shown: String =
        if chars < 2 * SHOWN_CHARS { String::new() } else { tail.chars().skip(chars - SHOWN_CHARS).collect() };
    format!("{scheme}://{host}/…{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_and_the_last_four_characters_are_shown() {
        for (url, shown) in [
            (
                "https://prod-69.westus.logic.azure.com/workflows/abc?sig=SECRET1234",
                "https://prod-69.westus.logic.azure.com/…1234",
            ),
            ("https://hooks.slack.com/services/T0/B0/XXabcd", "https://hooks.slack.com/…abcd"),
            ("https://u:p@h.example/some/long/path", "https://h.example/…path"),
            ("https://h.example", "https://h.example"),
            ("https://h.example/", "https://h.example/"),
            ("https://h.example/hook", "https://h.example/…"),
            ("nonsense", "…"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }
}
