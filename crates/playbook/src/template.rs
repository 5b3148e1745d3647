//! Values with `${{ … }}` in them, parsed once at load. What is put in is never looked at again.
//!
//! `${{ expr }}` alone keeps the type of its value; inside a text it is put in as text (an absent value as nothing, lists
//! and objects as JSON). `${secret:NAME}` is a reference that only the sender resolves: a template that places one says
//! so by [`Template::secret`], and the same characters in data mean nothing.

use serde_json::Value;

use crate::diagnostic::Span;
use crate::reader::Reader;
use crate::script::{Budget, Evaluator, Expression, Names, Places, Purse, Scope, ScriptError, ScriptSource};
use crate::yaml::{self, Node};

/// A value with expressions in it.
#[derive(Debug, Clone)]
pub struct Template {
    span: Span,
    tree: Tree,
}

#[derive(Debug, Clone)]
enum Tree {
    Constant(Value),
    Value(Expression),
    Text {
        pieces: Vec<Piece>,
        encode: Option<Encode>,
    },
    /// With its value, when all of it is constant.
    List(Vec<Template>, Option<Value>),
    Map(Vec<(String, Template)>, Option<Value>),
    Secret {
        prefix: String,
        name: String,
    },
}

#[derive(Debug, Clone)]
enum Piece {
    Constant(String),
    Value(Expression),
}

/// What may stand in a template, and how it is put in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'a> {
    /// The secrets that may be placed; nothing where none may stand.
    pub secrets: Option<&'a [String]>,
    /// How what is put into a text is written there; nothing means as it is.
    pub encode: Option<Encode>,
}

/// How a value is written into a text that means something to a reader of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encode {
    /// Percent-encoded, for addresses.
    Percent,
    /// Escaped, for HTML.
    Html,
}

impl Template {
    /// A value without expressions.
    pub fn of(value: Value, span: Span) -> Template {
        Template { span, tree: Tree::Constant(value) }
    }

    /// Parses a value. What is wrong is noted on the reader; the template is then not to be used.
    pub fn compile(
        reader: &mut Reader,
        node: &Node,
        names: &Names,
        evaluator: &Evaluator,
        rules: Rules<'_>,
    ) -> Template {
        let tree = match &node.value {
            yaml::Value::Text(text) => compile_text(reader, node, text, names, evaluator, rules),
            yaml::Value::List(items) => {
                let items = items.iter().map(|item| Template::compile(reader, item, names, evaluator, rules));
                Tree::of_list(items.collect())
            }
            yaml::Value::Map(entries) => {
                for (key, _) in entries.iter().filter(|(key, _)| key.text.contains("${")) {
                    let help = Some("write the key as it is; only values can be computed".to_owned());
                    reader.error("PB406", key.span, "a key cannot be computed", help);
                }
                let entries = entries
                    .iter()
                    .map(|(key, item)| (key.text.clone(), Template::compile(reader, item, names, evaluator, rules)));
                Tree::of_map(entries.collect())
            }
            _ => Tree::Constant(node.to_json()),
        };
        Template { span: node.span, tree }
    }

