//! Quantiles of latencies.

/// Latencies in microseconds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    /// Takes what was measured.
    pub(crate) fn new(mut micros: Vec<u64>) -> Latencies {
        micros.sort_unstable();
        Latencies(micros)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that a fraction `q` of them does not exceed, in milliseconds; nothing when there are none.
    pub(crate) fn millis(&self, q: f64) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        let place = (last as f64 * q).ceil() as usize;
        self.0.get(place.min(last)).map(|micros| *micros as f64 / 1000.0)
    }
}

/// The middle one of some figures; the mean of the two in the middle of an even number.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(upper), 0) => (upper + sorted.get(middle.wrapping_sub(1)).unwrap_or(upper)) / 2.0,
        (Some(only), _) => *only,
        (None, _) => f64::NAN,
    }
}
