//! The kinds of block: one table, from which checks and the reference are made.

/// What is known about a block.
pub(crate) struct Block {
    /// Its key in a step.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) doc: &'static str,
    /// The keys under it with what they mean.
    pub(crate) keys: &'static [(&'static str, &'static str)],
    /// What `steps.<id>.output` holds.
    pub(crate) output: &'static str,
    /// A step that uses it, in YAML.
    pub(crate) example: &'static str,
}

/// The blocks, in the order of the documentation.
pub(crate) static BLOCKS: &[Block] = &[
    Block {
        name: "for_each",
        doc: "does the same steps for each item of a list. An item that fails does not stop the others; the run is then \
              `succeeded_with_warnings`, and when every item failed the step has failed",
        keys: &[
            ("in", "the list: a script that gives one, or a list written down; required, at most 10,000 items"),
            ("as", "the name of the item in the steps; required"),
            ("max_parallel", "how many items may be at work at once, 1 (default) to 50"),
            ("steps", "what is done for each item; required"),
        ],
        output: "a list of `{item, status, output}`, one for each item in its order, with `error: {code, message}` of those that failed; \
                 `output` is that of the last step. Of what would be larger than 1 MB together, items, outputs and messages are \
                 left out",
        example: "- id: each\n  for_each:\n    in: alert.users\n    as: user\n    max_parallel: 5\n    steps:\n      - id: note\n        action: log\n        with: { message: \"looking at ${{ user }}\" }\n",
    },
    Block {
        name: "parallel",
        doc: "does several lists of steps at the same time, and goes on when all have ended. When one fails the others go \
              on to their end, and then the step has failed",
        keys: &[("branches", "two or more of `{id, steps}`; required")],
        output: "an object with `{status, output}` for each branch",
        example: "- id: both\n  parallel:\n    branches:\n      - id: left\n        steps: [{ action: log, with: { message: left } }]\n      - id: right\n        steps: [{ action: log, with: { message: right } }]\n",
    },
    Block {
        name: "switch",
        doc: "does the steps of the first case whose condition says yes; `skipped` when none does",
        keys: &[
            ("when", "of a case: its condition"),
            ("else", "of the last case: `true`, it is taken when no other is"),
            ("steps", "of a case: what is done; required"),
        ],
        output: "`{case, output}`: the number of the case, from 0, and what its last step answered",
        example: "- id: route\n  switch:\n    - when: alert.priority == \"critical\"\n      steps: [{ action: log, with: { message: now } }]\n    - else: true\n      steps: [{ action: log, with: { message: later } }]\n",
    },
    Block {
        name: "repeat",
        doc: "does the same steps again and again until a condition says yes, resting in between; the step fails with code \
              `repeat_exhausted` when it never does",
        keys: &[
            ("until", "the condition, asked after each turn; it may read the steps of that turn; required"),
            ("every", "how long it rests between two turns; required"),
            ("max", "most turns, 1 to 10,000; required"),
            ("steps", "what is done in each turn; required"),
        ],
        output: "`{turns, output}`: how many turns it took, and what the last step answered",
        example: "- id: poll\n  repeat:\n    until: steps.ask.output.body.done\n    every: 30s\n    max: 20\n    steps:\n      - id: ask\n        action: http.request\n        with: { url: \"https://scanner.example/jobs/1\" }\n",
    },
    Block {
        name: "try",
        doc: "does steps; when one of them fails, `catch` takes the failure and reads it as `error`; `finally` is done in any \
              case. A failure that was taken makes the run `succeeded_with_warnings`",
        keys: &[
            ("steps", "what is done; required"),
            (
                "catch",
                "what is done when a step failed; `error.code`, `error.message` and `error.step` say which and why",
            ),
            ("finally", "what is done in any case, at the end"),
        ],
        output: "what the last step of `steps` answered, or that of `catch`",
        example: "- id: guard\n  try:\n    steps:\n      - { id: ask, action: http.request, with: { url: \"https://intel.example/ip\" } }\n    catch:\n      - { action: log, with: { message: \"no answer: ${{ error.message }}\" } }\n    finally:\n      - { action: log, with: { message: done } }\n",
    },
    Block {
        name: "call",
        doc: "runs another playbook and waits for its end. What is called is the text that is loaded at that moment. When its \
              run does not succeed, the step has failed",
        keys: &[
            ("playbook", "the id of the playbook; required"),
            ("inputs", "what it is given, as its own `inputs` declare"),
        ],
        output: "the `outputs` of the playbook",
        example: "- id: sub\n  call: { playbook: enrich-user, inputs: { user: \"${{ alert.users[0] }}\" } }\n",
    },
    Block {
        name: "wait",
        doc: "waits for a length of time, until a time, or for an event. A wait survives restarts",
        keys: &[
            ("for", "how long"),
            ("until", "until when: RFC 3339, or a value that gives one"),
            (
                "event",
                "for which event: `type` (one, a list, or a prefix such as `holm.*`) and `when`, in which `event` is the one that came",
            ),
            ("timeout", "with `event`, required: how long at most"),
            (
                "on_timeout",
                "with `event`: `fail` (default), or `continue`: the step has `timed_out`, the run goes on with a warning",
            ),
        ],
        output: "with `event`, the event that came as `event`; else nothing",
        example: "- id: closed\n  wait:\n    event: { type: ticket.closed, when: 'event.data.number == vars.ticket' }\n    timeout: 2d\n    on_timeout: continue\n",
    },
    Block {
        name: "approve",
        doc: "asks a person and waits for the answer. Who started the run cannot answer; an answer is given once. When it is \
              denied, the step has failed with code `denied`",
        keys: &[
            ("ask", "the question; required"),
            ("by", "the role that may answer: `approver` (default), `admin`"),
            ("fields", "what the answer holds: by name `{type, required, description}`"),
            ("deadline", "how long there is to answer; required"),
            ("on_deadline", "what happens when nobody did: `approve`, `deny` or `fail`; required"),
        ],
        output: "`{decision, by, comment, fields}`",
        example: "- id: ask\n  approve:\n    ask: \"Isolate ${{ alert.endpoints[0] }}?\"\n    by: approver\n    fields: { reason: { type: string, required: true } }\n    deadline: 4h\n    on_deadline: deny\n",
    },
    Block {
        name: "set",
        doc: "gives names to values for the rest of the run; they are read as `vars.name`",
        keys: &[],
        output: "the values",
        example: "- id: keep\n  set: { ticket: \"${{ steps.open.output.body.number }}\" }\n",
    },
    Block {
        name: "stop",
        doc: "ends the run there and then; of what is left only `finally` is done",
        keys: &[("outcome", "`succeeded` (default) or `failed`"), ("reason", "why, for people")],
        output: "`{outcome, reason}`",
        example: "- id: done\n  if: alert.tags.contains(\"seen\")\n  stop: { outcome: succeeded, reason: nothing to do }\n",
    },
];

/// The names of all blocks, in the order of the reference.
pub fn block_names() -> impl Iterator<Item = &'static str> {
    BLOCKS.iter().map(|block| block.name)
}
