//! The one Rhai engine: what it knows, what it may use, and how it is stopped.
//!
//! Rhai's own limits do not stop everything: memory is counted by the allocator of the thread, time by the clock, both
//! looked at while a script runs. Values are never shared between a script and its closures, so nothing can lock.

use std::sync::Arc;

use model::limits;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage, MoreStringPackage,
    Package,
};
use rhai::{
    AST, Dynamic, Engine, EvalAltResult, FnCallHashes, Module, OptimizationLevel, Position, Token, is_valid_identifier,
};

use super::closure;
use super::found;
use super::meter::{self, Meter, Purse, TOO_MUCH_MEMORY, TOO_SLOW};
use super::scope::{Fault, Root, Scope};
use super::strict;
use super::view::View;

/// Words of Rhai that a script may not use.
pub(super) const FORBIDDEN: [&str; 22] = [
    "loop",
    "while",
    "for",
    "do",
    "until",
    "fn",
    "private",
    "import",
    "export",
    "eval",
    "Fn",
    "call",
    "curry",
    "this",
    "try",
    "throw",
    "print",
    "debug",
    "is_def_var",
    "is_def_fn",
    "is_shared",
    "goto",
];

/// Builds and holds the one Rhai engine. Cheap to clone.
#[derive(Clone)]
pub struct Evaluator {
    pub(super) inner: Arc<Inner>,
    /// Whether time is part of the budgets.
    timed: bool,
}

pub(super) struct Inner {
    pub(super) engine: Engine,
    /// The hashes under which Rhai calls our field getter and its like.
    pub(super) hashes: Hashes,
    memory: Option<fn() -> isize>,
}

/// The hashes of calls that the compiler puts into scripts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashes {
    pub(super) field: FnCallHashes,
    pub(super) optional_field: FnCallHashes,
    pub(super) absent: FnCallHashes,
    pub(super) present: FnCallHashes,
    pub(super) switch: FnCallHashes,
    pub(super) capture: FnCallHashes,
}

impl Hashes {
    /// Of no function: calling it is an error.
    const UNKNOWN: FnCallHashes = FnCallHashes::from_native_only(0);

    fn complete(&self) -> bool {
        let all = [self.field, self.optional_field, self.absent, self.present, self.switch, self.capture];
        all.iter().all(|hashes| hashes.native() != Self::UNKNOWN.native())
    }
}

/// The memory counter does not count, or the engine is not the one that this crate was written for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// A script could take all the memory there is.
    #[error("the allocator does not count memory per thread: {got} bytes seen for an allocation of {asked}")]
    NotCounted {
        /// How much was allocated.
        asked: isize,
        /// How much was counted.
        got: isize,
    },
    /// The syntax tree has another shape than expected.
    #[error("this version of Rhai builds another syntax tree than expected")]
    OtherEngine,
}

impl Evaluator {
    /// With a counter of the bytes that this thread holds.
    ///
    /// # Errors
    /// [`ProbeError`] when the counter does not count.
    pub fn new(memory: fn() -> isize) -> Result<Evaluator, ProbeError> {
        const ASKED: isize = 64 * 1024;
        let before = memory();
        let probe = std::hint::black_box(vec![1_u8; 64 * 1024]);
        let got = memory() - before;
        drop(probe);
        if got < ASKED {
            return Err(ProbeError::NotCounted { asked: ASKED, got });
        }
        let evaluator = Evaluator::build(Some(memory));
        if evaluator.inner.hashes.complete() { Ok(evaluator) } else { Err(ProbeError::OtherEngine) }
    }

    /// Without a memory budget: for unit tests, and for compiling what another evaluator answers.
    #[doc(hidden)]
    pub fn uncounted() -> Evaluator {
        Evaluator::build(None)
    }

    fn build(memory: Option<fn() -> isize>) -> Evaluator {
        let engine = engine();
        let call = |name: &str, arguments: &str, method: bool| {
            let source = if method { format!("x.{name}({arguments})") } else { format!("{name}({arguments})") };
            engine.compile(source).ok().and_then(|ast| hashes_of(&ast)).unwrap_or(Hashes::UNKNOWN)
        };
        let hashes = Hashes {
            field: call(strict::FIELD, "a", true),
            optional_field: call(strict::OPTIONAL_FIELD, "a", true),
            absent: call(strict::ABSENT, "a", false),
            present: call(strict::PRESENT, "a", false),
            switch: call(strict::SWITCH, "a, b", false),
            capture: call(closure::CAPTURE, "a, b", false),
        };
        Evaluator { inner: Arc::new(Inner { engine, hashes, memory }), timed: true }
    }

