//! A small issuer of tokens: that of the local stack, and of tests. It signs with Ed25519.

use std::time::Duration;

use aws_lc_rs::{encoding::AsDer, signature::Ed25519KeyPair};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use proto::Role;
use serde_json::json;

use crate::clock;

/// Signs tokens with a key of its own.
pub struct Issuer {
    key: EncodingKey,
    key_id: String,
    key_set: String,
}

/// Why a file is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    #[error("it is no Ed25519 key in PKCS#8 and PEM: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
    #[error("no key could be made")]
    Random(#[from] aws_lc_rs::error::Unspecified),
}

impl Issuer {
    /// A new signing key, as PKCS#8 in PEM.
    pub fn new_key() -> Result<String, IssuerError> {
        let pair = Ed25519KeyPair::generate()?;
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der()?;
        Ok(pem::encode(&pem::Pem::new("PRIVATE KEY", der.as_ref().to_vec())))
    }

    /// The issuer that signs with this key.
    pub fn from_pem(pem: &str) -> Result<Self, IssuerError> {
        let key = EncodingKey::from_ed_pem(pem.as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA)?;
        // The key's own hash, so that two keys never have one id (RFC 7638).
        let key_id = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let key_set = json!({"keys": [jwk]}).to_string();
        Ok(Self { key, key_id, key_set })
    }

    /// The public half, as the JWK set that services read.
    pub fn key_set(&self) -> &str {
        &self.key_set
    }

    /// A token for `subject` with these roles that ends after `ttl`.
    pub fn token(
        &self,
        subject: &str,
        roles: &[Role],
        ttl: Duration,
    ) -> Result<String, IssuerError> {
        let now = clock::now().unix_timestamp();
        let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        let claims = json!({"sub": subject, "roles": roles, "aud": "shop",
            "iat": now, "exp": now.saturating_add_unsigned(ttl.as_secs())});
        self.sign(&claims)
    }

    /// A token with any claims.
    pub fn sign(&self, claims: &serde_json::Value) -> Result<String, IssuerError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key_id.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}
