//! Which URLs are those of Microsoft Teams.
//!
//! The workflows of Teams are called under a handful of domains; a URL elsewhere is a slip, or somebody who wants the
//! messages. An address of a network that the operator named under `egress.allow` is taken too: it is a receiver of his own.

use crate::outbound::{Egress, Target};

/// Hosts of workflows and of Teams' own webhooks: exactly so, or with anything before it where it begins with a full stop.
const TEAMS_HOSTS: [&str; 6] = [
    ".logic.azure.com",
    ".logic.azure.us",
    ".api.powerplatform.com",
    "api.powerautomate.com",
    ".webhook.office.com",
    "outlook.office.com",
];
/// The port of Teams.
const HTTPS: u16 = 443;

/// Whether Teams, or a workflow for Teams, answers at this URL.
pub(super) fn is_teams(target: &Target, egress: &Egress) -> bool {
    if let Some(address) = target.literal() {
        return egress.allow.iter().any(|network| network.contains(address));
    }
    let host = target.host().trim_end_matches('.').to_ascii_lowercase();
    let known = TEAMS_HOSTS.iter().any(|known| {
        if known.starts_with('.') { host.len() > known.len() && host.ends_with(known) } else { host == *known }
    });
    known && target.port() == HTTPS && target.url().scheme() == "https"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_endpoints_of_teams_are_taken() {
        let egress = Egress { allow: vec!["10.1.0.0/16".parse().unwrap()], allow_http: true, ..Egress::default() };
        let is = |url: &str| is_teams(&Target::parse(url, &egress).unwrap(), &egress);
        for url in [
            "https://prod-69.westus.logic.azure.com/workflows/abc/triggers/manual/paths/invoke?sig=x",
            "https://prod-69.westus.logic.azure.com:443/workflows/abc",
            "https://default0123.4a.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/x",
            "https://API.powerautomate.com/x",
            "https://contoso.webhook.office.com/webhookb2/x",
            "http://10.1.2.3:8080/relay",
        ] {
            assert!(is(url), "{url}");
        }
        for url in [
            "https://example.com/hook",
            "https://logic.azure.com.evil.example/x",
            "https://evillogic.azure.com/x",
            "https://.logic.azure.com/x",
            "https://prod.logic.azure.com:8443/x",
            "http://prod.logic.azure.com/x",
            "https://203.0.113.7/x",
            "https://teams.microsoft.com/l/channel/x",
        ] {
            assert!(Target::parse(url, &egress).is_err() || !is(url), "{url}");
        }
    }
}
