//! `sortie schema`: the JSON Schema of playbooks.

use super::World;
use super::exit::Error;

/// The schema as it is checked in.
pub(super) fn text() -> String {
    let catalog = engine::catalog(None, model::record::Vocabulary::default(), None, None);
    format!("{:#}", playbook::schema(&catalog))
}

/// Prints it.
pub(super) fn run(world: &World) -> Result<(), Error> {
    Ok(world.console.data(&text())?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_that_is_checked_in_is_the_one_of_this_program() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/playbook.schema.json");
        let text = super::text() + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap();
        assert!(there == text, "run the tests with BLESS=1 to write docs/playbook.schema.json anew");
    }
}
