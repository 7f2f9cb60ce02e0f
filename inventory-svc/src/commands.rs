//! Requests of people about products, stock, warehouses and reservations of their own: each is decided as an item of a batch,
//! with its answer.

use axum::http::HeaderMap;
use chassis::{Problem, http};
use mailbox::{Answer, DecisionContext, Effects, Tracked};
use proto::{Currency, ReservationId, Sku, WarehouseId};
use service_kit::AmountRequest;
use time::OffsetDateTime;

use crate::{
    domain::{ManualDecision, ManualReservation, Product, Shelf, SkuQuantity, Warehouse},
    input::Request,
    refusals,
    views::{AvailabilityView, ProductView, ReservationView, StockView, WarehouseView},
    world::{Adjustment, World, skus_of},
};

/// Carries a request out, or says why not; a refusal leaves `world` as it was.
pub fn execute(world: &mut World, request: &Request, context: &DecisionContext) -> Effects {
    let answered = match request {
        Request::PutProduct { sku, name, price, conditions } => {
            put_product(world, sku, (name, price), conditions)
        }
        Request::AdjustStock { sku, warehouse, delta, reason, caller } => {
            let adjustment = Adjustment {
                id: context.new_id(),
                sku: sku.clone(),
                warehouse: warehouse.clone(),
                delta: *delta,
                reason: reason.clone(),
                caller: caller.clone(),
                at: context.now,
            };
            adjust_stock(world, adjustment)
        }
        Request::PutWarehouse { id, warehouse, conditions } => {
            put_warehouse(world, id, warehouse, conditions)
        }
        Request::AskAvailability { items } => {
            Ok(service_kit::json_answer(200, &AvailabilityView::new(items, &world.stock), None))
        }
        Request::Reserve { reference, items, hold } => {
            reserve(world, (reference, items), context.now.saturating_add(*hold), context)
        }
        Request::AmendReservation { id, items, hold, conditions } => {
            let until = hold.map(|hold| context.now.saturating_add(hold));
            amend(world, (*id, conditions), (items.as_deref(), until), context.now)
        }
        Request::ReleaseReservation { id, conditions } => {
            release(world, (*id, conditions), context.now)
        }
    };
    let answer = answered.unwrap_or_else(|problem| service_kit::refusal(&problem));
    Effects { answer, ..Effects::default() }
}

fn put_product(
    world: &mut World,
    sku: &Sku,
    (name, price): (&str, &AmountRequest),
    conditions: &HeaderMap,
) -> Result<Answer, Problem> {
    let available = world.stock.available(sku);
    let currency = price.currency();
    let price = |currency| price.in_currency(currency).map_err(|fault| fault.problem("/price"));
    let status = if let Some(found) = world.products.get_mut(sku) {
        http::if_match(conditions, &service_kit::etag(&ProductView::new(&found.now, available)))?;
        // A product keeps its currency, because orders that were placed are in it.
        let price = price(found.now.price.currency())?;
        if found.now.name != name || found.now.price != price {
            name.clone_into(&mut found.now.name);
            found.now.price = price;
            world.say(sku);
        }
        200
    } else {
        http::if_nothing_matches(conditions)?;
        let price = price(currency.unwrap_or(Currency::USD))?;
        let product = Product::listed(sku.clone(), name.to_owned(), price);
        world.products.insert(sku.clone(), Tracked::new(product));
        world.say(sku);
        201
    };
    let product = world.products.get(sku).map(|found| &found.now).ok_or_else(Problem::internal)?;
    let location = (status == 201).then(|| format!("/v1/products/{sku}"));
    Ok(service_kit::json_answer(status, &ProductView::new(product, available), location))
}

fn adjust_stock(world: &mut World, adjustment: Adjustment) -> Result<Answer, Problem> {
    let Adjustment { sku, warehouse, delta, .. } = &adjustment;
    if !world.products.contains_key(sku) {
        return Err(refusals::no_product(sku));
    }
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
    if *delta != 0 {
        world.say(sku);
    }
    let answer = service_kit::json_answer(200, &StockView::new(sku, &world.stock), None);
    world.adjustments.push(adjustment);
    Ok(answer)
}

