//! Texts that are almost right: what people's editors, merges and slips of the hand make of a good file.

use super::random::Random;

/// Pieces that mean something to one of the readers.
const PIECES: &[&str] = &[
    "${{",
    "}}",
    "${secret:",
    "${{ alert.name }}",
    "\"",
    "'",
    "\\",
    "\\x41",
    "\\u{1F600}",
    "|\n",
    ">-\n",
    ": ",
    "- ",
    "? ",
    " #",
    "#",
    "!",
    "!!str ",
    "&a ",
    "*a",
    "%",
    "@",
    "`",
    "{",
    "}",
    "[",
    "]",
    ",",
    "<<: ",
    "---\n",
    "...\n",
    "\t",
    "\r\n",
    "\u{feff}",
    "\0",
    "\u{1b}[2J",
    "å",
    "日本",
    "e\u{301}",
    "👩‍💻",
    "\u{202e}",
    "\u{2028}",
    "\u{85}",
    "null",
    "~",
    "true",
    "yes",
    "007",
    "1e999",
    "-1",
    "9223372036854775808",
    ".inf",
    "2026-13-45",
    "10m",
    "0s",
    "alert.",
    "case.stage",
    "?.",
    "??",
    "&&",
    "||",
    "==",
    ">=",
    "!",
    "in ",
    ".some(|x| ",
    ".all(|d| d.id == 1)",
    ".len()",
    ".filter(|u| ",
    "capture(",
    "let x = 1; ",
    "if ",
    "else ",
    "switch ",
    "`a ${1}`",
    "when: ",
    "if: ",
    "steps:\n",
    "  - ",
    "id: ",
    "action: log",
    "with: { message: x }",
    "for_each: ",
    "parallel: ",
    "switch: ",
    "repeat: ",
    "try: ",
    "call: ",
    "wait: ",
    "approve: ",
    "set: ",
    "stop: ",
    "tests:\n",
    "vars: ",
    "secrets: [A]",
    "each: ",
    "events:\n",
    "samples:\n",
    "body.",
    "body?.x",
    "headers.",
    "dedupe: ",
    "concurrency: ",
    "0 8 * * MON-FRI",
    "Europe/Stockholm",
];

/// A text made from a good one, with some of another.
pub(crate) fn mutate(random: &mut Random, text: &str, other: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let times = 1 + random.below(4);
    for _ in 0..times {
        once(random, &mut chars, &other);
        chars.truncate(300_000);
    }
    chars.into_iter().collect()
}

fn once(random: &mut Random, chars: &mut Vec<char>, other: &[char]) {
    let at = random.below(chars.len() + 1);
    match random.below(13) {
        0 => drop(chars.splice(at..at, random.pick(PIECES).chars())),
        1 | 2 => {
            let end = (at + 1 + random.below(8)).min(chars.len());
            drop(chars.splice(at..end, random.pick(PIECES).chars()));
        }
        3 => drop(chars.drain(at..(at + 1 + random.below(20)).min(chars.len()))),
        4 => chars.truncate(at.max(1)),
        5 => {
            let from = random.below(other.len() + 1);
            let end = (from + random.below(200)).min(other.len());
            drop(chars.splice(at..at, other[from..end].iter().copied()));
        }
        6 => swap_lines(random, chars),
        7 => indent(random, chars),
        8 => {
            let crlf = chars.iter().flat_map(|c| if *c == '\n' { vec!['\r', '\n'] } else { vec![*c] });
            *chars = crlf.collect();
        }
        9 => {
            let end = (at + random.below(60)).min(chars.len());
            let piece: Vec<char> = chars[at..end].to_vec();
            let most = if random.one_in(20) { 400 } else { 4 };
            for _ in 0..random.below(most) {
                drop(chars.splice(at..at, piece.iter().copied()));
            }
        }
        10 if at < chars.len() => {
            chars[at] = char::from_u32(u32::try_from(random.below(0x2fff)).unwrap_or(65)).unwrap_or('\u{fffd}');
        }
        11 => chars.retain(|c| !"\"'".contains(*c)),
        _ => quote_a_line(random, chars),
    }
}

fn lines(chars: &[char]) -> Vec<Vec<char>> {
    chars.split(|c| *c == '\n').map(<[char]>::to_vec).collect()
}

fn swap_lines(random: &mut Random, chars: &mut Vec<char>) {
    let mut lines = lines(chars);
    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
    lines.swap(a, b);
    *chars = lines.join(&'\n');
}

fn indent(random: &mut Random, chars: &mut Vec<char>) {
    let mut lines = lines(chars);
    let at = random.below(lines.len());
    if random.one_in(2) {
        let blank = if random.one_in(4) { '\t' } else { ' ' };
        lines[at].splice(0..0, vec![blank; 1 + random.below(3)]);
    } else {
        let most = lines[at].iter().take_while(|c| **c == ' ').count();
        drop(lines[at].drain(..most.min(1 + random.below(3))));
    }
    *chars = lines.join(&'\n');
}

/// Writes the value of one line in another style of YAML.
fn quote_a_line(random: &mut Random, chars: &mut Vec<char>) {
    let mut lines = lines(chars);
    let at = random.below(lines.len());
    let line: String = lines[at].iter().collect();
    if let Some((key, value)) = line.split_once(": ") {
        let blank = " ".repeat(key.len() - key.trim_start().len() + 2);
        let value = value.trim().trim_matches(['"', '\'']);
        let written = match random.below(4) {
            0 => format!("{key}: '{}'", value.replace('\'', "''")),
            1 => format!("{key}: {value:?}"),
            2 => format!("{key}: >-\n{blank}{value}"),
            _ => format!("{key}: |\n{blank}{}", value.replace(' ', &format!("\n{blank}"))),
        };
        lines[at] = written.chars().collect();
    }
    *chars = lines.join(&'\n');
}

/// Bytes that are almost the body that a product sends.
pub(crate) fn mutate_bytes(random: &mut Random, body: &str, other: &str) -> Vec<u8> {
    let mut bytes = mutate(random, body, other).into_bytes();
    if random.one_in(3) && !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] = u8::try_from(random.below(256)).unwrap_or(0);
    }
    bytes
}
