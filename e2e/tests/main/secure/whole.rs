//! An order whose every hop is protected: HTTPS at the gateway, TLS to PostgreSQL, and each program
//! with another way into Kafka.

use backends::{
    Kafka, Postgres,
    testing::{TestAuthority, eventually},
};
use e2e::{EventStream, LoneProcess, WITHIN};
use reqwest::{Certificate, Client, Method, Response};
use serde_json::{Value, json};

use super::servers::{
    HOST, PASSWORD, Settings, WRONG, a_kafka, a_postgres, encrypt, order_svc, path, through, user,
    verified,
};

/// Who buys and sells through a gateway.
struct Buyer {
    client: Client,
    gateway: String,
}

impl Buyer {
    fn at(gateway: &LoneProcess, authority: &TestAuthority) -> Self {
        let trusted = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([trusted]).https_only(true).build().unwrap();
        Self { client, gateway: format!("https://{HOST}:{}", gateway.port) }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.gateway)).send().await.unwrap()
    }

    /// The answer to a body, once it has this status.
    async fn send(&self, method: Method, path: &str, body: &Value, status: u16) -> Value {
        eventually(path, WITHIN, async || {
            let url = format!("{}{path}", self.gateway);
            let request = self.client.request(method.clone(), url).json(body);
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let (found, text) = (answer.status(), answer.text().await.unwrap());
            if found == status { Ok(serde_json::from_str(&text).unwrap()) } else { Err(text) }
        })
        .await
    }
}

/// Programs, each with another way to Kafka.
struct ProtectedShop {
    authority: TestAuthority,
    kafka: Kafka,
    orders: LoneProcess,
    stock: LoneProcess,
    relay: LoneProcess,
    _postgres: Postgres,
}

impl ProtectedShop {
    async fn start() -> Self {
        let authority = TestAuthority::new();
        let trusted = path(&authority.pem());
        let kafka = a_kafka(&authority).await;
        let postgres = a_postgres().await;
        encrypt(&postgres, &authority);
        let url = |database| verified(&postgres, database, &trusted);
        let own = authority.certifies("inventory-svc");
        let trusting: Settings = vec![("SHOP_KAFKA_AUTHORITY", trusted.clone())];
        let of_orders = [
            order_svc(&url("orders")),
            through(&kafka, "SASL_SSL", "sasl_ssl"),
            user("scram-sha-512", PASSWORD),
            trusting.clone(),
        ];
        let of_stock = [
            through(&kafka, "SSL", "ssl"),
            vec![
                ("SHOP_KAFKA_CERTIFICATE", path(&own.certificate)),
                ("SHOP_KAFKA_KEY", path(&own.key)),
                ("SHOP_JWKS", "off".to_owned()),
                ("SHOP_DATABASE_URL_FILE", path(&url("stock"))),
            ],
            trusting.clone(),
        ];
        let databases = format!("orders={},stock={}", url("orders"), url("stock"));
        let of_the_relay = [
            through(&kafka, "SASL_SSL", "sasl_ssl"),
            user("scram-sha-256", PASSWORD),
            vec![("SHOP_DATABASES_FILE", path(&databases))],
            trusting,
        ];
        let this = Self {
            orders: LoneProcess::start("order-svc", &of_orders.concat()),
            stock: LoneProcess::start("inventory-svc", &of_stock.concat()),
            relay: LoneProcess::start("outbox-relay", &of_the_relay.concat()),
            authority,
            kafka,
            _postgres: postgres,
        };
        for process in [&this.orders, &this.stock, &this.relay] {
            process.is_well(&[]).await;
        }
        this
    }

    /// A gateway that shows a certificate, and logs in to Kafka with this password.
    async fn gateway(&self, password: &str) -> LoneProcess {
        let shown = self.authority.certifies(HOST);
        let settings = [
            through(&self.kafka, "SASL_PLAINTEXT", "sasl_plaintext"),
            user("plain", password),
            vec![
                ("SHOP_JWKS", "off".to_owned()),
                ("SHOP_TLS_CERTIFICATE", path(&shown.certificate)),
                ("SHOP_TLS_KEY", path(&shown.key)),
                ("SHOP_ORDER_URL", format!("127.0.0.1:{}", self.orders.port)),
                ("SHOP_INVENTORY_URL", format!("127.0.0.1:{}", self.stock.port)),
            ],
        ];
        let gateway = LoneProcess::start("gateway", &settings.concat());
        gateway.is_well(&ELSEWHERE).await;
        gateway
    }
}

/// The services that are not needed until stock is reserved.
const ELSEWHERE: [&str; 2] = ["payment-svc", "notify-svc"];

#[tokio::test]
async fn an_order_travels_over_protected_connections_alone() {
    let protected = ProtectedShop::start().await;
    let gateway = protected.gateway(PASSWORD).await;
    let buyer = Buyer::at(&gateway, &protected.authority);

    let mug = json!({ "name": "Blue mug", "price": { "amount": "5.00", "currency": "USD" } });
    buyer.send(Method::PUT, "/v1/products/mug", &mug, 201).await;
    let pieces = json!({ "warehouse": "main", "delta": 9, "reason": "received" });
    buyer.send(Method::POST, "/v1/products/mug/stock", &pieces, 200).await;
    let wanted = json!({ "customer_id": "jane", "items": [{ "sku": "mug", "quantity": 1 }] });
    let order = buyer.send(Method::POST, "/v1/orders", &wanted, 201).await;

    let stream = format!("/v1/orders/{}/stream", order["id"].as_str().unwrap());
    let mut events = EventStream::of(buyer.get(&stream).await);
    let reserved = json!(["inventory_reserved"]);
    loop {
        let event = events.next().await.expect("the stream goes on until stock is reserved");
        if event.name == "saga" && event.data["completed_steps"] == reserved {
            break;
        }
    }
    gateway.is_well(&ELSEWHERE).await;

    let unknown = protected.gateway(WRONG).await;
    let _open = Buyer::at(&unknown, &protected.authority).get(&stream).await;
    unknown.tells("streams", "Authentication failed").await;
    assert!(!unknown.log().contains(WRONG), "{}", unknown.log());
}
