//! Paths as they are compared: a character and its percent-encoding name the same thing.

use std::borrow::Cow;

/// Decodes `path`, except for what would change its meaning: a slash and a percent sign within a
/// name stay encoded. `None` if it holds bytes that are not UTF-8, or NUL: no resource has such a
/// name.
pub fn decoded_path(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let encoded = if byte == b'%' { hexadecimal(tail) } else { None };
        rest = if encoded.is_some() { &tail[2..] } else { tail };
        match encoded.unwrap_or(byte) {
            0 => return None,
            b'/' if encoded.is_some() => decoded.extend_from_slice(b"%2F"),
            b'%' => decoded.extend_from_slice(b"%25"),
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The byte that the first two hexadecimal digits stand for.
fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|&digit| char::from(digit).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_and_its_encoding_are_the_same_path() {
        let same = |path: &str| decoded_path(path).unwrap().into_owned();

        assert_eq!(same("/v1/accounts/%62o%62/deposit"), "/v1/accounts/bob/deposit");
        assert_eq!(same("/v1/templates/%C3%A9"), same("/v1/templates/%c3%a9"));
        assert_eq!(same("/a%2fb"), "/a%2Fb", "a slash within a name parts nothing");
        assert_eq!(same("/a%25zz"), same("/a%zz"), "what is not encoded stands for itself");
        assert_ne!(same("/a%2562"), same("/a%62"), "decoded once, not twice");
    }

    #[test]
    fn what_no_text_can_be_names_nothing() {
        for path in ["/%ff", "/%c3%28", "/%ed%a0%80", "/%f4%90%80%80", "/a%00b"] {
            assert_eq!(decoded_path(path), None, "{path}");
        }
    }
}
