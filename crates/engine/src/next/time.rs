//! How long a run may take: its `timeout` with its waits, and the longest time for which it may be active.
//!
//! Invariant: what a run does about a failure, and in any case, has a time of its own after that, and no more.

use std::time::Duration;

use model::Time;
use model::limits;
use model::run::{RunState, StepStatus};
use playbook::Playbook;

/// The longest time that a run may take, with its waits.
const RUN_MAX: Duration = Duration::from_secs(limits::RUN_WAIT_SECONDS_MAX);
/// The longest time for which a run may be active.
const ACTIVE_MAX: Duration = Duration::from_secs(limits::RUN_ACTIVE_SECONDS_MAX);
/// The longest time for what comes after a failure, once the time of the run is over.
pub(super) const CLEANUP: Duration = Duration::from_secs(limits::RUN_CLEANUP_SECONDS_MAX);

/// Why the time of a run is over, if it is.
pub(super) fn over(state: &RunState, playbook: &Playbook, now: Time) -> Option<String> {
    if state.active >= ACTIVE_MAX {
        return Some(format!("it was active for longer than {}", model::period::format(ACTIVE_MAX)));
    }
    let most = most(playbook);
    let overdue = state.started_at.is_some_and(|started| now >= started.plus(most));
    overdue.then(|| format!("it took longer than {}", model::period::format(most)))
}

/// Whether a step that failed was cut off because the time of its run was over.
pub(super) fn cut(state: &RunState, playbook: &Playbook, path: &str) -> bool {
    let Some(step) = state.steps.get(path).filter(|step| step.status == StepStatus::TimedOut) else { return false };
    let deadline = state.started_at.map(|started| started.plus(most(playbook)));
    let last = step.ended_at.zip(deadline).is_some_and(|(ended, deadline)| ended >= deadline);
    last || state.active >= ACTIVE_MAX
}

/// Whether even the time for what comes after a failure is over.
pub(super) fn late(state: &RunState, playbook: &Playbook, now: Time) -> bool {
    deadlines(state, playbook).is_some_and(|[_, last]| now >= last) || active_left(state, true).is_zero()
}

fn most(playbook: &Playbook) -> Duration {
    playbook.timeout.unwrap_or(RUN_MAX).min(RUN_MAX)
}

/// When the time of a run is over, and when even that for what comes after a failure is; nothing while it is in the queue.
pub fn deadlines(state: &RunState, playbook: &Playbook) -> Option<[Time; 2]> {
    let deadline = state.started_at?.plus(most(playbook));
    let end = state.overdue.as_ref().map_or(deadline, |overdue| overdue.at);
    Some([deadline, end.plus(CLEANUP)])
}

/// How much longer a run may be active; `after`: with what comes after a failure.
pub fn active_left(state: &RunState, after: bool) -> Duration {
    let most = if after { ACTIVE_MAX + CLEANUP } else { ACTIVE_MAX };
    most.saturating_sub(state.active)
}
