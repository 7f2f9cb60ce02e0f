//! Whether a service takes an event in once only: the real reactor is asked.

use std::time::Duration;

use inventory_svc::{domain as inventory, reactions::Inventory, wire as inventory_wire};
use mailbox::{Reactor, testing::message};
use order_svc::{domain as orders, domain::Order, reactions::Orders, wire as order_wire};
use payment_svc::{
    domain as payments, provider::CardRouting, reactions::Payments, wire as payment_wire,
};
use proto::{Event, ReservationId, SealKeyRing};

use crate::world::{Route, Service};

/// Whether the hearing service's inbox keeps out repetitions of all events of a route that the
/// service handles.
pub(crate) fn takes_once(route: Route, order: &Order) -> bool {
    let events = match route {
        Route::OrdersToInventory | Route::OrdersToPayment => said_by_orders(order),
        Route::StockToOrder | Route::StockToPayment => said_by_inventory(order),
        Route::PaymentsToOrder => said_by_payments(order),
    };
    let read = |event: &Event| match route.hearer() {
        Service::Order => once(&Orders::default(), order, event),
        Service::Inventory => once(&Inventory { hold: time::Duration::ZERO }, order, event),
        Service::Payment => once(&payments(), order, event),
    };
    let heard: Vec<bool> = events.iter().filter_map(read).collect();
    !heard.is_empty() && heard.into_iter().all(|once| once)
}

/// Whether the event takes effect once only; `None` if the service does not handle it.
fn once<R: Reactor>(reactor: &R, order: &Order, event: &Event) -> Option<bool> {
    let (key, event_type) = (order.id.to_string(), event.event_type());
    let message = message(event_type.topic, &key, &event_type.full_name(), 1, event.encode());
    Some(reactor.read(&message).unwrap()?.once)
}

fn payments() -> Payments {
    // A seal key of 32 zero bytes.
    let seal_key = SealKeyRing::parse(&format!("{}=", "A".repeat(43))).unwrap();
    let (begun, _) = tokio::sync::mpsc::channel(1);
    let (routing, waiters) = (CardRouting::default(), service_kit::Waiters::default());
    Payments { seal_key, routing, lease: Duration::ZERO, begun, waiters }
}

fn said_by_orders(order: &Order) -> Vec<Event> {
    use orders::Announcement::{
        Amended, AwaitingPayment, Cancelled, Confirmed, Delivered, Placed, Shipped,
    };
    let said = [Placed, AwaitingPayment, Amended, Confirmed, Shipped, Delivered, Cancelled];
    said.map(|announcement| order_wire::encode(order, announcement, None)).into()
}

fn said_by_inventory(order: &Order) -> Vec<Event> {
    let terms = match order_wire::encode(order, orders::Announcement::Placed, None) {
        Event::Orders(proto::orders::order_event::Event::OrderPlaced(placed)) => placed.terms,
        _ => None,
    };
    let revision = order.present.number;
    let said = [
        inventory::Announcement::StockReserved { revision, allocations: Vec::new() },
        inventory::Announcement::StockRejected { revision, missing: Vec::new() },
        inventory::Announcement::StockReleased { revision: 1, allocations: Vec::new() },
        inventory::Announcement::ReservationExpired { revision },
    ];
    let about = (order.id, ReservationId::new(order.id.uuid()));
    said.map(|announcement| inventory_wire::encode(about, announcement, terms.as_ref())).into()
}

fn said_by_payments(order: &Order) -> Vec<Event> {
    let (revision, amount) = (order.present.number, order.present.total);
    let customer = || order.customer.clone();
    let (method, code) = (payments::Method::Wallet, payments::DeclineCode::InsufficientFunds);
    let said = [
        payments::Announcement::Captured { customer: customer(), revision, amount, method },
        payments::Announcement::Declined {
            customer: customer(),
            revision,
            amount,
            code,
            detail: "".into(),
        },
        payments::Announcement::Voided { known: true, revision },
        payments::Announcement::Refunded {
            customer: customer(),
            revision,
            number: 1,
            amount,
            cause: payments::RefundCause::OrderCancelled,
        },
        payments::Announcement::RefundRefused {
            customer: customer(),
            revision,
            number: 1,
            amount,
            cause: payments::RefundCause::OrderCancelled,
            detail: "".into(),
        },
    ];
    said.map(|announcement| payment_wire::encode(order.id, announcement)).into()
}
