//! The keys of tests, for the reference. What reads them is [`super::read`]; a test holds the two together.

/// The sections of the reference: a heading, and the keys with what they mean.
pub(crate) static SECTIONS: &[(&str, &[(&str, &str)])] = &[
    ("Keys of a test", TEST),
    ("What happens in a test", INPUT),
    ("What the outside answers in a test", RESPONSE),
    ("What people answer in a test", PEOPLE),
    ("What is expected of a test", EXPECT),
    ("A request that is expected", REQUEST),
];

pub(super) static TEST: &[(&str, &str)] = &[
    ("name", "what it shows, in a sentence; required"),
    ("description", "more about it"),
    ("now", "what time it is when it begins; `2026-01-01T00:00:00Z` when left out"),
    ("given", "`alerts`, `cases`, `entities`: what is known before, as events would carry it"),
    ("event", "what happens, when it is one thing"),
    ("events", "what happens, one after the other"),
    ("until", "how long after the last event it is looked at; when left out, once every run has ended"),
    (
        "responses",
        "what HTTP requests are answered: steps with an answer, or a list of answers of which the last stays. A step of a playbook that is called is named with it: `look-up-user/ask`",
    ),
    ("destinations", "what destinations answer, in the same way; 200 when left out"),
    (
        "approvals",
        "what people answer: steps that ask with `approve`, `deny`, or a map that says more, or a list of them; nobody answers when left out",
    ),
    ("expect", "what must come of it; required, and not empty"),
];

pub(super) static INPUT: &[(&str, &str)] = &[
    ("after", "how long after the one before, such as `6h`; the clock is moved, and what is due on the way is done"),
    ("type", "an event in the shape of the source `generic`, with its other keys beside it"),
    ("source", "reads `body` as a message of this source, such as `exabeam`"),
    ("body", "the message of the source"),
    ("run", "a run by hand: `alert` or `case` (an id), `inputs`, and `by`, who asks for it (`test`)"),
];

pub(super) static PEOPLE: &[(&str, &str)] = &[
    ("decision", "`approve` or `deny`"),
    ("by", "who answers; `approver` when left out. Who asked for the run cannot answer"),
    ("comment", "what is said besides"),
    ("fields", "the fields of the answer, as the step declares them"),
    ("after", "how long after the question, such as `3h`; at once when left out"),
    ("refused", "`true` where the answer must be refused; the next one of the list is given then"),
];

pub(super) static RESPONSE: &[(&str, &str)] = &[
    ("status", "the HTTP status; 200 when left out. A number alone is a status"),
    ("headers", "headers of the answer"),
    ("body", "the body; what is not text is sent as JSON"),
    ("fails", "no answer at all: `timeout`, `connect`, `dns`, `tls` or `connection_lost`"),
];

pub(super) static EXPECT: &[(&str, &str)] = &[
    ("runs", "how many runs of this playbook there are"),
    (
        "verdict",
        "what was decided about it: one verdict, or a list with one for each event; `none` where it does not listen",
    ),
    ("reason", "a piece of the reason of the last decision"),
    ("status", "how its runs ended: one status, or a list with one for each run"),
    (
        "steps",
        "a list: the steps that were done, in order, skipped ones left out. A map: steps with their statuses, or `not_run`",
    ),
    ("outputs", "steps with a part of what they answered"),
    ("errors", "steps with the codes of their errors"),
    ("requests", "everything that is sent, in order; tries of the same thing are one. `[]` means nothing at all"),
    ("alerts", "ids of alerts with fields as they stand at the end"),
    ("cases", "ids of cases with fields as they stand at the end"),
    ("entities", "ids of entities such as `host/ws-17` with fields as they stand at the end"),
];

pub(super) static REQUEST: &[(&str, &str)] = &[
    ("step", "the step that sends it"),
    ("destination", "the destination"),
    ("method", "the method"),
    ("url", "the whole URL"),
    ("headers", "some of the headers"),
    ("body", "a part of the body: maps may hold more, lists may not"),
    ("body_is", "the whole body"),
    ("tries", "how often it was tried"),
];
