//! Connections to one mail server. They are used again while they are well; lettre's own pool would
//! not tell a server that takes no mail at all from one that refuses this mail.

use std::{error::Error as _, time::Duration};

use lettre::{
    Address,
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::Response,
    },
};
use tokio::{sync::Mutex, time::Instant};

use crate::carriers::{CarrierError, brief};

/// How long a connection may be idle: servers close theirs after minutes.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// When the encryption of a connection begins, and whom it trusts.
pub(super) enum Encryption {
    None,
    Starttls(TlsParameters),
    Implicit(TlsParameters),
}

/// The server, and the connections to it that nobody uses at the moment.
pub(super) struct Connections {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) credentials: Option<Credentials>,
    pub(super) timeout: Duration,
    /// How many idle connections are kept.
    pub(super) idle_max: usize,
    pub(super) idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl Connections {
    /// Sends one mail. What the server says before it has heard the recipient, it would say to any
    /// mail: it takes none now, or none from us.
    pub(super) async fn send(
        &self,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<Response, CarrierError> {
        let mut connection = self.connection().await.map_err(|error| later(&error))?;
        // After an error a connection may be anywhere, so it is not used again.
        let answer = converse(&mut connection, envelope, mail).await;
        if answer.is_err() {
            connection.abort().await;
        } else {
            self.give_back(connection).await;
        }
        answer
    }

    async fn connection(&self) -> Result<AsyncSmtpConnection, Error> {
        loop {
            let idle = self.idle.lock().await.pop();
            let Some((mut connection, since)) = idle else { return self.connect().await };
            if since.elapsed() < IDLE_MAX && connection.test_connected().await {
                return Ok(connection);
            }
            connection.abort().await;
        }
    }

    async fn give_back(&self, mut connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().await;
        if idle.len() < self.idle_max {
            idle.push((connection, Instant::now()));
            return;
        }
        drop(idle);
        connection.abort().await;
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let name = ClientId::default();
        let implicit = match &self.encryption {
            Encryption::Implicit(tls) => Some(tls.clone()),
            Encryption::None | Encryption::Starttls(_) => None,
        };
        let server = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &name, implicit, None)
                .await?;
        if let Encryption::Starttls(tls) = &self.encryption {
            connection.starttls(tls.clone(), &name).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

/// Names the sender, the recipients and the mail.
async fn converse(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    mail: &[u8],
) -> Result<Response, CarrierError> {
    let from = Mail::new(envelope.from().cloned(), options(connection, envelope, mail)?);
    connection.command(from).await.map_err(|error| later(&error))?;
    for to in envelope.to() {
        let to = Rcpt::new(to.clone(), Vec::new());
        connection.command(to).await.map_err(|error| verdict(&error))?;
    }
    connection.command(Data).await.map_err(|error| verdict(&error))?;
    connection.message(mail).await.map_err(|error| verdict(&error))
}

/// What the server has to be told of a mail that is more than ASCII.
fn options(
    connection: &AsyncSmtpConnection,
    envelope: &Envelope,
    mail: &[u8],
) -> Result<Vec<MailParameter>, CarrierError> {
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    let knows = |extension| connection.server_info().supports_feature(extension);
    let mut options = Vec::new();
    if !envelope.from().into_iter().chain(envelope.to()).all(is_ascii) {
        if !knows(Extension::SmtpUtfEight) {
            return Err(CarrierError::later("the server knows only addresses in ASCII"));
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !mail.is_ascii() {
        if !knows(Extension::EightBitMime) {
            return Err(CarrierError::later("the server knows only mails in ASCII"));
        }
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(options)
}

/// The mail server may answer otherwise the next time.
fn later(error: &Error) -> CarrierError {
    CarrierError::later(brief(&describe(error)))
}

/// What an answer about one mail means. Refused for good is what the server answers with 5xx,
/// except for what it says about us (530 to 538: who we are, how we connect): that is put right
/// here, and the mail is none the worse. Everything else may be otherwise the next time.
fn verdict(error: &Error) -> CarrierError {
    let code = error.status().map_or(0, u16::from);
    if (500..600).contains(&code) && !(530..=538).contains(&code) {
        return CarrierError::Refused(brief(&describe(error)));
    }
    later(error)
}

/// An error with its causes.
fn describe(error: &Error) -> String {
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
