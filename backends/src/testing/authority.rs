//! Authorities that nobody trusts by themselves, and certificates of theirs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use super::had;
use crate::machine;

/// An authority of the test's own.
pub struct TestAuthority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both in PEM.
#[derive(Clone)]
pub struct TestCertificate {
    pub certificate: String,
    pub key: String,
}

impl TestAuthority {
    /// Another authority each time.
    #[expect(clippy::new_without_default, reason = "no two are equal")]
    pub fn new() -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(had(CertifiedIssuer::self_signed(params, key()).map_err(Into::into)))
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `host`: a name or an address.
    pub fn certifies(&self, host: &str) -> TestCertificate {
        self.sign(&params(&[host]))
    }

    /// A certificate for `host` that has expired.
    pub fn expired(&self, host: &str) -> TestCertificate {
        let mut params = params(&[host]);
        params.not_after = date_time_ymd(2000, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> TestCertificate {
        let key = key();
        let certificate = had(params.signed_by(&key, &self.0).map_err(Into::into)).pem();
        TestCertificate { certificate, key: key.serialize_pem() }
    }
}

impl TestCertificate {
    /// A listener's settings with which Kafka shows this certificate.
    pub fn of_kafka(&self) -> Vec<(String, String)> {
        [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.certificate.chain", &self.certificate),
            ("ssl.keystore.key", &self.key),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}

fn params(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = had(CertificateParams::new(hosts).map_err(Into::into));
    // Authorities of one name would be taken for one another until their signatures are looked at.
    params.distinguished_name.push(DnType::CommonName, machine::random_word());
    params
}

fn key() -> KeyPair {
    had(KeyPair::generate().map_err(Into::into))
}
