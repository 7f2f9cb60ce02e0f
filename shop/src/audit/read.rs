//! Reads the four databases, their topics, and the provider's ledger into one table of orders.

use std::str::FromStr as _;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use proto::{EventType, topic};
use rdkafka::message::{BorrowedMessage, Message as _};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::check::{Checks, Promise};
use super::facts::{NOTIFICATIONS, ORDERS, Orders, PAYMENTS, Provider, STOCK, TOPICS};
use super::said::{Event, Place, Said, Shipped, number_of_name};
use super::store::{self, Each, Which};
use super::topics::Topic;
use crate::api::Api;
use crate::by_id::ById;
use crate::{Stack, follow, terminal};

/// Reads everything there is, database by database, each with its topics right after it.
pub(super) async fn everything(
    stack: &Stack,
    topics: &mut [Topic],
    orders: &mut Orders,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    for (at, (database, read)) in DATABASES.into_iter().enumerate() {
        terminal::renew(format_args!("reading {database} and {}", TOPICS[at]));
        let mut db = connect(stack, database).await?;
        let mut tx = store::snapshot(&mut db).await?;
        let mut said = Said::on(TOPICS[at], false);
        let mut catalogue = Said::on(topic::CATALOGUE, true);
        let is_trimmed = topics[at].is_trimmed();
        outbox(&mut tx, &mut said, &mut catalogue, is_trimmed, checks).await?;
        let mut counts = Counts {
            is_whole: store::mailbox::outbox_is_whole(&mut tx).await?,
            said: &said,
            checks,
        };
        let mut each = |order, version| counts.compare(order, version);
        read(&mut tx, None, orders, &mut each).await?;
        whole(&mut tx, at, checks, &catalogue).await?;
        parked(&mut tx, database, orders, checks).await?;
        tx.rollback().await?;
        messages(&mut topics[at], &mut said, orders, checks)?;
        if at == STOCK {
            catalogued(stack, &mut catalogue, checks)?;
        }
    }
    provider(stack, orders, checks).await
}

/// Reads some orders once more, and what was said about them since.
pub(super) async fn again(
    stack: &Stack,
    topics: &mut [Topic],
    orders: &mut Orders,
    which: &[Uuid],
) -> anyhow::Result<()> {
    for order in which {
        orders.of(order.as_u128()).is_parked = false;
    }
    let mut unheeded = Checks::default();
    for (database, read) in DATABASES {
        let mut db = connect(stack, database).await?;
        let mut tx = store::snapshot(&mut db).await?;
        for some in which.chunks(10_000) {
            read(&mut tx, Some(some), orders, &mut |_, _| {}).await?;
        }
        parked(&mut tx, database, orders, &mut unheeded).await?;
        tx.rollback().await?;
    }
    for (at, topic) in topics.iter_mut().enumerate() {
        topic.read(|message| {
            if let (Some(found), Some(tag)) = (event_of(message), tag_of(message)) {
                let order = Uuid::try_parse_ascii(found.key).map_or(0, |id| id.as_u128());
                if let Some(facts) = orders.get_mut(order) {
                    let version = u32::try_from(found.version).unwrap_or(u32::MAX);
                    let is_new = version > facts.said[at].version;
                    facts.said[at].message(tag, version, place_of(message), is_new);
                }
            }
        })?;
    }
    provider(stack, orders, &mut unheeded).await
}

/// The databases in the order of [`TOPICS`], and how the states in each are read.
const DATABASES: [(&str, Read); 4] = [
    ("orders", |db, which, orders, each| Box::pin(store::orders::orders(db, which, orders, each))),
    ("stock", |db, which, orders, each| {
        Box::pin(store::stock::reservations(db, which, orders, each))
    }),
    ("payments", |db, which, orders, each| {
        Box::pin(store::payments::payments(db, which, orders, each))
    }),
    ("notify", |db, which, orders, each| {
        Box::pin(store::notices::notices(db, which, orders, each))
    }),
];

type Read = for<'a> fn(
    &'a mut PgConnection,
    Which<'a>,
    &'a mut Orders,
    &'a mut Each<'_>,
) -> BoxFuture<'a, anyhow::Result<()>>;

