//! `shop demo`: places one order of each kind and shows its events as they happen.

use std::{
    collections::VecDeque,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proto::topic;
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use uuid::Uuid;

use crate::{
    Home, Stack,
    api::{Api, ApiAnswer},
    audit, down,
    follow::{self, TopicEvent},
    seed, story,
    terminal::{self, Paint},
    up,
};

/// The arguments of `shop demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The gateway's port; the others are counted from it [default: as before, or 8000].
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
    /// End after the tour.
    #[arg(long)]
    pub once: bool,
}

/// The longest wait for the events of one order: none of the tour's orders takes so long by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the command: starts a stack if none runs yet, then the tour and the audit. A stack that was
/// started for the demo runs until Ctrl-C, which stops it.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let was_there = home.is_supervised();
    let up = up::Args { detach: true, backend: None, base_port: args.base_port };
    if up::run(up, home).await? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let shown = tokio::select! {
        shown = show(&args, was_there, home) => shown,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        _ = terminated.recv() => Ok(ExitCode::SUCCESS),
    };
    if !was_there {
        down::run(down::Args { fresh: false }, home).await?;
    }
    shown
}

async fn show(args: &Args, was_there: bool, home: &Home) -> anyhow::Result<ExitCode> {
    let stack = home.stack()?;
    let paint = Paint::of_stdout();
    terminal::say(paint.bold("\nfilling the shop"));
    seed::run(seed::Args { products: 50, customers: 100, stock: 1_000_000 }, home).await?;
    let topics = [topic::ORDERS, topic::PAYMENTS, topic::STOCK, topic::NOTIFICATIONS];
    let events = follow::live(&stack.kafka(), &topics)?;
    let mut tour =
        Tour { api: Api::at(&stack.gateway())?, events, early: VecDeque::new(), last: None, paint };
    tour.all().await?;

    terminal::say(paint.bold("\nshop audit"));
    let audited = audit::run(audit::Args { json: false }, home).await?;
    if args.once {
        return Ok(audited);
    }
    say_where(&stack, home, paint)?;
    if was_there {
        terminal::say("\nThe shop ran before and goes on; `down` ends it.");
        return Ok(audited);
    }
    terminal::say("\nThe shop goes on. Ctrl-C ends it.");
    std::future::pending().await
}

/// Says which addresses to open and which commands to type now.
fn say_where(stack: &Stack, home: &Home, paint: Paint) -> anyhow::Result<()> {
    let gateway = stack.gateway();
    terminal::say(paint.bold("\nopen"));
    terminal::say(format_args!("  {gateway}/v1/orders    the orders"));
    terminal::say(format_args!("  {gateway}/v1/products  the catalogue"));
    terminal::say(format_args!("  {gateway}/health       how it is"));
    let metrics = stack.private("order-svc")?;
    terminal::say(format_args!("  {metrics}/metrics      figures, as every process shows them"));
    terminal::say(format_args!("  {}        Kafka", stack.kafka()));
    terminal::say(paint.bold("\ntype"));
    let program = std::env::args().next().unwrap_or_else(|| "shop".to_owned());
    let shop = format!("{program} --home {}", home.path().display());
    terminal::say(format_args!("  {shop} order ID    one order's whole story"));
    terminal::say(format_args!("  {shop} tail        every event as it happens"));
    terminal::say(format_args!("  {shop} load --rate 200 --duration 10s"));
    terminal::say(format_args!(
        "  {shop} status      what runs; its logs are in {}/log",
        home.path().display()
    ));
    Ok(())
}

/// One tour through the shop.
struct Tour {
    api: Api,
    events: mpsc::UnboundedReceiver<TopicEvent>,
    /// Events that were read already, of an order that is shown next.
    early: VecDeque<TopicEvent>,
    /// When the last event about the order that is shown was read.
    last: Option<Instant>,
    paint: Paint,
}

impl Tour {
    async fn all(&mut self) -> anyhow::Result<()> {
        const CONFIRMATION: &str = "order_confirmation";
        self.title("paid from the customer's account");
        let order = self.place(1, 7, json!({"method": "wallet"})).await?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await?;

        self.title("paid by card, over the provider");
        let order = self.place(2, 12, json!({"method": "card", "token": "tok_visa"})).await?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await?;

        self.title("a card that is declined: what was reserved goes back");
        let order = self.place(3, 15, json!({"method": "card", "token": "tok_declined"})).await?;
        self.show(&order, &UNDONE).await?;

        self.two_want_the_last_piece().await?;

        self.title("paid later");
        let order = self.place(4, 21, json!({"method": "deferred"})).await?;
        self.show(&order, &[is_said("OrderAwaitingPayment")]).await?;
        let body =
            json!({"order_id": order, "payment_method": {"type": "card", "token": "tok_visa"}});
        terminal::say("  POST /v1/payments");
        self.last = Some(Instant::now());
        self.api.post("/v1/payments", &body).await?.ok().context("the payment was not taken")?;
        self.show(&order, &[is_notified(CONFIRMATION)]).await?;

        self.title("cancelled by the customer after the confirmation: money and goods go back");
        let order = self.place(5, 33, json!({"method": "wallet"})).await?;
        self.show(&order, &[is_said("OrderConfirmed")]).await?;
        terminal::say(format_args!("  POST /v1/orders/{order}/cancel"));
        self.last = Some(Instant::now());
        let body = json!({"reason": "changed my mind"});
        self.api.post(&format!("/v1/orders/{order}/cancel"), &body).await?.ok()?;
        self.show(&order, &[is_said("PaymentRefunded"), is_said("StockReleased")]).await
    }

    /// Both orders are accepted, for the catalogue says that there is a piece; inventory-svc then
    /// decides.
    async fn two_want_the_last_piece(&mut self) -> anyhow::Result<()> {
        self.title("two customers want the last piece");
        let body = |customer| {
            json!({"customer_id": seed::customer(customer),
                "items": [{"sku": seed::LAST_PIECE, "quantity": 1}],
                "payment": {"method": "wallet"}})
        };
        let (first, second) = (body(6), body(7));
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
        let body = json!({"customer_id": seed::customer(customer),
            "items": [{"sku": seed::sku(product), "quantity": 2}], "payment": payment});
        self.last = Some(Instant::now());
        let answer = self.api.post("/v1/orders", &body).await?;
        self.placed(answer)?.context("the order was refused")
    }

    /// Says what `POST /v1/orders` answered; returns the order's id if it was accepted.
    fn placed(&self, answer: ApiAnswer) -> anyhow::Result<Option<String>> {
        if answer.status == 409 {
            let detail = answer.body.get("detail").and_then(Value::as_str).unwrap_or_default();
            terminal::say(format_args!("  POST /v1/orders: 409 {}", self.paint.red(detail)));
            return Ok(None);
        }
        let order = answer.ok().context("the order was not taken")?;
        let id = order.get("id").and_then(Value::as_str).context("the order has no id")?;
        let (id, total) = (id.to_owned(), story::money(&order, "total_amount"));
        terminal::say(format_args!("  POST /v1/orders: 201 {} {total}", self.paint.cyan(&id)));
        Uuid::try_parse(&id).context("the order's id is none")?;
        Ok(Some(id))
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
