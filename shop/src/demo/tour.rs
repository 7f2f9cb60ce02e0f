//! The orders of the demo, one of each kind.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    api::{Api, ApiAnswer},
    follow::TopicEvent,
    members::{items, number, text},
    seed, story,
    terminal::{self, Paint},
};

/// The longest wait for the events of one order: none of the tour's orders takes so long by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// The template of the notification that ends a happy order.
const CONFIRMATION: &str = "order_confirmation";

/// One tour through the shop.
pub(super) struct Tour {
    api: Api,
    /// The sink, which has the mail that customers get.
    mail: Api,
    events: mpsc::UnboundedReceiver<TopicEvent>,
    /// Events that were read already, of an order that is shown next.
    early: VecDeque<TopicEvent>,
    /// When the last event about the order that is shown was read.
    last: Option<Instant>,
    paint: Paint,
}

impl Tour {
    pub(super) fn new(
        api: Api,
        mail: Api,
        events: mpsc::UnboundedReceiver<TopicEvent>,
        paint: Paint,
    ) -> Self {
        Self { api, mail, events, early: VecDeque::new(), last: None, paint }
    }

    pub(super) async fn all(&mut self) -> anyhow::Result<()> {
        self.title("paid from the customer's account");
        let order = self.place(1, 7, json!({"method": "wallet"})).await?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await?;
        self.show_mail(&order).await?;

        self.title("paid by card, over the provider");
        let order = self.place(2, 12, json!({"method": "card", "token": "tok_visa"})).await?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await?;

        self.title("a card that is declined: what was reserved goes back");
        let order = self.place(3, 15, json!({"method": "card", "token": "tok_declined"})).await?;
        self.show(&order, &UNDONE).await?;

        self.two_want_the_last_piece().await?;

        self.amended_and_paid_later().await?;
        self.two_shelves_for_one_order().await?;
        self.refunded_in_part_and_shipped().await?;

        self.title("cancelled by the customer after the confirmation: money and goods go back");
        let order = self.place(5, 33, json!({"method": "wallet"})).await?;
        self.show(&order, &[is_said("OrderConfirmed")]).await?;
        let body = json!({"reason": "changed my mind"});
        self.post(&format!("/v1/orders/{order}/cancel"), &body).await?;
        self.show(&order, &[is_said("PaymentRefunded"), is_said("StockReleased")]).await
    }

    async fn amended_and_paid_later(&mut self) -> anyhow::Result<()> {
        self.title("paid later, and amended before");
        let order = self.place(4, 21, json!({"method": "deferred"})).await?;
        self.show(&order, &[is_said("OrderAwaitingPayment")]).await?;
        let items = json!([{"sku": seed::sku(21), "quantity": 1},
            {"sku": seed::sku(22), "quantity": 1}]);
        let path = format!("/v1/orders/{order}");
        terminal::say(format_args!("  PUT {path}"));
        self.last = Some(Instant::now());
        let amended = self.api.put(&path, &json!({"items": items})).await?.ok();
        let amended = amended.context("it is as it was")?;
        self.show(&order, &[is_said("OrderAwaitingPayment")]).await?;
        // Who names the amount pays it even if payment-svc hears of the amendment last.
        let body = json!({"order_id": order, "amount": amended["total_amount"],
            "payment_method": {"type": "card", "token": "tok_visa"}});
        self.post("/v1/payments", &body).await?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await
    }

