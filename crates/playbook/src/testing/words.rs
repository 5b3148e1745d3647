//! The words that tests use besides those of the language.

/// The status of a step that was never begun, in tests.
pub const NOT_RUN: &str = "not_run";

/// The verdict of a playbook that did not listen to an event, in tests.
pub(super) const NO_VERDICT: &str = "none";

/// How a request can fail without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time; it may have arrived.
    Timeout,
    /// Nobody listens there.
    Connect,
    /// The name has no address.
    Dns,
    /// No trusted connection.
    Tls,
    /// The connection ended before the answer did; it may have arrived.
    ConnectionLost,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 5] =
        [Failure::Timeout, Failure::Connect, Failure::Dns, Failure::Tls, Failure::ConnectionLost];

    /// The word in tests; the same as the code in the history.
    pub const fn name(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Connect => "connect",
            Failure::Dns => "dns",
            Failure::Tls => "tls",
            Failure::ConnectionLost => "connection_lost",
        }
    }

    /// The failure of this name.
    pub fn from_name(name: &str) -> Option<Failure> {
        Failure::ALL.into_iter().find(|failure| failure.name() == name)
    }
}
