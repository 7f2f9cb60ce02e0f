//! The ways to reach people, and the languages in which they are told.

/// A way to reach somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Email,
    Sms,
    Push,
}

impl Channel {
    /// Every channel, in the order in which one is chosen for a customer.
    pub const ALL: [Self; 3] = [Self::Email, Self::Sms, Self::Push];

    /// The channel's name: `email`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
        }
    }

    /// The channel of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

/// A language in which templates are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    #[default]
    English,
    Russian,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::Russian];

    /// The language's tag: `en`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
        }
    }

    /// The language that fits a tag such as `ru` or `ru-RU` (RFC 5646); English for those in which
    /// nothing is written.
    pub fn fitting(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        let fits = |language: &Self| language.tag().eq_ignore_ascii_case(primary);
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