    /// Puts the values in. `budget_bytes` is what the rendered values may still take; it is reduced.
    ///
    /// # Errors
    /// [`ScriptError`] when an expression has no value, or one of the budgets is used up.
    pub fn render(&self, evaluator: &Evaluator, scope: &Scope, budget_bytes: &mut usize) -> Result<Value, ScriptError> {
        let mut purse = Purse::new(Budget::STEP);
        Rendering { evaluator, scope, purse: &mut purse, room: budget_bytes }.render(self)
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The constant prefix and the name of the secret that it places.
    pub fn secret(&self) -> Option<(&str, &str)> {
        match &self.tree {
            Tree::Secret { prefix, name } => Some((prefix, name)),
            _ => None,
        }
    }

    /// Its entries, when it is a map.
    pub fn entries(&self) -> Option<Vec<(&str, &Template)>> {
        match &self.tree {
            Tree::Map(entries, _) => Some(entries.iter().map(|(name, item)| (name.as_str(), item)).collect()),
            _ => None,
        }
    }

    /// Its items, when it is a list.
    pub fn items(&self) -> Option<&[Template]> {
        match &self.tree {
            Tree::List(items, _) => Some(items),
            _ => None,
        }
    }

    /// Its value, when nothing has to be put in.
    pub fn constant(&self) -> Option<&Value> {
        match &self.tree {
            Tree::Constant(value) => Some(value),
            Tree::List(_, value) | Tree::Map(_, value) => value.as_ref(),
            _ => None,
        }
    }

    /// The text that it always begins with.
    pub fn constant_prefix(&self) -> Option<&str> {
        match &self.tree {
            Tree::Constant(Value::String(text)) => Some(text),
            Tree::Text { pieces, .. } => match pieces.first() {
                Some(Piece::Constant(text)) => Some(text),
                _ => Some(""),
            },
            Tree::Secret { prefix, .. } => Some(prefix),
            Tree::Value(_) => Some(""),
            _ => None,
        }
    }

    /// Whether it is one expression, of which nothing is known before it is rendered.
    pub fn is_expression(&self) -> bool {
        matches!(self.tree, Tree::Value(_))
    }
}

impl Tree {
    fn of_list(items: Vec<Template>) -> Tree {
        let constant = items.iter().map(|item| item.constant().cloned()).collect();
        Tree::List(items, constant)
    }

    fn of_map(entries: Vec<(String, Template)>) -> Tree {
        let constant = entries.iter().map(|(name, item)| Some((name.clone(), item.constant()?.clone()))).collect();
        Tree::Map(entries, constant)
    }
}

const OPEN: &str = "${{";
const CLOSE: &str = "}}";
const SECRET: &str = "${secret:";

/// A piece of a text before its expressions are compiled.
enum Raw<'t> {
    Constant(&'t str),
    /// The script and the byte at which it begins.
    Script(&'t str, usize),
}

/// Cuts a text into constants and scripts.
fn cut<'t>(reader: &mut Reader, text: &'t str, places: &Places) -> Option<Vec<Raw<'t>>> {
    let mut raw = Vec::new();
    let mut done = 0;
    while let Some(found) = text.get(done..).and_then(|rest| rest.find(OPEN)) {
        let open = done + found;
        let start = open + OPEN.len();
        let body = text.get(start..).unwrap_or_default();
        let Some(len) = end_of_script(body) else {
            let help = Some("close it with `}}`".to_owned());
            reader.error("PB401", places.at(chars(text, open), OPEN.len()), "`${{` is not closed", help);
            return None;
        };
        let script = body.get(..len).unwrap_or_default();
        if script.trim().is_empty() {
            let help = Some("write an expression between `${{` and `}}`".to_owned());
            reader.error("PB402", places.at(chars(text, open), len + 5), "the expression is empty", help);
            return None;
        }
        if open > done {
            raw.push(Raw::Constant(text.get(done..open).unwrap_or_default()));
        }
        raw.push(Raw::Script(script, start));
        done = start + len + CLOSE.len();
    }
    if done < text.len() || raw.is_empty() {
        raw.push(Raw::Constant(text.get(done..).unwrap_or_default()));
    }
    Some(raw)
}

fn chars(text: &str, byte: usize) -> usize {
    text.get(..byte).map_or(0, |before| before.chars().count())
}

/// Where the `}}` is that closes a script: outside of texts and of the script's own brackets.
fn end_of_script(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(c),
            (None, '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') if body.get(at..)?.starts_with(CLOSE) => return Some(at),
            _ => {}
        }
    }
    None
}

