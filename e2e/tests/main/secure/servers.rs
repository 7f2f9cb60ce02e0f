//! A PostgreSQL that speaks TLS alone, a Kafka with a listener of each kind, and the settings with
//! which programs reach them.

use backends::{
    Kafka, Postgres,
    kafka::SecureListener,
    postgres::create_owned,
    testing::{TestAuthority, file, private_kafka_with, private_postgres},
    topics::of_the_shop,
};

/// Where the servers listen, and so what their certificates are about.
pub(crate) const HOST: &str = "127.0.0.1";
pub(crate) const USER: &str = "shop";
pub(crate) const PASSWORD: &str = "open-sesame";
pub(crate) const WRONG: &str = "open-barley";

pub(crate) type Settings = Vec<(&'static str, String)>;

/// The services' databases here, each with the role that owns it.
const DATABASES: [(&str, &str); 2] = [("orders", "order_svc"), ("stock", "inventory_svc")];

/// A PostgreSQL with the services' databases, which is not protected yet.
pub(crate) async fn a_postgres() -> Postgres {
    let server = private_postgres().await;
    let owned = server.config().owned(&DATABASES);
    create_owned(&server.url("postgres"), &owned).await.unwrap();
    server
}

/// Makes a PostgreSQL show a certificate for [`HOST`] and refuse who does not encrypt.
pub(crate) fn encrypt(server: &Postgres, authority: &TestAuthority) {
    let shown = authority.certifies(HOST);
    server.encrypt(&shown.certificate, &shown.key, None).unwrap();
}

/// The address of a database, whose server the authority in the file has to vouch for.
pub(crate) fn verified(server: &Postgres, database: &str, authority: &str) -> String {
    let (_, role) = DATABASES.into_iter().find(|(name, _)| *name == database).unwrap();
    let url = server.config().url_as(role, database);
    format!("{url}?sslmode=verify-full&sslrootcert={authority}")
}

/// A Kafka with the shop's topics and a user. Its listeners: `SASL_SSL` and `SASL_PLAINTEXT` for
/// users, `SSL` for who has a certificate of the authority's, `ELSEWHERE` and `EXPIRED` with
/// certificates that are for another host, or were.
pub(crate) async fn a_kafka(authority: &TestAuthority) -> Kafka {
    let shown = || authority.certifies(HOST).of_kafka();
    let clients = set(&[
        ("ssl.client.auth", "required"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", &authority.pem()),
    ]);
    let kafka = private_kafka_with([
        listener("SASL_SSL", "SASL_SSL", [shown(), users()].concat()),
        listener("SASL_PLAINTEXT", "SASL_PLAINTEXT", users()),
        listener("SSL", "SSL", [shown(), clients].concat()),
        listener("ELSEWHERE", "SSL", authority.certifies("kafka.example").of_kafka()),
        listener("EXPIRED", "SSL", authority.expired(HOST).of_kafka()),
    ])
    .await;
    kafka.set_user(USER, PASSWORD).await.unwrap();
    kafka.create_topics(&of_the_shop().unwrap()).await.unwrap();
    kafka
}

fn listener(
    name: &'static str,
    protocol: &'static str,
    settings: Vec<(String, String)>,
) -> SecureListener {
    SecureListener { name, protocol, port: 0, settings }
}

/// What lets users in by each mechanism.
fn users() -> Vec<(String, String)> {
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    set(&[
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
        ("scram-sha-256.sasl.jaas.config", scram),
        ("scram-sha-512.sasl.jaas.config", scram),
        ("plain.sasl.jaas.config", &format!("{plain} user_{USER}=\"{PASSWORD}\";")),
    ])
}

fn set(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The path of a file with this content.
pub(crate) fn path(content: &str) -> String {
    file(content).to_str().unwrap().to_owned()
}

/// How Kafka is reached through one of its listeners.
pub(crate) fn through(kafka: &Kafka, listener: &str, security: &str) -> Settings {
    vec![
        ("SHOP_KAFKA", kafka.secure(listener).unwrap()),
        ("SHOP_KAFKA_SECURITY", security.to_owned()),
    ]
}

/// The user, with a password that is in a file.
pub(crate) fn user(mechanism: &str, password: &str) -> Settings {
    vec![
        ("SHOP_KAFKA_USER", USER.to_owned()),
        ("SHOP_KAFKA_PASSWORD_FILE", path(password)),
        ("SHOP_KAFKA_MECHANISM", mechanism.to_owned()),
    ]
}

/// What order-svc needs besides Kafka.
pub(crate) fn order_svc(database_url: &str) -> Settings {
    let seal = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    vec![
        ("SHOP_JWKS", "off".to_owned()),
        ("SHOP_DATABASE_URL_FILE", path(database_url)),
        ("SHOP_SEAL_KEY_FILE", path(seal)),
    ]
}
