//! What the outside answers in a test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use playbook::Playbook;
use playbook::testing::{Failure, Response, Script, Test};
use serde_json::Value;

use super::means;
use crate::outbound::{Answers, ConnectError, Origin, Planned, Reply, SendError};

/// The requests for which a test said no answer: the step, and what it asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Unanswered(Arc<Mutex<Vec<(String, String)>>>);

impl Unanswered {
    pub(super) fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, asked: &Planned, own: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Origin { playbook, step, .. } = &asked.origin;
        let step = if playbook == own { step.clone() } else { format!("{playbook}/{step}") };
        let this = (step, format!("{} {}", asked.method, asked.url));
        if !all.contains(&this) {
            all.push(this);
        }
    }
}

/// The answers that a test says, in their order.
pub(super) struct Canned {
    playbook: Arc<str>,
    steps: Vec<Script>,
    destinations: Vec<Script>,
    /// How many answers were given, by the script's place and whether it is a destination's.
    given: Mutex<HashMap<(bool, usize), usize>>,
    unanswered: Unanswered,
}

impl Canned {
    pub(super) fn new(playbook: &Playbook, test: &Test, unanswered: Unanswered) -> Canned {
        let (steps, destinations) = (test.responses.clone(), test.destinations.clone());
        Canned { playbook: Arc::clone(&playbook.id), steps, destinations, given: Mutex::default(), unanswered }
    }

    fn next<'a>(&self, script: (bool, usize), answers: &'a [Response]) -> Option<&'a Response> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let count = given.entry(script).or_default();
        let answer = answers.get(*count).or(answers.last());
        *count += 1;
        answer
    }
}

impl Answers for Canned {
    fn answer(&self, asked: &Planned) -> Reply {
        let origin = (asked.origin.playbook.as_str(), asked.origin.step.as_str());
        let of_step = self.steps.iter().position(|script| means(&script.name, &self.playbook, origin));
        let of_destination = asked
            .origin
            .destination
            .as_ref()
            .and_then(|destination| self.destinations.iter().position(|script| script.name == *destination));
        let said = match (of_step, of_destination) {
            (Some(at), _) => self.steps.get(at).and_then(|script| self.next((false, at), &script.answers)),
            (None, Some(at)) => self.destinations.get(at).and_then(|script| self.next((true, at), &script.answers)),
            (None, None) => None,
        };
        match said {
            Some(response) => reply(response),
            None if asked.origin.destination.is_some() => Reply::answer(200, ""),
            None => {
                self.unanswered.note(asked, &self.playbook);
                Reply::Nothing(SendError::Dns)
            }
        }
    }
}

fn reply(response: &Response) -> Reply {
    match response {
        Response::Fails(failure) => Reply::Nothing(match failure {
            Failure::Timeout => SendError::Timeout,
            Failure::Connect => SendError::Connect(ConnectError::Refused),
            Failure::Dns => SendError::Dns,
            Failure::Tls => SendError::Tls("its certificate is not valid"),
            Failure::ConnectionLost => SendError::Lost,
        }),
        Response::Answer { status, headers, body } => {
            let mut all = HeaderMap::new();
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                    all.append(name, value);
                }
            }
            let body = match body {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Reply::Answer { status: *status, headers: all, body }
        }
    }
}
