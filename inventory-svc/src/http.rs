//! Products, stock, warehouses and reservations over HTTP: reads are answered from the rows,
//! changes go through a batch.

mod bodies;
mod openapi;

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, post, put},
};
use chassis::{
    Caller, Problem,
    http::{self, HttpResult, NoParams, Params},
};
use mailbox::Mailbox;
use proto::{ReservationId, Sku, WarehouseId};
use service_kit::{CommandRequest, RequestInfo};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    domain::{Shelf, Stock},
    input::{Input, Request},
    reactions::Inventory,
    refusals::{no_product, no_reservation},
    search::Search,
    store,
    views::{
        AdjustmentView, AvailabilityView, ProductView, ReservationView, StockView, WarehouseView,
    },
};

pub use openapi::operations;

/// What the cursors of each list are marked with, so that no other list takes them.
const PRODUCTS: &str = "products";
const WAREHOUSES: &str = "warehouses";
const ADJUSTMENTS: &str = "adjustments";
/// Products that one page of a search looks through at most, so that a rare word cannot make it
/// read them all.
const STRETCH: i64 = 10_000;

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    pub pool: PgPool,
    pub mailbox: Mailbox<Inventory>,
}

impl AppState {
    async fn submit(&self, asked: &CommandRequest, request: Request) -> HttpResult {
        service_kit::submit(&self.mailbox, asked.command(Input::Request(request))?).await
    }
}

/// All routes of this service.
pub fn router(app: AppState) -> Router {
    let operators = service_kit::operators(&app.mailbox, crate::NAME);
    Router::new()
        .route("/v1/products", get(list_products))
        .route("/v1/products/{sku}", get(get_product).put(put_product))
        .route("/v1/products/{sku}/stock", get(get_stock).post(adjust_stock))
        .route("/v1/products/{sku}/stock/adjustments", get(list_adjustments))
        .route("/v1/warehouses", get(list_warehouses))
        .route("/v1/warehouses/{id}", put(put_warehouse))
        .route("/v1/availability", post(availability))
        .route("/v1/reservations", get(list_reservations).post(reserve))
        .route(
            "/v1/reservations/{id}",
            get(get_reservation).put(amend_reservation).delete(release_reservation),
        )
        .with_state(app)
        .merge(operators)
}

async fn list_products(State(app): State<AppState>, mut params: Params) -> HttpResult {
    let search = params.take("q").map(|text| Search::new(&text));
    let (limit, after) = params.into_page::<Sku>(PRODUCTS)?;
    let mut db = app.pool.acquire().await?;
    // Only a search looks through more than it shows.
    let stretch = if search.is_some() { STRETCH } else { limit };
    let names =
        store::products::names(&mut db, after.as_ref().map(Sku::as_str), stretch + 1).await?;
    let more = i64::try_from(names.len()).is_ok_and(|found| found > stretch);
    let end = names.last().filter(|_| more).map(|last| Sku::parse(&last.sku)).transpose();
    let end = end.map_err(|_| Problem::internal())?;
    let mut skus: Vec<String> = names
        .into_iter()
        .filter(|it| search.as_ref().is_none_or(|search| search.finds(&it.sku, &it.name)))
        .map(|it| it.sku)
        .collect();
    // One more than is shown tells whether there is another page.
    skus.truncate(usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1));
    let found = store::products::find_all(&mut db, &skus).await?;
    let items = found.iter().map(|(p, available)| (&p.sku, ProductView::new(p, *available)));
    Ok(http::page(PRODUCTS, limit, items, end.as_ref()))
}

