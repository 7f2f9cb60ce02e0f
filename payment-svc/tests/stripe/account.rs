//! An account at Stripe for one test: the simulator's, behind a line that a test can cut, and the
//! payment service in front of it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use backends::testing::eventually;
use chassis::Tasks;
use payment_svc::{
    domain::payment_id,
    provider::{Providers, Simulator, Stripe},
};
use proto::OrderId;
use serde_json::{Value, json};
use simulator::{AppState, Knobs, Ledger, StripeAccount, WebhookSender};
use sqlx::AssertSqlSafe;
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::super::{
    server::{Server, a_server_of},
    stub::Stub,
};

pub(super) const KEY: &str = "sk_test_account";
pub(super) const SECRET: &str = "whsec_account";
const SOON: Duration = Duration::from_secs(20);

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// It is carried out, and its answer gets lost.
    Lost,
    /// It never arrives.
    Away,
    /// Another request with its key and metadata has been carried out before.
    Altered,
    /// It is carried out, and its answer waits until the test lets it go.
    Held,
}

/// The line to Stripe.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<LineState>);

#[derive(Default)]
struct LineState {
    troubles: Mutex<VecDeque<Trouble>>,
    /// Whether requests beyond the troubles stay away.
    is_closed: AtomicBool,
    asked: Mutex<Vec<String>>,
    keys: Mutex<Vec<String>>,
    opened_at: Mutex<usize>,
    release: Notify,
}

/// The account, and the service that charges through it.
pub(super) struct Account {
    pub(super) server: Server,
    line: Line,
    ledger: String,
    pub(super) client: reqwest::Client,
    pub(super) tasks: JoinSet<()>,
}

pub(super) async fn a_shop_with_stripe(troubles: &[Trouble]) -> Account {
    let account = StripeAccount::new(Some(KEY));
    a_shop_with(account, troubles).await
}

/// A shop to which the account sends its events, once the sender runs.
pub(super) async fn a_shop_with_events(listener: &TcpListener) -> (Account, WebhookSender) {
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/v1/providers/stripe/webhook");
    let (account, sender) = StripeAccount::new(Some(KEY)).with_webhook(&url, SECRET).unwrap();
    (a_shop_with(account, &[]).await, sender)
}

async fn a_shop_with(stripe: StripeAccount, troubles: &[Trouble]) -> Account {
    let file = std::env::temp_dir().join(format!("stripe-{}.jsonl", mailbox::testing::new_id()));
    let (ledger, writer) = Ledger::open(&file).unwrap();
    let provider = AppState {
        ledger,
        detached: Tasks::new(Duration::from_secs(1)).detached(),
        slow: Duration::ZERO,
        knobs: Knobs::default(),
        began: tokio::time::Instant::now(),
    };
    let line = Line::default();
    line.0.troubles.lock().unwrap().extend(troubles);
    let routes = simulator::routes(provider, stripe);
    let cut = routes.clone().layer(from_fn_with_state(line.clone(), pass));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        writer.run(CancellationToken::new()).await.unwrap();
        std::fs::remove_file(file).unwrap();
    });
    let url = serve(&mut tasks, cut).await;
    let ledger = serve(&mut tasks, routes).await;
    let timeout = Duration::from_secs(5);
    let stripe = Stripe::new(&format!("{url}/stripe"), KEY, timeout).unwrap();
    let simulator = Simulator::new(&ledger, timeout).unwrap();
    let providers = Providers { simulator, stripe: Some(stripe) };
    let secrets = format!("whsec_older {SECRET}").parse().unwrap();
    let server = a_server_of(providers, Stub::default(), Some(secrets)).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Account { server, line, ledger, client, tasks }
}

