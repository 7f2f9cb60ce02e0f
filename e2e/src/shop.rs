//! A running shop: what its customers and operators do, and what they see.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use backends::testing::eventually;
use proto::Role;
use serde_json::{Value, json};
use shop::{
    Home, Stack, audit,
    processes::OURS,
    testing::{TestStack, is_in_containers},
};
use uuid::Uuid;

use crate::{
    AnOrder, Ask, Customer, PlacedOrder, Purse,
    programs::{self, programs},
};

/// The longest wait for anything about an order, on a machine that does other things besides: a
/// call or delivery of a killed process first waits for its lease, which may be 20 s.
pub const WITHIN: Duration = Duration::from_mins(1);

/// Settings for servers that share a machine with others.
const SMALL: [(&str, &str); 3] = [
    ("SHOP_KAFKA__HEAP", "384m"),
    ("SHOP_POSTGRES__SHARED_BUFFERS", "128MB"),
    ("SHOP_DEADLINE_SWEEP", "250ms"),
];

/// A real stack, driven by tests.
#[derive(Debug)]
pub struct Shop {
    stack: TestStack,
    client: reqwest::Client,
    gateway: String,
    /// The token of the shop's own commands: staff and operator.
    token: String,
    named: AtomicU32,
    /// Whether requests are repeated until the shop has an answer.
    is_patient: AtomicBool,
    /// The test that each customer belongs to.
    hosts: Mutex<HashMap<String, String>>,
}

