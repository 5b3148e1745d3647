//! The limits that are on by default, each with its unit in the name. `docs/reference/limits.md` lists them.

/// Largest body of one event, in bytes.
pub const EVENT_BODY_BYTES_MAX: usize = 1_000_000;
/// Largest body of an array or NDJSON batch, in bytes.
pub const BATCH_BODY_BYTES_MAX: usize = 16_000_000;
/// Most events in one batch.
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// Deepest nesting of a JSON body.
pub const JSON_DEPTH_MAX: usize = 64;
/// Largest playbook file, in bytes.
pub const PLAYBOOK_FILE_BYTES_MAX: usize = 256 * 1024;
/// Most steps in one playbook, nested ones included.
pub const PLAYBOOK_STEPS_MAX: usize = 500;
/// Longest playbook id, in characters.
pub const PLAYBOOK_ID_CHARS_MAX: usize = 64;
/// Rhai operations of one evaluation in a step.
pub const SCRIPT_OPERATIONS_MAX: u64 = 50_000;
/// Rhai operations of one `when`, which is evaluated on the decision loop.
pub const WHEN_OPERATIONS_MAX: u64 = 5_000;
/// Wall time of one evaluation in a step, in milliseconds.
pub const SCRIPT_MILLIS_MAX: u64 = 50;
/// Wall time of one `when`, in milliseconds.
pub const WHEN_MILLIS_MAX: u64 = 5;
/// Wall time of all conditions of one event together, in milliseconds.
pub const EVENT_CONDITIONS_MILLIS_MAX: u64 = 25;
/// Longest string inside a script, in bytes.
pub const SCRIPT_STRING_BYTES_MAX: usize = 64 * 1024;
/// Most items of an array inside a script.
pub const SCRIPT_ARRAY_ITEMS_MAX: usize = 10_000;
/// Most entries of a map inside a script.
pub const SCRIPT_MAP_ENTRIES_MAX: usize = 1_000;
/// Deepest expression and call nesting of a script.
pub const SCRIPT_DEPTH_MAX: usize = 32;
/// Longest script, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 16 * 1024;
/// Memory that one evaluation may hold, in bytes.
pub const SCRIPT_MEMORY_BYTES_MAX: isize = 16 * 1024 * 1024;
/// Largest rendered output of one step's templates, and largest output of a step, in bytes.
pub const STEP_OUTPUT_BYTES_MAX: usize = 1_000_000;
/// Longest chain of runs that cause each other.
pub const CHAIN_DEPTH_MAX: usize = 10;
/// Most bytes kept of an answer to an outbound request.
pub const RESPONSE_CAPTURE_BYTES_MAX: usize = 16 * 1024;
/// Most events in one commit.
pub const COMMIT_EVENTS_MAX: usize = 256;
/// Most payload bytes in one commit.
pub const COMMIT_BYTES_MAX: usize = 1_000_000;
/// Most decisions listed in the answer to an event.
pub const ANSWER_DECISIONS_MAX: usize = 200;
/// Most items on a page of a listing.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Items on a page when the caller does not say.
pub const PAGE_ITEMS_DEFAULT: usize = 50;
/// Most keys that one page of a listing looks at.
pub const SCAN_KEYS_MAX: usize = 50_000;
/// Longest time that one page of a listing may take, in milliseconds.
pub const SCAN_MILLIS_MAX: u64 = 50;
/// How long a repeat of an event is recognised, in seconds (7 days).
pub const REPLAY_WINDOW_SECONDS: u64 = 7 * 86_400;
/// Longest active time of a run, in seconds (24 hours): while an action of it is at work. Waits, questions, pauses, the time
/// between two tries and the time in which the server is down do not count.
pub const RUN_ACTIVE_SECONDS_MAX: u64 = 86_400;
/// Longest time for what a run does about its failure, and in any case, once its own time is over, in seconds (5 minutes).
pub const RUN_CLEANUP_SECONDS_MAX: u64 = 300;
/// Most runs at once that a playbook's `concurrency` may allow.
pub const CONCURRENCY_RUNS_MAX: u32 = 1_000;
/// Most runs or events that a playbook's limits over a period may count.
pub const RATE_COUNT_MAX: u32 = 1_000;
/// Longest period of a playbook's limits and windows, in seconds (90 days).
pub const RATE_SECONDS_MAX: u64 = 90 * 86_400;
/// Most destinations.
pub const DESTINATIONS_MAX: usize = 24;
/// Most destinations of one sending by hand.
pub const HAND_DESTINATIONS_MAX: usize = 3;
/// History entries that an object carries in its own state before they move to an index block.
pub const OBJECT_TAIL_ENTRIES_MAX: usize = 32;
/// Most instants that `missed: all` makes up for after a pause.
pub const SCHEDULE_CATCH_UP_MAX: usize = 100;
/// Most values, nested ones included, in one event; an object with entries counts as ten. What is read takes many times
/// the room of its text: an object with one short entry, nine bytes long, takes 640.
pub const EVENT_VALUES_MAX: usize = 50_000;
/// Most values in all events of one batch together, counted in the same way.
pub const BATCH_VALUES_MAX: usize = 2_000_000;
/// Longest id of an event or object, name of a tenant, or key of a repeat, in bytes.
pub const ID_BYTES_MAX: usize = 512;
/// Most items of a `for_each`, and most turns of a `repeat`.
pub const LOOP_ROUNDS_MAX: usize = 10_000;
/// Most items of a loop that are at work at once.
pub const LOOP_PARALLEL_MAX: usize = 50;
/// Most branches of a `parallel` block, and most cases of a `switch`.
pub const BRANCHES_MAX: usize = 50;
/// Most deliveries of one run that listings show; all stand in the run itself.
pub const SUMMARY_DELIVERIES_MAX: usize = 200;
/// Most steps that one run does, those of all rounds of its loops together.
pub const RUN_STEPS_MAX: usize = 100_000;
/// Most calls of playbooks inside each other.
pub const CALL_DEPTH_MAX: u32 = 5;
/// Longest time that a run may take with its waits, in seconds (90 days).
pub const RUN_WAIT_SECONDS_MAX: u64 = 90 * 86_400;
