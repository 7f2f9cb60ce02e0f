//! Mail over TLS, to a server whose certificate an authority of the test has signed.

use std::time::Duration;

use backends::testing::{TestAuthority, TestCertificate, eventually};
use chassis::Secret;
use notify_svc::{
    carriers::{
        Carrier, CarrierError, OutgoingMessage,
        smtp::{Mailer, SmtpServer, SmtpTls},
    },
    deliveries::deliver,
    domain::Channel,
    templates::Text,
};
use proto::NotificationId;
use smtp_sink::{MailTls, TlsStart};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    SOON, a_shop, an_order,
    sink::{Sink, a_sink_as, room},
};

/// Where the test's server listens, and so what its certificate is about.
const HOST: &str = "127.0.0.1";
const STARTS: [(TlsStart, SmtpTls); 2] =
    [(TlsStart::Starttls, SmtpTls::Starttls), (TlsStart::Implicit, SmtpTls::Implicit)];

/// TLS with a certificate for `host`.
fn certified(authority: &TestAuthority, host: &str, start: TlsStart) -> MailTls {
    let TestCertificate { certificate, key } = authority.certifies(host);
    MailTls::new(certificate.as_bytes(), key.as_bytes(), start).unwrap()
}

async fn a_sink_over(tls: MailTls) -> Sink {
    a_sink_as(|host| smtp_sink::MailHost { tls: Some(tls), ..host }).await
}

/// Sends one mail.
async fn send(server: SmtpServer) -> Result<Option<String>, CarrierError> {
    let text = Text { subject: "Hello".into(), text: "There".into(), html: None };
    let id = NotificationId::new(mailbox::testing::new_id());
    let to = "jane@shop.example";
    Mailer::new(server).unwrap().carry(OutgoingMessage { id, to, text: &text }).await
}

/// Sends one mail, which is not taken now and may be later; returns why.
async fn put_off(server: SmtpServer) -> String {
    match send(server).await {
        Err(CarrierError::Later { why, .. }) => why,
        other => unreachable!("it is to be tried again: {other:?}"),
    }
}

#[tokio::test]
async fn a_mail_goes_out_encrypted_to_a_server_that_the_authority_vouches_for() {
    let authority = TestAuthority::new();
    for (start, tls) in STARTS {
        let sink = a_sink_over(certified(&authority, HOST, start)).await;

        let taken = send(SmtpServer {
            tls,
            authority: Some(authority.pem().into_bytes()),
            ..sink.server()
        })
        .await;

        assert!(taken.unwrap().is_some(), "{start:?}: the server names it");
        assert_eq!(sink.messages().len(), 1, "{start:?}");
        assert_eq!(sink.messages()[0].subject, "Hello");
    }
}

#[tokio::test]
async fn a_server_that_cannot_show_who_it_is_gets_no_mail() {
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    for (start, tls) in STARTS {
        for (certificate, trusted) in [
            (certified(&authority, "mail.shop.example", start), Some(authority.pem().into_bytes())),
            (certified(&other, HOST, start), Some(authority.pem().into_bytes())),
            (certified(&authority, HOST, start), None),
        ] {
            let sink = a_sink_over(certificate).await;

            let why = put_off(SmtpServer { tls, authority: trusted, ..sink.server() }).await;

            assert!(why.to_lowercase().contains("certificate"), "{start:?}: {why}");
            assert!(sink.messages().is_empty(), "{start:?}");
        }
    }
}

/// A server without TLS, or one that is made to hide it, gets nothing in the clear.
#[tokio::test]
async fn nothing_goes_out_in_the_clear_unless_it_is_set_so() {
    let authority = TestAuthority::new();
    let plain = a_sink_as(|host| host).await;
    for tls in [SmtpTls::Starttls, SmtpTls::Implicit] {
        let server =
            SmtpServer { tls, authority: Some(authority.pem().into_bytes()), ..plain.server() };
        let server = SmtpServer { timeout: Duration::from_millis(500), ..server };
        assert!(!put_off(server).await.is_empty(), "{tls:?}");
    }
    assert!(plain.messages().is_empty());

    let strict = a_sink_over(certified(&authority, HOST, TlsStart::Starttls)).await;
    let why = put_off(SmtpServer { tls: SmtpTls::None, ..strict.server() }).await;
    assert!(why.contains("530"), "{why}");
}

