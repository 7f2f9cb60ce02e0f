//! A mail server and a provider of webhooks, over TCP, and workers that deliver to them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use chassis::{Health, http::Edge};
use mailbox::Mailbox;
use notify_svc::{
    carriers::{
        guard::AddressPolicy,
        smtp::{Mailer, SmtpServer, SmtpTls},
        webhook::{WebhookCarrier, WebhookEndpoint},
    },
    deliveries::{DeliveryRoom, deliver},
    domain::Channel,
    reactions::Notify,
    templates::Templates,
};
use reqwest::Url;
use smtp_sink::{MailHost, MessageLog, MessageRecord, SinkState, receive, routes};
use sqlx::PgPool;
use standardwebhooks::Webhook;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Shop;

/// `whsec_` and 24 bytes in base64.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A sink that listens until it is dropped.
pub(crate) struct Sink {
    pub(crate) log: Arc<MessageLog>,
    pub(crate) smtp: SocketAddr,
    pub(crate) http: SocketAddr,
    file: PathBuf,
    _running: JoinSet<anyhow::Result<()>>,
}

pub(crate) async fn a_sink() -> Sink {
    a_sink_as(|host| host).await
}

/// A sink whose mail server is changed by `change`.
pub(crate) async fn a_sink_as(change: impl FnOnce(MailHost) -> MailHost) -> Sink {
    let file = std::env::temp_dir().join(format!("sink-{}.jsonl", mailbox::testing::new_id()));
    let log = Arc::new(MessageLog::open(&file).unwrap());
    let [mails, requests] =
        [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
    let (mails, requests) = (mails.unwrap(), requests.unwrap());
    let (smtp, http) = (mails.local_addr().unwrap(), requests.local_addr().unwrap());
    let ended = CancellationToken::new();
    let health = Health::new("smtp-sink", Arc::new(AtomicBool::new(true)), ended.clone());
    let signature = Some(Arc::new(Webhook::new(SECRET).unwrap()));
    let state = SinkState { log: Arc::clone(&log), signature };
    let mut running = JoinSet::new();
    let host = change(MailHost { log: Arc::clone(&log), tls: None, login: None });
    running.spawn(receive(mails, host, ended.clone()));
    running.spawn(chassis::http::serve(requests, Edge::new(health), routes(state), ended));
    Sink { log, smtp, http, file, _running: running }
}

impl Drop for Sink {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).unwrap();
    }
}

impl Sink {
    /// All that was taken, the oldest first.
    pub(crate) fn messages(&self) -> Vec<MessageRecord> {
        let mut all = self.log.newest(1_000, |_| true);
        all.reverse();
        all
    }

    pub(crate) fn mailer(&self) -> Mailer {
        Mailer::new(self.server()).unwrap()
    }

    /// The mail server as a service is told of it.
    pub(crate) fn server(&self) -> SmtpServer {
        SmtpServer {
            host: "127.0.0.1".to_owned(),
            port: self.smtp.port(),
            tls: SmtpTls::None,
            login: None,
            authority: None,
            sender: "Shop <shop@shop.example>".parse().unwrap(),
            connections: 2,
            timeout: Duration::from_secs(5),
        }
    }

    pub(crate) fn provider(&self, channel: Channel) -> WebhookEndpoint {
        let url = format!("http://localhost:{}/webhooks/{}", self.http.port(), channel.as_str());
        WebhookEndpoint {
            channel,
            url: Url::parse(&url).unwrap(),
            secret: SECRET.to_owned(),
            addresses: AddressPolicy::Any,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Workers that deliver until they are dropped.
pub(crate) struct Workers(JoinSet<anyhow::Result<()>>);

impl Workers {
    /// Lets all attempts end.
    pub(crate) async fn end(mut self, ended: &CancellationToken) {
        ended.cancel();
        while let Some(end) = self.0.join_next().await {
            end.unwrap().unwrap();
        }
    }
}

pub(crate) fn room(shop: &Shop, mailbox: &Mailbox<Notify>) -> DeliveryRoom {
    DeliveryRoom {
        mailbox: mailbox.clone(),
        pool: PgPool::connect_lazy(&shop.database.url()).unwrap(),
        templates: Arc::new(Templates::default()),
        give_up_after: Duration::from_hours(1),
        attempts_at_once: 2,
        attempt_timeout: Duration::from_secs(5),
    }
}

/// Delivers what is queued, on all channels, to the sink.
pub(crate) fn deliver_all(
    shop: &mut Shop,
    sink: &Sink,
    room: &DeliveryRoom,
    ended: &CancellationToken,
) -> Workers {
    let mut workers = JoinSet::new();
    // The queues of the test are closed from now on.
    let [emails, texts, pushes] =
        std::mem::replace(&mut shop.jobs, [0; 3].map(|_| mpsc::channel(1).1));
    let provider = |channel| WebhookCarrier::new(Some(sink.provider(channel))).unwrap();
    let mails = (Channel::Email, sink.mailer());
    workers.spawn(deliver(mails, emails, room.clone(), ended.clone()));
    for (channel, jobs) in [(Channel::Sms, texts), (Channel::Push, pushes)] {
        let carrier = (channel, provider(channel));
        workers.spawn(deliver(carrier, jobs, room.clone(), ended.clone()));
    }
    Workers(workers)
}
