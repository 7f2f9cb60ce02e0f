//! `shop seed`: fills the catalogue, the shelves and the customers' accounts.
//!
//! A second run tops up what load has used, and changes nothing that is still right.

use std::{
    collections::HashMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Home, api::Api, terminal};

/// The arguments of `shop seed`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many products.
    #[arg(long, default_value_t = 50)]
    pub products: u32,
    /// How many customers.
    #[arg(long, default_value_t = 100)]
    pub customers: u32,
    /// How many pieces of each product.
    #[arg(long, default_value_t = 1_000_000)]
    pub stock: i64,
}

/// What was seeded: `seed.json` in the home, from which `load` knows what can be ordered.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SeedRecord {
    pub products: u32,
    pub customers: u32,
}

/// A product without stock.
pub const SOLD_OUT: &str = "sold-out";
/// A product with one piece.
pub const LAST_PIECE: &str = "last-piece";

/// A product whose pieces lie in two warehouses: the demo puts them there.
pub const TWO_SHELVES: &str = "two-shelves";

/// Requests at once: enough to keep the gateway busy, few enough that none waits long.
const AT_ONCE: usize = 32;
/// How long a listed product may take until it can be ordered, on a machine that starts everything.
const KNOWN_MAX: Duration = Duration::from_secs(30);
/// An account below half of this is filled up to it: about as much as one deposit may bring.
const MONEY: u32 = 9_000_000;

/// The SKU of the n-th product, counted from 1.
pub fn sku(n: u32) -> String {
    format!("product-{n:05}")
}

/// The n-th customer, counted from 1.
pub fn customer(n: u32) -> String {
    format!("customer-{n:04}")
}

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let api = Api::of(home)?;
    let began = Instant::now();
    seed(&api, &args).await?;
    let before = seeded(home)?;
    let now = SeedRecord {
        products: args.products.max(before.products),
        customers: args.customers.max(before.customers),
    };
    home.write_private("seed.json", &serde_json::to_vec(&now)?)?;
    terminal::note(format_args!("seeded in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}

/// What earlier runs have seeded here.
pub fn seeded(home: &Home) -> anyhow::Result<SeedRecord> {
    match std::fs::read(home.path().join("seed.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).context("seed.json is not what shop wrote"),
        Err(_) => Ok(SeedRecord::default()),
    }
}

/// Brings catalogue, stock, accounts and contacts to what `args` ask for.
pub async fn seed(api: &Api, args: &Args) -> anyhow::Result<()> {
    let there: HashMap<String, Value> = api
        .list("/v1/products")
        .await?
        .into_iter()
        .filter_map(|product| Some((product.get("sku")?.as_str()?.to_owned(), product)))
        .collect();
    let magic = [
        (SOLD_OUT, "Unicorn, white", "999.00", Pieces::Exactly(0)),
        (LAST_PIECE, "Signed first edition", "249.00", Pieces::Exactly(1)),
        (TWO_SHELVES, "Atlas in five volumes, one volume", "12.00", Pieces::About(0)),
    ];
    let magic = magic.map(|(sku, name, price, pieces)| Product {
        sku: sku.into(),
        name: name.into(),
        price: price.into(),
        pieces,
    });
    let products = (1..=args.products).map(|n| Product::nth(n, args.stock)).chain(magic);
    let there = &there;
    let listed = futures::stream::iter(products)
        .map(|product| async move { product.list(api, there.get(&product.sku)).await })
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, changed| async move { Ok(sum + u32::from(changed)) })
        .await?;
    terminal::note(format_args!(
        "{} products, {listed} of them new or filled up",
        args.products + 3
    ));
    // Products are listed roughly in order: once the last ones are known to order-svc, all are.
    let last = (1..=args.products).rev().take(AT_ONCE).map(sku);
    futures::stream::iter(last.chain([SOLD_OUT, LAST_PIECE, TWO_SHELVES].map(Into::into)))
        .map(|sku| until_it_can_be_ordered(api, sku))
        .buffer_unordered(AT_ONCE + 3)
        .try_for_each(|()| async { Ok(()) })
        .await?;

    let rich = futures::stream::iter(1..=args.customers)
        .map(|n| customer_with_money(api, customer(n)))
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, changed| async move { Ok(sum + u32::from(changed)) })
        .await?;
    terminal::note(format_args!("{} customers, {rich} of them given money", args.customers));
    Ok(())
}

/// Waits until order-svc knows a product: it reads the catalogue from its topic, and may have just
/// begun. An order with a price that no product has is refused for its price as soon as the product
/// is known.
async fn until_it_can_be_ordered(api: &Api, sku: String) -> anyhow::Result<()> {
    let began = Instant::now();
    let body = json!({
        "customer_id": customer(1),
        "items": [{ "sku": sku, "quantity": 1, "unit_price": { "amount": "0.01", "currency": "USD" } }],
    });
    loop {
        let answer = api.post("/v1/orders", &body).await?;
        if answer.code() == "price_changed" {
            return Ok(());
        }
        anyhow::ensure!(
            answer.code() == "unknown_product" && began.elapsed() < KNOWN_MAX,
            "{sku} cannot be ordered after {:?}: {} {}",
            began.elapsed(),
            answer.status,
            answer.body
        );
    }
}

/// A product to list.
#[derive(Debug)]
struct Product {
    sku: String,
    name: String,
    price: String,
    pieces: Pieces,
}

/// How many pieces there are to be.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    /// Filled up when half of the pieces are gone.
    About(i64),
    Exactly(i64),
}

