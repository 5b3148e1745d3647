//! Reading a query. What cannot be read is answered with its place.

use std::time::Duration;

use model::record::{PRIORITIES, priority, priority_rank};
use model::{Kind, Time};

use super::field::{Field, Nature};
use super::{DEPTH_MAX, Node, Op, QUERY_CHARS_MAX, Query, QueryError, TERMS_MAX, Wanted};

/// Reads a query about objects of a kind, asked at `now`.
///
/// # Errors
/// [`QueryError`] with the place.
pub fn parse(kind: Kind, text: &str, now: Time) -> Result<Query, QueryError> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > QUERY_CHARS_MAX {
        return Err(QueryError {
            at: QUERY_CHARS_MAX + 1,
            message: format!("a query has at most {QUERY_CHARS_MAX} characters"),
        });
    }
    let mut parser = Parser { kind, now, chars, at: 0, terms: 0, depth: 0 };
    let node = parser.any()?;
    parser.space();
    match parser.peek() {
        None => Ok(Query { node, now }),
        Some(')') => parser.wrong("this `)` closes nothing"),
        Some(_) => parser.wrong("this cannot be read"),
    }
}

struct Parser {
    kind: Kind,
    now: Time,
    chars: Vec<char>,
    at: usize,
    terms: usize,
    depth: usize,
}

/// A word as it stands: its text, whether it is quoted, where it begins.
struct Word {
    text: String,
    quoted: bool,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, QueryError> {
        Err(QueryError { at: self.at + 1, message: message.into() })
    }

    fn wrong_at<T>(at: usize, message: impl Into<String>) -> Result<T, QueryError> {
        Err(QueryError { at: at + 1, message: message.into() })
    }

    /// Takes a word of the language, if it stands here.
    fn takes(&mut self, word: &str) -> bool {
        self.space();
        let end = self.at + word.len();
        let here: String = self.chars.get(self.at..end).map(|chars| chars.iter().collect()).unwrap_or_default();
        let ends = self.chars.get(end).is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'));
        let taken = here == word && ends;
        if taken {
            self.at = end;
        }
        taken
    }

    fn any(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.all()?];
        while self.takes("OR") {
            nodes.push(self.all()?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.one()?];
        loop {
            let said = self.takes("AND");
            self.space();
            let before = self.at;
            let or = self.takes("OR");
            self.at = before;
            let ends = or || matches!(self.peek(), None | Some(')'));
            if ends && said {
                return self.wrong("something must follow `AND`");
            }
            if ends {
                return Ok(one_or(nodes, Node::All));
            }
            nodes.push(self.one()?);
        }
    }

