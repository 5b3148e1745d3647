//! `add_tags`, `remove_tags`, `add_use_cases`, `remove_use_cases`, each for cases and for alerts.
//!
//! Only the names that come or go are said; the writer changes the list as it stands at that moment, so that two steps
//! at once lose nothing.

use model::Kind;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};

use super::local::{ALERT, ALERT_OUTPUT, CASE, CASE_OUTPUT, Here, Local, Wish};
use super::render::Params;

const TAGS: Param = Param { name: "tags", ty: ParamType::TextList, required: true, doc: "a tag, or a list of them" };
const USE_CASES: Param =
    Param { name: "use_cases", ty: ParamType::TextList, required: true, doc: "a use case, or a list of them" };

macro_rules! lists {
    ($($item:ident $id:literal $kind:ident $of:literal $object:ident $output:ident $param:ident $list:literal $verb:ident $title:literal $doc:literal;)*) => {$(
        pub(super) static $item: Local = Local {
            spec: &ActionSpec {
                id: $id,
                title: concat!($title, " ", $of),
                doc: $doc,
                effect: Effect::Idempotent,
                about: Some(Kind::$kind),
                network: false,
                params: &[$param, $object],
                output: $output,
                example: concat!("- id: mark\n  action: ", $id, "\n  with: { ", $list, ": [vip] }\n"),
            },
            kind: Kind::$kind,
            wish: |here, params| $verb(here, params, $list),
        };
    )*};
}

lists! {
    CASE_ADD_TAGS "case.add_tags" Case "a case" CASE CASE_OUTPUT TAGS "tags" add "Add tags to" "Adds tags; those that are there already stay once.";
    CASE_REMOVE_TAGS "case.remove_tags" Case "a case" CASE CASE_OUTPUT TAGS "tags" remove "Remove tags from" "Removes tags; those that are not there are no error.";
    CASE_ADD_USE_CASES "case.add_use_cases" Case "a case" CASE CASE_OUTPUT USE_CASES "use_cases" add "Add use cases to" "Adds use cases; those that are there already stay once.";
    CASE_REMOVE_USE_CASES "case.remove_use_cases" Case "a case" CASE CASE_OUTPUT USE_CASES "use_cases" remove "Remove use cases from" "Removes use cases; those that are not there are no error.";
    ALERT_ADD_TAGS "alert.add_tags" Alert "an alert" ALERT ALERT_OUTPUT TAGS "tags" add "Add tags to" "Adds tags; those that are there already stay once.";
    ALERT_REMOVE_TAGS "alert.remove_tags" Alert "an alert" ALERT ALERT_OUTPUT TAGS "tags" remove "Remove tags from" "Removes tags; those that are not there are no error.";
    ALERT_ADD_USE_CASES "alert.add_use_cases" Alert "an alert" ALERT ALERT_OUTPUT USE_CASES "use_cases" add "Add use cases to" "Adds use cases; those that are there already stay once.";
    ALERT_REMOVE_USE_CASES "alert.remove_use_cases" Alert "an alert" ALERT ALERT_OUTPUT USE_CASES "use_cases" remove "Remove use cases from" "Removes use cases; those that are not there are no error.";
}

fn add(here: &Here<'_>, params: &mut Params<'_>, list: &'static str) -> Result<Wish, StepError> {
    let mut change = here.change();
    change.add.push((list, names(params, list)?));
    Ok(here.wish(vec![change]))
}

fn remove(here: &Here<'_>, params: &mut Params<'_>, list: &'static str) -> Result<Wish, StepError> {
    let mut change = here.change();
    change.remove.push((list, names(params, list)?));
    Ok(here.wish(vec![change]))
}

/// The names that are given, each once.
fn names(params: &mut Params<'_>, list: &str) -> Result<Vec<String>, StepError> {
    let mut names: Vec<String> = Vec::new();
    for name in params.texts(list)? {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
