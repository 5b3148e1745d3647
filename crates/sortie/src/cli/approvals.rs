//! Approvals: what playbooks ask, and the answers of people.

use serde_json::{Map, Value, json};

use super::World;
use super::api::Ask;
use super::args::{AnswerArguments, ApprovalsCommand};
use super::console::{Tone, one_line};
use super::exit::Error;
use super::records::{self, Column};

/// The columns of open questions.
const APPROVALS: &[Column] = &[
    ("APPROVAL", &["approval_id"]),
    ("PLAYBOOK", &["playbook"]),
    ("ABOUT", &["case_id", "alert_id"]),
    ("BY", &["by"]),
    ("UNTIL", &["deadline"]),
    ("QUESTION", &["ask"]),
];

/// `sortie approvals`.
pub(super) fn run(world: &World, command: ApprovalsCommand) -> Result<(), Error> {
    match command {
        ApprovalsCommand::List(output) => records::list(world, "approvals", Vec::new(), APPROVALS, output),
        ApprovalsCommand::Show(show) => records::one(world, "approvals", &show),
        ApprovalsCommand::Approve(answer) => decide(world, &answer, "approve"),
        ApprovalsCommand::Deny(answer) => decide(world, &answer, "deny"),
    }
}

fn decide(world: &World, arguments: &AnswerArguments, decision: &str) -> Result<(), Error> {
    let mut fields = Map::new();
    for field in &arguments.fields {
        let Some((name, value)) = field.split_once('=') else {
            let message = format!("`{field}` is not NAME=VALUE");
            return Err(Error::Usage { message, help: "such as `--field reason=\"seen in the logs\"`".to_owned() });
        };
        // A value that reads as JSON is taken as that, so that numbers and lists can be given; all else is text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        fields.insert(name.to_owned(), value);
    }
    let body = json!({ "decision": decision, "comment": arguments.comment, "fields": fields });
    let answer = records::ask(world, Ask::post(&["v1", "approvals", &arguments.id], body))?;
    let run = answer["run_id"].as_str().unwrap_or_default();
    let what = if decision == "approve" { "approved" } else { "denied" };
    world.console.talk_in(Tone::Good, &one_line(&format!("{} is {what}; run {run} goes on", arguments.id)));
    Ok(())
}
