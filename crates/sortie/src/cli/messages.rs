//! Events in files, read as messages of a source: for commands that need no server.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use engine::source::{self, Incoming};
use model::Time;
use model::record::Vocabulary;

use super::exit::Error;
use crate::config::Config;
use crate::source_file;

/// A source, ready to read messages.
pub(super) struct Messages {
    source: source::Source,
    words: Vocabulary,
    tenants: BTreeSet<String>,
    tenant: Option<String>,
}

impl Messages {
    /// Of the source of this name, as it is configured, else as it is shipped.
    pub(super) fn of(config: &Config, name: &str) -> Result<Messages, Error> {
        let evaluator = super::evaluator()?;
        let configured = config.sources.iter().find(|source| source.name == name);
        let read = match configured {
            Some(source) => {
                let whole = config.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
                let read = source_file::load(source, &whole.into(), &evaluator);
                Some(read.map_err(|diagnostics| Error::Invalid { diagnostics })?)
            }
            None => source::file::shipped(name, &evaluator),
        };
        let read = read.ok_or_else(|| Error::Usage {
            message: format!("there is no source `{name}`"),
            help: format!("the sources are {}", source_file::known()),
        })?;
        let timezone = configured.and_then(|source| source.timezone.clone()).or_else(|| read.timezone.clone());
        let source = source::Source {
            name: name.to_owned(),
            timezone: timezone.unwrap_or_else(|| "UTC".to_owned()),
            shape: Arc::new(source::file::Mapped::new(read, evaluator)),
            tenants: configured.and_then(|source| source.tenants.clone()),
        };
        Ok(Messages {
            source,
            words: config.words.clone(),
            tenants: config.tenants.iter().cloned().collect(),
            tenant: configured.and_then(|source| source.tenant.clone()),
        })
    }

    /// The events in a body, each by itself: an event, or why it is none.
    ///
    /// # Errors
    /// Why the whole body is refused, for people.
    pub(super) fn read(&self, body: Bytes, lines: bool, now: Time) -> Result<Vec<Result<Incoming, String>>, String> {
        let ctx = source::Context {
            words: &self.words,
            tenants: (!self.tenants.is_empty()).then_some(&self.tenants),
            tenant: self.tenant.as_deref(),
            now,
            header_key: None,
            signed_key: None,
            content_type: lines.then_some("application/x-ndjson"),
            headers: None,
            limits: source::Limits::default(),
        };
        let reading = source::read(&self.source, body, &ctx).map_err(|error| error.to_string())?;
        Ok(reading.elements.into_iter().map(|element| element.map_err(|error| error.to_string())).collect())
    }

    /// The events in a file (`-` for standard input); all of them must be readable.
    pub(super) fn file(&self, file: &Path, now: Time) -> Result<Vec<Incoming>, Error> {
        let wrong = |message: String| Error::File { path: file.display().to_string(), message };
        let read = self.read(bytes(file)?, is_lines(file), now).map_err(wrong)?;
        read.into_iter().collect::<Result<_, _>>().map_err(wrong)
    }
}

/// Whether a file holds one event a line.
pub(super) fn is_lines(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "ndjson" || extension == "jsonl")
}

fn bytes(file: &Path) -> Result<Bytes, Error> {
    let unreadable = |e: std::io::Error| Error::File { path: file.display().to_string(), message: e.to_string() };
    let max = model::limits::BATCH_BODY_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(max).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        std::fs::File::open(file).map_err(unreadable)?.take(max).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    Ok(bytes.into())
}
