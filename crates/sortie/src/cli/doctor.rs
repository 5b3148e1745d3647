//! `sortie doctor`: looks at everything that usually goes wrong, and says so in plain sentences.
//!
//! It changes nothing, and goes on after a finding: the whole list is what helps.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use engine::brakes::{Brakes, Pause, Scope};
use engine::outbound::destination::{Auth, Grant, Sign};
use engine::outbound::secret::{Lookup, Placed};
use engine::outbound::vault::SECRETS_PREFIX;
use engine::outbound::{Destination, Destinations, Secret, Secrets};
use playbook::{Diagnostic, Severity};
use serde_json::json;
use store::{Sled, Store as _};

use super::World;
use super::api::{self, Api, Ask, block_on};
use super::args::DoctorArguments;
use super::backup::bytes_for_people;
use super::console::Tone;
use super::exit::{Error, ExitCode};
use crate::auth::first;
use crate::config::Config;
use crate::serve::{self, folder};
use crate::setup;

/// How far the store's clock may be ahead of this machine's before it is a finding.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(60);

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Warning,
    Bad(ExitCode),
}

struct Finding {
    about: &'static str,
    state: State,
    message: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, about: &'static str, message: impl Into<String>) {
        self.0.push(Finding { about, state: State::Good, message: message.into() });
    }

    fn warn(&mut self, about: &'static str, message: impl Into<String>) {
        self.0.push(Finding { about, state: State::Warning, message: message.into() });
    }

    fn bad(&mut self, about: &'static str, code: ExitCode, message: impl Into<String>) {
        self.0.push(Finding { about, state: State::Bad(code), message: message.into() });
    }

    fn diagnostics(&mut self, about: &'static str, found: &[Diagnostic]) {
        for one in found {
            let place = format!("{}:{}:{}", one.file, one.span.line, one.span.column);
            let help = one.help.as_deref().map_or(String::new(), |help| format!("; {help}"));
            let message = format!("{place}: {} [{}]{help}", one.message, one.code);
            match one.severity {
                Severity::Error => self.bad(about, ExitCode::Invalid, message),
                Severity::Warning => self.warn(about, message),
            }
        }
    }
}

/// Looks, and shows what was found.
pub(super) fn run(world: &World, arguments: &DoctorArguments) -> Result<(), Error> {
    let mut findings = Findings::default();
    match world.config() {
        Err(Error::Invalid { diagnostics }) => findings.diagnostics("configuration", &diagnostics),
        Err(error) => return Err(error),
        Ok(loaded) => {
            findings.diagnostics("configuration", &loaded.warnings);
            let config = loaded.config;
            let named = config.file.as_ref().map_or("defaults; there is no sortie.yaml here".to_owned(), |file| {
                format!("{} is good", file.display())
            });
            findings.good("configuration", named);
            let known = setup::secrets(&config, Arc::new(Kept(kept(&config))));
            secrets(&config, &known, &mut findings);
            mail(&config, &known, &mut findings);
            let destinations = destinations(&config, &known, &mut findings);
            playbooks(&config, destinations.as_ref(), &mut findings)?;
            data(&config, &mut findings);
        }
    }
    show(world, &findings, arguments.output.json)?;
    let worst = findings.0.iter().find_map(|finding| match finding.state {
        State::Bad(code) => Some(code),
        State::Good | State::Warning => None,
    });
    match worst {
        None => Ok(()),
        Some(code) => {
            let count = findings.0.iter().filter(|finding| matches!(finding.state, State::Bad(_))).count();
            Err(Error::Unwell { count, code })
        }
    }
}

/// The names of the secrets that Sortie keeps itself: in the store of a stopped server, or asked of the running one.
fn kept(config: &Config) -> Vec<String> {
    let strip = |name: String| name.strip_prefix(SECRETS_PREFIX).map(str::to_owned);
    if !config.data.exists() {
        return Vec::new();
    }
    let options = store::Options { reserve_bytes: 0, durability: config.durability, ..store::Options::default() };
    match Sled::open(&config.data, options) {
        Ok(store) => {
            store.marks(SECRETS_PREFIX).unwrap_or_default().into_iter().filter_map(|(name, _)| strip(name)).collect()
        }
        Err(_) => block_on(async {
            let answer = Api::of_folder(config).await?.ask(Ask::get(&["v1", "secrets"])).await?;
            let items = answer["items"].as_array().cloned().unwrap_or_default();
            Ok(items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect())
        })
        .unwrap_or_default(),
    }
}

