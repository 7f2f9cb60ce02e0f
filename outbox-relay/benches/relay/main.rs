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
    reading::ReaderThread,
    servers::{Process, Servers},
};

/// Events that are published first, to warm the broker up.
const WARM_UP: u64 = 300_000;

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

/// How fast a backlog is published, measured at the consumer. A broker that has just started spends
/// more on compiling than on serving, so a smaller backlog goes first.
async fn drain(servers: &Servers, events: u64) {
    let warm = servers.stage("warm").await;
    warm.fill(WARM_UP).await;
    let reading = ReaderThread::start(&servers.kafka(), &warm.topic);
    let relay = Process::start(&servers.kafka(), &[&warm]);
    reading.until(WARM_UP).await;
    relay.stop().await;
    drop(reading);

    let stage = servers.stage("drain").await;
    println!("drain: writing {events} events of 250 bytes");
    stage.fill(events).await;
    let reading = ReaderThread::start(&servers.kafka(), &stage.topic);
    let started = Instant::now();
    let before = [servers.postgres_cpu(), servers.kafka_cpu(), servers::own_cpu()];
    let relay = Process::start(&servers.kafka(), &[&stage]);
    reading.until(events).await;
    let after = [servers.postgres_cpu(), servers.kafka_cpu(), servers::own_cpu()];
    let (rate, first) = reading.rate(started);
    println!("drain: {rate:.0} events/s at the consumer, the first {first:.0?} after the start");
    let slowest = reading.slowest_half_second();
    println!(
        "drain: slowest half second {slowest} events/s, memory {} MiB at most",
        relay.peak_memory()
    );
    let an_event = |cpu: Duration| cpu.as_secs_f64() * 1e6 / seconds_of(events);
    let own = an_event(relay.cpu());
    let others = [0, 1, 2].map(|each| an_event(after[each].saturating_sub(before[each])));
    let [postgres, kafka, consumer] = others;
    println!(
        "drain: CPU an event: relay {own:.2} us, PostgreSQL {postgres:.2}, Kafka {kafka:.2}, consumer {consumer:.2}"
    );
    relay.stop().await;
}

async fn live(servers: &Servers, args: &Args) {
    let stage = servers.stage("live").await;
    let reading = ReaderThread::start(&servers.kafka(), &stage.topic);
    let relay = Process::start(&servers.kafka(), &[&stage]);
    let load = Load::new(&stage, args.rate, !args.no_notify);
    load.run(Duration::from_secs(3)).await;
    reading.latencies();
    let before = (Instant::now(), relay.cpu(), servers.kafka_cpu());
    load.run(Duration::from_secs(args.seconds)).await;
    let cpu = relay.cpu().saturating_sub(before.1).as_secs_f64() / before.0.elapsed().as_secs_f64();
    println!("live: {} events/s for {} s: {}", args.rate, args.seconds, reading.latencies());
    let kafka = servers.kafka_cpu().saturating_sub(before.2).as_secs_f64();
    let kafka = kafka / before.0.elapsed().as_secs_f64();
    println!(
        "live: relay {:.0} % of a core, Kafka {:.0} %, relay {} MiB",
        cpu * 100.0,
        kafka * 100.0,
        relay.peak_memory()
    );
    relay.stop().await;
}

/// The same load before and while a transaction is held open in another session of this database
/// and in another database of the cluster.
async fn held(servers: &Servers, args: &Args) {
    let stage = servers.stage("held").await;
    let elsewhere = servers.stage("elsewhere").await;
    let reading = ReaderThread::start(&servers.kafka(), &stage.topic);
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