    /// No warehouse has enough by itself.
    async fn two_shelves_for_one_order(&mut self) -> anyhow::Result<()> {
        self.title("not enough on one shelf: pieces from two warehouses");
        let attic = json!({"name": "Attic", "priority": 2});
        self.api.put("/v1/warehouses/attic", &attic).await?.ok()?;
        let path = format!("/v1/products/{}/stock", seed::TWO_SHELVES);
        let stock = self.api.get(&path).await?.ok()?;
        for (warehouse, pieces) in [("main", 3), ("attic", 2)] {
            let mut shelves = items(&stock, "warehouses").iter();
            let known = shelves.find(|it| it["warehouse"] == warehouse);
            let there = known.map_or(0, |it| number(it, "available"));
            if there < pieces {
                let delta = pieces - there;
                let body = json!({"warehouse": warehouse, "delta": delta, "reason": "received"});
                self.api.post(&path, &body).await?.ok()?;
            }
        }
        let body = order_of(9, seed::TWO_SHELVES, 5, &json!({"method": "wallet"}));
        let order = self.order(&body).await?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await
    }

    async fn refunded_in_part_and_shipped(&mut self) -> anyhow::Result<()> {
        self.title("shipped, and part of the money goes back");
        let order = self.place(10, 40, json!({"method": "wallet"})).await?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await?;
        let body = json!({"carrier": "post", "tracking_number": "RR123456785"});
        self.post(&format!("/v1/orders/{order}/ship"), &body).await?;
        self.show(&order, &[is_notified("order_shipped")]).await?;
        let shown = self.api.get(&format!("/v1/orders/{order}")).await?.ok()?;
        let payment = shown.pointer("/payment/payment_id").and_then(Value::as_str);
        let payment = payment.context("the order names no payment")?;
        self.post(&format!("/v1/payments/{payment}/refund"), &json!({"amount": "1.00"})).await?;
        self.show(&order, &[is_notified("payment_refunded")]).await
    }

    /// Posts, and says so; the events that follow are timed from here.
    async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<()> {
        terminal::say(format_args!("  POST {path}"));
        self.last = Some(Instant::now());
        self.api.post(path, body).await?.ok().with_context(|| format!("refused: {path}")).map(drop)
    }

    /// Both orders are accepted, for the catalogue says that there is a piece; inventory-svc then
    /// decides.
    async fn two_want_the_last_piece(&mut self) -> anyhow::Result<()> {
        self.title("two customers want the last piece");
        let [first, second] = [6, 7]
            .map(|customer| order_of(customer, seed::LAST_PIECE, 1, &json!({"method": "wallet"})));
        let began = Instant::now();
        let answers =
            tokio::join!(self.api.post("/v1/orders", &first), self.api.post("/v1/orders", &second));
        for answer in [answers.0?, answers.1?] {
            match self.placed(answer)? {
                Some(order) => {
                    self.last = Some(began);
                    self.show(&order, &ENDED).await?;
                }
                None => terminal::say("  (the second was so late that the catalogue knew)"),
            }
        }
        self.title("sold out, and the catalogue knows: refused at once");
        let body = json!({"customer_id": seed::customer(8),
            "items": [{"sku": seed::SOLD_OUT, "quantity": 1}]});
        let answer = self.api.post("/v1/orders", &body).await?;
        self.placed(answer).map(drop)
    }

    fn title(&self, words: &str) {
        terminal::say(self.paint.bold(format_args!("\n{words}")));
    }

    async fn place(
        &mut self,
        customer: u32,
        product: u32,
        payment: Value,
    ) -> anyhow::Result<String> {
        self.order(&order_of(customer, &seed::sku(product), 2, &payment)).await
    }

    /// Posts an order; the events that follow are timed from here.
    async fn order(&mut self, body: &Value) -> anyhow::Result<String> {
        self.last = Some(Instant::now());
        let answer = self.api.post("/v1/orders", body).await?;
        self.placed(answer)?.context("the order was refused")
    }

    /// Says what `POST /v1/orders` answered; returns the order's id if it was accepted.
    fn placed(&self, answer: ApiAnswer) -> anyhow::Result<Option<String>> {
        if answer.status == 409 {
            let detail = self.paint.red(text(&answer.body, "detail"));
            terminal::say(format_args!("  POST /v1/orders: 409 {detail}"));
            return Ok(None);
        }
        let order = answer.ok().context("the order was not taken")?;
        let id = order.get("id").and_then(Value::as_str).context("the order has no id")?;
        let (id, total) = (id.to_owned(), story::money(&order, "total_amount"));
        terminal::say(format_args!("  POST /v1/orders: 201 {} {total}", self.paint.cyan(&id)));
        Uuid::try_parse(&id).context("the order's id is none")?;
        Ok(Some(id))
    }

