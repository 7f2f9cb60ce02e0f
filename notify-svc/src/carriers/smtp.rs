//! Mails over SMTP: a pool of connections to one server.

use std::{error::Error, time::Duration};

use anyhow::Context;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{Mailbox, MultiPart, SinglePart},
    transport::smtp::{
        PoolConfig,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        response::Response,
    },
};

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
#[derive(Clone, Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    sender: Mailbox,
}

impl Mailer {
    /// A mailer for this server; it connects when there is something to send.
    pub fn new(server: SmtpServer) -> anyhow::Result<Self> {
        let tls = match server.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::Starttls => Tls::Required(tls(&server)?),
            SmtpTls::Implicit => Tls::Wrapper(tls(&server)?),
        };
        let pool = PoolConfig::new().max_size(server.connections);
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(server.timeout))
            .pool_config(pool);
        if let Some((user, password)) = server.login {
            transport = transport.credentials(Credentials::new(user, password));
        }
        Ok(Self { transport: transport.build(), sender: server.sender })
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
        let answer = self.transport.send(mail).await.map_err(|error| verdict(&error))?;
        Ok(queue_id(&answer))
    }
}

/// What an error means. Refused for good is what the server answers with 5xx, except for what it
/// says about us instead of the mail (530 to 538: who we are, how we connect): that is put right
/// here, and the mail is none the worse. Everything else may be otherwise the next time.
fn verdict(error: &lettre::transport::smtp::Error) -> CarrierError {
    let why = brief(&describe(error));
    let code = error.status().map_or(0, u16::from);
    if (500..600).contains(&code) && !(530..=538).contains(&code) {
        return CarrierError::Refused(why);
    }
    CarrierError::later(why)
}

/// An error with its causes.
fn describe(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

/// What the server calls the mail: most write `queued as 3F2A` or the like.
fn queue_id(answer: &Response) -> Option<String> {
    let line = answer.first_line()?;
    let (_, id) = line.rsplit_once("queued as ").unwrap_or(("", line));
    let id = brief(id.trim());
    (!id.is_empty()).then_some(id)
}
