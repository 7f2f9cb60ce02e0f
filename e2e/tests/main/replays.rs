//! Operators and the relay: its lanes, and replays of events from an outbox.

use backends::testing::eventually;
use e2e::{Shop, WITHIN, in_the_shop};
use proto::topic;
use serde_json::{Value, json};

#[test]
fn what_was_published_is_published_once_more_and_happens_once() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;
        shop.expect(&order, "confirmed").await;
        let ask = |is_dry_run: bool| {
            json!({"service": "order-svc", "topic": topic::ORDERS, "key": order.id,
                "dry_run": is_dry_run, "reason": "a test"})
        };

        // An event can be replayed once a checkpoint (tick) of the relay covers it.
        eventually("two events to replay", WITHIN, async || {
            let counted = shop.post("/v1/replays", &ask(true)).await.with(200);
            if counted == json!({"events": 2, "keys": 1}) { Ok(()) } else { Err(counted) }
        })
        .await;
        let begun = shop.post("/v1/replays", &ask(false)).await.with(202);
        assert_eq!((&begun["events"], &begun["done"]), (&json!(2), &json!(0)));
        let ended = ended(shop, &begun).await;
        assert_eq!(ended["done"], 2);
        let path = format!("/v1/replays/{}", ended["id"].as_str().unwrap());
        let tag = shop.get(&path).await.header("etag").to_owned();
        let same = shop.get(&path).header("if-none-match", &tag).await;
        assert_eq!((same.status, same.header("etag")), (304, &*tag), "{same}");

        let stock = shop.get(&format!("/v1/products/{}/stock", mug.sku)).await.with(200);
        assert_eq!(stock["sold"], 1, "{stock}");
        shop.expect(&order, "confirmed").await;
    });
}

#[test]
fn a_replay_that_cannot_be_is_refused() {
    in_the_shop(async |shop| {
        let ask = |service: &str, topic: &str| {
            let mut body = json!({"service": service, "topic": topic, "reason": "a test"});
            body["dry_run"] = false.into();
            body
        };
        let refuse = async |body: Value, code: &str| {
            shop.post("/v1/replays", &body).await.refused(422, code);
        };
        refuse(ask("inventory-svc", topic::CATALOGUE), "invalid_value").await;
        refuse(ask("order-svc", topic::STOCK), "invalid_value").await;
        refuse(ask("cat-svc", topic::STOCK), "invalid_value").await;
        refuse(json!({"dry_run": true, "reason": "a test"}), "missing_field").await;
        refuse(json!({"service": "order-svc"}), "missing_field").await;
        let nothing = "/v1/replays/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";
        shop.get(nothing).await.refused(404, "not_found");
    });
}

#[test]
fn lanes_are_told_and_a_pause_needs_a_reason() {
    in_the_shop(async |shop| {
        let lanes = shop.get("/v1/lanes").await.with(200);
        let services: Vec<_> =
            lanes["items"].as_array().unwrap().iter().map(|lane| lane["service"].clone()).collect();
        assert_eq!(services, ["order-svc", "payment-svc", "inventory-svc", "notify-svc"]);

        let pause = "/v1/lanes/notify-svc/pause";
        shop.post(pause, &json!({})).await.refused(422, "missing_field");
        shop.post("/v1/lanes/cat-svc/pause", &json!({})).await.refused(404, "not_found");
    });
}

async fn ended(shop: &Shop, begun: &Value) -> Value {
    let path = format!("/v1/replays/{}", begun["id"].as_str().unwrap());
    eventually("the replay's end", WITHIN, async || {
        let replay = shop.get(&path).await.with(200);
        if replay["state"] == "ended" { Ok(replay) } else { Err(replay.to_string()) }
    })
    .await
}
