//! Signing in through an OpenID Connect provider: the authorization code flow with PKCE (RFC 7636), for one provider that
//! the configuration names.
//!
//! The walk: [`Flows::begin`] makes state, nonce and verifier and keeps them under the digest of a cookie's secret → the
//! browser goes to the provider and comes back with a code → [`Flows::take`] finds what was kept, once → [`provider`]
//! exchanges the code → [`id_token`] checks what the provider says about the person → [`Provider::identity`] makes it a
//! name, a role and a tenant.
//!
//! Invariants: nothing that the browser brings is believed but the code, and that only together with the state and the
//! cookie of the same sign-in; what was kept is used once and for ten minutes; a person without a role of the
//! configuration gets none.

pub(crate) mod id_token;
pub(crate) mod provider;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::outbound::secret::Placed;
use model::Digest;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::Role;
use super::token::NAME_BYTES_MAX;

/// How long a person may take at the provider.
pub(crate) const FLOW_LIFETIME: Duration = Duration::from_secs(600);
/// Most sign-ins under way; the oldest makes room.
const FLOWS_MAX: usize = 1_000;
/// Random bytes that a sign-in needs: cookie, state, nonce, verifier.
pub(crate) const FLOW_BYTES: usize = 4 * PART_BYTES;
const PART_BYTES: usize = 32;
/// The cookie that ties a sign-in to the browser that began it.
pub(crate) const COOKIE: &str = "sortie_sign_in";
/// Where the provider sends the browser back to.
pub(crate) const CALLBACK: &str = "/sign-in/oidc/callback";

/// The provider, as the configuration names it.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    /// Its issuer, exactly as it names itself.
    pub(crate) issuer: String,
    /// The name by which it knows Sortie.
    pub(crate) client_id: String,
    /// The secret of that name; none for a public client.
    pub(crate) client_secret: Option<Placed>,
    /// What is asked for.
    pub(crate) scopes: Vec<String>,
    /// The claim that holds the name of the person.
    pub(crate) name_claim: String,
    /// The claim that holds groups or roles.
    pub(crate) roles_claim: String,
    /// What values of that claim mean.
    pub(crate) roles: Vec<(String, Role)>,
    /// The claim that holds the tenant; without it people see all tenants.
    pub(crate) tenant_claim: Option<String>,
    /// How long what it said about a person counts: then the person signs in again, and role and tenant are those of then.
    pub(crate) session: Duration,
}

/// How long a session through the provider lasts, unless the configuration says otherwise.
pub(crate) const SESSION: Duration = Duration::from_secs(3_600);
/// The shortest such session.
pub(crate) const SESSION_MIN: Duration = Duration::from_secs(60);

/// A person as the provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name in the history: `oidc:` and what the provider says.
    pub(crate) name: String,
    /// What the person may do.
    pub(crate) role: Role,
    /// The only tenant that the person sees.
    pub(crate) tenant: Option<String>,
}

/// Why somebody whom the provider knows may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwelcome {
    /// No claim makes a name that the history can keep.
    #[error("the claim `{0}` holds no name of 1 to 64 letters, digits and `-_.@`")]
    Name(String),
    /// No value of the claim means a role.
    #[error("no value of the claim `{0}` means a role here; `oidc.roles` in the configuration says which do")]
    Role(String),
    /// The tenant is missing or not one of ours.
    #[error("the claim `{0}` names no tenant of this server")]
    Tenant(String),
}

impl Provider {
    /// Who the person is here. The strongest role that a value of the claim means counts.
    ///
    /// # Errors
    /// [`Unwelcome`].
    pub(crate) fn identity(&self, claims: &Value, is_tenant: impl Fn(&str) -> bool) -> Result<Identity, Unwelcome> {
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        let name =
            text(&self.name_claim).filter(|name| super::token::is_name(name) && name.len() <= NAME_BYTES_MAX - 5);
        let name = name.ok_or_else(|| Unwelcome::Name(self.name_claim.clone()))?;
        let said: Vec<&str> = match claims.get(&self.roles_claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let means =
            |role: &Role| self.roles.iter().any(|(value, meant)| meant == role && said.contains(&value.as_str()));
        let role = Role::ALL.into_iter().find(means).ok_or_else(|| Unwelcome::Role(self.roles_claim.clone()))?;
        let tenant = match &self.tenant_claim {
            None => None,
            Some(claim) => {
                let named = text(claim).filter(|tenant| is_tenant(tenant));
                Some(named.ok_or_else(|| Unwelcome::Tenant(claim.clone()))?.to_owned())
            }
        };
        Ok(Identity { name: format!("oidc:{name}"), role, tenant })
    }
}

/// What is kept of a sign-in while the person is at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    state: String,
    /// What the ID token must repeat.
    pub(crate) nonce: String,
    /// What proves to the provider that whoever began exchanges the code.
    pub(crate) verifier: String,
    /// Where the person wanted to go.
    pub(crate) to: String,
    began: Instant,
}

/// What the browser is given when a sign-in begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The secret of the cookie.
    pub(crate) cookie: String,
    /// For the address of the provider.
    pub(crate) state: String,
    /// For the address of the provider.
    pub(crate) nonce: String,
    /// For the address of the provider: the digest of the verifier.
    pub(crate) challenge: String,
}

