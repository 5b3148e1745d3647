//! Pieces of a script: the text of an operand, and a chain without its last call.

use rhai::{BinaryExpr, Expr, FnCallExpr};

/// How far a piece of text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// To the next `&&` or `||`, or the end of the brackets around it.
    Operand,
    /// To the next comparison as well.
    Side,
}

/// The text from a byte on as far as it belongs together, and the byte where it begins: brackets that it leaves open on its
/// left are part of it.
pub(super) fn text(script: &str, start: usize, until: Until) -> (usize, &str) {
    let mut from = start.min(script.len());
    let mut end = from;
    let (mut depth, mut quote) = (0_usize, None);
    let bytes = script.as_bytes();
    while let Some(byte) = bytes.get(end).copied() {
        if let Some(open) = quote {
            match byte {
                b'\\' => end += 1,
                byte if byte == open => quote = None,
                _ => {}
            }
            end += 1;
            continue;
        }
        match byte {
            b'"' | b'`' => quote = Some(byte),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth > 0 => depth -= 1,
            b')' => {
                let Some(open) = opened(script, from) else { break };
                from = open;
            }
            b']' | b'}' | b',' | b';' if depth == 0 => break,
            _ if depth == 0 && stops(script, end, until) => break,
            _ => {}
        }
        end += 1;
    }
    let text = script.get(from..end.min(script.len())).unwrap_or_default().trim_end();
    let bare = without_brackets(text);
    (from + (text.len() - bare.len()) / 2, bare)
}

/// Without brackets around the whole, when nothing but them is around it.
fn without_brackets(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return text };
    let mut depth = 0_i64;
    for c in inner.chars() {
        depth += i64::from(c == '(') - i64::from(c == ')');
        if depth < 0 {
            return text;
        }
    }
    if inner.trim() == inner { without_brackets(inner) } else { text }
}

/// The bracket that stands directly before a byte.
fn opened(script: &str, from: usize) -> Option<usize> {
    let before = script.get(..from)?.trim_end();
    let open = before.strip_suffix('(')?;
    // The bracket of a call is not one around its argument.
    let called = open.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    (!called).then_some(open.len())
}

/// Whether the text ends before this byte.
fn stops(script: &str, at: usize, until: Until) -> bool {
    let Some(rest) = script.get(at..) else { return false };
    if rest.starts_with("&&") || rest.starts_with("||") {
        return true;
    }
    if until == Until::Operand {
        return false;
    }
    let word = ["in ", "in(", "!in "].iter().any(|word| rest.starts_with(word))
        && script.get(..at).is_some_and(|before| before.ends_with(char::is_whitespace));
    word || ["==", "!=", "<", ">"].iter().any(|op| rest.starts_with(op))
}

/// A chain without its last call, and that call: `alert.detections` and `some(…)` of `alert.detections.some(…)`.
pub(super) fn last_call(expr: &Expr) -> Option<(Expr, FnCallExpr)> {
    let (chain, is_dot, flags, at) = match expr {
        Expr::Dot(chain, flags, at) => (chain, true, *flags, *at),
        Expr::Index(chain, flags, at) => (chain, false, *flags, *at),
        _ => return None,
    };
    if let Expr::MethodCall(call, _) = &chain.rhs {
        return is_dot.then(|| (chain.lhs.clone(), (**call).clone()));
    }
    let (rest, call) = last_call(&chain.rhs)?;
    let whole = Box::new(BinaryExpr { lhs: chain.lhs.clone(), rhs: rest });
    Some((if is_dot { Expr::Dot(whole, flags, at) } else { Expr::Index(whole, flags, at) }, call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operand_ends_at_the_next_one_and_keeps_its_brackets() {
        let script = "(a + 1) * 2 > 5 && (b == \"x && y\" || c.some(|d| d.e == 1 && d.f))";
        let at = |word: &str| script.find(word).unwrap_or_default();
        assert_eq!(text(script, 1, Until::Operand), (0, "(a + 1) * 2 > 5"));
        assert_eq!(text(script, at("b =="), Until::Operand).1, "b == \"x && y\"");
        assert_eq!(text(script, at("c.some"), Until::Operand).1, "c.some(|d| d.e == 1 && d.f)");
        assert_eq!(text(script, at("d.e"), Until::Operand).1, "d.e == 1");
        assert_eq!(text(script, at("d.e"), Until::Side).1, "d.e");
        assert_eq!(text("a in b", 0, Until::Side).1, "a");
        assert_eq!(text("!((a == 1))", 3, Until::Operand), (3, "a == 1"));
    }
}
