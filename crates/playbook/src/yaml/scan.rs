//! Values as people meant them: a line of YAML looked at with the eyes of someone who wrote a script into it without quotes.
//!
//! Nothing here decides what is read; it only finds the piece that a message should ask to be quoted.

/// Longest line that is looked at, in bytes: nobody writes longer ones by hand.
pub(super) const LINE_BYTES_MAX: usize = 2_000;

/// A value that wants quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trap<'t> {
    /// Where it begins, in characters from 1.
    pub(super) column: u32,
    /// The whole value.
    pub(super) value: &'t str,
    /// What YAML makes of it.
    pub(super) why: &'static str,
}

/// What to do about a value.
pub(super) fn quote_this(value: &str) -> String {
    format!("quote this: '{}'", value.replace('\'', "''"))
}

/// A value that stands without quotes and reaches to the end of its line, or to a comment.
pub(super) fn plain_value(rest: &str) -> &str {
    rest.find(" #").map_or(rest, |end| rest.get(..end).unwrap_or_default()).trim_end()
}

/// A value that stands without quotes between `{` and `}` or `[` and `]`: to the comma or bracket that ends it, where
/// brackets and texts inside it belong to it.
pub(super) fn flow_value(rest: &str) -> &str {
    let mut depth = 0_u32;
    let mut quote = None;
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') if depth > 0 => depth -= 1,
            (None, ',' | ']' | '}') if depth == 0 => return rest.get(..at).unwrap_or_default().trim_end(),
            _ => {}
        }
    }
    rest.trim_end()
}

/// The value that wants quotes in a line of which the parser says that something is wrong at `column` (from 1).
pub(super) fn trap(line: &str, column: usize) -> Option<Trap<'_>> {
    if line.len() > LINE_BYTES_MAX {
        return None;
    }
    block(line).or_else(|| flow(line, column))
}

/// A value after a key at the beginning of a line, or after the dash of a list.
fn block(line: &str) -> Option<Trap<'_>> {
    let (at, value) = after_key(line)?;
    let why = if value.starts_with("? ") || value.starts_with("- ") {
        "begins with a sign that means something in YAML"
    } else if takes_for_its_own(value) {
        "begins with a character that means something in YAML"
    } else if value.contains(": ") && !value.starts_with(['"', '\'', '[', '{', '|', '>']) {
        "contains `: `, which YAML reads as a key"
    } else if value.starts_with(['|', '>']) && !is_block_header(value) {
        "begins with the sign of a text of several lines"
    } else {
        return None;
    };
    Some(Trap { column: column_of(line, at), value, why })
}

/// The value after a key, or after the dash of a list, with the byte where it begins.
fn after_key(line: &str) -> Option<(usize, &str)> {
    let trimmed = line.trim_start();
    let dash = trimmed.strip_prefix("- ").map(str::trim_start);
    let rest = dash.unwrap_or(trimmed);
    let value = match rest.split_once(": ") {
        Some((key, value)) if !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) => value,
        _ => dash?,
    };
    let value = value.trim();
    let after = line.len() - line.trim_end().len();
    Some((line.len().checked_sub(after + value.len())?, value))
}

/// `|`, `>-` and the like, with nothing but a comment behind.
fn is_block_header(value: &str) -> bool {
    let rest =
        value.trim_start_matches(['|', '>']).trim_start_matches(|c: char| "+-".contains(c) || c.is_ascii_digit());
    value.len() - value.trim_start_matches(['|', '>']).len() == 1
        && (rest.trim().is_empty() || rest.trim_start().starts_with('#'))
}

/// Whether a value begins with something that YAML takes for its own, and is not a whole list, map or quoted text.
fn takes_for_its_own(value: &str) -> bool {
    let rest = match value.chars().next() {
        Some('*' | '&' | '!' | '%' | '@' | '`' | ',') => return true,
        Some(open @ ('"' | '\'')) => value.get(1..).and_then(|rest| rest.split_once(open)).map(|(_, rest)| rest),
        Some('[' | '{') => {
            let mut depth = 0_i32;
            let end = value.find(|c| {
                depth += i32::from("[{".contains(c)) - i32::from("]}".contains(c));
                depth == 0
            });
            end.and_then(|end| value.get(end + 1..))
        }
        _ => return false,
    };
    rest.is_none_or(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('#'))
}

/// The item between `{` and `}` or `[` and `]` in which something is wrong.
fn flow(line: &str, column: usize) -> Option<Trap<'_>> {
    let until = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let mut best = None;
    // Each place where a value can begin, up to the mistake; the last one whose value reaches it is the one.
    let starts = line.match_indices([':', '[', '{', ',']).filter(|(at, _)| *at < until);
    for (at, sign) in starts {
        let rest = line.get(at + 1..).unwrap_or_default();
        let value_at = at + 1 + (rest.len() - rest.trim_start().len());
        if sign == ":" && !rest.starts_with(' ') {
            continue;
        }
        let value = flow_value(line.get(value_at..).unwrap_or_default());
        let inside = depth_before(line, at) > 0 || sign != ":";
        if inside && value_at + value.len() >= until && !value.starts_with(['{', '[', '"', '\'']) && !is_pair(value) {
            let wrong = value.contains(['[', ']', '{', '}', ',', '"']) || value.contains(": ") || value.contains(" ? ");
            if wrong && best.is_none() {
                best = Some((value_at, value));
            }
        }
        if inside && value_at + value.len() >= until && takes_for_its_own(value) {
            best = Some((value_at, value));
        }
    }
    let (at, value) = best?;
    let why = "holds characters that end a value between `{` and `}` or `[` and `]`";
    Some(Trap { column: column_of(line, at), value, why })
}

/// How many `{` and `[` are open before a byte; those inside of quoted texts do not count.
fn depth_before(line: &str, byte: usize) -> i32 {
    let mut quote = None;
    let mut depth = 0;
    for c in line.get(..byte).unwrap_or_default().chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            _ => {}
        }
    }
    depth
}

/// Whether this is a key with its value.
fn is_pair(text: &str) -> bool {
    text.split_once(": ")
        .is_some_and(|(key, _)| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)))
}

fn column_of(line: &str, byte: usize) -> u32 {
    crate::reader::clamp(line.get(..byte).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_flow_map_reaches_over_its_own_brackets() {
        for (rest, value) in [
            ("alert.users[0] == \"a, b\", action: log }", "alert.users[0] == \"a, b\""),
            ("max(alert.risk_score, 5) > 3, action: log }", "max(alert.risk_score, 5) > 3"),
            ("alert.users.some(|u| u == \"x\") }", "alert.users.some(|u| u == \"x\")"),
            ("plain }", "plain"),
        ] {
            assert_eq!(flow_value(rest), value);
        }
    }

    #[test]
    fn the_piece_that_wants_quotes_is_found_with_its_column() {
        let found = |line: &str, column: usize| trap(line, column).map(|trap| (trap.column, trap.value.to_owned()));
        let line = "  - { id: tell, if: alert.users[0] == \"root\", action: log }";
        assert_eq!(found(line, 32), Some((21, "alert.users[0] == \"root\"".to_owned())));
        assert_eq!(found("when: \"vip\" in alert.tags", 13), Some((7, "\"vip\" in alert.tags".to_owned())));
        assert_eq!(found("    message: New alert: x", 23), Some((14, "New alert: x".to_owned())));
        assert_eq!(found("when: >= 90", 7), Some((7, ">= 90".to_owned())));
        assert_eq!(found("when: >- # folded", 7), None);
        assert_eq!(found("enabled: true", 1), None);
    }
}
