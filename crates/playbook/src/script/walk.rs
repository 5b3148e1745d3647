//! The walk over a parsed script: checks every name, field and function, and puts our own calls in the place of what
//! Rhai answers too kindly (`.name`, `== ()`, `switch`).
//!
//! What closures capture is given to them by value, so that a script and its closures never share anything.

use rhai::{
    AST, ASTFlags, ASTNode, Dynamic, Expr, FnCallExpr, FnPtr, ImmutableString, Module, Position, Stmt, StmtBlock,
};

use super::closure::{CAPTURE, Closure};

use super::engine::{Hashes, Name};
use super::functions;
use super::guard::Words;
use super::names::Names;
use super::scope::{Path, Root};
use super::source::Source;
use super::strict;
use super::types::Ty;
use super::value::Op;
use crate::diagnostic::Diagnostic;
use crate::reader::did_you_mean;

/// The state of the walk.
pub(super) struct Walk<'a> {
    pub(super) names: &'a Names,
    pub(super) source: &'a Source,
    pub(super) words: &'a Words,
    pub(super) hashes: Hashes,
    /// Where the bodies of the closures are.
    pub(super) ast: &'a AST,
    pub(super) locals: Vec<(String, Ty)>,
    /// The names that it reads.
    pub(super) used: Vec<Name>,
    /// The paths that it reads, for reasons.
    pub(super) paths: Vec<Path>,
    pub(super) found: Vec<Diagnostic>,
}

