//! Products, stock, places and reservations over HTTP: looks are answered from the rows, changes go
//! through a batch.

mod bodies;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post, put},
};
use chassis::{
    Code, Problem,
    body::JsonBody,
    http::{self, Params},
};
use mailbox::Mailbox;
use proto::{OrderId, Sku, WarehouseId};
use service::Asked;
use sqlx::PgPool;

use crate::{
    commands::Request,
    domain::{Shelf, Stock},
    reactions::{Input, Inventory},
    store::{self, look},
    views::{AvailabilityView, ProductView, ReservationView, StockView, WarehouseView},
};

/// What handlers share.
#[derive(Clone)]
pub struct Site {
    pub pool: PgPool,
    pub mailbox: Mailbox<Inventory>,
}

type Answered = Result<Response, Problem>;

impl Site {
    async fn submit(&self, asked: &Asked, request: Request, body: &JsonBody) -> Answered {
        service::submit(&self.mailbox, asked.command(Input::Asked(request), &body.0)?).await
    }
}

/// All routes of this service.
pub fn router(site: Site) -> Router {
    let operators = service::operators(&site.mailbox, crate::NAME);
    Router::new()
        .route("/v1/products", get(list_products))
        .route("/v1/products/{sku}", get(get_product).put(put_product))
        .route("/v1/products/{sku}/stock", get(get_stock).post(adjust_stock))
        .route("/v1/warehouses", get(list_warehouses))
        .route("/v1/warehouses/{id}", put(put_warehouse))
        .route("/v1/availability", post(availability))
        .route("/v1/reservations", get(list_reservations))
        .route("/v1/reservations/{id}", get(get_reservation))
        .with_state(site)
        .merge(operators)
}

async fn list_products(State(site): State<Site>, mut params: Params) -> Answered {
    let wanted = params.take("q");
    let page = params.take_page()?;
    params.finish()?;
    let after: Option<String> =
        page.cursor.map(|cursor| http::read_cursor("products", &cursor)).transpose()?;
    let mut db = site.pool.acquire().await?;
    let found =
        look::products(&mut db, wanted.as_deref(), after.as_deref(), page.limit + 1).await?;
    let (shown, next) = paged(&found, page.limit, |(product, _)| product.sku.to_string());
    let views: Vec<_> =
        shown.iter().map(|(p, available)| ProductView::new(p, *available)).collect();
    Ok(http::list(&views, next.map(|last| http::write_cursor("products", &last))))
}

async fn get_product(
    State(site): State<Site>,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let sku = known_sku(&sku)?;
    let mut db = site.pool.acquire().await?;
    let (product, available) =
        look::product(&mut db, &sku).await?.ok_or_else(|| no_product(&sku))?;
    Ok(http::resource(&headers, &ProductView::new(&product, available)))
}

async fn put_product(
    State(site): State<Site>,
    Path(sku): Path<String>,
    headers: HeaderMap,
    asked: Asked,
    body: JsonBody,
) -> Answered {
    let sku = known_sku(&sku)?;
    let (name, price) = body.read(bodies::product)?;
    let request = Request::PutProduct { sku, name, price, headers };
    site.submit(&asked, request, &body).await
}

async fn get_stock(
    State(site): State<Site>,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let sku = known_sku(&sku)?;
    let mut db = site.pool.acquire().await?;
    look::product(&mut db, &sku).await?.ok_or_else(|| no_product(&sku))?;
    let stock = stock_of(store::shelves(&mut db, &[sku.to_string()]).await?);
    Ok(http::resource(&headers, &StockView::new(&sku, &stock)))
}

async fn adjust_stock(
    State(site): State<Site>,
    Path(sku): Path<String>,
    asked: Asked,
    body: JsonBody,
) -> Answered {
    let sku = known_sku(&sku)?;
    let (warehouse, delta, reason) = body.read(bodies::adjustment)?;
    let request = Request::AdjustStock { sku, warehouse, delta, reason };
    site.submit(&asked, request, &body).await
}

