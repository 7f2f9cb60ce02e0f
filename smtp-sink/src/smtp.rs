//! A mail server (RFC 5321) that takes mails for everybody: over TLS (RFC 3207, RFC 8314) if it has
//! a certificate, and from one user alone (RFC 4954) if it knows one.

use std::{borrow::Cow, sync::Arc, time::Duration};

use anyhow::Context;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chassis::{Secret, clock};
use mail_parser::MessageParser;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    manner::Manner,
    messages::{MessageLog, MessageRecord},
    tls::{MailTls, TlsStart},
};

/// How long a client may be silent.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// Bytes of a command, and of a mail.
const LINE_BYTES_MAX: usize = 4_096;
const MAIL_BYTES_MAX: usize = 1024 * 1024;
/// Pause after a failed accept, as when file handles run out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// What a mail server is, for every connection to it.
#[derive(Clone)]
pub struct MailHost {
    pub log: Arc<MessageLog>,
    /// Without it, mail is taken in the clear.
    pub tls: Option<MailTls>,
    /// The user and the password of those from whom mail is taken; without it, from everybody.
    pub login: Option<(String, Secret<String>)>,
}

/// Takes mails from `listener` until `stop`.
pub async fn receive(
    listener: TcpListener,
    host: MailHost,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("could not read the listener's address")?;
    tracing::info!(%address, "takes mails");
    let sessions = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let (host, stop) = (host.clone(), stop.clone());
        sessions.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                // A client that goes away, or does not trust us, is no concern of ours.
                _ = serve(stream, host) => {}
            }
        });
    }
}

/// One connection, from its first byte to its end.
async fn serve(stream: TcpStream, host: MailHost) -> std::io::Result<()> {
    let Some(tls) = host.tls.clone() else {
        Session::new(stream, host, false).run(true).await?;
        return Ok(());
    };
    let is_implicit = tls.start == TlsStart::Implicit;
    let stream = if is_implicit {
        stream
    } else {
        let session = Session::new(stream, host.clone(), true);
        let Some(stream) = session.run(true).await? else { return Ok(()) };
        stream
    };
    let stream = timeout(IDLE_MAX, tls.acceptor.accept(stream)).await??;
    Session::new(stream, host, false).run(is_implicit).await?;
    Ok(())
}

/// From whom, and to whom, the next mail is.
#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

struct Session<S> {
    stream: BufReader<S>,
    host: MailHost,
    envelope: Envelope,
    /// Whether nothing is taken before the client has begun TLS.
    needs_tls: bool,
    /// Whether the client has said who it is, if it has to.
    is_known: bool,
}

