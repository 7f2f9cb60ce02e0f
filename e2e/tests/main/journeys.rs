//! Journeys: orders of every kind from placing to their end, over HTTP alone.

mod cancelled;
mod cards;
mod changed;
mod crowds;
mod edge;
mod extras;
mod late;
mod paid;
mod paid_later;
mod refused;
mod reserved;
mod shown;
mod tags;

use e2e::{PlacedOrder, Shop};
use serde_json::Value;

/// The steps of a saga with their states: `inventory_reserved completed`, and so on.
fn steps(saga: &Value) -> Vec<String> {
    let word = |step: &Value, member: &str| step[member].as_str().unwrap().to_owned();
    let steps = saga["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", word(step, "step"), word(step, "state"))).collect()
}

/// The short names of an order's events, in the order of its history.
async fn events(shop: &Shop, order: &PlacedOrder) -> Vec<String> {
    let list = shop.get(&order.path("/events")).await.with(200);
    let events = list["items"].as_array().unwrap().iter();
    events
        .map(|event| event["type"].as_str().unwrap().rsplit('.').next().unwrap().to_owned())
        .collect()
}
