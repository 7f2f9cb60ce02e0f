//! From a token to a caller.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    Caller,
    claims::{ClaimFault, ClaimRules, is_over},
    key_source::KeySource,
    keys::{Key, KeySet},
};
use crate::clock;

/// Verified tokens that are remembered, so that their signatures are not computed again.
const REMEMBERED: usize = 10_000;
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Verifies tokens. A token that was verified is remembered by its hash until it ends, or the keys
/// change.
pub(super) struct Verifier {
    pub(super) source: Arc<KeySource>,
    rules: ClaimRules,
    verified: Cache<[u8; 32], VerifiedToken>,
}

#[derive(Clone)]
struct VerifiedToken {
    caller: Caller,
    generation: u64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFault {
    #[error("what Authorization holds is no JSON Web Token")]
    Malformed,
    #[error("the token's header asks for what is not known here")]
    Header,
    #[error("the token names no key (kid)")]
    NoKeyId,
    #[error("the token names a key (kid) that its issuer does not have")]
    UnknownKey,
    #[error("the token's algorithm (alg) is not that of its key")]
    Algorithm,
    #[error("the token's signature does not match")]
    Signature,
    #[error(transparent)]
    Claim(#[from] ClaimFault),
    #[error("the keys of tokens are not known at present")]
    NoKeys,
}

/// The header of a token, as far as it is looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    // A key, or where to get one, is never taken from the token; and what is critical has to be
    // understood (RFC 7515 §4.1).
    jwk: Option<Value>,
    jku: Option<Value>,
    x5u: Option<Value>,
    crit: Option<Value>,
}

impl Verifier {
    pub(super) fn new(source: Arc<KeySource>, rules: ClaimRules) -> Self {
        Self { source, rules, verified: Cache::new(REMEMBERED) }
    }

    /// The caller whom `token` names.
    pub(super) async fn verify(&self, token: &str) -> Result<Caller, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed);
        }
        let now = now();
        let hash: [u8; 32] = Sha256::digest(token).into();
        let (keys, generation) = match self.source.current() {
            Some(current) => current,
            None => self.refreshed().await?,
        };
        if let Some(known) = self.verified.get(&hash).filter(|it| it.generation == generation) {
            if is_over(known.caller.expires_at(), now) {
                self.verified.remove(&hash);
                return Err(ClaimFault::Expired.into());
            }
            return Ok(known.caller);
        }
        let header = header(token)?;
        let id = header.kid.as_deref().ok_or(TokenFault::NoKeyId)?;
        let (keys, generation) = match keys.get(id) {
            Some(_) => (keys, generation),
            None => self.refreshed().await?,
        };
        let key = keys.get(id).ok_or(TokenFault::UnknownKey)?;
        let caller = self.read(token, &header, key, now)?;
        self.verified.insert(hash, VerifiedToken { caller: caller.clone(), generation });
        Ok(caller)
    }

    async fn refreshed(&self) -> Result<(Arc<KeySet>, u64), TokenFault> {
        self.source.refresh_for_unknown().await;
        self.source.current().ok_or(TokenFault::NoKeys)
    }

    fn read(
        &self,
        token: &str,
        header: &Header,
        key: &Key,
        now: u64,
    ) -> Result<Caller, TokenFault> {
        if header.alg != name(key.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        let verified =
            jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &signature_of(key));
        let claims = verified.map_err(|_| TokenFault::Signature)?.claims;
        Ok(self.rules.caller(&claims, now)?)
    }
}

/// Verifies the signature alone: the claims are for [`ClaimRules`].
fn signature_of(key: &Key) -> Validation {
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::EdDSA => "EdDSA",
        Algorithm::ES256 => "ES256",
        Algorithm::RS256 => "RS256",
        // No key has another one: see `keys.rs`.
        _ => "none of ours",
    }
}

fn header(token: &str) -> Result<Header, TokenFault> {
    let (encoded, _) = token.split_once('.').ok_or(TokenFault::Malformed)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenFault::Malformed)?;
    let header: Header = serde_json::from_slice(&bytes).map_err(|_| TokenFault::Malformed)?;
    let foreign = [&header.jwk, &header.jku, &header.x5u, &header.crit];
    if foreign.into_iter().any(Option::is_some) { Err(TokenFault::Header) } else { Ok(header) }
}

/// Seconds since 1970.
fn now() -> u64 {
    u64::try_from(clock::now().unix_timestamp()).unwrap_or_default()
}
