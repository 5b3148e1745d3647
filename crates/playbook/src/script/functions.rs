//! The functions that scripts may call: one table for the check, the messages and the reference.

use super::types::Ty;

/// A function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) works_on: &'static str,
    pub(crate) gives: Ty,
    pub(crate) doc: &'static str,
}

const fn function(name: &'static str, works_on: &'static str, gives: Ty, doc: &'static str) -> Function {
    Function { name, works_on, gives, doc }
}

/// All of them. Each is called as a method (`alert.users.len()`) or with the value first (`len(alert.users)`).
pub(crate) static FUNCTIONS: &[Function] = &[
    function("len", "text, list, object", Ty::Number, "how many characters, items or keys"),
    function("is_empty", "text, list, object", Ty::Bool, "whether there are none"),
    function("contains", "text, list, object", Ty::Bool, "whether the text, item or key is in it; the same as `in`"),
    function("starts_with", "text", Ty::Bool, "whether it begins with a text"),
    function("ends_with", "text", Ty::Bool, "whether it ends with a text"),
    function("index_of", "text, list", Ty::Number, "where a text or item is first, from 0; -1 when nowhere"),
    function("sub_string", "text", Ty::Text, "from a position, for a number of characters"),
    function("to_lower", "text", Ty::Text, "in small letters"),
    function("to_upper", "text", Ty::Text, "in capital letters"),
    function("trim", "text", Ty::Text, "without white space at both ends"),
    function("replace", "text", Ty::Text, "with every occurrence of one text replaced by another"),
    function("split", "text", Ty::List, "the parts between a separator, or between white space"),
    function("parse_int", "text", Ty::Number, "read as a whole number"),
    function("parse_float", "text", Ty::Number, "read as a number"),
    function("some", "list", Ty::Bool, "whether a closure says yes for one item at least"),
    function("all", "list", Ty::Bool, "whether a closure says yes for every item"),
    function("filter", "list", Ty::List, "the items for which a closure says yes"),
    function("map", "list", Ty::List, "what a closure makes of each item"),
    function("find", "list", Ty::Any, "the first item for which a closure says yes; `()` when there is none"),
    function("find_map", "list", Ty::Any, "the first value other than `()` that a closure makes of an item"),
    function("reduce", "list", Ty::Any, "what a closure makes of all items, one after the other"),
    function("extract", "list", Ty::List, "the items from a position, for a number of them"),
    function("zip", "list", Ty::List, "what a closure makes of the pairs of two lists"),
    function("join", "list", Ty::Text, "the items as one text, with a text between them"),
    function("keys", "object", Ty::List, "its keys"),
    function("values", "object", Ty::List, "its values"),
    function("get", "object, list", Ty::Any, "the value of a key; `()` when there is none"),
    function("abs", "number", Ty::Number, "without its sign"),
    function("floor", "number", Ty::Number, "rounded down"),
    function("ceiling", "number", Ty::Number, "rounded up"),
    function("round", "number", Ty::Number, "rounded to the nearest whole number"),
    function("to_int", "number", Ty::Number, "as a whole number"),
    function("to_float", "number", Ty::Number, "as a number with a fraction"),
    function("min", "number, text", Ty::Any, "the smaller of two values"),
    function("max", "number, text", Ty::Any, "the greater of two values"),
    function("to_string", "anything", Ty::Text, "as text"),
    function("to_json", "anything", Ty::Text, "as JSON text"),
    function("type_of", "anything", Ty::Text, "the name of its type in Rhai"),
    function(
        "seconds_between",
        "time",
        Ty::Number,
        "from one time to a later one, such as `seconds_between(alert.created_time, now)`",
    ),
];

/// The function of this name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}
