//! The rounds, interleaved, and the report.

use std::path::{Path, PathBuf};

use crate::support::Result;
use crate::support::args::Args;
use crate::support::quantile::{Latencies, median};
use crate::support::report::{self, Table, figure};

use super::flood;
use super::pipeline::Volume;
use super::round::{self, Figures, Plan, Subject};

/// What Sortie must reach of the bare pipeline.
const FLOOR: f64 = 0.8;
/// Events in a second at 64 connections, and the longest accept p99 in milliseconds at half of that.
const RATE_GOAL: f64 = 8_000.0;
const ACCEPT_GOAL_MILLIS: f64 = 25.0;
/// Playbooks that listen to something else, and how much they may slow an event down, in percent.
const IDLE_PLAYBOOKS: usize = 10_000;
const IDLE_GOAL_PERCENT: f64 = 10.0;
/// How much longer a quiet tenant may wait beside one that floods.
const FLOOD_GOAL: f64 = 2.0;
/// Connections of the single measurements.
const CONNECTIONS: usize = 64;
/// What a bare pipeline writes when nothing else is known: the figures of the trial that the goals come from.
const TRIAL: Volume = Volume { keys: 4.0, bytes: 3_700.0 };

/// What the series has been told.
struct Series {
    binary: String,
    folder: PathBuf,
    seconds: f64,
    rounds: usize,
    only: String,
    rounds_done: usize,
}

/// Runs everything; answers whether all goals were reached.
///
/// # Errors
/// When a round fails, or when what was accepted was not delivered and recorded.
pub(super) async fn run(args: &Args, binary: &str) -> Result<bool> {
    let folder: String =
        args.get("--folder", "SORTIE_BENCH_FOLDER", format!("{}/throughput", env!("CARGO_TARGET_TMPDIR")))?;
    let mut series = Series {
        binary: args.get("--server", "SORTIE_BENCH_SERVER", binary.to_owned())?,
        folder: PathBuf::from(folder),
        seconds: args.get("--seconds", "SORTIE_BENCH_SECONDS", 10.0)?,
        rounds: args.get("--rounds", "SORTIE_BENCH_ROUNDS", 3)?,
        only: args.get("--only", "SORTIE_BENCH_ONLY", "sortie,bare,empty,open,idle,flood".to_owned())?,
        rounds_done: 0,
    };
    let connections: Vec<usize> = args.list("--connections", "SORTIE_BENCH_CONNECTIONS", "16,64,256")?;
    let _ = std::fs::remove_dir_all(&series.folder);
    report::line(format!(
        "2 KB alerts in, a condition of three clauses, every other event out by webhook; durability: power\n\
         {} rounds of {} s for each figure, medians; {} cores for generator, server and receiver; data in {}\n",
        series.rounds,
        series.seconds,
        std::thread::available_parallelism()?,
        series.folder.display()
    ));
    let mut good = series.compare(&connections).await?;
    if series.wants("open") {
        good &= series.half_load().await?;
    }
    if series.wants("idle") {
        good &= series.idle_playbooks().await?;
    }
    if series.wants("flood") {
        good &= series.flood().await?;
    }
    Ok(good)
}

impl Series {
    fn wants(&self, what: &str) -> bool {
        self.only.split(',').any(|name| name == what)
    }

    async fn round(&mut self, name: &str, subject: Subject, plan: Plan) -> Result<Figures> {
        self.rounds_done += 1;
        let folder = Path::new(&self.folder).join(format!("{:03}", self.rounds_done));
        let figures = round::measure(&self.binary, &folder, subject, plan).await?;
        round::progress(name, plan, &figures);
        Ok(figures)
    }

    fn plan(&self, connections: usize) -> Plan {
        Plan { connections, seconds: self.seconds, rate: None }
    }

    /// Sortie, bare, Sortie, bare, … for each number of connections.
    async fn compare(&mut self, connections: &[usize]) -> Result<bool> {
        let mut table = Table::new(&HEAD);
        let mut ratios = Vec::new();
        for count in connections {
            let plan = self.plan(*count);
            let mut all: Vec<(&str, Vec<Figures>)> = vec![("sortie", vec![]), ("bare", vec![]), ("empty", vec![])];
            for n in 0..self.rounds {
                let mut volume = TRIAL;
                for (name, rounds) in &mut all {
                    let subject = match *name {
                        "sortie" => Subject::Sortie { idle_playbooks: 0 },
                        "bare" => Subject::Bare(volume),
                        _ => Subject::Empty,
                    };
                    // A ceiling without work is so far away that once is enough.
                    if !self.wants(name) || (*name == "empty" && n > 0) {
                        continue;
                    }
                    let figures = self.round(name, subject, plan).await?;
                    volume = figures.volume.unwrap_or(volume);
                    rounds.push(figures);
                }
            }
            for (name, rounds) in all.iter().filter(|(_, rounds)| !rounds.is_empty()) {
                table.row(row(name, *count, rounds));
            }
            if let [(_, sortie), (_, bare), ..] = all.as_slice()
                && !sortie.is_empty()
                && !bare.is_empty()
            {
                let pairs = sortie.iter().zip(bare).map(|(ours, theirs)| ours.rate / theirs.rate);
                ratios.push((*count, rate(sortie) / rate(bare), pairs.collect::<Vec<_>>()));
            }
        }
        table.print();
        report::line("");
        let mut good = true;
        for (count, ratio, pairs) in ratios {
            let pairs: Vec<String> = pairs.iter().map(|pair| format!("{:.0} %", pair * 100.0)).collect();
            let met = ratio >= FLOOR;
            good &= met;
            report::line(format!(
                "{} Sortie reaches {:.0} % of the bare pipeline at {count} connections (floor {:.0} %; round by round: {})",
                mark(met),
                ratio * 100.0,
                FLOOR * 100.0,
                pairs.join(", ")
            ));
        }
        Ok(good)
    }

