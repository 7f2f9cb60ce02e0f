//! The relay's figures, on real PostgreSQL and real Kafka on this machine.
//!
//! ```text
//! cargo bench -p outbox-relay --bench relay -- [drain] [live] [held] [idle] [--events 1000000] [--rate 5000]
//!                                [--seconds 20] [--hold 60] [--no-notify]
//! ```
//!
//! Writer, PostgreSQL, relay, Kafka and consumer share the machine. Latency is from the INSERT's
//! own clock to the consumer, so it includes the writer's commit.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on may end where it is")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::float_arithmetic, reason = "rates and percentiles")]

mod live;
mod reading;
mod servers;

use std::time::{Duration, Instant};

use clap::Parser;

use crate::{
    live::Load,
    reading::Reading,
    servers::{Process, Servers},
};

/// The relay's figures
#[derive(Debug, Parser)]
struct Args {
    /// Which of them: drain, live, held, idle [default: all]
    only: Vec<String>,
    /// Events that wait when the relay starts
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Events a second while it runs
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// How long each load lasts
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How long a transaction is held open
    #[arg(long, default_value_t = 60)]
    hold: u64,
    /// Write without waking the relay: polling alone
    #[arg(long)]
    no_notify: bool,
    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let servers = Servers::start().await;
        let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
        if wanted("drain") {
            drain(&servers, args.events).await;
        }
        if wanted("live") {
            live(&servers, &args).await;
        }
        if wanted("held") {
            held(&servers, &args).await;
        }
        if wanted("idle") {
            idle(&servers).await;
        }
        servers.stop().await;
    });
}

/// How fast a backlog goes out, at the consumer.
async fn drain(servers: &Servers, events: u64) {
    let stage = servers.stage("drain").await;
    println!("drain: writing {events} events of 250 bytes");
    stage.fill(events).await;
    let reading = Reading::start(&servers.kafka(), &stage.topic);
    let started = Instant::now();
    let relay = Process::start(&servers.kafka(), &[&stage]);
    reading.until(events).await;
    let (rate, first) = reading.rate(started);
    let cost = relay.cpu().as_secs_f64() * 1e6 / seconds_of(events);
    println!("drain: {rate:.0} events/s at the consumer, the first {first:.0?} after the start");
    println!("drain: relay {cost:.2} us of CPU an event, {} MiB at most", relay.peak_memory());
    let slowest = reading.slowest_half_second();
    println!("drain: slowest half second {slowest} events/s");
    relay.stop().await;
}

async fn live(servers: &Servers, args: &Args) {
    let stage = servers.stage("live").await;
    let reading = Reading::start(&servers.kafka(), &stage.topic);
    let relay = Process::start(&servers.kafka(), &[&stage]);
    let load = Load::new(&stage, args.rate, !args.no_notify);
    load.run(Duration::from_secs(3)).await;
    reading.latencies();
    let before = (Instant::now(), relay.cpu());
    load.run(Duration::from_secs(args.seconds)).await;
    let cpu = relay.cpu().saturating_sub(before.1).as_secs_f64() / before.0.elapsed().as_secs_f64();
    println!("live: {} events/s for {} s: {}", args.rate, args.seconds, reading.latencies());
    println!("live: relay {:.0} % of a core, {} MiB", cpu * 100.0, relay.peak_memory());
    relay.stop().await;
}

/// The same load before and while a transaction is held open in another session of this database
/// and in another database of the cluster.
async fn held(servers: &Servers, args: &Args) {
    let stage = servers.stage("held").await;
    let elsewhere = servers.stage("elsewhere").await;
    let reading = Reading::start(&servers.kafka(), &stage.topic);
    let relay = Process::start(&servers.kafka(), &[&stage]);
    let load = Load::new(&stage, args.rate, !args.no_notify);
    load.run(Duration::from_secs(3)).await;
    reading.latencies();
    load.run(Duration::from_secs(args.seconds)).await;
    println!("held: before      {}", reading.latencies());

    let (here, there) = (stage.hold().await, elsewhere.hold().await);
    let parts = 4;
    for part in 1..=parts {
        load.run(Duration::from_secs(args.hold) / parts).await;
        println!("held: during {part}/{parts}  {}", reading.latencies());
    }
    drop((here, there));
    load.run(Duration::from_secs(args.seconds)).await;
    println!("held: after       {}", reading.latencies());
    relay.stop().await;
}

/// What polling costs when nothing happens, over four databases.
async fn idle(servers: &Servers) {
    let mut stages = Vec::new();
    for name in ["one", "two", "three", "four"] {
        stages.push(servers.stage(name).await);
    }
    let relay = Process::start(&servers.kafka(), &stages.iter().collect::<Vec<_>>());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = (Instant::now(), relay.cpu(), servers.postgres_cpu());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let seconds = before.0.elapsed().as_secs_f64();
    let share =
        |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / seconds * 100.0;
    println!(
        "idle: four databases: relay {:.1} %, PostgreSQL {:.1} % of a core, {} MiB",
        share(relay.cpu(), before.1),
        share(servers.postgres_cpu(), before.2),
        relay.memory()
    );
    relay.stop().await;
}

/// A count as a float.
fn seconds_of(count: u64) -> f64 {
    Duration::from_secs(count).as_secs_f64()
}
