//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

pub mod webhooks;

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{HeldRow, Trace, Tracked};
use proto::{CustomerId, NotificationId, OrderId};
use time::OffsetDateTime;

use crate::{
    domain::{Channel, Contact, DeliveryStatus, Language, Notice, Template},
    input::{Input, Request},
    templates::TemplateFields,
    world::webhooks::WebhookWorld,
};

/// The notice of one order, with its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// `None` until something happened of which the customer is told.
    pub customer: Option<CustomerId>,
    /// How many events were announced about the order.
    pub version: i64,
    /// The highest versions heard, by source.
    pub heard_orders: i64,
    pub heard_payments: i64,
    pub notice: Notice,
}

/// A notification to store, and to deliver if it is queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub id: NotificationId,
    /// The order that it is about, and the order's customer.
    pub about: Option<(OrderId, CustomerId)>,
    pub channel: Channel,
    pub template: Option<Template>,
    pub language: Language,
    /// The address; none where nobody knows one.
    pub to: Option<String>,
    pub fields: TemplateFields,
    pub status: DeliveryStatus,
    pub created_at: OffsetDateTime,
    /// Whether staff asked for it.
    pub requested: bool,
    /// The trace of the event or request that made it.
    pub trace: Option<Trace>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReceipt {
    pub id: NotificationId,
    pub at: OffsetDateTime,
    pub attempts: i32,
    pub status: DeliveryStatus,
    /// The provider's name for what it took.
    pub provider_id: Option<String>,
    /// Why it was not delivered.
    pub detail: Option<String>,
}

/// The rows of one batch.
#[derive(Debug, Default)]
pub struct World {
    /// One for each order of the batch, heard of before or not.
    pub roots: BTreeMap<OrderId, Tracked<Root>>,
    /// Notifications about no order that have a delivery: each is a notice of its own, which is
    /// announced to nobody.
    pub single: BTreeMap<NotificationId, Notice>,
    pub contacts: BTreeMap<CustomerId, Contact>,
    /// Contacts that a request has replaced: `save` writes them.
    pub put: BTreeMap<CustomerId, Contact>,
    /// Notices and contacts whose rows another session holds.
    pub held_notices: BTreeSet<OrderId>,
    pub held_contacts: BTreeSet<CustomerId>,
    pub notifications: Vec<Notification>,
    pub ended: Vec<DeliveryReceipt>,
    pub webhooks: WebhookWorld,
}

/// One delivery for its channel's worker (`deliveries.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: NotificationId,
    pub order: Option<OrderId>,
    pub channel: Channel,
    pub template: Option<Template>,
    pub language: Language,
    /// `None` if the address was erased.
    pub to: Option<String>,
    pub fields: TemplateFields,
    pub created_at: OffsetDateTime,
    /// How often the delivery was begun.
    pub attempts: i32,
    pub trace: Option<Trace>,
}

impl Job {
    /// The delivery of a notification that was just queued; `None` if it is not queued.
    pub fn first(notification: Notification) -> Option<Self> {
        let Notification { id, about, channel, template, language, to, .. } = notification;
        let Notification { fields, status, created_at, trace, .. } = notification;
        let order = about.map(|(order, _)| order);
        let attempts = 0;
        match status {
            DeliveryStatus::Queued => Some(Self {
                id,
                order,
                channel,
                template,
                language,
                to,
                fields,
                created_at,
                attempts,
                trace,
            }),
            DeliveryStatus::Sent | DeliveryStatus::Failed(_) => None,
        }
    }
}

impl World {
    /// The held row for which `input` has to wait, if any.
    pub fn held(&self, input: &Input) -> Option<HeldRow> {
        if let Input::Request(Request::PutContact { customer, .. }) = input {
            let customer = self.held_contacts.get(customer)?;
            return Some(HeldRow::new("contact", customer.to_string()));
        }
        if let Input::Request(Request::Webhook(asked)) = input {
            let webhook = asked.webhook().filter(|id| self.webhooks.held.contains(id))?;
            return Some(HeldRow::new("webhook", webhook.to_string()));
        }
        let order = input.order().filter(|order| self.held_notices.contains(order))?;
        Some(HeldRow::new("notice", order.to_string()))
    }
}
