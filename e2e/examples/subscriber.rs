//! Counts the confirmed orders of each customer, each order once, whatever comes twice.
#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "it is none of the shop's")]

use std::env::var;

use anyhow::{Context, bail};
use prost::Message as _;
use proto::orders::{OrderEvent, order_event::Event::OrderConfirmed};
use rdkafka::{
    ClientConfig, Message,
    consumer::{Consumer, StreamConsumer},
    message::Headers,
};

const SCHEMA: &str = "create table if not exists inbox (event_id uuid primary key);
    create table if not exists customers (id text primary key, orders bigint not null)";
const ADMIT: &str = "insert into inbox values ($1) on conflict do nothing";
const COUNT: &str = "insert into customers values ($1, 1)
    on conflict (id) do update set orders = customers.orders + 1";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let db = sqlx::PgPool::connect(&var("DATABASE_URL")?).await?;
    sqlx::raw_sql(SCHEMA).execute(&db).await?;
    let kafka: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", var("KAFKA_BROKERS")?)
        .set("group.id", "loyalty")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .set("session.timeout.ms", "6000")
        .create()?;
    kafka.subscribe(&["shop.orders.v1"])?;
    loop {
        // The client mends its connections by itself.
        let heard = kafka.recv().await.inspect_err(|error| eprintln!("{error}"));
        let Ok(message) = heard else { continue };
        let header = |name| message.headers()?.iter().find(|it| it.key == name)?.value;
        if header("ce_type") == Some(b"shop.orders.v1.OrderConfirmed") {
            // What cannot be read or kept ends the program; its next start begins with it.
            let id = uuid::Uuid::try_parse_ascii(header("ce_id").context("no ce_id")?)?;
            let event = OrderEvent::decode(message.payload().context("no value")?)?.event;
            let Some(OrderConfirmed(order)) = event else { bail!("another type") };
            let mut tx = db.begin().await?;
            if sqlx::query(ADMIT).bind(id).execute(&mut *tx).await?.rows_affected() == 1 {
                sqlx::query(COUNT).bind(order.customer_id).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        }
        // Kafka learns of it after the database has it.
        kafka.store_offset_from_message(&message)?;
    }
}
