//! Contacts of customers.

use crate::domain::channel::{Channel, Language};

/// Where a customer can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub push_token: Option<String>,
    pub language: Option<String>,
}

impl Contact {
    /// How the customer is told about an order: by mail if there is an address, else by SMS, else
    /// by push.
    pub fn reach(&self) -> Option<(Channel, &str)> {
        let address = |channel| match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms => self.phone.as_deref(),
            Channel::Push => self.push_token.as_deref(),
        };
        Channel::ALL.into_iter().find_map(|channel| Some((channel, address(channel)?)))
    }

    /// All addresses, of any channel.
    pub fn addresses(&self) -> Vec<&str> {
        let all = [&self.email, &self.phone, &self.push_token];
        all.into_iter().filter_map(Option::as_deref).collect()
    }

    /// The language in which the customer is told.
    pub fn language(&self) -> Language {
        Language::fitting(self.language.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_goes_before_an_sms_and_an_sms_before_a_push() {
        let some = |address: &str| Some(address.to_owned());
        let mut contact = Contact {
            email: some("a@b.example"),
            phone: some("+1"),
            push_token: some("t"),
            language: None,
        };
        assert_eq!(contact.reach(), Some((Channel::Email, "a@b.example")));
        contact.email = None;
        assert_eq!(contact.reach(), Some((Channel::Sms, "+1")));
        contact.phone = None;
        assert_eq!(contact.reach(), Some((Channel::Push, "t")));
        contact.push_token = None;
        assert_eq!(contact.reach(), None);
    }
}
