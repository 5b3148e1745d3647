//! The playbook language: YAML with places, Rhai conditions, templates, and the checks that find every mistake at load.
//!
//! The walk of a playbook through this crate: text → [`yaml::parse`] → [`check::check`], which builds
//! [`syntax::Playbook`]s out of [`script`]s and [`template`]s and says what is wrong as [`diagnostic::Diagnostic`]s with
//! file, line, column, the line itself and a help.
//!
//! Invariants: nothing here does I/O, waits, or reads a clock (budgets measure elapsed time only). This is the only
//! crate that names the YAML reader and Rhai, and [`script::Evaluator::new`] is the only place that builds a Rhai engine.

pub mod catalog;
pub mod check;
mod codes;
pub mod control;
pub mod diagnostic;
pub mod fields;
mod inputs;
pub mod reader;
mod reference;
pub mod schedule;
mod schema;
pub mod script;
pub mod syntax;
pub mod template;
pub mod testing;
pub mod yaml;

pub use catalog::{ActionSpec, Catalog, Effect, Param, ParamType};
pub use check::{Checked, Source, block_names, check, compile};
pub use codes::{codes, explain_code};
pub use control::{Concurrency, Control, Dedupe, Rate, Throttle, WhenFull};
pub use diagnostic::{Diagnostic, Severity, Span};
pub use fields::Fields;
pub use inputs::{Input, InputError, ValueType};
pub use reader::Reader;
pub use reference::reference;
pub use schedule::{Missed, Schedule};
pub use schema::schema;
pub use script::{
    Answer, Budget, Condition, Evaluator, Expression, Inside, Names, Operand, ProbeError, Purse, Root, Says, Scope,
    ScriptError, ScriptSource, Steps, look, number_of, priority_word, time_of,
};
pub use syntax::{
    Approve, Backoff, Body, Branch, Call, Case, Count, Each, Guard, Items, On, OnDeadline, OnError, Playbook, Repeat,
    Retry, Step, Trigger, Wait, WaitEvent,
};
pub use template::Template;