async fn list_warehouses(State(site): State<Site>, mut params: Params) -> Answered {
    let page = params.take_page()?;
    params.finish()?;
    let after: Option<String> =
        page.cursor.map(|cursor| http::read_cursor("warehouses", &cursor)).transpose()?;
    let mut db = site.pool.acquire().await?;
    let mut found = store::warehouses(&mut db).await?;
    found.retain(|(id, _)| after.as_deref().is_none_or(|after| id.as_str() > after));
    let (shown, next) = paged(&found, page.limit, |(id, _)| id.to_string());
    let views: Vec<_> = shown.iter().map(|(id, row)| WarehouseView::new(id, row)).collect();
    Ok(http::list(&views, next.map(|last| http::write_cursor("warehouses", &last))))
}

async fn put_warehouse(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: Asked,
    body: JsonBody,
) -> Answered {
    let id = WarehouseId::parse(&id).map_err(|_| not_found(format!("no warehouse {id}")))?;
    let warehouse = body.read(bodies::warehouse)?;
    let request = Request::PutWarehouse { id, warehouse, headers };
    site.submit(&asked, request, &body).await
}

async fn availability(State(site): State<Site>, asked: Asked, body: JsonBody) -> Answered {
    let items = body.read(bodies::items)?;
    let request = Request::AskAvailability { items: items.clone() };
    let command = asked.command(Input::Asked(request), &body.0)?;
    if command.key.is_some() {
        return service::submit(&site.mailbox, command).await;
    }
    let skus: Vec<String> = items.iter().map(|item| item.sku.to_string()).collect();
    let mut db = site.pool.acquire().await?;
    let stock = stock_of(store::shelves(&mut db, &skus).await?);
    Ok(http::json(StatusCode::OK, &AvailabilityView::new(&items, &stock)))
}

async fn list_reservations(State(site): State<Site>, mut params: Params) -> Answered {
    let order = params.take_parsed("order_id", |text| {
        OrderId::parse(text).map_err(|_| "has to be the id of an order")
    })?;
    params.take_page()?;
    params.finish()?;
    let Some(order) = order else {
        return Err(Problem::new(Code::BadParameter, "the parameter order_id is missing"));
    };
    let mut db = site.pool.acquire().await?;
    let root = look::reservation(&mut db, order).await?.unwrap_or_default();
    // An order has one reservation, so there is never a next page.
    let views: Vec<_> = ReservationView::new(order, &root.state).into_iter().collect();
    Ok(http::list(&views, None))
}

async fn get_reservation(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let unknown = || not_found(format!("there is no reservation {id}"));
    // An order's reservation bears the order's id.
    let order = OrderId::parse(&id).map_err(|_| unknown())?;
    let mut db = site.pool.acquire().await?;
    let root = look::reservation(&mut db, order).await?.unwrap_or_default();
    let view = ReservationView::new(order, &root.state).ok_or_else(unknown)?;
    Ok(http::resource(&headers, &view))
}

/// The rows of a page, of which one more than the limit was asked for, and where the next one
/// begins.
fn paged<T>(found: &[T], limit: i64, place: impl Fn(&T) -> String) -> (&[T], Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let shown = &found[..found.len().min(limit)];
    let next = if found.len() > limit { shown.last().map(place) } else { None };
    (shown, next)
}

fn stock_of(shelves: Vec<store::PlacedShelf>) -> Stock {
    let mut stock = Stock::default();
    for (sku, warehouse, shelf) in shelves {
        stock.set(sku, warehouse, Shelf { priority: 0, ..shelf });
    }
    stock
}

fn known_sku(text: &str) -> Result<Sku, Problem> {
    Sku::parse(text).map_err(|_| not_found(format!("there is no product {text}")))
}

fn no_product(sku: &Sku) -> Problem {
    not_found(format!("there is no product {sku}"))
}

fn not_found(detail: String) -> Problem {
    Problem::new(Code::NotFound, detail)
}
