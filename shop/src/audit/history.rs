//! The history of each order, row by row: without a gap, in a possible order, as the topics say, and
//! come to what the order is.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    birth,
    check::{Checks, Promise},
    facts::{NOTIFICATIONS, ORDERS, Order, Orders, PAYMENTS, STOCK, TOPICS},
    fold::OrderFold,
    hash,
    interventions::Interventions,
    seconds, tag,
};

/// How far the times of rows may be out of order: a batch may wait for a lock, and clocks differ.
const SKEW_SECONDS: u32 = 60;

/// A row of an order's history.
#[derive(Clone, Debug)]
pub(super) struct HistoryRow {
    pub(super) order_id: Uuid,
    pub(super) seq: i32,
    pub(super) event_id: Uuid,
    pub(super) event_type: i16,
    pub(super) version: i64,
    /// When the row was written.
    pub(super) at: OffsetDateTime,
    pub(super) payload: Vec<u8>,
}

/// A row as a number; the numbers of an order's rows are summed.
pub(super) fn row_hash(event_id: Uuid, event_type: i16, version: i64, payload: &[u8]) -> u64 {
    hash((event_id, event_type, version, payload))
}

/// Reads the rows of all orders; each order's rows come together and in order.
pub(super) struct Walk<'a> {
    orders: &'a mut Orders,
    checks: &'a mut Checks,
    interventions: &'a Interventions,
    now: u32,
    /// The order whose rows are being read, and its rows so far.
    present: Option<(u128, Rows)>,
    /// How many orders' histories were read.
    read: u64,
}

/// What is known from the rows of one order so far.
#[derive(Clone, Debug, Default)]
struct Rows {
    count: u32,
    /// The highest version of each source.
    versions: [i64; 4],
    last_at: u32,
    sum: u64,
    /// What the rows so far come to.
    folded: OrderFold,
    has_ended: bool,
    /// Whether the next row has to be `OrderAwaitingPayment`.
    asks: bool,
    /// Whether something was wrong before: only the first fault is reported.
    is_broken: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        orders: &'a mut Orders,
        checks: &'a mut Checks,
        interventions: &'a Interventions,
        now: u32,
    ) -> Self {
        Self { orders, checks, interventions, now, present: None, read: 0 }
    }

    /// Takes in the next row.
    pub(super) fn row(&mut self, row: &HistoryRow) {
        let id = row.order_id.as_u128();
        if self.present.as_ref().is_none_or(|(order, _)| *order != id) {
            self.end();
            self.present = Some((id, Rows::default()));
        }
        let Some((_, rows)) = &mut self.present else { return };
        let order = self.orders.get(id).and_then(|facts| facts.order);
        let fault = rows.take(row, order.as_ref(), self.interventions, self.now);
        if let Some(fault) = fault.filter(|_| !rows.is_broken) {
            rows.is_broken = true;
            self.checks.broken(Promise::HistoryAgrees, || {
                format!("{}: row {} {fault}", row.order_id, row.seq)
            });
        }
    }

    /// Ends an order, after its last row.
    fn end(&mut self) {
        let Some((id, rows)) = self.present.take() else { return };
        self.checks.looked(Promise::HistoryAgrees, 1);
        let known = self.orders.get_mut(id).filter(|facts| facts.order.is_some());
        let fault = match known {
            None => Some("a history without an order".to_owned()),
            Some(facts) => {
                self.read += 1;
                facts.history = rows.sum;
                facts.order.as_ref().and_then(|order| rows.ends(order))
            }
        };
        if let Some(fault) = fault.filter(|_| !rows.is_broken) {
            self.checks
                .broken(Promise::HistoryAgrees, || format!("{}: {fault}", Uuid::from_u128(id)));
        }
    }

    /// After the last row of all: checks that as many orders as there are have a history.
    pub(super) fn finish(mut self, orders: u64) {
        self.end();
        let missing = orders.saturating_sub(self.read);
        if missing > 0 {
            self.checks.broken(Promise::HistoryAgrees, || format!("{missing} orders without one"));
        }
    }
}

