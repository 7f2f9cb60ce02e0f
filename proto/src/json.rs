//! Events as JSON: in the form of the schema (`raw`), and for people, as timelines, live views and
//! parked messages show them. No program reads the latter back.

use serde_json::{Map, Value, json};

use crate::{
    Event, Money, catalogue::catalogue_event, notifications::notification_event,
    orders::order_event, payments::payment_event, stock::stock_event,
};

pub(crate) fn of(event: &Event) -> Value {
    // The only error: an enum value of a newer build has no name here.
    raw(event).map_or_else(|error| json!({"unreadable": error.to_string()}), readable)
}

/// The message in Protobuf's JSON form.
pub(crate) fn raw(event: &Event) -> serde_json::Result<Value> {
    use catalogue_event::Event as Catalogue;
    use notification_event::Event as Notification;
    use order_event::Event as Order;
    use payment_event::Event as Payment;
    use serde_json::to_value;
    use stock_event::Event as Stock;

    match event {
        Event::Orders(Order::OrderPlaced(message)) => to_value(message),
        Event::Orders(Order::OrderAwaitingPayment(message)) => to_value(message),
        Event::Orders(Order::OrderConfirmed(message)) => to_value(message),
        Event::Orders(Order::OrderCancelled(message)) => to_value(message),
        Event::Orders(Order::OrderAmended(message)) => to_value(message),
        Event::Orders(Order::OrderShipped(message)) => to_value(message),
        Event::Orders(Order::OrderDelivered(message)) => to_value(message),
        Event::Payments(Payment::PaymentCaptured(message)) => to_value(message),
        Event::Payments(Payment::PaymentDeclined(message)) => to_value(message),
        Event::Payments(Payment::PaymentVoided(message)) => to_value(message),
        Event::Payments(Payment::PaymentRefunded(message)) => to_value(message),
        Event::Payments(Payment::RefundRefused(message)) => to_value(message),
        Event::Stock(Stock::StockReserved(message)) => to_value(message),
        Event::Stock(Stock::StockRejected(message)) => to_value(message),
        Event::Stock(Stock::StockReleased(message)) => to_value(message),
        Event::Stock(Stock::ReservationExpired(message)) => to_value(message),
        Event::Notifications(Notification::NotificationSent(message)) => to_value(message),
        Event::Notifications(Notification::NotificationFailed(message)) => to_value(message),
        Event::Catalogue(Catalogue::ProductChanged(message)) => to_value(message),
    }
}

fn readable(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(readable).collect(),
        Value::Object(fields) => money(&fields).unwrap_or_else(|| {
            fields.into_iter().map(|(name, value)| field(name, value)).collect()
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// The money in `fields`, if they are those of a valid money message.
fn money(fields: &Map<String, Value>) -> Option<Value> {
    let currency_code = fields.get("currency_code")?.as_str()?.to_owned();
    let units = fields.get("units")?.as_str()?.parse().ok()?;
    let nanos = fields.get("nanos")?.as_i64()?.try_into().ok()?;
    let money = Money::try_from(crate::money::Money { currency_code, units, nanos }).ok()?;
    serde_json::to_value(money).ok()
}

fn field(name: String, value: Value) -> (String, Value) {
    let value = match (name.as_str(), &value) {
        // Protobuf's JSON form writes 64-bit integers as strings.
        ("available" | "version", Value::String(text)) => {
            text.parse::<i64>().map_or(value, Value::from)
        }
        ("details", Value::Object(_)) => "sealed".into(),
        // Protobuf starts the name of each enum value with that of the enum; people do not need it.
        ("method", Value::String(text)) => word(text, "PAYMENT_METHOD_"),
        ("reason", Value::String(text)) => word(text, "CANCEL_REASON_"),
        ("code", Value::String(text)) => word(text, "DECLINE_CODE_"),
        ("cause", Value::String(text)) if text.starts_with("AMENDMENT") => {
            word(text, "AMENDMENT_CAUSE_")
        }
        ("cause", Value::String(text)) => word(text, "REFUND_CAUSE_"),
        _ => readable(value),
    };
    (name, value)
}

fn word(text: &str, prefix: &str) -> Value {
    text.strip_prefix(prefix).unwrap_or(text).to_ascii_lowercase().into()
}
