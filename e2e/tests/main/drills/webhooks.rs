//! Triggers of the webhooks' alerts.

use axum::{Router, http::StatusCode};
use e2e::{Product, Shop};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use super::{Alerts, until_changed, wants};

/// A webhook whose receiver answers with this status; its path, and the receiver, which lives as
/// long as the set.
async fn a_webhook(shop: &Shop, status: StatusCode) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let mut running = JoinSet::new();
    let router = Router::new().fallback(async move || status);
    running.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let made = shop.post("/v1/webhooks", &json!({"url": url, "events": ["*"]})).await.with(201);
    (format!("/v1/webhooks/{}", made["id"].as_str().unwrap()), running)
}

/// A receiver has refused what it is told for hours.
pub(super) async fn a_receiver_is_away(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let (path, _running) = a_webhook(shop, StatusCode::SERVICE_UNAVAILABLE).await;
    wants(shop, mug).await;
    let older = "update webhook_deliveries set give_up_at = give_up_at - interval '2 hours' \
        where status = 'pending' and give_up_at > now() + interval '71 hours'";
    until_changed(shop, "notify", older).await;
    alerts.raised(&["WebhookWaits"]).await;
    shop.delete(&path).await.with(204);
    alerts.none(&["WebhookWaits"]).await;
}

pub(super) async fn a_receiver_is_gone(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let (path, _running) = a_webhook(shop, StatusCode::GONE).await;
    wants(shop, mug).await;
    alerts.raised(&["WebhookDisabled"]).await;
    shop.delete(&path).await.with(204);
    alerts.none(&["WebhookDisabled"]).await;
}