    /// The same, with operations and memory as the only budgets: what it answers does not depend on how fast or busy the
    /// machine is. For simulations, which must come out the same each time.
    pub fn untimed(&self) -> Evaluator {
        Evaluator { inner: Arc::clone(&self.inner), timed: false }
    }

    /// Runs a compiled script. `names` are those that it reads.
    pub(super) fn run(&self, ast: &AST, names: &[Name], scope: &Scope, purse: &mut Purse) -> Result<Dynamic, Stopped> {
        let mut values = rhai::Scope::new();
        for name in names {
            let value = name.value(scope).map_err(|error| stopped(&error))?;
            values.push_dynamic(name.text(), value);
        }
        let _running = Meter::start(purse, self.inner.memory, self.timed);
        found::run(&self.inner.engine, &mut values, ast).map_err(|error| stopped(&error))
    }
}

impl Evaluator {
    /// Runs statements of a compiled script over values; what they declare stays.
    pub(super) fn eval(
        &self,
        values: &mut rhai::Scope<'_>,
        statements: Vec<rhai::Stmt>,
        purse: &mut Purse,
    ) -> Result<Dynamic, Stopped> {
        let ast = AST::new(statements, Module::new());
        let _running = Meter::start(purse, self.inner.memory, self.timed);
        found::run(&self.inner.engine, values, &ast).map_err(|error| stopped(&error))
    }
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator").field("counted", &self.inner.memory.is_some()).finish()
    }
}

