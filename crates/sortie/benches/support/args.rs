//! The arguments of a bench program: `--name value`, `--name`, and at most one word that says what to be.

use std::str::FromStr;

use super::Result;

/// The arguments.
pub(crate) struct Args(Vec<String>);

impl Args {
    /// Those of this process. Cargo adds `--bench`, which says nothing.
    pub(crate) fn of_process() -> Args {
        Args(std::env::args().skip(1).filter(|argument| argument != "--bench").collect())
    }

    /// The first word, when it is not an option: which part of the program this process plays.
    pub(crate) fn role(&self) -> Option<&str> {
        self.0.first().map(String::as_str).filter(|word| !word.starts_with("--"))
    }

    /// Whether an option stands there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    /// The value after an option, or in an environment variable, or the default.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn get<T: FromStr>(&self, name: &str, variable: &str, default: T) -> Result<T> {
        let mut rest = self.0.iter().skip_while(|argument| *argument != name).skip(1);
        let text = rest.next().cloned().or_else(|| std::env::var(variable).ok());
        match text {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name}: `{text}` cannot be read").into()),
        }
    }

    /// As [`Args::get`], for a list with commas.
    ///
    /// # Errors
    /// When an item cannot be read.
    pub(crate) fn list<T: FromStr>(&self, name: &str, variable: &str, default: &str) -> Result<Vec<T>> {
        let text: String = self.get(name, variable, default.to_owned())?;
        text.split(',')
            .map(|item| item.parse().map_err(|_| format!("{name}: `{item}` cannot be read").into()))
            .collect()
    }
}
