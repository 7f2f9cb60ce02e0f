//! The texts that customers get, filled with the fields of a fact.

use std::collections::BTreeMap;

use crate::domain::Template;

/// The fields that a template is filled with, by name.
pub type TemplateFields = BTreeMap<String, String>;

/// A finished text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    pub text: String,
}

/// Fills a template. A missing field is left empty: a text with a gap is better than none.
pub fn render(template: Template, fields: &TemplateFields) -> Text {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let order = field("order_id");
    let (subject, text) = match template {
        Template::OrderConfirmation => (
            format!("Your order {order} is confirmed"),
            format!(
                "Thank you for your order.\n\n{}\nTotal: {}\n\nYour order number is {order}.\n",
                field("items"),
                field("total"),
            ),
        ),
        Template::PaymentDue => (
            format!("Your order {order} waits for its payment"),
            format!(
                "Everything you ordered is set aside for you.\n\nPlease pay {} by {}.\n\n\
                 Your order number is {order}.\n",
                field("amount"),
                field("pay_by"),
            ),
        ),
        Template::OrderCancelled => (
            format!("Your order {order} is cancelled"),
            format!(
                "Your order {order} over {} was cancelled: {}.\n\n\
                 What you have paid for it goes back to you.\n",
                field("total"),
                field("reason"),
            ),
        ),
        Template::PaymentRefunded => (
            format!("Your money for order {order} is on its way"),
            format!("We have given back {} for your order {order}.\n", field("amount")),
        ),
    };
    // A line break in a subject would be another header.
    Text { subject: subject.replace(['\r', '\n'], " "), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_names_the_order_in_one_line() {
        let fields = TemplateFields::from([
            ("order_id".to_owned(), "42".to_owned()),
            ("total".to_owned(), "59.98 USD".to_owned()),
        ]);
        for template in Template::ALL {
            let text = render(template, &fields);
            assert!(text.subject.contains("42") && !text.subject.contains('\n'), "{text:?}");
            assert!(text.text.contains("42"), "{text:?}");
        }
        let confirmation = render(Template::OrderConfirmation, &fields);
        assert!(confirmation.text.contains("Total: 59.98 USD"));
    }
}
