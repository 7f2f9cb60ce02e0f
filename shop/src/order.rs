//! `shop order`: tells one order's whole story.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Home,
    api::Api,
    members::{cell, items, text},
    story,
    terminal::{self, Paint},
};

/// The arguments of `shop order`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The order.
    pub id: Uuid,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let api = Api::of(home)?;
    let story = Story::read(&api, args.id).await?;
    if args.json {
        terminal::say(serde_json::to_value(&story)?);
    } else {
        story.lines(Paint::of_stdout()).iter().for_each(terminal::say);
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that the services show about one order.
#[derive(Debug, Serialize)]
struct Story {
    order: Value,
    saga: Value,
    events: Vec<Value>,
    payments: Vec<Value>,
    reservations: Vec<Value>,
    notifications: Vec<Value>,
}

impl Story {
    async fn read(api: &Api, id: Uuid) -> anyhow::Result<Self> {
        let (saga, events) = (format!("/v1/orders/{id}/saga"), format!("/v1/orders/{id}/events"));
        let by_order = |what: &str| format!("/v1/{what}?order_id={id}");
        Ok(Self {
            order: api.get(&format!("/v1/orders/{id}")).await?.ok()?,
            saga: api.get(&saga).await?.ok()?,
            events: api.list(&events).await?,
            payments: api.list(&by_order("payments")).await?,
            reservations: api.list(&by_order("reservations")).await?,
            notifications: api.list(&by_order("notifications")).await?,
        })
    }

    fn lines(&self, paint: Paint) -> Vec<String> {
        let mut lines = vec![format!(
            "{} {}  {}  {}  revision {}, version {}",
            paint.bold("order"),
            paint.cyan(text(&self.order, "id")),
            mood(text(&self.order, "status"), paint),
            story::money(&self.order, "total_amount"),
            cell(&self.order, "revision"),
            cell(&self.order, "version"),
        )];
        lines.push(format!(
            "  for {}, placed {}",
            text(&self.order, "customer_id"),
            text(&self.order, "created_at")
        ));
        for item in items(&self.order, "items") {
            let (quantity, name) = (cell(item, "quantity"), text(item, "name"));
            let (sku, total) = (cell(item, "sku"), story::money(item, "total"));
            lines.push(format!("  {quantity} × {name} ({sku}), {total}"));
        }
        let amendment = text(&self.order, "amendment");
        if !amendment.is_empty() {
            lines.push(format!("  amended: {amendment}"));
        }
        if let Some(shipment) = self.order.get("shipment").filter(|it| it.is_object()) {
            let [carrier, number, shipped, delivered] =
                ["carrier", "tracking_number", "shipped_at", "delivered_at"]
                    .map(|member| cell(shipment, member));
            lines.push(format!(
                "  shipped by {carrier} as {number} at {shipped}, delivered {delivered}"
            ));
        }
        if let Some(cancellation) = self.order.get("cancellation").filter(|it| it.is_object()) {
            let words = ["reason", "detail", "by"].map(|member| text(cancellation, member));
            lines.push(format!("  cancelled: {}", paint.red(words.join(" "))));
        }
        lines.push(format!("{} {}", paint.bold("saga"), mood(text(&self.saga, "status"), paint)));
        lines.extend(items(&self.saga, "steps").iter().map(|step| self.step(step, paint)));
        if let Some(expected) = self.saga.get("expected").filter(|it| it.is_object()) {
            let [step, from, by] = ["step", "from", "by"].map(|member| text(expected, member));
            let is_late = expected.get("late").and_then(Value::as_bool) == Some(true);
            let late = if is_late { paint.red(" (late)") } else { String::new() };
            lines.push(format!("  expected: {step} from {from} by {by}{late}"));
        }
        lines.push(paint.bold("timeline"));
        lines.extend(self.events.iter().map(|event| self.event(event, paint)));
        self.others(&mut lines, paint);
        lines
    }

    fn step(&self, step: &Value, paint: Paint) -> String {
        let [name, state, detail] = ["step", "state", "detail"].map(|member| text(step, member));
        let room = " ".repeat("compensated".len().saturating_sub(state.len()));
        let (state, after) = (mood(state, paint), self.after(text(step, "at")));
        format!("  {name:<18} {state}{room} {after} {detail}")
    }

    fn event(&self, event: &Value, paint: Paint) -> String {
        let name = text(event, "type").rsplit('.').next().unwrap_or_default();
        let nothing = Value::Null;
        let gist = story::gist(name, event.get("data").unwrap_or(&nothing));
        let after = paint.dim(format_args!("{:>12}", self.after(text(event, "at"))));
        let source = text(event, "source").trim_start_matches("/shop/").to_owned();
        let version = paint.bold(format_args!("v{}", cell(event, "version")));
        format!("{after} {source:<14} {name:<20} {version} {gist}")
    }

    fn others(&self, lines: &mut Vec<String>, paint: Paint) {
        for payment in &self.payments {
            let [id, method, status] =
                ["id", "method", "status"].map(|member| text(payment, member));
            let (amount, refunded) =
                (story::money(payment, "amount"), story::money(payment, "refunded"));
            let status = mood(status, paint);
            let head = paint.bold("payment");
            lines.push(format!("{head} {id}  {status}  {amount} by {method}, refunded {refunded}"));
        }
        for reservation in &self.reservations {
            let goods = items(reservation, "items").iter().map(story::an_allocation);
            let goods = goods.collect::<Vec<_>>().join(", ");
            let (head, status) = (paint.bold("reservation"), text(reservation, "status"));
            let id = text(reservation, "id");
            lines.push(format!("{head} {id}  {}  {}", mood(status, paint), goods));
        }
        for notification in &self.notifications {
            let [template, channel, to] =
                ["template", "channel", "to"].map(|it| text(notification, it));
            let status = mood(text(notification, "status"), paint);
            let failure = text(notification, "failure");
            let head = paint.bold("notification");
            lines.push(format!("{head} {template}  {status}  by {channel} to {to} {failure}"));
        }
    }

    /// How long after the order was placed: `+12.3 ms`.
    fn after(&self, at: &str) -> String {
        let placed = chassis::clock::parse(text(&self.order, "created_at"));
        match (placed, chassis::clock::parse(at)) {
            (Some(placed), Some(at)) => since(placed, at),
            _ => String::new(),
        }
    }
}

fn since(placed: OffsetDateTime, at: OffsetDateTime) -> String {
    let micros = (at - placed).whole_microseconds();
    match micros.abs() {
        0..10_000_000 => format!("{:+}.{} ms", micros / 1000, micros.abs() / 100 % 10),
        _ => format!("{:+}.{} s", micros / 1_000_000, micros.abs() / 100_000 % 10),
    }
}

fn mood(status: &str, paint: Paint) -> String {
    match status {
        "confirmed" | "completed" | "captured" | "sold" | "sent" | "shipped" | "delivered" => {
            paint.green(status)
        }
        "cancelled" | "failed" | "declined" | "compensated" | "compensating" => paint.red(status),
        other => paint.bold(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_has_its_order_saga_timeline_and_money() {
        let story = Story {
            order: json!({"id": "o", "status": "confirmed", "customer_id": "c", "revision": 1, "version": 2,
                "created_at": "2026-11-20T10:00:00.000000Z", "cancellation": null,
                "amendment": "captured_first", "shipment": {"carrier": "post", "tracking_number": "R1",
                    "shipped_at": "2026-11-21T10:00:00.000000Z", "delivered_at": null},
                "total_amount": {"amount": "59.98", "currency": "USD"},
                "items": [{"quantity": 2, "name": "Blue mug", "sku": "mug",
                    "total": {"amount": "59.98", "currency": "USD"}}]}),
            saga: json!({"status": "completed", "expected": null,
                "steps": [{"step": "inventory_reserved", "state": "completed",
                    "at": "2026-11-20T10:00:00.012300Z"}]}),
            events: vec![
                json!({"type": "OrderConfirmed", "source": "/shop/order-svc", "version": 2,
                "at": "2026-11-20T10:00:00.023400Z",
                "data": {"total": {"amount": "59.98", "currency": "USD"}}}),
            ],
            payments: vec![json!({"id": "p", "method": "card", "status": "captured",
                "amount": {"amount": "59.98", "currency": "USD"},
                "refunded": {"amount": "0.00", "currency": "USD"}})],
            reservations: Vec::new(),
            notifications: Vec::new(),
        };
        let told = story.lines(Paint::plain()).join("\n");
        for part in [
            "order o  confirmed  59.98 USD  revision 1, version 2",
            "2 × Blue mug (mug), 59.98 USD",
            "amended: captured_first",
            "shipped by post as R1 at 2026-11-21T10:00:00.000000Z, delivered -",
            "inventory_reserved completed   +12.3 ms",
            "+23.4 ms order-svc      OrderConfirmed       v2 59.98 USD",
            "payment p  captured  59.98 USD by card, refunded 0.00 USD",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }

    #[test]
    fn long_times_are_told_in_seconds() {
        let placed = chassis::clock::parse("2026-11-20T10:00:00Z").unwrap();
        assert_eq!(since(placed, placed + time::Duration::milliseconds(9999)), "+9999.0 ms");
        assert_eq!(since(placed, placed + time::Duration::milliseconds(61_250)), "+61.2 s");
    }
}
