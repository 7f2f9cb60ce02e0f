//! Certificates and keys in PEM files, as settings name them.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// Parses the name of a file that has to hold at least one certificate.
pub fn certificate_file(path: &str) -> Result<PathBuf, String> {
    certificates(&read(Path::new(path))?)?;
    Ok(path.into())
}

/// Parses the name of a file that has to hold a private key.
pub fn key_file(path: &str) -> Result<PathBuf, String> {
    private_key(&read(Path::new(path))?)?;
    Ok(path.into())
}

/// The certificates in a PEM text.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("it is no PEM: {error}"))?;
    if found.is_empty() { Err("it has no certificate in PEM".to_owned()) } else { Ok(found) }
}

/// The private key in a PEM text. The error says nothing of what is there.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "it has no private key in PEM".to_owned())
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))
}
