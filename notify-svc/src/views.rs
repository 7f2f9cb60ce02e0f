//! How notifications and contacts are written in JSON.

pub mod webhooks;

use std::borrow::Cow;

use chassis::{Caller, clock::Timestamp};
use proto::{CustomerId, NotificationId, OrderId, words};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{Channel, Contact, Failure, Template},
    store::{erasure::ErasureCount, notifications::NotificationRow},
    world::Notification,
};

words! {
    /// How far a notification has come.
    pub enum NotificationStatus {
        Queued = "queued",
        Sending = "sending",
        Sent = "sent",
        Failed = "failed",
    }
}

/// A notification as it is told over HTTP, its address masked for all but staff.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotificationView<'a> {
    id: NotificationId,
    order_id: Option<OrderId>,
    customer_id: Option<&'a str>,
    #[schemars(with = "Channel")]
    channel: &'a str,
    #[schemars(with = "Option<Template>")]
    template: Option<&'a str>,
    to: Option<String>,
    #[schemars(with = "NotificationStatus")]
    status: &'a str,
    attempts: i32,
    provider_id: Option<&'a str>,
    created_at: Timestamp,
    sent_at: Option<Timestamp>,
    #[schemars(with = "Option<Failure>")]
    failure: Option<&'a str>,
    /// What went wrong at the last attempt, in the provider's words, the address masked.
    detail: Option<&'a str>,
}

impl<'a> NotificationView<'a> {
    /// A notification as it is stored, for this caller.
    pub fn new(row: &'a NotificationRow, caller: &Caller) -> Self {
        let is_mail = row.channel == Channel::Email.as_str();
        let to = row
            .recipient
            .as_deref()
            .map(|to| if caller.sees_addresses() { to.to_owned() } else { masked(to, is_mail) });
        Self {
            id: NotificationId::new(row.notification_id),
            order_id: row.order_id.map(OrderId::new),
            customer_id: row.customer_id.as_deref(),
            channel: &row.channel,
            template: row.template.as_deref(),
            to,
            status: &row.status,
            attempts: row.attempts,
            provider_id: row.provider_id.as_deref(),
            created_at: row.created_at.into(),
            sent_at: row.sent_at.map(Timestamp::from),
            failure: row.failure.as_deref(),
            detail: row.detail.as_deref(),
        }
    }

    /// A notification that is being queued.
    pub fn queued(notification: &'a Notification) -> Self {
        let about = notification.about.as_ref();
        let is_mail = notification.channel == Channel::Email;
        Self {
            id: notification.id,
            order_id: about.map(|(order, _)| *order),
            customer_id: about.map(|(_, customer)| customer.as_str()),
            channel: notification.channel.as_str(),
            template: notification.template.map(Template::as_str),
            to: notification.to.as_deref().map(|to| masked(to, is_mail)),
            status: NotificationStatus::Queued.as_str(),
            attempts: 0,
            provider_id: None,
            created_at: notification.created_at.into(),
            sent_at: None,
            failure: None,
            detail: None,
        }
    }
}

/// A template, as lists show it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct TemplateView {
    name: Template,
    channels: [Channel; 3],
    fields: &'static [&'static str],
}

impl TemplateView {
    /// The template, with the fields that it takes.
    pub fn new(template: Template) -> Self {
        Self { name: template, channels: Channel::ALL, fields: template.fields() }
    }
}

/// What was erased of a customer.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct ErasureView {
    erased: ErasureCount,
}

impl ErasureView {
    /// What an erasure has removed.
    pub fn new(erased: ErasureCount) -> Self {
        Self { erased }
    }
}

/// An address that its owner recognises and nobody else can use: `c***@example.com`.
pub fn masked(address: &str, is_mail: bool) -> String {
    let parts = if is_mail { address.split_once('@') } else { None };
    let (name, place) = parts.unwrap_or((address, ""));
    let first = name.chars().next().map_or(String::new(), String::from);
    if place.is_empty() { format!("{first}***") } else { format!("{first}***@{place}") }
}

/// Where a customer can be reached, as it is told over HTTP; addresses masked for those who only
/// look.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContactView<'a> {
    customer_id: &'a CustomerId,
    email: Option<Cow<'a, str>>,
    phone: Option<Cow<'a, str>>,
    push_token: Option<Cow<'a, str>>,
    language: Option<&'a str>,
}

impl<'a> ContactView<'a> {
    /// The contact of this customer.
    pub fn new(customer_id: &'a CustomerId, contact: &'a Contact, is_whole: bool) -> Self {
        let Contact { email, phone, push_token, language } = contact;
        let address = |address: &'a Option<String>, is_mail| {
            let whole = address.as_deref()?;
            Some(if is_whole { Cow::Borrowed(whole) } else { Cow::Owned(masked(whole, is_mail)) })
        };
        Self {
            customer_id,
            email: address(email, true),
            phone: address(phone, false),
            push_token: address(push_token, false),
            language: language.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked_but_for_its_first_character_and_its_place() {
        assert_eq!(masked("customer@example.com", true), "c***@example.com");
        assert_eq!(masked("é@x.example", true), "é***@x.example");
        assert_eq!(masked("+4912345", false), "+***");
        assert_eq!(masked("x@secret", false), "x***", "a token may hold any character");
    }
}
