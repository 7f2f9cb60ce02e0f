//! Reads messages as the shop's events, and makes events ready for the outbox.

use mailbox::{DecisionContext, Message, OutboxEvent, Park};
use proto::{Event, EventType, Money, OrderId, money::Money as WireMoney};

/// Whether this build knows events of `event_type`. Others are kept for a build that does, so that
/// an event from a newer build stops no key and is not lost.
pub fn is_known(event_type: &str) -> bool {
    EventType::named(event_type).is_some()
}

/// The event in a message, which has to be of the type that its header names. The name is looked at
/// before the bytes, because the bytes of a type that this build does not know cannot be judged.
pub fn decode(message: &Message) -> Result<Event, Park> {
    let name = &message.event_type;
    let promised = EventType::named(name)
        .ok_or_else(|| Park::undecodable(format!("this build does not know {name}")))?;
    match Event::decode(&message.topic, &message.payload) {
        Ok(Some(event)) if event.event_type() == promised => Ok(event),
        Ok(Some(event)) => {
            let said = event.event_type().name;
            Err(Park::undecodable(format!("it says {said} and calls itself {name}")))
        }
        Ok(None) => {
            Err(Park::undecodable(format!("it calls itself {name} and says nothing of that kind")))
        }
        Err(error) => Err(Park::undecodable(error.to_string())),
    }
}

/// The order that a message is about: `id` is the order id in its payload, and has to be the
/// message's key.
pub fn order_of(message: &Message, id: &str) -> Result<OrderId, Park> {
    let order = OrderId::parse(id)
        .map_err(|error| Park::undecodable(format!("its order id is {error}")))?;
    if message.key.as_deref() != Some(order.key().as_slice()) {
        return Err(Park::undecodable(format!("it is about order {order}, its key is not")));
    }
    Ok(order)
}

/// An amount that a message must have.
pub fn money_of(amount: Option<&WireMoney>) -> Result<Money, Park> {
    let amount = amount.ok_or_else(|| Park::undecodable("an amount is missing"))?;
    Money::try_from(amount.clone()).map_err(|error| Park::undecodable(error.to_string()))
}

/// An event for the outbox: the `version`th one about `key`.
pub fn announce(
    context: &DecisionContext,
    key: Vec<u8>,
    version: i64,
    event: impl Into<Event>,
) -> OutboxEvent {
    let event = event.into();
    OutboxEvent {
        event_id: context.new_id(),
        key,
        version,
        event_type: event.event_type().number,
        payload: event.encode(),
    }
}

#[cfg(test)]
mod tests {
    use mailbox::testing::message;
    use proto::{EVENT_TYPES, orders::OrderConfirmed, topic};

    use super::*;

    fn said(event_type: &str, payload: Vec<u8>) -> Result<Event, Park> {
        decode(&message(topic::ORDERS, "k", event_type, 1, payload))
    }

    /// A message of the topic with nothing that this build knows: a member with a number that none
    /// of our events has.
    fn nothing_known() -> Vec<u8> {
        vec![0xfa, 0x3e, 0x00]
    }

    fn confirmed() -> Event {
        OrderConfirmed { revision: 1, ..OrderConfirmed::default() }.into()
    }

    #[test]
    fn what_a_known_name_promises_is_read() {
        assert_eq!(said("shop.orders.v1.OrderConfirmed", confirmed().encode()), Ok(confirmed()));
    }

    #[test]
    fn a_known_name_with_other_content_or_none_parks() {
        for (name, payload) in [
            ("shop.orders.v1.OrderCancelled", confirmed().encode()),
            ("shop.orders.v1.OrderCancelled", nothing_known()),
            ("shop.orders.v1.OrderCancelled", Vec::new()),
            ("shop.orders.v1.OrderCancelled", vec![0xff, 0xff]),
            // A name of another topic.
            ("shop.stock.v1.StockReleased", confirmed().encode()),
            ("shop.stock.v1.StockReleased", nothing_known()),
        ] {
            assert!(is_known(name), "{name}");
            let park = said(name, payload.clone()).unwrap_err();
            assert_eq!(park.class, "undecodable", "{name} {payload:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_before_the_bytes_are_looked_at() {
        for name in ["shop.orders.v1.OrderSplit", "shop.orders.v2.OrderPlaced", "OrderPlaced", ""] {
            assert!(!is_known(name), "{name}");
        }
    }

    #[test]
    fn every_event_of_ours_is_known() {
        for known in EVENT_TYPES {
            assert!(is_known(&known.full_name()));
        }
    }
}
