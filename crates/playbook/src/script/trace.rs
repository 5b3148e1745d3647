//! Why a condition answered as it did: every operand with what it says and what it sees, and which of them decided.
//!
//! The tree of `&&`, `||` and `!` is taken apart, its operands are asked one by one, and what would follow if one of them
//! said the opposite is computed from their answers. Operands are asked by the one engine that answers conditions; nothing
//! here knows what a comparison means. `some` and `all` are operands, and have the operands of their closure inside, item
//! by item.

use rhai::{Array, Dynamic, Expr, FnCallExpr, Position, Scope as Values, Stmt};
use serde_json::Value;

use super::closure::Closure;
use super::engine::{Evaluator, Name, Stopped};
use super::meter::Purse;
use super::source::Source;
use super::walk::leftmost;
use super::{Budget, Scope, pieces, view};
use crate::diagnostic::Span;

/// Most items of a list whose closure is looked into.
const ITEMS_MAX: usize = 20;
/// Deepest nesting of closures that is looked into.
const DEPTH_MAX: usize = 4;

/// What an operand says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// Yes.
    Yes,
    /// No.
    No,
    /// It cannot be answered.
    Failed {
        /// The kind of error.
        code: &'static str,
        /// The error, for people.
        message: String,
    },
}

/// One operand of a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// As written.
    pub text: String,
    /// Where it stands.
    pub at: Span,
    /// What it says, asked by itself.
    pub says: Says,
    /// Whether the answer got as far as this one.
    pub reached: bool,
    /// Whether the answer would be the opposite if this one alone said the opposite; of an answer that failed, whether it
    /// failed here.
    pub decides: bool,
    /// Whether it is one of several that would have to say the opposite together, where none decides alone.
    pub together: bool,
    /// What it sees: pieces of its text with their values.
    pub values: Vec<(String, Value)>,
    /// For `some` and `all`: the operands of the closure, item by item.
    pub inside: Vec<Inside>,
}

/// The operands of a closure for one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    /// The name of the item in the closure.
    pub name: String,
    /// The item.
    pub item: Value,
    /// The operands.
    pub operands: Vec<Operand>,
}

/// A condition as the tracer sees it: its statements, and the names that it reads.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub(super) statements: Vec<Stmt>,
    pub(super) names: Vec<Name>,
}

/// How operands hang together; a leaf is the place of an operand.
enum Node {
    Leaf(usize),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

/// Traces a condition.
pub(super) fn trace(whole: &Whole, source: &Source, evaluator: &Evaluator, scope: &Scope) -> Vec<Operand> {
    let mut values = Values::new();
    for name in &whole.names {
        let Ok(value) = name.value(scope) else { return Vec::new() };
        values.push_dynamic(name.text().to_owned(), value);
    }
    let mut tracer = Tracer { source, evaluator, purse: Purse::new(Budget::STEP) };
    let Some((last, before)) = whole.statements.split_last() else { return Vec::new() };
    for statement in before {
        if evaluator.eval(&mut values, vec![statement.clone()], &mut tracer.purse).is_err() {
            return Vec::new();
        }
    }
    expression(last).map(|expr| tracer.operands(&expr, &values, 0).0).unwrap_or_default()
}

/// The expression that a statement is.
fn expression(statement: &Stmt) -> Option<Expr> {
    match statement {
        Stmt::Expr(expr) => Some((**expr).clone()),
        Stmt::FnCall(call, at) => Some(Expr::FnCall(call.clone(), *at)),
        Stmt::Block(block) => match block.statements() {
            [only] => expression(only),
            _ => None,
        },
        _ => None,
    }
}

struct Tracer<'a> {
    source: &'a Source,
    evaluator: &'a Evaluator,
    purse: Purse,
}

