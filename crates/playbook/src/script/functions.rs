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
    function(
        "pick",
        "anything, paths",
        Ty::Any,
        "the first text, number, `true` or `false` at one of some paths, such as `pick(event.data, [\"user.name\", \"user\"])`; `()` when there is none",
    ),
    function("gather", "anything, paths", Ty::List, "all texts and numbers at some paths, as texts, each once"),
    function("items", "anything, paths", Ty::List, "all values at some paths, of a list there its items"),
    function("has", "anything, paths", Ty::Bool, "whether something lies at one of some paths"),
    function(
        "capture",
        "text, pattern",
        Ty::Any,
        "what the first group of a regular expression holds; `()` when nothing matches",
    ),
    function("capture_all", "text, list", Ty::List, "the same for every match"),
    function(
        "number",
        "number, text",
        Ty::Any,
        "the number, or the one that a text begins with; `()` when there is none",
    ),
    function(
        "to_time",
        "number, text",
        Ty::Any,
        "epoch seconds, milliseconds or microseconds, or a time as products write it, as RFC 3339",
    ),
    function(
        "to_priority",
        "text, number",
        Ty::Any,
        "the priority that a word such as `SEV-2` or `Warning` means; with `[4, 7, 9]` a number from 4 on is medium, from 7 on high, from 9 on critical",
    ),
    function("snake", "text", Ty::Any, "in small letters with `_` between the words"),
    function("from_json", "text", Ty::Any, "the object or list that a text holds as JSON; anything else as it is"),
    function("attack_ids", "anything", Ty::List, "the MITRE ATT&CK ids in it, such as T1078"),
    function("ips", "text, list", Ty::List, "those texts that are IP addresses"),
    function(
        "pairs",
        "list",
        Ty::Any,
        "a list of objects with a key and a value as one object: `pairs(list, \"name\", \"value\")`",
    ),
    function("digest", "anything", Ty::Any, "a short digest, for an id that is made of several values"),
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