impl Rows {
    /// Takes in a row; returns what is wrong with it.
    fn take(
        &mut self,
        row: &HistoryRow,
        order: Option<&Order>,
        interventions: &Interventions,
        now: u32,
    ) -> Option<&'static str> {
        self.count += 1;
        let (order_id, at) = (row.order_id.as_u128(), seconds(row.at));
        let (topic, tag) = source(row.event_type);
        let expected = self.versions.get(topic).map_or(0, |last| last + 1);
        let version = u32::try_from(row.version).unwrap_or(u32::MAX);
        let is_skipped = (expected..row.version).all(|version| {
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            interventions.is_other_in_history(topic, order_id, version)
        });
        let last_at = std::mem::replace(&mut self.last_at, at);
        if let Some(last) = self.versions.get_mut(topic) {
            *last = row.version;
        }
        if !interventions.is_other_in_history(topic, order_id, version) {
            let sum = row_hash(row.event_id, row.event_type, row.version, &row.payload);
            self.sum = self.sum.wrapping_add(sum);
        }
        let earliest = last_at.max(birth(order_id)).saturating_sub(SKEW_SECONDS);
        let is_in_time = (earliest..=now.saturating_add(SKEW_SECONDS)).contains(&at);
        let is_deferred = order.is_some_and(|order| order.is_deferred);
        let fits_cause = self.follows(topic, tag, is_deferred, row);
        match () {
            () if u32::try_from(row.seq) != Ok(self.count) => Some("is not the next one"),
            () if row.version < expected || !is_skipped => {
                Some("does not follow its source's last event")
            }
            () if !is_in_time => Some("is of an impossible time"),
            () if !fits_cause => Some("stands before what it follows from"),
            () => None,
        }
    }

    /// Whether an event can be the next row; remembers it.
    fn follows(&mut self, topic: usize, tag: usize, is_deferred: bool, row: &HistoryRow) -> bool {
        let asked = std::mem::take(&mut self.asks);
        let is_asking = (topic, tag) == (ORDERS, tag::AWAITING);
        if asked && !is_asking {
            return false;
        }
        let was_reserved = self.is_reserved();
        let topic_name = TOPICS.get(topic).copied().unwrap_or_default();
        if let Ok(Some(event)) = proto::Event::decode(topic_name, &row.payload) {
            self.folded.take(&event, row.at);
        }
        let is_captured = self.folded.captured.is_some();
        match (topic, tag) {
            (ORDERS, tag::PLACED) => self.count == 1,
            (ORDERS, tag::AWAITING) => self.is_reserved() && !self.has_ended,
            (ORDERS, tag::AMENDED) => self.count > 1 && !self.has_ended,
            (ORDERS, tag::CONFIRMED) => {
                let was_open = !std::mem::replace(&mut self.has_ended, true);
                self.is_reserved() && is_captured && was_open
            }
            (ORDERS, tag::SHIPPED | tag::DELIVERED) => {
                let is_shipped = self.folded.shipped.is_some();
                let is_cancelled = self.folded.cancelled.is_some();
                self.folded.confirmed_at.is_some() && is_shipped && !is_cancelled
            }
            (ORDERS, tag::CANCELLED) => {
                self.has_ended = true;
                self.count > 1 && self.folded.shipped.is_none()
            }
            (STOCK, tag::RESERVED) => {
                let is_new = self.is_reserved() && !was_reserved;
                self.asks = is_deferred && is_new && !self.has_ended && !is_captured;
                self.count > 1
            }
            _ => self.count > 1,
        }
    }

    /// Whether the present revision is reserved.
    fn is_reserved(&self) -> bool {
        self.folded.reserved.is_some_and(|(revision, _)| revision == self.folded.revision)
    }

    /// What is wrong with these rows as the history of that order, if anything.
    fn ends(&self, order: &Order) -> Option<String> {
        let [stock, payments, notifications] = order.heard.map(i64::from);
        let counted = [i64::from(order.version), stock, payments, notifications];
        if order.events != self.count {
            return Some(format!("{} rows of history, it counts {}", self.count, order.events));
        }
        if counted != self.versions {
            return Some(format!("its history ends with {:?}, it with {counted:?}", self.versions));
        }
        if self.folded.digest() != order.folded {
            return Some("it is not what its history comes to".to_owned());
        }
        self.asks.then(|| "stock was reserved, and nobody asked for the payment".to_owned())
    }
}

/// The topic of an event type's number, and the number of its member in the topic's message.
fn source(event_type: i16) -> (usize, usize) {
    let tag = |first: i16| usize::try_from(event_type - first + 1).unwrap_or_default();
    match event_type {
        1..=20 => (ORDERS, tag(1)),
        21..=40 => (PAYMENTS, tag(21)),
        41..=60 => (STOCK, tag(41)),
        61..=80 => (NOTIFICATIONS, tag(61)),
        _ => (usize::MAX, 0),
    }
}