impl Tracer<'_> {
    /// The operands of an expression, what it answers, and whether that can be told.
    fn operands(&mut self, expr: &Expr, values: &Values<'_>, depth: usize) -> (Vec<Operand>, Option<bool>) {
        let mut all = Vec::new();
        let node = self.node(expr, values, depth, &mut all);
        reach(&node, &mut all, true);
        decide(&node, &mut all);
        let answer = value(&node, &all);
        (all, answer)
    }

    fn node(&mut self, expr: &Expr, values: &Values<'_>, depth: usize, all: &mut Vec<Operand>) -> Node {
        match expr {
            Expr::And(items, _) => Node::All(items.iter().map(|item| self.node(item, values, depth, all)).collect()),
            Expr::Or(items, _) => Node::Any(items.iter().map(|item| self.node(item, values, depth, all)).collect()),
            Expr::FnCall(call, _) if call.name == "!" && call.args.len() == 1 => {
                Node::Not(Box::new(self.node(&call.args[0], values, depth, all)))
            }
            Expr::Stmt(block) if block.statements().len() == 1 => match expression(&block.statements()[0]) {
                Some(inner) => self.node(&inner, values, depth, all),
                None => self.leaf(expr, values, depth, all),
            },
            _ => self.leaf(expr, values, depth, all),
        }
    }

    fn leaf(&mut self, expr: &Expr, values: &Values<'_>, depth: usize, all: &mut Vec<Operand>) -> Node {
        let start = leftmost(expr);
        let (text, at) = self.piece(start, pieces::Until::Operand);
        let says = match self.value(expr, values) {
            Ok(said) => match said.as_bool() {
                Ok(true) => Says::Yes,
                Ok(false) => Says::No,
                Err(_) => Says::Failed { code: "not_boolean", message: "this is neither true nor false".to_owned() },
            },
            Err(stopped) => Says::Failed { code: stopped.fault.code, message: stopped.fault.message },
        };
        let mut operand = Operand {
            text,
            at,
            says,
            reached: false,
            decides: false,
            together: false,
            values: self.seen(expr, values),
            inside: Vec::new(),
        };
        if depth < DEPTH_MAX
            && let Some((list, call)) = pieces::last_call(expr).filter(|(_, call)| is_quantifier(call))
        {
            operand.inside = self.inside(&list, &call, values, depth).unwrap_or_default();
        }
        all.push(operand);
        Node::Leaf(all.len() - 1)
    }

    /// What an operand looks at: the sides of a comparison, or what a function is asked of.
    fn seen(&mut self, expr: &Expr, values: &Values<'_>) -> Vec<(String, Value)> {
        let parts: Vec<Expr> = match expr {
            Expr::FnCall(call, _) => call.args.to_vec(),
            _ => match pieces::last_call(expr) {
                Some((of, call)) if !call.name.starts_with("__") => vec![of],
                _ => vec![expr.clone()],
            },
        };
        let mut seen = Vec::new();
        for part in parts {
            let constant = matches!(
                part,
                Expr::StringConstant(..) | Expr::IntegerConstant(..) | Expr::FloatConstant(..) | Expr::BoolConstant(..)
            );
            if constant {
                continue;
            }
            let Ok(value) = self.value(&part, values) else { continue };
            let Ok(value) = view::to_json(&value) else { continue };
            seen.push((self.piece(leftmost(&part), pieces::Until::Side).0, value));
        }
        seen
    }

    /// The operands of a closure for each item of a list.
    fn inside(&mut self, list: &Expr, call: &FnCallExpr, values: &Values<'_>, depth: usize) -> Option<Vec<Inside>> {
        let items = self.value(list, values).ok()?.try_cast::<Array>()?;
        let closure = self.value(call.args.first()?, values).ok()?.try_cast::<Closure>()?;
        let body = match closure.statements() {
            [only] => expression(only)?,
            _ => return None,
        };
        let mut all = Vec::new();
        for (at, item) in items.into_iter().take(ITEMS_MAX).enumerate() {
            let json = view::to_json(&item).ok()?;
            let (name, within) = closure.with(item, at)?;
            all.push(Inside { name, item: json, operands: self.operands(&body, &within, depth + 1).0 });
        }
        Some(all)
    }

    fn value(&mut self, expr: &Expr, values: &Values<'_>) -> Result<Dynamic, Stopped> {
        let mut values = values.clone();
        self.evaluator.eval(&mut values, vec![Stmt::Expr(Box::new(expr.clone()))], &mut self.purse)
    }

    /// The text of a piece of the script, and where it stands.
    fn piece(&self, start: Position, until: pieces::Until) -> (String, Span) {
        let (from, text) = pieces::text(self.source.text(), self.source.byte(start), until);
        let before = self.source.text().get(..from).unwrap_or_default().chars().count();
        let len = text.lines().next().map_or(1, |line| line.chars().count()).max(1);
        let at = Span { len: crate::reader::clamp(len), ..self.source.span_of_char(before) };
        (text.split_whitespace().collect::<Vec<_>>().join(" "), at)
    }
}

