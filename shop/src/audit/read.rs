//! Reads the four databases, their topics, and the provider's ledger into one table of orders.

use std::path::PathBuf;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use proto::{EventType, topic, trace_context};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    birth, catalogue,
    check::{Checks, Promise},
    content::{self, Amount},
    facts::{NOTIFICATIONS, ORDERS, Orders, PAYMENTS, Provider, STOCK, TOPICS},
    history::Walk,
    inbox::Inboxes,
    interventions::{Interventions, MessageRef},
    judge::{self, View},
    messages::{self, Listener},
    said::{Event, Publication, TopicContents},
    seconds,
    store::{self, Which},
    topics::Topic,
    whole,
};
use crate::{Home, Stack, api::Api, by_id::ById, compose, terminal};

/// What the outbox of one database says.
struct Outbox {
    said: TopicContents,
    catalogue: TopicContents,
    /// Whether no leaf has been dropped: then everything that was ever announced is in the outbox.
    is_whole: bool,
    /// When the oldest row was written, in seconds since 1970.
    oldest: u32,
}

/// Reads everything there is, database by database, each with its topics right after it. Completes
/// `view`, which has only the consumed offsets before.
pub(super) async fn everything(
    (home, stack): (&Home, &Stack),
    topics: &mut [Topic],
    orders: &mut Orders,
    view: &mut View,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    terminal::renew("reading inboxes");
    let mut inboxes = Inboxes::default();
    for (service, database) in DATABASES.into_iter().enumerate() {
        let mut db = store::connect(stack, database).await?;
        inboxes.put(service, store::mailbox::inbox(&mut db).await?);
    }
    view.interventions = interventions(stack).await?;
    for (at, database) in DATABASES.into_iter().enumerate() {
        terminal::renew(format_args!("reading {database} and {}", TOPICS[at]));
        let mut db = store::connect(stack, database).await?;
        let mut tx = store::snapshot(&mut db).await?;
        let mut outbox = outbox(&mut tx, at, topics[at].is_trimmed(), orders, checks).await?;
        states(&mut tx, at, None, orders).await?;
        let count = outbox.compare(at, orders, checks);
        if at == ORDERS {
            let mut walk = Walk::new(orders, checks, &view.interventions, view.now);
            store::orders::history(&mut tx, None, |row| walk.row(row)).await?;
            walk.finish(count);
        }
        whole::database(&mut tx, at, orders, view.now, checks).await?;
        whole::stops(&mut tx, database, orders, checks).await?;
        let incarnations = store::mailbox::incarnation(&mut tx).await?;
        let products =
            if at == STOCK { store::stock::products(&mut tx).await? } else { Vec::new() };
        tx.rollback().await?;
        if at == NOTIFICATIONS {
            let file = || messages_of(home, stack);
            whole::messages(&mut db, file, checks).await?;
        }
        let is_whole = outbox.is_whole;
        let listener = Listener { view, inboxes: &inboxes, incarnations, is_whole };
        view.gone_before[at] =
            messages::read(&mut topics[at], &mut outbox.said, orders, &listener, checks)?;
        if at == STOCK {
            let last = messages::catalogue(stack, &mut outbox.catalogue, incarnations, checks)?;
            catalogue::said(&products, &outbox.catalogue, &last, checks);
            catalogue::seen(stack, &outbox.catalogue, checks).await?;
        }
    }
    mark(orders, &view.interventions);
    provider(stack, orders, checks).await
}

/// Reads some orders once more, and the messages about them since.
pub(super) async fn again(
    stack: &Stack,
    topics: &mut [Topic],
    orders: &mut Orders,
    view: &mut View,
    which: &[Uuid],
) -> anyhow::Result<()> {
    view.interventions = interventions(stack).await?;
    let before: Vec<[u32; 4]> = which
        .iter()
        .map(|order| {
            let facts = orders.of(order.as_u128());
            facts.is_parked = false;
            judge::counted(facts)
        })
        .collect();
    let mut unheeded = Checks::default();
    for (at, database) in DATABASES.into_iter().enumerate() {
        let mut db = store::connect(stack, database).await?;
        let mut tx = store::snapshot(&mut db).await?;
        for some in which.chunks(10_000) {
            states(&mut tx, at, Some(some), orders).await?;
            if at == ORDERS {
                let mut walk = Walk::new(orders, &mut unheeded, &view.interventions, view.now);
                store::orders::history(&mut tx, Some(some), |row| walk.row(row)).await?;
                walk.finish(0);
            }
        }
        whole::stops(&mut tx, database, orders, &mut unheeded).await?;
        tx.rollback().await?;
    }
    for (order, before) in which.iter().zip(before) {
        let facts = orders.of(order.as_u128());
        let grown = judge::counted(facts).into_iter().zip(before);
        for (told, (now, before)) in facts.said.iter_mut().zip(grown) {
            if now > before {
                told.outbox_at = view.now;
            }
        }
    }
    for (at, topic) in topics.iter_mut().enumerate() {
        messages::read_on(at, topic, orders, &view.interventions)?;
    }
    mark(orders, &view.interventions);
    provider(stack, orders, &mut unheeded).await
}

/// The databases in the order of [`TOPICS`].
const DATABASES: [&str; 4] = ["orders", "stock", "payments", "notify"];

/// Reads the states of orders in one of the [`DATABASES`].
async fn states(
    db: &mut PgConnection,
    at: usize,
    which: Which<'_>,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    match at {
        ORDERS => store::orders::orders(db, which, orders).await,
        STOCK => store::stock::reservations(db, which, orders).await,
        PAYMENTS => store::payments::payments(db, which, orders).await,
        _ => store::notices::notices(db, which, orders).await,
    }
}

