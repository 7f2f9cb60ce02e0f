//! Repetitions under an `Idempotency-Key`: which `PUT`s honour one is what the description says.

use e2e::{Shop, TestResponse, in_the_shop};
use serde_json::{Value, json};

const KEY: &str = "#/components/parameters/Idempotency-Key";

/// A PUT: its path in the description and in the shop, and two bodies that differ.
struct Put {
    described: &'static str,
    path: String,
    bodies: [Value; 2],
}

impl Put {
    async fn send(&self, shop: &Shop, key: &str, body: usize) -> TestResponse {
        shop.put(&self.path, &self.bodies[body]).header("idempotency-key", key).await
    }
}

/// A PUT of every kind, with what it changes.
async fn puts(shop: &Shop) -> Vec<Put> {
    let put = |described, path, bodies| Put { described, path, bodies };
    let mug = shop.lists("5.00", 9).await;
    let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
    shop.expect(&order, "payment_pending").await;
    let pieces = [1, 2].map(|it| json!({"items": [{"sku": mug.sku, "quantity": it}]}));
    let held = shop.post("/v1/reservations", &pieces[0]).await.with(201);
    // Nobody listens there, and disabled as it is nothing is told.
    let hook = |about| {
        json!({"url": "http://127.0.0.1:9/", "events": ["*"], "description": about,
            "status": "disabled"})
    };
    let hooked = shop.post("/v1/webhooks", &hook("new")).await.with(201);
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
    let product = ["6.00", "7.00"].map(|it| json!({"name": "Red mug", "price": it}));
    let (product_path, house) = (format!("/v1/products/{}", mug.sku), shop.a_name("house"));
    let houses = [8, 9].map(|it| json!({"name": "Far", "priority": it}));
    let contact = format!("/v1/customers/{}/contact", shop.a_stranger().id);
    let contacts = ["en", "ru"].map(|it| json!({"language": it}));
    let webhook = format!("/v1/webhooks/{}", id(&hooked));
    vec![
        put("/v1/orders/{id}", order.path(""), pieces.clone()),
        put("/v1/reservations/{id}", format!("/v1/reservations/{}", id(&held)), pieces),
        put("/v1/products/{sku}", product_path, product),
        put("/v1/warehouses/{id}", format!("/v1/warehouses/{house}"), houses),
        put("/v1/customers/{id}/contact", contact, contacts),
        put("/v1/webhooks/{id}", webhook, ["one", "two"].map(hook)),
    ]
}

#[test]
fn a_put_is_repeated_under_its_key_where_that_is_described() {
    in_the_shop(async |shop| {
        let api = shop.get("/openapi.json").as_stranger().await.with(200);
        let paths = api["paths"].as_object().unwrap();
        let described = paths.iter().filter(|(_, methods)| methods.get("put").is_some());
        let mut described: Vec<_> = described.map(|(path, _)| path.as_str()).collect();
        let puts = puts(shop).await;
        let mut tried: Vec<_> = puts.iter().map(|put| put.described).collect();
        described.sort_unstable();
        tried.sort_unstable();
        assert_eq!(tried, described, "every PUT is tried");

        for put in puts {
            let key = shop.a_name("key");
            let first = put.send(shop, &key, 0).await;
            assert!([200, 201].contains(&first.status), "{first}");
            let again = put.send(shop, &key, 0).await;
            let other = put.send(shop, &key, 1).await;

            let parameters = paths[put.described]["put"]["parameters"].as_array().unwrap();
            if parameters.iter().any(|it| it["$ref"] == KEY) {
                assert_eq!(again.header("idempotency-replayed"), "true", "{again}");
                assert_eq!((again.status, &again.body), (first.status, &first.body));
                other.refused(422, "idempotency_key_reused");
            } else {
                assert_eq!((again.status, again.header("idempotency-replayed")), (200, ""));
                other.with(200);
            }
        }
    });
}