impl Pieces {
    /// How many pieces have to be added.
    fn missing(self, available: i64) -> i64 {
        match self {
            Self::About(target) if available >= target / 2 => 0,
            Self::About(target) | Self::Exactly(target) => target - available,
        }
    }
}

impl Product {
    /// The n-th product: a colour, a thing, and a number once the words repeat.
    fn nth(n: u32, stock: i64) -> Self {
        const COLOURS: [&str; 9] =
            ["Blue", "Red", "Green", "Black", "White", "Yellow", "Grey", "Brown", "Orange"];
        const THINGS: [&str; 14] = [
            "mug", "lamp", "chair", "notebook", "backpack", "teapot", "scarf", "kettle", "clock",
            "basket", "blanket", "umbrella", "bottle", "stool",
        ];
        let word = |words: &[&'static str], at: u32| words[at as usize % words.len()];
        let words = (COLOURS.len() * THINGS.len()).try_into().unwrap_or(u32::MAX);
        let (colour, thing) = (word(&COLOURS, n - 1), word(&THINGS, n - 1));
        let series = match (n - 1) / words {
            0 => String::new(),
            more => format!(" no. {}", more + 1),
        };
        Self {
            sku: sku(n),
            name: format!("{colour} {thing}{series}"),
            price: format!("{}.{:02}", 4 + n * 7 % 60, [99, 49, 0, 95][n as usize % 4]),
            pieces: Pieces::About(stock),
        }
    }

    /// Lists the product and adds pieces to its shelf; returns whether anything had to be done.
    async fn list(&self, api: &Api, there: Option<&Value>) -> anyhow::Result<bool> {
        let amount = there.and_then(|there| there.pointer("/price/amount")?.as_str());
        let name = there.and_then(|there| there.get("name")?.as_str());
        let is_listed = amount == Some(&self.price) && name == Some(&self.name);
        if !is_listed {
            let body =
                json!({ "name": self.name, "price": { "amount": self.price, "currency": "USD" } });
            let answer = api.put(&format!("/v1/products/{}", self.sku), &body).await?;
            answer.ok().with_context(|| format!("cannot list {}", self.sku))?;
        }
        let available = there.and_then(|there| there.get("available")?.as_i64());
        let missing = self.pieces.missing(available.unwrap_or_default());
        if missing != 0 {
            let body = json!({ "warehouse": "main", "delta": missing, "reason": "seed" });
            let answer = api.post(&format!("/v1/products/{}/stock", self.sku), &body).await?;
            answer.ok().with_context(|| format!("cannot fill up {}", self.sku))?;
        }
        Ok(!is_listed || missing != 0)
    }
}

/// Opens an account, fills it up, and stores a contact; returns whether money had to be added.
async fn customer_with_money(api: &Api, customer: String) -> anyhow::Result<bool> {
    let account = format!("/v1/accounts/{customer}");
    let opened = api.post(&account, &json!({ "currency": "USD" })).await?;
    if opened.code() != "account_exists" {
        opened.ok().with_context(|| format!("cannot open an account for {customer}"))?;
    }
    let contact = json!({ "email": format!("{customer}@example.com"), "language": "en" });
    let answer = api.put(&format!("/v1/customers/{customer}/contact"), &contact).await?;
    answer.ok().with_context(|| format!("cannot note the address of {customer}"))?;

    let found = api.get(&account).await?.ok()?;
    let has: rust_decimal::Decimal = found
        .pointer("/available/amount")
        .and_then(Value::as_str)
        .and_then(|amount| amount.parse().ok())
        .with_context(|| format!("the account of {customer} tells no amount"))?;
    if has >= (MONEY / 2).into() {
        return Ok(false);
    }
    let body = json!({ "amount": format!("{MONEY}.00") });
    let answer = api.post(&format!("{account}/deposit"), &body).await?;
    answer.ok().with_context(|| format!("cannot give money to {customer}"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn products_have_names_of_their_own_and_prices_in_cents() {
        let products: Vec<_> = (1..=10_000).map(|n| Product::nth(n, 100)).collect();
        let names: HashSet<_> = products.iter().map(|product| &product.name).collect();
        assert_eq!(names.len(), products.len());
        assert_eq!(products[0].name, "Blue mug");
        assert!(
            products.iter().all(|product| product.price.rsplit_once('.').unwrap().1.len() == 2)
        );
    }

    #[test]
    fn stock_is_filled_up_when_half_is_gone() {
        assert_eq!(Pieces::About(100).missing(50), 0);
        assert_eq!(Pieces::About(100).missing(49), 51);
        assert_eq!(Pieces::Exactly(0).missing(3), -3);
        assert_eq!(Pieces::Exactly(1).missing(0), 1);
    }
}
