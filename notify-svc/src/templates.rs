//! The texts that people get, in their language, filled with the fields of a fact.
//!
//! A template is two files for each language: `<name>.txt` has the blocks `subject` (one line),
//! `brief` (for a small screen) and `text`; `<name>.html` is the same text as a page. Fields are
//! escaped in pages alone: plain text has no characters that mean something else.

use std::collections::BTreeMap;

use minijinja::{Environment, Value, syntax::SyntaxConfig};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{Channel, Language, Template};

/// The fields that a template is filled with, by name.
pub type TemplateFields = BTreeMap<String, String>;

/// A finished text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Text {
    /// One line.
    pub subject: String,
    pub text: String,
    /// The same text as a page; `None` if it was written without one.
    pub html: Option<String>,
}

/// The templates, read once.
#[derive(Clone, Debug)]
pub struct Templates(Environment<'static>);

macro_rules! sources {
    ($($language:literal: $($name:literal)*;)*) => {
        /// The templates' files by name: `en/order_confirmation.txt`.
        const SOURCES: &[(&str, &str)] = &[$($(
            (
                concat!($language, "/", $name, ".txt"),
                include_str!(concat!("../templates/", $language, "/", $name, ".txt")),
            ),
            (
                concat!($language, "/", $name, ".html"),
                include_str!(concat!("../templates/", $language, "/", $name, ".html")),
            ),
        )*)*];
    };
}

sources! {
    "en": "order_confirmation" "payment_due" "order_cancelled" "payment_refunded" "order_shipped"
        "order_delivered";
    "ru": "order_confirmation" "payment_due" "order_cancelled" "payment_refunded" "order_shipped"
        "order_delivered";
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).keep_trailing_newline(true).build();
        environment.set_syntax(syntax.expect("nothing but white space differs from the default"));
        for (name, source) in SOURCES {
            environment.add_template(name, source).expect("every template has the right syntax");
        }
        Self(environment)
    }
}

impl Templates {
    /// What a notification says on a channel; without a template, the fields `subject` and `text`
    /// are what staff wrote.
    pub fn text(
        &self,
        channel: Channel,
        language: Language,
        template: Option<Template>,
        fields: &TemplateFields,
    ) -> Text {
        let words = |name: &str| fields.get(name).cloned().unwrap_or_default();
        match (template, channel) {
            (Some(template), Channel::Email) => self.page(template, language, fields),
            (Some(template), Channel::Sms | Channel::Push) => {
                self.brief(template, language, fields)
            }
            (None, _) => Text { subject: words("subject"), text: words("text"), html: None },
        }
    }

    /// A whole mail. A missing field is left empty: a text with a gap is better than none.
    pub fn page(&self, template: Template, language: Language, fields: &TemplateFields) -> Text {
        let context = context(template, language, fields);
        let [subject, text] = self.blocks(template, language, &context, ["subject", "text"]);
        let html = self.get(template, language, "html").render(context);
        Text { subject: one_line(&subject), text, html: Some(html.expect(RENDERS)) }
    }

    /// The text for a small screen.
    fn brief(&self, template: Template, language: Language, fields: &TemplateFields) -> Text {
        let context = context(template, language, fields);
        let [subject, text] = self.blocks(template, language, &context, ["subject", "brief"]);
        Text { subject: one_line(&subject), text, html: None }
    }

    fn blocks<const N: usize>(
        &self,
        template: Template,
        language: Language,
        context: &Value,
        names: [&str; N],
    ) -> [String; N] {
        let file = self.get(template, language, "txt");
        let mut rendered = file.render_captured(context.clone()).expect(RENDERS);
        names.map(|name| rendered.with_state_mut(|state| state.render_block(name)).expect(RENDERS))
    }

    fn get(
        &self,
        template: Template,
        language: Language,
        kind: &str,
    ) -> minijinja::Template<'_, '_> {
        let name = format!("{}/{}.{kind}", language.as_str(), template.as_str());
        self.0.get_template(&name).expect("every template is there in every language")
    }
}

const RENDERS: &str = "every field is a text, and every template takes any text";

/// The values of a template's fields.
fn context(template: Template, language: Language, fields: &TemplateFields) -> Value {
    let value = |name: &&'static str| {
        let text = fields.get(*name).map_or("", String::as_str);
        let text = if *name == "reason" { reason(language, text) } else { text };
        (*name, text.to_owned())
    };
    Value::from_pairs(template.fields().iter().map(value))
}

/// The words for the reason of a cancellation; a reason without a name is in words already.
fn reason(language: Language, name: &str) -> &str {
    let (english, russian) = match name {
        "insufficient_inventory" => ("not everything was in stock", "не всё есть в наличии"),
        "payment_declined" => ("the payment was declined", "платёж отклонён"),
        "payment_timeout" => ("it was not paid in time", "он не был оплачен вовремя"),
        "reservation_expired" => ("it could not be held any longer", "срок резерва истёк"),
        "customer_request" => ("you asked for it", "по вашей просьбе"),
        "staff_request" => ("we had to do so", "по нашему решению"),
        words => (words, words),
    };
    match language {
        Language::English => english,
        Language::Russian => russian,
    }
}

/// A line break in a subject would be another header.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[(&str, &str)]) -> TemplateFields {
        values.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn every_template_says_all_its_fields_in_every_language() {
        let templates = Templates::default();
        for template in Template::ALL {
            let values: Vec<_> = template.fields().iter().map(|name| (*name, *name)).collect();
            for language in Language::ALL {
                let mail = templates.page(template, language, &fields(&values));
                let html = mail.html.unwrap();
                for field in template.fields() {
                    assert!(mail.text.contains(field), "{template:?} {language:?}: {field}");
                    assert!(html.contains(field), "{template:?} {language:?}: {field}");
                }
                let brief = templates.brief(template, language, &fields(&values));
                for subject in [mail.subject, brief.subject] {
                    assert!(subject.contains("order_id") && !subject.contains('\n'), "{subject}");
                }
                assert!(brief.text.contains("order_id") && !brief.text.contains('\n'));
                templates.page(template, language, &TemplateFields::new());
            }
        }
    }

    #[test]
    fn a_page_is_escaped_and_plain_text_is_not() {
        let templates = Templates::default();
        let wild =
            fields(&[("order_id", "1\nBcc: x"), ("items", "<b>A & B</b>\nC"), ("total", "1")]);

        let mail = templates.page(Template::OrderConfirmation, Language::English, &wild);

        assert_eq!(mail.subject, "Your order 1 Bcc: x is confirmed");
        assert!(mail.text.contains("<b>A & B</b>\nC\n"), "{}", mail.text);
        let html = mail.html.unwrap();
        assert!(html.contains("<li>&lt;b&gt;A &amp; B&lt;&#x2f;b&gt;</li>\n<li>C</li>"), "{html}");
    }

    #[test]
    fn a_reason_is_told_in_words() {
        let templates = Templates::default();
        for (language, name, words) in [
            (Language::English, "payment_timeout", "it was not paid in time."),
            (Language::Russian, "payment_timeout", "он не был оплачен вовремя."),
            (Language::Russian, "in words", "in words."),
        ] {
            let fields = fields(&[("order_id", "42"), ("total", "1"), ("reason", name)]);
            let mail = templates.page(Template::OrderCancelled, language, &fields);
            assert!(mail.text.contains(words), "{}", mail.text);
        }
    }
}