fn put_warehouse(
    world: &mut World,
    id: &WarehouseId,
    warehouse: &Warehouse,
    conditions: &HeaderMap,
) -> Result<Answer, Problem> {
    let status = if let Some(found) = world.warehouses.get_mut(id) {
        http::if_match(conditions, &service_kit::etag(&WarehouseView::new(id, &found.now)))?;
        found.now = warehouse.clone();
        200
    } else {
        http::if_nothing_matches(conditions)?;
        world.warehouses.insert(id.clone(), Tracked::new(warehouse.clone()));
        201
    };
    Ok(service_kit::json_answer(status, &WarehouseView::new(id, warehouse), None))
}

/// Holds pieces for no order: all items or none.
fn reserve(
    world: &mut World,
    (reference, items): (&Option<String>, &[SkuQuantity]),
    until: OffsetDateTime,
    context: &DecisionContext,
) -> Result<Answer, Problem> {
    known_products(world, items)?;
    let made = ManualReservation::make(reference.clone(), items, until, &world.stock);
    let decision = made.map_err(|refusal| refusals::manual(&refusal, items))?;
    Ok(changed(world, ReservationId::new(context.new_id()), decision, 201))
}

fn amend(
    world: &mut World,
    (id, conditions): (ReservationId, &HeaderMap),
    (items, until): (Option<&[SkuQuantity]>, Option<OffsetDateTime>),
    now: OffsetDateTime,
) -> Result<Answer, Problem> {
    let found = amendable(world, (id, conditions), now)?;
    known_products(world, items.unwrap_or_default())?;
    let amended = found.amend(items, until, &world.stock, now);
    let refused = |refusal| refusals::manual(&refusal, items.unwrap_or_default());
    let decision = amended.map_err(refused)?;
    Ok(changed(world, id, decision, 200))
}

fn release(
    world: &mut World,
    (id, conditions): (ReservationId, &HeaderMap),
    now: OffsetDateTime,
) -> Result<Answer, Problem> {
    let found = amendable(world, (id, conditions), now)?;
    let released = found.release(now);
    let decision = released.map_err(|refusal| refusals::manual(&refusal, &[]))?;
    Ok(changed(world, id, decision, 200))
}

/// The reservation that a request wants to change, if people may.
fn amendable<'w>(
    world: &'w World,
    (id, conditions): (ReservationId, &HeaderMap),
    now: OffsetDateTime,
) -> Result<&'w ManualReservation, Problem> {
    if let Some(order) = world.of_orders.get(&id) {
        return Err(refusals::of_order(id, *order));
    }
    let found = world.manual.get(&id).ok_or_else(|| refusals::no_reservation(id))?;
    http::if_match(conditions, &service_kit::etag(&ReservationView::manual(id, &found.now)))?;
    found.now.held_until(now).map_err(|refusal| refusals::manual(&refusal, &[]))?;
    Ok(&found.now)
}

fn known_products(world: &World, items: &[SkuQuantity]) -> Result<(), Problem> {
    let named = items.iter().map(|item| &item.sku).enumerate();
    let unknown: Vec<_> = named.filter(|(_, sku)| !world.products.contains_key(*sku)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(refusals::unknown_products(&unknown)) }
}

/// Moves the pieces of a reservation, announces their products at once, and tells what it is now.
fn changed(world: &mut World, id: ReservationId, decision: ManualDecision, status: u16) -> Answer {
    let ManualDecision { reservation, motions } = decision;
    world.apply(&motions);
    for sku in skus_of(motions.iter().flat_map(|(_, pieces)| pieces)) {
        world.say(sku);
    }
    let location = (status == 201).then(|| format!("/v1/reservations/{id}"));
    let view = ReservationView::manual(id, &reservation);
    let answer = service_kit::json_answer(status, &view, location);
    let row = world.manual.entry(id).or_insert_with(|| Tracked::new(reservation.clone()));
    row.now = reservation;
    answer
}
