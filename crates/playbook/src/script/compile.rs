//! From the text of a script to something that answers, and the answering.

use std::sync::Arc;

use model::limits;
use rhai::{AST, Dynamic, Expr, LexError, Module, ParseErrorType, Position, Stmt};
use serde_json::Value;

use super::engine::{Evaluator, Name, Stopped};
use super::guard::{self, Words};
use super::meter::Purse;
use super::names::Names;
use super::native::{Term, Test, describe_paths};
use super::scope::{Fault, Path, Scope};
use super::source::Source;
use super::trace::{Operand, Whole, trace};
use super::types::Ty;
use super::view;
use super::walk::{Walk, leftmost};
use super::{Answer, Budget, ScriptError};
use crate::diagnostic::{Diagnostic, Span};

/// A script that answers yes or no.
#[derive(Debug, Clone)]
pub struct Condition {
    source: Source,
    /// All must say yes; evaluated in order.
    parts: Vec<Part>,
    /// The same in one piece, to be taken apart when somebody asks why.
    whole: Arc<Whole>,
}

/// One side of the outermost `&&`.
#[derive(Debug, Clone)]
struct Part {
    /// As written.
    text: Arc<str>,
    at: Span,
    code: Code,
}

/// How a part is answered.
#[derive(Debug, Clone)]
pub(super) enum Code {
    Native(Test),
    Path(Path),
    Constant(Value),
    Script(Unit),
}

/// A piece that Rhai runs.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    ast: AST,
    names: Vec<Name>,
    paths: Vec<Path>,
}

/// A script that gives any value.
#[derive(Debug, Clone)]
pub struct Expression {
    source: Source,
    code: Code,
}

/// A script that was parsed and checked.
struct Parsed {
    /// The statements before our own calls were put in.
    before: Vec<Stmt>,
    after: Vec<Stmt>,
    names: Vec<Name>,
    paths: Vec<Path>,
    words: Words,
    ty: Ty,
}

impl Condition {
    /// Compiles a script that answers yes or no.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(source: Source, names: &Names, evaluator: &Evaluator) -> Result<Condition, Vec<Diagnostic>> {
        let parsed = parse(&source, names, evaluator)?;
        if !parsed.ty.may_be_bool() {
            let message = format!("a condition answers yes or no; this is {}", parsed.ty.describe());
            let help = Some("compare it with something, such as `== \"…\"` or `> 0`".to_owned());
            let at = parsed.before.last().map_or(Position::NONE, start_of);
            return Err(vec![source.diagnostic("PB305", at, 1, message, help)]);
        }
        let parts = parts_of(&source, &parsed, names);
        let whole = Arc::new(Whole { statements: parsed.after, names: parsed.names });
        Ok(Condition { source, parts, whole })
    }

    /// The condition as it was written, each side of its outermost `&&` after the other.
    pub fn as_written(&self) -> String {
        self.parts.iter().map(|part| &*part.text).collect::<Vec<&str>>().join(" && ")
    }

    /// Answers.
    pub fn answer(&self, evaluator: &Evaluator, scope: &Scope, budget: Budget) -> Answer {
        let mut purse = None;
        for part in &self.parts {
            let said = match &part.code {
                Code::Native(test) => test.holds(scope).map_err(|fault| (fault, part.at)),
                Code::Script(unit) => {
                    let purse = purse.get_or_insert_with(|| Purse::new(budget));
                    evaluator.run(&unit.ast, &unit.names, scope, purse).and_then(truth).map_err(|stopped| {
                        let at = if stopped.at.is_none() { part.at } else { self.source.span(stopped.at, 1) };
                        (stopped.fault, at)
                    })
                }
                Code::Path(_) | Code::Constant(_) => Err((Fault::new("not_boolean", "this is no condition"), part.at)),
            };
            match said {
                Ok(true) => {}
                Ok(false) => return Answer::No { reason: part.reason(scope), at: part.at },
                Err((fault, at)) => return Answer::Failed { code: fault.code, message: fault.message, at },
            }
        }
        Answer::Yes
    }

    /// Every operand with what it says and sees, and which of them decided.
    pub fn trace(&self, evaluator: &Evaluator, scope: &Scope) -> Vec<Operand> {
        trace(&self.whole, &self.source, evaluator, scope)
    }

    /// As written.
    pub fn source(&self) -> &str {
        self.source.text()
    }

    /// Where it begins.
    pub fn at(&self) -> Span {
        self.parts.first().map(|part| part.at).unwrap_or_default()
    }

    /// Its parts as they are written, with how they are answered.
    pub(super) fn codes(&self) -> impl Iterator<Item = (&str, &Code)> {
        self.parts.iter().map(|part| (&*part.text, &part.code))
    }

    /// How many of its parts need Rhai.
    pub fn scripted_parts(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part.code, Code::Script(_))).count()
    }
}

