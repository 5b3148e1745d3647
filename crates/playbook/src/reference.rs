//! The reference of the language, made from the same tables that the checks use.

use std::fmt::Write as _;

use model::run::{RunStatus, StepStatus};

use crate::catalog::ActionSpec;
use crate::check::{BLOCKS, TRIGGERS};
use crate::script::{FUNCTIONS, Root};

/// The keys of a playbook.
pub(crate) static PLAYBOOK_KEYS: &[(&str, &str)] = &[
    ("playbook", "its id, required: 1 to 64 small letters, digits and `-`; unique among all files"),
    ("name", "its name for people; the id when left out"),
    ("description", "what it is for"),
    ("language", "the version of the language, `1`"),
    ("enabled", "`true` (default) or `false`; the API has a toggle of its own, and both must be on"),
    ("order", "lower is decided and started first, then by id; 100 when left out"),
    ("tenants", "the tenants that it is for; all when left out"),
    ("expires", "from this time on it no longer runs"),
    ("triggers", "what starts it, required; any of them. The first in the file that fits is recorded"),
    ("secrets", "the names of the secrets that it may place"),
    ("when", "a condition; it starts only when the answer is yes"),
    ("vars", "constants, read as `vars.name`"),
    (
        "mode",
        "`act` (default), or `observe`: it is decided, and what a run would do is recorded as its plan; nothing is sent and \
         nothing is changed; verdict `observed`",
    ),
    ("dedupe", "`{ key, window }`: after a run none for the same key for a while; verdict `deduplicated`"),
    (
        "concurrency",
        "`{ key, max, when_full }`: at most so many open runs for the same key; one more waits (`queue`, the default, \
         verdict `queued`), is left out (`skip`, verdict `skipped`), or takes the place of the oldest, which is cancelled \
         (`cancel_oldest`)",
    ),
    ("throttle", "`{ key, count, per }`: at most so many runs for the same key in a period; verdict `throttled`"),
    (
        "fuse",
        "`{ runs, per }`: at most so many runs in a period, whatever they are for; over it the verdict is `throttled` and an \
         event `playbook.fuse_blown` is raised, once until it holds again",
    ),
    (
        "expect",
        "`{ runs, per }`: so many runs at least there should be in each period; when there were fewer an event \
         `playbook.silent` is raised, for the trigger of the same name",
    ),
    ("timeout", "how long a run may take, its waits included; at most 90 days"),
    (
        "inputs",
        "what a caller or a person gives: by name `{type, required, default, description}`; read as `inputs.name`",
    ),
    ("outputs", "what it gives to a playbook that calls it: names with values"),
    ("steps", "what it does, one after the other; required"),
    ("on_failure", "steps that are done when a step failed and nothing caught it; they read `failure`"),
    (
        "finally",
        "steps that are done at the end, whether a step failed or not; not when the run was cancelled or timed out",
    ),
    ("tests", "examples with what must come of them; they may also stand in `NAME.test.yaml` beside the file"),
    ("triggers_itself", "`allow` lets events that its own runs cause start it; `deny` is the default"),
];

/// The keys of a step.
pub(crate) static STEP_KEYS: &[(&str, &str)] = &[
    ("id", "its name for `steps.<id>`: a letter, then letters, digits, `_` and `-`"),
    ("if", "a condition; the step is `skipped` when the answer is no"),
    ("action", "what it does; or one of the blocks below"),
    ("with", "the parameters of the action; values may hold `${{ … }}`"),
    ("timeout", "how long one try may take"),
    (
        "retry",
        "`max` (tries after the first; 0 means one call only), `backoff` (exponential, linear, fixed), `first`, `cap`. \
         What a step says counts before what its destination says. Actions that talk to the network have `{ max: 3, backoff: exponential, first: 1s, cap: 1m }` by themselves",
    ),
    ("on_error", "`fail` (default), `continue`, or a list of steps, which read `error`"),
];

