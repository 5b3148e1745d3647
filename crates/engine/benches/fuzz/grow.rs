//! Texts grown from a grammar: conditions, templates and whole playbooks that are mostly right, in places that no file has.

use super::random::Random;

const PATHS: &[&str] = &[
    "alert.name",
    "alert.risk_score",
    "alert.priority",
    "alert.users",
    "alert.tags",
    "alert.mitres",
    "alert.created_time",
    "case.stage",
    "case.assignee",
    "case.queue",
    "entity.name",
    "entity.scores.urgency",
    "event.type",
    "event.data.user",
    "event.data?.ip?.country",
    "trigger.from",
    "vars.desk",
    "vars.limit",
    "now",
    "alert.detections",
    "alert.extra?.x",
    "event.data",
    "alert.case_id",
];
const VALUES: &[&str] = &[
    "90",
    "-1",
    "2.5",
    "\"critical\"",
    "\"T1078\"",
    "()",
    "true",
    "\"\"",
    "\"å\"",
    "[\"a\", \"b\"]",
    "\"New\"",
    "1_000",
    "`x${1}`",
    "9223372036854775807",
];
const COMPARES: &[&str] = &["==", "!=", "<", "<=", ">", ">=", "in"];
const METHODS: &[&str] = &[
    ".len()",
    ".to_lower()",
    ".trim()",
    ".starts_with(\"a\")",
    ".contains(\"x\")",
    ".split(\",\")",
    "[0]",
    "[-1]",
    ".keys()",
    ".is_empty()",
    ".first()",
    ".join(\",\")",
    ".replace(\"a\", \"b\")",
    ".unique()",
    ".sort()",
    ".abs()",
];

/// An expression of some depth.
pub(crate) fn value(random: &mut Random, depth: usize) -> String {
    let inner = depth.saturating_sub(1);
    match random.below(if depth == 0 { 2 } else { 9 }) {
        0 => (*random.pick(PATHS)).to_owned(),
        1 => (*random.pick(VALUES)).to_owned(),
        2 | 3 => format!("{}{}", value(random, inner), random.pick(METHODS)),
        4 => format!("({} {} {})", value(random, inner), random.pick(&["+", "-", "*", "/", "%"]), value(random, inner)),
        5 => format!("{} ?? {}", value(random, inner), value(random, inner)),
        6 => format!("{}.{}(|x| {})", value(random, inner), random.pick(&["map", "filter"]), condition(random, inner)),
        7 => format!(
            "if {} {{ {} }} else {{ {} }}",
            condition(random, inner),
            value(random, inner),
            value(random, inner)
        ),
        _ => condition(random, inner),
    }
}

/// A condition of some depth.
pub(crate) fn condition(random: &mut Random, depth: usize) -> String {
    let inner = depth.saturating_sub(1);
    match random.below(if depth == 0 { 2 } else { 7 }) {
        0 | 1 => format!("{} {} {}", value(random, inner), random.pick(COMPARES), value(random, inner)),
        2 => format!("({} && {})", condition(random, inner), condition(random, inner)),
        3 => format!("{} || {}", condition(random, inner), condition(random, inner)),
        4 => format!("!({})", condition(random, inner)),
        5 => format!("{}.{}(|d| {})", value(random, 0), random.pick(&["some", "all"]), condition(random, inner)),
        _ => format!("let v = {}; {}", value(random, inner), condition(random, inner).replace("alert.name", "v")),
    }
}

/// Comparisons that are right wherever there is an alert.
const SOUND: &[&str] = &[
    "alert.risk_score > 50",
    "alert.risk_score != () && alert.risk_score < 90",
    "\"vip\" in alert.tags",
    "alert.users.len() > 0",
    "alert.priority in [\"high\", \"critical\"]",
    "alert.detections.some(|d| d.type == \"x\")",
    "event.type == \"alert.created\"",
    "(alert.name ?? \"\").to_lower().contains(\"phish\")",
    "vars.limit == 5",
    "alert.users.all(|u| u.len() < 9 || u == \"å\")",
    "alert.case_id == ()",
    "alert.extra?.origin == ()",
    "if alert.watched == true { alert.risk_score > 5 } else { false }",
];

/// A condition without a mistake in it.
fn sound(random: &mut Random, depth: usize) -> String {
    let inner = depth.saturating_sub(1);
    match random.below(if depth == 0 { 2 } else { 5 }) {
        0 | 1 => (*random.pick(SOUND)).to_owned(),
        2 => format!("({} && {})", sound(random, inner), sound(random, inner)),
        3 => format!("({} || {})", sound(random, inner), sound(random, inner)),
        _ => format!("!({})", sound(random, inner)),
    }
}

