//! Translates between the topics' messages and the domain: the only file that knows both.

use mailbox::{Message, Park};
use proto::{
    CustomerId, OrderId, ReservationId, Sku, catalogue,
    orders::{self, order_event},
    stock,
};
use time::Duration;

use crate::{
    domain::{Allocation, Announcement, Event, Product, SkuQuantity},
    input::{Fact, Input},
};

/// What a message means to this service; `None` when it does not concern it.
pub fn decode(message: &Message, hold: Duration) -> Result<Option<Input>, Park> {
    let proto::Event::Orders(event) = service_kit::decode(message)? else { return Ok(None) };
    let read = match event {
        order_event::Event::OrderPlaced(it) => {
            let (revision, lines) = (it.revision, wanted(&it.lines)?);
            let event = Event::OrderPlaced { revision, lines, hold };
            fact(message, &it.order_id, &it.customer_id, event, it.terms)
        }
        order_event::Event::OrderAmended(it) => {
            let (revision, lines) = (it.revision, wanted(&it.lines)?);
            let event = Event::OrderAmended { revision, lines, hold };
            fact(message, &it.order_id, &it.customer_id, event, it.terms)
        }
        order_event::Event::OrderConfirmed(it) => {
            let event = Event::OrderConfirmed { revision: it.revision };
            fact(message, &it.order_id, &it.customer_id, event, None)
        }
        order_event::Event::OrderCancelled(it) => {
            let event = Event::OrderCancelled { revision: it.revision };
            fact(message, &it.order_id, &it.customer_id, event, None)
        }
        order_event::Event::OrderAwaitingPayment(_)
        | order_event::Event::OrderShipped(_)
        | order_event::Event::OrderDelivered(_) => return Ok(None),
    };
    read.map(Some)
}

fn fact(
    message: &Message,
    order: &str,
    customer: &str,
    event: Event,
    terms: Option<orders::Terms>,
) -> Result<Input, Park> {
    let order = service_kit::order_of(message, order)?;
    // Nothing here is decided by the customer's name, so that one without it stops no order.
    let customer = CustomerId::parse(customer).ok();
    Ok(Input::Heard(Box::new(Fact { order, customer, event, terms })))
}

/// What the lines want of stock: a line without a SKU, a gift wrap say, needs none.
fn wanted(lines: &[orders::Line]) -> Result<Vec<SkuQuantity>, Park> {
    lines.iter().filter(|line| !line.sku.is_empty()).map(line_of).collect()
}

fn line_of(line: &orders::Line) -> Result<SkuQuantity, Park> {
    let sku = Sku::parse(&line.sku)
        .map_err(|error| Park::undecodable(format!("line {}: {error}", line.line)))?;
    if line.quantity == 0 {
        return Err(Park::undecodable(format!("line {} wants no pieces", line.line)));
    }
    Ok(SkuQuantity { sku, quantity: line.quantity })
}

/// The event that publishes an announcement about an order's stock. The payment terms are the
/// order's, passed on unread.
pub fn encode(
    (order, reservation): (OrderId, ReservationId),
    announcement: Announcement,
    terms: Option<&orders::Terms>,
) -> proto::Event {
    let order_id = order.to_string();
    match announcement {
        Announcement::StockReserved { revision, allocations } => stock::StockReserved {
            reservation_id: reservation.to_string(),
            order_id,
            revision,
            lines: lines(allocations),
            terms: terms.cloned(),
        }
        .into(),
        Announcement::StockRejected { revision, missing } => {
            let missing = missing.into_iter().map(|short| stock::Shortage {
                sku: short.sku.to_string(),
                wanted: short.wanted,
                available: short.available,
            });
            stock::StockRejected { order_id, revision, missing: missing.collect() }.into()
        }
        Announcement::StockReleased { revision, allocations } => {
            stock::StockReleased { order_id, revision, lines: lines(allocations) }.into()
        }
        Announcement::ReservationExpired { revision } => {
            stock::ReservationExpired { order_id, revision }.into()
        }
    }
}

fn lines(allocations: Vec<Allocation>) -> Vec<stock::Allocation> {
    let line = |from: Allocation| stock::Allocation {
        sku: from.sku.to_string(),
        warehouse: from.warehouse.to_string(),
        quantity: from.quantity,
    };
    allocations.into_iter().map(line).collect()
}

/// The event that publishes the whole product as it is now.
pub fn product_changed(product: &Product) -> proto::Event {
    catalogue::ProductChanged {
        sku: product.sku.to_string(),
        name: product.name.clone(),
        price: Some(product.price.into()),
        available: product.said_available,
        version: product.version,
    }
    .into()
}
