//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::Trace;
use proto::{CustomerId, NotificationId, OrderId};
use time::OffsetDateTime;

use crate::{
    domain::{Notice, DeliveryStatus, Template},
    templates::Fields,
};

/// What is known of one order, with its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// How many events were said about it.
    pub version: i64,
    /// The last versions heard.
    pub heard_orders: i64,
    pub heard_payments: i64,
    pub notice: Notice,
}

/// A root and what it was.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    was: Option<Root>,
    pub now: Root,
}

impl Kept {
    /// A root as it was found.
    pub fn found(root: Root) -> Self {
        Self { was: Some(root.clone()), now: root }
    }

    /// Whether it is not there yet, and has to be.
    pub fn is_new(&self) -> bool {
        self.was.is_none() && !self.now.notice.told.is_empty()
    }

    /// Whether it was there and differs now.
    pub fn is_changed(&self) -> bool {
        self.was.as_ref().is_some_and(|was| *was != self.now)
    }
}

/// Where a customer can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub push_token: Option<String>,
    pub language: Option<String>,
}

/// A notification to be kept, and delivered if it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub id: NotificationId,
    pub order: OrderId,
    pub customer: CustomerId,
    pub template: Template,
    pub to: Option<String>,
    pub fields: Fields,
    pub standing: DeliveryStatus,
    pub created_at: OffsetDateTime,
    /// The trace of what it tells about.
    pub trace: Option<Trace>,
}

/// A notification that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReceipt {
    pub id: NotificationId,
    pub at: OffsetDateTime,
    pub attempts: i32,
}

/// The rows of one batch.
#[derive(Debug, Default)]
pub struct World {
    /// One for each order of the batch, known or not.
    pub roots: BTreeMap<OrderId, Kept>,
    pub contacts: BTreeMap<CustomerId, Contact>,
    /// Contacts that somebody has put.
    pub put: BTreeMap<CustomerId, Contact>,
    /// Notices and contacts that another session holds.
    pub held_notices: BTreeSet<OrderId>,
    pub held_contacts: BTreeSet<CustomerId>,
    pub notifications: Vec<Notification>,
    pub delivered: Vec<DeliveryReceipt>,
}
