//! Detects card numbers, so that none enters the system, not even in a note that a customer writes.

/// Number of digits in a card number.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether `text` contains what may be a card number: 13 to 19 digits, perhaps in groups, with a
/// valid check digit.
pub fn is_in(text: &str) -> bool {
    let mut digits = Vec::new();
    let mut separated = false;
    for c in text.chars() {
        match c.to_digit(10) {
            Some(digit) => {
                digits.push(digit);
                separated = false;
            }
            // Groups are separated by one space, dash or dot at most.
            None if matches!(c, ' ' | '-' | '.') && !separated => separated = true,
            None => {
                if is_checked(&digits) {
                    return true;
                }
                digits.clear();
                separated = false;
            }
        }
    }
    is_checked(&digits)
}

fn is_checked(digits: &[u32]) -> bool {
    DIGITS.contains(&digits.len()) && luhn(digits).is_multiple_of(10)
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
    use super::*;

    #[test]
    fn a_number_is_found_however_it_is_grouped() {
        for text in [
            "4111111111111111",
            "my card is 4111 1111 1111 1111, thanks",
            "4242-4242-4242-4242",
            "378282246310005",
            "4000000000000069",
            "5500 0055-5555 5559",
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
        ] {
            assert!(!is_in(text), "{text}");
        }
    }
}