/// The hashes of the only call in a script.
fn hashes_of(ast: &AST) -> Option<FnCallHashes> {
    use rhai::{Expr, Stmt};
    match ast.statements() {
        [Stmt::FnCall(call, _)] => Some(call.hashes),
        [Stmt::Expr(expr)] => match &**expr {
            Expr::FnCall(call, _) => Some(call.hashes),
            Expr::Dot(dot, ..) => match &dot.rhs {
                Expr::MethodCall(call, _) => Some(call.hashes),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    let mut module = Module::new();
    ArithmeticPackage::init(&mut module);
    BasicStringPackage::init(&mut module);
    MoreStringPackage::init(&mut module);
    BasicMathPackage::init(&mut module);
    BasicArrayPackage::init(&mut module);
    BasicMapPackage::init(&mut module);
    strict::register(&mut module);
    closure::register(&mut module);
    // Otherwise each call of a function searches the lists of the packages from end to end.
    module.register_lazy_functions();
    engine.register_global_module(module.into());
    engine.register_type_with_name::<View>("map");
    engine.register_indexer_get(|view: &mut View, name: rhai::ImmutableString| view.field(&name, false));
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_fast_operators(false);
    engine.set_fail_on_invalid_map_property(true);
    engine.set_max_operations(limits::SCRIPT_OPERATIONS_MAX);
    engine.set_max_call_levels(limits::SCRIPT_DEPTH_MAX);
    engine.set_max_expr_depths(limits::SCRIPT_DEPTH_MAX, limits::SCRIPT_DEPTH_MAX);
    engine.set_max_variables(limits::SCRIPT_MAP_ENTRIES_MAX);
    engine.set_max_functions(limits::SCRIPT_MAP_ENTRIES_MAX);
    engine.set_max_string_size(limits::SCRIPT_STRING_BYTES_MAX);
    engine.set_max_array_size(limits::SCRIPT_ARRAY_ITEMS_MAX);
    engine.set_max_map_size(limits::SCRIPT_MAP_ENTRIES_MAX);
    engine.on_print(|_| {});
    engine.on_debug(|_, _, _| {});
    engine.on_progress(|_count| meter::progress());
    for word in FORBIDDEN {
        engine.disable_symbol(word);
    }
    free_words(&mut engine);
    engine
}

/// Rhai keeps words for later that are names here, `case` first of all.
#[expect(deprecated, reason = "marked so because it may change; the version of Rhai is pinned")]
fn free_words(engine: &mut Engine) {
    engine.on_parse_token(|token, _, _| match token {
        Token::Reserved(word)
            if is_valid_identifier(&word) && !FORBIDDEN.contains(&word.as_str()) && *word != "type_of" =>
        {
            Token::Identifier(word)
        }
        other => other,
    });
}

/// A name that a script reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Root(Root),
    Local(Arc<str>),
    Now,
}

impl Name {
    pub(super) fn text(&self) -> &str {
        match self {
            Name::Root(root) => root.name(),
            Name::Local(name) => name,
            Name::Now => "now",
        }
    }

    pub(super) fn value(&self, scope: &Scope) -> super::view::Given<Dynamic> {
        match self {
            Name::Now => Ok(scope.now().into()),
            Name::Root(root) => View::new(scope.base(*root).clone(), Some(*root), root.name().into()).whole(),
            Name::Local(name) => {
                let base = scope.local_value(name).cloned().map_or_else(Default::default, super::scope::Base::Free);
                View::new(base, None, name.clone()).whole()
            }
        }
    }
}

/// Why a script did not end by itself, and where.
#[derive(Debug, Clone)]
pub(super) struct Stopped {
    pub(super) fault: Fault,
    pub(super) at: Position,
}

/// What an error of Rhai means here.
fn stopped(error: &EvalAltResult) -> Stopped {
    use EvalAltResult as E;
    let at = error.position();
    let fault = match error {
        E::ErrorInFunctionCall(_, _, inner, _) => {
            let inner = stopped(inner);
            return if inner.at.is_none() { Stopped { at, ..inner } } else { inner };
        }
        E::ErrorRuntime(value, _) => match value.read_lock::<Fault>() {
            Some(fault) => fault.clone(),
            None => Fault::new("script", error.to_string()),
        },
        E::ErrorTerminated(token, _) => match token.as_int() {
            Ok(TOO_SLOW) => Fault::new("too_slow", "the script took too long"),
            Ok(TOO_MUCH_MEMORY) => Fault::new("too_much_memory", "the script took too much memory"),
            _ => Fault::new("too_many_operations", "the script takes too many steps"),
        },
        E::ErrorTooManyOperations(_) => Fault::new("too_many_operations", "the script takes too many steps"),
        E::ErrorDataTooLarge(what, _) => Fault::new("too_large", format!("{what} is over the limit of scripts")),
        E::ErrorStackOverflow(_) | E::ErrorTooManyVariables(_) => {
            Fault::new("too_deep", "the script is nested too deep")
        }
        E::ErrorArithmetic(message, _) => Fault::new("arithmetic", message.clone()),
        E::ErrorArrayBounds(items, index, _) => {
            Fault::new("index", format!("the list has {items} items, so there is no item {index}"))
        }
        E::ErrorStringBounds(chars, index, _) => {
            Fault::new("index", format!("the text has {chars} characters, so there is no character {index}"))
        }
        E::ErrorPropertyNotFound(name, _) => Fault::new("missing_key", format!("the object has no `{name}`")),
        E::ErrorFunctionNotFound(call, _) => no_function(call),
        E::ErrorMismatchDataType(wanted, got, _) | E::ErrorMismatchOutputType(wanted, got, _) => {
            Fault::new("type_mismatch", format!("{} is needed here, and this is {}", in_words(wanted), in_words(got)))
        }
        E::ErrorIndexingType(what, _) => {
            Fault::new("type_mismatch", format!("there are no items or keys in {}", in_words(what)))
        }
        other => Fault::new("script", other.to_string()),
    };
    Stopped { fault, at }
}

/// `to_lower (i64)` in words.
fn no_function(call: &str) -> Fault {
    let (name, arguments) = call.split_once(' ').unwrap_or((call, ""));
    let inside = arguments.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or_default();
    let arguments: Vec<&str> = inside.split(", ").filter(|a| !a.is_empty()).map(in_words).collect();
    let absent = arguments.contains(&in_words("()"));
    let (code, hint) =
        if absent { ("absent", "; say what absence means with `?? …`") } else { ("type_mismatch", "") };
    Fault::new(code, format!("`{name}` does not work with {}{hint}", arguments.join(" and ")))
}

/// A type of Rhai in words.
fn in_words(name: &str) -> &str {
    match name.trim_start_matches("&mut ") {
        "()" => "an absent value",
        "bool" => "true or false",
        "i64" | "f64" => "a number",
        "string" | "ImmutableString" | "&str" | "char" => "text",
        "array" | "Array" => "a list",
        "map" | "Map" => "an object",
        "Fn" => "a closure",
        other => other,
    }
}