fn is_quantifier(call: &FnCallExpr) -> bool {
    matches!(call.name.as_str(), "some" | "all") && call.args.len() == 1
}

/// What a piece of the tree answers; nothing when it cannot be told.
fn value(node: &Node, all: &[Operand]) -> Option<bool> {
    match node {
        Node::Leaf(at) => match all.get(*at)?.says {
            Says::Yes => Some(true),
            Says::No => Some(false),
            Says::Failed { .. } => None,
        },
        Node::Not(inner) => value(inner, all).map(|value| !value),
        Node::All(nodes) => first(nodes, all, false),
        Node::Any(nodes) => first(nodes, all, true),
    }
}

/// The answer of a row of operands that ends at the first one that says `end`.
fn first(nodes: &[Node], all: &[Operand], end: bool) -> Option<bool> {
    for node in nodes {
        if value(node, all)? == end {
            return Some(end);
        }
    }
    Some(!end)
}

/// Marks what the answer got as far as.
fn reach(node: &Node, all: &mut [Operand], reached: bool) {
    match node {
        Node::Leaf(at) => {
            if let Some(operand) = all.get_mut(*at) {
                operand.reached = reached;
            }
        }
        Node::Not(inner) => reach(inner, all, reached),
        Node::All(nodes) | Node::Any(nodes) => {
            let goes_on = matches!(node, Node::All(_));
            let mut reached = reached;
            for node in nodes {
                reach(node, all, reached);
                reached = reached && value(node, all) == Some(goes_on);
            }
        }
    }
}

/// Marks what decided.
fn decide(node: &Node, all: &mut [Operand]) {
    let alone = match value(node, all) {
        // It failed where the answer got to and no further.
        None => {
            let failed = |operand: &&usize| {
                all.get(**operand).is_some_and(|o| o.reached && matches!(o.says, Says::Failed { .. }))
            };
            leaves(node).iter().find(failed).copied().into_iter().collect()
        }
        Some(_) => singles(node, all),
    };
    if alone.is_empty() {
        for at in together(node, all) {
            if let Some(operand) = all.get_mut(at) {
                operand.together = true;
            }
        }
    }
    for at in alone {
        if let Some(operand) = all.get_mut(at) {
            operand.decides = true;
        }
    }
}

fn leaves(node: &Node) -> Vec<usize> {
    match node {
        Node::Leaf(at) => vec![*at],
        Node::Not(inner) => leaves(inner),
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().flat_map(leaves).collect(),
    }
}

/// The operands of which each alone would turn the answer. What was not reached and could not be answered stands in nobody's
/// way: `x != () && x > 5` is decided by its first side when `x` is absent.
fn singles(node: &Node, all: &[Operand]) -> Vec<usize> {
    match node {
        Node::Leaf(at) => vec![*at],
        Node::Not(inner) => singles(inner, all),
        Node::All(nodes) | Node::Any(nodes) => {
            let end = matches!(node, Node::Any(_));
            let enders: Vec<&Node> = nodes.iter().filter(|node| value(node, all) == Some(end)).collect();
            match enders.as_slice() {
                [] => nodes.iter().filter(|node| value(node, all).is_some()).flat_map(|n| singles(n, all)).collect(),
                [only] => singles(only, all),
                _ => Vec::new(),
            }
        }
    }
}

/// A smallest set of operands that would turn the answer together.
fn together(node: &Node, all: &[Operand]) -> Vec<usize> {
    match node {
        Node::Leaf(at) => vec![*at],
        Node::Not(inner) => together(inner, all),
        Node::All(nodes) | Node::Any(nodes) => {
            let end = matches!(node, Node::Any(_));
            let enders: Vec<&Node> = nodes.iter().filter(|node| value(node, all) == Some(end)).collect();
            if enders.is_empty() {
                let sets = nodes.iter().filter(|node| value(node, all).is_some()).map(|node| together(node, all));
                return sets.min_by_key(Vec::len).unwrap_or_default();
            }
            enders.into_iter().flat_map(|node| together(node, all)).collect()
        }
    }
}