/// The reference as Markdown. `actions` are listed with their parameters.
pub fn reference(actions: &[&ActionSpec]) -> String {
    let mut out = String::from(
        "# The playbook language\n\nMade from the tables of the code; change those. One YAML file is one playbook. Nothing \
         in it is ever ignored: an unknown key, name, field or function is an error when the file is loaded.\n",
    );
    table(&mut out, "Keys of a playbook", "key", PLAYBOOK_KEYS.iter().copied());
    table(&mut out, "Keys of a step", "key", STEP_KEYS.iter().copied());
    blocks(&mut out);
    table(&mut out, "Triggers", "trigger", TRIGGERS.iter().copied());
    out.push_str("\nEvery trigger but `manual` and `schedule` may have a `when` of its own. `run.failed`, `run.needs_attention`, `delivery.failed` \
and `playbook.silent` read what happened as `event.data`: `playbook`, `run_id`, `status`, `reason`, `alert_id`, `case_id`, \
`delivery_id`, `destination`.\n");
    out.push_str(CONDITIONS);
    records(&mut out);
    out.push_str("\n## Functions\n\n| function | of | what it gives |\n|---|---|---|\n");
    for function in FUNCTIONS {
        let _ = writeln!(out, "| `{}` | {} | {} |", function.name, function.works_on, function.doc);
    }
    out.push_str(TEMPLATES);
    statuses(&mut out);
    if !actions.is_empty() {
        out.push_str("\n## Actions\n\n| action | what it does | parameters |\n|---|---|---|\n");
    }
    for action in actions {
        let name = |param: &crate::catalog::Param| {
            if param.required { format!("**{}**", param.name) } else { param.name.to_owned() }
        };
        let params: Vec<String> = action.params.iter().map(name).collect();
        let _ = writeln!(out, "| `{}` | {} | {} |", action.id, action.title, params.join(", "));
    }
    for (title, keys) in crate::testing::SECTIONS {
        table(&mut out, title, "key", keys.iter().copied());
    }
    let codes = crate::codes::codes().iter().map(|(code, title)| (*code, *title));
    table(&mut out, "Codes of mistakes", "code", codes);
    out
}

fn table<'t>(out: &mut String, title: &str, first: &str, rows: impl Iterator<Item = (&'t str, &'t str)>) {
    let _ = write!(out, "\n## {title}\n\n| {first} | meaning |\n|---|---|\n");
    for (name, doc) in rows {
        let _ = writeln!(out, "| `{name}` | {doc} |");
    }
}

fn blocks(out: &mut String) {
    out.push_str(BLOCKS_HEAD);
    for block in BLOCKS {
        let _ = write!(out, "\n### `{}`\n\nIt {}.\n", block.name, block.doc);
        if !block.keys.is_empty() {
            out.push_str("\n| key | meaning |\n|---|---|\n");
            for (key, doc) in block.keys {
                let _ = writeln!(out, "| `{key}` | {doc} |");
            }
        }
        let _ = write!(out, "\n`steps.<id>.output` is {}.\n\n```yaml\n{}```\n", block.output, block.example);
    }
}

fn records(out: &mut String) {
    out.push_str("\n## Names and fields\n\n`now` is the time of the decision or step. ");
    out.push_str("`steps.<id>` has `output`, `status`, `succeeded`, `error`. `vars` and `inputs` have the keys they were given.\n");
    for root in Root::ALL {
        let Some(fields) = root.fields().filter(|_| root != Root::Error) else { continue };
        let _ = write!(out, "\n### `{}`\n\n| field | meaning |\n|---|---|\n", root.name());
        for field in fields {
            let _ = writeln!(out, "| `{}` | {} |", field.name, field.doc);
        }
    }
}

fn statuses(out: &mut String) {
    let runs: Vec<String> = RunStatus::ALL.iter().map(|status| format!("`{}`", status.name())).collect();
    let steps = StepStatus::ALL;
    let steps: Vec<String> = steps.iter().map(|status| format!("`{}`", status.name())).collect();
    let _ = write!(out, "\n## Statuses\n\nOf runs: {}. Of steps: {}.\n", runs.join(", "), steps.join(", "));
}

const BLOCKS_HEAD: &str = r#"
## Blocks

A step is an action or one of these. Each takes `id`, `if` and `on_error` like any step; lists of steps nest at most eight
levels deep. `steps.<id>` reads any step that comes before, in the same list or around it; a step in a `for_each` is read by
the steps of the same item only, one in another branch of `parallel` when all have ended, one in a `repeat` as it was in the
last turn. [Loops, branches, waits and calls](../how-to/loops-branches-and-waits.md) and
[asking a person](../how-to/ask-a-person.md) show whole playbooks.

In a run, a step's path is its id (or `#2` for the second of a list) after the path of the block that it is in: `each/0/send`
is the step `send` of the first item of `each`, `both/left/ask` one of the branch `left`, `route/1/tell` one of the second case,
`poll/2/ask` one of the third turn, `guard/try/ask`, `guard/catch/tell` and `guard/finally/clean` are those of a `try`. The
key that makes a repeated delivery recognisable holds that path.
"#;

const CONDITIONS: &str = r#"
## Conditions

