//! Promises about one whole database, checked in one snapshot of it.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    birth,
    check::{Checks, Promise},
    facts::{ORDERS, Orders, PAYMENTS, STOCK},
    inbox,
    store::{
        mailbox::{self, Stop},
        money, notices, orders, payments, stock,
    },
};

/// How old a hold for an order that never came may be: payment-svc releases it after a day.
const HOLD_SECONDS: u32 = 25 * 3_600;

/// Runs every check of one service's tables.
pub(super) async fn database(
    db: &mut PgConnection,
    at: usize,
    orders: &Orders,
    now: u32,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    use Promise::{
        AnswersKept, CustomersTold, HoldsEnd, LedgerBalances, NothingLeftOver, OrdersAgree,
        ReadModelAgrees, StockConserved,
    };
    let counts = match at {
        ORDERS => vec![
            (OrdersAgree, "sum, status or reason does not fit", orders::sums(db).await?),
            (NothingLeftOver, "a deadline does not fit", orders::deadlines(db).await?),
            (AnswersKept, "an order was promised, and is not", orders::answers(db).await?),
            (AnswersKept, "an idempotency key made two orders", orders::keys(db).await?),
        ],
        STOCK => vec![
            (StockConserved, "pieces do not add up", stock::shelves(db).await?),
            (NothingLeftOver, "a hold's time does not fit", stock::waits(db).await?),
            (ReadModelAgrees, "what is available was not said", stock::availability(db).await?),
        ],
        PAYMENTS => vec![
            (LedgerBalances, "an account is not its entries", money::accounts(db).await?),
            (LedgerBalances, "a payment is not its entries", money::captures(db).await?),
            (LedgerBalances, "a payment is not its refunds", money::refunds(db).await?),
            (HoldsEnd, "a hold is not its entries", money::held(db).await?),
            (NothingLeftOver, "a call to the provider does not fit", money::calls(db).await?),
            (AnswersKept, "money was told of, and is not there", money::answers(db).await?),
        ],
        _ => vec![
            (NothingLeftOver, "a delivery does not fit", notices::deliveries(db).await?),
            (CustomersTold, "a notification does not fit", notices::notifications(db).await?),
        ],
    };
    for (promise, what, found) in counts {
        checks.counted(promise, what, found);
    }
    if at == PAYMENTS {
        holds(db, orders, now, checks).await?;
    }
    Ok(())
}

/// Finds money that is held for orders that never came.
async fn holds(
    db: &mut PgConnection,
    orders: &Orders,
    now: u32,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    for (order, held_at) in payments::holds(db).await? {
        let is_known = orders.get(order).is_some_and(|facts| facts.order.is_some());
        let held_for = now.saturating_sub(held_at.max(birth(order).min(now)));
        if !is_known && held_for > HOLD_SECONDS {
            checks.broken(Promise::HoldsEnd, || {
                let order = Uuid::from_u128(order);
                format!("money is held for {order}, which never came, for {held_for} s")
            });
        }
    }
    Ok(())
}

/// Finds keys, partitions and types of events that wait for an operator.
pub(super) async fn stops(
    db: &mut PgConnection,
    database: &str,
    orders: &mut Orders,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    let stopped = mailbox::stopped(db).await?;
    tell(Promise::NothingStopped, "partition", database, &stopped, checks);
    let unknown = mailbox::unknown(db).await?;
    tell(Promise::NothingUnknown, "events", database, &unknown, checks);
    let parked = mailbox::parked(db).await?;
    tell(Promise::NothingParked, "key", database, &parked, checks);
    for key in parked {
        let order = Uuid::try_parse(&key.what).map_or(0, |id| id.as_u128());
        if let Some(facts) = orders.get_mut(order) {
            facts.is_parked = true;
        }
    }
    Ok(())
}

fn tell(promise: Promise, kind: &str, database: &str, stops: &[Stop], checks: &mut Checks) {
    checks.looked(promise, 1);
    for Stop { topic, what, reason, seconds } in stops {
        checks.broken(promise, || {
            format!("{kind} {what} of {topic} in {database} for {seconds} s: {reason}")
        });
    }
}

/// Compares the notifications that were recorded as sent with the file of the sink that took them.
/// One may be in the file twice, because it is sent before it is recorded.
pub(super) async fn messages(
    db: &mut PgConnection,
    file: impl FnOnce() -> anyhow::Result<PathBuf>,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    let sent = notices::sent(db).await?;
    // The file is read after the rows, so it has everything recorded by then. A service may deliver
    // elsewhere.
    let file = file()?;
    let Some(taken) = taken(&file)? else { return Ok(()) };
    checks.looked(Promise::CustomersTold, u64::try_from(sent.len())?);
    let missing = sent.iter().filter(|id| !taken.contains(id)).count();
    if missing > 0 {
        checks.broken(Promise::CustomersTold, || {
            format!("{missing} notifications recorded as sent are not in {}", file.display())
        });
    }
    Ok(())
}

/// The ids of all messages in a file, the random half of each; `None` if there is no such file.
fn taken(file: &Path) -> anyhow::Result<Option<HashSet<u64>>> {
    let cannot = || format!("cannot read {}", file.display());
    let opened = match std::fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(cannot),
    };
    let (mut lines, mut line) = (BufReader::with_capacity(1 << 20, opened), Vec::new());
    let mut ids = HashSet::new();
    while lines.read_until(b'\n', &mut line).with_context(cannot)? > 0 {
        // The id comes first, so a line need not be parsed; a torn one has no end.
        let whole = line.ends_with(b"}\n").then_some(&line);
        let id = whole.and_then(|line| line.strip_prefix(br#"{"id":""#)?.get(..36));
        let id = id.and_then(|id| Uuid::try_parse_ascii(id).ok());
        ids.extend(id.map(|id| inbox::half(id.as_u128())));
        line.clear();
    }
    Ok(Some(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_known_by_their_ids() {
        let path = std::env::temp_dir().join(format!("messages-{}.jsonl", std::process::id()));
        assert!(taken(&path).unwrap().is_none());
        let whole = r#"{"id":"01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f","channel":"sms"}"#;
        let torn = r#"{"id":"01932c1e-5a4b-7c3d-8e2f-000000000000","chan"#;
        std::fs::write(&path, format!("{whole}\n{torn}\n{whole}\n{{}}\n{torn}")).unwrap();
        let ids = taken(&path).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ids, HashSet::from([0x8e2f_1a2b_3c4d_5e6f]));
    }
}
