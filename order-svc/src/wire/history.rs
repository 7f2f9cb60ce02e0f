//! What an order's history stores of events, and how the order is read from it again.

use mailbox::Park;
use proto::{
    CustomerId, Event as Wire, OrderId,
    catalogue::catalogue_event::Event as Catalogue,
    money::Money as WireMoney,
    notifications::notification_event::Event as Notification,
    orders::{
        AmendmentCause as WireCause, CancelReason, Line as WireLine, PaymentMethod, Terms,
        order_event::Event as Said,
    },
    payments::payment_event::Event as Payment,
    stock::stock_event::Event as Stock,
};
use time::{Duration, OffsetDateTime};

use crate::domain::{
    AmendmentCause, Cancellation, Conclusion, HistoryEvent, Line, Method, Order, Reason, Revision,
    Shipment, order,
};

/// An event as an order's history stores it: without the ids that the order's row has, and without
/// the payment terms that only payment-svc needs.
pub fn encode_history(mut event: Wire) -> Vec<u8> {
    if let Some((order_id, customer_id)) = order_and_customer(&mut event) {
        order_id.clear();
        if let Some(customer_id) = customer_id {
            customer_id.clear();
        }
    }
    match &mut event {
        Wire::Stock(Stock::StockReserved(it)) => it.terms = None,
        Wire::Orders(Said::OrderPlaced(it)) => it.terms = it.terms.as_ref().map(kept),
        Wire::Orders(Said::OrderAmended(it)) => it.terms = it.terms.as_ref().map(kept),
        _ => {}
    }
    event.encode()
}

/// What the history keeps of the terms.
fn kept(terms: &Terms) -> Terms {
    Terms { method: terms.method, ..Terms::default() }
}

/// Reads an event of `order`'s history: as it was published, but for what only payment-svc needs.
/// `None` for an event that this build does not know: a later build stored it.
pub fn decode_history(order: &Order, topic: &str, payload: &[u8]) -> Option<Wire> {
    let mut event = Wire::decode(topic, payload).ok().flatten()?;
    let (order_id, customer_id) = order_and_customer(&mut event)?;
    *order_id = order.id.to_string();
    if let Some(customer_id) = customer_id {
        *customer_id = order.customer.to_string();
    }
    let of = |total: &Option<WireMoney>| (order.customer.to_string(), total.clone());
    let (terms, (customer_id, amount)) = match &mut event {
        Wire::Orders(Said::OrderPlaced(it)) => (&mut it.terms, of(&it.total)),
        Wire::Orders(Said::OrderAmended(it)) => (&mut it.terms, of(&it.total)),
        _ => return Some(event),
    };
    *terms = terms.take().map(|terms| Terms { customer_id, amount, ..terms });
    Some(event)
}

/// The order as it was placed, from the first event of its history.
pub fn placed_order(
    (id, customer): (OrderId, CustomerId),
    first: &Wire,
    at: OffsetDateTime,
) -> Result<Order, Park> {
    let Wire::Orders(Said::OrderPlaced(placed)) = first else {
        return Err(Park::undecodable("a history that does not begin with OrderPlaced"));
    };
    Ok(Order {
        id,
        customer,
        method: method(placed.terms.as_ref().map_or(PaymentMethod::Unspecified, Terms::method))?,
        placed_at: at,
        pay_within: Duration::seconds(placed.pay_within_seconds.into()),
        present: revision(placed.revision, (&placed.lines, placed.total.as_ref()), None, at)?,
        superseded: Vec::new(),
        updated_at: at,
        version: 1,
        stock: order::Stock::default(),
        payment: order::Payment::default(),
        confirmed_at: None,
        cancellation: None,
        shipment: None,
        notified: None,
    })
}

