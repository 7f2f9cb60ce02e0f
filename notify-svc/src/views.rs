//! How notifications and contacts are written in JSON.

use proto::{CustomerId, NotificationId, OrderId};
use serde::Serialize;
use time::OffsetDateTime;

use crate::{store::look::NotificationRow, wire::CHANNEL, world::Contact};

#[derive(Debug, Serialize)]
pub struct NotificationView<'a> {
    id: NotificationId,
    order_id: OrderId,
    customer_id: &'a str,
    channel: &'static str,
    template: &'a str,
    to: Option<String>,
    status: &'a str,
    attempts: i32,
    provider_id: Option<&'a str>,
    #[serde(serialize_with = "chassis::clock::serialize")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "chassis::clock::serialize_option")]
    sent_at: Option<OffsetDateTime>,
    failure: Option<&'a str>,
}

impl<'a> NotificationView<'a> {
    pub fn new(kept: &'a NotificationRow) -> Self {
        Self {
            id: NotificationId::new(kept.notification_id),
            order_id: OrderId::new(kept.order_id),
            customer_id: &kept.customer_id,
            channel: CHANNEL,
            template: &kept.template,
            to: kept.recipient.as_deref().map(masked),
            status: &kept.status,
            attempts: kept.attempts,
            provider_id: kept.provider_id.as_deref(),
            created_at: kept.created_at,
            sent_at: kept.sent_at,
            failure: kept.failure.as_deref(),
        }
    }
}

/// An address so that its owner recognises it and nobody else can use it: `c***@example.com`.
fn masked(address: &str) -> String {
    let (name, place) = address.split_once('@').unwrap_or((address, ""));
    let first = name.chars().next().map_or(String::new(), String::from);
    if place.is_empty() { format!("{first}***") } else { format!("{first}***@{place}") }
}

#[derive(Debug, Serialize)]
pub struct ContactView<'a> {
    customer_id: &'a CustomerId,
    email: Option<&'a str>,
    phone: Option<&'a str>,
    push_token: Option<&'a str>,
    language: Option<&'a str>,
}

impl<'a> ContactView<'a> {
    pub fn new(customer_id: &'a CustomerId, contact: &'a Contact) -> Self {
        let Contact { email, phone, push_token, language } = contact;
        Self {
            customer_id,
            email: email.as_deref(),
            phone: phone.as_deref(),
            push_token: push_token.as_deref(),
            language: language.as_deref(),
        }
    }

    /// The tag that an answer with it carries.
    pub fn etag(&self) -> String {
        chassis::http::etag_of(&serde_json::to_vec(self).expect("a view is plain text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked_but_for_its_first_character_and_its_place() {
        assert_eq!(masked("customer@example.com"), "c***@example.com");
        assert_eq!(masked("é@x.example"), "é***@x.example");
        assert_eq!(masked("+4912345"), "+***");
    }
}
