//! The conversation with a mail server (RFC 5321, RFC 4954), over any stream.
//!
//! Invariants: a command is one line, put together from parts that were checked; a reply is read up to a bound. After the
//! last line of a message the connection may break with the outcome unknown: the message may come twice then, with the
//! same `Message-ID`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Login, Mailbox};
use crate::outbound::{SendError, SmtpError};

/// Most bytes of one reply.
const REPLY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a reply's text that are kept for people.
const TEXT_CHARS_MAX: usize = 500;

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// All of it, for people.
    pub(super) fn text(&self) -> String {
        let text: String = self.lines.join(" ").chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect();
        format!("{} {text}", self.code).trim_end().to_owned()
    }

    /// It, when its code begins with this digit; else what it means that it does not.
    fn expect(self, class: u16) -> Result<Reply, SendError> {
        if self.code / 100 == class { Ok(self) } else { Err(self.refusal()) }
    }

    /// What a reply that is no agreement means.
    pub(super) fn refusal(&self) -> SendError {
        let text = self.text();
        SendError::Smtp(match self.code {
            500..=599 => SmtpError::Refused(text),
            400..=499 => SmtpError::Later(text),
            _ => SmtpError::Garbled,
        })
    }

    /// Whether an extension is named in this answer to `EHLO`.
    fn offers(&self, name: &str) -> bool {
        self.words(name).is_some()
    }

    /// The words after the name of an extension.
    fn words(&self, name: &str) -> Option<Vec<String>> {
        self.lines.iter().skip(1).find_map(|line| {
            let mut words = line.split([' ', '=']);
            words.next().filter(|word| word.eq_ignore_ascii_case(name))?;
            Some(words.map(str::to_ascii_uppercase).collect())
        })
    }
}

/// A conversation.
pub(super) struct Session<S> {
    stream: S,
    read: Vec<u8>,
    offers: Reply,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Hears the greeting.
    pub(super) async fn greeted(stream: S) -> Result<Session<S>, SendError> {
        let mut session = Session::over(stream);
        session.reply().await?.expect(2)?;
        Ok(session)
    }

    /// One that needs no greeting: TLS has begun in the middle of it.
    pub(super) fn over(stream: S) -> Session<S> {
        Session { stream, read: Vec::new(), offers: Reply { code: 0, lines: Vec::new() } }
    }

    /// Says who we are; hears what the server can do.
    pub(super) async fn hello(&mut self, name: &str) -> Result<(), SendError> {
        self.offers = self.say(&format!("EHLO {name}")).await?.expect(2)?;
        Ok(())
    }

    /// Asks for TLS and gives the bare stream back.
    pub(super) async fn start_tls(mut self) -> Result<S, SendError> {
        if !self.offers.offers("STARTTLS") {
            return Err(SendError::Smtp(SmtpError::NoTls));
        }
        self.say("STARTTLS").await?.expect(2)?;
        // What came before TLS began was not said by whom the certificate names.
        if self.read.is_empty() { Ok(self.stream) } else { Err(SendError::Smtp(SmtpError::Garbled)) }
    }

    /// Logs in, by PLAIN or LOGIN.
    pub(super) async fn log_in(&mut self, login: &Login) -> Result<(), SendError> {
        let offered = self.offers.words("AUTH").unwrap_or_default();
        let has = |name: &str| offered.iter().any(|word| word == name);
        let password = login.password.expose();
        let last = if has("PLAIN") {
            let both = STANDARD.encode(format!("\0{}\0{password}", login.user));
            self.say(&format!("AUTH PLAIN {both}")).await?
        } else if has("LOGIN") {
            self.say("AUTH LOGIN").await?.expect(3)?;
            self.say(&STANDARD.encode(&login.user)).await?.expect(3)?;
            self.say(&STANDARD.encode(password)).await?
        } else {
            return Err(SendError::Smtp(SmtpError::NoLogin));
        };
        last.expect(2).map(|_| ())
    }

    /// Hands a message over; the outcome of each recipient, or why there is none for anybody. The server's last word comes
    /// with those that it took.
    pub(super) async fn deliver(
        &mut self,
        from: &Mailbox,
        to: &[Mailbox],
        message: &[u8],
    ) -> Result<Vec<Result<String, SendError>>, SendError> {
        self.say(&format!("MAIL FROM:<{}>", from.address())).await?.expect(2)?;
        let mut asked = Vec::new();
        for one in to {
            let reply = self.say(&format!("RCPT TO:<{}>", one.address())).await?;
            asked.push(if reply.code / 100 == 2 { Ok(()) } else { Err(reply.refusal()) });
        }
        if asked.iter().all(Result::is_err) {
            return Ok(asked.into_iter().map(|one| one.map(|()| String::new())).collect());
        }
        self.say("DATA").await?.expect(3)?;
        let dotted = stuffed(message);
        self.write(&dotted).await?;
        let last = self.reply().await?;
        let taken = if last.code / 100 == 2 { Ok(last.text()) } else { Err(last.refusal()) };
        Ok(asked.into_iter().map(|one| one.and_then(|()| taken.clone())).collect())
    }

