//! The configuration: flags, environment, `sortie.yaml`, defaults, in this order.
//!
//! The walk: [`load`] finds the file → [`mod@file`] reads its keys, [`sources`] those under `sources:` → environment and
//! flags are laid over it → [`check`] says what must not be served. Everything that is wrong is said at once.
//!
//! Invariants: nothing here opens the store or a connection. Secrets stay references (`${secret:NAME}`) until the server
//! resolves them at its start; a missing or empty one refuses the start, it never opens a door.

pub(crate) mod codes;
mod file;
mod oidc;
mod smtp;
pub(crate) mod sources;
mod triage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::outbound::Egress;
use engine::triage::Triage;
use model::record::Vocabulary;
use playbook::{Diagnostic, Severity, Span};
use store::{Durability, Retention};
use tracing_subscriber::filter::Targets;

pub(crate) use sources::{SenderAuth, Source};

use crate::telemetry::Format;

/// The configuration of the working folder.
pub(crate) const FILE: &str = "sortie.yaml";
/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How long the playbook folder must be quiet before a change is taken up.
const RELOAD_QUIET: Duration = Duration::from_millis(500);
/// How long the history is kept, in days.
const RETENTION_DAYS: u64 = 400;
/// How many ended runs are kept.
const RETENTION_RUNS: u64 = 10_000_000;
/// How many bytes of history are kept.
const RETENTION_BYTES: u64 = 20_000_000_000;
/// Runs that are worked on at the same time.
const RUNS_AT_ONCE: usize = 256;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file it was read from, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    /// The certificate and the key that the listener shows; nothing means plain HTTP.
    pub(crate) tls: Option<crate::http::tls::Files>,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// How far a commit must have got before it is acknowledged.
    pub(crate) durability: Durability,
    /// The folder of playbooks.
    pub(crate) playbooks: PathBuf,
    /// The file of destinations and event sets.
    pub(crate) destinations: PathBuf,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<engine::outbound::Network>,
    /// Who may send events, by name.
    pub(crate) sources: Vec<Source>,
    /// Where requests may go.
    pub(crate) egress: Egress,
    /// The mail server.
    pub(crate) smtp: Option<engine::outbound::mail::Server>,
    /// Whether the API asks for tokens.
    pub(crate) auth_required: bool,
    /// The address under which people reach the server, for links in messages.
    pub(crate) public_url: Option<String>,
    /// The identity provider through which people sign in.
    pub(crate) oidc: Option<crate::auth::oidc::Provider>,
    /// The folder of secrets, one file each.
    pub(crate) secrets_dir: Option<PathBuf>,
    /// The file of the master key under which secrets are kept; nothing means one in the data folder.
    pub(crate) secrets_key: Option<PathBuf>,
    /// What may be kept.
    pub(crate) retention: Retention,
    /// What is bounded and can be set.
    pub(crate) limits: Limits,
    /// The tenants; empty means that everything is tenant `default`.
    pub(crate) tenants: Vec<String>,
    /// Stages and close reasons.
    pub(crate) words: Vocabulary,
    /// What is said about alerts and cases: queues, bands, the watchlist, assignment, grouping.
    pub(crate) triage: Triage,
    /// How changes of playbooks are noticed.
    pub(crate) reload: Reload,
    /// Whether who wrote a text of a playbook may not be the one who switches it on.
    pub(crate) four_eyes: bool,
    /// The destination that each signed checkpoint is sent to.
    pub(crate) ledger_destination: Option<String>,
    /// The file of the ledger's signing key; nothing means one in the data folder.
    pub(crate) ledger_key: Option<PathBuf>,
    /// A file that each signed checkpoint is appended to.
    pub(crate) ledger_copies: Option<PathBuf>,
    /// How logs are written.
    pub(crate) log: Log,
}

/// What is bounded and can be set; the defaults are those of [`model::limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Largest body of one event, in bytes.
    pub(crate) event_body_bytes: usize,
    /// Largest body of a batch, in bytes.
    pub(crate) batch_body_bytes: usize,
    /// Most events in one batch.
    pub(crate) batch_events: usize,
    /// Runs that are worked on at the same time.
    pub(crate) runs_at_once: usize,
    /// Most destinations.
    pub(crate) destinations: usize,
}

