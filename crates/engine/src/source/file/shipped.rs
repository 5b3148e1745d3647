//! The sources that come with Sortie: one file and one line for each.

use std::sync::Arc;

use playbook::Evaluator;

use super::{SourceFile, read};

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        /// The texts by their names, in the order of the names.
        static TEXTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../../sources/", $name, ".yaml")))),*];
    };
}
sources![
    "alertmanager",
    "cloudevents",
    "cloudwatch",
    "connectsecure",
    "crowdstrike",
    "datadog",
    "defender",
    "exabeam",
    "generic",
    "github",
    "grafana",
    "graylog",
    "guardduty",
    "holm",
    "msgraph",
    "ocsf",
    "orca",
    "proofpoint",
    "push-security",
    "securityhub",
    "sentinelone",
    "sentry",
    "slack",
    "socradar",
    "splunk",
    "standard-webhooks",
    "thalian",
    "thinkst-canary",
    "tracebit",
    "vectra",
    "wazuh",
    "wiz",
];

/// The names of the shipped sources.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

/// The text of a shipped source, for people who want to begin with it.
pub fn text(name: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A shipped source.
pub fn shipped(name: &str, evaluator: &Evaluator) -> Option<Arc<SourceFile>> {
    let text = text(name)?;
    // The tests read them all: a file that is wrong does not leave them.
    read(&format!("{name}.yaml").into(), text, evaluator).ok().map(Arc::new)
}
