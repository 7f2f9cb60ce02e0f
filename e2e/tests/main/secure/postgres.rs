//! PostgreSQL: reached with a certificate that fits or not at all, and with another one at once.

use backends::{Postgres, testing::TestAuthority};
use e2e::LoneProcess;
use futures::future::join_all;

use super::servers::{Settings, a_postgres, encrypt, order_svc, path, verified};

/// Kafka is nowhere: only the database matters.
fn start(database_url: &str) -> LoneProcess {
    let nowhere: Settings = vec![("SHOP_KAFKA", "127.0.0.1:1".to_owned())];
    LoneProcess::start("order-svc", &[order_svc(database_url), nowhere].concat())
}

#[tokio::test]
async fn what_does_not_fit_between_a_service_and_postgres_is_told() {
    let (authority, stranger) = (TestAuthority::new(), TestAuthority::new());
    let server = a_postgres().await;
    encrypt(&server, &authority);
    let fits = verified(&server, "orders", &path(&authority.pem()));
    start(&fits).is_well(&["kafka"]).await;
    let plain = server.config().url_as("order_svc", "orders") + "?sslmode=disable";
    let cases = [
        (verified(&server, "orders", &path(&stranger.pem())), "UnknownIssuer"),
        // The certificate is for an address, not for this name.
        (fits.replace("@127.0.0.1:", "@localhost:"), "not valid for name"),
        (plain, "no encryption"),
    ];

    let processes: Vec<_> = cases.iter().map(|(url, words)| (start(url), words)).collect();

    join_all(processes.iter().map(async |(process, words)| {
        process.tells("database", words).await;
        assert!(!process.readiness().await.unwrap().0);
        let log = process.log();
        let line = log.lines().find(|line| line.contains("the database refuses the connection"));
        assert!(line.is_some_and(|line| line.contains(*words)), "{words} is not logged: {log}");
        assert!(!log.contains(&server.config().password), "{log}");
    }))
    .await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_one() {
    let authority = TestAuthority::new();
    let server = a_postgres().await;
    let (shown, own) = (authority.certifies("127.0.0.1"), authority.certifies("order-svc"));
    server.encrypt(&shown.certificate, &shown.key, Some(&authority.pem())).unwrap();
    let without = verified(&server, "orders", &path(&authority.pem()));
    let with = format!("{without}&sslcert={}&sslkey={}", path(&own.certificate), path(&own.key));

    start(&with).is_well(&["kafka"]).await;
    start(&without).tells("database", "client certificate").await;
}

/// The server comes back with a certificate of another authority. Who does not know that one says
/// so; once the file has it, connections are made again.
#[tokio::test]
async fn a_certificate_that_is_replaced_needs_no_restart() {
    let (old, new) = (TestAuthority::new(), TestAuthority::new());
    let server = a_postgres().await;
    encrypt(&server, &old);
    let file = path(&old.pem());
    let relay_settings: Settings = vec![
        ("SHOP_KAFKA", "127.0.0.1:1".to_owned()),
        ("SHOP_DATABASES_FILE", path(&format!("o={}", verified(&server, "orders", &file)))),
    ];
    let service = start(&verified(&server, "orders", &file));
    service.is_well(&["kafka"]).await;
    let relay = LoneProcess::start("outbox-relay", &relay_settings);
    relay.tells("databases", "Kafka does not answer").await;

    // First another one of the same authority, which nobody notices.
    restart_with(&server, &old).await;
    service.is_well(&["kafka"]).await;
    restart_with(&server, &new).await;
    service.tells("database", "UnknownIssuer").await;
    relay.tells("databases", "UnknownIssuer").await;
    std::fs::write(&file, old.pem() + &new.pem()).unwrap();

    service.is_well(&["kafka"]).await;
    relay.tells("databases", "Kafka does not answer").await;
}

async fn restart_with(server: &Postgres, authority: &TestAuthority) {
    encrypt(server, authority);
    server.restart().await.unwrap();
}
