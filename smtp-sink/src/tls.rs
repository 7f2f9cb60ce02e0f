//! TLS of the mail server: the certificate that it shows, and when the encryption begins.

use std::sync::Arc;

use anyhow::Context;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// When the encryption begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsStart {
    /// When the client asks for it (STARTTLS); before that, no mail is taken
    Starttls,
    /// With the first byte
    Implicit,
}

/// TLS with one certificate.
#[derive(Clone)]
pub struct MailTls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) start: TlsStart,
}

impl MailTls {
    /// Reads a certificate with its chain, and its key, both in PEM.
    pub fn new(certificate: &[u8], key: &[u8], start: TlsStart) -> anyhow::Result<Self> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.context("the certificate is no PEM")?;
        let key = PrivateKeyDer::from_pem_slice(key).context("the key is no PEM")?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .context("there is no version of TLS")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the certificate and the key do not fit")?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), start })
    }
}
