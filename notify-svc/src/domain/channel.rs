//! The ways to reach people, and the languages in which they are told.

use proto::words;

words! {
    /// A way to reach somebody; one is chosen for a customer in this order.
    pub enum Channel {
        Email = "email",
        Sms = "sms",
        Push = "push",
    }
}

words! {
    /// A language in which templates are written, by its tag (RFC 5646).
    #[derive(Default)]
    pub enum Language {
        #[default]
        English = "en",
        Russian = "ru",
    }
}

impl Language {
    /// The language that fits a tag such as `ru` or `ru-RU`; English for those in which
    /// nothing is written.
    pub fn fitting(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        let fits = |language: &Self| language.as_str().eq_ignore_ascii_case(primary);
        Self::ALL.into_iter().find(fits).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_leads_to_a_language_that_is_written() {
        for (tag, language) in [
            ("ru", Language::Russian),
            ("RU-ru", Language::Russian),
            ("en-GB", Language::English),
            ("rus", Language::English),
            ("de", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::fitting(tag), language, "{tag}");
        }
    }
}