impl Walk<'_> {
    pub(super) fn error(
        &mut self,
        code: &'static str,
        at: Position,
        len: usize,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let found = self.source.diagnostic(code, at, len, message.into(), help);
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }

    pub(super) fn forbid(&mut self, at: Position, what: &str, help: &str) {
        self.error("PB306", at, 1, format!("{what} is not part of this language"), Some(help.to_owned()));
    }

    /// Walks statements; the type is that of the last one.
    pub(super) fn statements(&mut self, statements: &mut [Stmt]) -> Ty {
        let mut ty = Ty::Absent;
        for statement in statements {
            ty = self.statement(statement);
        }
        ty
    }

    fn block(&mut self, block: &mut StmtBlock) -> Ty {
        let outer = self.locals.len();
        let ty = self.statements(block.statements_mut());
        self.locals.truncate(outer);
        ty
    }

    fn statement(&mut self, statement: &mut Stmt) -> Ty {
        match statement {
            Stmt::Noop(_) => Ty::Absent,
            Stmt::Expr(expr) => self.expr(expr),
            Stmt::FnCall(call, at) => self.call(call, *at),
            Stmt::Block(block) => self.block(block),
            Stmt::If(flow, _) => {
                self.truth(&mut flow.expr, "the condition of `if`");
                let yes = self.block(&mut flow.body);
                let no = self.block(&mut flow.branch);
                yes.or(no)
            }
            Stmt::Switch(switch, at) => {
                let cases = self.words.cases(*at);
                let (value, blocks) = &mut **switch;
                let at = value.start_position();
                self.expr(value);
                let guard = FnCallExpr {
                    name: strict::SWITCH.into(),
                    hashes: self.hashes.switch,
                    args: [std::mem::take(value), Expr::IntegerConstant(cases.0, at)].into_iter().collect(),
                    capture_parent_scope: false,
                    op_token: None,
                };
                *value = Expr::FnCall(Box::new(guard), at);
                let mut ty = None;
                for case in blocks.expressions.iter_mut() {
                    self.truth(&mut case.lhs, "the condition of a case");
                    let this = self.expr(&mut case.rhs);
                    ty = Some(ty.map_or(this, |ty: Ty| ty.or(this)));
                }
                ty.unwrap_or(Ty::Absent)
            }
            Stmt::Var(var, flags, at) => {
                let (name, value, _) = &mut **var;
                let ty = self.expr(value);
                if flags.intersects(ASTFlags::EXPORTED) {
                    self.forbid(*at, "`export`", "leave it out");
                }
                self.declare(&name.name, name.pos, ty);
                Ty::Absent
            }
            Stmt::Assignment(assignment) => self.assignment(assignment),
            Stmt::Return(value, flags, at) => {
                if flags.intersects(ASTFlags::BREAK) {
                    self.forbid(*at, "`throw`", "a condition answers yes or no");
                }
                if let Some(value) = value {
                    self.expr(value);
                }
                Ty::Any
            }
            // What is captured is given by value.
            Stmt::Share(_) => {
                *statement = Stmt::Noop(Position::NONE);
                Ty::Absent
            }
            other => {
                let at = other.position();
                self.forbid(at, "this statement", "use `some`, `all`, `filter` or `map` on a list");
                Ty::Any
            }
        }
    }

    fn assignment(&mut self, assignment: &mut (rhai::OpAssignment, rhai::BinaryExpr)) -> Ty {
        let (op, sides) = assignment;
        self.expr(&mut sides.rhs);
        let local = match &sides.lhs {
            Expr::Variable(name, _, _) => self.locals.iter().any(|(known, _)| *known == name.1.as_str()),
            _ => false,
        };
        if !local {
            let message = "a script cannot change what it looks at";
            let help = "write `==` to compare; to keep a value for later in the script, use `let`";
            self.error("PB306", op.position(), 1, message, Some(help.to_owned()));
        }
        Ty::Absent
    }

    /// Makes a name of the script's own known.
    fn declare(&mut self, name: &str, at: Position, ty: Ty) {
        if Root::from_name(name).is_some() || name == "now" || name.starts_with("__") {
            let help = Some("use another name".to_owned());
            self.error("PB306", at, name.len(), format!("`{name}` already has a meaning"), help);
        }
        self.locals.push((name.to_owned(), ty));
    }

    /// Walks an expression that must be true or false.
    fn truth(&mut self, expr: &mut Expr, what: &str) {
        let at = leftmost(expr);
        let ty = self.expr(expr);
        if !ty.may_be_bool() {
            let message = format!("{what} must be true or false; this is {}", ty.describe());
            self.error("PB305", at, 1, message, Some("compare it with something".to_owned()));
        }
    }

    pub(super) fn expr(&mut self, expr: &mut Expr) -> Ty {
        match expr {
            Expr::BoolConstant(..) => Ty::Bool,
            Expr::IntegerConstant(..) | Expr::FloatConstant(..) => Ty::Number,
            Expr::CharConstant(..) | Expr::StringConstant(..) => Ty::Text,
            Expr::Unit(_) => Ty::Absent,
            Expr::DynamicConstant(value, at) => {
                let name = value.read_lock::<FnPtr>().map(|closure| closure.fn_name().to_owned());
                if let Some(name) = name {
                    **value = Dynamic::from(self.closure(&name, 0, *at));
                }
                Ty::Any
            }
            Expr::InterpolatedString(parts, _) => {
                parts.iter_mut().for_each(|part| {
                    self.expr(part);
                });
                Ty::Text
            }
            Expr::Array(items, _) => {
                items.iter_mut().for_each(|item| {
                    self.expr(item);
                });
                Ty::List
            }
            Expr::Map(entries, _) => {
                entries.0.iter_mut().for_each(|(_, item)| {
                    self.expr(item);
                });
                Ty::Object
            }
            Expr::And(items, _) | Expr::Or(items, _) => {
                items.iter_mut().for_each(|item| self.truth(item, "each side of `&&` and `||`"));
                Ty::Bool
            }
            Expr::Coalesce(items, _) => {
                let types: Vec<Ty> = items.iter_mut().map(|item| self.expr(item)).collect();
                let mut types = types.into_iter().filter(|ty| *ty != Ty::Absent);
                let first = types.next().unwrap_or(Ty::Absent);
                types.fold(first, |ty, next| if ty.broad() == next.broad() { ty } else { Ty::Any })
            }
            Expr::Stmt(block) => self.block(block),
            Expr::FnCall(call, at) => self.call(call, *at),
            Expr::Variable(..) => {
                let known = self.variable(expr);
                self.keep(known)
            }
            Expr::Dot(..) | Expr::Index(..) => self.chain(expr),
            other => {
                let at = other.start_position();
                self.forbid(at, "this", "use the names of the event, such as `alert` and `case`");
                Ty::Any
            }
        }
    }

    /// A call of an operator or a function.
    fn call(&mut self, call: &mut FnCallExpr, at: Position) -> Ty {
        if call.name == "curry" {
            self.capture(call, at);
            return Ty::Any;
        }
        if let Some(op) = Op::from_name(&call.name) {
            return self.comparison(call, op, at);
        }
        let types: Vec<Ty> = call.args.iter_mut().map(|arg| self.expr(arg)).collect();
        let number = |types: &[Ty]| types.iter().all(|ty| *ty == Ty::Number);
        match call.name.as_str() {
            "!" => {
                if let Some(ty) = types.first().filter(|ty| !ty.may_be_bool()) {
                    let message = format!("`!` needs true or false; this is {}", ty.describe());
                    self.error("PB305", at, 1, message, None);
                }
                Ty::Bool
            }
            "+" if types.iter().any(|ty| ty.broad() == Ty::Text) => Ty::Text,
            "+" | "-" | "*" | "/" | "%" | "**" => {
                if number(&types) {
                    Ty::Number
                } else {
                    Ty::Any
                }
            }
            ".." | "..=" => Ty::Any,
            "&" | "|" | "^" | "<<" | ">>" => {
                let help = format!("write `{0}{0}` for yes and no", call.name);
                self.forbid(at, &format!("`{}`", call.name), &help);
                Ty::Any
            }
            "contains" => {
                if let [hay, needle] = &types[..] {
                    self.check_in(*hay, *needle, at);
                }
                Ty::Bool
            }
            name => {
                let gives = self.function(name, at);
                self.pattern(call);
                gives
            }
        }
    }

    /// A pattern that stands in the script must be one.
    pub(super) fn pattern(&mut self, call: &FnCallExpr) {
        if let (true, Some(Expr::StringConstant(text, at))) = (call.name.starts_with("capture"), call.args.last())
            && let Err(message) = super::meaning::check_pattern(text)
        {
            let help = "patterns are regular expressions without look-around and back-references".to_owned();
            self.error("PB311", *at, text.chars().count() + 2, message, Some(help));
        }
    }

    fn check_in(&mut self, hay: Ty, needle: Ty, at: Position) {
        let never = match hay.broad() {
            Ty::Number | Ty::Bool | Ty::Absent => true,
            Ty::Text => !matches!(needle.broad(), Ty::Text | Ty::Any),
            _ => false,
        };
        if never {
            let message = format!("looking for {} in {} has no answer", needle.describe(), hay.describe());
            self.error(
                "PB309",
                at,
                2,
                message,
                Some("the right side of `in` is a list, a text or an object".to_owned()),
            );
        }
    }

    pub(super) fn function(&mut self, name: &str, at: Position) -> Ty {
        if let Some(function) = functions::find(name) {
            return function.gives;
        }
        let help = did_you_mean(name, functions::FUNCTIONS.iter().map(|function| function.name));
        let forbidden = super::engine::FORBIDDEN.contains(&name) || name == "sleep" || name.starts_with("__");
        let (code, message) = if forbidden {
            ("PB306", format!("`{name}` is not part of this language"))
        } else {
            ("PB308", format!("unknown function `{name}`"))
        };
        self.error(code, at, name.chars().count(), message, help);
        Ty::Any
    }

    /// A comparison: with `()` it becomes a test for absence; types that never fit are found here.
    fn comparison(&mut self, call: &mut FnCallExpr, op: Op, at: Position) -> Ty {
        let sides: Vec<Expr> = call.args.iter().cloned().collect();
        let types: Vec<Ty> = call.args.iter_mut().map(|arg| self.expr(arg)).collect();
        let ([left, right], [left_ty, right_ty]) = (&sides[..], &types[..]) else { return Ty::Bool };
        let unit = call.args.iter().position(|arg| matches!(arg, Expr::Unit(_)));
        if let (Some(unit), false) = (unit, op.orders()) {
            call.args.remove(unit);
            let (name, hashes) = if op == Op::Eq {
                (strict::ABSENT, self.hashes.absent)
            } else {
                (strict::PRESENT, self.hashes.present)
            };
            call.name = name.into();
            call.hashes = hashes;
            call.op_token = None;
            return Ty::Bool;
        }
        super::sense::comparison(self, (left, *left_ty), op, (right, *right_ty), at);
        Ty::Bool
    }

    /// A closure that captures: it gets copies.
    fn capture(&mut self, call: &mut FnCallExpr, at: Position) {
        let mut arguments = std::mem::take(&mut call.args).into_iter();
        let name = match arguments.next() {
            Some(Expr::DynamicConstant(closure, _)) => {
                closure.read_lock::<FnPtr>().map(|closure| closure.fn_name().to_owned())
            }
            _ => None,
        };
        let Some(name) = name else {
            return self.forbid(at, "`curry`", "write a closure");
        };
        let mut captured: Vec<Expr> = arguments.collect();
        captured.iter_mut().for_each(|name| {
            self.expr(name);
        });
        let closure = Dynamic::from(self.closure(&name, captured.len(), at));
        call.name = CAPTURE.into();
        call.hashes = self.hashes.capture;
        call.args = [Expr::DynamicConstant(Box::new(closure), at), Expr::Array(captured.into_iter().collect(), at)]
            .into_iter()
            .collect();
    }

    /// A closure; its first parameters are what it captures.
    fn closure(&mut self, name: &str, captures: usize, at: Position) -> Closure {
        let mut params: Vec<ImmutableString> = Vec::new();
        for (_, _, known, _, body) in self.ast.shared_lib().iter_script_fn_info() {
            if known == name {
                params = body.params.to_vec();
            }
        }
        let mut body = closure_body(self.ast, name);
        let outer = self.locals.len();
        for param in params.iter().skip(captures) {
            self.declare(param, at, Ty::Any);
        }
        self.statements(&mut body);
        self.locals.truncate(outer);
        Closure::new(AST::new(body, Module::new()), params, captures)
    }
}

/// The statements of a closure.
fn closure_body(ast: &AST, name: &str) -> Vec<Stmt> {
    let mut body = Vec::new();
    // (`clone_functions_only_filtered` does not filter in this version of Rhai.)
    let mut only = ast.clone_functions_only();
    only.retain_functions(|_, _, known, _| known == name);
    only.walk(&mut |nodes: &[ASTNode<'_>]| {
        if let [ASTNode::Stmt(statement)] = nodes {
            body.push((*statement).clone());
        }
        true
    });
    body
}

/// Where an expression begins.
pub(super) fn leftmost(expr: &Expr) -> Position {
    let first = |at: Position, others: &[Expr]| {
        others.iter().map(leftmost).chain([at]).filter(|at| !at.is_none()).min().unwrap_or(at)
    };
    match expr {
        Expr::FnCall(call, at) => first(*at, &call.args),
        Expr::And(items, at) | Expr::Or(items, at) | Expr::Coalesce(items, at) => first(*at, items),
        Expr::Dot(x, ..) | Expr::Index(x, ..) => leftmost(&x.lhs),
        other => other.start_position(),
    }
}
