//! What events say, and what the states that announced them say, as numbers that can be compared.
//!
//! An order, a reservation, a payment and a notice each foretell what their events hold: who, how
//! much, which pieces, why. The same functions make the number from a row and from a message, so
//! numbers that differ mean that the event says something else than the row. The numbers have 32
//! bits, because there may be a million orders: a fault escapes once in four billion, and not
//! twice.

mod stored;

use std::{collections::BTreeMap, hash::Hash};

use proto::{
    Event,
    money::Money,
    notifications::notification_event::Event as Notification,
    orders::{
        AmendmentCause, CancelReason, Line, PaymentMethod,
        order_event::{self, Event as TopicContents},
    },
    payments::{DeclineCode, RefundCause, payment_event::Event as Payment},
    stock::{Allocation, stock_event::Event as Stock},
};
use serde::Deserialize;

use super::{hash, tag};

pub(in crate::audit) use self::stored::in_history;

/// A number for each kind of event of a topic, by the number of its member in the topic's message;
/// 0 where nothing is known. Index 0, which no member has, is for the terms.
pub(super) type Contents = [u32; tag::LENGTH];

/// The index in [`Contents`] of what `OrderPlaced`, `OrderAmended` and `StockReserved` agree on.
pub(super) const TERMS: usize = 0;

/// An amount in ten-thousandths, with its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Amount {
    pub(super) sum: i64,
    pub(super) currency: [u8; 3],
}

impl Amount {
    pub(super) fn new(sum: i64, currency: &str) -> Self {
        Self { sum, currency: currency.as_bytes().try_into().unwrap_or_default() }
    }
}

impl From<&Option<Money>> for Amount {
    fn from(money: &Option<Money>) -> Self {
        money.as_ref().map_or_else(Self::default, |money| {
            let parts = i64::from(money.nanos) / 100_000;
            Self::new(
                money.units.saturating_mul(10_000).saturating_add(parts),
                &money.currency_code,
            )
        })
    }
}

/// A line of an order as order-svc stores it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LineRow {
    pub(super) sku: Option<String>,
    pub(super) name: String,
    pub(super) quantity: u32,
    pub(super) unit_price: rust_decimal::Decimal,
}

/// An allocation of an order as inventory-svc stores it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PieceRow {
    pub(super) sku: String,
    pub(super) warehouse: String,
    pub(super) quantity: u32,
}

/// Any value as a number that is not 0.
pub(super) fn digest(parts: impl Hash) -> u32 {
    u32::try_from(hash(parts) >> 32).unwrap_or_default().max(1)
}

/// A number for how many pieces of each SKU there are, on whichever lines or in whichever
/// warehouses.
pub(super) fn basket<'a>(pieces: impl Iterator<Item = (&'a str, u32)>) -> u32 {
    let mut counts = BTreeMap::<&str, u64>::new();
    for (sku, count) in pieces {
        *counts.entry(sku).or_default() += u64::from(count);
    }
    digest(counts)
}

/// A number for the lines of an order, in their order.
pub(super) fn lines<'a>(lines: impl Iterator<Item = (&'a str, &'a str, u32, Amount)>) -> u32 {
    digest(lines.collect::<Vec<_>>())
}

pub(super) fn lines_of(rows: &[LineRow], currency: &str) -> u32 {
    lines(rows.iter().map(|row| {
        let sku = row.sku.as_deref().unwrap_or_default();
        let price = Amount::new(ten_thousandths(row.unit_price), currency);
        (sku, row.name.as_str(), row.quantity, price)
    }))
}

/// An amount of a row's JSON, in ten-thousandths. One that does not fit is no amount of an order.
pub(super) fn ten_thousandths(amount: rust_decimal::Decimal) -> i64 {
    use rust_decimal::prelude::ToPrimitive as _;
    (amount * rust_decimal::Decimal::from(10_000)).to_i64().unwrap_or(i64::MAX)
}

pub(super) fn pieces<'a>(pieces: impl Iterator<Item = (&'a str, &'a str, u32)>) -> u32 {
    digest(pieces.collect::<Vec<_>>())
}