fn compile_text(
    reader: &mut Reader,
    node: &Node,
    text: &str,
    names: &Names,
    evaluator: &Evaluator,
    rules: Rules<'_>,
) -> Tree {
    let constant = || Tree::Constant(Value::String(text.to_owned()));
    if !text.contains("${") && !text.contains("{{") {
        return constant();
    }
    let places = Places::of(reader, node);
    foreign(reader, text, &places);
    if !text.contains("${") {
        return constant();
    }
    let Some(raw) = cut(reader, text, &places) else { return constant() };
    if let Some(tree) = secret(reader, text, &raw, &places, rules) {
        return tree;
    }
    let mut pieces = Vec::with_capacity(raw.len());
    for piece in raw {
        match piece {
            Raw::Constant(text) => pieces.push(Piece::Constant(text.to_owned())),
            Raw::Script(script, start) => {
                let source = ScriptSource::part(reader, script, &places, chars(text, start));
                match Expression::compile(source, names, evaluator) {
                    Ok(expression) => pieces.push(Piece::Value(expression)),
                    Err(found) => reader.extend(found),
                }
            }
        }
    }
    match <[Piece; 1]>::try_from(pieces) {
        Ok([Piece::Value(expression)]) if rules.encode.is_none() => match expression.constant() {
            Some(value) => Tree::Constant(value.clone()),
            None => Tree::Value(expression),
        },
        Ok([Piece::Constant(text)]) => Tree::Constant(Value::String(text)),
        Ok([piece]) => Tree::Text { pieces: vec![piece], encode: rules.encode },
        Err(pieces) => Tree::Text { pieces, encode: rules.encode },
    }
}

/// The placeholders of other systems, `{{ alert.name }}` and `${alert.name}`: they are sent as they are, which is hardly
/// meant.
fn foreign(reader: &mut Reader, text: &str, places: &Places) {
    let bare = text.match_indices("{{").find(|(at, _)| !text.get(..*at).is_some_and(|before| before.ends_with('$')));
    let single = text.match_indices("${").find(|(at, _)| {
        let rest = text.get(at + 2..).unwrap_or_default();
        !rest.starts_with(['{', '}']) && !rest.starts_with("secret:") && rest.contains('}')
    });
    let Some((at, sign)) = bare.or(single) else { return };
    let rest = text.get(at..).unwrap_or_default();
    let end = rest
        .find('}')
        .map_or(rest.len(), |end| end + 1 + usize::from(rest.get(end + 1..).is_some_and(|r| r.starts_with('}'))));
    let written = rest.get(..end).unwrap_or_default();
    let name = written.trim_matches(|c: char| "${} ".contains(c));
    let starts = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    if sign == "${" && starts.is_empty() {
        return;
    }
    let message = format!("`{}` is sent as it is: nothing is put in", written.lines().next().unwrap_or_default());
    let help = format!("write `${{{{ {name} }}}}` to have a value put in");
    let span = places.at(chars(text, at), written.lines().next().map_or(1, |line| line.chars().count()));
    reader.warning("PB407", span, message, Some(help));
}

/// A text that places a secret, or that tries to.
fn secret(reader: &mut Reader, text: &str, raw: &[Raw<'_>], places: &Places, rules: Rules<'_>) -> Option<Tree> {
    let at = text.find(SECRET)?;
    let inside_script = !raw.iter().any(|piece| matches!(piece, Raw::Constant(text) if text.contains(SECRET)));
    if inside_script {
        return None;
    }
    let rest = text.get(at + SECRET.len()..)?;
    let name = rest.split('}').next().unwrap_or_default();
    let span = places.at(chars(text, at), SECRET.len() + name.chars().count() + 1);
    let ends = rest.strip_prefix(name) == Some("}");
    let Some(declared) = rules.secrets else {
        let help = "secrets are placed in `headers` and `auth` of `http.request`, and in destinations".to_owned();
        reader.error("PB403", span, "a secret cannot stand here", Some(help));
        return Some(Tree::Secret { prefix: String::new(), name: name.to_owned() });
    };
    if !ends || raw.len() != 1 {
        let help = "write it as the whole value, or at the end of a constant text such as \"Bearer ${secret:NAME}\""
            .to_owned();
        reader.error("PB403", span, "a secret stands alone or at the end of a constant text", Some(help));
    } else if !is_secret_name(name) {
        let help = "use capital letters, digits and `_`, such as `VT_KEY`".to_owned();
        reader.error("PB405", span, format!("`{name}` is not the name of a secret"), Some(help));
    } else if !declared.iter().any(|known| known == name) {
        let help = format!("add `secrets: [{name}]` to the playbook");
        reader.error("PB404", span, format!("the secret `{name}` is not declared"), Some(help));
    }
    Some(Tree::Secret { prefix: text.get(..at)?.to_owned(), name: name.to_owned() })
}

/// Whether a text can be the name of a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// One rendering.
struct Rendering<'r> {
    evaluator: &'r Evaluator,
    scope: &'r Scope,
    purse: &'r mut Purse,
    room: &'r mut usize,
}