async fn get_product(
    State(app): State<AppState>,
    _: NoParams,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> HttpResult {
    let sku = parse_sku(&sku)?;
    let mut db = app.pool.acquire().await?;
    let (product, available) =
        store::products::find(&mut db, &sku).await?.ok_or_else(|| no_product(&sku))?;
    Ok(http::resource(&headers, &ProductView::new(&product, available)))
}

async fn put_product(
    State(app): State<AppState>,
    Path(sku): Path<String>,
    headers: HeaderMap,
    asked: CommandRequest,
) -> HttpResult {
    let sku = parse_sku(&sku)?;
    let (name, price) = asked.read(bodies::product)?;
    let request = Request::PutProduct { sku, name, price, conditions: headers };
    app.submit(&asked, request).await
}

async fn get_stock(
    State(app): State<AppState>,
    _: NoParams,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> HttpResult {
    let sku = parse_sku(&sku)?;
    let mut db = app.pool.acquire().await?;
    store::products::find(&mut db, &sku).await?.ok_or_else(|| no_product(&sku))?;
    let stock = stock_of(store::stock::shelves(&mut db, &[sku.to_string()]).await?);
    Ok(http::resource(&headers, &StockView::new(&sku, &stock)))
}

async fn adjust_stock(
    State(app): State<AppState>,
    Path(sku): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let sku = parse_sku(&sku)?;
    let (warehouse, delta, reason) = asked.read(bodies::adjustment)?;
    let caller = asked.caller().subject().to_owned();
    let request = Request::AdjustStock { sku, warehouse, delta, reason, caller };
    app.submit(&asked, request).await
}

async fn list_adjustments(
    State(app): State<AppState>,
    Path(sku): Path<String>,
    params: Params,
) -> HttpResult {
    let sku = parse_sku(&sku)?;
    let (limit, after) = params.into_page::<Uuid>(ADJUSTMENTS)?;
    let mut db = app.pool.acquire().await?;
    store::products::find(&mut db, &sku).await?.ok_or_else(|| no_product(&sku))?;
    // One more than is shown tells whether there is another page.
    let found = store::stock_adjustments::of(&mut db, &sku, after, limit + 1).await?;
    let items = found.iter().map(|it| (it.id, AdjustmentView::new(it)));
    Ok(http::page(ADJUSTMENTS, limit, items, None))
}

async fn list_warehouses(State(app): State<AppState>, params: Params) -> HttpResult {
    let (limit, after) = params.into_page::<WarehouseId>(WAREHOUSES)?;
    let mut db = app.pool.acquire().await?;
    let found = store::warehouses::all(&mut db).await?;
    let rest = found.iter().filter(|(id, _)| after.as_ref().is_none_or(|after| id > after));
    let items = rest.map(|(id, row)| (id, WarehouseView::new(id, row)));
    Ok(http::page(WAREHOUSES, limit, items, None))
}

async fn put_warehouse(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: CommandRequest,
) -> HttpResult {
    let id =
        WarehouseId::parse(&id).map_err(|_| Problem::not_found(format!("no warehouse {id}")))?;
    let warehouse = asked.read(bodies::warehouse)?;
    let request = Request::PutWarehouse { id, warehouse, conditions: headers };
    app.submit(&asked, request).await
}

async fn availability(State(app): State<AppState>, asked: CommandRequest) -> HttpResult {
    let items = asked.read(bodies::items)?;
    let request = Request::AskAvailability { items: items.clone() };
    let command = asked.command(Input::Request(request))?;
    if command.key.is_some() {
        return service_kit::submit(&app.mailbox, command).await;
    }
    let skus: Vec<String> = items.iter().map(|item| item.sku.to_string()).collect();
    let mut db = app.pool.acquire().await?;
    let stock = stock_of(store::stock::shelves(&mut db, &skus).await?);
    // Written by the same function as in a batch, so that both answers have one form.
    let answer = service_kit::json_answer(200, &AvailabilityView::new(&items, &stock), None);
    Ok(service_kit::new_response(answer))
}

async fn list_reservations(
    State(app): State<AppState>,
    caller: Caller,
    mut params: Params,
) -> HttpResult {
    let order = service_kit::required_order(&mut params)?;
    // An order has one reservation, so there is never a next page.
    params.take_page()?.first_only()?;
    params.finish()?;
    let mut db = app.pool.acquire().await?;
    let root = store::reservations::find(&mut db, order, caller.sees()).await?;
    let root = root.unwrap_or_default();
    let views: Vec<_> = ReservationView::of_order(order, &root).into_iter().collect();
    Ok(http::list(&views, None))
}

async fn get_reservation(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let id = parse_reservation(&id)?;
    let owner = caller.sees();
    let mut db = app.pool.acquire().await?;
    // A reservation without an order belongs to no customer.
    if owner.is_none()
        && let Some(found) = store::manual_reservations::find(&mut db, id).await?
    {
        return Ok(http::resource(&headers, &ReservationView::manual(id, &found)));
    }
    let of_order = store::reservations::orders(&mut db, &[id.uuid()]).await?;
    let (_, order) = of_order.first().ok_or_else(|| no_reservation(id))?;
    let root = store::reservations::find(&mut db, *order, owner).await?.unwrap_or_default();
    let view = ReservationView::of_order(*order, &root).ok_or_else(|| no_reservation(id))?;
    Ok(http::resource(&headers, &view))
}

async fn reserve(State(app): State<AppState>, asked: CommandRequest) -> HttpResult {
    let (reference, items, hold) = asked.read(bodies::reservation)?;
    app.submit(&asked, Request::Reserve { reference, items, hold }).await
}

async fn amend_reservation(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: CommandRequest,
) -> HttpResult {
    let id = parse_reservation(&id)?;
    let (items, hold) = asked.read(bodies::reservation_change)?;
    app.submit(&asked, Request::AmendReservation { id, items, hold, conditions: headers }).await
}

async fn release_reservation(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: RequestInfo,
) -> HttpResult {
    let id = parse_reservation(&id)?;
    let request = Request::ReleaseReservation { id, conditions: headers };
    let command = asked.command_without_key(Input::Request(request));
    service_kit::submit(&app.mailbox, command).await
}

fn stock_of(shelves: Vec<store::stock::PlacedShelf>) -> Stock {
    let mut stock = Stock::default();
    for (sku, warehouse, shelf) in shelves {
        stock.set(sku, warehouse, Shelf { priority: 0, ..shelf });
    }
    stock
}

fn parse_sku(text: &str) -> Result<Sku, Problem> {
    Sku::parse(text).map_err(|_| no_product(text))
}

fn parse_reservation(text: &str) -> Result<ReservationId, Problem> {
    ReservationId::parse(text).map_err(|_| no_reservation(text))
}