impl Shop {
    /// Starts a shop, with settings for its processes.
    pub async fn open(settings: &[(&str, &str)]) -> Self {
        let mut settings = [&SMALL, settings].concat();
        if is_in_containers() {
            settings.push(("SHOP_IMAGE", programs::image()));
        }
        let stack = TestStack::start(&programs(), &settings).await;
        let stack = stack.unwrap_or_else(|error| panic!("{error:#}"));
        let gateway = stack.stack().unwrap().gateway();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(45)).build().unwrap();
        let (named, is_patient) = (AtomicU32::new(0), AtomicBool::new(false));
        let hosts = Mutex::default();
        let token = shop::token::own(stack.home()).unwrap();
        let shop = Self { stack, client, gateway, token, named, is_patient, hosts };
        shop.awakes().await;
        shop
    }

    /// Waits until a first order is confirmed: healthy processes may still be waiting for their
    /// partitions.
    async fn awakes(&self) {
        let mug = self.lists("1.00", 1).await;
        let wanted = self.a_stranger().wants(1, &mug).by_card("tok_visa");
        let order = eventually("a first order", WITHIN, async || {
            let told = self.ordering(&wanted).send().await?;
            if told.status == 201 { Ok(PlacedOrder::of(told.body)) } else { Err(told.to_string()) }
        })
        .await;
        self.expect(&order, "confirmed").await;
    }

    /// Stops the shop.
    pub async fn close(self) {
        self.stack.stop().await.unwrap();
    }

    /// The folder of the stack.
    pub fn home(&self) -> &Home {
        self.stack.home()
    }

    /// The stack's record: the processes that run now, and their addresses.
    pub fn stack(&self) -> Stack {
        self.stack.stack().unwrap()
    }

    /// Kills a process with SIGKILL, and waits until it was started again and is healthy.
    pub async fn kill(&self, process: &str) {
        let before = self.stack.kill9(process).unwrap();
        self.stack.back(process, before, Duration::from_mins(1)).await.unwrap();
    }

    /// From now on, whoever awaits a request repeats it while it gets no answer, or 429, 502, 503
    /// or 504, as the clients of a shop do whose processes are killed.
    pub fn takes_patience(&self) {
        self.is_patient.store(true, Ordering::Relaxed);
    }

    /// Whether requests are repeated, and so may have been carried out more than once.
    pub fn is_patient(&self) -> bool {
        self.is_patient.load(Ordering::Relaxed)
    }

    fn patience(&self) -> Option<Duration> {
        self.is_patient().then_some(WITHIN)
    }

    /// The log of a process.
    pub fn log(&self, process: &str) -> String {
        self.stack.log(process).unwrap()
    }

    /// The file of what a stand-in for the world took: the simulator's ledger, the sink's messages.
    pub fn file(&self, process: &str, name: &str) -> PathBuf {
        self.stack.file(process, name).unwrap()
    }

    /// A GET of `path` at the gateway.
    pub fn get(&self, path: &str) -> Ask {
        self.ask("GET", path)
    }

    /// A DELETE of `path` at the gateway.
    pub fn delete(&self, path: &str) -> Ask {
        self.ask("DELETE", path)
    }

    /// A POST of `body` to `path` at the gateway.
    pub fn post(&self, path: &str, body: &Value) -> Ask {
        self.ask("POST", path).json(body)
    }

    /// A PUT of `body` to `path` at the gateway.
    pub fn put(&self, path: &str, body: &Value) -> Ask {
        self.ask("PUT", path).json(body)
    }

    /// Any request, to the gateway.
    pub fn ask(&self, method: &str, path: &str) -> Ask {
        self.ask_at(method, &format!("{}{path}", self.gateway))
    }

    /// Any request, to any address.
    pub fn ask_at(&self, method: &str, url: &str) -> Ask {
        let ask = Ask::new(&self.client, method, url).with_token(&self.token);
        ask.repeated_for(self.patience())
    }

    /// A token that ends soon.
    pub fn brief_token(&self, subject: &str, roles: &[Role], ttl: Duration) -> String {
        shop::token::lasting(self.home(), subject, roles, ttl).unwrap()
    }

    /// A token of somebody with these roles.
    pub fn token(&self, subject: &str, roles: &[Role]) -> String {
        shop::token::of(self.home(), subject, roles).unwrap()
    }

    /// A name that no other test uses.
    pub fn a_name(&self, kind: &str) -> String {
        format!("{kind}-{}", self.named.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes a new customer with an e-mail address and this much money (in USD).
    pub async fn welcomes(&self, money: &str) -> Customer {
        let customer = self.a_stranger();
        let account = format!("/v1/accounts/{}", customer.id);
        self.post(&account, &json!({ "currency": "USD" })).await.with(201);
        self.post(&format!("{account}/deposit"), &json!({ "amount": money })).await.with(201);
        let contact = json!({ "email": format!("{}@example.com", customer.id), "language": "en" });
        self.put(&format!("/v1/customers/{}/contact", customer.id), &contact).await.with(200);
        customer
    }

    /// A new customer without account and e-mail address.
    pub fn a_stranger(&self) -> Customer {
        let id = self.a_name("customer");
        // Each test runs on a thread with the test's name.
        let test = std::thread::current().name().unwrap_or("a thread without a name").to_owned();
        self.hosts.lock().unwrap().insert(id.clone(), test);
        Customer { id }
    }

    /// The request that places an order.
    pub fn ordering(&self, order: &AnOrder) -> Ask {
        self.post("/v1/orders", &order.body)
    }

    /// Places an order that has to be accepted.
    pub async fn place(&self, order: AnOrder) -> PlacedOrder {
        PlacedOrder::of(self.ordering(&order).await.with(201))
    }

    /// The request that pays a deferred order.
    pub fn paying(&self, order: &PlacedOrder, method: &Value) -> Ask {
        self.post("/v1/payments", &json!({ "order_id": order.id, "payment_method": method }))
    }

    /// Waits until the order has this status; returns the order.
    pub async fn expect(&self, order: &PlacedOrder, status: &str) -> Value {
        self.until(&order.path(""), status, |order| order["status"] == status).await
    }

    /// Waits until the order's saga has this status; returns the saga.
    pub async fn saga(&self, order: &PlacedOrder, status: &str) -> Value {
        self.until(&order.path("/saga"), status, |saga| saga["status"] == status).await
    }

    /// Waits until `is_it` accepts what is at `path`; returns it.
    pub async fn until(&self, path: &str, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{path}: {what}"), WITHIN, async || {
            let told = self.get(path).send().await?;
            if told.status == 200 && is_it(&told.body) {
                Ok(told.body)
            } else {
                Err(told.to_string())
            }
        })
        .await
    }

    /// The one item of `/v1/{what}?order_id=`, once it has this status.
    pub async fn the(&self, what: &str, order: &PlacedOrder, status: &str) -> Value {
        let path = format!("/v1/{what}?order_id={}", order.id);
        let is_it = |list: &Value| {
            let items = list["items"].as_array();
            items.is_some_and(|items| items.len() == 1 && items[0]["status"] == status)
        };
        self.until(&path, &format!("one, {status}"), is_it).await["items"][0].take()
    }

    /// The order's notification by this template, once it has this status.
    pub async fn notification(&self, order: &PlacedOrder, template: &str, status: &str) -> Value {
        let path = format!("/v1/notifications?order_id={}", order.id);
        let find = |list: &Value| {
            let mut items = list["items"].as_array()?.iter();
            let is_it = |item: &&Value| item["template"] == template && item["status"] == status;
            items.rfind(is_it).cloned()
        };
        let list = self.until(&path, template, |list| find(list).is_some()).await;
        find(&list).unwrap()
    }

    /// The message to this address in which `text` stands, as the stack's sink took it.
    pub async fn message_to(&self, to: &str, text: &str) -> Value {
        let port = self.stack().ports().unwrap().messages();
        let url = format!("http://127.0.0.1:{port}/messages?to={to}&q={text}");
        let mut list = self.ask_at("GET", &url).await.with(200);
        list["items"][0].take()
    }

    /// What the provider's own ledger has of an order.
    pub async fn provider_entry(&self, order: &PlacedOrder) -> Value {
        let provider = self.stack().service("simulator").unwrap();
        let url = format!("{provider}/ledger?order_id={}", order.id);
        let mut books = self.ask_at("GET", &url).await.with(200);
        assert_eq!(books["items"].as_array().map(Vec::len), Some(1), "{books}");
        books["items"][0].take()
    }

    /// The amounts of the customer's account.
    pub async fn purse(&self, customer: &Customer) -> Purse {
        let account = self.get(&format!("/v1/accounts/{}", customer.id)).await.with(200);
        let amount = |member: &str| account[member]["amount"].as_str().unwrap().to_owned();
        Purse { balance: amount("balance"), held: amount("held"), available: amount("available") }
    }

    /// Waits until every order has come to its end; then the audit must be clean, nothing may be
    /// parked and no process may have panicked.
    pub async fn is_well(&self) {
        eventually("a clean audit", WITHIN, async || {
            // Done before each audit: stock may just have answered for an order that was pending
            // until then.
            self.cancels_what_nobody_pays().await;
            let report = audit::audit(self.home()).await.map_err(|error| format!("{error:#}"))?;
            if report.ok && report.in_flight == 0 {
                return Ok(());
            }
            let broken = self.with_their_tests(report.violations).await.join("\n");
            Err(format!("{} in flight, broken:\n{broken}", report.in_flight))
        })
        .await;
        assert_eq!(self.get("/v1/parked").await.with(200)["items"], json!([]));
        for process in OURS {
            let log = self.log(process);
            let panicked = log.lines().find(|line| line.contains("panicked at"));
            assert_eq!(panicked, None, "{process} panicked");
        }
    }
}

