//! Mails over SMTP, to one server.

mod connections;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use lettre::{
    Address,
    message::{Mailbox, MultiPart, SinglePart},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, TlsParameters},
        response::Response,
    },
};
use tokio::sync::Mutex;

use self::connections::{Connections, Encryption};
use crate::carriers::{Carrier, CarrierError, OutgoingMessage, brief};

/// How a connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SmtpTls {
    /// Not at all: for a server on the same machine
    None,
    /// It begins in the clear and goes on encrypted (STARTTLS), or not at all
    Starttls,
    /// From its first byte
    Implicit,
}

/// The mail server, and who sends.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// User and password, if the server asks for them.
    pub login: Option<(String, String)>,
    /// The certificate of an authority besides those that the machine trusts, in PEM.
    pub authority: Option<Vec<u8>>,
    pub sender: Mailbox,
    /// Connections at once.
    pub connections: u32,
    /// How long the server may take for one command.
    pub timeout: Duration,
}

/// Sends mails.
#[derive(Clone)]
pub struct Mailer {
    connections: Arc<Connections>,
    sender: Mailbox,
}

impl Mailer {
    /// A mailer for this server; it connects when there is something to send.
    pub fn new(server: SmtpServer) -> anyhow::Result<Self> {
        let encryption = match server.tls {
            SmtpTls::None => Encryption::None,
            SmtpTls::Starttls => Encryption::Starttls(tls(&server)?),
            SmtpTls::Implicit => Encryption::Implicit(tls(&server)?),
        };
        let SmtpServer { host, port, login, timeout, .. } = server;
        let connections = Connections {
            host,
            port,
            encryption,
            credentials: login.map(|(user, password)| Credentials::new(user, password)),
            timeout,
            idle_max: usize::try_from(server.connections)?,
            idle: Mutex::default(),
        };
        Ok(Self { connections: Arc::new(connections), sender: server.sender })
    }

    fn mail(&self, message: OutgoingMessage<'_>) -> anyhow::Result<lettre::Message> {
        let OutgoingMessage { id, to, text } = message;
        let to: Address = to.parse().context("the recipient is no address")?;
        let mail = lettre::Message::builder()
            .from(self.sender.clone())
            .to(Mailbox::new(None, to))
            .subject(&*text.subject)
            .message_id(Some(format!("<{id}@{}>", self.sender.email.domain())));
        let mail = match &text.html {
            Some(html) => {
                mail.multipart(MultiPart::alternative_plain_html(text.text.clone(), html.clone()))
            }
            None => mail.singlepart(SinglePart::plain(text.text.clone())),
        };
        mail.context("the mail cannot be written")
    }
}

fn tls(server: &SmtpServer) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParameters::builder(server.host.clone());
    if let Some(pem) = &server.authority {
        let authority = Certificate::from_pem(pem).context("the authority is no certificate")?;
        builder = builder.add_root_certificate(authority);
    }
    builder.build().context("could not set up TLS for the mail server")
}

impl Carrier for Mailer {
    async fn carry(&self, message: OutgoingMessage<'_>) -> Result<Option<String>, CarrierError> {
        // What cannot be written as a mail now cannot be written later either.
        let mail =
            self.mail(message).map_err(|error| CarrierError::Refused(format!("{error:#}")))?;
        let answer = self.connections.send(mail.envelope(), &mail.formatted()).await?;
        Ok(queue_id(&answer))
    }
}

/// What the server calls the mail: most write `queued as 3F2A` or the like.
fn queue_id(answer: &Response) -> Option<String> {
    let line = answer.first_line()?;
    let (_, id) = line.rsplit_once("queued as ").unwrap_or(("", line));
    let id = brief(id.trim());
    (!id.is_empty()).then_some(id)
}
