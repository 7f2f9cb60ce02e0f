//! `shop load`: places orders at the gateway and follows each to its end over Kafka.

mod book;
mod connection;
mod cpu;
mod errands;
mod place;
mod plan;
mod report;
mod streams;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Parser as _;
use proto::topic;
use rdkafka::{
    consumer::BaseConsumer,
    message::{BorrowedMessage, Message as _},
};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use self::place::{Buyer, LoadPlan};
pub use self::plan::{Extent, Kind, Mix, Pace, Popularity};
pub use self::report::{LoadReport, Percentiles};
use self::{book::OrderEnd, place::LoadRun, streams::IdleStreams};
use crate::{Home, Stack, follow, seed, terminal, token};

/// The arguments of `shop load`.
#[derive(Clone, Debug, clap::Parser)]
pub struct Args {
    /// Orders a second, at fixed times, however slow the answers (20 without --concurrency).
    #[arg(long, value_name = "N", conflicts_with = "concurrency", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Orders under way at once, each until its end.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub concurrency: Option<u32>,
    /// How many orders to start.
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub orders: Option<u64>,
    /// How long to start orders (30s without --orders).
    #[arg(long, value_parser = chassis::config::duration)]
    pub duration: Option<Duration>,
    /// How long to start orders before anything is counted.
    #[arg(long, value_parser = chassis::config::duration, default_value = "0s")]
    pub warmup: Duration,
    /// How long to wait for the last orders to end.
    #[arg(long, value_parser = chassis::config::duration, default_value = "30s")]
    pub grace: Duration,
    /// Kinds of orders by weight: happy, declined, `out_of_stock`, cancelled, amended, refunded,
    /// shipped.
    #[arg(long, default_value = "happy=100")]
    pub mix: Mix,
    /// Over how many products (default: all that were seeded).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub skus: Option<u32>,
    /// How unequally products are ordered: the n-th 1/n^S as often as the first.
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub zipf: f64,
    /// So many open streams of an order that waits, beside the load.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub streams: u32,
    /// The seed of the random numbers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self::parse_from(["load"])
    }
}

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let report = load(args, home).await?;
    if json {
        terminal::say(serde_json::to_string(&report)?);
    } else {
        report.lines().iter().for_each(terminal::say);
    }
    Ok(if report.unfinished == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Places the orders that `args` ask for, and follows each to its end.
pub async fn load(args: Args, home: &Home) -> anyhow::Result<LoadReport> {
    let stack = home.stack()?;
    let plan = plan_of(&args, &stack, home)?;
    let streams = match args.streams {
        0 => None,
        count => Some(IdleStreams::open(home, count).await?),
    };
    let report = tokio::task::spawn_blocking(move || drive(plan, &stack)).await??;
    if let Some(streams) = streams {
        streams.close().await?;
    }
    Ok(report)
}

fn plan_of(args: &Args, stack: &Stack, home: &Home) -> anyhow::Result<LoadPlan> {
    let seeded = seed::seeded(home)?;
    anyhow::ensure!(seeded.customers > 0, "nothing to order yet: run `shop seed` first");
    let pace = match (args.rate, args.concurrency) {
        (_, Some(concurrency)) => Pace::Closed { concurrency },
        (rate, None) => Pace::Open { rate: rate.unwrap_or(20) },
    };
    let lasting = args.duration.unwrap_or(Duration::from_secs(30));
    Ok(LoadPlan {
        gateway: stack.gateway().trim_start_matches("http://").to_owned(),
        kafka: stack.kafka(),
        pace,
        extent: args.orders.map_or(Extent::Lasting(lasting), Extent::Orders),
        warmup: args.warmup,
        grace: args.grace,
        mix: args.mix.clone(),
        products: Popularity::new(
            args.skus.unwrap_or(seeded.products).min(seeded.products),
            args.zipf,
        ),
        buyers: buyers(seeded.customers, home)?,
        token: token::own(home)?,
        seed: args.seed,
    })
}

/// The customers who order, each with a token of their own; where one was given, it is for all.
fn buyers(customers: u32, home: &Home) -> anyhow::Result<Arc<[Buyer]>> {
    let names = (1..=customers).map(seed::customer);
    let tokens = match home.token() {
        Some(given) => vec![given.to_owned(); customers as usize],
        None => token::of_customers(home, names.clone())?,
    };
    Ok(names.zip(tokens).map(|(name, token)| Buyer { name, token }).collect())
}

/// Runs a plan to its end: this thread places, another one reads the endings.
pub fn drive(plan: LoadPlan, stack: &Stack) -> anyhow::Result<LoadReport> {
    let endings = listen_from_now(&plan)?;
    let (errands, to_do) = mpsc::unbounded_channel();
    let run = LoadRun::new(plan, errands);
    let is_listening = AtomicBool::new(true);
    // One thread places: waking another thread for every answer would cost more than the answer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::scope(|scope| {
        scope.spawn(|| listen(&run, &endings, &is_listening));
        let report = runtime.block_on(async {
            tokio::select! {
                report = conduct(&run, stack) => report,
                () = errands::run(&run, to_do) => unreachable!("the run holds the other end"),
            }
        });
        is_listening.store(false, Ordering::Relaxed);
        Ok(report)
    })
}

