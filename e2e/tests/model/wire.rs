//! What each service hears of the others' events: the services' `wire.rs`, but without bytes.

use inventory_svc::domain as inventory;
use order_svc::domain::{self as orders, Conclusion, Order, Revision};
use payment_svc::domain::{self as payments, Card, Due, Instrument, PaymentProvider, Token};
use time::Duration;

use crate::world::Life;

/// A token that the provider knows.
pub(crate) fn card() -> Instrument {
    let provider = PaymentProvider::Simulator;
    Instrument::Card(Card { token: Token::new("tok"), provider, face: None })
}

pub(crate) fn to_inventory(
    said: orders::Announcement,
    asked: &Revision,
) -> Option<inventory::Event> {
    let (revision, hold) = (asked.number, Duration::ZERO);
    let wanted = asked.lines.iter().filter_map(|line| {
        Some(inventory::SkuQuantity { sku: line.sku.clone()?, quantity: line.quantity })
    });
    match said {
        orders::Announcement::Placed => {
            Some(inventory::Event::OrderPlaced { revision, lines: wanted.collect(), hold })
        }
        orders::Announcement::Amended => {
            Some(inventory::Event::OrderAmended { revision, lines: wanted.collect(), hold })
        }
        orders::Announcement::Confirmed => Some(inventory::Event::OrderConfirmed { revision }),
        orders::Announcement::Cancelled => Some(inventory::Event::OrderCancelled { revision }),
        orders::Announcement::AwaitingPayment
        | orders::Announcement::Shipped
        | orders::Announcement::Delivered => None,
    }
}

pub(crate) fn to_payment((said, revision): (orders::Announcement, u32)) -> Option<payments::Event> {
    let cancelled = payments::Event::OrderCancelled { revision };
    (said == orders::Announcement::Cancelled).then_some(cancelled)
}

/// The payment terms travel with the reservation, so payment-svc need not remember an order.
pub(crate) fn terms_to_payment(
    said: &inventory::Announcement,
    order: &Order,
    life: &Life,
) -> Option<payments::Event> {
    let inventory::Announcement::StockReserved { revision, .. } = *said else { return None };
    let instrument = match order.method {
        orders::Method::Wallet => Some(Instrument::Wallet),
        orders::Method::Card => Some(card()),
        orders::Method::Deferred => None,
    };
    let (customer, amount) = (order.customer.clone(), life.asked(revision).total);
    Some(payments::Event::StockReserved(Due { customer, revision, amount, instrument }))
}

pub(crate) fn stock_to_order(said: &inventory::Announcement) -> orders::Event {
    match said {
        inventory::Announcement::StockReserved { revision, .. } => {
            orders::Event::StockReserved { revision: *revision }
        }
        inventory::Announcement::StockRejected { revision, missing } => {
            let missing = missing.iter().map(|short| orders::Shortage {
                sku: short.sku.clone(),
                wanted: short.wanted,
                available: short.available,
            });
            orders::Event::StockRejected { revision: *revision, missing: missing.collect() }
        }
        inventory::Announcement::StockReleased { .. } => orders::Event::StockReleased,
        inventory::Announcement::ReservationExpired { revision } => {
            orders::Event::ReservationExpired { revision: *revision }
        }
    }
}

pub(crate) fn payment_to_order(said: &payments::Announcement, order: &Order) -> orders::Event {
    let payment = payments::payment_id(order.id);
    match said {
        payments::Announcement::Captured { revision, amount, .. } => {
            orders::Event::PaymentCaptured { revision: *revision, payment, amount: *amount }
        }
        payments::Announcement::Declined { revision, code, .. } => {
            let code = orders::DeclineCode::parse(code.as_str()).unwrap();
            orders::Event::PaymentDeclined { revision: *revision, payment, code }
        }
        payments::Announcement::Voided { .. } => orders::Event::PaymentVoided,
        payments::Announcement::Refunded {
            amount,
            cause: payments::RefundCause::OrderCancelled,
            ..
        } => orders::Event::PaymentRefunded { amount: *amount },
        payments::Announcement::RefundRefused {
            cause: payments::RefundCause::OrderCancelled,
            ..
        } => orders::Event::RefundRefused,
        payments::Announcement::Refunded { cause: payments::RefundCause::Staff, .. }
        | payments::Announcement::RefundRefused { cause: payments::RefundCause::Staff, .. } => {
            orders::Event::Noted
        }
    }
}

/// What order-svc announces, as its own history stores it.
pub(crate) fn conclusion(said: orders::Announcement, order: &Order) -> Option<Conclusion> {
    match said {
        orders::Announcement::Placed => None,
        orders::Announcement::AwaitingPayment => Some(Conclusion::AwaitingPayment),
        orders::Announcement::Amended => Some(Conclusion::Amended(order.present.clone())),
        orders::Announcement::Confirmed => Some(Conclusion::Confirmed),
        orders::Announcement::Shipped => order.shipment.clone().map(Conclusion::Shipped),
        orders::Announcement::Delivered => Some(Conclusion::Delivered),
        orders::Announcement::Cancelled => order.cancellation.clone().map(Conclusion::Cancelled),
    }
}
