//! Whether an order can be accepted: against the catalogue as this service knows it.
//!
//! The catalogue may be a moment behind, and inventory alone promises stock: what is accepted here
//! may still be rejected there. Refusals are looked for in one order: product, its currency, price,
//! quantity.

use std::{collections::BTreeMap, sync::Arc};

use proto::{Currency, CustomerId, Money, OrderId, Sku};
use time::{Duration, OffsetDateTime};

use super::{Announcement, Decision, Line, Method, Order, Payment, Shortage, Stock};

/// The products for sale, by SKU.
pub type Catalogue = BTreeMap<Sku, Product>;

/// A product as inventory-svc last published it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    pub name: Arc<str>,
    pub price: Money,
    pub available: i64,
    /// Counts the product's changes: of two versions the higher one is valid.
    pub version: i64,
}

/// An order that somebody wants to place; its shape has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderRequest {
    pub id: OrderId,
    pub customer: CustomerId,
    pub currency: Currency,
    /// At least one, and no SKU twice.
    pub lines: Vec<LineRequest>,
    pub method: Method,
    pub note: Arc<str>,
    /// How long the order may wait for its payment once its stock is reserved.
    pub pay_within: Duration,
}

/// One line of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LineRequest {
    Product {
        sku: Sku,
        quantity: u32,
        /// The price that the customer saw, if the request names it.
        seen: Option<Money>,
    },
    /// Something that needs no stock.
    Extra { description: Arc<str>, quantity: u32, unit_price: Money },
}

/// Why an order is not accepted. Numbers are the indexes of the lines concerned, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("unknown product")]
    UnknownProduct(Vec<(usize, Sku)>),
    #[error("the product is sold in another currency")]
    OtherCurrency(Vec<(usize, Currency)>),
    /// With the price of the catalogue and the one that was seen.
    #[error("the price has changed")]
    PriceChanged(Vec<(usize, PriceChange)>),
    #[error("the order comes to more than any payment can be")]
    TooMuch,
    #[error("insufficient inventory")]
    InsufficientInventory(Vec<(usize, Shortage)>),
}

/// A line whose price is not the one that the customer saw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PriceChange {
    pub sku: Sku,
    pub seen: Money,
    pub price: Money,
}

/// Accepts an order, or says why not.
pub fn place(
    request: &OrderRequest,
    catalogue: &Catalogue,
    at: OffsetDateTime,
) -> Result<Decision, Refusal> {
    let products = known(request, catalogue)?;
    same_prices(request, &products)?;
    let lines = lines(request, &products);
    let total = total(&lines, request.currency).ok_or(Refusal::TooMuch)?;
    enough(request, &products)?;
    let order = Order {
        id: request.id,
        customer: request.customer.clone(),
        lines: lines.into(),
        total,
        method: request.method,
        note: Arc::clone(&request.note),
        placed_at: at,
        updated_at: at,
        revision: 1,
        version: 1,
        stock: Stock::default(),
        payment: Payment::default(),
        confirmed_at: None,
        cancellation: None,
        pay_within: request.pay_within,
        pay_by: None,
        notified: None,
    };
    Ok(Decision { order, announce: Some(Announcement::Placed) })
}

/// The catalogue's product for each line; `None` for a line that needs no stock.
fn known<'a>(
    request: &OrderRequest,
    catalogue: &'a Catalogue,
) -> Result<Vec<Option<&'a Product>>, Refusal> {
    let mut unknown = Vec::new();
    let mut foreign = Vec::new();
    let mut products = Vec::with_capacity(request.lines.len());
    for (place, line) in request.lines.iter().enumerate() {
        let product = match line {
            LineRequest::Extra { .. } => None,
            LineRequest::Product { sku, .. } => {
                let product = catalogue.get(sku);
                match product.map(|product| product.price.currency()) {
                    None => unknown.push((place, sku.clone())),
                    Some(currency) if currency != request.currency => {
                        foreign.push((place, currency));
                    }
                    Some(_) => {}
                }
                product
            }
        };
        products.push(product);
    }
    if !unknown.is_empty() {
        return Err(Refusal::UnknownProduct(unknown));
    }
    if foreign.is_empty() { Ok(products) } else { Err(Refusal::OtherCurrency(foreign)) }
}

/// Every line that names a product, with its index.
fn sold<'a>(
    request: &'a OrderRequest,
    products: &'a [Option<&Product>],
) -> impl Iterator<Item = (usize, &'a Sku, u32, Option<Money>, &'a Product)> {
    request.lines.iter().zip(products).enumerate().filter_map(|(place, (line, product))| match line
    {
        LineRequest::Product { sku, quantity, seen } => {
            Some((place, sku, *quantity, *seen, (*product)?))
        }
        LineRequest::Extra { .. } => None,
    })
}

fn same_prices(request: &OrderRequest, products: &[Option<&Product>]) -> Result<(), Refusal> {
    let changed: Vec<_> = sold(request, products)
        .filter_map(|(place, sku, _, seen, product)| {
            let seen = seen.filter(|seen| *seen != product.price)?;
            Some((place, PriceChange { sku: sku.clone(), seen, price: product.price }))
        })
        .collect();
    if changed.is_empty() { Ok(()) } else { Err(Refusal::PriceChanged(changed)) }
}