impl Shop {
    /// The violations; each that names an order comes with the test that placed it.
    async fn with_their_tests(&self, violations: Vec<String>) -> Vec<String> {
        let mut told = Vec::new();
        for violation in violations {
            let order = violation.split([' ', ':']).find(|word| Uuid::try_parse(word).is_ok());
            let order = match order {
                Some(id) => self.get(&format!("/v1/orders/{id}")).send().await.ok(),
                None => None,
            };
            let customer = order.as_ref().and_then(|order| order.body["customer_id"].as_str());
            let test = customer.and_then(|id| self.hosts.lock().unwrap().get(id).cloned());
            told.push(match test {
                Some(test) => format!("{violation} (placed by {test})"),
                None => violation,
            });
        }
        told
    }

    /// Cancels deferred orders that a test has left unpaid: they would be under way until their
    /// deadline.
    async fn cancels_what_nobody_pays(&self) {
        loop {
            let open = self.get("/v1/orders?status=payment_pending&limit=200").await.with(200);
            let open = open["items"].as_array().unwrap();
            let unpaid = open.iter().filter(|order| order["payment"]["method"] == "deferred");
            let unpaid: Vec<_> = unpaid.map(|order| order["id"].as_str().unwrap()).collect();
            if unpaid.is_empty() {
                return;
            }
            for id in unpaid {
                self.delete(&format!("/v1/orders/{id}")).await.with(200);
            }
        }
    }
}