impl Part {
    fn reason(&self, scope: &Scope) -> String {
        let mut paths = Vec::new();
        match &self.code {
            Code::Native(test) => test.paths(&mut paths),
            Code::Script(unit) => paths.extend(&unit.paths),
            Code::Path(_) | Code::Constant(_) => {}
        }
        let values = describe_paths(&paths, scope);
        let sees = if values.is_empty() { String::new() } else { format!(": {values}") };
        format!("`{}` is false{sees}", self.text)
    }
}

/// A value that must be true or false.
fn truth(value: Dynamic) -> Result<bool, Stopped> {
    value.as_bool().map_err(|_| {
        let what = if value.is_unit() {
            "nothing".to_owned()
        } else {
            view::to_json(&value).map_or_else(|f| f.message, |v| super::value::Operand::of(&v).describe().to_owned())
        };
        let fault = Fault::new("not_boolean", format!("the condition gives {what}, not true or false"));
        Stopped { fault, at: Position::NONE }
    })
}

impl Expression {
    /// Compiles a script that gives any value.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(source: Source, names: &Names, evaluator: &Evaluator) -> Result<Expression, Vec<Diagnostic>> {
        let parsed = parse(&source, names, evaluator)?;
        let simple = match &parsed.before[..] {
            [Stmt::Expr(expr)] => Term::of(expr, &names.locals),
            _ => None,
        };
        let code = match simple {
            Some(Term::Path(path)) => Code::Path(path),
            Some(Term::Constant(value)) => Code::Constant(value),
            None => Code::Script(Unit { ast: tree(parsed.after), names: parsed.names, paths: parsed.paths }),
        };
        Ok(Expression { source, code })
    }

    /// The value.
    ///
    /// # Errors
    /// [`ScriptError`] when it has none, or went over its budget.
    pub fn value(&self, evaluator: &Evaluator, scope: &Scope, budget: Budget) -> Result<Value, ScriptError> {
        self.value_within(evaluator, scope, &mut Purse::new(budget))
    }

    /// The value, with what is left of a budget.
    ///
    /// # Errors
    /// [`ScriptError`] when it has none, or went over what is left.
    pub fn value_within(&self, evaluator: &Evaluator, scope: &Scope, purse: &mut Purse) -> Result<Value, ScriptError> {
        let found = match &self.code {
            Code::Path(path) => scope.find(path).map(|operand| operand.to_json()),
            Code::Constant(value) => Ok(value.clone()),
            Code::Native(test) => test.holds(scope).map(Value::Bool),
            Code::Script(unit) => {
                let ran = evaluator.run(&unit.ast, &unit.names, scope, purse);
                return ran
                    .and_then(|value| view::to_json(&value).map_err(|fault| Stopped { fault, at: Position::NONE }))
                    .map_err(|stopped| {
                        let at = self.source.span(stopped.at, 1);
                        ScriptError { code: stopped.fault.code, message: stopped.fault.message, at }
                    });
            }
        };
        found.map_err(|fault| ScriptError { code: fault.code, message: fault.message, at: self.at() })
    }

    /// As written.
    pub fn source(&self) -> &str {
        self.source.text()
    }

    /// The value that it always has, when it is a constant.
    pub fn constant(&self) -> Option<&Value> {
        match &self.code {
            Code::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Where it begins.
    pub fn at(&self) -> Span {
        let before = self.source.text().chars().take_while(|c| c.is_whitespace()).count();
        let len = self.source.text().trim().lines().next().map_or(1, |line| line.chars().count());
        Span { len: crate::reader::clamp(len.max(1)), ..self.source.span_of_char(before) }
    }
}

/// A tree of statements; closures stand in it as constants.
fn tree(statements: Vec<Stmt>) -> AST {
    AST::new(statements, Module::new())
}

/// Parses and checks.
fn parse(source: &Source, names: &Names, evaluator: &Evaluator) -> Result<Parsed, Vec<Diagnostic>> {
    let text = source.text();
    let refuse = |code, at, message: String, help| Err(vec![source.diagnostic(code, at, 1, message, help)]);
    if text.len() > limits::SCRIPT_BYTES_MAX {
        let most = limits::SCRIPT_BYTES_MAX / 1024;
        return refuse(
            "PB307",
            Position::NONE,
            format!("the script has {} KB; at most {most} KB are allowed", text.len().div_ceil(1024)),
            None,
        );
    }
    if text.trim().is_empty() {
        return refuse("PB301", Position::NONE, "the script is empty".to_owned(), None);
    }
    let engine = &evaluator.inner.engine;
    let words = match guard::words(engine, text) {
        Ok(words) => words,
        Err(refused) => return refuse("PB307", refused.at, refused.message, None),
    };
    let ast = match engine.compile(text) {
        Ok(ast) => ast,
        Err(error) => return Err(vec![syntax_error(source, error.err_type(), error.position())]),
    };
    let before = ast.statements().to_vec();
    let mut after = before.clone();
    let mut walk = Walk {
        names,
        source,
        words: &words,
        hashes: evaluator.inner.hashes,
        ast: &ast,
        locals: Vec::new(),
        used: Vec::new(),
        paths: Vec::new(),
        found: Vec::new(),
    };
    let ty = walk.statements(&mut after);
    let Walk { used, paths, found, .. } = walk;
    if found.is_empty() { Ok(Parsed { before, after, names: used, paths, words, ty }) } else { Err(found) }
}

/// The parts of a condition, cut at its outermost `&&`.
fn parts_of(source: &Source, parsed: &Parsed, names: &Names) -> Vec<Part> {
    let (before, after) = match (&parsed.before[..], &parsed.after[..]) {
        ([Stmt::Expr(before)], [Stmt::Expr(after)]) => match (&**before, &**after) {
            (Expr::And(before, _), Expr::And(after, _)) => (before.to_vec(), after.to_vec()),
            (before, after) => (vec![before.clone()], vec![after.clone()]),
        },
        ([Stmt::FnCall(before, at)], [Stmt::FnCall(after, _)]) => {
            (vec![Expr::FnCall(before.clone(), *at)], vec![Expr::FnCall(after.clone(), *at)])
        }
        _ => return vec![whole(source, parsed)],
    };
    let mut parts = Vec::with_capacity(before.len());
    for (n, (before_expr, after)) in before.iter().zip(after).enumerate() {
        let start = leftmost(before_expr);
        let end = before.get(n + 1).and_then(|next| parsed.words.end_before(leftmost(next)));
        let start_byte = if n == 0 { 0 } else { source.byte(start) };
        let end_byte = end.map_or(source.text().len(), |end| source.byte(end));
        let text = balanced(source.text().get(start_byte..end_byte).unwrap_or_default());
        let len = text.lines().next().map_or(1, |line| line.chars().count());
        let code = match Test::of(before_expr, &names.locals) {
            Some(test) => Code::Native(test),
            None => Code::Script(Unit {
                ast: tree(vec![Stmt::Expr(Box::new(after))]),
                names: parsed.names.clone(),
                paths: parsed.paths.clone(),
            }),
        };
        parts.push(Part { text: text.into(), at: source.span(start, len), code });
    }
    parts
}

/// A script of several statements is one part.
fn whole(source: &Source, parsed: &Parsed) -> Part {
    let at = parsed.before.first().map_or(Position::NONE, start_of);
    let unit = Unit { ast: tree(parsed.after.clone()), names: parsed.names.clone(), paths: parsed.paths.clone() };
    let text = source.text().trim();
    let first = text.lines().next().unwrap_or_default();
    let shown = if first.len() < text.len() { format!("{first} …") } else { first.to_owned() };
    Part { text: shown.into(), at: source.span(at, first.chars().count()), code: Code::Script(unit) }
}

fn start_of(statement: &Stmt) -> Position {
    match statement {
        Stmt::Expr(expr) => leftmost(expr),
        Stmt::FnCall(call, at) => {
            call.args.iter().map(leftmost).chain([*at]).filter(|at| !at.is_none()).min().unwrap_or(*at)
        }
        other => other.position(),
    }
}

/// Without white space around it and without brackets that open or close outside of it.
fn balanced(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let depth = |text: &str| text.chars().fold(0_i64, |depth, c| depth + i64::from(c == '(') - i64::from(c == ')'));
        let cut = match depth(text).signum() {
            1 => text.strip_prefix('('),
            -1 => text.strip_suffix(')'),
            _ => None,
        };
        match cut {
            Some(shorter) => text = shorter.trim(),
            None => return text,
        }
    }
}

