//! Triggers of the relay's alerts.

use backends::server::send;
use e2e::{Product, Shop};
use futures::future::join_all;
use proto::topic;
use rustix::process::Signal;
use serde_json::json;

use super::{Alerts, stand, wants};
use crate::topics::{bring_back, make_anew};

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
    bring_back(shop).await;
    alerts.none(&["RelayStopped", "ConsumerStopped"]).await;
}
