//! What a script may look like, judged on its words before it is parsed: nothing that could overflow the stack of the
//! parser, of the checks, or of the evaluation, in debug builds either.

use rhai::{Engine, Position, Token};

use model::limits;

use super::strict::Cases;

/// Most operators in one chain such as `a + b + c`.
const CHAIN_OPERATORS_MAX: usize = 32;
/// Most `.` in one chain such as `a.b.c`.
const CHAIN_LINKS_MAX: usize = 32;
/// Most `!` or `-` in a row.
const PREFIXES_MAX: usize = 4;
/// Most `if`, `else`, `switch` and closures together.
const BRANCHES_MAX: usize = 32;

/// A script's words with their places.
pub(super) struct Words {
    pub(super) tokens: Vec<(Token, Position)>,
}

/// Why a script is refused unread.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) message: String,
    pub(super) at: Position,
}

/// Splits a script into words and refuses what is nested too deep.
pub(super) fn words(engine: &Engine, source: &str) -> Result<Words, Refused> {
    let (tokens, _control) = engine.lex([&source]);
    let mut counts = vec![Counts::default()];
    let mut branches = 0;
    let mut kept = Vec::new();
    for (token, at) in tokens {
        if token == Token::EOF || kept.len() > limits::SCRIPT_BYTES_MAX {
            break;
        }
        let refuse = |message: String| Err(Refused { message, at });
        match &token {
            Token::LeftParen | Token::LeftBracket | Token::LeftBrace | Token::MapStart | Token::QuestionBracket => {
                if token == Token::QuestionBracket {
                    return refuse("`?[` is not part of this language; write `.get(…)`".to_owned());
                }
                counts.push(Counts::default());
            }
            Token::RightParen | Token::RightBracket | Token::RightBrace if counts.len() > 1 => {
                counts.pop();
            }
            Token::If | Token::Else | Token::Switch | Token::Pipe => branches += 1,
            _ => {}
        }
        let depth = counts.len();
        if let Some(counts) = counts.last_mut() {
            counts.count(&token);
            if depth > limits::SCRIPT_DEPTH_MAX || counts.too_many() || branches > BRANCHES_MAX {
                return refuse(
                    "the script is too deeply nested or too long in one piece; use `let` for its parts".to_owned(),
                );
            }
        }
        kept.push((token, at));
    }
    Ok(Words { tokens: kept })
}

/// What stands in one piece of a script, within one pair of brackets.
#[derive(Debug, Default)]
struct Counts {
    operators: usize,
    links: usize,
    prefixes: usize,
}

impl Counts {
    fn count(&mut self, token: &Token) {
        match token {
            Token::Period | Token::Elvis => self.links += 1,
            Token::LeftBracket | Token::RightBracket | Token::LeftParen | Token::RightParen | Token::Identifier(_) => {
                self.prefixes = 0;
            }
            Token::Bang | Token::UnaryMinus | Token::UnaryPlus => self.prefixes += 1,
            Token::And | Token::Or | Token::DoubleQuestion | Token::Comma | Token::SemiColon | Token::DoubleArrow => {
                *self = Counts::default();
            }
            token if token.is_standard_symbol() => {
                self.operators += 1;
                self.links = 0;
            }
            _ => self.prefixes = 0,
        }
    }

    fn too_many(&self) -> bool {
        self.operators > CHAIN_OPERATORS_MAX || self.links > CHAIN_LINKS_MAX || self.prefixes > PREFIXES_MAX
    }
}

impl Words {
    /// The types of the cases of the `switch` that stands at a place.
    pub(super) fn cases(&self, at: Position) -> Cases {
        let mut bits = 0;
        let start = self.tokens.iter().position(|(token, place)| *token == Token::Switch && *place == at);
        let Some(start) = start else { return Cases(0) };
        let (mut depth, mut open, mut in_case) = (0_usize, false, false);
        for (token, _) in self.tokens.iter().skip(start + 1) {
            match token {
                Token::LeftBrace if depth == 0 && !open => (open, in_case) = (true, true),
                Token::LeftBrace | Token::LeftParen | Token::LeftBracket | Token::MapStart => depth += 1,
                Token::RightBrace if depth == 0 && open => break,
                Token::RightBrace | Token::RightParen | Token::RightBracket => {
                    depth = depth.saturating_sub(1);
                    in_case |= depth == 0 && *token == Token::RightBrace && open;
                }
                Token::Comma if depth == 0 && open => in_case = true,
                Token::DoubleArrow | Token::If if depth == 0 => in_case = false,
                token if in_case && depth == 0 => bits |= case_bit(token),
                _ => {}
            }
        }
        Cases(bits)
    }

    /// Where the `&&` is that ends the part before `next`.
    pub(super) fn end_before(&self, next: Position) -> Option<Position> {
        let at = self.tokens.iter().position(|(_, place)| *place == next)?;
        let (before, _) = self.tokens.split_at(at);
        before.iter().rev().find(|(token, _)| *token == Token::And).map(|(_, place)| *place)
    }
}

fn case_bit(token: &Token) -> i64 {
    match token {
        Token::StringConstant(_) => Cases::TEXT,
        Token::CharConstant(_) => Cases::CHAR,
        Token::IntegerConstant(_) => Cases::INT,
        Token::FloatConstant(_) => Cases::FLOAT,
        Token::True | Token::False => Cases::BOOL,
        Token::Unit => Cases::UNIT,
        _ => 0,
    }
}
