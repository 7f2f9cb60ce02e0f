//! Enums whose values are words.

use proto::words;

words! {
    /// As any other.
    enum Channel {
        Email = "email",
        Sms = "sms",
    }
}

#[test]
fn every_word_is_read_as_the_value_that_wrote_it() {
    assert_eq!(Channel::ALL.map(Channel::as_str), ["email", "sms"]);
    for channel in Channel::ALL {
        assert_eq!(Channel::parse(channel.as_str()), Some(channel));
    }
    assert_eq!(Channel::parse("Email"), None);
}
