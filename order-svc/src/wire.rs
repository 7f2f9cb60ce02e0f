//! Translates between published events and the domain: what is heard, what is announced, and what
//! the history keeps of both.

mod history;

use mailbox::{Message, Park};
use proto::{
    Event as Wire, PaymentId, Sku,
    catalogue::catalogue_event::Event as Catalogue,
    notifications::notification_event::Event as Notification,
    orders::{
        AmendmentCause as WireCause, CancelReason, OrderAmended, OrderAwaitingPayment,
        OrderCancelled, OrderConfirmed, OrderDelivered, OrderPlaced, OrderShipped, PaymentMethod,
        Sealed, Terms,
    },
    payments::{DeclineCode as WireDecline, RefundCause, payment_event::Event as Payment},
    stock::{Shortage as WireShortage, stock_event::Event as Stock},
};

pub use self::history::{decode_history, encode_history, history_event, placed_order};
use crate::{
    domain::{
        AmendmentCause, Announcement, DeclineCode, Event, Line, Method, Order, Product, Reason,
        Shortage,
    },
    input::{Fact, Input, Source},
};

/// The template of the one notification that is a step of the saga; others only go into the
/// history.
const CONFIRMATION: &str = "order_confirmation";

/// What a message means to this service; `None` when it does not concern it.
pub fn decode(message: &Message) -> Result<Option<Input>, Park> {
    let wire = service_kit::decode(message)?;
    if let Wire::Catalogue(Catalogue::ProductChanged(told)) = &wire {
        return product(told).map(Some);
    }
    let Some((id, source, event)) = heard(&wire)? else { return Ok(None) };
    let order = service_kit::order_of(message, id)?;
    let (event_id, version) = (message.event_id, message.version);
    let fact = Fact { order, source, event, wire, event_id, version };
    Ok(Some(Input::Heard(Box::new(fact))))
}

/// What an event of another service says about an order: the order's id, and the fact. `None` for
/// this service's own events, which tell it nothing new, and for those about products.
fn heard(wire: &Wire) -> Result<Option<(&str, Source, Event)>, Park> {
    let (source, (id, event)) = match wire {
        Wire::Orders(_) | Wire::Catalogue(_) => return Ok(None),
        Wire::Stock(stock) => (Source::Stock, stock_event(stock)?),
        Wire::Payments(payment) => (Source::Payments, payment_event(payment)?),
        Wire::Notifications(notification) => {
            (Source::Notifications, notification_event(notification))
        }
    };
    Ok(Some((id, source, event)))
}

/// What an event about stock says about an order: the order's id, and the fact.
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

/// What an event about a payment says about an order.
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
            let event = refund(it.cause(), || {
                Ok(Event::PaymentRefunded { amount: service_kit::money_of(it.amount.as_ref())? })
            });
            (it.order_id.as_str(), event?)
        }
        Payment::RefundRefused(it) => {
            (it.order_id.as_str(), refund(it.cause(), || Ok(Event::RefundRefused))?)
        }
    })
}

/// What news of a refund means: only that of a cancelled order answers something. What staff give
/// back, the order only notes.
fn refund(cause: RefundCause, answer: impl FnOnce() -> Result<Event, Park>) -> Result<Event, Park> {
    match cause {
        RefundCause::Unspecified => Err(Park::undecodable("a refund without a cause")),
        RefundCause::OrderCancelled => answer(),
        RefundCause::Staff => Ok(Event::Noted),
    }
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

/// The event that publishes an announcement; `details` are a card's sealed ones, for the terms.
pub fn encode(order: &Order, announcement: Announcement, details: Option<&Sealed>) -> Wire {
    let (order_id, customer_id) = (order.id.to_string(), order.customer.to_string());
    let (revision, total) = (order.present.number, Some(order.present.total.into()));
    match announcement {
        Announcement::Placed => OrderPlaced {
            terms: Some(terms(order, details)),
            order_id,
            customer_id,
            revision,
            lines: lines(&order.present.lines),
            total,
            pay_within_seconds: pay_within(order),
        }
        .into(),
        Announcement::Amended => OrderAmended {
            terms: Some(terms(order, details)),
            order_id,
            customer_id,
            revision,
            lines: lines(&order.present.lines),
            total,
            pay_within_seconds: pay_within(order),
            cause: order.present.cause.map_or(WireCause::Unspecified, cause).into(),
        }
        .into(),
        Announcement::AwaitingPayment => {
            let pay_by = order.pay_by().map(chassis::clock::rfc3339).unwrap_or_default();
            OrderAwaitingPayment { order_id, customer_id, revision, amount: total, pay_by }.into()
        }
        Announcement::Confirmed => {
            let lines = lines(&order.present.lines);
            OrderConfirmed { order_id, customer_id, revision, total, lines }.into()
        }
        Announcement::Shipped => {
            let shipment = order.shipment.as_ref();
            let carrier = shipment.map_or("", |it| &it.carrier).to_owned();
            let tracking_number = shipment.map_or("", |it| &it.tracking_number).to_owned();
            OrderShipped { order_id, customer_id, carrier, tracking_number, revision }.into()
        }
        Announcement::Delivered => OrderDelivered { order_id, customer_id, revision }.into(),
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

/// What payment-svc needs to charge for the present revision.
fn terms(order: &Order, details: Option<&Sealed>) -> Terms {
    Terms {
        customer_id: order.customer.to_string(),
        amount: Some(order.present.total.into()),
        method: method(order.method).into(),
        details: details.cloned(),
    }
}

fn pay_within(order: &Order) -> u32 {
    order.pay_within.whole_seconds().try_into().unwrap_or(u32::MAX)
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

fn cause(cause: AmendmentCause) -> WireCause {
    match cause {
        AmendmentCause::Requested => WireCause::Requested,
        AmendmentCause::StockRejected => WireCause::StockRejected,
        AmendmentCause::CapturedFirst => WireCause::CapturedFirst,
    }
}
