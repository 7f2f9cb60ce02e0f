//! What becomes of orders after they were placed: customers amend, pay and cancel, staff refund and
//! ship.
//!
//! Every request has the order's id as its idempotency key, so that it may be repeated after a lost
//! answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use uuid::Uuid;

use super::{book::Errand, connection::Connection, place::LoadRun};
use crate::seed;

/// How many errands are done at once: a payment waits for its outcome.
const WORKERS: usize = 16;

type ToDo = mpsc::UnboundedReceiver<(u128, Errand)>;

/// Does every errand that comes, until the sender is dropped.
pub(super) async fn run(run: &Arc<LoadRun>, to_do: ToDo) {
    let to_do = Arc::new(Mutex::new(to_do));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(Arc::clone(run), Arc::clone(&to_do)));
    }
    while workers.join_next().await.is_some() {}
}

async fn work(run: Arc<LoadRun>, to_do: Arc<Mutex<ToDo>>) {
    let mut connection = Connection::to(&run.plan.gateway).with_token(&run.plan.token);
    loop {
        let next = to_do.lock().await.recv().await;
        let Some((order, errand)) = next else { return };
        let order = Uuid::from_u128(order);
        match errand {
            Errand::Amend => {
                let sku = seed::sku(run.plan.products.pick(rand::random()));
                amend(&mut connection, order, &sku, run.plan.grace).await;
            }
            Errand::Cancel => cancel(&mut connection, order).await,
            Errand::Refund => refund(&mut connection, order).await,
            Errand::Ship => ship(&mut connection, order).await,
        }
        run.done();
    }
}

async fn cancel(connection: &mut Connection, order: Uuid) {
    let line = format!("POST /v1/orders/{order}/cancel");
    connection.insist(&line, order, r#"{"reason":"changed my mind"}"#).await;
}

/// One to three amendments, then the payment, which is tried for as long as the run would wait for the
/// order's end.
async fn amend(connection: &mut Connection, order: Uuid, sku: &str, patience: Duration) {
    let line = format!("PUT /v1/orders/{order}");
    for quantity in 2..=rand::random_range(2..=4) {
        let body = format!(r#"{{"items":[{{"sku":"{sku}","quantity":{quantity}}}]}}"#);
        connection.insist(&line, order, &body).await;
    }
    let body = format!(r#"{{"order_id":"{order}","payment_method":{{"type":"wallet"}}}}"#);
    // An order is not found as long as payment-svc has not heard of its stock, for which each try
    // waits two seconds.
    let patience = Instant::now() + patience;
    while Instant::now() < patience {
        let answer = connection.insist("POST /v1/payments", order, &body).await;
        if answer.is_none_or(|reply| reply.status != 404) {
            return;
        }
    }
}

/// Gives a cent back.
async fn refund(connection: &mut Connection, order: Uuid) {
    let line = format!("GET /v1/payments?order_id={order}");
    let found = connection.insist(&line, order, "").await;
    let Some(payment) = found.and_then(|reply| reply.id) else { return };
    let line = format!("POST /v1/payments/{payment}/refund");
    connection.insist(&line, order, r#"{"amount":"0.01"}"#).await;
}

async fn ship(connection: &mut Connection, order: Uuid) {
    let body = format!(r#"{{"carrier":"post","tracking_number":"{order}"}}"#);
    connection.insist(&format!("POST /v1/orders/{order}/ship"), order, &body).await;
    connection.insist(&format!("POST /v1/orders/{order}/deliver"), order, "{}").await;
}
