//! What a run may do to the outside: one value, which either sends or only records what would be sent.
//!
//! Invariants: [`Effects::send`] is the only way out of this crate for anything that a playbook asks for;
//! [`Outbound`]'s own way to send is not visible outside this module. An `Effects` that records holds no client at all,
//! so that neither an author nor an action can make it send. What it records holds no secret.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::RunId;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use super::login::Tokens;
use super::mail::{self, Letter, Outcomes, Server};
use super::secret::{Redactor, SecretError, Secrets};
use super::{Egress, Outbound, Request, SendError, Sent, SmtpError};

/// Most requests that one recorder keeps; more than any run may make.
pub const PLANNED_MAX: usize = 100_000;
/// What stands where a secret would be sent.
const HIDDEN: &str = "***";

/// What is done to the outside. Cheap to clone; clones share one client, or one record.
#[derive(Clone)]
pub struct Effects {
    way: Way,
    paused: Arc<AtomicBool>,
    mail: Option<Server>,
}

#[derive(Clone)]
enum Way {
    Live(Outbound),
    Recorded(Arc<Recorder>),
}

/// Who asks for something to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The run; none for what a person sends to try a destination.
    pub run: Option<RunId>,
    /// Its playbook; empty where there is no run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub playbook: String,
    /// The path of the step.
    pub step: String,
    /// The destination, when it is one.
    pub destination: Option<String>,
}

/// Something that would have been sent. Without secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// Who asked for it.
    #[serde(flatten)]
    pub origin: Origin,
    /// The method.
    pub method: String,
    /// Where to. The URL of a destination may be a credential: of that only the host and the end.
    pub url: String,
    /// The headers, without secrets and signatures.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON where it is JSON, else text; `null` when there is none.
    pub body: Value,
}

/// What the outside is supposed to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: String,
    },
    /// No answer, for this reason.
    Nothing(SendError),
}

impl Reply {
    /// An answer without headers.
    pub fn answer(status: u16, body: impl Into<String>) -> Reply {
        Reply::Answer { status, headers: HeaderMap::new(), body: body.into() }
    }
}

/// Answers in the place of the outside.
pub trait Answers: Send + Sync {
    /// What comes back for a request.
    fn answer(&self, asked: &Planned) -> Reply;
}

/// Everything is taken: 200 with nothing in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Takes;

impl Answers for Takes {
    fn answer(&self, _asked: &Planned) -> Reply {
        Reply::answer(200, "")
    }
}

struct Recorder {
    egress: Egress,
    answers: Box<dyn Answers>,
    planned: Mutex<Vec<Planned>>,
}

impl std::fmt::Debug for Effects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_live() { "Effects(live)" } else { "Effects(recorded)" })
    }
}

impl Effects {
    /// What is asked for is done.
    pub fn live(outbound: Outbound) -> Effects {
        Effects { way: Way::Live(outbound), paused: Arc::default(), mail: None }
    }

    /// What is asked for is recorded and answered by `answers`; nothing leaves. Addresses are judged by `egress` as far as
    /// they can be without resolving a name.
    pub fn recorded(egress: Egress, answers: Box<dyn Answers>) -> Effects {
        let recorder = Arc::new(Recorder { egress, answers, planned: Mutex::default() });
        Effects { way: Way::Recorded(recorder), paused: Arc::default(), mail: None }
    }

    /// The same policy, with nothing that leaves.
    pub fn rehearsed(&self, answers: Box<dyn Answers>) -> Effects {
        Effects { mail: self.mail.clone(), ..Effects::recorded(self.egress().clone(), answers) }
    }

    /// The same with this mail server.
    #[must_use]
    pub fn with_mail(self, server: Option<Server>) -> Effects {
        Effects { mail: server, ..self }
    }

    /// The mail server.
    pub fn mail_server(&self) -> Option<&Server> {
        self.mail.as_ref()
    }

    /// Whether what is asked for is done.
    pub fn is_live(&self) -> bool {
        matches!(self.way, Way::Live(_))
    }

    /// Holds up everything, or lets it go again. A step looks before it begins; what slips through is refused here.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// Whether everything is held up.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// The policy.
    pub fn egress(&self) -> &Egress {
        match &self.way {
            Way::Live(outbound) => outbound.egress(),
            Way::Recorded(recorder) => &recorder.egress,
        }
    }