/// A number for the terms of a revision: what stock is asked for (a [`basket`]), and who pays how
/// much, and how, which stock passes on.
pub(super) fn terms(revision: u32, basket: u32, payer: &str, amount: Amount, method: &str) -> u32 {
    digest((revision, basket, payer, amount, method))
}

/// A number for `OrderPlaced` and `OrderConfirmed`.
pub(super) fn ordered(customer: &str, revision: u32, total: Amount, lines: u32) -> u32 {
    digest((customer, revision, total, lines))
}

/// A number for `OrderAmended`: what is ordered now, and why.
pub(super) fn amended(ordered: u32, cause: &str) -> u32 {
    digest((ordered, cause))
}

/// A number for `OrderShipped`: the carrier, and its number for the goods.
pub(super) fn shipped(customer: &str, revision: u32, how: (&str, &str)) -> u32 {
    digest((customer, revision, how))
}

/// A number for `OrderDelivered`.
pub(super) fn delivered(customer: &str, revision: u32) -> u32 {
    digest((customer, revision))
}

/// A number for `OrderAwaitingPayment`; `pay_by` is in microseconds.
pub(super) fn awaiting(customer: &str, revision: u32, amount: Amount, pay_by: i64) -> u32 {
    digest((customer, revision, amount, pay_by))
}

/// A number for `OrderCancelled`. The detail of a cancellation is not compared: it may be erased.
pub(super) fn cancelled(customer: &str, revision: u32, total: Amount, reason: &str) -> u32 {
    digest((customer, revision, total, reason))
}

/// A number for `StockReserved`, without its terms.
pub(super) fn reserved(revision: u32, pieces: u32) -> u32 {
    digest((revision, pieces))
}

/// A number for `PaymentCaptured` by method, for `PaymentDeclined` by code, and for
/// `PaymentRefunded` and `RefundRefused` by cause.
pub(super) fn paid(customer: &str, revision: u32, amount: Amount, how: &str) -> u32 {
    digest((customer, revision, amount, how))
}

/// A number for `NotificationSent`, and with a failure for `NotificationFailed`.
pub(super) fn notified(
    id: &str,
    (channel, template): (&str, &str),
    revision: u32,
    failure: &str,
) -> u32 {
    digest((id, channel, template, revision, failure))
}

/// A number for `ProductChanged`.
pub(super) fn product(name: &str, price: Amount, available: i64) -> u32 {
    digest((name, price, available))
}

/// The number of an event's content; 0 for content that no state foretells.
pub(super) fn of(event: &Event) -> u32 {
    match event {
        Event::Orders(event) => of_order(event),
        Event::Stock(Stock::StockReserved(it)) => reserved(it.revision, allocations(&it.lines)),
        Event::Stock(Stock::StockReleased(it)) => allocations(&it.lines),
        Event::Stock(Stock::StockRejected(_) | Stock::ReservationExpired(_)) => 0,
        Event::Payments(event) => of_payment(event),
        Event::Notifications(Notification::NotificationSent(it)) => {
            notified(&it.notification_id, (&it.channel, &it.template), it.revision, "")
        }
        Event::Notifications(Notification::NotificationFailed(it)) => {
            notified(&it.notification_id, (&it.channel, &it.template), it.revision, &it.failure)
        }
        Event::Catalogue(proto::catalogue::catalogue_event::Event::ProductChanged(it)) => {
            product(&it.name, Amount::from(&it.price), it.available)
        }
    }
}

/// The number of the terms that an event passes on; 0 for an event without any.
pub(super) fn terms_of(event: &Event) -> u32 {
    let (revision, pieces, said) = match event {
        Event::Orders(TopicContents::OrderPlaced(it)) => {
            (it.revision, said_basket(&it.lines), &it.terms)
        }
        Event::Orders(TopicContents::OrderAmended(it)) => {
            (it.revision, said_basket(&it.lines), &it.terms)
        }
        Event::Stock(Stock::StockReserved(it)) => {
            let pieces = it.lines.iter().map(|it| (it.sku.as_str(), it.quantity));
            (it.revision, basket(pieces), &it.terms)
        }
        _ => return 0,
    };
    said.as_ref().map_or(1, |it| {
        let amount = Amount::from(&it.amount);
        terms(revision, pieces, &it.customer_id, amount, &method(it.method()))
    })
}

