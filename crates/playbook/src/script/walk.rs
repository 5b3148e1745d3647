//! The walk over a parsed script: checks every name, field and function, and puts our own calls in the place of what
//! Rhai answers too kindly (`.name`, `== ()`, `switch`).
//!
//! What closures capture is given to them by value, so that a script and its closures never share anything.

use std::sync::Arc;

use rhai::{
    AST, ASTFlags, ASTNode, Dynamic, Expr, FnCallExpr, FnPtr, ImmutableString, Module, Position, Stmt, StmtBlock,
};

use super::closure::{CAPTURE, Closure};

use super::engine::{Hashes, Name};
use super::functions;
use super::guard::Words;
use super::names::Names;
use super::scope::{Path, Root, STEP_FIELDS, Start, Step};
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

/// What is known about a value on the way along a chain.
struct Known {
    ty: Ty,
    path: Option<Path>,
}

impl Known {
    const ANY: Known = Known { ty: Ty::Any, path: None };

    fn of(ty: Ty) -> Known {
        Known { ty, path: None }
    }

    /// The path with one more step.
    fn step(&mut self, step: impl FnOnce() -> Step) -> Option<Path> {
        let mut path = self.path.take()?;
        path.steps.push(step());
        Some(path)
    }
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

    fn forbid(&mut self, at: Position, what: &str, help: &str) {
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
                Ty::Any
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

    fn keep(&mut self, known: Known) -> Ty {
        if let Some(path) = known.path
            && !self.paths.contains(&path)
        {
            self.paths.push(path);
        }
        known.ty
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
            name => self.function(name, at),
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

    fn function(&mut self, name: &str, at: Position) -> Ty {
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

    /// A name at the start of a chain, or alone.
    fn variable(&mut self, expr: &Expr) -> Known {
        let Expr::Variable(variable, _, at) = expr else { return Known::ANY };
        let name = variable.1.as_str();
        if let Some((_, ty)) = self.locals.iter().rev().find(|(known, _)| known == name) {
            return Known::of(*ty);
        }
        if name == "now" {
            self.uses(Name::Now);
            return Known { ty: Ty::Time, path: Some(Path { start: Start::Now, steps: Vec::new() }) };
        }
        if self.names.locals.iter().any(|known| known == name) {
            let name: Arc<str> = name.into();
            self.uses(Name::Local(name.clone()));
            return Known { ty: Ty::Any, path: Some(Path { start: Start::Local(name), steps: Vec::new() }) };
        }
        let Some(root) = Root::from_name(name) else {
            self.unknown_name(name, *at);
            return Known::ANY;
        };
        if !self.names.has(root) {
            let message = format!("`{name}` has no meaning here");
            self.error("PB304", *at, name.len(), message, Some(Names::why_not(root)));
        }
        self.uses(Name::Root(root));
        let ty = match root {
            Root::Vars | Root::Inputs => Ty::Any,
            root => Ty::Record(root),
        };
        Known { ty, path: Some(Path { start: Start::Root(root), steps: Vec::new() }) }
    }

    fn uses(&mut self, name: Name) {
        if !self.used.contains(&name) {
            self.used.push(name);
        }
    }

    fn unknown_name(&mut self, name: &str, at: Position) {
        let field = [Root::Alert, Root::Case, Root::Event]
            .into_iter()
            .filter(|root| self.names.has(*root))
            .find(|root| root.field(name).is_some());
        let help = field.map(|root| format!("did you mean `{}.{name}`?", root.name())).or_else(|| {
            let roots = Root::ALL.iter().map(|root| root.name());
            let own = self.locals.iter().map(|(known, _)| known.as_str());
            let given = self.names.locals.iter().map(String::as_str);
            did_you_mean(name, roots.chain(own).chain(given).chain(["now", "true", "false"]))
        });
        let words = [
            ("and", "&&"),
            ("or", "||"),
            ("not", "!"),
            ("null", "()"),
            ("None", "()"),
            ("True", "true"),
            ("False", "false"),
        ];
        let help = words.iter().find(|(word, _)| *word == name).map(|(_, right)| format!("write `{right}`")).or(help);
        self.error("PB302", at, name.chars().count(), format!("unknown name `{name}`"), help);
    }

    /// A chain such as `alert.users[0].len()`.
    fn chain(&mut self, expr: &mut Expr) -> Ty {
        let lhs = match expr {
            Expr::Dot(x, ..) | Expr::Index(x, ..) => &mut x.lhs,
            _ => return Ty::Any,
        };
        let known = if matches!(lhs, Expr::Variable(..)) { self.variable(lhs) } else { Known::of(self.expr(lhs)) };
        let known = self.links(expr, known);
        self.keep(known)
    }

    /// The links of a chain after what is `known`.
    fn links(&mut self, expr: &mut Expr, known: Known) -> Known {
        match expr {
            Expr::Dot(x, flags, _) => {
                let optional = flags.intersects(ASTFlags::NEGATED);
                match &mut x.rhs {
                    rest @ (Expr::Dot(..) | Expr::Index(..)) => {
                        let known = match rest {
                            Expr::Dot(inner, ..) | Expr::Index(inner, ..) => self.link(&mut inner.lhs, optional, known),
                            _ => Known::ANY,
                        };
                        self.links(rest, known)
                    }
                    link => self.link(link, optional, known),
                }
            }
            Expr::Index(x, flags, _) => {
                let ends = flags.intersects(ASTFlags::BREAK);
                match &mut x.rhs {
                    rest @ (Expr::Dot(..) | Expr::Index(..)) if !ends => {
                        let known = match rest {
                            Expr::Dot(inner, ..) | Expr::Index(inner, ..) => self.index(&mut inner.lhs, known),
                            _ => Known::ANY,
                        };
                        self.links(rest, known)
                    }
                    index => self.index(index, known),
                }
            }
            _ => known,
        }
    }

    /// One `.name` or `.name(…)`.
    fn link(&mut self, link: &mut Expr, optional: bool, mut known: Known) -> Known {
        match link {
            Expr::Property(property, at) => {
                let (name, at) = (property.2.clone(), *at);
                let ty = self.field(known.ty, &name, at, known.path.as_ref());
                let path = known.step(|| Step::Field { name: name.as_str().into(), optional });
                let (getter, hashes) = if optional {
                    (strict::OPTIONAL_FIELD, self.hashes.optional_field)
                } else {
                    (strict::FIELD, self.hashes.field)
                };
                let call = FnCallExpr {
                    name: getter.into(),
                    hashes,
                    args: std::iter::once(Expr::StringConstant(name, at)).collect(),
                    capture_parent_scope: false,
                    op_token: None,
                };
                *link = Expr::MethodCall(Box::new(call), at);
                Known { ty, path }
            }
            Expr::MethodCall(call, at) => {
                let at = *at;
                self.keep(known);
                let name = call.name.clone();
                call.args.iter_mut().for_each(|arg| {
                    self.expr(arg);
                });
                Known::of(self.function(&name, at))
            }
            other => {
                let at = other.start_position();
                self.forbid(at, "this", "write a field or a function after the dot");
                Known::ANY
            }
        }
    }

    /// One `[index]`.
    fn index(&mut self, index: &mut Expr, mut known: Known) -> Known {
        match index {
            Expr::IntegerConstant(at, _) => {
                let at = *at;
                Known { ty: Ty::Any, path: known.step(|| Step::Index(at)) }
            }
            Expr::StringConstant(name, at) => {
                let (name, at) = (name.clone(), *at);
                let ty = self.field(known.ty, &name, at, known.path.as_ref());
                Known { ty, path: known.step(|| Step::Field { name: name.as_str().into(), optional: false }) }
            }
            other => {
                self.expr(other);
                self.keep(known);
                Known::ANY
            }
        }
    }

    /// The type of a field, which must exist where that is known.
    fn field(&mut self, of: Ty, name: &ImmutableString, at: Position, path: Option<&Path>) -> Ty {
        match of {
            Ty::Record(Root::Steps) => self.step_id(name, at),
            Ty::Record(root) => match root.field(name) {
                Some(field) => Ty::of(field.ty),
                None => {
                    let known = root.fields().unwrap_or_default().iter().map(|field| field.name);
                    self.unknown_field(root.name(), name, at, known);
                    Ty::Any
                }
            },
            Ty::Step => match STEP_FIELDS.iter().find(|(known, _)| *known == name.as_str()) {
                Some(("succeeded", _)) => Ty::Bool,
                Some((_, ty)) => Ty::of(*ty),
                None => {
                    self.unknown_field("a step", name, at, STEP_FIELDS.iter().map(|(known, _)| *known));
                    Ty::Any
                }
            },
            Ty::Any => self.var(name, at, path),
            known => {
                let function = functions::find(name).map(|function| format!("write `{}()`", function.name));
                let message = format!("{} has no `{name}`", known.describe());
                self.error("PB303", at, name.chars().count(), message, function);
                Ty::Any
            }
        }
    }

    fn unknown_field<'n>(&mut self, of: &str, name: &str, at: Position, known: impl Iterator<Item = &'n str> + Clone) {
        let help = did_you_mean(name, known.clone()).unwrap_or_else(|| {
            let free = if ["alert", "case"].contains(&of) {
                format!("; what only the source knows is in `{of}.extra`")
            } else {
                String::new()
            };
            format!("it has {}{free}", known.collect::<Vec<_>>().join(", "))
        });
        self.error("PB303", at, name.chars().count(), format!("`{of}` has no field `{name}`"), Some(help));
    }

    fn step_id(&mut self, name: &str, at: Position) -> Ty {
        let len = name.chars().count();
        if self.names.later_steps.iter().any(|id| id == name) {
            let help = Some("refer to steps that come before".to_owned());
            self.error("PB212", at, len, format!("the step `{name}` has not run at this point"), help);
        } else if !self.names.steps.iter().any(|id| id == name) && self.names.has(Root::Steps) {
            let ids = self.names.steps.iter().chain(&self.names.later_steps).map(String::as_str);
            let help = did_you_mean(name, ids);
            self.error("PB212", at, len, format!("there is no step `{name}`"), help);
        }
        Ty::Step
    }

    /// A constant of the playbook, when that is what it is.
    fn var(&mut self, name: &str, at: Position, path: Option<&Path>) -> Ty {
        let of_vars = path.is_some_and(|path| path.start == Start::Root(Root::Vars) && path.steps.is_empty());
        let Some(serde_json::Value::Object(vars)) = self.names.vars.as_deref().filter(|_| of_vars) else {
            return Ty::Any;
        };
        let Some(value) = vars.get(name) else {
            let help = did_you_mean(name, vars.keys().map(String::as_str));
            self.error("PB303", at, name.chars().count(), format!("`vars` has no `{name}`"), help);
            return Ty::Any;
        };
        match value {
            serde_json::Value::String(_) => Ty::Text,
            serde_json::Value::Number(_) => Ty::Number,
            serde_json::Value::Bool(_) => Ty::Bool,
            serde_json::Value::Array(_) => Ty::List,
            _ => Ty::Any,
        }
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

/// The path that an expression is, when it is nothing else.
pub(super) fn path_of(expr: &Expr, locals: &[String]) -> Option<Path> {
    match expr {
        Expr::Variable(variable, _, _) => {
            let name = variable.1.as_str();
            let start = match Root::from_name(name) {
                Some(root) => Start::Root(root),
                None if name == "now" => Start::Now,
                None => Start::Local(locals.iter().find(|known| *known == name)?.as_str().into()),
            };
            Some(Path { start, steps: Vec::new() })
        }
        Expr::Dot(x, ..) | Expr::Index(x, ..) => {
            let mut path = path_of(&x.lhs, locals)?;
            path_links(expr, &mut path)?;
            Some(path)
        }
        _ => None,
    }
}

fn path_links(expr: &Expr, path: &mut Path) -> Option<()> {
    let (x, optional, ends, dot) = match expr {
        Expr::Dot(x, flags, _) => (x, flags.intersects(ASTFlags::NEGATED), false, true),
        Expr::Index(x, flags, _) => (x, false, flags.intersects(ASTFlags::BREAK), false),
        _ => return None,
    };
    let (link, rest) = match &x.rhs {
        rest @ (Expr::Dot(inner, ..) | Expr::Index(inner, ..)) if !ends => (&inner.lhs, Some(rest)),
        link => (link, None),
    };
    path.steps.push(match link {
        Expr::Property(property, _) if dot => Step::Field { name: property.2.as_str().into(), optional },
        Expr::StringConstant(name, _) if !dot => Step::Field { name: name.as_str().into(), optional: false },
        Expr::IntegerConstant(at, _) if !dot => Step::Index(*at),
        _ => return None,
    });
    rest.map_or(Some(()), |rest| path_links(rest, path))
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
