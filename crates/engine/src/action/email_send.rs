//! `email.send`: sends a message over the operator's mail server.
//!
//! Each recipient is a delivery of its own, listed as `mailto:ADDRESS`: one whom the server does not know fails alone, and
//! only those who failed are tried again. The message is the same on each try, its `Message-ID` follows from run and step.

use model::limits::STEP_OUTPUT_BYTES_MAX;
use model::run::{Attempt, AttemptOutcome, StepError};
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::{Value, json};

use super::render::{Params, error};
use super::send::{mix, outcome, policy, problem, soon, unit};
use super::{Action, Call, Outcome, StepResult, idempotency_key};
use crate::outbound::mail::{Letter, LetterError, Mailbox, MailboxError, name_of};
use crate::outbound::{HELD_LOOK, SendError, Sent};

/// The verb.
pub(super) struct EmailSend;

const _: () = assert!(2 * crate::outbound::mail::TEXT_BYTES_MAX < STEP_OUTPUT_BYTES_MAX);

static SPEC: ActionSpec = ActionSpec {
    id: "email.send",
    title: "Send an e-mail",
    doc: "Sends a message over the mail server of `smtp:` in `sortie.yaml`. Each recipient is a delivery of its own, listed as \
          `mailto:ADDRESS`: an address that the server refuses fails alone, and only those that failed are tried again. What \
          the server refuses for good (5xx) is not tried again; what it puts off (4xx) and what does not reach it is. The \
          message is the same on each try, and its `Message-ID` follows from run and step, so that a mail system can tell a \
          repeat. A line break in an address or in the subject is refused.",
    effect: Effect::Idempotent,
    about: None,
    network: true,
    params: &[
        Param { name: "to", ty: ParamType::TextList, required: true, doc: "an address, or a list of them" },
        Param { name: "cc", ty: ParamType::TextList, required: false, doc: "who gets a copy" },
        Param {
            name: "subject",
            ty: ParamType::Text,
            required: true,
            doc: "the subject; one line, at most 400 characters",
        },
        Param { name: "text", ty: ParamType::Text, required: true, doc: "the text; at most 256 KB" },
        Param {
            name: "html",
            ty: ParamType::Html,
            required: false,
            doc: "the same as HTML, for programs that show it; what is put in with `${{ }}` is escaped",
        },
    ],
    output: "`delivered`: how many recipients the mail server took it for. `deliveries`: for each of them `destination` \
             (`mailto:…`), `status`, `attempts`.",
    example: "- id: mail\n  action: email.send\n  with:\n    to: [soc@example.com, \"Night shift <night@example.com>\"]\n    subject: \"[Sortie] ${{ alert.priority }}: alert ${{ alert.id }}\"\n    text: \"${{ alert.name }} has the score ${{ alert.risk_score }}.\"\n",
};

#[async_trait::async_trait]
impl Action for EmailSend {
    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    async fn run(&self, call: Call<'_>) -> Outcome {
        let mut params = Params::of(&call);
        let letter = letter(&call, &mut params);
        let input = Value::Object(params.recorded);
        match letter {
            Err(why) => Outcome::plain(input, StepResult::Failed(why)),
            Ok(letter) => post(&call, letter, input).await,
        }
    }
}

fn letter(call: &Call<'_>, params: &mut Params<'_>) -> Result<Letter, StepError> {
    let to = mailboxes(params, "to")?;
    let mut cc = mailboxes(params, "cc")?;
    // Who is addressed needs no copy.
    cc.retain(|copy| !to.iter().any(|known| known.is_same(copy)));
    let subject = params.needed("subject")?;
    let text = params.text("text")?.unwrap_or_default();
    let html = params.text("html")?;
    let tried = call.state.and_then(|state| state.attempts.first());
    let letter = Letter {
        to,
        cc,
        subject,
        text,
        html,
        key: idempotency_key(call.start.id, call.path, ""),
        date: tried.map_or(call.now, |first| first.started_at),
        now: Vec::new(),
        timeout: call.timeout,
        tenant: call.start.tenant.clone(),
        origin: call.origin(),
    };
    match letter.check() {
        Ok(()) => Ok(letter),
        Err(why @ LetterError::Subject) => Err(error("bad_header", why.to_string())),
        Err(why) => Err(error("bad_parameter", why.to_string())),
    }
}

/// Addresses, each once.
fn mailboxes(params: &mut Params<'_>, name: &str) -> Result<Vec<Mailbox>, StepError> {
    let mut all: Vec<Mailbox> = Vec::new();
    for text in params.texts(name)? {
        let read: Mailbox = text.parse().map_err(|why: MailboxError| {
            let code = if why == MailboxError::Control { "bad_header" } else { "bad_address" };
            let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
            error(code, format!("`{name}`: `{shown}`: {why}"))
        })?;
        if !all.iter().any(|known| known.is_same(&read)) {
            all.push(read);
        }
    }
    Ok(all)
}

/// How the delivery to one recipient stands.
fn last<'a>(call: &Call<'a>, mailbox: &Mailbox) -> Option<&'a Attempt> {
    let name = name_of(mailbox);
    call.state?.attempts.iter().rfind(|attempt| attempt.destination.as_ref() == Some(&name))
}

