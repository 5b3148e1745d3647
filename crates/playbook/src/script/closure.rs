//! Closures and the functions of lists that take them.
//!
//! A closure owns copies of what it captures and runs as a small script of its own: it shares nothing with the script
//! around it, so changes inside are lost, and nothing can lock.

use std::sync::Arc;

use rhai::{AST, Array, Dynamic, ImmutableString, Module, NativeCallContext, Scope};

use super::found;
use super::scope::Fault;
use super::view::{Given, raise};

/// A closure, ready to be called.
#[derive(Debug, Clone)]
pub(super) struct Closure {
    body: Arc<Body>,
    captured: Arc<[Dynamic]>,
}

#[derive(Debug)]
struct Body {
    ast: AST,
    /// The names of what is captured, then those of the parameters.
    params: Vec<ImmutableString>,
    captures: usize,
}

impl Closure {
    pub(super) fn new(ast: AST, params: Vec<ImmutableString>, captures: usize) -> Closure {
        Closure { body: Arc::new(Body { ast, params, captures }), captured: Arc::default() }
    }

    /// The same with values for what it captures.
    pub(super) fn capture(self, values: Array) -> Closure {
        Closure { captured: values.into(), ..self }
    }

    /// What it does.
    pub(super) fn statements(&self) -> &[rhai::Stmt] {
        self.body.ast.statements()
    }

    /// The name of its first parameter, and what names mean in it for an item of a list.
    pub(super) fn with(&self, item: Dynamic, at: usize) -> Option<(String, Scope<'static>)> {
        let name = self.body.params.get(self.body.captures)?.to_string();
        let arguments = [item, i64::try_from(at).unwrap_or(i64::MAX).into()];
        let mut scope = Scope::new();
        for (name, value) in self.body.params.iter().zip(self.captured.iter().cloned().chain(arguments)) {
            scope.push_dynamic(name.as_str(), value);
        }
        Some((name, scope))
    }

    /// Calls it with as many of the arguments as it has parameters.
    fn call<const N: usize>(&self, context: &NativeCallContext<'_>, arguments: [Dynamic; N]) -> Given<Dynamic> {
        let wanted = self.body.params.len() - self.body.captures;
        if wanted == 0 || wanted > N {
            let message = format!("the closure has {wanted} parameters; it is given from 1 to {N} values");
            return Err(raise(Fault::new("type_mismatch", message)));
        }
        let values = self.captured.iter().cloned().chain(arguments);
        let mut scope = Scope::new();
        for (name, value) in self.body.params.iter().zip(values) {
            scope.push_dynamic(name.as_str(), value);
        }
        found::run(context.engine(), &mut scope, &self.body.ast)
    }

    /// Calls it with an item and its position; the answer must be yes or no.
    fn says(&self, context: &NativeCallContext<'_>, item: &Dynamic, at: usize) -> Given<bool> {
        let answer = self.of(context, item, at)?;
        answer.as_bool().map_err(|what| {
            raise(Fault::new("not_boolean", format!("the closure gives a value of type {what}, not true or false")))
        })
    }

    fn of(&self, context: &NativeCallContext<'_>, item: &Dynamic, at: usize) -> Given<Dynamic> {
        self.call(context, [item.clone(), i64::try_from(at).unwrap_or(i64::MAX).into()])
    }
}

/// What captures, for the compiler.
pub(super) const CAPTURE: &str = "__capture";

/// Registers the functions of lists that take a closure.
pub(super) fn register(module: &mut Module) {
    module.set_native_fn(CAPTURE, |closure: Closure, values: Array| Ok(closure.capture(values)));
    module.set_native_fn("some", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        Ok(first(&context, list, &closure)?.is_some())
    });
    module.set_native_fn("all", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        for (at, item) in list.iter().enumerate() {
            if !closure.says(&context, item, at)? {
                return Ok(false);
            }
        }
        Ok(true)
    });
    module.set_native_fn("filter", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        let mut kept = Array::new();
        for (at, item) in list.iter().enumerate() {
            if closure.says(&context, item, at)? {
                kept.push(item.clone());
            }
        }
        Ok(kept)
    });
    module.set_native_fn("map", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        list.iter().enumerate().map(|(at, item)| closure.of(&context, item, at)).collect::<Given<Array>>()
    });
    module.set_native_fn("find", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        let found = first(&context, list, &closure)?;
        Ok(found.and_then(|at| list.get(at).cloned()).unwrap_or(Dynamic::UNIT))
    });
    module.set_native_fn("find_map", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        for (at, item) in list.iter().enumerate() {
            let made = closure.of(&context, item, at)?;
            if !made.is_unit() {
                return Ok(made);
            }
        }
        Ok(Dynamic::UNIT)
    });
    module.set_native_fn("index_of", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        Ok(first(&context, list, &closure)?.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX)))
    });
    module.set_native_fn("reduce", |context: NativeCallContext<'_>, list: &mut Array, closure: Closure| {
        reduce(&context, list, &closure, Dynamic::UNIT)
    });
    module.set_native_fn(
        "reduce",
        |context: NativeCallContext<'_>, list: &mut Array, closure: Closure, start: Dynamic| {
            reduce(&context, list, &closure, start)
        },
    );
}

/// The position of the first item for which the closure says yes.
fn first(context: &NativeCallContext<'_>, list: &[Dynamic], closure: &Closure) -> Given<Option<usize>> {
    for (at, item) in list.iter().enumerate() {
        if closure.says(context, item, at)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn reduce(context: &NativeCallContext<'_>, list: &[Dynamic], closure: &Closure, start: Dynamic) -> Given<Dynamic> {
    let mut result = start;
    for item in list {
        result = closure.call(context, [result, item.clone()])?;
    }
    Ok(result)
}