/// The sign-ins under way.
#[derive(Debug, Default)]
pub(crate) struct Flows(Mutex<HashMap<Digest, Flow>>);

impl Flows {
    /// Begins a sign-in.
    pub(crate) fn begin(&self, random: &[u8; FLOW_BYTES], to: &str, now: Instant) -> Begun {
        let mut parts = random.chunks(PART_BYTES).map(|part| URL_SAFE_NO_PAD.encode(part));
        let mut part = || parts.next().unwrap_or_default();
        let (cookie, state, nonce, verifier) = (part(), part(), part(), part());
        let challenge = URL_SAFE_NO_PAD.encode(Digest::of(verifier.as_bytes()).0);
        let flow = Flow { state: state.clone(), nonce: nonce.clone(), verifier, to: to.to_owned(), began: now };
        let mut all = self.lock();
        all.retain(|_, flow| now.duration_since(flow.began) < FLOW_LIFETIME);
        if all.len() >= FLOWS_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, flow)| flow.began).map(|(digest, _)| *digest)
        {
            all.remove(&oldest);
        }
        all.insert(Digest::of(cookie.as_bytes()), flow);
        Begun { cookie, state, nonce, challenge }
    }

    /// What was kept of a sign-in, once: whether the state is right or not, it is gone afterwards.
    pub(crate) fn take(&self, cookie: &str, state: &str, now: Instant) -> Option<Flow> {
        let flow = self.lock().remove(&Digest::of(cookie.as_bytes()))?;
        let right: bool = flow.state.as_bytes().ct_eq(state.as_bytes()).into();
        (right && now.duration_since(flow.began) < FLOW_LIFETIME).then_some(flow)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Flow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provider() -> Provider {
        Provider {
            issuer: "https://id.example.com".to_owned(),
            client_id: "sortie".to_owned(),
            client_secret: None,
            scopes: vec!["openid".to_owned()],
            name_claim: "preferred_username".to_owned(),
            roles_claim: "groups".to_owned(),
            roles: vec![("soc".to_owned(), Role::Analyst), ("soc-leads".to_owned(), Role::Admin)],
            tenant_claim: None,
            session: SESSION,
        }
    }

    #[test]
    fn the_strongest_role_counts_and_without_one_nobody_comes_in() {
        let who = |claims: Value| provider().identity(&claims, |_| false);
        let both = who(json!({ "preferred_username": "alice", "groups": ["soc", "other", "soc-leads"] })).unwrap();
        assert_eq!(both, Identity { name: "oidc:alice".to_owned(), role: Role::Admin, tenant: None });
        assert_eq!(who(json!({ "preferred_username": "bob", "groups": "soc" })).unwrap().role, Role::Analyst);
        for none in [json!(["other"]), json!([]), json!("SOC"), json!(null), json!({ "soc": true })] {
            assert_eq!(
                who(json!({ "preferred_username": "eve", "groups": none })),
                Err(Unwelcome::Role("groups".into()))
            );
        }
        for name in [json!("a b"), json!(""), json!(7), json!("x".repeat(60))] {
            assert!(matches!(who(json!({ "preferred_username": name, "groups": "soc" })), Err(Unwelcome::Name(_))));
        }
    }

    #[test]
    fn a_tenant_that_is_asked_for_must_be_one_of_ours() {
        let provider = Provider { tenant_claim: Some("company".to_owned()), ..provider() };
        let who = |company: Value| {
            let claims = json!({ "preferred_username": "alice", "groups": "soc", "company": company });
            provider.identity(&claims, |tenant| tenant == "acme")
        };
        assert_eq!(who(json!("acme")).unwrap().tenant.as_deref(), Some("acme"));
        for bad in [json!("globex"), json!(null), json!(["acme"])] {
            assert_eq!(who(bad), Err(Unwelcome::Tenant("company".into())));
        }
    }

    #[test]
    fn what_was_kept_is_used_once_in_time_and_with_its_own_state_and_cookie() {
        let (flows, now) = (Flows::default(), Instant::now());
        let begin =
            |n: u8| flows.begin(&std::array::from_fn(|i| n.wrapping_add(u8::try_from(i).unwrap())), "/runs", now);
        let (mine, other) = (begin(1), begin(77));
        assert_eq!(flows.take(&mine.cookie, &other.state, now), None);
        assert_eq!(flows.take(&mine.cookie, &mine.state, now), None, "a wrong state uses it up");
        let mine = begin(1);
        assert_eq!(flows.take(&mine.cookie, &mine.state, now + FLOW_LIFETIME), None);
        let mine = begin(1);
        let flow = flows.take(&mine.cookie, &mine.state, now).unwrap();
        assert_eq!((flow.to.as_str(), flow.nonce == mine.nonce), ("/runs", true));
        assert_eq!(mine.challenge, URL_SAFE_NO_PAD.encode(Digest::of(flow.verifier.as_bytes()).0));
        assert_eq!(flows.take(&mine.cookie, &mine.state, now), None);
        assert!(flow.verifier.len() >= 43, "as long as RFC 7636 asks for");
    }
}