/// Holds each state's count of events against the outbox of the same snapshot.
struct Counts<'a> {
    /// No leaf has been dropped: whatever was said is in the outbox.
    is_whole: bool,
    said: &'a Said,
    checks: &'a mut Checks,
}

impl Counts<'_> {
    fn compare(&mut self, order: u128, version: i64) {
        let reached = self.said.reached(order).outbox;
        if reached != version && (reached != 0 || self.is_whole) {
            self.checks.broken(Promise::VersionsAgree, || {
                let order = Uuid::from_u128(order);
                format!("{order} counts {version} events, its outbox ends with {reached}")
            });
        }
    }
}

/// As the service itself, but without the limits that hold for a service's short statements.
async fn connect(stack: &Stack, database: &str) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(&stack.database(database)?)?.options([
        ("application_name", "shop audit"),
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
    ]);
    PgConnection::connect_with(&options)
        .await
        .with_context(|| format!("cannot open the database {database}"))
}

async fn outbox(
    db: &mut PgConnection,
    said: &mut Said,
    catalogue: &mut Said,
    is_trimmed: bool,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    let mut rows = std::pin::pin!(store::mailbox::outbox(db));
    while let Some(row) = rows.try_next().await? {
        let kind = EventType::numbered(row.type_number);
        let kind = kind.with_context(|| format!("no event has the number {}", row.type_number))?;
        let is_catalogue = kind.topic == topic::CATALOGUE;
        let shipped = match row.is_shipped {
            false => Shipped::NotYet,
            true if is_trimmed && !is_catalogue => Shipped::LongAgo,
            true => Shipped::Yes,
        };
        let event =
            Event { key: &row.key, version: row.version, id: row.event_id, payload: &row.payload };
        if is_catalogue { &mut *catalogue } else { &mut *said }.row(event, shipped, checks);
    }
    Ok(())
}

/// What can be said of a whole database at once, in the same snapshot.
async fn whole(
    db: &mut PgConnection,
    at: usize,
    checks: &mut Checks,
    catalogue: &Said,
) -> anyhow::Result<()> {
    match at {
        ORDERS => {
            let histories = store::orders::histories(db).await?;
            checks.counted(Promise::HistoryAgrees, "the history is not the order's", histories);
            let deadlines = store::orders::deadlines(db).await?;
            checks.counted(Promise::NothingLeftOver, "a deadline does not fit", deadlines);
        }
        STOCK => {
            let shelves = store::stock::shelves(db).await?;
            checks.counted(Promise::StockConserved, "pieces do not add up", shelves);
            let waits = store::stock::waits(db).await?;
            checks.counted(Promise::NothingLeftOver, "a hold's time does not fit", waits);
            for (sku, version) in store::stock::products(db).await? {
                checks.looked(Promise::VersionsAgree, 1);
                let reached = catalogue.reached(number_of_name(sku.as_bytes())).outbox;
                if reached != 0 && reached != version {
                    checks.broken(Promise::VersionsAgree, || {
                        format!("{sku} counts {version} events, its outbox ends with {reached}")
                    });
                }
            }
        }
        PAYMENTS => {
            let accounts = store::payments::accounts(db).await?;
            checks.counted(Promise::LedgerBalances, "an account is not its entries", accounts);
            let captures = store::payments::captures(db).await?;
            checks.counted(Promise::LedgerBalances, "a payment is not its entries", captures);
            let calls = store::payments::calls(db).await?;
            checks.counted(Promise::NothingLeftOver, "a call to the provider does not fit", calls);
        }
        NOTIFICATIONS => {
            let deliveries = store::notices::deliveries(db).await?;
            checks.counted(Promise::NothingLeftOver, "a delivery does not fit", deliveries);
        }
        _ => {}
    }
    Ok(())
}

async fn parked(
    db: &mut PgConnection,
    database: &str,
    orders: &mut Orders,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    checks.looked(Promise::NothingParked, 1);
    for parked in store::mailbox::parked(db).await? {
        checks.broken(Promise::NothingParked, || {
            format!("{} of {} in {database}: {}", parked.key, parked.topic, parked.reason)
        });
        let order = Uuid::try_parse(&parked.key).map_or(0, |id| id.as_u128());
        if let Some(facts) = orders.get_mut(order) {
            facts.is_parked = true;
        }
    }
    Ok(())
}

