//! How Kafka is reached: its brokers, and how connections to them are protected.
//!
//! Here are librdkafka's settings and not the library: whoever makes a client collects them into
//! its configuration, so that all clients of a process reach Kafka in the same way.

use std::path::PathBuf;

use crate::{
    Secret,
    certificates::{certificate_file, key_file},
};

/// Kafka, for a process that cannot do without.
#[derive(Clone, Debug, clap::Args)]
pub struct KafkaSettings {
    /// Kafka's bootstrap servers, as host:port,…
    #[arg(long, env = "SHOP_KAFKA")]
    pub kafka: String,
    #[command(flatten)]
    pub security: KafkaSecurity,
}

impl KafkaSettings {
    /// librdkafka's settings. The password is among them: they are collected into a
    /// configuration, which does not show it.
    pub fn properties(&self) -> impl Iterator<Item = (String, String)> {
        self.security.properties(&self.kafka)
    }
}

/// How connections to Kafka are protected.
#[derive(Clone, Debug, clap::Args)]
pub struct KafkaSecurity {
    /// How connections to Kafka are protected, by Kafka's names
    #[arg(long, env = "SHOP_KAFKA_SECURITY", default_value = "plaintext", ignore_case = true)]
    pub kafka_security: SecurityProtocol,
    /// Certificates of the authorities that vouch for brokers, as a PEM file; without it, those
    /// that the machine trusts
    #[arg(long, env = "SHOP_KAFKA_AUTHORITY", value_parser = certificate_file)]
    pub kafka_authority: Option<PathBuf>,
    /// This process's own certificate with its chain, as a PEM file, for brokers that ask for one
    #[arg(long, env = "SHOP_KAFKA_CERTIFICATE", value_parser = certificate_file)]
    pub kafka_certificate: Option<PathBuf>,
    /// The certificate's key, as a PEM file
    #[arg(long, env = "SHOP_KAFKA_KEY", value_parser = key_file)]
    pub kafka_key: Option<PathBuf>,
    /// How the user is authenticated; plain sends the password itself
    #[arg(long, env = "SHOP_KAFKA_MECHANISM", default_value = "scram-sha-512", ignore_case = true)]
    pub kafka_mechanism: SaslMechanism,
    /// User at Kafka, with `sasl_ssl` or `sasl_plaintext`
    #[arg(long, env = "SHOP_KAFKA_USER")]
    pub kafka_user: Option<String>,
    /// The user's password
    #[arg(long, env = "SHOP_KAFKA_PASSWORD", hide_env_values = true)]
    pub kafka_password: Option<Secret<String>>,
}

/// Kafka's `security.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SecurityProtocol {
    /// Neither TLS nor a user
    Plaintext,
    /// TLS
    Ssl,
    /// A user, over TLS
    #[value(name = "sasl_ssl")]
    SaslSsl,
    /// A user, in the clear
    #[value(name = "sasl_plaintext")]
    SaslPlaintext,
}

/// Kafka's `sasl.mechanism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SaslMechanism {
    Plain,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

impl KafkaSecurity {
    /// librdkafka's settings for clients of `servers`; see [`KafkaSettings::properties`].
    pub fn properties(&self, servers: &str) -> impl Iterator<Item = (String, String)> {
        let path = |file: &Option<PathBuf>| Some(file.as_ref()?.to_string_lossy().into_owned());
        let has_user = self.kafka_security.has_user();
        let of_user = |value: &str| has_user.then(|| value.to_owned());
        let password = self.kafka_password.as_ref().and_then(|it| of_user(it.expose()));
        [
            ("bootstrap.servers", Some(servers.to_owned())),
            ("security.protocol", Some(self.kafka_security.word().to_owned())),
            ("ssl.ca.location", path(&self.kafka_authority)),
            ("ssl.certificate.location", path(&self.kafka_certificate)),
            ("ssl.key.location", path(&self.kafka_key)),
            // The name in a broker's certificate has to be the one that was connected to.
            ("ssl.endpoint.identification.algorithm", Some("https".to_owned())),
            ("sasl.mechanism", of_user(self.kafka_mechanism.word())),
            ("sasl.username", self.kafka_user.clone()),
            ("sasl.password", password),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    }

    /// Settings that do not go together.
    pub fn contradictions(&self) -> Vec<String> {
        let word = self.kafka_security.word();
        let (has_user, has_tls) = (self.kafka_security.has_user(), self.kafka_security.has_tls());
        let (user, password) = (self.kafka_user.is_some(), self.kafka_password.is_some());
        let (certificate, key) = (self.kafka_certificate.is_some(), self.kafka_key.is_some());
        [
            (
                certificate != key,
                "SHOP_KAFKA_CERTIFICATE and SHOP_KAFKA_KEY are set together".to_owned(),
            ),
            (
                has_user && !(user && password),
                format!("SHOP_KAFKA_SECURITY {word} needs SHOP_KAFKA_USER and SHOP_KAFKA_PASSWORD"),
            ),
            (
                !has_user && (user || password),
                format!("SHOP_KAFKA_SECURITY {word} has no place for a user: write sasl_ssl"),
            ),
            (
                !has_tls && (self.kafka_authority.is_some() || certificate || key),
                format!("SHOP_KAFKA_SECURITY {word} has no place for certificates"),
            ),
        ]
        .into_iter()
        .filter_map(|(is_wrong, why)| is_wrong.then_some(why))
        .collect()
    }
}

impl SecurityProtocol {
    fn word(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslSsl => "sasl_ssl",
            Self::SaslPlaintext => "sasl_plaintext",
        }
    }

    fn has_user(self) -> bool {
        matches!(self, Self::SaslSsl | Self::SaslPlaintext)
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

impl SaslMechanism {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
