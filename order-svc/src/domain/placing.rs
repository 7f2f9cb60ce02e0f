//! Whether an order or an amendment can be accepted: against the catalogue as this service knows it.
//!
//! The catalogue may be a moment behind, and inventory alone promises stock: what is accepted here
//! may still be rejected there. Refusals are looked for in one order: product, its currency, price,
//! quantity.

use std::{collections::BTreeMap, sync::Arc};

use proto::{Currency, CustomerId, Money, OrderId, Sku};
use time::{Duration, OffsetDateTime};

use super::{
    AmendmentCause, Announcement, Decision, Line, Method, Order, Payment, PriceChange, Refusal,
    Revision, Shortage, Status, Stock,
    decision::{amended, decided},
};

/// How often an order may be amended: what was ordered before is read with an open order.
const AMENDMENTS_MAX: u32 = 100;

/// The products for sale, by SKU.
pub type Catalogue = BTreeMap<Sku, Product>;

/// A product as inventory-svc last published it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    pub name: Arc<str>,
    pub price: Money,
    /// Pieces that inventory-svc last counted as available; a hint, not a promise.
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
    pub lines: Arc<[LineRequest]>,
    pub method: Method,
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

impl LineRequest {
    /// The SKU of a line that needs stock.
    pub fn sku(&self) -> Option<&Sku> {
        match self {
            Self::Product { sku, .. } => Some(sku),
            Self::Extra { .. } => None,
        }
    }
}

/// Accepts an order, or says why not.
pub fn place(
    request: &OrderRequest,
    catalogue: &Catalogue,
    at: OffsetDateTime,
) -> Result<Decision, Refusal> {
    let (lines, total) = priced(&request.lines, request.currency, catalogue, &|_| 0)?;
    let order = Order {
        id: request.id,
        customer: request.customer.clone(),
        method: request.method,
        placed_at: at,
        pay_within: request.pay_within,
        present: Revision { number: 1, lines, total, cause: None, at },
        superseded: Vec::new(),
        updated_at: at,
        version: 1,
        stock: Stock::default(),
        payment: Payment::default(),
        confirmed_at: None,
        cancellation: None,
        shipment: None,
        notified: None,
    };
    Ok(Decision { order, announce: Some(Announcement::Placed) })
}

/// Changes what an order asks for until it is paid, or says why not: checked like a new order, save
/// that what the order holds is there for it.
pub fn amend(
    order: &Order,
    lines: &[LineRequest],
    catalogue: &Catalogue,
    at: OffsetDateTime,
) -> Result<Decision, Refusal> {
    match order.status() {
        Status::Pending | Status::PaymentPending => {}
        status @ (Status::Paid
        | Status::Confirmed
        | Status::Shipped
        | Status::Delivered
        | Status::Cancelled) => return Err(Refusal::NotAmendable(status)),
    }
    if order.present.number > AMENDMENTS_MAX {
        return Err(Refusal::AmendedTooOften);
    }
    let currency = order.present.total.currency();
    let next = priced(lines, currency, catalogue, &|sku| order.held(sku))?;
    let conclusion = amended(order, next, AmendmentCause::Requested, at);
    Ok(decided(order.clone(), Some(conclusion), at))
}

/// The lines at the prices of the catalogue, and their total. `held` says how many pieces of a SKU
/// are there besides those that the catalogue counts as available.
fn priced(
    wanted: &[LineRequest],
    currency: Currency,
    catalogue: &Catalogue,
    held: &dyn Fn(&Sku) -> u32,
) -> Result<(Arc<[Line]>, Money), Refusal> {
    let products = known(wanted, currency, catalogue)?;
    same_prices(wanted, &products)?;
    let lines = lines(wanted, &products);
    let total = total(&lines, currency).ok_or(Refusal::TooMuch)?;
    enough(wanted, &products, held)?;
    Ok((lines.into(), total))
}

/// The catalogue's product for each line; `None` for a line that needs no stock.
fn known<'a>(
    wanted: &[LineRequest],
    currency: Currency,
    catalogue: &'a Catalogue,
) -> Result<Vec<Option<&'a Product>>, Refusal> {
    let mut unknown = Vec::new();
    let mut foreign = Vec::new();
    let mut products = Vec::with_capacity(wanted.len());
    for (index, line) in wanted.iter().enumerate() {
        let product = match line {
            LineRequest::Extra { .. } => None,
            LineRequest::Product { sku, .. } => {
                let product = catalogue.get(sku);
                match product.map(|product| product.price.currency()) {
                    None => unknown.push((index, sku.clone())),
                    Some(other) if other != currency => {
                        foreign.push((index, other));
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
    wanted: &'a [LineRequest],
    products: &'a [Option<&Product>],
) -> impl Iterator<Item = (usize, &'a Sku, u32, Option<Money>, &'a Product)> {
    wanted.iter().zip(products).enumerate().filter_map(|(index, (line, product))| match line {
        LineRequest::Product { sku, quantity, seen } => {
            Some((index, sku, *quantity, *seen, (*product)?))
        }
        LineRequest::Extra { .. } => None,
    })
}

fn same_prices(wanted: &[LineRequest], products: &[Option<&Product>]) -> Result<(), Refusal> {
    let changed: Vec<_> = sold(wanted, products)
        .filter_map(|(index, sku, _, seen, product)| {
            let seen = seen.filter(|seen| *seen != product.price)?;
            Some((index, PriceChange { sku: sku.clone(), seen, price: product.price }))
        })
        .collect();
    if changed.is_empty() { Ok(()) } else { Err(Refusal::PriceChanged(changed)) }
}

fn enough(
    wanted: &[LineRequest],
    products: &[Option<&Product>],
    held: &dyn Fn(&Sku) -> u32,
) -> Result<(), Refusal> {
    let short: Vec<_> = sold(wanted, products)
        .filter_map(|(index, sku, wanted, _, product)| {
            let available = product.available.max(0).saturating_add(held(sku).into());
            let available = u32::try_from(available).unwrap_or(u32::MAX);
            let short = Shortage { sku: sku.clone(), wanted, available };
            (wanted > available).then_some((index, short))
        })
        .collect();
    if short.is_empty() { Ok(()) } else { Err(Refusal::InsufficientInventory(short)) }
}

fn lines(wanted: &[LineRequest], products: &[Option<&Product>]) -> Vec<Line> {
    wanted
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
            lines: lines.into(),
            method: Method::Wallet,
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
        assert_eq!(decision.order.present.total, usd("64.98"));
        assert_eq!(&*decision.order.present.lines[0].name, "Blue mug");
        assert_eq!(decision.order.present.lines[1].sku, None);
        assert_eq!((decision.order.present.number, decision.order.version), (1, 1));
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
