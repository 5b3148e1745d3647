//! How the demo is told: headings, tables, the JSON itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::super::console::{Console, Tone};
use super::super::exit::Error;
use super::super::receiver::Arrived;
use super::super::records::RUNS;
use super::super::show;

/// Lines of a delivered message that are shown.
const MESSAGE_LINES_MAX: usize = 60;

/// Tells the demo on a console.
pub(super) struct Teller {
    console: Console,
}

type Told = Result<(), Error>;

impl Teller {
    /// On a console.
    pub(super) fn new(console: Console) -> Teller {
        Teller { console }
    }

    fn line(&self, tone: Tone, text: &str) -> Told {
        Ok(self.console.data(&self.console.paint(tone, text))?)
    }

    fn heading(&self, text: &str) -> Told {
        self.line(Tone::Plain, "")?;
        self.line(Tone::Bold, &format!("── {text} "))
    }

    /// What runs.
    pub(super) fn opening(&self, url: &str, receiver: SocketAddr, playbooks: usize) -> Told {
        self.line(
            Tone::Bold,
            "Sortie: security events in, playbooks decide, threat details out, the history proves it",
        )?;
        self.line(
            Tone::Dim,
            &format!("engine on {url}, {playbooks} shipped playbooks, a receiver on http://{receiver}"),
        )
    }

    /// One event and what was decided.
    pub(super) fn event(&self, number: usize, (title, source): (&str, &str), answer: &Value, told: &Value) -> Told {
        self.heading(&format!("{number}. {title}"))?;
        let id = show::scalar(&answer["event_id"]);
        if answer["duplicate"] == Value::Bool(true) {
            let line = format!(
                "POST /v1/in/{source} → 200 {id}: a repeat, answered with the first one's id; nothing happens twice"
            );
            return self.line(Tone::Dim, &line);
        }
        self.line(Tone::Dim, &format!("POST /v1/in/{source} → 202 {id}: accepted, decided and on disk"))?;
        for transition in told["transitions"].as_array().into_iter().flatten() {
            self.line(Tone::Accent, &format!("  {}", show::change(transition)))?;
        }
        let decisions = answer["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
        if decisions.is_empty() {
            return self.line(Tone::Dim, "  no playbook listens to this");
        }
        let mut rows = vec![["PLAYBOOK", "VERDICT", "WHY"].map(str::to_owned).to_vec()];
        for decision in decisions {
            let why = match decision["at"]["line"].as_u64() {
                Some(line) => format!("{} (line {line})", show::scalar(&decision["reason"])),
                None => show::scalar(&decision["reason"]),
            };
            rows.push(vec![show::scalar(&decision["playbook"]), show::scalar(&decision["verdict"]), why]);
        }
        Ok(self.console.table(&rows)?)
    }

    /// What arrived at the receiver, and one message in full.
    pub(super) fn deliveries(&self, arrived: &[Arrived]) -> Told {
        self.heading("what the receiver got")?;
        let mut rows = vec![["TO", "ANSWERED", "SIGNED", "WEBHOOK-ID"].map(str::to_owned).to_vec()];
        for message in arrived {
            rows.push(vec![
                message.path.clone(),
                message.status.to_string(),
                if message.signed { "yes" } else { "no" }.to_owned(),
                message.webhook_id.clone(),
            ]);
        }
        self.console.table(&rows)?;
        self.line(
            Tone::Dim,
            "503 the first time: tried again by itself, with the same webhook-id, so that nobody acts twice",
        )?;
        let details = arrived.iter().find(|message| !message.body["case_id"].is_null());
        let Some(details) = details else { return Ok(()) };
        self.heading("\"Send all threat details via webhook\": the message itself")?;
        for line in format!("{:#}", details.body).lines().take(MESSAGE_LINES_MAX) {
            self.console.json_line(line)?;
        }
        Ok(())
    }

    /// The runs.
    pub(super) fn runs(&self, runs: &Value) -> Told {
        self.heading("the runs (sortie runs list)")?;
        let items = runs["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(self.console.table(&show::rows(items, RUNS))?)
    }

    /// The history of one run.
    pub(super) fn history(&self, run: &Value) -> Told {
        self.heading(&format!("the history of {}", show::scalar(&run["run_id"])))?;
        let moments = run["history"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.console.table(&show::history(moments))?;
        self.line(
            Tone::Dim,
            "each entry is one line of a gap-free history; a run's status is nothing but what its entries say",
        )
    }

    /// How to go on.
    pub(super) fn closing(&self, took: Duration, kept: Option<&Path>) -> Told {
        self.heading(&format!("that was everything, in {}.{} s", took.as_secs(), took.subsec_millis() / 100))?;
        for (what, command) in [
            ("a folder to start from ", "sortie init soc && cd soc"),
            ("the server             ", "sortie serve"),
            ("check what you write   ", "sortie check playbooks"),
            ("why did it (not) run?  ", "sortie explain --event event.json"),
        ] {
            self.console.data(&format!(
                "  {} {}",
                self.console.paint(Tone::Dim, what),
                self.console.paint(Tone::Accent, command)
            ))?;
        }
        self.line(
            Tone::Dim,
            "  (from the source tree: `cargo run --release -- serve` in the place of `sortie serve`)",
        )?;
        match kept {
            Some(path) => self.line(Tone::Dim, &format!("  kept: {}", path.display())),
            None => Ok(()),
        }
    }
}