pub(super) async fn serve(tasks: &mut JoinSet<()>, router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Passes a request on, or not, or not its answer.
async fn pass(State(line): State<Line>, request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_start_matches("/stripe");
    let path = match path.strip_prefix("/v1/payment_intents/") {
        Some(id) if id.starts_with("pi_") => "/v1/payment_intents/{id}",
        _ => path,
    };
    line.0.asked.lock().unwrap().push(format!("{} {path}", request.method()));
    if let Some(key) = request.headers().get("idempotency-key") {
        line.0.keys.lock().unwrap().push(key.to_str().unwrap().to_owned());
    }
    let lost = || (StatusCode::BAD_GATEWAY, "<html>nobody there</html>").into_response();
    let trouble = line.0.troubles.lock().unwrap().pop_front();
    match trouble {
        None if line.0.is_closed.load(Ordering::SeqCst) => lost(),
        None | Some(Trouble::None) => next.run(request).await,
        Some(Trouble::Away) => lost(),
        Some(Trouble::Lost) => {
            next.run(request).await;
            lost()
        }
        Some(Trouble::Held) => {
            let response = next.run(request).await;
            line.0.release.notified().await;
            response
        }
        Some(Trouble::Altered) => {
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap();
            let altered = [&bytes, &b"&description=before"[..]].concat();
            let before = Request::from_parts(parts.clone(), Body::from(altered));
            let answered = next.clone().run(before).await;
            assert_eq!(answered.status(), 200);
            next.run(Request::from_parts(parts, Body::from(bytes))).await
        }
    }
}

impl Line {
    fn list(list: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
        list.lock().unwrap()
    }
}

impl Account {
    /// Every request so far, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        Line::list(&self.line.0.asked).clone()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        Line::list(&self.line.0.keys).clone()
    }

    /// Nothing gets through after the troubles that were named.
    pub(super) fn close_after_troubles(&self) {
        self.line.0.is_closed.store(true, Ordering::SeqCst);
    }

    /// The next answer gets lost.
    pub(super) fn lose_next(&self) {
        self.line.0.troubles.lock().unwrap().push_back(Trouble::Lost);
    }

    pub(super) fn open(&self) {
        *self.line.0.opened_at.lock().unwrap() = self.asked().len();
        self.line.0.is_closed.store(false, Ordering::SeqCst);
    }

    pub(super) fn asked_since_opened(&self) -> Vec<String> {
        self.asked().split_off(*self.line.0.opened_at.lock().unwrap())
    }

    /// Lets the answers go that were held.
    pub(super) fn release(&self) {
        self.line.0.release.notify_one();
    }

    pub(super) async fn was_asked(&self, times: usize) {
        eventually("requests to Stripe", SOON, || async {
            let asked = self.asked().len();
            if asked >= times { Ok(()) } else { Err(asked) }
        })
        .await;
    }

    pub(super) async fn was_asked_since_opened(&self, times: usize) {
        let opened_at = *self.line.0.opened_at.lock().unwrap();
        self.was_asked(opened_at + times).await;
    }

    /// Makes the order's call as old as this.
    pub(super) async fn grows_old(&self, order: OrderId, age: &'static str) {
        let url = self.server.shop.database.url();
        let pool = chassis::database::connect_pool(&url, 1).await.unwrap();
        let aged = sqlx::raw_sql(AssertSqlSafe(format!(
            "update provider_calls set begun_at = clock_timestamp() - interval '{age}'
            where order_id = '{order}'"
        )));
        let aged = aged.execute(&pool).await.unwrap();
        assert_eq!(aged.rows_affected(), 1, "the call waits for its answer");
    }

    pub(super) async fn forget_keys(&self) {
        let url = format!("{}/stripe/forget_keys", self.ledger);
        let forgotten: Value = self.client.post(url).send().await.unwrap().json().await.unwrap();
        assert_ne!(forgotten["forgotten"], 0);
    }

    /// The payment as it is shown.
    pub(super) async fn payment(&self, order: OrderId) -> Value {
        let path = format!("/v1/payments/{}", payment_id(order));
        self.server.http.get(&path).await.body
    }

    pub(super) async fn becomes(&self, order: OrderId, status: &str) {
        eventually("the payment's status", SOON, || async {
            let payment = self.payment(order).await;
            if payment["status"] == status { Ok(()) } else { Err(payment["status"].clone()) }
        })
        .await;
    }

    /// What Stripe's own ledger says about an order; null if it says nothing.
    pub(super) async fn books(&self, order: OrderId) -> Value {
        let url = format!("{}/ledger?order_id={order}", self.ledger);
        let ledger: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        let of = &ledger["items"][0];
        if of.is_null() {
            return Value::Null;
        }
        json!({"captured": of["captured"], "captures": of["captures"],
            "refunded": of["refunded"], "refunds": of["refunds"]})
    }

    /// Waits until Stripe has charged an order, whatever becomes of its answer.
    pub(super) async fn is_charged(&self, order: OrderId) {
        eventually("the charge at Stripe", SOON, || async {
            let books = self.books(order).await;
            if books["captures"] == 1 { Ok(()) } else { Err(books) }
        })
        .await;
    }

    /// Asks Stripe beside the service, as staff at its dashboard do.
    pub(super) async fn look(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}/stripe/v1{path}", self.ledger)).bearer_auth(KEY);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The intent that was made for an order.
    pub(super) async fn intent(&self, order: OrderId) -> Value {
        let query = format!("/payment_intents/search?query=metadata['order_id']:'{order}'");
        let found = self.look(&query).await;
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
        found["data"][0].clone()
    }

    pub(super) async fn refund_by_hand(&self, order: OrderId) {
        let intent = self.intent(order).await;
        let body = format!("payment_intent={}", intent["id"].as_str().unwrap());
        let request = self.client.post(format!("{}/stripe/v1/refunds", self.ledger));
        let form = "application/x-www-form-urlencoded";
        let request = request.bearer_auth(KEY).header("content-type", form).body(body);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}
