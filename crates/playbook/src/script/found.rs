//! Runs the statements of a script, and remembers between scripts which functions their calls mean.
//!
//! Rhai looks for the function behind each call, by name and types of the arguments, and remembers it for one evaluation
//! only; most conditions are shorter than that search.
//!
//! Invariants: all engines of this crate know the same functions and no script defines any, so that what was found for one
//! script holds for every other. What is remembered is bounded, and belongs to one thread.

use std::cell::RefCell;

use rhai::{AST, Caches, Dynamic, Engine, EvalAltResult, Scope};

/// Functions that are remembered before all are forgotten: calls of what is not there count as well.
const FOUND_MAX: usize = 512;

thread_local! {
    /// One for each script that runs on this thread; a closure runs inside of the script that calls it.
    static FOUND: RefCell<Vec<Caches>> = const { RefCell::new(Vec::new()) };
}

/// Runs the statements of a script over values.
pub(super) fn run(engine: &Engine, values: &mut Scope<'_>, ast: &AST) -> Result<Dynamic, Box<EvalAltResult>> {
    let mut found = FOUND.with_borrow_mut(Vec::pop).unwrap_or_default();
    let answer = statements(engine, &mut found, values, ast);
    // What is found inside of blocks is remembered apart, and they have ended.
    found.rewind_fn_resolution_caches(1);
    if found.fn_resolution_cache_mut().dict.len() <= FOUND_MAX {
        FOUND.with_borrow_mut(|all| all.push(found));
    }
    answer
}

#[expect(deprecated, reason = "marked so because it may change; the version of Rhai is pinned")]
fn statements(
    engine: &Engine,
    found: &mut Caches,
    values: &mut Scope<'_>,
    ast: &AST,
) -> Result<Dynamic, Box<EvalAltResult>> {
    engine.eval_statements_raw(&mut engine.new_global_runtime_state(), found, values, ast.statements())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_remembered_and_bounded() {
        let engine = Engine::new();
        let ask = |text: &str| run(&engine, &mut Scope::new(), &engine.compile(text).unwrap());
        for _ in 0..3 {
            assert_eq!(ask("\"abc\".len() + 1").unwrap().as_int(), Ok(4));
            assert!(ask("\"abc\".no_such()").is_err());
        }
        assert_eq!(FOUND.with_borrow(Vec::len), 1);
        for n in 0..3 * FOUND_MAX {
            for _ in 0..2 {
                assert!(ask(&format!("no_such_{n}()")).is_err());
            }
        }
        let kept = FOUND
            .with_borrow_mut(|all| all.iter_mut().map(|one| one.fn_resolution_cache_mut().dict.len()).sum::<usize>());
        assert!(kept <= FOUND_MAX, "{kept}");
        assert_eq!(ask("\"abc\".len()").unwrap().as_int(), Ok(3));
    }
}