    /// What would have been sent so far, in order; nothing when this sends.
    pub fn planned(&self) -> Vec<Planned> {
        match &self.way {
            Way::Live(_) => Vec::new(),
            Way::Recorded(recorder) => recorder.planned.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What would have been sent since the last call, in order; nothing when this sends.
    pub fn take_planned(&self) -> Vec<Planned> {
        match &self.way {
            Way::Live(_) => Vec::new(),
            Way::Recorded(recorder) => {
                std::mem::take(&mut *recorder.planned.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    /// The tokens of logins; nothing where nothing is sent.
    pub(super) fn tokens(&self) -> Option<&Tokens> {
        match &self.way {
            Way::Live(outbound) => Some(outbound.tokens()),
            Way::Recorded(_) => None,
        }
    }

    /// Sends one request and waits for its answer, or records it and answers at once.
    pub async fn send(&self, request: Request) -> Sent {
        if self.is_paused() {
            return sent(Reply::Nothing(SendError::Paused), &request);
        }
        match &self.way {
            Way::Live(outbound) => {
                let placed = request.redactor.placed().to_vec();
                Sent { placed, ..outbound.send_unless(request, || self.is_paused()).await }
            }
            Way::Recorded(recorder) => recorder.take(&request),
        }
    }

    /// Sends one letter to those who get it now, or records it for each of them; their outcomes in the same order.
    ///
    /// # Errors
    /// [`SecretError`] when the password of the mail server is missing.
    pub async fn mail(&self, secrets: &Secrets, letter: &Letter) -> Result<Outcomes, SecretError> {
        let everybody = |error: SendError| -> Outcomes {
            letter.now.iter().map(|_| Sent::without_answer(error.clone(), Duration::ZERO)).collect()
        };
        if self.is_paused() {
            return Ok(everybody(SendError::Paused));
        }
        match (&self.way, &self.mail) {
            (Way::Recorded(recorder), _) => Ok(recorder.take_letter(letter)),
            (Way::Live(_), None) => Ok(everybody(SmtpError::Absent.into())),
            (Way::Live(outbound), Some(smtp)) => {
                let mut redactor = Redactor::default();
                let login = mail::password(smtp, secrets, &mut redactor)?;
                let mut outcomes = mail::send(outbound, smtp, login.as_ref(), letter, || self.is_paused()).await;
                for sent in &mut outcomes {
                    sent.text = redactor.clean(&sent.text, false);
                    if let Some(SendError::Smtp(SmtpError::Later(text) | SmtpError::Refused(text))) = &mut sent.error {
                        *text = redactor.clean(text, false);
                    }
                }
                Ok(outcomes)
            }
        }
    }
}

impl Recorder {
    fn take_letter(&self, letter: &Letter) -> Outcomes {
        let one = |to: &mail::Mailbox| {
            let planned = planned_letter(letter, to);
            let reply = self.answers.answer(&planned);
            self.keep(planned);
            match reply {
                Reply::Nothing(error) => Sent::without_answer(error, Duration::ZERO),
                Reply::Answer { status: 200..300, body, .. } => Sent::taken(body, Duration::ZERO),
                Reply::Answer { status, body, .. } => {
                    let text = format!("{status} {body}");
                    let error = if status < 500 { SmtpError::Later(text) } else { SmtpError::Refused(text) };
                    Sent::without_answer(error.into(), Duration::ZERO)
                }
            }
        };
        letter.now.iter().map(one).collect()
    }

    fn keep(&self, planned: Planned) {
        let mut all = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < PLANNED_MAX {
            all.push(planned);
        }
    }

    fn take(&self, request: &Request) -> Sent {
        let planned = planned(request);
        let reply = self.answers.answer(&planned);
        self.keep(planned);
        sent(reply, request)
    }
}

/// A letter to one person as it may be shown. A mail server has no address of its own here: it is the operator's.
fn planned_letter(letter: &Letter, to: &mail::Mailbox) -> Planned {
    let list = |all: &[mail::Mailbox]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut headers =
        BTreeMap::from([("to".to_owned(), list(&letter.to)), ("subject".to_owned(), letter.subject.clone())]);
    if !letter.cc.is_empty() {
        headers.insert("cc".to_owned(), list(&letter.cc));
    }
    let url = mail::name_of(to);
    let origin = Origin { destination: Some(url.clone()), ..letter.origin.clone() };
    Planned { origin, method: "MAIL".to_owned(), url, headers, body: Value::String(letter.text.clone()) }
}

/// A request as it may be shown.
fn planned(request: &Request) -> Planned {
    let url = match request.origin.destination {
        Some(_) => request.target.masked(),
        None => request.target.url().to_string(),
    };
    let mut headers = BTreeMap::new();
    for (name, value) in &request.headers {
        headers.insert(name.to_string(), shown(value, request));
    }
    let body = if request.body.is_empty() {
        Value::Null
    } else {
        let text = request.redactor.clean(&String::from_utf8_lossy(&request.body), false);
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    Planned { origin: request.origin.clone(), method: request.method.to_string(), url, headers, body }
}

/// A header's value as it may be shown.
fn shown(value: &HeaderValue, request: &Request) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if value.is_sensitive() {
        // The scheme is no secret and tells how it is authenticated.
        return match text.split_once(' ') {
            Some((scheme @ ("Bearer" | "Basic"), _)) => format!("{scheme} {HIDDEN}"),
            _ => HIDDEN.to_owned(),
        };
    }
    request.redactor.clean(&text, false)
}

/// A supposed answer, as the client would have read it.
fn sent(reply: Reply, request: &Request) -> Sent {
    match reply {
        Reply::Nothing(error) => Sent::without_answer(error, Duration::ZERO),
        Reply::Answer { status, headers, body } => {
            let mut end = body.len().min(request.keep_bytes);
            while !body.is_char_boundary(end) {
                end -= 1;
            }
            let truncated = end < body.len();
            let text = request.redactor.clean(body.get(..end).unwrap_or_default(), truncated);
            let bytes = body.len() as u64;
            let (latency, error, placed) = (Duration::ZERO, None, Vec::new());
            Sent { status: Some(status), headers, text, bytes, truncated, latency, error, placed }
        }
    }
}
