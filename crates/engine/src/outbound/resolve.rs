//! From names to addresses that may be connected to.
//!
//! Invariant: the client only ever sees addresses that passed the policy for the port it connects to, at the moment of
//! connecting; a name that is public in one answer and private in the next gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::address::Egress;

/// How long the resolution of a name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 32;

/// Finds the addresses of names.
#[async_trait::async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of a name, as they are now.
    ///
    /// # Errors
    /// Whatever the system says.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait::async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why a name gives no address to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// The policy refuses every address that it has.
    #[error("no address is allowed")]
    Blocked,
    /// It has none, or the answer did not come.
    #[error("no address")]
    None,
}

/// Resolves names for connections to one port.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) egress: Arc<Egress>,
    pub(super) port: u16,
    /// The host of the configured proxy, which the operator trusts wherever it lies.
    pub(super) proxy: Option<Arc<str>>,
}

/// The addresses of a name as they are now, at least one, not yet judged.
pub(super) async fn addresses(resolver: &dyn Resolver, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, resolver.resolve(host)).await;
    let mut found = found.map_err(|_| ResolveError::None)?.map_err(|_| ResolveError::None)?;
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() { Err(ResolveError::None) } else { Ok(found) }
}

impl Guard {
    /// The addresses of a name that may be connected to.
    pub(super) async fn allowed(&self, host: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = addresses(self.resolver.as_ref(), host).await?;
        let trusted = self.proxy.as_deref() == Some(host);
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| trusted || self.egress.permits(*address, self.port))
            .map(|address| SocketAddr::new(address, 0))
            .collect();
        if allowed.is_empty() { Err(ResolveError::Blocked) } else { Ok(allowed) }
    }
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.allowed(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
