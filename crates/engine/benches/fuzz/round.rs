//! One input after the other: what is made, how it is judged, what was found.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::corpus::Corpus;
use super::judge::{Judge, Memory, Verdict};
use super::random::Random;
use super::{grow, mutate};

/// How long it goes on: until the first of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Long {
    pub(crate) inputs: u64,
    pub(crate) time: Duration,
}

/// The readers that are fuzzed.
pub(crate) const TARGETS: [&str; 6] = ["playbook", "grown playbook", "condition", "template", "source", "body"];

/// What was done and found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Accepted and refused inputs, by target.
    pub(crate) counts: [[u64; 2]; TARGETS.len()],
    /// What must not be, with the seed of the input.
    pub(crate) findings: Vec<String>,
}

impl Report {
    pub(crate) fn inputs(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }
}

/// Most findings that are collected before it ends.
const FINDINGS_MAX: usize = 20;

/// Fuzzes. `tell` hears of the progress, once every thousand inputs.
pub(crate) fn run(seed: u64, long: Long, memory: Memory, mut tell: impl FnMut(&Report)) -> Result<Report, String> {
    let (judge, corpus) = (Judge::new(memory)?, Corpus::read());
    let (began, mut report) = (Instant::now(), Report::default());
    let at_work = std::env::temp_dir().join(format!("sortie-fuzz-{}.txt", std::process::id()));
    for n in 0_u64.. {
        if n >= long.inputs || began.elapsed() >= long.time || report.findings.len() >= FINDINGS_MAX {
            break;
        }
        let mut random = Random::of(seed.wrapping_add(n.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        let target = random.below(TARGETS.len());
        let (input, name) = make(&mut random, &corpus, target);
        // What aborts the process leaves its input behind.
        let _ = std::fs::write(&at_work, &input);
        match judge.bounded(|judge| judged(judge, target, name, &input)) {
            Ok(verdict) => report.counts[target][usize::from(verdict == Verdict::Refused)] += 1,
            Err(why) => {
                let kept = keep(seed, n, &input);
                report.findings.push(format!(
                    "{} (input {n} of seed {seed}): {why}; kept in {}",
                    TARGETS[target],
                    kept.display()
                ));
            }
        }
        if n % 1_000 == 999 {
            tell(&report);
        }
    }
    let _ = std::fs::remove_file(&at_work);
    Ok(report)
}

fn keep(seed: u64, n: u64, input: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("sortie-fuzz-{seed}-{n}.txt"));
    let _ = std::fs::write(&path, input);
    path
}

/// An input for a target, and the source that it is meant for.
fn make(random: &mut Random, corpus: &Corpus, target: usize) -> (Vec<u8>, &'static str) {
    let text = match target {
        0 => {
            let (text, other) = (random.pick(&corpus.playbooks).clone(), random.pick(&corpus.playbooks).clone());
            mutate::mutate(random, &text, &other)
        }
        1 => {
            let grown = grow::playbook(random);
            if random.one_in(3) { mutate::mutate(random, &grown, "") } else { grown }
        }
        2 => {
            let depth = 1 + random.below(4);
            let grown = grow::condition(random, depth);
            if random.one_in(3) { mutate::mutate(random, &grown, &grown.clone()) } else { grown }
        }
        3 => {
            let depth = 1 + random.below(3);
            let text = if random.one_in(2) { grow::template(random) } else { grow::value(random, depth) };
            if random.one_in(3) { mutate::mutate(random, &text, "${{ alert.name }}") } else { text }
        }
        4 => {
            let (text, other) = (random.pick(&corpus.sources).1, random.pick(&corpus.sources).1);
            mutate::mutate(random, text, other)
        }
        _ => {
            let ((name, body), (_, other)) = (random.pick(&corpus.bodies).clone(), random.pick(&corpus.bodies).clone());
            return (mutate::mutate_bytes(random, &body, &other), name);
        }
    };
    (text.into_bytes(), "")
}

fn judged(judge: &Judge, target: usize, name: &str, input: &[u8]) -> Result<Verdict, String> {
    let text = String::from_utf8_lossy(input);
    match target {
        0 | 1 => judge.playbook(&text),
        2 => judge.condition(&text),
        3 => {
            judge.expression(&text)?;
            let quoted = serde_json::to_string(&*text).map_err(|error| error.to_string())?;
            judge.playbook(&format!(
                "playbook: t\ntriggers: [alert.created]\nsteps:\n  - action: log\n    with: {{ message: {quoted} }}\n"
            ))
        }
        4 => judge.source(&text),
        _ => judge.body(name, input),
    }
}
