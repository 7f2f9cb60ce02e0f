//! A mail server (RFC 5321) that takes mails for everybody.

use std::{borrow::Cow, sync::Arc, time::Duration};

use anyhow::Context;
use chassis::clock;
use mail_parser::MessageParser;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    manner::Manner,
    messages::{MessageLog, MessageRecord},
};

/// How long a client may be silent.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// Bytes of a command, and of a mail.
const LINE_BYTES_MAX: usize = 4_096;
const MAIL_BYTES_MAX: usize = 1024 * 1024;
/// Pause after a failed accept, as when file handles run out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Takes mails from `listener` until `stop`.
pub async fn receive(
    listener: TcpListener,
    log: Arc<MessageLog>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("could not read the listener's address")?;
    tracing::info!("takes mails on {address}");
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
        let (log, stop) = (Arc::clone(&log), stop.clone());
        sessions.spawn(async move {
            let session =
                Session { stream: BufReader::new(stream), log, envelope: Envelope::default() };
            tokio::select! {
                () = stop.cancelled() => {}
                // A client that goes away is no concern of ours.
                _ = session.run() => {}
            }
        });
    }
}

/// From whom, and to whom, the next mail is.
#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

struct Session<S> {
    stream: BufReader<S>,
    log: Arc<MessageLog>,
    envelope: Envelope,
}

/// The session goes on, or its connection is closed.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Close,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(mut self) -> std::io::Result<()> {
        self.say("220 smtp-sink takes mails for everybody").await?;
        loop {
            let Some(line) = line(&mut self.stream, LINE_BYTES_MAX).await? else { return Ok(()) };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let flow = match word.to_ascii_uppercase().as_str() {
                "EHLO" => self.greet().await?,
                "HELO" => self.say("250 smtp-sink").await?,
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
            if flow == Flow::Close {
                return Ok(());
            }
        }
    }

    async fn greet(&mut self) -> std::io::Result<Flow> {
        self.say("250-smtp-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 1048576").await
    }

    async fn begin(&mut self, rest: &str) -> std::io::Result<Flow> {
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
        if is_once && self.log.is_first_attempt(id) {
            return "451 4.3.0 not at the first time".to_owned();
        }
        // A line ends with CR and LF on the way, and with LF where people read it.
        let body = |body: Option<Cow<'_, str>>| body.map(|body| body.replace("\r\n", "\n"));
        let html = message.html_part(0).filter(|part| part.is_text_html());
        for to in to {
            let taken = self.log.take(MessageRecord {
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