    /// Says goodbye. What is answered is not waited for: the message is delivered.
    pub(super) async fn quit(mut self) {
        let _: Result<_, _> = self.write(b"QUIT\r\n").await;
    }

    async fn say(&mut self, line: &str) -> Result<Reply, SendError> {
        // No part of a command has a line break; this is where it would matter.
        if line.contains(['\r', '\n', '\0']) {
            return Err(SendError::Invalid);
        }
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        let wrote = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        wrote.await.map_err(|_: std::io::Error| SendError::Lost)
    }

    async fn reply(&mut self) -> Result<Reply, SendError> {
        let garbled = || SendError::Smtp(SmtpError::Garbled);
        let mut lines = Vec::new();
        let mut bytes = 0;
        loop {
            let line = self.line(REPLY_BYTES_MAX - bytes).await?;
            bytes += line.len() + 1;
            let text = String::from_utf8_lossy(&line);
            let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|code| (200..600).contains(code));
            let code = code.ok_or_else(garbled)?;
            let more = match text.as_bytes().get(3) {
                Some(b'-') => true,
                None | Some(b' ') => false,
                Some(_) => return Err(garbled()),
            };
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            if !more {
                return Ok(Reply { code, lines });
            }
            if bytes >= REPLY_BYTES_MAX {
                return Err(garbled());
            }
        }
    }

    /// One line, without its end.
    async fn line(&mut self, most: usize) -> Result<Vec<u8>, SendError> {
        loop {
            if let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=end).collect();
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.read.len() > most {
                return Err(SendError::Smtp(SmtpError::Garbled));
            }
            let mut buffer = [0; 1024];
            match self.stream.read(&mut buffer).await {
                Ok(n) if n > 0 => self.read.extend_from_slice(buffer.get(..n).unwrap_or_default()),
                Ok(_) | Err(_) => return Err(SendError::Lost),
            }
        }
    }
}

/// The message with its end: a line that begins with a full stop gets another one (RFC 5321, 4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session makes of what the server says; it says all of it at once.
    async fn hears(said: &[u8]) -> Result<Reply, SendError> {
        let (mut server, client) = tokio::io::duplex(REPLY_BYTES_MAX * 4);
        server.write_all(said).await.unwrap();
        drop(server);
        Session::over(client).reply().await
    }

    #[tokio::test]
    async fn a_reply_is_read_over_several_lines_and_up_to_a_bound() {
        let reply =
            hears(b"250-mail.example\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 10\r\n").await.unwrap();
        assert!(reply.offers("starttls") && !reply.offers("mail.example") && reply.offers("SIZE"));
        assert_eq!(reply.words("AUTH").unwrap(), ["PLAIN", "LOGIN"]);
        for bad in [&b"hello\r\n"[..], b"25\r\n", b"250_x\r\n", b"999 x\r\n", b"150 x\r\n", "250é\r\n".as_bytes()] {
            assert_eq!(hears(bad).await, Err(SendError::Smtp(SmtpError::Garbled)), "{bad:?}");
        }
        assert_eq!(hears(b"250-mail").await, Err(SendError::Lost));
        let endless = b"250-x\r\n".repeat(REPLY_BYTES_MAX);
        assert_eq!(hears(&endless[..REPLY_BYTES_MAX * 2]).await, Err(SendError::Smtp(SmtpError::Garbled)));
        let long = vec![b'2'; REPLY_BYTES_MAX * 2];
        assert_eq!(hears(&long).await, Err(SendError::Smtp(SmtpError::Garbled)));
    }

    #[tokio::test]
    async fn what_was_said_before_tls_began_is_not_believed() {
        let (mut server, client) = tokio::io::duplex(4096);
        server.write_all(b"250-x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n").await.unwrap();
        let mut session = Session::over(client);
        session.hello("x").await.unwrap();
        assert_eq!(session.start_tls().await.err(), Some(SendError::Smtp(SmtpError::Garbled)));
    }

    #[test]
    fn no_line_of_a_message_ends_it() {
        assert_eq!(stuffed(b".\r\n..\r\nx\r\n"), b"..\r\n...\r\nx\r\n.\r\n");
    }

    #[tokio::test]
    async fn a_command_with_a_line_break_is_never_said() {
        let (server, client) = tokio::io::duplex(64);
        let said = Session::over(client).say("EHLO x\r\nMAIL FROM:<a@b>").await;
        drop(server);
        assert_eq!(said, Err(SendError::Invalid));
    }
}
