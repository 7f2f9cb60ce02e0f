//! Requests of people about products, stock and warehouses: each is decided as an item of a batch,
//! with its answer.

use axum::http::HeaderMap;
use chassis::{Problem, http};
use mailbox::{Answer, DecisionContext, Effects, Tracked};
use proto::{Currency, Sku, WarehouseId};
use service_kit::AmountRequest;

use crate::{
    domain::{Product, Shelf, Warehouse},
    input::Request,
    refusals,
    views::{AvailabilityView, ProductView, StockView, WarehouseView},
    world::{Adjustment, World},
};

/// Carries a request out, or says why not; a refusal leaves `world` as it was.
pub fn execute(world: &mut World, request: &Request, context: &DecisionContext) -> Effects {
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
            Ok(service_kit::json_answer(200, &AvailabilityView::new(items, &world.stock), None))
        }
    };
    let answer = answered.unwrap_or_else(|problem| service_kit::refusal(&problem));
    Effects { answer, ..Effects::default() }
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
    let status = if let Some(found) = world.products.get_mut(sku) {
        http::if_match(headers, &service_kit::etag(&ProductView::new(&found.now, available)))?;
        // A product keeps its currency, because orders that were placed are in it.
        let price = price(found.now.price.currency())?;
        if found.now.name != name || found.now.price != price {
            name.clone_into(&mut found.now.name);
            found.now.price = price;
            // Raised at once, so that the answer shows the version that `closing` will announce.
            found.now.version += i64::from(world.to_say.insert(sku.clone()));
        }
        200
    } else {
        http::if_nothing_matches(headers)?;
        let price = price(currency.unwrap_or(Currency::USD))?;
        let mut product = Product::listed(sku.clone(), name.to_owned(), price);
        product.version += 1;
        world.products.insert(sku.clone(), Tracked::new(product));
        world.to_say.insert(sku.clone());
        201
    };
    let product = world.products.get(sku).map(|found| &found.now).ok_or_else(Problem::internal)?;
    let location = (status == 201).then(|| format!("/v1/products/{sku}"));
    Ok(service_kit::json_answer(status, &ProductView::new(product, available), location))
}

fn adjust_stock(world: &mut World, adjustment: Adjustment) -> Result<Answer, Problem> {
    let Adjustment { sku, warehouse, delta, .. } = &adjustment;
    let Some(product) = world.products.get_mut(sku) else {
        return Err(refusals::no_product(sku));
    };
    let Some(place) = world.warehouses.get(warehouse) else {
        return Err(refusals::no_such_warehouse(warehouse));
    };
    let shelf = world
        .stock
        .shelf(sku, warehouse)
        .unwrap_or(Shelf { priority: place.now.priority, ..Shelf::default() });
    let shelf = shelf.adjust(*delta).map_err(|refusal| refusals::problem(refusal, *delta))?;
    world.stock.set(sku.clone(), warehouse.clone(), shelf);
    // Stock that people put there is announced at once, so that orders for it are accepted.
    if *delta != 0 && world.to_say.insert(sku.clone()) {
        product.now.version += 1;
    }
    let answer = service_kit::json_answer(200, &StockView::new(sku, &world.stock), None);
    world.adjustments.push(adjustment);
    Ok(answer)
}

fn put_warehouse(
    world: &mut World,
    id: &WarehouseId,
    warehouse: &Warehouse,
    headers: &HeaderMap,
) -> Result<Answer, Problem> {
    let status = if let Some(found) = world.warehouses.get_mut(id) {
        http::if_match(headers, &service_kit::etag(&WarehouseView::new(id, &found.now)))?;
        found.now = warehouse.clone();
        200
    } else {
        http::if_nothing_matches(headers)?;
        world.warehouses.insert(id.clone(), Tracked::new(warehouse.clone()));
        201
    };
    Ok(service_kit::json_answer(status, &WarehouseView::new(id, warehouse), None))
}
