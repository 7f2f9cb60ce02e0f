//! How a Kafka key is written as text: bounded in length, and fit for an index, a URL path and a
//! person, whatever bytes the key has.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Longest key that is written in full; a longer one is written as its hash. An index row has room
/// for 2,700 bytes, a path for less.
const WRITTEN_BYTES_MAX: usize = 256;

/// The text form of a Kafka key: one of at most 64 letters, digits and `._:-` as it is, anything
/// else as `base64url:…`, above 256 bytes as `sha256:…`, and a missing one as `none`.
pub fn key_text(key: Option<&[u8]>) -> String {
    let Some(key) = key else { return "none".to_owned() };
    if key.len() > WRITTEN_BYTES_MAX {
        return format!("sha256:{:x}", Sha256::digest(key));
    }
    let ours = (1..=64).contains(&key.len())
        && key.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte))
        && key != b"none"
        && !key.starts_with(b"base64url:")
        && !key.starts_with(b"sha256:");
    match std::str::from_utf8(key) {
        Ok(text) if ours => text.to_owned(),
        _ => format!("base64url:{}", BASE64_URL_SAFE_NO_PAD.encode(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_so_that_none_is_taken_for_another() {
        assert_eq!(key_text(None), "none");
        assert_eq!(key_text(Some(b"none")), "base64url:bm9uZQ");
        assert_eq!(key_text(Some(b"SKU-1:a.b_c")), "SKU-1:a.b_c");
        assert_eq!(key_text(Some(b"")), "base64url:");
        assert_eq!(key_text(Some(&[0xff])), "base64url:_w");
        assert_eq!(key_text(Some(b"base64url:x")), "base64url:YmFzZTY0dXJsOng");
        assert_eq!(key_text(Some(b"sha256:x")), "base64url:c2hhMjU2Ong");
    }

    #[test]
    fn a_key_of_any_length_has_a_name_of_bounded_length() {
        let (longest, longer) = (key_text(Some(&[b'k'; 256])), key_text(Some(&[b'k'; 257])));
        assert!(longest.starts_with("base64url:") && longest.len() < 400, "{longest}");
        assert!(longer.starts_with("sha256:") && longer.len() == 71, "{longer}");
        assert_ne!(longer, key_text(Some(&[b'l'; 257])));
        assert_eq!(key_text(Some(&vec![0; 1_000_000])).len(), 71);
    }
}