/// How changes of playbooks are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reload {
    /// Whether the folder is watched; SIGHUP works always.
    pub(crate) watch: bool,
    /// How long it must be quiet before a change is taken up.
    pub(crate) quiet: Duration,
}

/// How logs are written.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// Text or JSON.
    pub(crate) format: Format,
    /// What is logged.
    pub(crate) level: Targets,
}

/// What flags and callers lay over the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--listen`.
    pub(crate) listen: Option<SocketAddr>,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// `--playbooks`.
    pub(crate) playbooks: Option<PathBuf>,
}

/// The configuration, and what a person should look at.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What holds.
    pub(crate) config: Config,
    /// Warnings.
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Config {
    /// The defaults, with paths relative to `folder`.
    pub(crate) fn defaults(folder: &Path) -> Config {
        Config {
            file: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 7300)),
            tls: None,
            data: folder.join("data"),
            durability: Durability::Power,
            playbooks: folder.join("playbooks"),
            destinations: folder.join("destinations.yaml"),
            trusted_proxies: Vec::new(),
            sources: Vec::new(),
            egress: Egress::default(),
            smtp: None,
            auth_required: true,
            public_url: None,
            oidc: None,
            secrets_dir: None,
            secrets_key: None,
            retention: Retention {
                age: Duration::from_secs(RETENTION_DAYS * 86_400),
                runs: RETENTION_RUNS,
                bytes: RETENTION_BYTES,
            },
            limits: Limits {
                event_body_bytes: model::limits::EVENT_BODY_BYTES_MAX,
                batch_body_bytes: model::limits::BATCH_BODY_BYTES_MAX,
                batch_events: model::limits::BATCH_EVENTS_MAX,
                runs_at_once: RUNS_AT_ONCE,
                destinations: model::limits::DESTINATIONS_MAX,
            },
            tenants: Vec::new(),
            words: Vocabulary::default(),
            triage: Triage::default(),
            reload: Reload { watch: true, quiet: RELOAD_QUIET },
            four_eyes: false,
            ledger_destination: None,
            ledger_key: None,
            ledger_copies: None,
            log: Log { format: Format::Text, level: Targets::new().with_default(tracing::Level::INFO) },
        }
    }

    /// The address for the command line of this machine.
    pub(crate) fn local_url(&self) -> String {
        let mut address = self.listen;
        if address.ip().is_unspecified() {
            let loopback = if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }
}

/// Reads everything. `environment` answers a variable's value, `working` is the working folder.
///
/// # Errors
/// Everything that is wrong, at once.
pub(crate) fn load(
    flags: &Flags,
    working: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let asked = flags.config.clone().or_else(|| environment("SORTIE_CONFIG").map(PathBuf::from));
    let path = asked.clone().unwrap_or_else(|| PathBuf::from(FILE));
    let full = working.join(&path);
    let (mut config, mut found) = if asked.is_none() && !full.exists() {
        (Config::defaults(working), Vec::new())
    } else {
        read_file(&path, &full)?
    };
    lay_environment(&mut config, working, environment, &mut found);
    if let Some(listen) = flags.listen {
        config.listen = listen;
    }
    if let Some(data) = &flags.data {
        config.data = working.join(data);
    }
    if let Some(playbooks) = &flags.playbooks {
        config.playbooks = working.join(playbooks);
    }
    check(&config, &mut found);
    let (warnings, errors): (Vec<_>, Vec<_>) = found.into_iter().partition(|d| d.severity == Severity::Warning);
    if errors.is_empty() { Ok(Loaded { config, warnings }) } else { Err(errors.into_iter().chain(warnings).collect()) }
}

