//! Payments and accounts over HTTP: reads are answered from the rows, changes go through a batch.

mod accounts;
mod bodies;
mod openapi;
mod payments;
mod refunds;
mod webhooks;

use axum::{
    Router,
    routing::{get, post},
};
use chassis::http::HttpResult;
use mailbox::Mailbox;
use service_kit::{CommandRequest, Waiters};
use sqlx::PgPool;

use crate::{
    input::{Input, Request},
    provider::{CardRouting, stripe::webhook::WebhookSecrets},
    reactions::Payments,
};

pub use openapi::operations;

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    pub pool: PgPool,
    pub mailbox: Mailbox<Payments>,
    pub waiters: Waiters,
    pub routing: CardRouting,
    /// What Stripe signs its events with; without it there is no webhook.
    pub stripe_webhook: Option<WebhookSecrets>,
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
        .route("/v1/payments", get(payments::list_payments).post(payments::post_payment))
        .route("/v1/payments/{id}", get(payments::get_payment))
        .route("/v1/payments/{id}/refund", post(refunds::refund_payment))
        .route("/v1/payment-methods/validate", post(payments::validate_method))
        .route("/v1/accounts/{customer}", get(accounts::get_account).post(accounts::open_account))
        .route("/v1/accounts/{customer}/balance", get(accounts::get_account))
        .route("/v1/accounts/{customer}/deposit", post(accounts::deposit_money))
        .route("/v1/accounts/{customer}/hold", post(accounts::hold_money))
        .route("/v1/accounts/{customer}/release", post(accounts::release_money))
        .route("/v1/accounts/{customer}/entries", get(accounts::list_entries))
        .route("/v1/providers/stripe/webhook", post(webhooks::stripe_event))
        .with_state(app)
        .merge(operators)
}