impl Outbox {
    /// Compares each state's count of events with the outbox of the same snapshot; returns how many
    /// states there are.
    fn compare(&self, at: usize, orders: &Orders, checks: &mut Checks) -> u64 {
        let mut states = 0;
        for (order, facts) in orders.iter() {
            let Some(version) = judge::versions(facts)[at].map(i64::from) else { continue };
            states += 1;
            let reached = self.said.reached(order).outbox;
            // Events that were announced before the oldest row may have been dropped with their
            // leaf.
            let must_be_there = self.is_whole || birth(order) > self.oldest;
            if reached != version && (reached != 0 || must_be_there) {
                checks.broken(Promise::VersionsAgree, || {
                    let order = Uuid::from_u128(order);
                    format!("{order} counts {version} events, its outbox ends with {reached}")
                });
            }
        }
        states
    }
}

async fn outbox(
    db: &mut PgConnection,
    at: usize,
    is_trimmed: bool,
    orders: &mut Orders,
    checks: &mut Checks,
) -> anyhow::Result<Outbox> {
    let is_whole = store::mailbox::outbox_is_whole(db).await?;
    let mut outbox = Outbox {
        said: TopicContents::on(TOPICS[at], false, is_whole),
        catalogue: TopicContents::on(topic::CATALOGUE, true, is_whole),
        is_whole,
        oldest: u32::MAX,
    };
    let mut rows = std::pin::pin!(store::mailbox::outbox(db));
    while let Some(row) = rows.try_next().await? {
        let kind = EventType::numbered(row.type_number);
        let kind = kind.with_context(|| format!("no event has the number {}", row.type_number))?;
        let is_catalogue = kind.topic == topic::CATALOGUE;
        let published = match row.is_published {
            false => Publication::NotYet,
            true if is_trimmed && !is_catalogue => Publication::LongAgo,
            true => Publication::Yes,
        };
        let written = seconds(row.created_at);
        outbox.oldest = outbox.oldest.min(written);
        let event = Event {
            key: &row.key,
            version: row.version,
            id: row.event_id,
            number: row.type_number,
            at: content::micros(row.created_at),
            trace: row.trace.as_deref().map(|trace| {
                let trace = trace.try_into().unwrap_or_default();
                trace_context::published(&trace, row.event_id.as_bytes())
            }),
            payload: &row.payload,
        };
        if is_catalogue {
            outbox.catalogue.row(event, published, checks);
            continue;
        }
        outbox.said.row(event, published, checks);
        if let Ok(order) = Uuid::try_parse_ascii(&row.key) {
            orders.of(order.as_u128()).said[at].outbox_at = written;
        }
    }
    Ok(outbox)
}

/// What operators did to parked messages, in all services.
async fn interventions(stack: &Stack) -> anyhow::Result<Interventions> {
    let mut interventions = Interventions::default();
    for (service, database) in DATABASES.into_iter().enumerate() {
        let mut db = store::connect(stack, database).await?;
        for done in store::mailbox::mended(&mut db).await? {
            let message = || {
                let topic = TOPICS.iter().position(|name| Some(*name) == done.topic.as_deref())?;
                let order = Uuid::try_parse(done.key.as_deref()?).ok()?.as_u128();
                let version = u32::try_from(done.version?).ok()?;
                Some(MessageRef { service, topic, order, version })
            };
            match (done.action.as_str(), message()) {
                ("parked.discard", message) => interventions.discard(done.event_id, message),
                (_, Some(message)) => interventions.replace(message),
                (_, None) => {}
            }
        }
    }
    Ok(interventions)
}

/// The file of what the stack's sink took, as it is now.
fn messages_of(home: &Home, stack: &Stack) -> anyhow::Result<PathBuf> {
    if let Some(project) = &stack.project {
        compose::fetch_messages(project, home.path())?;
    }
    Ok(home.path().join("messages.jsonl"))
}

fn mark(orders: &mut Orders, interventions: &Interventions) {
    for order in interventions.orders() {
        if let Some(facts) = orders.get_mut(order) {
            facts.has_intervention = true;
        }
    }
}

/// Reads the provider's own ledger over its HTTP API.
async fn provider(stack: &Stack, orders: &mut Orders, checks: &mut Checks) -> anyhow::Result<()> {
    let ledger = Api::at(&stack.service("simulator")?)?.get("/ledger").await?.ok()?;
    let items = ledger.get("items").and_then(Value::as_array).context("the ledger is no list")?;
    let mut all = ById::<Provider>::default();
    for item in items {
        let order = item.get("order_id").and_then(Value::as_str).unwrap_or_default();
        let order = Uuid::try_parse(order).context("the ledger names an order that is none")?;
        let captures = item.get("captures").and_then(Value::as_u64).unwrap_or_default();
        let currency = item.get("currency").and_then(Value::as_str).unwrap_or_default();
        // The ledger has one item for each currency.
        let sum = all.entry(order.as_u128()).or_default();
        sum.is_mixed |= sum.captures > 0 && captures > 0;
        sum.captures += u32::try_from(captures)?;
        sum.captured += amount(item, "captured")?;
        sum.refunded += amount(item, "refunded")?;
        if captures > 0 {
            sum.currency = Amount::new(0, currency).currency;
        }
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
    Ok(content::ten_thousandths(amount))
}
