//! The catalogue: the products of inventory-svc, what it published of them, and what order-svc
//! checks orders against.

use std::collections::HashMap;

use super::{
    LOOKS, PAUSE,
    check::{Checks, Promise},
    messages::Last,
    now,
    said::{TopicContents, number_of_name},
    store::{self, orders::ProductRow},
};
use crate::Stack;

/// How long order-svc may take to hear of a published change.
const HEARD_SECONDS: u32 = 60;

/// Checks each product against the outbox of its own snapshot, and against its last message.
pub(super) fn said(
    products: &[ProductRow],
    said: &TopicContents,
    last: &Last,
    checks: &mut Checks,
) {
    for ProductRow { sku, version, content } in products {
        checks.looked(Promise::VersionsAgree, 1);
        let number = number_of_name(sku.as_bytes());
        let reached = said.reached(number).outbox;
        if reached != 0 && reached != *version {
            checks.broken(Promise::VersionsAgree, || {
                format!("{sku} counts {version} events, its outbox ends with {reached}")
            });
        }
        checks.looked(Promise::ContentsAgree, 1);
        let is_other = |(at, said): &(i64, u32)| at == version && said != content;
        if last.get(&number).is_some_and(is_other) {
            checks.broken(Promise::ContentsAgree, || {
                format!("version {version} of {sku} was said otherwise than it is kept")
            });
        }
    }
}

/// Checks what order-svc knows of each product against the product itself.
pub(super) async fn seen(
    stack: &Stack,
    said: &TopicContents,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    let mut owner = store::connect(stack, "stock").await?;
    let mut reader = store::connect(stack, "orders").await?;
    let mut wrong = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let products = store::stock::products(&mut owner).await?;
        let seen = store::orders::products_seen(&mut reader).await?;
        if look == 0 {
            checks.looked(Promise::ReadModelAgrees, u64::try_from(products.len())?);
        }
        wrong = differences(&products, seen, said, now());
        if wrong.is_empty() {
            break;
        }
    }
    for what in wrong {
        checks.broken(Promise::ReadModelAgrees, || what);
    }
    Ok(())
}

/// What does not fit: the same version with another content, a version that is behind for too long,
/// and a product that is not for sale. `products` were read before `seen`.
pub(super) fn differences(
    products: &[ProductRow],
    seen: Vec<ProductRow>,
    said: &TopicContents,
    now: u32,
) -> Vec<String> {
    let mut seen: HashMap<String, (i64, u32)> =
        seen.into_iter().map(|row| (row.sku, (row.version, row.content))).collect();
    let mut wrong = Vec::new();
    for ProductRow { sku, version, content } in products {
        let (heard, known) = seen.remove(sku).unwrap_or_default();
        let reached = said.reached(number_of_name(sku.as_bytes()));
        // A version that is not in the outbox as it was read was announced since, so it is young.
        let is_new = reached.outbox < *version && reached.outbox > 0;
        let waits = if is_new { 0 } else { now.saturating_sub(reached.outbox_at) };
        if heard == *version && known != *content {
            wrong.push(format!("version {version} of {sku} is not what order-svc knows it as"));
        } else if heard < *version && waits > HEARD_SECONDS {
            wrong.push(format!("order-svc knows version {heard} of {sku}, not {version}"));
        }
    }
    wrong.extend(seen.into_keys().map(|sku| format!("order-svc knows {sku}, which is not sold")));
    wrong
}

#[cfg(test)]
mod tests;