fn of_order(event: &order_event::Event) -> u32 {
    match event {
        TopicContents::OrderPlaced(it) => {
            ordered(&it.customer_id, it.revision, Amount::from(&it.total), said_lines(&it.lines))
        }
        TopicContents::OrderConfirmed(it) => {
            ordered(&it.customer_id, it.revision, Amount::from(&it.total), said_lines(&it.lines))
        }
        TopicContents::OrderAwaitingPayment(it) => {
            let pay_by = chassis::clock::parse(&it.pay_by).map_or(0, micros);
            awaiting(&it.customer_id, it.revision, Amount::from(&it.amount), pay_by)
        }
        TopicContents::OrderCancelled(it) => {
            let total = Amount::from(&it.total);
            cancelled(&it.customer_id, it.revision, total, &reason(it.reason()))
        }
        TopicContents::OrderAmended(it) => {
            let (total, lines) = (Amount::from(&it.total), said_lines(&it.lines));
            amended(ordered(&it.customer_id, it.revision, total, lines), &cause(it.cause()))
        }
        TopicContents::OrderShipped(it) => {
            shipped(&it.customer_id, it.revision, (&it.carrier, &it.tracking_number))
        }
        TopicContents::OrderDelivered(it) => delivered(&it.customer_id, it.revision),
    }
}

fn of_payment(event: &Payment) -> u32 {
    match event {
        Payment::PaymentCaptured(it) => {
            paid(&it.customer_id, it.revision, Amount::from(&it.amount), &method(it.method()))
        }
        Payment::PaymentDeclined(it) => {
            paid(&it.customer_id, it.revision, Amount::from(&it.amount), &decline(it.code()))
        }
        Payment::PaymentRefunded(it) => {
            paid(&it.customer_id, it.revision, Amount::from(&it.amount), &refund_cause(it.cause()))
        }
        Payment::RefundRefused(it) => {
            paid(&it.customer_id, it.revision, Amount::from(&it.amount), &refund_cause(it.cause()))
        }
        Payment::PaymentVoided(_) => 0,
    }
}

pub(super) fn said_lines(said: &[Line]) -> u32 {
    lines(
        said.iter().map(|it| {
            (it.sku.as_str(), it.name.as_str(), it.quantity, Amount::from(&it.unit_price))
        }),
    )
}

fn allocations(said: &[Allocation]) -> u32 {
    pieces(said.iter().map(|it| (it.sku.as_str(), it.warehouse.as_str(), it.quantity)))
}

/// The pieces of an order; lines without stock have none.
fn said_basket(said: &[Line]) -> u32 {
    let goods = said.iter().filter(|it| !it.sku.is_empty());
    basket(goods.map(|it| (it.sku.as_str(), it.quantity)))
}

/// The word for how an order is to be paid.
pub(super) fn method(method: PaymentMethod) -> String {
    word(method.as_str_name(), "PAYMENT_METHOD_")
}

pub(super) fn reason(reason: CancelReason) -> String {
    word(reason.as_str_name(), "CANCEL_REASON_")
}

pub(super) fn decline(code: DeclineCode) -> String {
    word(code.as_str_name(), "DECLINE_CODE_")
}

pub(super) fn cause(cause: AmendmentCause) -> String {
    word(cause.as_str_name(), "AMENDMENT_CAUSE_")
}

fn refund_cause(cause: RefundCause) -> String {
    word(cause.as_str_name(), "REFUND_CAUSE_")
}

/// The word that services store for an enum's value: the value's name in the schema, without the
/// enum's own name before it. A value that is not specified has none.
fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix) {
        Some("UNSPECIFIED") | None => String::new(),
        Some(word) => word.to_ascii_lowercase(),
    }
}

/// An instant in microseconds since 1970.
pub(super) fn micros(at: time::OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or_default()
}

#[cfg(test)]
mod tests;