fn messages(
    topic: &mut Topic,
    said: &mut Said,
    orders: &mut Orders,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    let at = TOPICS.iter().position(|name| *name == topic.name).context("a topic of orders")?;
    let trimmed: Vec<bool> = topic.trimmed();
    let mut foreign = 0_u64;
    topic.read(|message| {
        let (Some(found), Some(tag)) = (event_of(message), tag_of(message)) else {
            foreign += 1;
            return;
        };
        let (partition, offset) = place_of(message);
        let is_trimmed = usize::try_from(partition).is_ok_and(|at| trimmed.get(at) == Some(&true));
        let is_new = said.message(found, Place { partition, is_trimmed }, checks);
        if let Ok(order) = Uuid::try_parse_ascii(found.key) {
            let version = u32::try_from(found.version).unwrap_or(u32::MAX);
            let told = &mut orders.of(order.as_u128()).said[at];
            told.message(tag, version, (partition, offset), is_new);
        }
    })?;
    if foreign > 0 {
        terminal::note(format_args!("{foreign} messages on {} are no events of ours", topic.name));
    }
    said.finish(checks);
    Ok(())
}

fn catalogued(stack: &Stack, said: &mut Said, checks: &mut Checks) -> anyhow::Result<()> {
    Topic::open(&stack.kafka(), topic::CATALOGUE)?.read(|message| {
        if let Some(found) = event_of(message) {
            let place = Place { partition: message.partition(), is_trimmed: false };
            said.message(found, place, checks);
        }
    })?;
    said.finish(checks);
    Ok(())
}

/// The provider's own ledger, over HTTP as the provider gives it.
async fn provider(stack: &Stack, orders: &mut Orders, checks: &mut Checks) -> anyhow::Result<()> {
    let ledger = Api::at(&stack.service("simulator")?)?.get("/ledger").await?.ok()?;
    let items = ledger.get("items").and_then(Value::as_array).context("the ledger is no list")?;
    let mut all = ById::<Provider>::default();
    for item in items {
        let order = item.get("order_id").and_then(Value::as_str).unwrap_or_default();
        let order = Uuid::try_parse(order).context("the ledger names an order that is none")?;
        let captures = item.get("captures").and_then(Value::as_u64).unwrap_or_default();
        // One item for each currency.
        let sum = all.entry(order.as_u128()).or_default();
        sum.captures += u32::try_from(captures)?;
        sum.captured += amount(item, "captured")?;
        sum.refunded += amount(item, "refunded")?;
    }
    checks.looked(Promise::ProviderAgrees, u64::try_from(all.len())?);
    for (order, sum) in all {
        orders.of(order).provider = sum;
    }
    Ok(())
}

/// An amount in ten-thousandths.
fn amount(item: &Value, member: &str) -> anyhow::Result<i64> {
    let text = item.get(member).and_then(Value::as_str);
    let amount: Decimal = text.context("the ledger tells no amount")?.parse()?;
    (amount * Decimal::from(10_000)).to_i64().context("the ledger tells an impossible amount")
}

/// The envelope, if it is one of ours: of a type that is said on this topic.
fn event_of<'a>(message: &'a BorrowedMessage<'_>) -> Option<Event<'a>> {
    EventType::named(follow::header(message, "ce_type")?)
        .filter(|kind| kind.topic == message.topic())?;
    Some(Event {
        key: message.key()?,
        version: follow::header(message, "ce_version")?.parse().ok().filter(|it| *it > 0)?,
        id: Uuid::try_parse(follow::header(message, "ce_id")?).ok()?,
        payload: message.payload()?,
    })
}

/// Which member of the topic's message it is: its number stands in the first byte.
fn tag_of(message: &BorrowedMessage<'_>) -> Option<usize> {
    message.payload()?.first().map(|byte| usize::from(byte >> 3))
}

fn place_of(message: &BorrowedMessage<'_>) -> (i32, i64) {
    (message.partition(), message.offset())
}