/// When a recipient's turn is, and how many tries were made; nothing when it has ended.
fn turn(call: &Call<'_>, mailbox: &Mailbox) -> Option<(model::Time, u32)> {
    let Some(attempt) = last(call, mailbox) else { return Some((call.now, 0)) };
    match &attempt.outcome {
        AttemptOutcome::Retry { at } => Some((*at, attempt.n)),
        AttemptOutcome::Held if call.ctx.effects.is_paused() => Some((call.now.plus(HELD_LOOK), 0)),
        AttemptOutcome::Held => Some((call.now, attempt.n.saturating_sub(1))),
        AttemptOutcome::Succeeded | AttemptOutcome::Failed | AttemptOutcome::Suppressed { .. } => None,
    }
}

async fn post(call: &Call<'_>, mut letter: Letter, input: Value) -> Outcome {
    let everybody: Vec<Mailbox> = letter.to.iter().chain(&letter.cc).cloned().collect();
    let turns: Vec<(Mailbox, model::Time, u32)> = everybody
        .iter()
        .filter_map(|mailbox| turn(call, mailbox).map(|(at, tried)| (mailbox.clone(), at, tried)))
        .collect();
    let (due, later): (Vec<_>, Vec<_>) = turns.into_iter().partition(|(_, at, _)| *at <= call.now);
    let mut wait = later.iter().map(|(_, at, _)| *at).min();
    let mut attempts = Vec::new();
    if !due.is_empty() {
        letter.now = due.iter().map(|(mailbox, ..)| mailbox.clone()).collect();
        let started_at = (call.ctx.clock)();
        let outcomes = match call.ctx.effects.mail(&call.ctx.secrets, &letter).await {
            Ok(outcomes) => outcomes,
            Err(missing) => return Outcome::plain(input, StepResult::Failed(error("secret", missing.to_string()))),
        };
        let ended_at = (call.ctx.clock)();
        for ((mailbox, _, tried), sent) in due.iter().zip(&outcomes) {
            match attempt(call, mailbox, *tried, sent, (started_at, ended_at)) {
                Ok(made) => {
                    if let AttemptOutcome::Retry { at } = made.outcome {
                        wait = Some(wait.map_or(at, |other| other.min(at)));
                    }
                    attempts.push(made);
                }
                Err(at) => wait = Some(wait.map_or(at, |other| other.min(at))),
            }
        }
    }
    let result = match wait {
        Some(at) if attempts.is_empty() => StepResult::Busy { at },
        Some(at) => StepResult::Retry { at },
        None => sum_up(call, &everybody, &attempts),
    };
    Outcome { attempts, ..Outcome::plain(input, result) }
}

/// The try that was made for one recipient; when to ask again, where none was.
fn attempt(
    call: &Call<'_>,
    mailbox: &Mailbox,
    tried: u32,
    sent: &Sent,
    (started_at, ended_at): (model::Time, model::Time),
) -> Result<Attempt, model::Time> {
    let name = name_of(mailbox);
    let held = AttemptOutcome::Held;
    let outcome = match &sent.error {
        Some(SendError::Busy) => return Err(soon(call, &name)),
        Some(SendError::Paused) if last(call, mailbox).is_some_and(|last| last.outcome == held) => {
            return Err(call.now.plus(HELD_LOOK));
        }
        Some(SendError::Paused) => held,
        _ => {
            let said = call.ctx.effects.mail_server().and_then(|server| server.retry.as_ref());
            let policy = policy(call, said);
            // The same for all of them, so that those who wait get it together, as one message.
            outcome(sent, policy, tried + 1, ended_at, unit(mix(call.random, call.path, tried + 1)))
        }
    };
    let paused = matches!(sent.error, Some(SendError::Paused));
    Ok(Attempt {
        n: tried + 1,
        destination: Some(name),
        started_at,
        ended_at,
        outcome,
        http_status: None,
        answer: sent.answer(),
        error: if paused { None } else { problem(sent) },
        redacted: Vec::new(),
    })
}

/// How the step stands when every recipient has ended.
fn sum_up(call: &Call<'_>, everybody: &[Mailbox], now: &[Attempt]) -> StepResult {
    let mut items = Vec::new();
    let mut failures = Vec::new();
    let mut code = None;
    for mailbox in everybody {
        let name = name_of(mailbox);
        let made = now.iter().rfind(|attempt| attempt.destination.as_ref() == Some(&name));
        let Some(attempt) = made.or_else(|| last(call, mailbox)) else { continue };
        if attempt.outcome == AttemptOutcome::Succeeded {
            items.push(json!({ "destination": name, "status": "delivered", "attempts": attempt.n }));
            continue;
        }
        let why = attempt.error.as_ref();
        code = code.or(why.map(|error| error.code.clone()));
        let tries = if attempt.n == 1 { "1 try".to_owned() } else { format!("{} tries", attempt.n) };
        failures.push(format!("{name}: {} ({tries})", why.map_or("it failed", |error| error.message.as_str())));
    }
    if failures.is_empty() {
        return StepResult::Done { output: json!({ "delivered": items.len(), "deliveries": items }) };
    }
    let at = call.with.get("to").map(|template| (template.span().line, template.span().column));
    let failed = StepError { code: code.unwrap_or_else(|| "delivery".to_owned()), message: failures.join("; "), at };
    if failed.code == SendError::Timeout.code() && call.timeout.is_some() {
        StepResult::TimedOut(failed)
    } else {
        StepResult::Failed(failed)
    }
}
