//! Drives the whole shop as its customers and operators do, breaks it, and checks what must hold.
//!
//! A [`Shop`] is a stack of its own, seeded. Nothing here sleeps for a guess: what is to come is awaited, and what
//! was last seen is told when it does not come. When a shop closes, nothing may be under way for ever and
//! `shop audit` has to be clean, whatever the test looked at.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use shop::api::{Answer, Api};
use shop::drive::Driven;
use shop::{audit, seed};

/// No order of a test takes longer, on a machine that does other things besides.
pub const WITHIN: Duration = Duration::from_secs(30);

const LOOK: Duration = Duration::from_millis(50);

/// A shop of a test's own.
#[derive(Debug)]
pub struct Shop {
    driven: Driven,
    pub api: Api,
}

impl Shop {
    /// Starts and seeds it, with settings for its processes.
    pub async fn open(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let settings = [settings, &[("SHOP_KAFKA__HEAP", "384m")]].concat();
        let driven = Driven::start(&binaries()?, &settings).await?;
        seed::run(seed::Args { products: 20, customers: 20, stock: 100_000 }, driven.home())
            .await?;
        let api = Api::at(&driven.stack()?.gateway())?;
        Ok(Self { driven, api })
    }

    /// The stack, for what only it knows.
    pub fn driven(&self) -> &Driven {
        &self.driven
    }

    /// Places an order of two pieces of the n-th product.
    pub async fn place(
        &self,
        customer: u32,
        product: u32,
        payment: Value,
    ) -> anyhow::Result<Placed> {
        let answer = self.try_place(customer, &seed::sku(product), 2, payment).await?;
        Placed::from(&answer.ok()?)
    }

    /// The same, whatever the answer.
    pub async fn try_place(
        &self,
        customer: u32,
        sku: &str,
        quantity: u32,
        payment: Value,
    ) -> anyhow::Result<Answer> {
        let body = json!({"customer_id": seed::customer(customer),
            "items": [{"sku": sku, "quantity": quantity}], "payment": payment});
        self.api.post("/v1/orders", &body).await
    }

    /// Waits until the order has this status; gives it back.
    pub async fn expect(&self, order: &Placed, status: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/orders/{}", order.id);
        self.until(&path, status, |body| body.get("status").is_some_and(|is| is == status)).await
    }

    /// Waits until the order's saga has this status; gives it back.
    pub async fn expect_saga(&self, order: &Placed, status: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/orders/{}/saga", order.id);
        self.until(&path, status, |body| body.get("status").is_some_and(|is| is == status)).await
    }

    /// Waits until what lies at `path` is as it is wanted.
    pub async fn until(
        &self,
        path: &str,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let look = async || {
            let answer = self.api.get(path).await;
            match answer {
                Ok(answer) if answer.is_ok() && is_it(&answer.body) => Ok(answer.body),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(error) => Err(format!("{error:#}")),
            }
        };
        eventually(&format!("{path}: {what}"), look).await
    }

    /// The one item of `/v1/{what}?order_id=`.
    pub async fn only(&self, what: &str, order: &Placed) -> anyhow::Result<Value> {
        let mut items = self.api.list(&format!("/v1/{what}?order_id={}", order.id)).await?;
        ensure!(items.len() == 1, "{} {what} of {}: {items:?}", items.len(), order.id);
        items.pop().context("one")
    }

    /// Audits until everything has come to its end, or does not.
    pub async fn audited(&self) -> anyhow::Result<()> {
        let stack = self.driven.stack()?;
        let look = async || match audit::audit(&stack).await {
            Ok(report) if report.ok && report.in_flight == 0 => Ok(()),
            Ok(report) => {
                let broken = report.checks.into_iter().filter(|check| !check.ok);
                Err(format!(
                    "{} in flight, broken {:?}",
                    report.in_flight,
                    broken.collect::<Vec<_>>()
                ))
            }
            Err(error) => Err(format!("{error:#}")),
        };
        eventually("a clean audit", look).await
    }

    /// Audits, and takes the shop down.
    pub async fn close(self) -> anyhow::Result<()> {
        self.audited().await?;
        self.driven.stop().await
    }
}

/// An order that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub id: String,
    /// Its total, as it was told.
    pub total: String,
}

impl Placed {
    /// From the answer to `POST /v1/orders`.
    pub fn from(order: &Value) -> anyhow::Result<Self> {
        let text = |pointer: &str| {
            let found = order.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
            found.with_context(|| format!("no {pointer} in {order}"))
        };
        Ok(Self { id: text("/id")?, total: text("/total_amount/amount")? })
    }
}

/// Looks until it is there, for as long as [`WITHIN`]; tells what was last seen instead.
pub async fn eventually<T, E: Display>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if start.elapsed() > WITHIN => {
                bail!("not within {} s: {what}; last seen: {seen}", WITHIN.as_secs())
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Where the programs lie: beside the tests, as the same build has made them.
fn binaries() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(|deps| deps.parent());
    Ok(folder.context("a test lies in target/<profile>/deps")?.to_owned())
}