    fn one(&mut self) -> Result<Node, QueryError> {
        self.space();
        if self.takes("NOT") {
            return self.deeper(|parser| parser.one()).map(|node| Node::Not(Box::new(node)));
        }
        match self.peek() {
            None => self.wrong("something is missing here"),
            Some(')') => self.wrong("something is missing before this `)`"),
            Some('-') if self.chars.get(self.at + 1).is_some_and(|c| !c.is_whitespace()) => {
                self.at += 1;
                self.deeper(|parser| parser.one()).map(|node| Node::Not(Box::new(node)))
            }
            Some('(') => {
                let open = self.at;
                self.at += 1;
                let node = self.deeper(|parser| parser.any())?;
                self.space();
                if self.peek() != Some(')') {
                    return Parser::wrong_at(open, "this `(` is not closed");
                }
                self.at += 1;
                Ok(node)
            }
            Some(_) => self.term(),
        }
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Parser) -> Result<Node, QueryError>) -> Result<Node, QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.wrong(format!("this is nested deeper than {DEPTH_MAX}"));
        }
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    /// A plain word, a phrase, or a field with what it is compared with.
    fn term(&mut self) -> Result<Node, QueryError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return self.wrong(format!("a query has at most {TERMS_MAX} terms"));
        }
        let word = self.word(true)?;
        if !word.quoted
            && let Some((op, negated)) = self.operator()
        {
            let field = Field::find(self.kind, &word.text).or_else(|message| Parser::wrong_at(word.at, message))?;
            let value = self.word(false)?;
            let wanted = self.wanted(&field, op, &value)?;
            let node = Node::Term { field, op, wanted };
            return Ok(if negated { Node::Not(Box::new(node)) } else { node });
        }
        for upper in ["AND", "OR", "NOT"] {
            if !word.quoted && word.text == upper {
                return Parser::wrong_at(
                    word.at,
                    format!("`{upper}` stands between two things, or in quotes to be looked for"),
                );
            }
        }
        Ok(Node::Word(word.text.to_lowercase()))
    }

    /// Reads up to white space, a parenthesis, or, for a name, an operator.
    fn word(&mut self, name: bool) -> Result<Word, QueryError> {
        let at = self.at;
        if self.peek() == Some('"') {
            self.at += 1;
            let mut text = String::new();
            loop {
                match self.peek() {
                    None => return Parser::wrong_at(at, "this quote is not closed"),
                    Some('"') => break,
                    Some('\\') if matches!(self.chars.get(self.at + 1), Some('"' | '\\')) => {
                        self.at += 1;
                        text.extend(self.peek());
                    }
                    Some(c) => text.push(c),
                }
                self.at += 1;
            }
            self.at += 1;
            return Ok(Word { text, quoted: true, at });
        }
        let mut text = String::new();
        while let Some(c) = self.peek() {
            let operator = name && matches!(c, ':' | '=' | '<' | '>' | '!');
            if c.is_whitespace() || matches!(c, '(' | ')' | '"') || operator {
                break;
            }
            text.push(c);
            self.at += 1;
        }
        if text.is_empty() {
            return self.wrong(if name {
                "a word is missing here"
            } else {
                "what the field is compared with is missing"
            });
        }
        Ok(Word { text, quoted: false, at })
    }

    /// An operator right after a name, and whether it says no.
    fn operator(&mut self) -> Option<(Op, bool)> {
        const ALL: [(&str, Op, bool); 11] = [
            (":>=", Op::AtLeast, false),
            (":<=", Op::AtMost, false),
            (":>", Op::Above, false),
            (":<", Op::Below, false),
            (">=", Op::AtLeast, false),
            ("<=", Op::AtMost, false),
            ("!=", Op::Is, true),
            (">", Op::Above, false),
            ("<", Op::Below, false),
            (":", Op::Is, false),
            ("=", Op::Is, false),
        ];
        let here: String = self.chars.iter().skip(self.at).take(3).collect();
        let (text, op, negated) = ALL.into_iter().find(|(text, ..)| here.starts_with(text))?;
        self.at += text.len();
        Some((op, negated))
    }

    fn wanted(&self, field: &Field, op: Op, value: &Word) -> Result<Wanted, QueryError> {
        let text = value.text.as_str();
        if op == Op::Is {
            if text == "*" && !value.quoted {
                return Ok(Wanted::Present);
            }
            if field.nature == Nature::Number {
                return match text.parse() {
                    Ok(number) => Ok(Wanted::Number(number)),
                    Err(_) => Parser::wrong_at(value.at, format!("`{text}` is not a number")),
                };
            }
            let lower = text.to_lowercase();
            let pieces = if value.quoted { vec![lower] } else { lower.split('*').map(str::to_owned).collect() };
            return Ok(Wanted::Text(pieces));
        }
        match field.nature {
            Nature::Number | Nature::Free => match text.parse() {
                Ok(number) => Ok(Wanted::Number(number)),
                Err(_) => Parser::wrong_at(value.at, format!("`{text}` is not a number")),
            },
            Nature::Time => self.time(text).map(Wanted::Time).map_or_else(
                || {
                    let message = format!("`{text}` is not a time; write 2026-11-22, an RFC 3339 time, or now-24h");
                    Parser::wrong_at(value.at, message)
                },
                Ok,
            ),
            Nature::Priority => match priority(text).and_then(priority_rank) {
                Some(rank) => Ok(Wanted::Rank(rank)),
                None => Parser::wrong_at(
                    value.at,
                    format!("`{text}` is not a priority; use one of {}", PRIORITIES.join(", ")),
                ),
            },
            Nature::Word | Nature::Prose | Nature::Stage => {
                Parser::wrong_at(value.at, format!("`{}` has no order; compare it with `:`", field.path.join(".")))
            }
        }
    }

    /// A day, a time, or so long before now.
    fn time(&self, text: &str) -> Option<Time> {
        if let Some(ago) = text.strip_prefix("now-") {
            return Some(self.now.minus(model::period::parse(ago).ok()?));
        }
        if text == "now" {
            return Some(self.now.plus(Duration::ZERO));
        }
        Time::parse(text).or_else(|_| Time::parse(&format!("{text}T00:00:00Z"))).ok()
    }
}

fn one_or(mut nodes: Vec<Node>, many: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        Some(node) => {
            nodes.push(node);
            many(nodes)
        }
        None => many(nodes),
    }
}