    /// Shows the mail about an order as its customer reads it.
    async fn show_mail(&self, order: &str) -> anyhow::Result<()> {
        let list = self.mail.get(&format!("/messages?q={order}&limit=1")).await?.ok()?;
        let mail = list.pointer("/items/0").context("the mail is not in the sink")?;
        let [to, subject, text] = ["to", "subject", "text"].map(|member| text(mail, member));
        terminal::say(format_args!("  to {to}: {}", self.paint.bold(subject)));
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            terminal::say(format_args!("    {}", self.paint.dim(line)));
        }
        Ok(())
    }

    /// Shows the events about an order, until one of each kind in `last` has come.
    async fn show(&mut self, order: &str, last: &[Sign]) -> anyhow::Result<()> {
        let mut missing: Vec<&Sign> = last.iter().collect();
        let until = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            let waited = tokio::time::timeout_at(until.into(), self.next_of(order)).await;
            let event = waited.ok().flatten().with_context(|| {
                format!(
                    "no {} within {} s: see `shop order {order}`",
                    missing[0].0,
                    PATIENCE.as_secs()
                )
            })?;
            let before = *self.last.get_or_insert(event.read_at);
            let took = event.read_at.saturating_duration_since(before);
            self.last = Some(event.read_at);
            let content = event.content();
            terminal::say(self.line(&event, &content, took));
            missing.retain(|(name, template)| {
                let is_it =
                    template.is_none_or(|wanted| content.get("template") == Some(&wanted.into()));
                event.name() != *name || !is_it
            });
        }
        Ok(())
    }

    fn line(&self, event: &TopicEvent, content: &Value, took: Duration) -> String {
        let millis = format!("+{}.{} ms", took.as_millis(), took.as_micros() / 100 % 10);
        let source = proto::source(&event.topic).unwrap_or_default().trim_start_matches("/shop/");
        format!(
            "  {} {source:<14} {} {}",
            self.paint.dim(format_args!("{millis:>12}")),
            self.paint.green(format_args!("{:<20}", event.name())),
            story::gist(event.name(), content),
        )
    }

    /// The next event about an order. Events about other orders are kept, because those are shown
    /// next.
    async fn next_of(&mut self, order: &str) -> Option<TopicEvent> {
        if let Some(at) = self.early.iter().position(|event| event.key == order) {
            return self.early.remove(at);
        }
        loop {
            let event = self.events.recv().await?;
            if event.key == order {
                return Some(event);
            }
            // Only the two orders for the last piece go on side by side; older events are never
            // asked for.
            self.early.truncate(1000);
            self.early.push_back(event);
        }
    }
}

/// The body of an order of one product.
fn order_of(customer: u32, sku: &str, quantity: u32, payment: &Value) -> Value {
    json!({"customer_id": seed::customer(customer),
        "items": [{"sku": sku, "quantity": quantity}], "payment": payment})
}

/// An event's name, and the template for an event about a notification.
type Sign = (&'static str, Option<&'static str>);

/// The events after which everything that was done for a cancelled order is compensated.
const UNDONE: [Sign; 3] =
    [is_said("OrderCancelled"), is_said("StockReleased"), is_said("PaymentVoided")];
/// The event that ends a confirmed or cancelled order: its customer was told.
const ENDED: [Sign; 1] = [is_said("NotificationSent")];

const fn is_said(name: &'static str) -> Sign {
    (name, None)
}

const fn is_notified(template: &'static str) -> Sign {
    ("NotificationSent", Some(template))
}
