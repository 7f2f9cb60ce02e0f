//! What people ask for: products, stock and places, each decided among its batch and answered.

use axum::http::HeaderMap;
use chassis::{Code, Problem, http};
use mailbox::{Answer, DecisionContext};
use proto::{Currency, Sku, WarehouseId};
use serde::Serialize;
use service::AmountRequest;

use crate::{
    domain::{Product, Refusal, Shelf, SkuQuantity},
    views::{AvailabilityView, ProductView, StockView, WarehouseView},
    world::{Adjustment, Kept, Warehouse, World},
};

/// A request that goes through a batch.
#[derive(Clone, Debug)]
pub enum Request {
    PutProduct {
        sku: Sku,
        name: String,
        price: AmountRequest,
        headers: HeaderMap,
    },
    AdjustStock {
        sku: Sku,
        warehouse: WarehouseId,
        delta: i64,
        reason: String,
    },
    PutWarehouse {
        id: WarehouseId,
        warehouse: Warehouse,
        headers: HeaderMap,
    },
    /// Only where an Idempotency-Key asks for the first answer: a look needs no batch.
    AskAvailability {
        items: Vec<SkuQuantity>,
    },
}

impl Request {
    /// The SKUs that it is about.
    pub fn skus(&self) -> Vec<&Sku> {
        match self {
            Self::PutProduct { sku, .. } | Self::AdjustStock { sku, .. } => vec![sku],
            Self::AskAvailability { items } => items.iter().map(|item| &item.sku).collect(),
            Self::PutWarehouse { .. } => Vec::new(),
        }
    }

    /// Whether it needs to know the places.
    pub fn names_warehouse(&self) -> bool {
        match self {
            Self::AdjustStock { .. } | Self::PutWarehouse { .. } => true,
            Self::PutProduct { .. } | Self::AskAvailability { .. } => false,
        }
    }
}

/// Does what is asked, or says why not.
pub fn answer(world: &mut World, request: &Request, context: &DecisionContext) -> Answer {
    let answered = match request {
        Request::PutProduct { sku, name, price, headers } => {
            put_product(world, sku, (name, price), headers)
        }
        Request::AdjustStock { sku, warehouse, delta, reason } => {
            let adjustment = Adjustment {
                id: context.new_id(),
                sku: sku.clone(),
                warehouse: warehouse.clone(),
                delta: *delta,
                reason: reason.clone(),
                at: context.now,
            };
            adjust_stock(world, adjustment)
        }
        Request::PutWarehouse { id, warehouse, headers } => {
            put_warehouse(world, id, warehouse, headers)
        }
        Request::AskAvailability { items } => {
            Ok(service::told(200, &AvailabilityView::new(items, &world.stock), None))
        }
    };
    answered.unwrap_or_else(|problem| service::refusal(&problem))
}

fn put_product(
    world: &mut World,
    sku: &Sku,
    (name, price): (&str, &AmountRequest),
    headers: &HeaderMap,
) -> Result<Answer, Problem> {
    let available = world.stock.available(sku);
    let currency = price.currency();
    let price = |currency| price.in_currency(currency).map_err(|fault| fault.problem("/price"));
    let status = if let Some(kept) = world.products.get_mut(sku) {
        http::if_match(headers, &etag(&ProductView::new(&kept.now, available)))?;
        // A product keeps its currency: the orders that were placed are in it.
        let price = price(kept.now.price.currency())?;
        if kept.now.name != name || kept.now.price != price {
            name.clone_into(&mut kept.now.name);
            kept.now.price = price;
            // Raised at once, so that the answer tells the version that will be said.
            kept.now.version += i64::from(world.to_say.insert(sku.clone()));
        }
        200
    } else {
        http::if_nothing_matches(headers)?;
        let price = price(currency.unwrap_or(Currency::USD))?;
        let mut product = Product::listed(sku.clone(), name.to_owned(), price);
        product.version += 1;
        world.products.insert(sku.clone(), Kept::new(product));
        world.to_say.insert(sku.clone());
        201
    };
    let product = world.products.get(sku).map(|kept| &kept.now).ok_or_else(Problem::internal)?;
    let location = (status == 201).then(|| format!("/v1/products/{sku}"));
    Ok(service::told(status, &ProductView::new(product, available), location))
}

fn adjust_stock(world: &mut World, adjustment: Adjustment) -> Result<Answer, Problem> {
    let Adjustment { sku, warehouse, delta, .. } = &adjustment;
    let Some(product) = world.products.get_mut(sku) else {
        return Err(Problem::new(Code::NotFound, format!("there is no product {sku}")));
    };
    let Some(place) = world.warehouses.get(warehouse) else {
        let wrong = format!("there is no warehouse {warehouse}");
        return Err(Problem::new(Code::InvalidValue, wrong.clone()).at(
            "/warehouse",
            Code::InvalidValue,
            wrong,
        ));
    };
    let shelf = world
        .stock
        .shelf(sku, warehouse)
        .unwrap_or(Shelf { priority: place.now.priority, ..Shelf::default() });
    let shelf = shelf.adjust(*delta).map_err(|refusal| refused(refusal, *delta))?;
    world.stock.set(sku.clone(), warehouse.clone(), shelf);
    // People see at once what they put there, and so do the orders for it.
    if *delta != 0 && world.to_say.insert(sku.clone()) {
        product.now.version += 1;
    }
    let answer = service::told(200, &StockView::new(sku, &world.stock), None);
    world.adjustments.push(adjustment);
    Ok(answer)
}

fn refused(refusal: Refusal, delta: i64) -> Problem {
    let detail = format!("{delta} is too much: {refusal}");
    match refusal {
        Refusal::StockReserved { .. } => Problem::new(Code::StockReserved, detail),
        Refusal::TooMuch => Problem::new(Code::InvalidValue, detail.clone()).at(
            "/delta",
            Code::InvalidValue,
            detail,
        ),
    }
}

fn put_warehouse(
    world: &mut World,
    id: &WarehouseId,
    warehouse: &Warehouse,
    headers: &HeaderMap,
) -> Result<Answer, Problem> {
    let status = if let Some(kept) = world.warehouses.get_mut(id) {
        http::if_match(headers, &etag(&WarehouseView::new(id, &kept.now)))?;
        kept.now = warehouse.clone();
        200
    } else {
        http::if_nothing_matches(headers)?;
        world.warehouses.insert(id.clone(), Kept::new(warehouse.clone()));
        201
    };
    Ok(service::told(status, &WarehouseView::new(id, warehouse), None))
}

/// The tag that a look at `view` would carry.
fn etag(view: &impl Serialize) -> String {
    http::etag_of(&serde_json::to_vec(view).expect("a view has text keys and plain values"))
}
