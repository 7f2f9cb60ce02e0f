//! Payments and accounts over HTTP: reads are answered from the rows, changes go through a batch.

mod accounts;
mod bodies;
mod payments;

use axum::{
    Router,
    routing::{get, post},
};
use mailbox::Mailbox;
use service_kit::Waiters;
use sqlx::PgPool;

use crate::reactions::Payments;

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    pub pool: PgPool,
    pub mailbox: Mailbox<Payments>,
    pub waiters: Waiters,
}

/// All routes of this service.
pub fn router(app: AppState) -> Router {
    let operators = service_kit::operators(&app.mailbox, crate::NAME);
    Router::new()
        .route("/v1/payments", get(payments::of_order).post(payments::pay))
        .route("/v1/payments/{id}", get(payments::show))
        .route("/v1/payment-methods/validate", post(payments::validate))
        .route("/v1/accounts/{customer}", get(accounts::show).post(accounts::open))
        .route("/v1/accounts/{customer}/balance", get(accounts::show))
        .route("/v1/accounts/{customer}/deposit", post(accounts::deposit))
        .route("/v1/accounts/{customer}/hold", post(accounts::hold))
        .route("/v1/accounts/{customer}/release", post(accounts::release))
        .route("/v1/accounts/{customer}/entries", get(accounts::entries))
        .with_state(app)
        .merge(operators)
}