/// Secrets whose values are not to be known here.
struct Kept(Vec<String>);

impl Lookup for Kept {
    fn find(&self, name: &str) -> Option<Secret> {
        self.0.iter().any(|known| known == name).then(|| Secret::new("kept"))
    }
}

fn secrets(config: &Config, known: &Secrets, findings: &mut Findings) {
    match serve::settings(config, known) {
        Err(serve::Error::Invalid(found)) => findings.diagnostics("sources", &found),
        Err(error) => findings.bad("sources", ExitCode::Invalid, error.to_string()),
        Ok(settings) if settings.doors.is_empty() => {
            findings.warn("sources", "none is configured: no events can come in; name one under `sources:`");
        }
        Ok(settings) => {
            let names: Vec<&str> = settings.doors.keys().map(String::as_str).collect();
            findings.good("sources", format!("{} with their secrets in place", names.join(", ")));
        }
    }
}

fn mail(config: &Config, known: &Secrets, findings: &mut Findings) {
    let Some(smtp) = &config.smtp else { return };
    match serve::mail_password(config, known) {
        Err(serve::Error::Invalid(found)) => findings.diagnostics("mail", &found),
        Err(error) => findings.bad("mail", ExitCode::Invalid, error.to_string()),
        Ok(()) => findings.good("mail", format!("goes over {}:{} as {}", smtp.host, smtp.port, smtp.from)),
    }
}

fn destinations(config: &Config, secrets: &Secrets, findings: &mut Findings) -> Option<Destinations> {
    let path = config.destinations.display();
    match setup::destinations(&config.destinations, config) {
        Err(found) => {
            findings.diagnostics("destinations", &found);
            None
        }
        Ok(None) => {
            findings.warn("destinations", format!("there is no {path}: nothing can be sent"));
            None
        }
        Ok(Some(all)) => {
            let mut missing = 0;
            for destination in all.map.values() {
                for name in placed(destination).filter_map(|text| text.secret.as_deref()) {
                    if let Err(error) = secrets.get(name) {
                        missing += 1;
                        findings.bad("destinations", ExitCode::Invalid, format!("{}: {error}", destination.id));
                    }
                }
            }
            if missing == 0 {
                let count = all.map.len();
                findings
                    .good("destinations", format!("{count} in {path}; `sortie destinations test NAME` sends to one"));
            }
            Some(all)
        }
    }
}

/// The texts of a destination in which a secret may stand.
fn placed(destination: &Destination) -> impl Iterator<Item = &Placed> {
    let auth = match &destination.auth {
        Auth::None => None,
        Auth::Header { value, .. } => Some(value),
        Auth::Basic { password, .. } => Some(password),
        Auth::Bearer(token) => Some(token),
        Auth::Login(login) => Some(match &login.grant {
            Grant::Password { password, .. } => password,
            Grant::Client { secret, .. } => secret,
        }),
    };
    let sign = match &destination.sign {
        None => &[][..],
        Some(Sign::Standard(secrets) | Sign::Hmac { secrets, .. }) => secrets,
    };
    auth.into_iter().chain(sign)
}

fn playbooks(config: &Config, destinations: Option<&Destinations>, findings: &mut Findings) -> Result<(), Error> {
    let path = &config.playbooks;
    let read = match folder::read_configured(path) {
        Ok(read) => read,
        Err(error) => {
            findings.warn("playbooks", format!("{} cannot be read: {error}; nothing will run", path.display()));
            return Ok(());
        }
    };
    let catalog = setup::catalog(config, destinations);
    let checked = playbook::check(&read.sources, &catalog, &super::evaluator()?);
    findings.diagnostics("playbooks", &read.diagnostics);
    findings.diagnostics("playbooks", &checked.diagnostics);
    findings.good("playbooks", format!("{} are good in {}", checked.playbooks.len(), path.display()));
    Ok(())
}

