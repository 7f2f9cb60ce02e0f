//! What `?q=` finds: a product whose SKU or name holds the text, whatever its case and however its
//! letters are composed.

use unicode_normalization::UnicodeNormalization;

/// A text by which products are searched.
#[derive(Clone, Debug)]
pub struct Search(String);

impl Search {
    /// A search for `text`, in any case.
    pub fn new(text: &str) -> Self {
        Self(folded(text))
    }

    /// Whether a product's SKU or name has it.
    pub fn finds(&self, sku: &str, name: &str) -> bool {
        [sku, name].iter().any(|text| folded(text).contains(&self.0))
    }
}

/// A form that is the same for texts that differ only in case or in compatible letters. The text
/// goes to upper case and back, since some letters have a partner in one direction only: `ß` is
/// `SS`, `ẞ` is `ß`.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let letters = text.nfkc().flat_map(char::to_lowercase);
    letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_make_no_difference() {
        for (text, name) in [
            ("STRASSE", "Straße 7"),
            ("straße", "HAUPTSTRASSE"),
            ("ẞ", "strasse"),
            ("caf\u{e9}", "Cafe\u{301} Mug"),
            ("cafe\u{301}", "CAF\u{c9}"),
            ("ΟΔΌΣ", "οδός"),
            ("office", "o\u{fb03}ce"),
            ("MUG 2", "ｍｕｇ ²"),
            ("BLUE", "A blue mug"),
            ("", "anything"),
        ] {
            assert!(Search::new(text).finds("sku", name), "{text} in {name}");
        }
        assert!(Search::new("MUG-1").finds("mug-1", "a cup"));
        for (text, name) in [("cafe", "Caf\u{e9}"), ("pot", "a mug")] {
            assert!(!Search::new(text).finds("sku", name), "{text} in {name}");
        }
    }
}
