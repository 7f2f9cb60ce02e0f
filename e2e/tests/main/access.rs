//! Who may call what: every route, every method, every kind of caller, at the gateway and at the
//! services' own ports.

use std::collections::BTreeSet;

use e2e::{Customer, PlacedOrder, Shop, TestResponse, in_the_shop};
use proto::{
    Access, Role, Roles,
    api::{Owner, ROUTES, Route, Service},
};
use serde_json::{Value, json};

/// What one customer has: the ids that stand in paths.
struct Things {
    owner: Customer,
    order: PlacedOrder,
    payment: String,
    reservation: String,
    notification: String,
    sku: String,
}

impl Things {
    async fn of_a_customer(shop: &Shop) -> Self {
        let mug = shop.lists("5.00", 9).await;
        let owner = shop.welcomes("100.00").await;
        let paid = json!({"method": "wallet"});
        let order = shop.place(owner.wants(1, &mug).with("payment", paid)).await;
        shop.expect(&order, "confirmed").await;
        let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
        let payment = id(&shop.the("payments", &order, "captured").await);
        let reservation = id(&shop.the("reservations", &order, "sold").await);
        let notification = id(&shop.notification(&order, "order_confirmation", "sent").await);
        Self { owner, order, payment, reservation, notification, sku: mug.sku }
    }

    /// A path of the table with the ids of these things in it.
    fn path(&self, route: &Route, service: Service) -> String {
        let id = match route.path.split('/').nth(2).unwrap_or_default() {
            "orders" => self.order.id.as_str(),
            "payments" => &self.payment,
            "reservations" => &self.reservation,
            "notifications" => &self.notification,
            "customers" => &self.owner.id,
            _ => "main",
        };
        route
            .path
            .replace("{id}", id)
            .replace("{customer}", &self.owner.id)
            .replace("{sku}", &self.sku)
            .replace("{name}", "payment_due")
            .replace("{service}", service.name())
            .replace("{topic}", "shop.orders.v1")
            .replace("{key}", &self.order.id)
            .replace("{parked_id}", "1")
            .replace("{delivery}", "1")
    }

    /// A body that would be taken of the owner, or of staff.
    fn body(&self, path: &str) -> Value {
        let order = &self.order.id;
        match path.rsplit('/').next().unwrap_or_default() {
            "deposit" => json!({"amount": "1.00"}),
            "hold" => json!({"order_id": order, "amount": "1.00"}),
            "release" => json!({"order_id": order}),
            "payments" => json!({"order_id": order, "payment_method": {"type": "wallet"}}),
            "orders" => json!({"customer_id": self.owner.id,
                "items": [{"sku": self.sku, "quantity": 1}]}),
            _ if path.starts_with("/v1/orders/") && !path.ends_with("cancel") => {
                json!({"items": [{"sku": self.sku, "quantity": 1}]})
            }
            _ => json!({}),
        }
    }
}

/// The services that answer a route at their own ports.
fn services(route: &Route) -> Vec<Service> {
    match route.owner {
        Owner::One(service) => vec![service],
        // At a service's own port there is no stream, for whoever may ask.
        Owner::Stream | Owner::Trace | Owner::Pipeline => vec![Service::Order],
        Owner::Named | Owner::Body(_) | Owner::All => Service::ALL.to_vec(),
        Owner::Erasure => vec![Service::Order, Service::Notify],
    }
}

/// Whether what a path names belongs to a customer.
fn is_owned(route: &Route, access: Access) -> bool {
    let things =
        ["orders/", "payments/", "reservations/", "notifications/", "customers/", "accounts/"];
    access == Access::Customer
        && things.iter().any(|thing| route.path.strip_prefix("/v1/").unwrap().starts_with(thing))
}

/// Every method of every route, with the addresses of all doors that lead to it: the gateway's, and
/// the own one of each service that answers it.
async fn each_call(
    shop: &Shop,
    things: &Things,
    mut call: impl AsyncFnMut(&str, Access, &Route, String),
) {
    let stack = shop.stack();
    for route in ROUTES {
        let at = services(route).into_iter().map(|service| {
            let path = things.path(route, service);
            assert!(!path.contains('{'), "{path}");
            let own = stack.service(service.name()).unwrap();
            [format!("{}{path}", stack.gateway()), format!("{own}{path}")]
        });
        // Where a path names no service, the gateway has one address.
        let doors: BTreeSet<_> = at.flatten().collect();
        for method in route.allowed() {
            let access = route.access(method).unwrap();
            for door in &doors {
                call(method, access, route, door.clone()).await;
            }
        }
    }
}

/// Checks a refusal; one of a HEAD is its status alone.
fn is_refused(answer: TestResponse, method: &str, status: u16, code: &str) {
    if method == "HEAD" {
        assert_eq!((answer.status, answer.text.as_str()), (status, ""), "{answer}");
    } else {
        answer.refused(status, code);
    }
}

