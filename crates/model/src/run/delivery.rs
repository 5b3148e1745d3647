//! Deliveries: what a run sends to destinations, as it stands.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::fact::{Attempt, AttemptOutcome};
use crate::time::Time;

/// The status of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Not tried yet.
    Queued,
    /// A try failed; the next one has a time.
    Retrying,
    /// The receiver took it.
    Delivered,
    /// It ran out of tries, or must not be tried again.
    Failed,
    /// It was not sent, and that is right so.
    Suppressed,
}

impl DeliveryStatus {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            DeliveryStatus::Queued => "queued",
            DeliveryStatus::Retrying => "retrying",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Failed => "failed",
            DeliveryStatus::Suppressed => "suppressed",
        }
    }
}

/// Why a delivery is queued.
const PAUSED: &str = "paused";

/// One payload for one destination, as it stands in the run's summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The step that sends it.
    pub path: String,
    /// Where to.
    pub destination: String,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Why it was suppressed, or is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// The status of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// When the last try ended.
    pub last_at: Time,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
}

impl Delivery {
    fn first(path: &str, destination: &str, attempt: &Attempt) -> Delivery {
        let mut delivery = Delivery {
            path: path.to_owned(),
            destination: destination.to_owned(),
            status: DeliveryStatus::Queued,
            reason: None,
            attempts: 0,
            http_status: None,
            last_at: attempt.ended_at,
            next_at: None,
        };
        delivery.take(attempt);
        delivery
    }

    fn take(&mut self, attempt: &Attempt) {
        self.next_at = None;
        self.reason = None;
        self.last_at = attempt.ended_at;
        self.http_status = attempt.http_status;
        self.attempts += 1;
        self.status = match &attempt.outcome {
            AttemptOutcome::Succeeded => DeliveryStatus::Delivered,
            AttemptOutcome::Failed => DeliveryStatus::Failed,
            AttemptOutcome::Retry { at } => {
                self.next_at = Some(*at);
                DeliveryStatus::Retrying
            }
            AttemptOutcome::Held => {
                self.reason = Some(PAUSED.to_owned());
                self.attempts -= 1;
                DeliveryStatus::Queued
            }
            AttemptOutcome::Suppressed { reason } => {
                self.reason = Some(reason.clone());
                self.attempts -= 1;
                DeliveryStatus::Suppressed
            }
        };
    }
}

/// The deliveries of a run, kept up with each try.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Deliveries {
    all: Vec<Delivery>,
    /// Where those of a step are, by its path.
    by_step: HashMap<String, Vec<usize>>,
}

impl Deliveries {
    /// All, in the order in which they were first tried.
    pub(super) fn all(&self) -> &[Delivery] {
        &self.all
    }

    /// Which of those of a step, or of one destination of it, have failed.
    pub(super) fn failed<'d>(
        &'d self,
        path: &str,
        destination: Option<&'d str>,
    ) -> impl Iterator<Item = (usize, &'d Delivery)> {
        let of_step = self.by_step.get(path).into_iter().flatten().copied();
        let known = of_step.filter_map(|at| Some((at, self.all.get(at)?)));
        known.filter(move |(_, one)| {
            one.status == DeliveryStatus::Failed && destination.is_none_or(|destination| one.destination == destination)
        })
    }

    /// Takes in a try of a step.
    pub(super) fn take(&mut self, path: &str, attempt: &Attempt) {
        let Some(destination) = &attempt.destination else { return };
        let mut of_step = self.by_step.get(path).into_iter().flatten().copied();
        let known = of_step.find(|at| self.all.get(*at).is_some_and(|d| d.destination == *destination));
        match known.and_then(|at| self.all.get_mut(at)) {
            Some(delivery) => delivery.take(attempt),
            None => {
                self.by_step.entry(path.to_owned()).or_default().push(self.all.len());
                self.all.push(Delivery::first(path, destination, attempt));
            }
        }
    }

    /// What a step that has ended still meant to try has failed.
    pub(super) fn end(&mut self, path: &str) {
        let open = |d: &&mut Delivery| matches!(d.status, DeliveryStatus::Retrying | DeliveryStatus::Queued);
        for at in self.by_step.get(path).into_iter().flatten() {
            if let Some(delivery) = self.all.get_mut(*at).filter(open) {
                delivery.status = DeliveryStatus::Failed;
                delivery.next_at = None;
            }
        }
    }
}
