//! Translates between the topics' messages and the domain: the only file that knows both.

use mailbox::{Message, Park};
use proto::{
    OrderId, Sku, catalogue,
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
    match event {
        order_event::Event::OrderPlaced(placed) => order_placed(message, placed, hold).map(Some),
        order_event::Event::OrderConfirmed(orders::OrderConfirmed {
            order_id, revision, ..
        }) => about(message, &order_id, Event::OrderConfirmed { revision }).map(Some),
        order_event::Event::OrderCancelled(orders::OrderCancelled {
            order_id, revision, ..
        }) => about(message, &order_id, Event::OrderCancelled { revision }).map(Some),
        order_event::Event::OrderAwaitingPayment(_)
        | order_event::Event::OrderAmended(_)
        | order_event::Event::OrderShipped(_)
        | order_event::Event::OrderDelivered(_) => Ok(None),
    }
}

fn order_placed(
    message: &Message,
    placed: orders::OrderPlaced,
    hold: Duration,
) -> Result<Input, Park> {
    // A line without a SKU, a gift wrap say, needs no stock.
    let lines = placed.lines.iter().filter(|line| !line.sku.is_empty()).map(line_of);
    let lines = lines.collect::<Result<_, _>>()?;
    let event = Event::OrderPlaced { revision: placed.revision, lines, hold };
    let order = service_kit::order_of(message, &placed.order_id)?;
    Ok(Input::Heard(Box::new(Fact { order, event, terms: placed.terms })))
}

fn line_of(line: &orders::Line) -> Result<SkuQuantity, Park> {
    let sku = Sku::parse(&line.sku)
        .map_err(|error| Park::undecodable(format!("line {}: {error}", line.line)))?;
    if line.quantity == 0 {
        return Err(Park::undecodable(format!("line {} wants no pieces", line.line)));
    }
    Ok(SkuQuantity { sku, quantity: line.quantity })
}

fn about(message: &Message, id: &str, event: Event) -> Result<Input, Park> {
    let order = service_kit::order_of(message, id)?;
    Ok(Input::Heard(Box::new(Fact { order, event, terms: None })))
}

/// The event that publishes an announcement about an order's stock. The payment terms are the
/// order's, passed on unread.
pub fn encode(
    order: OrderId,
    announcement: Announcement,
    terms: Option<&orders::Terms>,
) -> proto::Event {
    let order_id = order.to_string();
    match announcement {
        Announcement::StockReserved { revision, allocations } => stock::StockReserved {
            reservation_id: order_id.clone(),
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
