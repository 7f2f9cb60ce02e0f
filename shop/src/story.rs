//! What an event says, in the few words that are shown beside its name.

use serde_json::Value;

use crate::members::{items, number, text};

/// The main point of an event's content: `59.98 USD by card`, `payment_declined: card_declined`.
pub fn gist(name: &str, content: &Value) -> String {
    let text = |member| text(content, member);
    match name {
        "OrderPlaced" | "OrderAmended" => {
            format!("{} for {}", money(content, "total"), list(content, "lines", a_line))
        }
        "OrderAwaitingPayment" => {
            format!("{} by {}", money(content, "amount"), text("pay_by"))
        }
        "OrderConfirmed" => money(content, "total"),
        "OrderShipped" => format!("{} {}", text("carrier"), text("tracking_number")),
        "OrderCancelled" => with_detail(text("reason"), text("detail")),
        "StockReserved" | "StockReleased" => list(content, "lines", an_allocation),
        "StockRejected" => list(content, "missing", a_shortage),
        "PaymentCaptured" => format!("{} by {}", money(content, "amount"), text("method")),
        "PaymentDeclined" => with_detail(text("code"), text("detail")),
        "PaymentRefunded" => money(content, "amount"),
        "RefundRefused" => with_detail(&money(content, "amount"), text("detail")),
        "NotificationSent" => format!("{} by {}", text("template"), text("channel")),
        "NotificationFailed" => format!("{}: {}", text("template"), text("failure")),
        _ => String::new(),
    }
}

/// A money object's member as `59.98 USD`.
pub fn money(content: &Value, member: &str) -> String {
    let part = |name: &str| Some(content.get(member)?.get(name)?.as_str()?.to_owned());
    match (part("amount"), part("currency")) {
        (Some(amount), Some(currency)) => format!("{amount} {currency}"),
        _ => String::new(),
    }
}

/// `what` with its detail, if there is one.
pub(crate) fn with_detail(what: &str, detail: &str) -> String {
    if detail.is_empty() { what.to_owned() } else { format!("{what}: {detail}") }
}

fn list(content: &Value, member: &str, show: impl Fn(&Value) -> String) -> String {
    let items = items(content, member);
    let mut shown: Vec<String> = items.iter().take(4).map(show).collect();
    match items.len() {
        0 => return "nothing".into(),
        more @ 5.. => shown.push(format!("{} more", more - 4)),
        _ => {}
    }
    shown.join(", ")
}

fn a_line(line: &Value) -> String {
    format!("{} × {}", number(line, "quantity"), text(line, "name"))
}

/// `3 × mug in main`.
pub(crate) fn an_allocation(allocation: &Value) -> String {
    let (sku, warehouse) = (text(allocation, "sku"), text(allocation, "warehouse"));
    format!("{} × {sku} in {warehouse}", number(allocation, "quantity"))
}

fn a_shortage(shortage: &Value) -> String {
    let (wanted, available) = (number(shortage, "wanted"), number(shortage, "available"));
    format!("{wanted} × {} wanted, {available} available", text(shortage, "sku"))
}

#[cfg(test)]
mod tests {
    use proto::Event;
    use proto::money::Money;
    use proto::orders::{CancelReason, OrderCancelled};
    use proto::payments::PaymentCaptured;
    use proto::stock::{Shortage, StockRejected};
    use serde_json::json;

    use super::*;

    fn of(event: impl Into<Event>) -> String {
        let event = event.into();
        gist(event.event_type().name, &event.to_json())
    }

    #[test]
    fn real_events_have_their_gist() {
        let amount = Some(Money { currency_code: "USD".into(), units: 59, nanos: 980_000_000 });
        let captured = PaymentCaptured { amount, method: 2, ..PaymentCaptured::default() };
        assert_eq!(of(captured), "59.98 USD by card");
        let reason = CancelReason::PaymentDeclined.into();
        let cancelled =
            OrderCancelled { reason, detail: "card_declined".into(), ..OrderCancelled::default() };
        assert_eq!(of(cancelled), "payment_declined: card_declined");
        let missing = vec![Shortage { sku: "mug".into(), wanted: 3, available: 1 }];
        let rejected = StockRejected { missing, ..StockRejected::default() };
        assert_eq!(of(rejected), "3 × mug wanted, 1 available");
    }

    #[test]
    fn long_lists_are_cut_and_empty_ones_named() {
        let line = json!({"quantity": 1, "sku": "a", "warehouse": "main"});
        let six = json!({ "lines": vec![line; 6] });
        assert!(gist("StockReserved", &six).ends_with("1 × a in main, 2 more"));
        assert_eq!(gist("StockReleased", &json!({})), "nothing");
    }
}
