//! The bodies of requests, read into what the domain knows.

use chassis::{
    Code,
    body::{Fields, Format, ParseResult, invalid_value},
};
use lettre::Address;
use proto::{OrderId, limits::TEXT_CHARS_MAX};

use crate::{
    domain::{Channel, Contact, Language, Template},
    input::Letter,
    templates::TemplateFields,
};

/// Characters of a language tag (RFC 5646 recommends room for 35).
const LANGUAGE_MAX: usize = 35;
/// Characters of a text that staff write.
const WORDS_MAX: usize = 10_000;
/// Digits of a telephone number: E.164 has at most 15, and national short numbers have few.
const DIGITS: std::ops::RangeInclusive<usize> = 3..=15;

/// Checked further by [`email`].
const EMAIL: Format = Format::Named("email");
const PHONE: Format = Format::Pattern(r"^\+?[ .()/-]*([0-9][ .()/-]*){3,15}$");
const PUSH_TOKEN: Format = Format::Pattern(r"^\S{1,200}$");

/// `{"email","phone","push_token","language"}`, each of which may be absent.
pub(super) fn contact(fields: &mut Fields<'_>) -> Contact {
    // What has a fault is noted by its getter, and so never becomes a contact.
    let email = fields.optional_parsed_as("email", EMAIL, email);
    let phone = fields.optional_parsed_as("phone", PHONE, phone);
    let push_token = fields.optional_parsed_as("push_token", PUSH_TOKEN, push_token);
    let language = fields.optional_words("language", LANGUAGE_MAX);
    let language = language.filter(|it| !it.is_empty()).map(ToOwned::to_owned);
    Contact { email, phone, push_token, language }
}

/// `{"to","template","data","order_id"}` or `{"to","subject","text","order_id"}`.
pub(super) fn letter(channel: Channel, fields: &mut Fields<'_>) -> Option<Letter> {
    let to = match channel {
        Channel::Email => fields.parsed_as("to", EMAIL, email),
        Channel::Sms => fields.parsed_as("to", PHONE, phone),
        Channel::Push => fields.parsed_as("to", PUSH_TOKEN, push_token),
    };
    let order =
        fields.optional_parsed("order_id", |text| OrderId::parse(text).map_err(invalid_value));
    let written = ["subject", "text"].into_iter().find(|name| fields.has(name));
    let content = if !fields.has("template") {
        fields.absent("template");
        fields.absent("data");
        words(channel, fields).map(|fields| (None, fields))
    } else if let Some(name) = written {
        let wrong = "a notification has either a template or words of its own";
        fields.refuse(name, Code::InvalidValue, wrong);
        // Asked for, so that they are not unknown besides.
        let known = (fields.json("subject"), fields.json("text"), fields.json("data"));
        fields.json("template").zip(known.0).and(None)
    } else {
        let template = fields.parsed("template", |name| {
            let unknown = || (Code::UnknownTemplate, format!("there is no template {name}").into());
            Template::parse(name).ok_or_else(unknown)
        });
        let data = data(fields);
        fields.absent("subject");
        fields.absent("text");
        Some((Some(template?), data?))
    };
    let (template, content) = content?;
    Some(Letter { channel, to: to?, template, fields: content, order })
}

/// What staff write themselves. An SMS and a push need no subject.
fn words(channel: Channel, fields: &mut Fields<'_>) -> Option<TemplateFields> {
    let subject = if channel == Channel::Email {
        fields.words("subject", TEXT_CHARS_MAX)
    } else {
        let is_absent = !fields.has("subject");
        let subject = fields.optional_words("subject", TEXT_CHARS_MAX);
        if is_absent { Some("") } else { subject }
    };
    if subject.is_some_and(|text| text.contains(char::is_control)) {
        fields.refuse("subject", Code::InvalidValue, "has to be one line");
    }
    let text = fields.words("text", WORDS_MAX).map(ToOwned::to_owned);
    let words = [("subject".to_owned(), subject?.to_owned()), ("text".to_owned(), text?)];
    Some(TemplateFields::from(words))
}

/// The fields of a template: text each.
fn data(fields: &mut Fields<'_>) -> Option<TemplateFields> {
    fields.texts("data", TEXT_CHARS_MAX).map(|data| data.into_iter().collect())
}

/// `{"data":{…},"language":"ru"}`, each of which may be absent.
pub(super) fn preview(fields: &mut Fields<'_>) -> Option<(TemplateFields, Language)> {
    let language = fields.optional_text("language", LANGUAGE_MAX).map(Language::fitting);
    Some((data(fields)?, language.unwrap_or_default()))
}

/// Checks an address as far as its writing goes. Whether it exists, only a mail can tell.
fn email(text: &str) -> ParseResult<String> {
    // Legal within quotes, but it could forge a header.
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "<>,;:\"()[]\\".contains(c);
    let address = text.parse::<Address>().ok().filter(|_| !text.contains(is_odd));
    address.map(|_| text.to_owned()).ok_or((Code::InvalidValue, "is no e-mail address".into()))
}

/// A telephone number, as people write it.
fn phone(text: &str) -> ParseResult<String> {
    let number = text.strip_prefix('+').unwrap_or(text);
    let digits = number.chars().filter(char::is_ascii_digit).count();
    let is_number = number.chars().all(|c| c.is_ascii_digit() || " -.()/".contains(c));
    let wrong = (Code::InvalidValue, "is no telephone number".into());
    if is_number && DIGITS.contains(&digits) { Ok(text.to_owned()) } else { Err(wrong) }
}

/// A device's token: whatever its provider made, in one piece.
fn push_token(text: &str) -> ParseResult<String> {
    let wrong = (Code::InvalidValue, "has to be in one piece, without white space".into());
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    if text.contains(is_odd) { Err(wrong) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_header_is_no_address() {
        for address in ["a@b.example", "müller+x@straße.example"] {
            assert!(email(address).is_ok(), "{address}");
        }
        for address in ["", "a", "@b", "a@", "a@b@c", "a@b\r\nBcc: c@d", "a b@c", "<a@b>"] {
            assert!(email(address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_number_has_digits_and_a_token_no_gap() {
        for number in ["+49 (30) 123-456", "112", "+15550100001", "030/1234"] {
            assert!(phone(number).is_ok(), "{number}");
        }
        for number in
            ["", "+", "11", "12345\n", "call me", "a@b.example", "1+23", "1234567890123456"]
        {
            assert!(phone(number).is_err(), "{number}");
        }
        assert!(push_token("fcm:abc-123").is_ok());
        assert!(push_token("abc\r\ndef").is_err());
    }
}
