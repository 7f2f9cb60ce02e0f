//! Translates between published events and the domain: what is heard, what is announced, and what
//! the history keeps of both.

use mailbox::{Message, Park};
use proto::{
    Event as Wire, PaymentId, Sku,
    catalogue::catalogue_event::Event as Catalogue,
    notifications::notification_event::Event as Notification,
    orders::{
        CancelReason, OrderAwaitingPayment, OrderCancelled, OrderConfirmed, OrderPlaced,
        PaymentMethod, Sealed, Terms, order_event::Event as Said,
    },
    payments::{DeclineCode as WireDecline, RefundCause, payment_event::Event as Payment},
    stock::{Shortage as WireShortage, stock_event::Event as Stock},
};

use crate::{
    domain::{Announcement, DeclineCode, Event, Line, Method, Order, Product, Reason, Shortage},
    input::{Fact, Input, Source},
};

/// The template of the one notification that is a step of the saga; others only go into the
/// history.
const CONFIRMATION: &str = "order_confirmation";

/// What a message means to this service; `None` when it does not concern it.
pub fn decode(message: &Message) -> Result<Option<Input>, Park> {
    let wire = service_kit::decode(message)?;
    let (id, source, event) = match &wire {
        // This service's own events tell it nothing new.
        Wire::Orders(_) => return Ok(None),
        Wire::Catalogue(Catalogue::ProductChanged(told)) => return product(told).map(Some),
        Wire::Stock(stock) => {
            let (id, event) = stock_event(stock)?;
            (id, Source::Stock, event)
        }
        Wire::Payments(payment) => {
            let (id, event) = payment_event(payment)?;
            (id, Source::Payments, event)
        }
        Wire::Notifications(notification) => {
            let (id, event) = notification_event(notification);
            (id, Source::Notifications, event)
        }
    };
    let order = service_kit::order_of(message, id)?;
    let (event_id, version) = (message.event_id, message.version);
    let fact = Fact { order, source, event, wire, event_id, version };
    Ok(Some(Input::Heard(Box::new(fact))))
}

/// Each of the next three reads one topic: the order id that the event names, and what it means.
fn stock_event(stock: &Stock) -> Result<(&str, Event), Park> {
    Ok(match stock {
        Stock::StockReserved(it) => {
            (it.order_id.as_str(), Event::StockReserved { revision: it.revision })
        }
        Stock::StockRejected(it) => {
            let missing = it.missing.iter().map(shortage).collect::<Result<_, _>>()?;
            (it.order_id.as_str(), Event::StockRejected { revision: it.revision, missing })
        }
        Stock::StockReleased(it) => (it.order_id.as_str(), Event::StockReleased),
        Stock::ReservationExpired(it) => {
            (it.order_id.as_str(), Event::ReservationExpired { revision: it.revision })
        }
    })
}

fn payment_event(payment: &Payment) -> Result<(&str, Event), Park> {
    Ok(match payment {
        Payment::PaymentCaptured(it) => {
            let (revision, payment) = (it.revision, payment_id(&it.payment_id)?);
            let amount = service_kit::money_of(it.amount.as_ref())?;
            (it.order_id.as_str(), Event::PaymentCaptured { revision, payment, amount })
        }
        Payment::PaymentDeclined(it) => {
            let (revision, payment) = (it.revision, payment_id(&it.payment_id)?);
            let code = match it.code() {
                WireDecline::Unspecified => {
                    return Err(Park::undecodable("a decline without a code"));
                }
                WireDecline::CardDeclined => DeclineCode::CardDeclined,
                WireDecline::InsufficientFunds => DeclineCode::InsufficientFunds,
                WireDecline::ExpiredCard => DeclineCode::ExpiredCard,
                WireDecline::NoAccount => DeclineCode::NoAccount,
                WireDecline::CurrencyMismatch => DeclineCode::CurrencyMismatch,
            };
            (it.order_id.as_str(), Event::PaymentDeclined { revision, payment, code })
        }
        Payment::PaymentVoided(it) => (it.order_id.as_str(), Event::PaymentVoided),
        Payment::PaymentRefunded(it) => {
            let event = match it.cause() {
                RefundCause::Unspecified => {
                    return Err(Park::undecodable("a refund without a cause"));
                }
                RefundCause::OrderCancelled => {
                    Event::PaymentRefunded { amount: service_kit::money_of(it.amount.as_ref())? }
                }
                RefundCause::Staff => Event::Noted,
            };
            (it.order_id.as_str(), event)
        }
        Payment::RefundRefused(it) => (it.order_id.as_str(), Event::Noted),
    })
}

