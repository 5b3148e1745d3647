//! Slopes and bounds of the samples after the warm-up.

use super::sample::Sample;
use crate::support::quantile::median;
use crate::support::report::figure;

/// How much memory may grow, in megabytes an hour.
const RESIDENT_SLOPE_MAX: f64 = 1.0;
/// How many descriptors may be added, an hour.
const DESCRIPTORS_SLOPE_MAX: f64 = 4.0;
/// How far the data folder may be from its middle, as a part of it.
const STORE_SWING_MAX: f64 = 0.10;
/// How much the worst of a hundred may rise from the first half to the second, as a part of it.
const DRIFT_MAX: f64 = 0.10;

/// What is said about the bounds.
pub(super) struct Bounds {
    /// For people.
    pub(super) lines: Vec<String>,
    /// Whether all hold.
    pub(super) good: bool,
}

/// Judges.
pub(super) fn judge(samples: &[Sample], warm_minutes: f64) -> Bounds {
    let after: Vec<&Sample> = samples.iter().filter(|sample| sample.minutes > warm_minutes).collect();
    let mut bounds = Bounds { lines: Vec::new(), good: !after.is_empty() };
    bounds.lines.push(format!("after a warm-up of {warm_minutes:.0} minutes, {} samples", after.len()));
    let resident = slope(&after, |sample| sample.resident);
    bounds.add(
        resident <= RESIDENT_SLOPE_MAX,
        format!("memory grows by {resident:+.2} MB an hour (at most {RESIDENT_SLOPE_MAX:+.0})"),
    );
    let descriptors = slope(&after, |sample| sample.descriptors);
    bounds.add(
        descriptors <= DESCRIPTORS_SLOPE_MAX,
        format!("descriptors: {descriptors:+.2} an hour (at most {DESCRIPTORS_SLOPE_MAX:+.0})"),
    );
    let stores: Vec<f64> = after.iter().map(|sample| sample.store).collect();
    let middle = median(stores.iter().copied());
    let swing = stores.iter().map(|store| (store / middle - 1.0).abs()).fold(0.0, f64::max);
    bounds.add(
        swing <= STORE_SWING_MAX,
        format!(
            "the data folder: {middle:.0} MB in the middle, never further from it than {:.1} % (at most {:.0} %), {:+.1} MB an hour",
            swing * 100.0,
            STORE_SWING_MAX * 100.0,
            slope(&after, |sample| sample.store)
        ),
    );
    let half = after.len() / 2;
    let (first, second) = after.split_at(half);
    for (what, of) in [
        ("event to answer", (|sample| sample.accept.1) as fn(&Sample) -> Option<f64>),
        ("event to webhook", |sample| sample.delivery.1),
    ] {
        let middle = |part: &[&Sample]| median(part.iter().filter_map(|sample| of(sample)));
        let (early, late) = (middle(first), middle(second));
        let drift = late / early - 1.0;
        bounds.add(
            drift <= DRIFT_MAX,
            format!(
                "{what}: p99 {} ms in the first half, {} ms in the second: {:+.1} % (at most {:+.0} %)",
                figure(Some(early), 1),
                figure(Some(late), 1),
                drift * 100.0,
                DRIFT_MAX * 100.0
            ),
        );
    }
    let missing = after.last().map_or(0, |sample| sample.missing);
    bounds.lines.push(format!("     timed webhooks under way at the last sample: {missing}"));
    bounds
}

impl Bounds {
    fn add(&mut self, met: bool, text: String) {
        self.lines.push(format!("{} {text}", mark(met)));
        self.good &= met;
    }
}

/// Whether a bound holds, for people.
pub(super) fn mark(met: bool) -> &'static str {
    if met { "ok  " } else { "MISS" }
}

/// How much a figure rises in an hour: least squares.
fn slope(samples: &[&Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let n = samples.len() as f64;
    let mean = |values: &dyn Fn(&Sample) -> f64| samples.iter().map(|sample| values(sample)).sum::<f64>() / n;
    let (hours, figure) = (mean(&|sample| sample.minutes / 60.0), mean(&|sample| of(sample)));
    let sum = |values: &dyn Fn(&Sample) -> f64| samples.iter().map(|sample| values(sample)).sum::<f64>();
    let along = sum(&|sample| (sample.minutes / 60.0 - hours) * (of(sample) - figure));
    let across = sum(&|sample| (sample.minutes / 60.0 - hours).powi(2));
    if across > 0.0 { along / across } else { 0.0 }
}