/// Who calls: nobody, each role, and those of two.
const CALLERS: [&[Role]; 8] = [
    &[],
    &[Role::Customer],
    &[Role::Staff],
    &[Role::Operator],
    &[Role::Viewer],
    &[Role::Customer, Role::Operator],
    &[Role::Viewer, Role::Customer],
    &[Role::Staff, Role::Operator],
];

#[test]
fn each_role_reaches_its_routes_and_no_other_at_both_doors() {
    in_the_shop(async |shop| {
        let things = Things::of_a_customer(shop).await;
        let tokens = CALLERS.map(|roles| {
            // The owner is the customer; the others have names of their own.
            let is_owner = roles.contains(&Role::Customer);
            let subject = if is_owner { &things.owner.id } else { "somebody" };
            (roles, (!roles.is_empty()).then(|| shop.token(subject, roles)))
        });
        let mut seen = 0;
        each_call(shop, &things, async |method, access, _, url| {
            for (roles, token) in &tokens {
                // What is no JSON passes whoever may call, and changes nothing.
                let ask = if ["GET", "HEAD", "DELETE"].contains(&method) {
                    // A parameter that nobody knows does the same where there is no body.
                    shop.ask_at(method, &format!("{url}?no_such_parameter=1"))
                } else {
                    shop.ask_at(method, &url).raw("nonsense")
                };
                let ask = match token {
                    Some(token) => ask.with_token(token),
                    None => ask.as_stranger(),
                };
                let answer = ask.await;
                let reads = method == "GET" || method == "HEAD";
                // Roles add up: what one of them may do, their caller may.
                let permits = |role: &Role| access.permits(Roles::from_iter([*role]), reads);
                if access == Access::Open {
                    assert!(![401, 403].contains(&answer.status), "{answer}");
                } else if token.is_none() {
                    is_refused(answer, method, 401, "unauthenticated");
                } else if roles.iter().any(permits) {
                    assert!((400..500).contains(&answer.status), "{roles:?}: {answer}");
                    assert!(![401, 403].contains(&answer.status), "{roles:?}: {answer}");
                } else {
                    is_refused(answer, method, 403, "forbidden");
                }
                seen += 1;
            }
        })
        .await;
        assert!(seen > CALLERS.len() * 2 * ROUTES.len(), "{seen}");
    });
}

#[test]
fn what_belongs_to_another_customer_is_not_there_at_both_doors() {
    in_the_shop(async |shop| {
        let things = Things::of_a_customer(shop).await;
        let other = shop.token("customer-other", &[Role::Customer]);
        each_call(shop, &things, async |method, access, route, url| {
            if !is_owned(route, access) {
                return;
            }
            let mut ask = shop.ask_at(method, &url).with_token(&other);
            if method == "POST" || method == "PUT" {
                let path = url.split_once("/v1").map_or("", |(_, path)| path);
                ask = ask.json(&things.body(&format!("/v1{path}")));
            }
            is_refused(ask.await, method, 404, "not_found");
        })
        .await;

        // Lists: a filter over others finds nothing, and in another's name nothing is done.
        let order = &things.order.id;
        for list in ["payments", "reservations", "notifications"] {
            let path = format!("/v1/{list}?order_id={order}");
            let found = shop.get(&path).with_token(&other).await.with(200);
            assert_eq!(found["items"], json!([]), "{path}");
        }
        let path = format!("/v1/orders?customer_id={}", things.owner.id);
        assert_eq!(shop.get(&path).with_token(&other).await.with(200)["items"], json!([]));
        let body = things.body("/v1/orders");
        shop.post("/v1/orders", &body).with_token(&other).await.refused(403, "forbidden");
        let body = things.body("/v1/payments");
        shop.post("/v1/payments", &body).with_token(&other).await.refused(404, "not_found");

        // Nothing of it has changed anything.
        assert_eq!(shop.get(&things.order.path("")).await.with(200)["status"], "confirmed");
        assert_eq!(shop.purse(&things.owner).await.held, "0.00");
    });
}

#[test]
fn a_customer_orders_pays_and_cancels_without_naming_themselves() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 9).await;
        let customer = shop.welcomes("100.00").await;
        let own = shop.token(&customer.id, &[]);
        let items = json!([{"sku": mug.sku, "quantity": 1}]);
        let body = json!({"items": items, "payment": {"method": "wallet"}});

        let placed = shop.post("/v1/orders", &body).with_token(&own).await.with(201);
        assert_eq!(placed["customer_id"], customer.id);
        let order = PlacedOrder::of(placed);
        shop.expect(&order, "confirmed").await;
        let list = shop.get("/v1/orders").with_token(&own).await.with(200);
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
        assert_eq!(list["items"][0]["id"], order.id);

        // What only staff may put into an order.
        let extra = json!({"description": "gift wrap", "quantity": 1, "unit_price": "0.01"});
        let body = json!({"items": [extra]});
        shop.post("/v1/orders", &body).with_token(&own).await.refused(403, "forbidden");

        let notification = shop.notification(&order, "order_confirmation", "sent").await;
        let path = format!("/v1/notifications/{}", notification["id"].as_str().unwrap());
        assert_eq!(notification["to"], format!("{}@example.com", customer.id), "staff sees it");
        let masked = shop.get(&path).with_token(&own).await.with(200);
        assert_eq!(masked["to"], "c***@example.com");

        let cancelled = shop.delete(&order.path("")).with_token(&own).await.with(200);
        assert_eq!(cancelled["cancellation"]["reason"], "customer_request");
        assert_eq!(cancelled["cancellation"]["by"], customer.id);

        // Staff may cancel in anybody's place, and that is told.
        let order = shop.place(customer.wants(1, &mug)).await;
        let by = shop.token("clerk-1", &[Role::Staff]);
        let cancelled = shop.delete(&order.path("")).with_token(&by).await.with(200);
        let cancellation = &cancelled["cancellation"];
        assert_eq!(cancellation["reason"], "staff_request");
        assert_eq!(
            (&cancellation["by"], &cancellation["detail"]),
            (&json!("clerk-1"), &Value::Null)
        );
    });
}