/// The session goes on, its connection is closed, or TLS begins.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Close,
    BeginTls,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(stream: S, host: MailHost, needs_tls: bool) -> Self {
        let (stream, envelope) = (BufReader::new(stream), Envelope::default());
        let is_known = host.login.is_none();
        Self { stream, host, envelope, needs_tls, is_known }
    }

    /// Answers what the client says; returns the connection if TLS begins on it.
    async fn run(mut self, greets: bool) -> std::io::Result<Option<S>> {
        if greets {
            self.say("220 smtp-sink takes mails for everybody").await?;
        }
        loop {
            let Some(line) = line(&mut self.stream, LINE_BYTES_MAX).await? else { return Ok(None) };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let flow = match word.to_ascii_uppercase().as_str() {
                "EHLO" => self.greet().await?,
                "HELO" => self.say("250 smtp-sink").await?,
                "STARTTLS" => self.begin_tls().await?,
                "AUTH" => self.authenticate(rest).await?,
                "MAIL" => self.begin(rest).await?,
                "RCPT" => self.recipient(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.envelope = Envelope::default();
                    self.say("250 forgotten").await?
                }
                "NOOP" => self.say("250 here").await?,
                "VRFY" => self.say("252 perhaps").await?,
                "QUIT" => {
                    self.say("221 goodbye").await?;
                    Flow::Close
                }
                _ => self.say("500 what?").await?,
            };
            match flow {
                Flow::On => {}
                Flow::Close => return Ok(None),
                // What was sent ahead of the encryption is dropped with the reader: anybody may
                // have put it there.
                Flow::BeginTls => return Ok(Some(self.stream.into_inner())),
            }
        }
    }

    async fn greet(&mut self) -> std::io::Result<Flow> {
        let more = match (self.needs_tls, self.is_known) {
            (true, _) => "250-STARTTLS\r\n",
            (false, false) => "250-AUTH PLAIN\r\n",
            (false, true) => "",
        };
        let all =
            format!("250-smtp-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n{more}250 SIZE 1048576");
        self.say(&all).await
    }

    async fn begin_tls(&mut self) -> std::io::Result<Flow> {
        if !self.needs_tls {
            return self.say("503 not here, or not again").await;
        }
        self.say("220 begin").await?;
        Ok(Flow::BeginTls)
    }

    async fn authenticate(&mut self, rest: &str) -> std::io::Result<Flow> {
        let Some(initial) = rest.strip_prefix("PLAIN") else {
            return self.say("504 5.5.4 PLAIN only").await;
        };
        if self.needs_tls {
            return self.say("538 5.7.11 STARTTLS first").await;
        }
        let words = BASE64_STANDARD.decode(initial.trim()).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0).skip(1);
        let said = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_right = |(user, password): &(String, Secret<String>)| {
            said == (user.as_bytes(), password.expose().as_bytes())
        };
        self.is_known = self.host.login.as_ref().is_none_or(is_right);
        let answer =
            if self.is_known { "235 2.7.0 welcome" } else { "535 5.7.8 that is not the password" };
        self.say(answer).await
    }

    async fn begin(&mut self, rest: &str) -> std::io::Result<Flow> {
        if self.needs_tls {
            return self.say("530 5.7.0 STARTTLS first").await;
        }
        if !self.is_known {
            return self.say("530 5.7.0 AUTH first").await;
        }
        self.envelope = Envelope { from: path(rest, "FROM:"), to: Vec::new() };
        match self.envelope.from {
            Some(_) => self.say("250 go on").await,
            None => self.say("501 write MAIL FROM:<address>").await,
        }
    }

    async fn recipient(&mut self, rest: &str) -> std::io::Result<Flow> {
        if self.envelope.from.is_none() {
            return self.say("503 MAIL first").await;
        }
        let Some(to) = path(rest, "TO:").filter(|to| !to.is_empty()) else {
            return self.say("501 write RCPT TO:<address>").await;
        };
        match Manner::of(&to) {
            Manner::Refuses => self.say(&format!("550 5.1.1 <{to}> is nobody")).await,
            Manner::Later => self.say("450 4.2.1 not now").await,
            Manner::Hangs => {
                tokio::time::sleep(IDLE_MAX).await;
                Ok(Flow::Close)
            }
            Manner::Takes | Manner::Once | Manner::Closes => {
                self.envelope.to.push(to);
                self.say("250 go on").await
            }
        }
    }

    async fn data(&mut self) -> std::io::Result<Flow> {
        if self.envelope.to.is_empty() {
            return self.say("503 RCPT first").await;
        }
        self.say("354 end with a dot on a line of its own").await?;
        let Envelope { from, to } = std::mem::take(&mut self.envelope);
        if to.iter().any(|to| Manner::of(to) == Manner::Closes) {
            line(&mut self.stream, MAIL_BYTES_MAX).await?;
            return Ok(Flow::Close);
        }
        let mut mail = Vec::new();
        loop {
            let Some(line) = line(&mut self.stream, MAIL_BYTES_MAX).await? else {
                return Ok(Flow::Close);
            };
            if line == b".\r\n" || line == b".\n" {
                break;
            }
            if mail.len() <= MAIL_BYTES_MAX {
                // A line that begins with a dot was given another one.
                mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
        }
        if mail.len() > MAIL_BYTES_MAX {
            return self.say("552 5.3.4 too large").await;
        }
        let answer = self.take(&mail, from.as_deref(), &to);
        self.say(&answer).await
    }

    /// Takes a mail for each of its recipients; returns the answer.
    fn take(&self, mail: &[u8], from: Option<&str>, to: &[String]) -> String {
        let Some(message) = MessageParser::default().parse(mail) else {
            return "554 5.6.0 that is no mail".to_owned();
        };
        let id = message.message_id().unwrap_or_default();
        let is_once = to.iter().any(|to| Manner::of(to) == Manner::Once);
        if is_once && self.host.log.is_first_attempt(id) {
            return "451 4.3.0 not at the first time".to_owned();
        }
        // A line ends with CR and LF on the way, and with LF where people read it.
        let body = |body: Option<Cow<'_, str>>| body.map(|body| body.replace("\r\n", "\n"));
        let html = message.html_part(0).filter(|part| part.is_text_html());
        for to in to {
            let taken = self.host.log.take(MessageRecord {
                // Before the @ stands what the sender calls the mail.
                id: id.split('@').next().unwrap_or_default().to_owned(),
                channel: "email".to_owned(),
                at: clock::rfc3339(clock::now()),
                from: from.map(ToOwned::to_owned),
                to: to.clone(),
                subject: message.subject().unwrap_or_default().to_owned(),
                text: body(message.body_text(0)).unwrap_or_default(),
                html: html.and_then(|_| body(message.body_html(0))),
            });
            if taken.is_err() {
                return "452 4.3.1 it cannot be written".to_owned();
            }
        }
        format!("250 2.0.0 queued as {}", clock::new_id())
    }

    async fn say(&mut self, answer: &str) -> std::io::Result<Flow> {
        self.stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        Ok(Flow::On)
    }
}

/// The next line with its end; `None` at the end of the connection, and for one that is too long or
/// too late.
async fn line(
    stream: &mut (impl AsyncBufRead + Unpin),
    max: usize,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut bounded = tokio::io::AsyncReadExt::take(stream, u64::try_from(max).unwrap_or(u64::MAX));
    let read = timeout(IDLE_MAX, bounded.read_until(b'\n', &mut line)).await;
    Ok(read.is_ok_and(|read| read.is_ok()).then_some(line).filter(|line| line.ends_with(b"\n")))
}

/// The address of `FROM:<address> PARAMETERS`.
fn path(rest: &str, word: &str) -> Option<String> {
    let start = rest.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word))?;
    let rest = rest.get(start.len()..)?.trim_start();
    let (address, _) = rest.strip_prefix('<')?.split_once('>')?;
    Some(address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_between_angles() {
        assert_eq!(path("FROM:<a@b.example> SIZE=7", "FROM:").as_deref(), Some("a@b.example"));
        assert_eq!(path("from:<>", "FROM:").as_deref(), Some(""));
        assert_eq!(path("TO:a@b.example", "TO:"), None);
        assert_eq!(path("é", "TO:"), None);
    }
}
