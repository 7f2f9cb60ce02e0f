//! Detects card numbers, so that none enters the system, not even in a note that a customer writes.
//!
//! What counts has the prefix and the length of an issuer and a valid check digit; without the
//! prefix a tenth of all parcel numbers would count, too.

/// Digits of a card number at most.
const DIGITS_MAX: usize = 19;
/// Characters between two groups of one number, at most.
const SEPARATORS_MAX: usize = 3;

/// Prefixes of card numbers, each as a range of its first digits, and the lengths that go with it
/// (ISO/IEC 7812-1; the ranges as the schemes publish them).
const ISSUERS: [(u32, u32, &[usize]); 13] = [
    (4, 4, &[13, 16, 19]),
    (51, 55, &[16]),
    (2221, 2720, &[16]),
    (2200, 2204, &[16, 17, 18, 19]),
    (34, 34, &[15]),
    (37, 37, &[15]),
    (300, 305, &[14, 16, 17, 18, 19]),
    (309, 309, &[14, 16, 17, 18, 19]),
    (36, 36, &[14, 16, 17, 18, 19]),
    (38, 39, &[14, 16, 17, 18, 19]),
    (3528, 3589, &[16, 17, 18, 19]),
    (56, 69, &[16, 17, 18, 19]),
    (50, 50, &[16, 17, 18, 19]),
];

/// Whether `text` contains what may be a card number, perhaps in groups, and perhaps with other
/// digits beside it: an expiry, a check number. Digits glued to letters are no number: those of an
/// id, say.
pub fn is_in(text: &str) -> bool {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let (mut gap, mut follows_letter, mut is_glued) = (usize::MAX, false, false);
    // The space ends the last group.
    for c in text.chars().chain([' ']) {
        if let Some(digit) = c.to_digit(10) {
            if gap > SEPARATORS_MAX {
                groups.clear();
            }
            match groups.last_mut() {
                Some(group) if gap == 0 => group.push(digit),
                _ => {
                    groups.push(vec![digit]);
                    is_glued = follows_letter;
                }
            }
            gap = 0;
        } else {
            if gap == 0 && (is_glued || c.is_alphabetic()) {
                groups.clear();
            } else if gap == 0 && ends_with_number(&groups) {
                return true;
            }
            let separates = c.is_whitespace() || c.is_ascii_punctuation();
            gap = if separates { gap.saturating_add(1) } else { usize::MAX };
        }
        follows_letter = c.is_alphabetic();
    }
    false
}

/// Whether the last groups, from some group on, are a card number.
fn ends_with_number(groups: &[Vec<u32>]) -> bool {
    let mut digits: Vec<u32> = Vec::new();
    for group in groups.iter().rev() {
        digits.splice(0..0, group.iter().copied());
        if digits.len() > DIGITS_MAX {
            return false;
        }
        if is_number(&digits) {
            return true;
        }
    }
    false
}

fn is_number(digits: &[u32]) -> bool {
    ISSUERS.iter().any(|(from, to, lengths)| {
        let places = usize::try_from(from.ilog10()).map_or(0, |places| places + 1);
        let prefix = digits.iter().take(places).fold(0, |prefix, digit| prefix * 10 + digit);
        (*from..=*to).contains(&prefix) && lengths.contains(&digits.len())
    }) && luhn(digits).is_multiple_of(10)
}

/// The Luhn sum of ISO/IEC 7812-1, annex B: a multiple of ten for a card number.
fn luhn(digits: &[u32]) -> u32 {
    let weighted = digits.iter().rev().enumerate().map(|(place, digit)| {
        let doubled = digit.saturating_mul(2);
        match (place.is_multiple_of(2), doubled) {
            (true, _) => *digit,
            (false, 0..=9) => doubled,
            (false, _) => doubled.saturating_sub(9),
        }
    });
    weighted.fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use uuid::{NoContext, Timestamp, Uuid};

    use super::*;

    #[test]
    fn a_number_is_found_however_it_is_written() {
        for text in [
            "4111111111111111",
            "my card is 4111 1111 1111 1111, thanks",
            "4242-4242-4242-4242",
            "378282246310005",
            "3782 822463 10005",
            "4000000000000069",
            "5500 0055-5555 5559",
            "5555555555554444 12/29",
            "5555555555554444 123",
            "12/29 5555555555554444",
            "2 5555555555554444",
            "5555  5555 5555 4444",
            "5555 - 5555 - 5555 - 4444",
            "5555_5555_5555_4444",
            "(5555.5555.5555.4444)",
            "номер 2200000000000004",
            "6011111111111117",
            "30569309025904",
        ] {
            assert!(is_in(text), "{text}");
        }
    }

    #[test]
    fn other_digits_are_none() {
        for text in [
            "",
            "4111111111111112",
            "123456789012",
            "leave at door 12",
            "tok_visa",
            "+49 30 1234567",
            "x4111111111111111",
            "4111111111111111x",
            "41111111111111114111",
            "4111 1111 or 1111 1111",
            "0000000000000000",
            "01234567890128",
        ] {
            assert!(!is_in(text), "{text}");
        }
    }

    #[test]
    fn ids_of_this_system_are_none() {
        for n in 0..100_000_u64 {
            let at = Timestamp::from_unix(NoContext, 1_795_000_000 + n * 977, 0);
            let id = Uuid::new_v7(at);
            assert!(!is_in(&id.to_string()), "{id}");
        }
    }
}
