//! When new orders are refused.

use std::time::Duration;

use backends::testing::eventually;
use order_svc::{
    domain::Method,
    pressure::{Limits, Pressure},
};
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Shop, a_shop,
    http::{a_server, two_mugs},
};

/// No order may wait at all.
const NOW: Limits = Limits {
    stock: Duration::ZERO,
    payment: Duration::ZERO,
    every: Duration::from_millis(20),
    try_every: Duration::from_hours(1),
};

/// Measures the pressure of a shop until dropped.
struct Gauge {
    pressure: Pressure,
    _measuring: JoinSet<anyhow::Result<()>>,
}

impl Gauge {
    async fn of(shop: &Shop, limits: Limits) -> Self {
        let pool = chassis::database::connect_pool(&shop.database.url(), 2).await.unwrap();
        Self::with(Pressure::default(), pool, limits)
    }

    fn with(pressure: Pressure, pool: PgPool, limits: Limits) -> Self {
        let mut measuring = JoinSet::new();
        measuring.spawn(pressure.clone().run(pool, limits, CancellationToken::new()));
        Self { pressure, _measuring: measuring }
    }

    async fn refuses(&self, wanted: bool) {
        eventually("orders are refused, or not", Duration::from_secs(20), async || {
            let refused = self.pressure.wrong().is_err();
            if refused == wanted { Ok(()) } else { Err(refused) }
        })
        .await;
    }
}

#[tokio::test]
async fn orders_are_refused_while_the_oldest_has_no_answer_and_taken_again_after_it() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Wallet).await;
    let patient = Limits { stock: Duration::from_mins(15), ..NOW };
    let (gauge, patient) = (Gauge::of(&shop, NOW).await, Gauge::of(&shop, patient).await);

    gauge.refuses(true).await;
    let problem = gauge.pressure.admit().unwrap_err();
    assert_eq!((problem.status().as_u16(), problem.code().as_str()), (503, "overloaded"));
    assert!(!problem.headers().is_empty(), "it says when to come back");
    patient.refuses(false).await;

    let messages = [shop.reserved(order), shop.captured(order)];
    shop.hear(messages).await;
    gauge.refuses(false).await;
}

#[tokio::test]
async fn a_payment_that_nobody_answers_refuses_orders_too_but_a_customer_may_take_its_time() {
    let mut shop = a_shop().await;
    let deferred = shop.place(Method::Deferred).await;
    let reserved = shop.reserved(deferred);
    shop.hear([reserved]).await;
    let gauge = Gauge::of(&shop, NOW).await;
    gauge.refuses(false).await;

    let order = shop.place(Method::Card).await;
    let reserved = shop.reserved(order);
    shop.hear([reserved]).await;
    eventually("payment is to blame", Duration::from_secs(20), async || {
        let wrong = gauge.pressure.wrong().err().unwrap_or_default();
        if wrong.contains("payment") { Ok(()) } else { Err(wrong) }
    })
    .await;

    let declined = shop.declined(order);
    shop.hear([declined]).await;
    gauge.refuses(false).await;
}

#[tokio::test]
async fn an_order_that_others_have_overtaken_closes_nothing() {
    let mut shop = a_shop().await;
    // Two orders that will never be answered: one by stock, one by payment.
    let _without_stock = shop.place(Method::Wallet).await;
    let without_payment = shop.place(Method::Wallet).await;
    let reserved = shop.reserved(without_payment);
    shop.hear([reserved]).await;
    let gauge = Gauge::of(&shop, NOW).await;
    gauge.refuses(true).await;

    let next = shop.place(Method::Wallet).await;
    let messages = [shop.reserved(next), shop.captured(next)];
    shop.hear(messages).await;

    gauge.refuses(false).await;
}

#[tokio::test]
async fn an_order_that_was_taken_is_told_again_while_new_ones_are_refused() {
    let server = a_server().await;
    let key = [("idempotency-key", "first")];
    let other = [("idempotency-key", "second")];
    let first = server.http.post_with("/v1/orders", &key, &two_mugs()).await;
    let pool = chassis::database::connect_pool(&server.shop.database.url(), 2).await.unwrap();
    let gauge = Gauge::with(server.pressure.clone(), pool, NOW);
    gauge.refuses(true).await;

    let again = server.http.post_with("/v1/orders", &key, &two_mugs()).await;
    let new = server.http.post_with("/v1/orders", &other, &two_mugs()).await;
    let bare = server.http.post("/v1/orders", &two_mugs()).await;

    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    for refused in [new, bare] {
        assert_eq!((refused.code(), refused.header("retry-after")), ((503, "overloaded"), "5"));
    }

    let mut server = server;
    let order = proto::OrderId::parse(first.body["id"].as_str().unwrap()).unwrap();
    let messages = [server.shop.reserved(order), server.shop.captured(order)];
    server.shop.hear(messages).await;
    gauge.refuses(false).await;
    let taken = server.http.post_with("/v1/orders", &other, &two_mugs()).await;
    assert_eq!((taken.status.as_u16(), &taken.body["status"]), (201, &json!("pending")));
    assert_eq!(taken.header("idempotency-replayed"), "", "a refusal for want of room is not kept");
}
