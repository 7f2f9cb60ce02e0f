//! TLS of a public listener: its certificate, and how another one takes its place.
//!
//! The files are read every few seconds, so that whoever renews certificates need tell nobody. New
//! connections are shown the new certificate; those that are open go on. Files that do not fit are
//! told, and the former certificate stays.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};
use tokio_util::sync::CancellationToken;

use crate::certificates::{certificate_file, certificates, key_file, private_key, read};

/// How often the files are read: they are small, and nobody waits for a new certificate.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What is spoken over TLS (RFC 7301), in the order of preference.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
const HTTP_2: &[u8] = b"h2";

// The TLS of a public listener. No doc comment: clap would show it as the process's own.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsSettings {
    /// Certificate of the public listener with its chain, as a PEM file: with it, TLS alone is
    /// spoken there, 1.2 or later. It and its key are read anew when they change
    #[arg(long, env = "SHOP_TLS_CERTIFICATE", value_parser = certificate_file)]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's key, as a PEM file
    #[arg(long, env = "SHOP_TLS_KEY", value_parser = key_file)]
    pub tls_key: Option<PathBuf>,
}

impl TlsSettings {
    /// Settings that do not go together.
    pub fn contradictions(&self) -> Vec<String> {
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return vec!["SHOP_TLS_CERTIFICATE and SHOP_TLS_KEY are set together".to_owned()];
        }
        self.listener().err().into_iter().collect()
    }

    /// TLS as it is set, if it is.
    pub fn listener(&self) -> Result<Option<ServerTls>, String> {
        let files = self.tls_certificate.clone().zip(self.tls_key.clone());
        files.map(|(certificate, key)| ServerTls::new(certificate, key)).transpose()
    }

    /// What clients of the public listener speak.
    pub fn scheme(&self) -> &'static str {
        if self.tls_certificate.is_some() { "https" } else { "http" }
    }
}

/// TLS of one listener, with the certificate that its files had when they were last usable. Cheap
/// to clone.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    shown: Arc<ShownCertificate>,
}

struct ShownCertificate {
    files: [PathBuf; 2],
    seen: Mutex<LastLook>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What the files were at the last look.
struct LastLook {
    content: Result<[Vec<u8>; 2], String>,
    fault: Option<String>,
}

impl ServerTls {
    /// TLS with a certificate, its chain and its key in PEM files.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, String> {
        let files = [certificate, key];
        let content = content(&files)?;
        let current = RwLock::new(Arc::new(certified(&files, &content)?));
        let seen = Mutex::new(LastLook { content: Ok(content), fault: None });
        let shown = Arc::new(ShownCertificate { files, seen, current });
        let resolver = Arc::clone(&shown);
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_no_client_auth()
                .with_cert_resolver(resolver);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), shown })
    }

    /// Shakes hands with a client; returns whether it speaks HTTP/2, too.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, bool)> {
        let stream = self.acceptor.accept(stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        Ok((stream, is_http2))
    }

    /// Reads the files again and again until `stop`.
    pub(crate) async fn keep_fresh(self, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let shown = Arc::clone(&self.shown);
            tokio::task::spawn_blocking(move || shown.refresh()).await?;
        }
        Ok(())
    }

    /// What was wrong with the files at the last look.
    pub(crate) fn fault(&self) -> Option<String> {
        self.shown.seen.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }
}

impl ShownCertificate {
    fn refresh(&self) {
        // Read before anybody is locked out: a file may lie where nothing answers.
        let found = content(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if found == seen.content {
            return;
        }
        let read = found.clone().and_then(|content| certified(&self.files, &content));
        seen.content = found;
        seen.fault = match read {
            Ok(certified) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                tracing::info!("the certificate was read anew");
                None
            }
            Err(why) => {
                tracing::warn!(reason = why, "the former certificate is still shown");
                Some(format!("the former one is still shown: {why}"))
            }
        };
    }
}

impl ResolvesServerCert for ShownCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for ShownCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(out)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(out)
    }
}

fn content(files: &[PathBuf; 2]) -> Result<[Vec<u8>; 2], String> {
    let [certificate, key] = files;
    let named = |path: &PathBuf| read(path).map_err(|why| format!("{}: {why}", path.display()));
    Ok([named(certificate)?, named(key)?])
}

fn certified(files: &[PathBuf; 2], content: &[Vec<u8>; 2]) -> Result<CertifiedKey, String> {
    let ([certificate, key], [chain_pem, key_pem]) = (files, content);
    let chain =
        certificates(chain_pem).map_err(|why| format!("{}: {why}", certificate.display()))?;
    let private = private_key(key_pem).map_err(|why| format!("{}: {why}", key.display()))?;
    CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| {
        format!("{} and {} do not fit: {error}", certificate.display(), key.display())
    })
}
