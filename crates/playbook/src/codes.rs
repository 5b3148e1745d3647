//! The codes of mistakes, each with its page. A code is never reused for another mistake.

/// Pairs each code with its title and the page about it.
macro_rules! pages {
    ($(($code:literal, $title:literal),)*) => {
        /// All codes with their titles, in order.
        static CODES: &[(&str, &str)] = &[$(($code, $title),)*];
        static PAGES: &[(&str, &str)] = &[$(($code, include_str!(concat!("../../../docs/errors/", $code, ".md"))),)*];
    };
}

pages![
    ("PB001", "this is not YAML"),
    ("PB002", "a tag"),
    ("PB003", "an anchor, an alias or a merge key"),
    ("PB004", "a key stands twice"),
    ("PB005", "a key without a value"),
    ("PB006", "several documents"),
    ("PB007", "too large or nested too deep"),
    ("PB008", "a number that is read differently elsewhere"),
    ("PB009", "a key that is not text"),
    ("PB010", "a value that needs quotes"),
    ("PB101", "an unknown key"),
    ("PB102", "a key is missing"),
    ("PB103", "a value of the wrong type"),
    ("PB104", "a value that is not allowed"),
    ("PB105", "not a length of time"),
    ("PB106", "a name that cannot be an id"),
    ("PB107", "an id that is used twice"),
    ("PB108", "a step id that is used twice"),
    ("PB109", "no triggers"),
    ("PB110", "no steps"),
    ("PB111", "too many steps"),
    ("PB112", "an unknown trigger"),
    ("PB113", "not a cron expression"),
    ("PB114", "an unknown time zone"),
    ("PB115", "not supported by this version"),
    ("PB116", "not a time"),
    ("PB117", "a key that tells nothing apart"),
    ("PB118", "a period that cannot be kept"),
    ("PB120", "a step with two kinds of work"),
    ("PB121", "a deadline is missing"),
    ("PB122", "a name that has a meaning already"),
    ("PB123", "a step that is never reached"),
    ("PB124", "a branch that is never taken"),
    ("PB130", "playbooks that can start each other"),
    ("PB131", "what must not be repeated, without a fuse"),
    ("PB132", "a playbook that is not here"),
    ("PB133", "playbooks that fight over one field"),
    ("PB201", "an unknown action"),
    ("PB202", "an unknown parameter"),
    ("PB203", "a parameter is missing"),
    ("PB204", "a parameter of the wrong type"),
    ("PB205", "an unknown destination"),
    ("PB206", "an unknown stage"),
    ("PB207", "an unknown priority"),
    ("PB208", "an unknown close reason"),
    ("PB209", "an unknown queue"),
    ("PB210", "an unknown tenant"),
    ("PB211", "an unknown event set"),
    ("PB212", "an unknown step"),
    ("PB213", "nothing to act on"),
    ("PB214", "an address that is not safe"),
    ("PB215", "an unknown field in `changed`"),
    ("PB216", "an unknown playbook"),
    ("PB217", "an input that does not fit"),
    ("PB218", "playbooks that call each other"),
    ("PB219", "an input that nobody gives"),
    ("PB301", "a script that cannot be read"),
    ("PB302", "an unknown name"),
    ("PB303", "an unknown field"),
    ("PB304", "a name that nothing can bring"),
    ("PB305", "a condition that is not yes or no"),
    ("PB306", "not part of this language"),
    ("PB307", "a script that is too long or too deep"),
    ("PB308", "an unknown function"),
    ("PB309", "a comparison without an answer"),
    ("PB310", "a comparison that is never true"),
    ("PB311", "a pattern that cannot be used"),
    ("PB401", "`${{` is not closed"),
    ("PB402", "an empty expression"),
    ("PB403", "a secret that stands in the wrong place"),
    ("PB404", "a secret that is not declared"),
    ("PB405", "a name that no secret can have"),
    ("PB406", "an expression where only a constant may stand"),
    ("PB407", "a placeholder of another system"),
    ("PB501", "a test that tests nothing"),
    ("PB502", "tests of no playbook"),
];

/// The page about a code.
pub fn explain_code(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| *known == code).map(|(_, page)| *page)
}

/// All codes with their titles, in order.
pub fn codes() -> &'static [(&'static str, &'static str)] {
    CODES
}