/// What Rhai's parser says, in words that help.
fn syntax_error(source: &Source, error: &ParseErrorType, at: Position) -> Diagnostic {
    let forbidden = |word: &str| {
        let elsewhere = ELSEWHERE.iter().find(|(known, _)| *known == word).map(|(_, help)| *help);
        let patterns = "for patterns write `capture(text, pattern) != ()`";
        let help = elsewhere.or((word.contains('~')).then_some(patterns)).unwrap_or("a script compares and looks into lists with `some`, `all`, `filter` and `map`; it does not loop, define or print").to_owned();
        source.diagnostic(
            "PB306",
            at,
            word.chars().count(),
            format!("`{word}` is not part of this language"),
            Some(help),
        )
    };
    let (message, help) = match error {
        ParseErrorType::Reserved(word) | ParseErrorType::UnknownOperator(word) => return forbidden(word),
        ParseErrorType::BadInput(LexError::ImproperSymbol(word, _))
            if super::engine::FORBIDDEN.contains(&word.as_str()) =>
        {
            return forbidden(word);
        }
        ParseErrorType::BadInput(LexError::MalformedChar(_)) => {
            ("a text stands in single quotes".to_owned(), Some("write texts in double quotes: \"…\"".to_owned()))
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            let help = "close the text with `\"`; where the YAML line has ` #`, quote the whole value, as YAML reads ` #` as a comment";
            ("a text is not closed".to_owned(), Some(help.to_owned()))
        }
        ParseErrorType::ExprTooDeep => {
            return source.diagnostic(
                "PB307",
                at,
                1,
                "the script is nested too deep; use `let` for its parts".to_owned(),
                None,
            );
        }
        ParseErrorType::MissingToken(token, _) if token == ";" => next_to_each_other(source, at),
        ParseErrorType::BadInput(LexError::UnexpectedInput(sign)) => unexpected(sign),
        other => (format!("this cannot be read: {other}"), None),
    };
    source.diagnostic("PB301", at, 1, message, help)
}

