//! What order-svc's history stores of an event.

use proto::{
    Event,
    notifications::notification_event::Event as Notification,
    orders::{Terms, order_event::Event as TopicContents},
    payments::payment_event::Event as Payment,
    stock::stock_event::Event as Stock,
};

/// The bytes that order-svc's history stores of an event: without the ids that the order's row has,
/// and without what only payment-svc needs.
pub(in crate::audit) fn in_history(event: Event) -> Vec<u8> {
    let mut event = event;
    match &mut event {
        Event::Orders(said) => strip_order(said),
        Event::Stock(said) => match said {
            Stock::StockReserved(it) => {
                it.order_id.clear();
                it.terms = None;
            }
            Stock::StockRejected(it) => it.order_id.clear(),
            Stock::StockReleased(it) => it.order_id.clear(),
            Stock::ReservationExpired(it) => it.order_id.clear(),
        },
        Event::Payments(said) => {
            let (order, customer) = match said {
                Payment::PaymentCaptured(it) => (&mut it.order_id, Some(&mut it.customer_id)),
                Payment::PaymentDeclined(it) => (&mut it.order_id, Some(&mut it.customer_id)),
                Payment::PaymentVoided(it) => (&mut it.order_id, None),
                Payment::PaymentRefunded(it) => (&mut it.order_id, Some(&mut it.customer_id)),
                Payment::RefundRefused(it) => (&mut it.order_id, Some(&mut it.customer_id)),
            };
            order.clear();
            customer.into_iter().for_each(String::clear);
        }
        Event::Notifications(said) => match said {
            Notification::NotificationSent(it) => it.order_id.clear(),
            Notification::NotificationFailed(it) => it.order_id.clear(),
        },
        Event::Catalogue(_) => {}
    }
    event.encode()
}

/// The payment method is all that the history keeps of the terms.
fn kept(terms: &Terms) -> Terms {
    Terms { method: terms.method, ..Terms::default() }
}

fn strip_order(said: &mut TopicContents) {
    let (order, customer) = match said {
        TopicContents::OrderPlaced(it) => {
            it.terms = it.terms.as_ref().map(kept);
            (&mut it.order_id, &mut it.customer_id)
        }
        TopicContents::OrderAwaitingPayment(it) => (&mut it.order_id, &mut it.customer_id),
        TopicContents::OrderConfirmed(it) => (&mut it.order_id, &mut it.customer_id),
        TopicContents::OrderCancelled(it) => (&mut it.order_id, &mut it.customer_id),
        TopicContents::OrderAmended(it) => {
            it.terms = it.terms.as_ref().map(kept);
            (&mut it.order_id, &mut it.customer_id)
        }
        TopicContents::OrderShipped(it) => (&mut it.order_id, &mut it.customer_id),
        TopicContents::OrderDelivered(it) => (&mut it.order_id, &mut it.customer_id),
    };
    order.clear();
    customer.clear();
}