impl Rendering<'_> {
    fn render(&mut self, template: &Template) -> Result<Value, ScriptError> {
        match &template.tree {
            Tree::Constant(value) => {
                self.take(size(value), template.span)?;
                Ok(value.clone())
            }
            Tree::Value(expression) => {
                let value = expression.value_within(self.evaluator, self.scope, self.purse)?;
                self.take(size(&value), template.span)?;
                Ok(value)
            }
            Tree::Text { pieces, encode } => self.text(pieces, *encode, template.span),
            Tree::List(items, _) => items.iter().map(|item| self.render(item)).collect(),
            Tree::Map(entries, _) => {
                entries.iter().map(|(name, item)| Ok((name.clone(), self.render(item)?))).collect()
            }
            Tree::Secret { prefix, name } => Ok(Value::String(format!("{prefix}{SECRET}{name}}}"))),
        }
    }

    fn text(&mut self, pieces: &[Piece], encode: Option<Encode>, span: Span) -> Result<Value, ScriptError> {
        let mut out = String::new();
        for piece in pieces {
            let before = out.len();
            match piece {
                Piece::Constant(text) => out.push_str(text),
                Piece::Value(expression) => {
                    let value = expression.value_within(self.evaluator, self.scope, self.purse)?;
                    let text = as_text(&value);
                    match encode {
                        None => out.push_str(&text),
                        Some(Encode::Percent) => percent_encode(&text, &mut out),
                        Some(Encode::Html) => escape_html(&text, &mut out),
                    }
                }
            }
            self.take(out.len() - before, span)?;
        }
        Ok(Value::String(out))
    }

    fn take(&mut self, bytes: usize, at: Span) -> Result<(), ScriptError> {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                *self.room = room;
                Ok(())
            }
            None => {
                *self.room = 0;
                let message = "the values of this step are too large together".to_owned();
                Err(ScriptError { code: "too_large", message, at })
            }
        }
    }
}

/// A value inside of a text.
fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What means something in HTML, in text and in quoted attributes, as references.
fn escape_html(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn percent_encode(text: &str, out: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// About how many bytes a value takes as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(object) => 2 + object.iter().map(|(key, item)| key.len() + 4 + size(item)).sum::<usize>(),
    }
}

/// Notes an expression where only a constant may stand.
pub(crate) fn only_constants(reader: &mut Reader, node: &Node) {
    match &node.value {
        yaml::Value::Text(text) => {
            if let Some(at) = text.find(OPEN).or_else(|| text.find(SECRET)) {
                let span = Places::of(reader, node).at(chars(text, at), OPEN.len());
                let help = Some("compute the value in a step".to_owned());
                reader.error("PB406", span, "only a constant may stand here", help);
            }
        }
        yaml::Value::List(items) => items.iter().for_each(|item| only_constants(reader, item)),
        yaml::Value::Map(entries) => entries.iter().for_each(|(_, item)| only_constants(reader, item)),
        _ => {}
    }
}