fn data(config: &Config, findings: &mut Findings) {
    let folder = config.data.display();
    if !config.data.exists() {
        findings.good("store", format!("{folder} is not there yet; the first `sortie serve` makes it"));
        return;
    }
    if let Ok(token) = std::fs::metadata(config.data.join(first::FILE))
        && token.permissions().mode() & 0o077 != 0
    {
        findings.warn("store", format!("others may read {folder}/{}: chmod 600 it", first::FILE));
    }
    // Without ballast and reserve: looking must work on a full disk, too.
    let options = store::Options { reserve_bytes: 0, durability: config.durability, ..store::Options::default() };
    match Sled::open(&config.data, options) {
        Ok(store) => opened(&store, findings),
        Err(store::Error::InUse { .. }) => running(config, findings),
        Err(error) => findings.bad("store", ExitCode::Store, error.to_string()),
    }
}

fn opened(store: &Sled, findings: &mut Findings) {
    brakes(store, findings);
    let ahead = store.now().since(engine::clock::wall());
    if ahead > CLOCK_AHEAD_MAX {
        let text = model::period::format(ahead);
        findings.warn(
            "clock",
            format!("the store has seen a time {text} ahead of this machine's clock; times stand still until then"),
        );
    } else {
        findings.good("clock", "this machine's clock goes on from what the store has seen");
    }
    match store.verify() {
        Err(error) => findings.bad("store", ExitCode::Store, error.to_string()),
        Ok(read) => {
            let stats = store.stats();
            let disk = bytes_for_people(stats.disk_bytes);
            findings.good(
                "store",
                format!(
                    "whole: {} keys, {} history entries, {} runs ({} open), {disk}",
                    read.keys, read.entries, read.runs, stats.open_runs
                ),
            );
        }
    }
}

/// What will be held up when the server starts.
fn brakes(store: &Sled, findings: &mut Findings) {
    let brakes = match Brakes::read(store) {
        Ok(brakes) => brakes,
        Err(error) => return findings.bad("brakes", ExitCode::Store, error.to_string()),
    };
    for (scope, pause) in &brakes.pauses {
        let what = if *scope == Scope::All { "all automation" } else { "all that leaves" };
        let Pause { since, by, reason } = pause;
        findings.warn("brakes", format!("{what} is paused since {since} by {by}: {reason}; `sortie resume` lifts it"));
    }
    for (id, suspension) in &brakes.suspended {
        let reason = &suspension.reason;
        let text = format!("the playbook {id} is suspended: {reason}; `sortie playbooks enable {id}` lifts it");
        findings.warn("brakes", text);
    }
}

/// A server runs on the data: ask it.
fn running(config: &Config, findings: &mut Findings) {
    let url = api::running_at(config);
    let answer = block_on(async {
        let api = Api::of_folder(config).await?;
        api.ask(Ask::get(&["readyz"])).await?;
        api.ask(Ask::get(&["v1", "status"])).await
    });
    match answer {
        Ok(status) => {
            findings.good("server", format!("it runs at {url} and accepts events"));
            for text in super::brakes::held(&status) {
                findings.warn("brakes", text);
            }
        }
        Err(error) => {
            let help = error.help().map_or(String::new(), |help| format!("; {help}"));
            findings.bad("server", ExitCode::Server, format!("{error}{help}"));
        }
    }
}

fn show(world: &World, findings: &Findings, json: bool) -> Result<(), Error> {
    let word = |state: State| match state {
        State::Good => ("ok", Tone::Good),
        State::Warning => ("warning", Tone::Warn),
        State::Bad(_) => ("bad", Tone::Bad),
    };
    if json {
        let all: Vec<_> = findings
            .0
            .iter()
            .map(|f| json!({"about": f.about, "state": word(f.state).0, "message": f.message}))
            .collect();
        return Ok(world.console.data(&format!("{:#}", serde_json::Value::Array(all)))?);
    }
    for finding in &findings.0 {
        let (text, tone) = word(finding.state);
        let message = super::console::one_line(&finding.message);
        world.console.data(&format!(
            "{} {:13} {message}",
            world.console.paint(tone, &format!("{text:7}")),
            finding.about
        ))?;
    }
    Ok(())
}
