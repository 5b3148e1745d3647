//! `sortie explain-code`: the page about an error code.

use super::World;
use super::args::ExplainCodeArguments;
use super::exit::Error;
use crate::config::codes;
use engine::outbound::destination;
use engine::source::file;

/// Shows a page, or the list of all codes.
pub(super) fn run(world: &World, arguments: &ExplainCodeArguments) -> Result<(), Error> {
    let Some(code) = &arguments.code else {
        let mut rows = vec![vec!["CODE".to_owned(), "MEANING".to_owned()]];
        rows.extend(all().map(|(code, title)| vec![code.to_owned(), title.to_owned()]));
        return Ok(world.console.table(&rows)?);
    };
    let upper = code.to_ascii_uppercase();
    let page = playbook::explain_code(&upper)
        .or_else(|| destination::explain_code(&upper))
        .or_else(|| file::explain_code(&upper))
        .or_else(|| codes::explain_code(&upper));
    match page {
        Some(page) => Ok(world.console.data(page.trim_end())?),
        None => Err(Error::Usage {
            message: format!("there is no code `{code}`"),
            help: "`sortie explain-code` without a code lists them all".to_owned(),
        }),
    }
}

/// All codes with their titles.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = codes::PAGES.iter().map(|(code, page)| {
        let title = page.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, title)| title);
        (*code, title)
    });
    playbook::codes()
        .iter()
        .copied()
        .chain(destination::codes().iter().copied())
        .chain(file::codes().iter().copied())
        .chain(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_title_and_a_page_and_no_code_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (code, title) in all() {
            assert!(seen.insert(code), "{code} stands twice");
            assert!(!title.is_empty(), "{code}");
        }
        assert!(seen.contains("CF103"));
    }
}