fn notification_event(notification: &Notification) -> (&str, Event) {
    let (id, template, failure) = match notification {
        Notification::NotificationSent(it) => (&it.order_id, &it.template, None),
        Notification::NotificationFailed(it) => {
            (&it.order_id, &it.template, Some(it.failure.as_str().into()))
        }
    };
    let event =
        if template == CONFIRMATION { Event::ConfirmationSent { failure } } else { Event::Noted };
    (id, event)
}

fn product(told: &proto::catalogue::ProductChanged) -> Result<Input, Park> {
    let product = Product {
        name: told.name.as_str().into(),
        price: service_kit::money_of(told.price.as_ref())?,
        available: told.available,
        version: told.version,
    };
    Ok(Input::ProductChanged(sku(&told.sku)?, product))
}

fn shortage(missing: &WireShortage) -> Result<Shortage, Park> {
    let WireShortage { sku: name, wanted, available } = missing;
    Ok(Shortage { sku: sku(name)?, wanted: *wanted, available: *available })
}

fn payment_id(text: &str) -> Result<PaymentId, Park> {
    PaymentId::parse(text)
        .map_err(|wrong| Park::undecodable(format!("payment {text:?} is {wrong}")))
}

fn sku(text: &str) -> Result<Sku, Park> {
    Sku::parse(text).map_err(|wrong| Park::undecodable(format!("SKU {text:?} is {wrong}")))
}

/// The event that publishes an announcement; `details` are a card's sealed ones, for `OrderPlaced`.
pub fn encode(order: &Order, announcement: Announcement, details: Option<&Sealed>) -> Wire {
    let (order_id, customer_id) = (order.id.to_string(), order.customer.to_string());
    let (revision, total) = (order.revision, Some(order.total.into()));
    match announcement {
        Announcement::Placed => OrderPlaced {
            terms: Some(Terms {
                customer_id: customer_id.clone(),
                amount: total.clone(),
                method: method(order.method).into(),
                details: details.cloned(),
            }),
            order_id,
            customer_id,
            revision,
            lines: lines(&order.lines),
            total,
            pay_within_seconds: order.pay_within.whole_seconds().try_into().unwrap_or(u32::MAX),
        }
        .into(),
        Announcement::AwaitingPayment => {
            let pay_by = order.pay_by.map(chassis::clock::rfc3339).unwrap_or_default();
            OrderAwaitingPayment { order_id, customer_id, revision, amount: total, pay_by }.into()
        }
        Announcement::Confirmed => {
            let lines = lines(&order.lines);
            OrderConfirmed { order_id, customer_id, revision, total, lines }.into()
        }
        Announcement::Cancelled => {
            let cancellation = order.cancellation.as_ref();
            let reason = cancellation.map_or(CancelReason::Unspecified, |it| reason(it.reason));
            let by = cancellation.and_then(|it| it.by.as_deref()).unwrap_or_default().to_owned();
            let detail = cancellation.map(|it| it.detail.as_ref().to_owned()).unwrap_or_default();
            let reason = reason.into();
            OrderCancelled { order_id, customer_id, revision, reason, detail, by, total }.into()
        }
    }
}

fn lines(lines: &[Line]) -> Vec<proto::orders::Line> {
    let line = |(number, line): (u32, &Line)| proto::orders::Line {
        line: number,
        sku: line.sku.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: line.name.as_ref().to_owned(),
        quantity: line.quantity,
        unit_price: Some(line.unit_price.into()),
    };
    (1..).zip(lines).map(line).collect()
}

fn method(method: Method) -> PaymentMethod {
    match method {
        Method::Wallet => PaymentMethod::Wallet,
        Method::Card => PaymentMethod::Card,
        Method::Deferred => PaymentMethod::Deferred,
    }
}

fn reason(reason: Reason) -> CancelReason {
    match reason {
        Reason::InsufficientInventory => CancelReason::InsufficientInventory,
        Reason::PaymentDeclined => CancelReason::PaymentDeclined,
        Reason::PaymentTimeout => CancelReason::PaymentTimeout,
        Reason::ReservationExpired => CancelReason::ReservationExpired,
        Reason::CustomerRequest => CancelReason::CustomerRequest,
        Reason::StaffRequest => CancelReason::StaffRequest,
    }
}

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
        Wire::Orders(Said::OrderPlaced(it)) => {
            it.terms =
                it.terms.take().map(|terms| Terms { method: terms.method, ..Terms::default() });
        }
        _ => {}
    }
    event.encode()
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
    if let Wire::Orders(Said::OrderPlaced(it)) = &mut event {
        let (customer_id, amount) = (order.customer.to_string(), it.total.clone());
        it.terms = it.terms.take().map(|terms| Terms { customer_id, amount, ..terms });
    }
    Some(event)
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
