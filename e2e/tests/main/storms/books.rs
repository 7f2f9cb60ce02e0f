//! What the provider's own ledger has of a storm.

use std::collections::BTreeMap;

use e2e::{PlacedOrder, Shop};
use serde_json::{Value, json};

use super::lives::OrderEnd;

/// Compares each order, its payment and what the provider itself has of it; the provider has
/// charged nobody else.
pub(super) async fn the_provider_agrees(shop: &Shop, ended: &[OrderEnd], pieces: &[PlacedOrder]) {
    let books = ledger(shop).await;
    let nothing = json!({"captures": 0, "captured": "0.00", "refunded": "0.00"});
    let (mut wrong, mut charged) = (Vec::new(), 0);
    let of_crowd = pieces.iter().map(|order| (order, "confirmed", "5.00", "0.00"));
    let of_storm =
        ended.iter().map(|it| (&it.order, it.status, it.captured.as_str(), it.refunded.as_str()));
    for (order, status, captured, refunded) in of_storm.chain(of_crowd) {
        let shown = shop.get(&order.path("")).await.with(200);
        let entry = books.get(&order.id).unwrap_or(&nothing);
        let captures = u32::from(captured != "0.00");
        charged += captures;
        let wanted = (status, captures.into(), captured, refunded);
        let found = (
            shown["status"].as_str().unwrap(),
            entry["captures"].as_u64().unwrap(),
            entry["captured"].as_str().unwrap(),
            entry["refunded"].as_str().unwrap(),
        );
        if found != wanted {
            wrong.push(format!("{}: {found:?}, not {wanted:?}", order.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // One capture more is that of the first order, which every shop has.
    let captures: u64 = books.values().map(|entry| entry["captures"].as_u64().unwrap()).sum();
    assert_eq!(captures, u64::from(charged) + 1);
}

/// The provider's ledger by order, page by page.
async fn ledger(shop: &Shop) -> BTreeMap<String, Value> {
    let url = format!("{}/ledger?limit=200", shop.stack().service("simulator").unwrap());
    let (mut books, mut next) = (BTreeMap::new(), String::new());
    loop {
        let page = shop.ask_at("GET", &format!("{url}{next}")).await.with(200);
        for entry in page["items"].as_array().unwrap() {
            let order = entry["order_id"].as_str().unwrap().to_owned();
            assert_eq!(books.insert(order, entry.clone()), None, "one currency an order");
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return books };
        next = format!("&cursor={cursor}");
    }
}