    /// Half of the goal, at a rate of its own.
    async fn half_load(&mut self) -> Result<bool> {
        let plan = Plan { rate: Some(RATE_GOAL / 2.0), ..self.plan(CONNECTIONS) };
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            rounds.push(self.round("sortie, open loop", Subject::Sortie { idle_playbooks: 0 }, plan).await?);
        }
        let p99 = median(rounds.iter().filter_map(|figures| figures.accept.millis(0.99)));
        let reached = rate(&rounds);
        let refused: u64 = rounds.iter().map(|figures| figures.refused).sum();
        let met = p99 < ACCEPT_GOAL_MILLIS && refused == 0;
        report::line(format!(
            "{} at {:.0} events/s asked for ({reached:.0} done) over {CONNECTIONS} connections: accept p99 {p99:.1} ms (goal {ACCEPT_GOAL_MILLIS} ms), refused {refused}",
            mark(met),
            RATE_GOAL / 2.0
        ));
        Ok(met)
    }

    /// A quiet tenant beside one that behaves, and beside one that floods.
    async fn flood(&mut self) -> Result<bool> {
        let (mut accept, mut delivery, mut refused, mut times) = (Vec::new(), Vec::new(), 0, Vec::new());
        for _ in 0..self.rounds {
            self.rounds_done += 1;
            let folder = Path::new(&self.folder).join(format!("{:03}", self.rounds_done));
            let (calm, flooded) = flood::measure(&self.binary, &folder, self.seconds).await?;
            flood::progress("behaves", &calm);
            flood::progress("floods", &flooded);
            refused += flooded.refused;
            times.push(flooded.other_rate / calm.other_rate);
            accept.push((calm.accept.millis(0.99), flooded.accept.millis(0.99)));
            delivery.push((calm.delivery.millis(0.99), flooded.delivery.millis(0.99)));
        }
        let mut met = refused == 0;
        let times = median(times);
        for (what, rounds) in [("accept", accept), ("delivery", delivery)] {
            let calm = median(rounds.iter().filter_map(|pair| pair.0));
            let flooded = median(rounds.iter().filter_map(|pair| pair.1));
            let fair = flooded <= calm * FLOOD_GOAL;
            met &= fair;
            report::line(format!(
                "{} a tenant that sends {times:.0} times as much: {what} p99 of a quiet one {calm:.1} → {flooded:.1} ms (goal: at most {FLOOD_GOAL:.0} times), refused {refused}",
                mark(fair)
            ));
        }
        Ok(met)
    }

    /// With and without many playbooks that listen to something else.
    async fn idle_playbooks(&mut self) -> Result<bool> {
        let plan = self.plan(CONNECTIONS);
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            without.push(self.round("sortie", Subject::Sortie { idle_playbooks: 0 }, plan).await?);
            let idle_playbooks = IDLE_PLAYBOOKS;
            with.push(self.round("sortie, many playbooks", Subject::Sortie { idle_playbooks }, plan).await?);
        }
        let slower = (1.0 - rate(&with) / rate(&without)) * 100.0;
        let cpu = (median(with.iter().map(|f| f.cpu)) / median(without.iter().map(|f| f.cpu)) - 1.0) * 100.0;
        let met = slower < IDLE_GOAL_PERCENT;
        report::line(format!(
            "{} {IDLE_PLAYBOOKS} playbooks that listen to other things: {slower:+.1} % slower, {cpu:+.1} % CPU for an event (goal < {IDLE_GOAL_PERCENT} %)",
            mark(met)
        ));
        Ok(met)
    }
}

const HEAD: [&str; 13] = [
    "",
    "connections",
    "events/s",
    "accept p50",
    "p99 ms",
    "delivery p50",
    "p99 ms",
    "CPU ms/event",
    "RSS MB",
    "disk B/event",
    "keys/event",
    "written B/event",
    "entries/commit",
];

fn row(name: &str, connections: usize, rounds: &[Figures]) -> Vec<String> {
    let of = |pick: &dyn Fn(&Figures) -> Option<f64>, digits| {
        let values: Vec<f64> = rounds.iter().filter_map(pick).collect();
        figure((!values.is_empty()).then(|| median(values)), digits)
    };
    let quantile = |pick: fn(&Figures) -> &Latencies, q| of(&|figures| pick(figures).millis(q), 1);
    vec![
        name.to_owned(),
        connections.to_string(),
        of(&|figures| Some(figures.rate), 0),
        quantile(|figures| &figures.accept, 0.5),
        quantile(|figures| &figures.accept, 0.99),
        quantile(|figures| &figures.delivery, 0.5),
        quantile(|figures| &figures.delivery, 0.99),
        of(&|figures| Some(figures.cpu), 3),
        of(&|figures| Some(figures.memory), 0),
        of(&|figures| Some(figures.disk), 0),
        of(&|figures| figures.volume.map(|volume| volume.keys), 2),
        of(&|figures| figures.volume.map(|volume| volume.bytes), 0),
        of(&|figures| figures.group, 1),
    ]
}

fn rate(rounds: &[Figures]) -> f64 {
    median(rounds.iter().map(|figures| figures.rate))
}

fn mark(met: bool) -> &'static str {
    if met { "ok  " } else { "MISS" }
}
