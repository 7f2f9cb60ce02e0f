//! Triggers of the relay's alerts.

use backends::{server::send, testing::eventually, topics};
use e2e::{Product, Shop, WITHIN};
use futures::future::join_all;
use proto::topic;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
};
use rustix::process::Signal;
use serde_json::json;

use super::{Alerts, stand, wants};

pub(super) async fn a_lane_is_paused(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let reason = json!({"reason": "a drill"});
    shop.post("/v1/lanes/order-svc/pause", &reason).await.with(200);
    // Before the lane has looked, what is written is published still.
    alerts.raised(&["RelayPaused"]).await;
    wants(shop, mug).await;
    alerts.raised(&["OutboxOld"]).await;
    let from = json!({"from": "here", "reason": "a drill"});
    shop.post("/v1/lanes/order-svc/resume", &from).await.with(200);
    alerts.none(&["RelayPaused", "OutboxOld"]).await;
}

/// Products change faster than their events are published: not at all.
pub(super) async fn more_comes_than_goes(shop: &Shop, alerts: &Alerts) {
    let reason = json!({"reason": "a drill"});
    shop.post("/v1/lanes/inventory-svc/pause", &reason).await.with(200);
    let paths: Vec<String> = join_all(
        (0..20).map(async |_| format!("/v1/products/{}", shop.lists_unheard("1.00", 0).await.sku)),
    )
    .await;
    let grow = async {
        for price in 2.. {
            join_all(paths.iter().map(async |path| {
                let price = json!({"name": "Mug", "price": format!("{price}.00")});
                shop.put(path, &price).await.with(200);
            }))
            .await;
        }
    };
    tokio::select! {
        () = grow => unreachable!("it grows for ever"),
        () = alerts.raised(&["OutboxGrowing"]) => {}
    }
    let from = json!({"from": "here", "reason": "a drill"});
    shop.post("/v1/lanes/inventory-svc/resume", &from).await.with(200);
    alerts.none(&["OutboxGrowing"]).await;
}

pub(super) async fn it_stands_still(shop: &Shop, alerts: &Alerts) {
    let relay = stand(shop, "outbox-relay", Signal::STOP);
    alerts.raised(&["RelayWithoutLeader"]).await;
    send(relay, Signal::CONT);
    alerts.none(&["RelayWithoutLeader"]).await;
}

/// Somebody deletes a topic and makes it again. The relay and the consumers stop, and each has its
/// way out.
pub(super) async fn a_topic_is_made_anew(shop: &Shop, mug: &Product, alerts: &Alerts) {
    make_anew(shop, topic::PAYMENTS).await;
    wants(shop, mug).await;
    alerts.raised(&["RelayStopped", "ConsumerStopped"]).await;
    let reason = "the topic was made anew";
    let replay = json!({
        "service": "payment-svc", "topic": topic::PAYMENTS, "dry_run": false, "reason": reason,
    });
    shop.post("/v1/replays", &replay).await.with(202);
    for service in ["order-svc", "notify-svc"] {
        let from = json!({"topic": topic::PAYMENTS, "from": "beginning", "reason": reason});
        eventually("the partitions go on", WITHIN, async || {
            let told = shop.post(&format!("/v1/consumers/{service}/resume"), &from).await;
            if told.status == 200 { Ok(()) } else { Err(told) }
        })
        .await;
    }
    alerts.none(&["RelayStopped", "ConsumerStopped"]).await;
}

async fn make_anew(shop: &Shop, name: &str) {
    let kafka = shop.stack().kafka();
    let mut config = ClientConfig::new();
    let admin: AdminClient<_> = config.set("bootstrap.servers", &kafka).create().unwrap();
    admin.delete_topics(&[name], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let mut topics = topics::of_the_shop().unwrap();
    topics.retain(|topic| topic.name == name);
    topics::create(&kafka, &topics).await.unwrap();
}
