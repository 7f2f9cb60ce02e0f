//! Payment details that pass through every service and that only payment-svc can open.
//!
//! The order's id is authenticated with them, so details that are copied into another order do not
//! open.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use rand::RngCore;
use sha2::{Digest, Sha256};

use crate::{OrderId, orders::Sealed};

/// A key of 32 bytes, and its name, by which sealed details say which key they need.
#[derive(Clone)]
pub struct SealKey {
    id: String,
    cipher: ChaCha20Poly1305,
}

/// The text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a seal key is 32 bytes in base64")]
pub struct SealKeyError;

/// Why details could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    #[error("sealed with key {0}, which is not ours")]
    OtherKey(String),
    #[error("damaged, or sealed for another order")]
    Forged,
}

impl SealKey {
    /// Parses the text of a key file: 32 bytes in base64; white space around them is ignored.
    pub fn parse(text: &str) -> Result<Self, SealKeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SealKeyError)?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| SealKeyError)?;
        // The name is derived from the key, so two keys cannot have the same one by mistake.
        let digest = Sha256::new().chain_update(b"shop seal key\0").chain_update(key).finalize();
        let id = format!("{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]);
        Ok(Self { id, cipher: ChaCha20Poly1305::new(Key::from_slice(&key)) })
    }

    /// The key's name, which is public.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `plain` for `order`. Nonces are random, so a key must be replaced before 2^32 uses.
    pub fn seal(&self, order: OrderId, plain: &[u8]) -> Sealed {
        let mut nonce = [0; 12];
        rand::rng().fill_bytes(&mut nonce);
        let ciphertext = self
            .cipher
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: plain, aad: &order.key() })
            .expect("payment details are far shorter than 256 GiB");
        Sealed { key_id: self.id.clone(), nonce: nonce.to_vec(), ciphertext }
    }

    /// Opens details that were sealed for `order` with this key.
    pub fn open(&self, order: OrderId, sealed: &Sealed) -> Result<Vec<u8>, NotOpened> {
        if sealed.key_id != self.id {
            return Err(NotOpened::OtherKey(sealed.key_id.clone()));
        }
        // A nonce of another length would panic in `from_slice`.
        let nonce: [u8; 12] = sealed.nonce[..].try_into().map_err(|_| NotOpened::Forged)?;
        self.cipher
            .decrypt(
                Nonce::from_slice(&nonce),
                Payload { msg: &sealed.ciphertext, aad: &order.key() },
            )
            .map_err(|_| NotOpened::Forged)
    }
}

/// The seal keys that a process has: the first one seals, and each of them opens. So a new key is
/// put in front of the old one, which stays until nothing sealed with it is left.
#[derive(Clone, Debug)]
pub struct SealKeyRing {
    first: SealKey,
    others: Vec<SealKey>,
}

impl SealKeyRing {
    /// Parses keys with white space between them.
    pub fn parse(text: &str) -> Result<Self, SealKeyError> {
        let mut keys = text.split_whitespace().map(SealKey::parse);
        let first = keys.next().unwrap_or(Err(SealKeyError))?;
        Ok(Self { first, others: keys.collect::<Result<_, _>>()? })
    }

    /// Seals `plain` for `order` with the first key.
    pub fn seal(&self, order: OrderId, plain: &[u8]) -> Sealed {
        self.first.seal(order, plain)
    }

    /// Opens details that were sealed for `order` with one of the keys.
    pub fn open(&self, order: OrderId, sealed: &Sealed) -> Result<Vec<u8>, NotOpened> {
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        let key = keys.find(|key| key.id == sealed.key_id);
        key.ok_or_else(|| NotOpened::OtherKey(sealed.key_id.clone()))?.open(order, sealed)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn order(number: u128) -> OrderId {
        OrderId::new(Uuid::from_u128(number))
    }

    #[test]
    fn what_is_sealed_for_an_order_opens_for_it() {
        let key = SealKey::parse(&format!("{KEY}\n")).unwrap();

        let sealed = key.seal(order(1), b"tok_visa");

        assert_eq!(key.open(order(1), &sealed).unwrap(), b"tok_visa");
        assert_eq!(sealed.key_id, key.id());
        assert_eq!(sealed.nonce.len(), 12);
        assert!(!sealed.ciphertext.windows(4).any(|part| part == b"visa"));
    }

    #[test]
    fn the_same_details_are_sealed_differently_each_time() {
        let key = SealKey::parse(KEY).unwrap();

        assert_ne!(key.seal(order(1), b"tok_visa"), key.seal(order(1), b"tok_visa"));
    }

    #[test]
    fn another_order_or_changed_bytes_do_not_open() {
        let key = SealKey::parse(KEY).unwrap();
        let sealed = key.seal(order(1), b"tok_visa");

        let mut changed = sealed.clone();
        changed.ciphertext[0] ^= 1;
        let short = Sealed { nonce: vec![0; 11], ..sealed.clone() };

        assert_eq!(key.open(order(2), &sealed), Err(NotOpened::Forged));
        assert_eq!(key.open(order(1), &changed), Err(NotOpened::Forged));
        assert_eq!(key.open(order(1), &short), Err(NotOpened::Forged));
    }

    #[test]
    fn another_key_is_named() {
        let key = SealKey::parse(KEY).unwrap();
        let other = SealKey::parse(&STANDARD.encode([7; 32])).unwrap();

        let sealed = other.seal(order(1), b"tok_visa");

        assert_eq!(key.open(order(1), &sealed), Err(NotOpened::OtherKey(other.id().to_owned())));
    }

    #[test]
    fn the_first_key_of_a_ring_seals_and_every_key_opens() {
        let other = STANDARD.encode([7; 32]);
        let old = SealKeyRing::parse(&format!("{KEY}\n")).unwrap();
        let rotated = SealKeyRing::parse(&format!("{other}\n{KEY}\n")).unwrap();

        let (before, after) = (old.seal(order(1), b"a"), rotated.seal(order(1), b"b"));

        assert_eq!(rotated.open(order(1), &before).unwrap(), b"a");
        assert_eq!(rotated.open(order(1), &after).unwrap(), b"b");
        assert_eq!(after.key_id, SealKey::parse(&other).unwrap().id());
        assert_eq!(old.open(order(1), &after), Err(NotOpened::OtherKey(after.key_id.clone())));
        for wrong in ["", " \n", "x", &format!("{KEY} x")] {
            assert_eq!(SealKeyRing::parse(wrong).unwrap_err(), SealKeyError);
        }
        assert!(!format!("{rotated:?}").contains(KEY));
    }

    #[test]
    fn a_key_has_32_bytes_and_does_not_print() {
        for text in ["", "x", "AAAA", &STANDARD.encode([7; 33])] {
            assert_eq!(SealKey::parse(text).unwrap_err(), SealKeyError);
        }
        let key = SealKey::parse(KEY).unwrap();
        assert_eq!(format!("{key:?}"), format!("SealKey({})", key.id()));
    }
}