fn read_file(path: &Path, full: &Path) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let name: Arc<str> = path.display().to_string().into();
    let unreadable = |message: String| {
        let help = "say where it is with --config, or make one with `sortie init`";
        vec![outside(codes::UNREADABLE, &name, "", message, help)]
    };
    let size = std::fs::metadata(full).map_err(|e| unreadable(format!("the configuration cannot be read: {e}")))?.len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("the configuration is larger than {FILE_BYTES_MAX} bytes")));
    }
    let bytes = std::fs::read(full).map_err(|e| unreadable(format!("the configuration cannot be read: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("the configuration is not UTF-8 text".to_owned()))?;
    let folder = full.parent().unwrap_or(Path::new(".")).to_owned();
    let mut config = Config::defaults(&folder);
    config.file = Some(full.to_owned());
    let found = file::read(&mut config, &folder, &name, &text);
    Ok((config, found))
}

/// A mistake that stands in no file: a flag, a variable, a file that is not there.
fn outside(code: &'static str, place: &str, excerpt: &str, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Error,
        message,
        file: place.into(),
        span: Span { line: 1, column: 1, len: u32::try_from(excerpt.chars().count()).unwrap_or(1).max(1) },
        excerpt: excerpt.to_owned(),
        help: Some(help.to_owned()),
    }
}

fn lay_environment(
    config: &mut Config,
    working: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    found: &mut Vec<Diagnostic>,
) {
    let path = |name: &str| environment(name).map(|text| working.join(text));
    if let Some(data) = path("SORTIE_DATA") {
        config.data = data;
    }
    if let Some(playbooks) = path("SORTIE_PLAYBOOKS") {
        config.playbooks = playbooks;
    }
    if let Some(destinations) = path("SORTIE_DESTINATIONS") {
        config.destinations = destinations;
    }
    if let Some(folder) = path("SORTIE_SECRETS_DIR") {
        config.secrets_dir = Some(folder);
    }
    if let Some(file) = path("SORTIE_SECRETS_KEY_FILE") {
        config.secrets_key = Some(file);
    }
    if let Some(url) = environment("SORTIE_PUBLIC_URL") {
        config.public_url = Some(url);
    }
    let mut read = |name: &'static str, take: &mut dyn FnMut(&str) -> Option<()>, expected: &str| {
        if let Some(text) = environment(name)
            && take(&text).is_none()
        {
            let excerpt = format!("{name}={text}");
            let message = format!("`{name}` is not {expected}");
            found.push(outside(
                codes::UNREADABLE_VALUE,
                "environment",
                &excerpt,
                message,
                "correct the variable, or unset it",
            ));
        }
    };
    read(
        "SORTIE_LISTEN",
        &mut |text| text.parse().ok().map(|a| config.listen = a),
        "an address such as 127.0.0.1:7300",
    );
    read(
        "SORTIE_LOG_LEVEL",
        &mut |text| level(text).map(|l| config.log.level = l),
        "a level such as `info` or `info,engine=debug`",
    );
    read("SORTIE_LOG_FORMAT", &mut |text| format(text).map(|f| config.log.format = f), "`text` or `json`");
    read("SORTIE_DURABILITY", &mut |text| durability(text).map(|d| config.durability = d), "`power` or `process`");
}

/// What must not be served, whoever said so.
fn check(config: &Config, found: &mut Vec<Diagnostic>) {
    if !config.auth_required && !config.listen.ip().is_loopback() {
        let excerpt = format!("listen: {}", config.listen);
        let message = "`auth: none` would let everyone who reaches this address rule the server".to_owned();
        let help = "listen on 127.0.0.1, or leave `auth: required`";
        let place = config.file.as_ref().map_or_else(|| "configuration".to_owned(), |file| file.display().to_string());
        found.push(outside(codes::OPEN_DOOR, &place, &excerpt, message, help));
    }
}

/// What is logged: a level, or a list of `target=level`.
fn level(text: &str) -> Option<Targets> {
    text.parse().ok()
}

fn format(text: &str) -> Option<Format> {
    match text {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// What `durability` may say. Without any flush the harness that kills the server must fail, and only a build that says
/// so in its features can be told to leave it out.
const DURABILITIES: &[&str] =
    if cfg!(feature = "unsafe-durability") { &["power", "process", "nothing"] } else { &["power", "process"] };

fn durability(text: &str) -> Option<Durability> {
    match text {
        #[cfg(feature = "unsafe-durability")]
        "nothing" => Some(Durability::Nothing),
        "power" => Some(Durability::Power),
        "process" => Some(Durability::Process),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