#[test]
fn a_viewer_sees_addresses_and_payloads_masked() {
    in_the_shop(async |shop| {
        let things = Things::of_a_customer(shop).await;
        let viewer = shop.token("auditor", &[Role::Viewer]);
        let contact = format!("/v1/customers/{}/contact", things.owner.id);
        let whole = shop.get(&contact).await.with(200);
        assert_eq!(whole["email"], format!("{}@example.com", things.owner.id));
        let own = shop.token(&things.owner.id, &[Role::Customer]);
        assert_eq!(shop.get(&contact).with_token(&own).await.with(200), whole);
        let masked = shop.get(&contact).with_token(&viewer).await.with(200);
        assert_eq!(masked["email"], "c***@example.com");
        let path = format!("/v1/notifications/{}", things.notification);
        let masked = shop.get(&path).with_token(&viewer).await.with(200);
        assert_eq!(masked["to"], "c***@example.com");
        assert_eq!(
            shop.get(&things.order.path("")).with_token(&viewer).await.with(200)["id"],
            things.order.id
        );
    });
}

#[test]
fn who_claims_anothers_address_erases_nothing_of_theirs() {
    in_the_shop(async |shop| {
        let things = Things::of_a_customer(shop).await;
        let address = format!("{}@example.com", things.owner.id);
        let letter = json!({"to": address, "subject": "Your order", "text": "It is on its way.",
            "order_id": things.order.id});
        let written = shop.post("/v1/notifications/email", &letter).await.with(202);
        let path = format!("/v1/notifications/{}", written["id"].as_str().unwrap());
        shop.until(&path, "sent", |letter| letter["status"] == "sent").await;

        let thief = shop.a_stranger();
        let own = shop.token(&thief.id, &[Role::Customer]);
        let (contact, customer) =
            (format!("/v1/customers/{}/contact", thief.id), format!("/v1/customers/{}", thief.id));
        let claim = json!({"email": address});
        shop.put(&contact, &claim).with_token(&own).await.with(200);
        let erased = shop.delete(&customer).with_token(&own).await.with(200);

        assert_eq!(erased["erased"]["notifications"], 0, "{erased}");
        assert_eq!(shop.get(&path).await.with(200)["to"], address);
    });
}

#[test]
fn an_order_of_another_customer_holds_no_money() {
    in_the_shop(async |shop| {
        let things = Things::of_a_customer(shop).await;
        let other = shop.welcomes("100.00").await;
        let own = shop.token(&other.id, &[Role::Customer]);
        let path = format!("/v1/accounts/{}/hold", other.id);
        let hold = json!({"order_id": things.order.id, "amount": "1.00"});
        shop.post(&path, &hold).with_token(&own).await.refused(404, "not_found");
        let unheard = json!({"order_id": uuid::Uuid::new_v4(), "amount": "1.00"});
        shop.post(&path, &unheard).with_token(&own).await.with(201);
    });
}

#[test]
fn keys_of_one_caller_are_not_anothers() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 9).await;
        let (ann, bob) = (shop.welcomes("100.00").await, shop.welcomes("100.00").await);
        let body = json!({"items": [{"sku": mug.sku, "quantity": 1}]});
        let place = async |customer: &Customer| {
            let token = shop.token(&customer.id, &[]);
            let ask = shop.post("/v1/orders", &body).with_token(&token);
            ask.header("idempotency-key", "checkout-1").await.with(201)
        };
        let (first, second) = (place(&ann).await, place(&bob).await);
        assert_eq!(second["customer_id"], bob.id);
        assert_ne!(first["id"], second["id"]);
        assert_eq!(place(&ann).await["id"], first["id"], "the same caller's key is found");
    });
}

#[test]
fn the_gateway_shows_the_keys_that_tokens_are_verified_with() {
    in_the_shop(async |shop| {
        let keys = shop.get("/.well-known/jwks.json").as_stranger().await.with(200);
        assert_eq!(keys["keys"][0]["kty"], "OKP");
        assert_eq!(keys["keys"][0].get("d"), None, "the private half stays at home");
    });
}