fn enough(request: &OrderRequest, products: &[Option<&Product>]) -> Result<(), Refusal> {
    let short: Vec<_> = sold(request, products)
        .filter(|(_, _, quantity, _, product)| i64::from(*quantity) > product.available)
        .map(|(place, sku, wanted, _, product)| {
            let available = u32::try_from(product.available.max(0)).unwrap_or(u32::MAX);
            (place, Shortage { sku: sku.clone(), wanted, available })
        })
        .collect();
    if short.is_empty() { Ok(()) } else { Err(Refusal::InsufficientInventory(short)) }
}

fn lines(request: &OrderRequest, products: &[Option<&Product>]) -> Vec<Line> {
    request
        .lines
        .iter()
        .zip(products)
        .filter_map(|(line, product)| {
            Some(match line {
                LineRequest::Product { sku, quantity, .. } => {
                    let product = (*product)?;
                    Line {
                        sku: Some(sku.clone()),
                        name: Arc::clone(&product.name),
                        quantity: *quantity,
                        unit_price: product.price,
                    }
                }
                LineRequest::Extra { description, quantity, unit_price } => Line {
                    sku: None,
                    name: Arc::clone(description),
                    quantity: *quantity,
                    unit_price: *unit_price,
                },
            })
        })
        .collect()
}

fn total(lines: &[Line], currency: Currency) -> Option<Money> {
    let mut total = Money::zero(currency);
    for line in lines {
        total = total.plus(line.total()).ok()?;
    }
    // A payment has to be able to carry the total: `Money::parse` checks the limits of one amount.
    Money::parse(&total.amount_text(), currency).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(text: &str) -> Sku {
        Sku::parse(text).unwrap()
    }

    fn usd(text: &str) -> Money {
        Money::parse(text, Currency::USD).unwrap()
    }

    fn catalogue() -> Catalogue {
        let product = |name: &str, price, available| Product {
            name: name.into(),
            price,
            available,
            version: 1,
        };
        let yen = Money::parse("300", Currency::parse("JPY").unwrap()).unwrap();
        [
            (sku("mug"), product("Blue mug", usd("29.99"), 5)),
            (sku("pot"), product("Tea pot", usd("9999999.99"), 5)),
            (sku("fan"), product("Fan", yen, 5)),
        ]
        .into()
    }

    fn asked(lines: Vec<LineRequest>) -> OrderRequest {
        OrderRequest {
            id: OrderId::parse("01932c1e-7b5a-7c3d-8e4f-0123456789ab").unwrap(),
            customer: CustomerId::parse("customer-456").unwrap(),
            currency: Currency::USD,
            lines,
            method: Method::Wallet,
            note: "".into(),
            pay_within: Duration::MINUTE,
        }
    }

    fn line(name: &str, quantity: u32, seen: Option<&str>) -> LineRequest {
        LineRequest::Product { sku: sku(name), quantity, seen: seen.map(usd) }
    }

    fn refused(lines: Vec<LineRequest>) -> Refusal {
        place(&asked(lines), &catalogue(), OffsetDateTime::UNIX_EPOCH).unwrap_err()
    }

    #[test]
    fn names_and_prices_are_those_of_the_catalogue() {
        let wrap = LineRequest::Extra {
            description: "gift wrap".into(),
            quantity: 1,
            unit_price: usd("5.00"),
        };
        let request = asked(vec![line("mug", 2, Some("29.99")), wrap]);

        let decision = place(&request, &catalogue(), OffsetDateTime::UNIX_EPOCH).unwrap();

        assert_eq!(decision.announce, Some(Announcement::Placed));
        assert_eq!(decision.order.total, usd("64.98"));
        assert_eq!(&*decision.order.lines[0].name, "Blue mug");
        assert_eq!(decision.order.lines[1].sku, None);
        assert_eq!((decision.order.revision, decision.order.version), (1, 1));
    }

    #[test]
    fn refusals_are_looked_for_in_one_order() {
        let unknown = line("jug", 9, Some("1.00"));
        let foreign = line("fan", 9, None);
        let dearer = line("mug", 9, Some("1.00"));
        let short = line("mug", 9, None);

        let all = vec![unknown, foreign.clone(), dearer.clone()];
        assert_eq!(refused(all), Refusal::UnknownProduct(vec![(0, sku("jug"))]));
        let yen = Currency::parse("JPY").unwrap();
        assert_eq!(refused(vec![dearer.clone(), foreign]), Refusal::OtherCurrency(vec![(1, yen)]));
        let change = PriceChange { sku: sku("mug"), seen: usd("1.00"), price: usd("29.99") };
        assert_eq!(refused(vec![dearer]), Refusal::PriceChanged(vec![(0, change)]));
        let shortage = Shortage { sku: sku("mug"), wanted: 9, available: 5 };
        assert_eq!(refused(vec![short]), Refusal::InsufficientInventory(vec![(0, shortage)]));
        assert_eq!(refused(vec![line("pot", 2, None)]), Refusal::TooMuch);
    }
}
