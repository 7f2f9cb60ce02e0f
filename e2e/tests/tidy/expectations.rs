//! What services expect of each other's events (`proto/expectations`): of each type that a service
//! hears, and of no other. That the expectations are met is shown in the services' own tests.

use std::collections::BTreeSet;

use proto::EventType;
use serde_json::{Map, Value};

use crate::{
    cards::card_line,
    holds,
    rooms::SERVICES,
    workspace::{EXPECTATIONS, File},
};

#[test]
fn a_service_expects_something_of_each_event_that_it_hears_and_of_no_other() {
    let card = |heard: &str| format!("//! A card.\n//! Hears  {heard}\n//! Says   OrderPlaced\n");
    let expects = ("proto/expectations/order-svc.json", r#"{"shop.stock.v1.StockReserved": {}}"#);
    let heard = card("StockReserved StockRejected");
    holds(expects_what_it_hears, &[("order-svc/src/lib.rs", &heard), expects]);
    let deaf = card("");
    holds(expects_what_it_hears, &[("order-svc/src/lib.rs", &deaf), expects]);
    let nobody = ("proto/expectations/cat-svc.json", "{}");
    holds(expects_what_it_hears, &[nobody]);
    let unknown = ("proto/expectations/order-svc.json", r#"{"shop.stock.v1.StockLost": {}}"#);
    let heard = card("StockLost");
    holds(expects_what_it_hears, &[("order-svc/src/lib.rs", &heard), unknown]);
}

fn expects_what_it_hears(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    let held = files.iter().filter_map(|file| {
        let name = file.path.strip_prefix(EXPECTATIONS)?.strip_suffix(".json")?;
        let entries: Map<String, Value> = serde_json::from_str(&file.text).unwrap();
        Some((name, entries.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>()))
    });
    let held: Vec<_> = held.collect();
    wrong.extend(
        held.iter()
            .filter(|(name, _)| !HOLDERS.contains(name))
            .map(|(name, _)| format!("{EXPECTATIONS}{name}.json: there is no such service")),
    );
    for service in SERVICES {
        let path = format!("{service}/src/lib.rs");
        let Some(lib) = files.iter().find(|file| file.path == path) else { continue };
        let hears = card_line(&lib.text, "Hears");
        let expects = held.iter().find(|(name, _)| *name == service);
        let expects = expects.map(|(_, names)| names.clone()).unwrap_or_default();
        wrong.extend(
            expects
                .iter()
                .filter(|name| EventType::named(name).is_none())
                .map(|name| format!("{service} expects something of {name}, which nobody says")),
        );
        let names: BTreeSet<_> =
            expects.iter().filter_map(|name| Some(name.rsplit('.').next()?.to_owned())).collect();
        let missing = hears.difference(&names).map(|it| format!("hears {it} and expects nothing"));
        let idle = names.difference(&hears).map(|it| format!("expects {it} and does not hear it"));
        wrong.extend(missing.chain(idle).map(|why| format!("{service} {why}")));
    }
    wrong
}

/// Whose expectations there are: those of the services about events, and the gateway's about what
/// services answer.
const HOLDERS: [&str; 5] = ["order-svc", "payment-svc", "inventory-svc", "notify-svc", "gateway"];