#[tokio::test]
async fn who_has_to_log_in_does_so_over_tls() {
    let authority = TestAuthority::new();
    let password = || Secret::new("open sesame".to_owned());
    for (start, tls) in STARTS {
        let certificate = certified(&authority, HOST, start);
        let login = Some(("shop".to_owned(), password()));
        let sink =
            a_sink_as(|host| smtp_sink::MailHost { tls: Some(certificate), login, ..host }).await;
        let as_user = |login: Option<(&str, &str)>| {
            let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
            SmtpServer {
                tls,
                login,
                authority: Some(authority.pem().into_bytes()),
                ..sink.server()
            }
        };

        let nobody = put_off(as_user(None)).await;
        let wrong = put_off(as_user(Some(("shop", "open barley")))).await;
        assert!(nobody.contains("530") && wrong.contains("535"), "{nobody}, {wrong}");
        assert!(!wrong.contains("barley") && sink.messages().is_empty());

        send(as_user(Some(("shop", "open sesame")))).await.unwrap();
        assert_eq!(sink.messages().len(), 1, "{start:?}");
    }
}

/// The wrong certificate is put right while a mail waits: it is told why it waits, and goes out.
#[tokio::test]
async fn a_mail_waits_for_a_certificate_that_fits() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let (authority, order) = (TestAuthority::new(), an_order());
    let room = room(&shop, &mailbox);
    let message = shop.confirmed(order);
    shop.hear([message]).await;
    let shown = async || {
        let mut db = room.pool.acquire().await.unwrap();
        let found =
            notify_svc::store::notifications::of_order(&mut db, (order, None), None, 1).await;
        found.unwrap().remove(0)
    };
    let deliver_to = |sink: &Sink, jobs, ended: &CancellationToken| {
        let server = SmtpServer {
            tls: SmtpTls::Starttls,
            authority: Some(authority.pem().into_bytes()),
            ..sink.server()
        };
        let carrier = (Channel::Email, Mailer::new(server).unwrap());
        deliver(carrier, jobs, room.clone(), ended.clone())
    };

    let wrong = a_sink_over(certified(&TestAuthority::new(), HOST, TlsStart::Starttls)).await;
    let (hand, jobs) = mpsc::channel(1);
    hand.send(shop.handed()).await.unwrap();
    let ended = CancellationToken::new();
    let mut working = JoinSet::new();
    working.spawn(deliver_to(&wrong, jobs, &ended));
    let waits = eventually("it is told why it waits", SOON, async || {
        let row = shown().await;
        if row.detail.is_some() { Ok(row) } else { Err(format!("{row:?}")) }
    })
    .await;
    ended.cancel();
    working.join_next().await.unwrap().unwrap().unwrap();

    let why = waits.detail.unwrap();
    assert!(waits.status == "sending" && why.to_lowercase().contains("certificate"), "{why}");
    assert!(shop.said_of_orders().await.is_empty());
    let right = a_sink_over(certified(&authority, HOST, TlsStart::Starttls)).await;
    let ended = CancellationToken::new();
    let (_none, jobs) = mpsc::channel(1);
    working.spawn(deliver_to(&right, jobs, &ended));
    shop.run("update deliveries set leased_until = clock_timestamp()").await;
    let sent = eventually("it is sent", SOON, async || {
        let row = shown().await;
        if row.status == "sent" { Ok(row) } else { Err(format!("{row:?}")) }
    })
    .await;
    ended.cancel();
    working.join_next().await.unwrap().unwrap().unwrap();
    assert!(sent.attempts > 1 && wrong.messages().is_empty());
    assert_eq!(right.messages().len(), 1);
}
