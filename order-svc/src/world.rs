//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use mailbox::{DecisionContext, HeldRow, OutboxEvent, Tracked};
use proto::{Event as Wire, OrderId, Sku, orders::Sealed};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Announcement, Catalogue, Decision, Order, Product, Revision},
    input::{Fact, Input, PlaceOrder},
    metrics::OrderEnd,
    wire,
};

/// An order, with what only the shell (not `domain`) needs to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub order: Order,
    pub trace_id: Option<[u8; 16]>,
    pub heard: LastVersions,
    /// How many rows its history has.
    pub events: i32,
}

/// What people wrote about an order; empty where nobody wrote anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    pub note: Arc<str>,
    /// The words with which the order was cancelled.
    pub cancel_words: Arc<str>,
}

/// The highest version heard from each source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastVersions {
    pub stock: i64,
    pub payments: i64,
    pub notifications: i64,
}

/// One row of an order's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub order_id: Uuid,
    pub seq: i32,
    pub event_id: Uuid,
    pub event_type: i16,
    pub version: i64,
    pub at: OffsetDateTime,
    pub payload: Vec<u8>,
}

impl HistoryRow {
    /// A row for an event; `add_history` sets its order and its number.
    fn new(event_id: Uuid, version: i64, event: Wire, at: OffsetDateTime) -> Self {
        let event_type = event.event_type().number;
        let (order_id, seq, payload) = (Uuid::nil(), 0, wire::encode_history(event));
        Self { order_id, seq, event_id, event_type, version, at, payload }
    }
}

/// The rows of one batch.
#[derive(Debug, Default)]
pub struct World {
    /// The orders of the batch that exist.
    pub roots: BTreeMap<OrderId, Tracked<Root>>,
    /// What orders asked for until this batch amended them.
    pub superseded: Vec<(OrderId, Revision)>,
    /// What people wrote about the orders that requests of this batch name.
    pub texts: BTreeMap<OrderId, Tracked<Texts>>,
    /// The sealed card details of the orders that this batch places or may amend.
    pub details: BTreeMap<OrderId, Sealed>,
    /// Under which idempotency keys orders of this batch are placed (`PlaceOrder::request_key`).
    pub request_keys: BTreeMap<OrderId, Arc<str>>,
    /// The products that the batch's orders name, as this service knows them.
    pub catalogue: Catalogue,
    /// The products whose changes this batch heard, each in its highest version: `save` writes
    /// them.
    pub learnt: Catalogue,
    /// Orders whose rows another session holds.
    pub held_orders: BTreeSet<OrderId>,
    /// History rows to add; `save` sorts them.
    pub history: Vec<HistoryRow>,
    /// For the metrics: how many orders were placed in this batch (`placed`), and how and after how
    /// long orders ended (`ends`).
    pub placed: u64,
    pub ends: Vec<(OrderEnd, time::Duration)>,
}

impl World {
    /// The order as the batch has left it so far.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.roots.get(&id).map(|row| &row.now.order)
    }

    /// The held row for which `input` has to wait, if any.
    pub fn held(&self, input: &Input) -> Option<HeldRow> {
        let order = input.order().filter(|order| self.held_orders.contains(order))?;
        Some(HeldRow::new("order", order.to_string()))
    }

    /// Takes in a changed product, unless the same or a higher version of it is known.
    pub fn learn(&mut self, sku: &Sku, product: &Product) {
        for known in [&mut self.learnt, &mut self.catalogue] {
            let newer = known.get(sku).is_none_or(|before| before.version < product.version);
            if newer {
                known.insert(sku.clone(), product.clone());
            }
        }
    }

    /// What people wrote about an order.
    pub fn texts(&self, id: OrderId) -> Texts {
        self.texts.get(&id).map(|row| row.now.clone()).unwrap_or_default()
    }

    /// Adds a new order, and announces that it was placed.
    pub fn place(
        &mut self,
        decision: Decision,
        asked: &PlaceOrder,
        context: &DecisionContext,
    ) -> Vec<OutboxEvent> {
        let (id, heard) = (decision.order.id, LastVersions::default());
        let root = Root { order: decision.order, trace_id: asked.trace_id, heard, events: 0 };
        self.roots.insert(id, Tracked::new(root));
        self.placed += 1;
        self.details.extend(asked.details.clone().map(|details| (id, details)));
        self.request_keys.extend(asked.request_key.clone().map(|key| (id, key)));
        if !asked.note.is_empty() {
            let texts = Texts { note: Arc::clone(&asked.note), ..Texts::default() };
            self.texts.insert(id, Tracked::new(texts));
        }
        self.announce(id, decision.announce, context)
    }

    /// Keeps the words with which an order was cancelled.
    pub fn keep_words(&mut self, id: OrderId, words: &Arc<str>) {
        if words.is_empty() {
            return;
        }
        let row = self.texts.entry(id).or_insert_with(|| Tracked::new(Texts::default()));
        row.now.cancel_words = Arc::clone(words);
    }

    /// Puts the decided state in the place of the order's, and announces what was decided.
    pub fn apply(&mut self, decision: Decision, context: &DecisionContext) -> Vec<OutboxEvent> {
        let id = decision.order.id;
        if let Some(row) = self.roots.get_mut(&id) {
            if let Some(end) = end(&row.now.order, &decision) {
                self.ends.push((end, context.now - decision.order.placed_at));
            }
            let before = mem::replace(&mut row.now.order, decision.order);
            if decision.announce == Some(Announcement::Amended) {
                self.superseded.push((id, before.present));
            }
        }
        self.announce(id, decision.announce, context)
    }

    fn announce(
        &mut self,
        id: OrderId,
        announcement: Option<Announcement>,
        context: &DecisionContext,
    ) -> Vec<OutboxEvent> {
        let Some((announcement, order)) = announcement.zip(self.order(id)) else {
            return Vec::new();
        };
        let event = wire::encode(order, announcement, self.details.get(&id));
        let version = order.version;
        let announced = service_kit::announce(context, id.key(), version, event.clone());
        let row = HistoryRow::new(announced.event_id, version, event, context.now);
        self.add_history(id, row);
        vec![announced]
    }

    /// Adds a fact to the history of its order.
    pub fn record(&mut self, fact: &Fact, at: OffsetDateTime) {
        let row = HistoryRow::new(fact.event_id, fact.version, fact.wire.clone(), at);
        self.add_history(fact.order, row);
    }

    /// Adds a row to an order's history, and numbers it.
    fn add_history(&mut self, id: OrderId, row: HistoryRow) {
        let Some(root) = self.roots.get_mut(&id) else { return };
        root.now.events += 1;
        self.history.push(HistoryRow { order_id: id.uuid(), seq: root.now.events, ..row });
    }

    /// The orders that this batch changed: clients may wait for one of them.
    pub fn changed(&self) -> impl Iterator<Item = OrderId> {
        self.roots.iter().filter(|(_, row)| row.is_changed()).map(|(id, _)| *id)
    }
}

/// How this decision ended the order, if it did; a second cancellation does not count.
fn end(before: &Order, decision: &Decision) -> Option<OrderEnd> {
    match decision.announce? {
        Announcement::Placed
        | Announcement::AwaitingPayment
        | Announcement::Amended
        | Announcement::Shipped
        | Announcement::Delivered => None,
        Announcement::Confirmed => Some(OrderEnd::Confirmed(decision.order.present.total)),
        Announcement::Cancelled => {
            let reason = decision.order.cancellation.as_ref()?.reason;
            before.cancellation.is_none().then_some(OrderEnd::Cancelled(reason))
        }
    }
}