/// Words and signs of other languages, and what is written here for them.
const ELSEWHERE: [(&str, &str); 9] = [
    ("and", "write `&&`"),
    ("or", "write `||`"),
    ("not", "write `!( … )`, or `!=`"),
    ("is", "write `==`"),
    ("contains", "write `list.contains(value)`, or `value in list`"),
    ("matches", "write `capture(text, pattern) != ()`"),
    ("like", "write `text.contains(piece)`"),
    ("then", "write `if condition { a } else { b }`"),
    ("?", "write `if condition { a } else { b }`; what may be absent is `?.field` or `?? other`"),
];

/// Two values without an operator between them.
fn next_to_each_other(source: &Source, at: Position) -> (String, Option<String>) {
    let rest = source.text().get(source.byte(at)..).unwrap_or_default();
    let before = source.text().get(..source.byte(at)).unwrap_or_default().split_whitespace().next_back();
    if before == Some("not") {
        return ("`not` is not part of this language".to_owned(), Some("write `!( … )`, or `!=`".to_owned()));
    }
    let word: String = rest.chars().take_while(|c| c.is_alphabetic()).collect::<String>().to_lowercase();
    let sign = if word.is_empty() { rest.chars().take(1).collect() } else { word };
    match ELSEWHERE.iter().find(|(known, _)| *known == sign) {
        Some((known, help)) => (format!("`{known}` is not part of this language"), Some((*help).to_owned())),
        None => {
            let help = "between two values there must be an operator: `&&`, `||`, `==`, `in` …";
            ("two values stand next to each other".to_owned(), Some(help.to_owned()))
        }
    }
}

/// A character that means nothing here.
fn unexpected(sign: &str) -> (String, Option<String>) {
    let Some(c) = sign.chars().next().filter(|c| !c.is_ascii()) else {
        let help = ELSEWHERE.iter().find(|(known, _)| *known == sign).map(|(_, help)| (*help).to_owned());
        return (format!("`{sign}` means nothing here"), help);
    };
    let help = if "“”„‟«»‘’‚".contains(c) {
        "it is a quotation mark of a text processor; write `\"`"
    } else if c.is_alphabetic() {
        "names have Latin letters only, and some letters of other scripts look the same; type the word anew, or quote it if it is a text"
    } else {
        "delete it, or quote it if it is part of a text"
    };
    (format!("`{c}` (U+{:04X}) means nothing here", u32::from(c)), Some(help.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_of_others_are_left_out_of_a_part() {
        assert_eq!(balanced(" (a || b) "), "(a || b)");
        assert_eq!(balanced("a || b)"), "a || b");
        assert_eq!(balanced("((a"), "a");
    }
}
