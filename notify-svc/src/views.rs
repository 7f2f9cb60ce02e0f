//! How notifications and contacts are written in JSON.

use proto::{CustomerId, NotificationId, OrderId};
use serde::Serialize;
use time::OffsetDateTime;

use crate::{
    domain::{CHANNEL, Contact},
    store::notifications::NotificationRow,
};

/// A notification as it is told over HTTP, its address masked.
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
    pub fn new(row: &'a NotificationRow) -> Self {
        Self {
            id: NotificationId::new(row.notification_id),
            order_id: OrderId::new(row.order_id),
            customer_id: &row.customer_id,
            channel: CHANNEL,
            template: &row.template,
            to: row.recipient.as_deref().map(masked),
            status: &row.status,
            attempts: row.attempts,
            provider_id: row.provider_id.as_deref(),
            created_at: row.created_at,
            sent_at: row.sent_at,
            failure: row.failure.as_deref(),
        }
    }
}

/// An address that its owner recognises and nobody else can use: `c***@example.com`.
fn masked(address: &str) -> String {
    let (name, place) = address.split_once('@').unwrap_or((address, ""));
    let first = name.chars().next().map_or(String::new(), String::from);
    if place.is_empty() { format!("{first}***") } else { format!("{first}***@{place}") }
}

/// Where a customer can be reached, as it is told over HTTP.
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
