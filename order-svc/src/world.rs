//! What one batch touches: orders and their history, deadlines, and the products that orders are
//! checked against.

use std::collections::{BTreeMap, HashMap};

use mailbox::{OutboxEvent, DecisionContext};
use proto::{Event as Wire, OrderId, Sku, orders::Sealed};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Announcement, Catalogue, Decision, Order, Product},
    metrics::OrderEnd,
    store::{self, Deadline, Heard, HistoryRow, Root},
    wire,
};

/// The rows of one batch.
#[derive(Default)]
pub struct World {
    entries: HashMap<OrderId, Entry>,
    /// What is known of the products that are ordered.
    pub catalogue: Catalogue,
    /// What was told in this batch: the highest version of each.
    told: Catalogue,
    /// Orders that another session holds.
    pub held: Vec<OrderId>,
    /// Sorted when saved.
    history: Vec<HistoryRow>,
    placed: u64,
    endings: Vec<(OrderEnd, time::Duration)>,
}

/// An order in a batch.
struct Entry {
    stored: Root,
    /// Not in the database yet.
    is_new: bool,
    is_changed: bool,
    /// Its deadline as it is in the database.
    deadline: Option<OffsetDateTime>,
}

/// Something heard about an order, as its history keeps it.
pub struct News<'a> {
    pub event_id: Uuid,
    pub version: i64,
    pub event: &'a Wire,
}

impl World {
    pub fn new(orders: Vec<Root>, catalogue: Catalogue) -> Self {
        let entry = |stored: Root| {
            let deadline = stored.order.deadline();
            (stored.order.id, Entry { stored, is_new: false, is_changed: false, deadline })
        };
        let entries = orders.into_iter().map(entry).collect();
        Self { entries, catalogue, ..Self::default() }
    }

    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.entries.get(&id).map(|entry| &entry.stored.order)
    }

    pub fn heard(&mut self, id: OrderId) -> Option<&mut Heard> {
        self.entries.get_mut(&id).map(|entry| &mut entry.stored.heard)
    }

    /// Takes in a product as it was told, unless a higher version is known.
    pub fn tell(&mut self, sku: &Sku, product: &Product) {
        for known in [&mut self.told, &mut self.catalogue] {
            let newer = known.get(sku).is_none_or(|before| before.version < product.version);
            if newer {
                known.insert(sku.clone(), product.clone());
            }
        }
    }

    /// Adds a new order, and says that it was placed.
    pub fn place(
        &mut self,
        decision: Decision,
        details: Option<&Sealed>,
        trace_id: Option<[u8; 16]>,
        context: &DecisionContext,
    ) -> Vec<OutboxEvent> {
        let (id, heard) = (decision.order.id, Heard::default());
        let stored = Root { order: decision.order, trace_id, heard, events: 0 };
        self.entries.insert(id, Entry { stored, is_new: true, is_changed: false, deadline: None });
        self.placed += 1;
        self.announce(id, decision.announce, details, context)
    }

    /// Writes down what an order heard.
    pub fn note(&mut self, id: OrderId, news: &News<'_>, at: OffsetDateTime) {
        let kept = wire::kept(news.event.clone());
        let event_type = news.event.event_type().number;
        self.keep(id, (news.event_id, event_type, news.version), at, kept);
    }

    /// Puts an order's next state in its place, and says what is to be said.
    pub fn apply(&mut self, decision: Decision, context: &DecisionContext) -> Vec<OutboxEvent> {
        let id = decision.order.id;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_changed = true;
            if let Some(ending) = ending(&entry.stored.order, &decision) {
                self.endings.push((ending, context.now - decision.order.placed_at));
            }
            entry.stored.order = decision.order;
        }
        self.announce(id, decision.announce, None, context)
    }

    fn announce(
        &mut self,
        id: OrderId,
        announcement: Option<Announcement>,
        details: Option<&Sealed>,
        context: &DecisionContext,
    ) -> Vec<OutboxEvent> {
        let Some((announcement, order)) = announcement.zip(self.order(id)) else {
            return Vec::new();
        };
        let (version, event) = (order.version, wire::said(order, announcement, details));
        let announced = service::announce(context, id.key(), version, event.clone());
        let ids = (announced.event_id, announced.event_type, version);
        self.keep(id, ids, context.now, wire::kept(event));
        vec![announced]
    }

    /// Adds a row to an order's history; `ids` are the event's id, type and version.
    fn keep(&mut self, id: OrderId, ids: (Uuid, i16, i64), at: OffsetDateTime, payload: Vec<u8>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.stored.events += 1;
        let (event_id, event_type, version) = ids;
        let (order_id, seq) = (id.uuid(), entry.stored.events);
        self.history.push(HistoryRow { order_id, seq, event_id, event_type, version, at, payload });
    }

    /// Orders that somebody may wait for.
    pub fn changed(&self) -> impl Iterator<Item = OrderId> {
        self.entries.iter().filter(|(_, entry)| entry.is_changed).map(|(id, _)| *id)
    }

    pub fn placed(&self) -> u64 {
        self.placed
    }

    pub fn endings(&self) -> &[(OrderEnd, time::Duration)] {
        &self.endings
    }

    /// Writes all that changed, in the order of locks.
    pub async fn save(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let sorted: BTreeMap<_, _> = self.entries.iter().collect();
        let new: Vec<_> = sorted.values().filter(|e| e.is_new).map(|e| &e.stored).collect();
        if !new.is_empty() {
            store::insert(db, &new).await?;
        }
        let changed: Vec<_> = sorted.values().filter(|e| e.is_changed).map(|e| &e.stored).collect();
        if !changed.is_empty() {
            store::update(db, &changed).await?;
        }
        if !self.told.is_empty() {
            store::learn(db, &self.told).await?;
        }
        if !self.history.is_empty() {
            let mut rows: Vec<&HistoryRow> = self.history.iter().collect();
            rows.sort_by_key(|row| (row.order_id, row.seq));
            store::append_history(db, &rows).await?;
        }
        self.save_deadlines(db, sorted.into_values()).await
    }

    async fn save_deadlines(
        &self,
        db: &mut PgConnection,
        entries: impl Iterator<Item = &Entry>,
    ) -> sqlx::Result<()> {
        let (mut over, mut new) = (Vec::new(), Vec::new());
        for Entry { stored: Root { order, .. }, deadline: before, .. } in entries {
            let (before, now, order_id) = (*before, order.deadline(), order.id.uuid());
            if before != now {
                over.extend(before.map(|due_at| Deadline { due_at, order_id }));
                new.extend(now.map(|due_at| Deadline { due_at, order_id }));
            }
        }
        if !over.is_empty() {
            over.sort_unstable();
            store::remove_deadlines(db, &over).await?;
        }
        if !new.is_empty() {
            new.sort_unstable();
            store::add_deadlines(db, &new).await?;
        }
        Ok(())
    }
}

/// How the order ended by this decision, if it did so for the first time.
fn ending(before: &Order, decision: &Decision) -> Option<OrderEnd> {
    match decision.announce? {
        Announcement::Placed | Announcement::AwaitingPayment => None,
        Announcement::Confirmed => Some(OrderEnd::Confirmed),
        Announcement::Cancelled => {
            let reason = decision.order.cancellation.as_ref()?.reason;
            before.cancellation.is_none().then_some(OrderEnd::Cancelled(reason.word()))
        }
    }
}