/// A condition for a place in a playbook: a right one, or one that may be wrong.
fn placed(random: &mut Random, right: bool, depth: usize) -> String {
    let text = if right { sound(random, depth) } else { condition(random, depth) };
    text.replace('\'', "''")
}

/// A text with expressions in it.
pub(crate) fn template(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(3) {
        text.push_str(random.pick::<&str>(&["", "about ", "${", "}}", "$", "{{", "å ", "\u{202e}", "${secret:X} "]));
        text.push_str(&format!("${{{{ {} }}}}", value(random, 2)));
    }
    text
}

/// A whole playbook.
pub(crate) fn playbook(random: &mut Random) -> String {
    let right = random.one_in(2);
    let trigger = if right {
        &"alert.created"
    } else {
        random.pick(&[
            "alert.created",
            "case.updated: { changed: [stage, tags] }",
            "manual",
            "event: { type: holm.* }",
            "case.stage_changed: { to: [Closed] }",
            "score.threshold: { of: host, score: urgency, above: 80, dedupe: 6h }",
            "schedule: { cron: \"0 8 * * MON-FRI\", timezone: Europe/Stockholm }",
            "case.in_stage: { stage: New, for: 4h }",
            "event.count: { type: a.b, by: event.data.user, at_least: 5, within: 10m }",
            "source.silent: { source: holm, for: 1d }",
        ])
    };
    let when = placed(random, right, 3);
    let mut out = format!(
        "playbook: p-{}\ntriggers:\n  - {trigger}\nvars: {{ desk: a, limit: 5 }}\nwhen: '{when}'\nsteps:\n",
        random.below(1000)
    );
    for n in 0..1 + random.below(3) {
        step(random, &mut out, 1, &format!("s{n}"), (2, right));
    }
    out
}

fn step(random: &mut Random, out: &mut String, indent: usize, id: &str, (depth, right): (usize, bool)) {
    let pad = "  ".repeat(indent);
    out.push_str(&format!("{pad}- id: {id}\n"));
    if random.one_in(3) {
        out.push_str(&format!("{pad}  if: '{}'\n", placed(random, right, 1)));
    }
    let text = if right { format!("a ${{{{ {} }}}} b", sound(random, 1)) } else { template(random) };
    let text = text.replace('\'', "''").replace(['\n', '\r'], " ");
    match random.below(if depth == 0 { 3 } else { 8 }) {
        0 => out.push_str(&format!("{pad}  action: log\n{pad}  with: {{ message: '{text}' }}\n")),
        1 => out.push_str(&format!("{pad}  set: {{ kept_{id}: '{text}' }}\n")),
        2 => out.push_str(&format!("{pad}  wait: {{ for: {}m }}\n", 1 + random.below(90))),
        3 => {
            out.push_str(&format!(
                "{pad}  for_each:\n{pad}    in: alert.users\n{pad}    as: item_{id}\n{pad}    steps:\n"
            ));
            step(random, out, indent + 3, &format!("{id}a"), (depth - 1, right));
        }
        4 => {
            let when = placed(random, right, 1);
            out.push_str(&format!("{pad}  switch:\n{pad}    - when: '{when}'\n{pad}      steps:\n"));
            step(random, out, indent + 4, &format!("{id}a"), (depth - 1, right));
            out.push_str(&format!("{pad}    - else: true\n{pad}      steps:\n"));
            step(random, out, indent + 4, &format!("{id}b"), (depth - 1, right));
        }
        5 => {
            let until = placed(random, right, 1);
            out.push_str(&format!(
                "{pad}  repeat:\n{pad}    until: '{until}'\n{pad}    every: 5s\n{pad}    max: 3\n{pad}    steps:\n"
            ));
            step(random, out, indent + 3, &format!("{id}a"), (depth - 1, right));
        }
        6 => {
            out.push_str(&format!("{pad}  try:\n{pad}    steps:\n"));
            step(random, out, indent + 3, &format!("{id}a"), (depth - 1, right));
            out.push_str(&format!("{pad}    catch:\n"));
            step(random, out, indent + 3, &format!("{id}b"), (depth - 1, right));
        }
        _ => {
            out.push_str(&format!(
                "{pad}  parallel:\n{pad}    branches:\n{pad}      - id: l{id}\n{pad}        steps:\n"
            ));
            step(random, out, indent + 5, &format!("{id}a"), (depth - 1, right));
            out.push_str(&format!("{pad}      - id: r{id}\n{pad}        steps:\n"));
            step(random, out, indent + 5, &format!("{id}b"), (depth - 1, right));
        }
    }
}