/// What an event of the history after the first says about the order.
pub fn history_event(event: &Wire, at: OffsetDateTime) -> Result<HistoryEvent, Park> {
    let said = match event {
        Wire::Orders(said) => said,
        other => {
            let (_, _, event) = super::heard(other)?
                .ok_or_else(|| Park::undecodable("an event about a product in a history"))?;
            return Ok(HistoryEvent::Heard(event));
        }
    };
    Ok(HistoryEvent::Said(match said {
        Said::OrderPlaced(_) => return Err(Park::undecodable("an order that is placed twice")),
        Said::OrderAwaitingPayment(_) => Conclusion::AwaitingPayment,
        Said::OrderAmended(it) => {
            let cause = Some(cause(it.cause())?);
            let asked = (it.lines.as_slice(), it.total.as_ref());
            Conclusion::Amended(revision(it.revision, asked, cause, at)?)
        }
        Said::OrderConfirmed(_) => Conclusion::Confirmed,
        Said::OrderShipped(it) => Conclusion::Shipped(Shipment {
            carrier: it.carrier.as_str().into(),
            tracking_number: it.tracking_number.as_str().into(),
            at,
            delivered_at: None,
        }),
        Said::OrderDelivered(_) => Conclusion::Delivered,
        Said::OrderCancelled(it) => Conclusion::Cancelled(Cancellation {
            reason: reason(it.reason())?,
            detail: it.detail.as_str().into(),
            by: (!it.by.is_empty()).then(|| it.by.as_str().into()),
            at,
        }),
    }))
}

fn revision(
    number: u32,
    (lines, total): (&[WireLine], Option<&WireMoney>),
    cause: Option<AmendmentCause>,
    at: OffsetDateTime,
) -> Result<Revision, Park> {
    let line = |line: &WireLine| {
        Ok(Line {
            sku: (!line.sku.is_empty()).then(|| super::sku(&line.sku)).transpose()?,
            name: line.name.as_str().into(),
            quantity: line.quantity,
            unit_price: service_kit::money_of(line.unit_price.as_ref())?,
        })
    };
    let lines = lines.iter().map(line).collect::<Result<_, Park>>()?;
    Ok(Revision { number, lines, total: service_kit::money_of(total)?, cause, at })
}

fn method(method: PaymentMethod) -> Result<Method, Park> {
    Ok(match method {
        PaymentMethod::Unspecified => return Err(Park::undecodable("an order without a method")),
        PaymentMethod::Wallet => Method::Wallet,
        PaymentMethod::Card => Method::Card,
        PaymentMethod::Deferred => Method::Deferred,
    })
}

fn reason(reason: CancelReason) -> Result<Reason, Park> {
    Ok(match reason {
        CancelReason::Unspecified => {
            return Err(Park::undecodable("a cancellation without a reason"));
        }
        CancelReason::InsufficientInventory => Reason::InsufficientInventory,
        CancelReason::PaymentDeclined => Reason::PaymentDeclined,
        CancelReason::PaymentTimeout => Reason::PaymentTimeout,
        CancelReason::ReservationExpired => Reason::ReservationExpired,
        CancelReason::CustomerRequest => Reason::CustomerRequest,
        CancelReason::StaffRequest => Reason::StaffRequest,
    })
}

fn cause(cause: WireCause) -> Result<AmendmentCause, Park> {
    Ok(match cause {
        WireCause::Unspecified => return Err(Park::undecodable("an amendment without a cause")),
        WireCause::Requested => AmendmentCause::Requested,
        WireCause::StockRejected => AmendmentCause::StockRejected,
        WireCause::CapturedFirst => AmendmentCause::CapturedFirst,
    })
}

/// The fields in which an event names its order and its customer; `None` for an event about a
/// product.
fn order_and_customer(event: &mut Wire) -> Option<(&mut String, Option<&mut String>)> {
    Some(match event {
        Wire::Orders(event) => match event {
            Said::OrderPlaced(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Said::OrderAwaitingPayment(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Said::OrderConfirmed(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Said::OrderCancelled(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Said::OrderAmended(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Said::OrderShipped(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Said::OrderDelivered(it) => (&mut it.order_id, Some(&mut it.customer_id)),
        },
        Wire::Payments(event) => match event {
            Payment::PaymentCaptured(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Payment::PaymentDeclined(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Payment::PaymentVoided(it) => (&mut it.order_id, None),
            Payment::PaymentRefunded(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            Payment::RefundRefused(it) => (&mut it.order_id, Some(&mut it.customer_id)),
        },
        Wire::Stock(event) => match event {
            Stock::StockReserved(it) => (&mut it.order_id, None),
            Stock::StockRejected(it) => (&mut it.order_id, None),
            Stock::StockReleased(it) => (&mut it.order_id, None),
            Stock::ReservationExpired(it) => (&mut it.order_id, None),
        },
        Wire::Notifications(event) => match event {
            Notification::NotificationSent(it) => (&mut it.order_id, None),
            Notification::NotificationFailed(it) => (&mut it.order_id, None),
        },
        Wire::Catalogue(Catalogue::ProductChanged(_)) => return None,
    })
}
