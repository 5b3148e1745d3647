//! The conformance suite on every backend, and the comparison of each with the model.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::Path;

use proptest::prelude::*;
use store::conformance::steps::{Pair, Step};
use store::conformance::{CASES, Case};
use store::{Durability, Memory, Options, Sled};

fn open(dir: &Path) -> Sled {
    let options =
        Options { durability: Durability::Process, cache_bytes: 8 << 20, reserve_bytes: 0, ..Options::default() };
    Sled::open(dir, options).unwrap()
}

fn prove(case: &Case, store: &dyn store::Store) {
    eprintln!("{} {}", case.number, case.name);
    (case.run)(store);
}

#[test]
fn the_model_in_memory_proves_every_case() {
    for case in CASES {
        prove(case, &Memory::new(store::wall));
    }
}

#[test]
fn sled_proves_every_case() {
    for case in CASES {
        let dir = tempfile::tempdir().unwrap();
        prove(case, &open(dir.path()));
    }
}

fn step() -> impl Strategy<Value = Step> {
    let off = prop_oneof![8 => Just(0_i8), 1 => -2..3_i8];
    let expect = prop_oneof![1 => Just(0_u8), 5 => Just(1), 1 => Just(2), 4 => Just(3)];
    prop_oneof![
        4 => (any::<u8>(), any::<u8>(), any::<u8>(), 0..5_000_u16, off)
            .prop_map(|(entries, runs, name, bytes, off)| Step::Commit { entries, runs, name, bytes, off }),
        6 => (any::<u8>(), any::<u8>(), expect, any::<bool>())
            .prop_map(|(run, status, expect, keep)| Step::Write { run, status, expect, keep }),
        4 => (0..6_u8, 0..9_u8).prop_map(|(max, seconds)| Step::Take { max, seconds }),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(lease, release)| Step::Lease { lease, release }),
        3 => (0..6_u8).prop_map(|seconds| Step::Pass { seconds }),
        1 => (1..20_u8).prop_map(|limit| Step::Look { limit }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn sled_answers_like_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let (model, sled) = (Memory::new(store::wall), open(dir.path()));
        let mut pair = Pair::new(&model, &sled);
        for step in &steps {
            pair.step(step);
        }
        pair.step(&Step::Look { limit: 3 });
    }
}
