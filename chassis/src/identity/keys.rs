//! The public keys of an issuer, as a JWK set (RFC 7517) lists them.

use std::collections::HashMap;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// More keys than any issuer has: a larger set is not read on.
const KEYS_MAX: usize = 100;

/// One key, and the one algorithm that it is used with.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys by their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet {
    by_id: HashMap<String, Key>,
    /// The set as it came: by it a change is seen.
    pub(super) text: String,
    /// The keys that are used, with their public members alone, for who asks this process.
    pub(super) public: String,
}

/// Why a document is no key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is no JWK set: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("it holds no key with an id for EdDSA, ES256 or RS256")]
    Empty,
}

#[derive(Deserialize)]
struct Document {
    // Each by itself: a key of a kind that nobody knows here must not spoil the others.
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a key set. Keys that are not for signatures, have no id, or are for an algorithm that
    /// is not on the list are left out.
    pub(super) fn parse(text: &str) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_str(text)?;
        let keys = document.keys.into_iter().take(KEYS_MAX).filter_map(read);
        let (mut by_id, mut public) = (HashMap::new(), Vec::new());
        for (jwk, id, key) in keys {
            by_id.insert(id, key);
            public.push(jwk);
        }
        if by_id.is_empty() {
            return Err(KeySetError::Empty);
        }
        let public = serde_json::json!({"keys": public}).to_string();
        Ok(Self { by_id, text: text.to_owned(), public })
    }

    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.by_id.get(id)
    }
}

fn read(value: Value) -> Option<(Jwk, String, Key)> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let is_for_signatures =
        matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let id = jwk.common.key_id.clone().filter(|_| is_for_signatures)?;
    // The algorithm follows from the key, never from the token that names the key (RFC 8725 §3.1).
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|said| said != algorithm.into()) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((jwk, id, Key { algorithm, key }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Key sets in the form in which Keycloak and Auth0 serve theirs: keys for encryption among
    /// them, certificates, thumbprints.
    const KEYCLOAK: &str = include_str!("../../tests/keys/keycloak.json");
    const AUTH0: &str = include_str!("../../tests/keys/auth0.json");

    #[test]
    fn key_sets_of_keycloaks_and_auth0s_form_are_read() {
        let keycloak = KeySet::parse(KEYCLOAK).unwrap();
        assert_eq!(keycloak.by_id.len(), 2, "the third is for encryption");
        let algorithms: Vec<_> = keycloak.by_id.values().map(|key| key.algorithm).collect();
        assert!(algorithms.contains(&Algorithm::RS256) && algorithms.contains(&Algorithm::ES256));
        assert_eq!(KeySet::parse(AUTH0).unwrap().by_id.len(), 2);
    }

    #[test]
    fn keys_that_must_not_verify_are_left_out() {
        let ed = json!({"kty":"OKP","crv":"Ed25519","kid":"good","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let bad = [
            json!({"kty":"oct","kid":"hmac","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}),
            json!({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            json!({"kty":"OKP","crv":"Ed25519","kid":"enc","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            json!({"kty":"OKP","crv":"Ed25519","kid":"hs","alg":"HS256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            json!({"kty":"PQC","kid":"future","p":1}),
            json!("nonsense"),
        ];
        for key in bad {
            assert!(KeySet::parse(&json!({"keys":[key]}).to_string()).is_err(), "{key}");
            let set = KeySet::parse(&json!({"keys":[key, ed]}).to_string()).unwrap();
            assert_eq!(set.by_id.keys().collect::<Vec<_>>(), ["good"]);
        }
        // Whoever keeps the private half in the file does not publish it.
        let mut private = ed.clone();
        private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let set = KeySet::parse(&json!({"keys":[private]}).to_string()).unwrap();
        let public: Value = serde_json::from_str(&set.public).unwrap();
        assert_eq!((&public["keys"][0]["kid"], public["keys"][0].get("d")), (&json!("good"), None));
        assert!(KeySet::parse("{}").is_err());
        assert!(KeySet::parse("<html>").is_err());
    }
}