A condition is a [Rhai](https://rhai.rs) script that gives `true` or `false`. It has three outcomes: yes, no, and
**failed**. What cannot be answered is failed, recorded, and never taken for a no:

- comparing values of different types (`"92" >= 90`), or an absent value with anything (`alert.assignee == "bob"` when there
  is none); this holds for `== != < <= > >= in` and `switch`. Only `== ()` and `!= ()` ask for absence;
- `.name` on an absent value, or on free data (`event.data`, `steps.<id>.output`, `inputs`, `extra`) without that key.
  `?.name` gives `()` there, and `?? value` says what absence means;
- going over the budget.

The fields of known records are always there and `()` when absent. `"x" in list` looks into a list, a text or the keys of an
object. `[0]` is the first item of a list, `[-1]` the last. Whole numbers and fractions compare as numbers. Times are text,
and order by instant. There are `let`, `if`, `switch`, closures such as `|u| u == "x"`, and the functions below; there are no
loops, no functions of one's own, and nothing that reaches outside of the script or changes what it looks at.

A script in YAML that begins with `! { [ * & % @ "` or holds `: ` or ` #` wants single quotes around it, or a `|` before it.
"#;

const TEMPLATES: &str = r#"
## Values with `${{ … }}`

`${{ expr }}` alone keeps the type of its value. Inside a text it is put in as text: an absent value as nothing, lists and
objects as JSON. Templates are parsed once; what is put in is never looked at again, so data can never become a script. In an
address (`url`) what is put in is percent-encoded, and scheme and host must be constant.

`${secret:NAME}` stands for a secret that the playbook declares under `secrets`. It may stand only in `headers` and `auth` of
`http.request` and in destinations, as the whole value or at the end of a constant text such as `Bearer ${secret:NAME}`.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_in_the_tables_is_one_that_the_check_knows() {
        let evaluator = crate::Evaluator::uncounted();
        let unknown = |text: String| {
            let source = crate::Source { file: "p.yaml".into(), text };
            let found = crate::check(&[source], &crate::Catalog::default(), &evaluator).diagnostics;
            found.iter().any(|d| d.code == "PB101")
        };
        for (key, _) in PLAYBOOK_KEYS {
            assert!(!unknown(format!("{key}: 1\n")), "{key}");
        }
        for (key, _) in STEP_KEYS {
            assert!(!unknown(format!("playbook: p\ntriggers: [manual]\nsteps:\n  - {key}: 1\n")), "{key}");
        }
        for block in BLOCKS {
            for (key, _) in block.keys {
                let inside = format!("{}: {{ {key}: 1 }}", block.name);
                let inside = if block.name == "switch" { format!("switch: [{{ {key}: 1 }}]") } else { inside };
                let text = format!("playbook: p\ntriggers: [manual]\nsteps:\n  - {inside}\n");
                assert!(!unknown(text), "{} {key}", block.name);
            }
        }
        assert!(unknown("enabld: 1\n".to_owned()));
    }

    #[test]
    fn the_example_of_every_block_is_one_that_the_check_takes() {
        let evaluator = crate::Evaluator::uncounted();
        let spec: &'static ActionSpec = Box::leak(Box::new(ActionSpec {
            id: "log",
            title: "",
            doc: "",
            effect: crate::catalog::Effect::Read,
            about: None,
            network: false,
            params: &[crate::catalog::Param {
                name: "message",
                ty: crate::catalog::ParamType::Text,
                required: true,
                doc: "",
            }],
            output: "",
            example: "",
        }));
        let catalog = crate::Catalog { actions: vec![spec], ..crate::Catalog::default() };
        for block in BLOCKS {
            let example = block.example.replace("http.request", "log").replace("with: { url:", "with: { message:");
            let vars = "vars: { ticket: 1 }\n";
            let before = "  - { id: open, action: log, with: { message: x } }\n";
            let steps: String = example.lines().map(|line| format!("  {line}\n")).collect();
            let text = format!("playbook: p\n{vars}triggers: [alert.created]\nsteps:\n{before}{steps}");
            let found = crate::compile(&crate::Source { file: "p.yaml".into(), text }, &catalog, &evaluator);
            let shown = found.err().map(|found| found.iter().map(|d| d.render(false)).collect::<String>());
            assert_eq!(shown, None, "{}", block.name);
        }
    }

    /// `BLESS=1 cargo test -p playbook reference` writes the page anew.
    #[test]
    fn the_page_is_the_one_that_the_tables_make() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/playbook.md");
        let made = reference(&[]);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == made, "docs/reference/playbook.md is old: run with BLESS=1");
    }
}
