//! The connection to the mail server: resolve, check, connect to the checked address, TLS, the conversation.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::session::Session;
use super::{CONNECTIONS_MAX, Letter, Login, Mailbox, Outcomes, Security, Smtp, message};
use crate::outbound::client::{self, BuildError};
use crate::outbound::{ConnectError, Outbound, SendError, Sent, SmtpError};

/// What shares the bound of connections.
const KEY: &str = "@smtp";

/// Whose certificates a mail server may show: the public authorities and those of the operator.
#[derive(Clone)]
pub struct Trust(Arc<rustls::ClientConfig>);

impl Trust {
    /// With further authorities, PEM.
    ///
    /// # Errors
    /// [`BuildError`] when they are no certificates.
    pub fn new(ca: Option<&[u8]>) -> Result<Trust, BuildError> {
        let mut config = client::tls(ca)?;
        config.alpn_protocols = Vec::new();
        Ok(Trust(Arc::new(config)))
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust")
    }
}

/// Sends a letter once, unless `paused` when its turn has come; an outcome for each of its present recipients. Never panics,
/// never retries.
pub(in crate::outbound) async fn send(
    outbound: &Outbound,
    smtp: &Smtp,
    login: Option<&Login>,
    letter: &Letter,
    paused: impl Fn() -> bool,
) -> Outcomes {
    let place = outbound.place(KEY, Some(CONNECTIONS_MAX), &letter.tenant).await;
    let started = Instant::now();
    let everybody = |error: SendError| -> Outcomes {
        letter.now.iter().map(|_| Sent::without_answer(error.clone(), started.elapsed())).collect()
    };
    let Some(_place) = place else { return everybody(SendError::Busy) };
    if paused() {
        return everybody(SendError::Paused);
    }
    let patience = letter.timeout.map_or(smtp.timeout, |asked| asked.min(smtp.timeout));
    let deadline = started + patience.min(crate::outbound::TOTAL_TIMEOUT_MAX);
    match timeout_at(deadline, converse(outbound, smtp, login, letter)).await {
        Err(_) => everybody(SendError::Timeout),
        Ok(Err(error)) => everybody(error),
        Ok(Ok(outcomes)) => outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(said) => Sent::taken(said, started.elapsed()),
                Err(error) => Sent::without_answer(error, started.elapsed()),
            })
            .collect(),
    }
}

type Told = Result<Vec<Result<String, SendError>>, SendError>;

async fn converse(outbound: &Outbound, smtp: &Smtp, login: Option<&Login>, letter: &Letter) -> Told {
    let bytes = message::bytes(letter, &smtp.from);
    let stream = connect(outbound, smtp).await?;
    let name = smtp.from.domain();
    match smtp.security {
        Security::Plain => {
            let session = Session::greeted(stream).await?;
            finish(session, name, login, smtp, (&letter.now, &bytes)).await
        }
        Security::Tls => {
            let session = Session::greeted(encrypted(smtp, stream).await?).await?;
            finish(session, name, login, smtp, (&letter.now, &bytes)).await
        }
        Security::StartTls => {
            let mut session = Session::greeted(stream).await?;
            session.hello(name).await?;
            let session = Session::over(encrypted(smtp, session.start_tls().await?).await?);
            finish(session, name, login, smtp, (&letter.now, &bytes)).await
        }
    }
}

async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session<S>,
    name: &str,
    login: Option<&Login>,
    smtp: &Smtp,
    (to, message): (&[Mailbox], &[u8]),
) -> Told {
    session.hello(name).await?;
    if let Some(login) = login {
        session.log_in(login).await?;
    }
    let outcomes = session.deliver(&smtp.from, to, message).await?;
    session.quit().await;
    Ok(outcomes)
}

/// Connects to the first address of the server that the policy allows and that answers.
async fn connect(outbound: &Outbound, smtp: &Smtp) -> Result<TcpStream, SendError> {
    let mut found = outbound.mail_addresses(&smtp.host, smtp.port).await?;
    if smtp.security == Security::Plain {
        // Whoever said that nothing needs hiding meant this machine.
        found.retain(|address| address.ip().is_loopback());
        if found.is_empty() {
            return Err(SendError::Smtp(SmtpError::NoTls));
        }
    }
    let mut last = SendError::Dns;
    for address in found {
        match timeout(outbound.connect_timeout(), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _: Result<(), _> = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = SendError::Connect(ConnectError::of(error.kind())),
            Err(_) => last = SendError::Connect(ConnectError::TimedOut),
        }
    }
    Err(last)
}

async fn encrypted(smtp: &Smtp, stream: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, SendError> {
    let name = match smtp.host.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(smtp.host.clone()).map_err(|_| SendError::Invalid)?,
    };
    let connector = TlsConnector::from(Arc::clone(&smtp.trust.0));
    connector.connect(name, stream).await.map_err(|error| {
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        of_tls.map_or(SendError::Connect(ConnectError::of(error.kind())), |error| {
            SendError::Tls(client::tls_reason(error))
        })
    })
}