/// A consumer of the orders' endings, from where the topic ends now.
fn listen_from_now(plan: &LoadPlan) -> anyhow::Result<BaseConsumer> {
    // At a high rate a fetch fills soon anyway; at a low one every millisecond of waiting shows.
    let is_fast = match plan.pace {
        Pace::Open { rate } => rate > 1000,
        Pace::Closed { concurrency } => concurrency > 32,
    };
    let fetch = if is_fast {
        [("fetch.min.bytes", "16384"), ("fetch.wait.max.ms", "10")]
    } else {
        [("fetch.min.bytes", "1"), ("fetch.wait.max.ms", "100")]
    };
    let consumer = follow::consumer(&plan.kafka, &fetch)?;
    let bounds = follow::bounds(&consumer, topic::ORDERS).context("cannot follow the orders")?;
    let highs = bounds.iter().map(|bound| bound.high).collect();
    follow::assign(&consumer, &[(topic::ORDERS, highs)])?;
    Ok(consumer)
}

fn listen(run: &LoadRun, consumer: &BaseConsumer, is_listening: &AtomicBool) {
    while is_listening.load(Ordering::Relaxed) {
        let mut message = consumer.poll(Duration::from_millis(20));
        let mut freed = 0;
        while let Some(found) = message {
            if let Some((order, ending)) = found.ok().as_ref().and_then(ending_of) {
                let next = run.book().ended(order, ending, Instant::now());
                freed += usize::from(next.is_over);
                run.send(order, next.errand);
            }
            message = consumer.poll(Duration::ZERO);
        }
        run.free(freed);
    }
}

/// Which order ended, and how. The first byte of the topic's message is the tag of its one member.
fn ending_of(message: &BorrowedMessage<'_>) -> Option<(u128, OrderEnd)> {
    let ending = match message.payload()?.first()? {
        0x1a => OrderEnd::Confirmed,
        0x22 => OrderEnd::Cancelled,
        _ => return None,
    };
    Some((Uuid::try_parse_ascii(message.key()?).ok()?.as_u128(), ending))
}

/// Places the orders, waits for the last endings, and sums up.
async fn conduct(run: &Arc<LoadRun>, stack: &Stack) -> LoadReport {
    let began = Instant::now();
    let before = async {
        tokio::time::sleep_until(run.counted_from().into()).await;
        cpu::used(stack)
    };
    let placing = async {
        tokio::select! {
            () = place::place(run) => {}
            _ = tokio::signal::ctrl_c() => run.is_over.store(true, Ordering::Relaxed),
        }
        run.is_over.store(true, Ordering::Relaxed);
        let patience = Instant::now() + run.plan.grace;
        let is_busy = || run.book().waiting() > 0 || run.errands_left() > 0;
        while is_busy() && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let showing = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            terminal::renew(progress(run, began));
        }
    };
    let before = tokio::select! {
        (before, ()) = async { tokio::join!(before, placing) } => before,
        () = showing => unreachable!("it is shown until the end"),
    };
    terminal::renew("");
    let spent = cpu::seconds_between(&before, &cpu::used(stack));
    let book = run.book();
    let lasted = book.tally().last_end.map_or(Duration::ZERO, |last| last - run.counted_from());
    for order in book.missing().take(5) {
        terminal::note(format_args!("no end yet: shop order {}", Uuid::from_u128(order)));
    }
    LoadReport::new(book.tally(), book.unfinished(), lasted, spent)
}

#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a measurement")]
fn progress(run: &LoadRun, began: Instant) -> String {
    let started = run.started.load(Ordering::Relaxed);
    let book = run.book();
    let (tally, seconds) = (book.tally(), began.elapsed().as_secs_f64());
    let ms = |quantile| tally.end_to_end.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "{seconds:.0} s: {started} started ({:.0}/s), {} under way, {} confirmed, {} cancelled, {} rejected, \
         {} errors; end to end p50 {:.1} ms, p99 {:.1} ms",
        started as f64 / seconds,
        book.waiting(),
        tally.confirmed,
        tally.cancelled,
        tally.rejected,
        tally.errors,
        ms(0.50),
        ms(0.99),
    )
}

#[cfg(test)]
mod tests {
    use proto::Event;
    use proto::orders::{OrderCancelled, OrderConfirmed, OrderPlaced};

    #[test]
    fn the_first_byte_tells_an_ending() {
        let first = |event: Event| event.encode()[0];
        assert_eq!(first(OrderPlaced::default().into()), 0x0a);
        assert_eq!(first(OrderConfirmed::default().into()), 0x1a);
        assert_eq!(first(OrderCancelled::default().into()), 0x22);
    }
}
