//! Kafka: who does not fit is refused, and says why.

use backends::testing::TestAuthority;
use e2e::LoneProcess;
use futures::future::join_all;

use super::servers::{
    PASSWORD, Settings, WRONG, a_kafka, a_postgres, order_svc, path, through, user,
};

/// The broker's certificate is of another authority, for another host, or expired; it wants a
/// certificate; or the password is wrong. Orders are taken all the same: Kafka is away.
#[tokio::test]
async fn what_does_not_fit_between_a_service_and_kafka_is_told() {
    let (authority, stranger) = (TestAuthority::new(), TestAuthority::new());
    let kafka = a_kafka(&authority).await;
    let postgres = a_postgres().await;
    let database = postgres.config().url_as("order_svc", "orders");
    let trusting =
        |authority: &TestAuthority| vec![("SHOP_KAFKA_AUTHORITY", path(&authority.pem()))];
    let cases: [(Settings, &str); 5] = [
        (
            [
                through(&kafka, "SASL_SSL", "sasl_ssl"),
                user("scram-sha-512", PASSWORD),
                trusting(&stranger),
            ]
            .concat(),
            "certificate verify failed",
        ),
        (
            [through(&kafka, "ELSEWHERE", "ssl"), trusting(&authority)].concat(),
            "certificate verify failed",
        ),
        (
            [through(&kafka, "EXPIRED", "ssl"), trusting(&authority)].concat(),
            "certificate verify failed",
        ),
        ([through(&kafka, "SSL", "ssl"), trusting(&authority)].concat(), "certificate"),
        (
            [
                through(&kafka, "SASL_SSL", "SASL_SSL"),
                user("SCRAM-SHA-256", WRONG),
                trusting(&authority),
            ]
            .concat(),
            "Authentication failed",
        ),
    ];

    let processes: Vec<_> = cases
        .iter()
        .map(|(settings, words)| {
            let settings = [order_svc(&database), settings.clone()].concat();
            (LoneProcess::start("order-svc", &settings), words)
        })
        .collect();

    join_all(processes.iter().map(async |(process, words)| {
        process.tells("kafka", words).await;
        process.is_well(&["kafka"]).await;
        let log = process.log();
        let is_told = log
            .lines()
            .any(|line| (line.contains("ERROR") || line.contains("WARN")) && line.contains(*words));
        assert!(is_told, "{words} is not logged: {log}");
        assert!(!log.contains(WRONG) && !log.contains(PASSWORD), "{log}");
    }))
    .await;
}

#[tokio::test]
async fn a_relay_with_a_wrong_password_says_why_it_waits() {
    let authority = TestAuthority::new();
    let kafka = a_kafka(&authority).await;
    let postgres = a_postgres().await;
    let database = postgres.config().url_as("order_svc", "orders");
    // The service brings the tables.
    let service = LoneProcess::start(
        "order-svc",
        &[order_svc(&database), vec![("SHOP_KAFKA", kafka.bootstrap())]].concat(),
    );
    service.is_well(&[]).await;
    let relay = |password| {
        let settings = [
            through(&kafka, "SASL_SSL", "sasl_ssl"),
            user("plain", password),
            vec![
                ("SHOP_KAFKA_AUTHORITY", path(&authority.pem())),
                ("SHOP_DATABASES_FILE", path(&format!("orders={database}"))),
            ],
        ];
        LoneProcess::start("outbox-relay", &settings.concat())
    };

    let wrong = relay(WRONG);
    wrong.tells("databases", "Authentication failed").await;
    assert!(!wrong.log().contains(WRONG), "{}", wrong.log());
    drop(wrong);

    relay(PASSWORD).is_well(&[]).await;
}
