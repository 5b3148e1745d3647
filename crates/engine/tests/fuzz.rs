//! A short piece of the fuzzing, the same one each time; `benches/fuzz` goes on for as long as it is told.

#[path = "../benches/fuzz/corpus.rs"]
mod corpus;
#[path = "../benches/fuzz/count.rs"]
mod count;
#[path = "../benches/fuzz/grow.rs"]
mod grow;
#[path = "../benches/fuzz/judge.rs"]
mod judge;
#[path = "../benches/fuzz/mutate.rs"]
mod mutate;
#[path = "../benches/fuzz/random.rs"]
mod random;
#[path = "../benches/fuzz/round.rs"]
mod round;

use std::time::Duration;

#[test]
fn whatever_is_read_there_is_an_answer_soon_and_its_places_exist() {
    let long = round::Long { inputs: 600, time: Duration::MAX };
    let report = round::run(2, long, (count::held, count::peak), |_| {}).unwrap();
    assert!(report.findings.is_empty(), "{}", report.findings.join("\n"));
    assert_eq!(report.inputs(), 600);
    for (target, [accepted, refused]) in round::TARGETS.iter().zip(report.counts) {
        assert!(accepted > 0 && refused > 0, "{target}: {accepted} accepted, {refused} refused");
    }
}
