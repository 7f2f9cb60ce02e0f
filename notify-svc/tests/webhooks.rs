//! Webhooks: what staff ask of them, and what their receivers get.

mod asked;
mod bounds;
mod failing;
mod late;
mod told;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use backends::testing::eventually;
use mailbox::Message;
use notify_svc::{
    carriers::{guard::AddressPolicy, signed::SigningClient},
    webhooks::{WebhookRoom, WebhookStanding, tell},
};
use proto::{OrderId, notifications, orders, payments, stock};
use serde_json::{Value, json};
use sqlx::PgPool;
use time::macros::format_description;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{CUSTOMER, SOON, Shop, dollars, http::Server};

/// What a receiver got.
#[derive(Clone, Debug)]
struct Call {
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn name(&self) -> String {
        self.event()["type"].as_str().unwrap().rsplit('.').next().unwrap().to_owned()
    }
}

/// How a receiver answers: a status, or nothing for as long as it is asked.
type Manner = Box<dyn Fn(&Call, usize) -> Option<u16> + Send>;

struct Desk {
    calls: Mutex<Vec<Call>>,
    manner: Mutex<Manner>,
}

/// A receiver of webhooks that listens until it is dropped.
struct Receiver {
    address: SocketAddr,
    desk: Arc<Desk>,
    _running: JoinSet<()>,
}

impl Receiver {
    /// One that answers each call so; it also sees how many calls there were before.
    async fn that(manner: impl Fn(&Call, usize) -> Option<u16> + Send + 'static) -> Self {
        let desk = Desk { calls: Mutex::default(), manner: Mutex::new(Box::new(manner)) };
        let desk = Arc::new(desk);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&desk));
        let mut running = JoinSet::new();
        running.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk, _running: running }
    }

    async fn that_takes_all() -> Self {
        Self::that(|_, _| Some(204)).await
    }

    fn answers(&self, manner: impl Fn(&Call, usize) -> Option<u16> + Send + 'static) {
        *self.desk.manner.lock().unwrap() = Box::new(manner);
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn calls(&self) -> Vec<Call> {
        self.desk.calls.lock().unwrap().clone()
    }

    /// The calls, once there are as many.
    async fn got(&self, count: usize) -> Vec<Call> {
        eventually("the receiver gets what it is to get", SOON, async || {
            let calls = self.calls();
            let found = calls.len();
            if found >= count { Ok(calls) } else { Err(format!("{found} of {count}")) }
        })
        .await
    }
}

/// How a receiver that answers 503 asks for an hour: by the moment when that is over.
fn in_an_hour() -> String {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    (chassis::clock::now() + time::Duration::HOUR).format(form).unwrap()
}

async fn take(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    let call = Call { headers, body };
    let answer = {
        let mut calls = desk.calls.lock().unwrap();
        let answer = (desk.manner.lock().unwrap())(&call, calls.len());
        calls.push(call);
        answer
    };
    match answer {
        Some(503) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, in_an_hour())]).into_response()
        }
        Some(status) => StatusCode::from_u16(status).unwrap().into_response(),
        None => std::future::pending().await,
    }
}

/// Workers that tell webhooks of events until they are dropped.
struct Tellers {
    running: JoinSet<anyhow::Result<()>>,
    ended: CancellationToken,
    standing: WebhookStanding,
}

impl Tellers {
    /// Lets all attempts end.
    async fn end(mut self) {
        self.ended.cancel();
        while let Some(end) = self.running.join_next().await {
            end.unwrap().unwrap();
        }
    }
}

fn tellers(shop: &Shop) -> Tellers {
    tellers_with(shop, AddressPolicy::Any, Duration::from_secs(5))
}

fn tellers_with(shop: &Shop, addresses: AddressPolicy, attempt_timeout: Duration) -> Tellers {
    let standing = WebhookStanding::default();
    let room = WebhookRoom {
        pool: PgPool::connect_lazy(&shop.database.url()).unwrap(),
        client: SigningClient::new(addresses, attempt_timeout).unwrap(),
        fresh: shop.fresh.clone(),
        attempts_at_once: 4,
        attempt_timeout,
        standing: standing.clone(),
    };
    let (mut running, ended) = (JoinSet::new(), CancellationToken::new());
    running.spawn(tell(room, ended.clone()));
    Tellers { running, ended, standing }
}

/// A webhook as it was made, with its secret.
struct NewWebhook {
    id: String,
    secret: String,
}

impl NewWebhook {
    fn path(&self, rest: &str) -> String {
        format!("/v1/webhooks/{}{rest}", self.id)
    }
}

impl Server {
    async fn webhook(&self, url: &str, events: &[&str]) -> NewWebhook {
        let made = self.http.post("/v1/webhooks", json!({"url": url, "events": events})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let text = |name: &str| made.body[name].as_str().unwrap().to_owned();
        NewWebhook { id: text("id"), secret: text("secret") }
    }

    /// The deliveries of a webhook, the oldest first, once this is true of them.
    async fn deliveries(
        &self,
        webhook: &NewWebhook,
        fits: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        eventually("the deliveries are so", SOON, async || {
            let (_, list) = self.get(&webhook.path("/deliveries?limit=200")).await;
            let mut items = list["items"].as_array().unwrap().clone();
            items.reverse();
            if fits(&items) { Ok(items) } else { Err(list.to_string()) }
        })
        .await
    }
}

fn all_are(status: &'static str) -> impl Fn(&[Value]) -> bool {
    move |items| !items.is_empty() && items.iter().all(|item| item["status"] == status)
}

impl Shop {
    /// An event about an order for which nobody is told anything but webhooks.
    fn captured(&mut self, order: OrderId) -> Message {
        let (order_id, customer_id) = (order.to_string(), CUSTOMER.to_owned());
        let amount = Some(dollars(60));
        let captured = payments::PaymentCaptured {
            order_id,
            customer_id,
            amount,
            revision: 1,
            ..payments::PaymentCaptured::default()
        };
        self.said(order, captured)
    }

    fn reserved(&mut self, order: OrderId) -> Message {
        let details = orders::Sealed {
            key_id: "0a1b2c3d".to_owned(),
            nonce: vec![7; 12],
            ciphertext: b"for payment-svc alone".to_vec(),
        };
        let terms = orders::Terms {
            customer_id: CUSTOMER.to_owned(),
            amount: Some(dollars(60)),
            method: orders::PaymentMethod::Card.into(),
            details: Some(details),
        };
        let reserved = stock::StockReserved {
            order_id: order.to_string(),
            revision: 1,
            terms: Some(terms),
            ..stock::StockReserved::default()
        };
        self.said(order, reserved)
    }

    fn notified(&mut self, order: OrderId) -> Message {
        let sent = notifications::NotificationSent {
            order_id: order.to_string(),
            notification_id: mailbox::testing::new_id().to_string(),
            channel: "email".to_owned(),
            template: "order_confirmation".to_owned(),
            revision: 1,
        };
        self.said(order, sent)
    }
}

/// As if the time of every pending delivery had come.
const DUE: &str =
    "update webhook_deliveries set due_at = clock_timestamp() where status = 'pending'";
