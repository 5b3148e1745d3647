//! Names and what follows them: `alert.users[0].len()`. Every name, field and step must exist where that is known.

use std::sync::Arc;

use rhai::{ASTFlags, Expr, FnCallExpr, ImmutableString, Position};

use super::engine::Name;
use super::functions;
use super::names::Names;
use super::scope::{Path, Root, STEP_FIELDS, Start, Step};
use super::strict;
use super::types::Ty;
use super::walk::Walk;
use crate::reader::did_you_mean;

/// What is known about a value on the way along a chain.
pub(super) struct Known {
    pub(super) ty: Ty,
    pub(super) path: Option<Path>,
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
    /// Notes a path that was read to its end.
    pub(super) fn keep(&mut self, known: Known) -> Ty {
        if let Some(path) = known.path
            && !self.paths.contains(&path)
        {
            self.paths.push(path);
        }
        known.ty
    }

    /// A name at the start of a chain, or alone.
    pub(super) fn variable(&mut self, expr: &Expr) -> Known {
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
        // Words of other systems for what is called otherwise here.
        let elsewhere = [
            ("severity", "alert.priority"),
            ("score", "alert.risk_score"),
            ("title", "alert.name"),
            ("username", "alert.users"),
            ("hostname", "alert.endpoints"),
            ("host", "alert.endpoints"),
            ("ip", "alert.src_ips"),
            ("incident", "case"),
            ("owner", "case.assignee"),
        ];
        let help = help.or_else(|| {
            let found = elsewhere.iter().find(|(word, _)| *word == name);
            found.map(|(_, right)| format!("it is called `{right}` here"))
        });
        let help = words.iter().find(|(word, _)| *word == name).map(|(_, right)| format!("write `{right}`")).or(help);
        self.error("PB302", at, name.chars().count(), format!("unknown name `{name}`"), help);
    }

    /// A chain such as `alert.users[0].len()`.
    pub(super) fn chain(&mut self, expr: &mut Expr) -> Ty {
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
                self.pattern(call);
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
            // An object that the script itself writes down: its keys are its own affair.
            Ty::Object => Ty::Any,
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
        if let Some(why) = self.names.hidden_steps.get(name) {
            let message = format!("the step `{name}` cannot be read here");
            self.error("PB212", at, len, message, Some(why.clone()));
        } else if self.names.later_steps.iter().any(|id| id == name) {
            let help = Some("refer to steps that come before".to_owned());
            self.error("PB212", at, len, format!("the step `{name}` has not run at this point"), help);
        } else if !self.names.steps.iter().any(|id| id == name) && self.names.has(Root::Steps) {
            let ids = self.names.steps.iter().chain(&self.names.later_steps).map(String::as_str);
            let help = did_you_mean(name, ids);
            self.error("PB212", at, len, format!("there is no step `{name}`"), help);
        }
        Ty::Step
    }

    /// A constant or an input of the playbook, when that is what it is.
    fn var(&mut self, name: &str, at: Position, path: Option<&Path>) -> Ty {
        let root = path.filter(|path| path.steps.is_empty()).map(|path| &path.start);
        let (what, all) = match root {
            Some(Start::Root(Root::Vars)) => ("vars", self.names.vars.as_deref()),
            Some(Start::Root(Root::Inputs)) => ("inputs", self.names.inputs.as_deref()),
            _ => return Ty::Any,
        };
        let Some(serde_json::Value::Object(vars)) = all else { return Ty::Any };
        let Some(value) = vars.get(name) else {
            let help = did_you_mean(name, vars.keys().map(String::as_str));
            self.error("PB303", at, name.chars().count(), format!("`{what}` has no `{name}`"), help);
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
